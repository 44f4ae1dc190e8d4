//! The supervisor in a world of fakes, with a clock that jumps.

mod asking;
mod by_name;
mod canary;
mod changing;
mod ending;
mod fitting;
mod fleet;
mod granting;
mod installing;
mod isolating;
mod leaning;
mod migrating;
mod recorded;
mod script;
mod sealed;
mod sealer;
mod watching;
mod world;
