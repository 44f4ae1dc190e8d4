//! Camlock's record.

#![forbid(unsafe_code)]

mod causes;
mod last_known;
mod objects;

pub use last_known::LastKnown;
pub use objects::{ObjectTrouble, Objects, SharedExchange};
