//! The supervisor in a world of fakes, with a clock that jumps.

mod asking;
mod changing;
mod ending;
mod leaning;
mod watching;
mod world;
