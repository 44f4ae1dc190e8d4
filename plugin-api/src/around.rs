//! What is around a plugin's code: a library of its own, with its own copies of std's and tracing's globals; or a program that
//! it was linked into, whose globals are the program's (the feature `program`). Everything that differs lives here.

#[cfg(not(feature = "program"))]
mod library;
#[cfg(feature = "program")]
mod program;

#[cfg(not(feature = "program"))]
pub(crate) use library::{closed, current, installed, opened, passing, runs};
#[cfg(feature = "program")]
pub(crate) use program::{closed, current, installed, opened, passing, runs};
