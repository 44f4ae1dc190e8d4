//! A plugin's configuration, as its JSON Schema (2020-12) has it: what fits, what is filled in, what is secret.
//!
//! Pure: a document and a configuration in, an answer out. Whether a configuration fits is judged by the crate `jsonschema`; what that
//! does not do is done here, over the same document. No reference leaves the document: nothing is fetched, from nowhere. What must
//! not live here: where schemas and configurations come from, and what is done with either.

#![forbid(unsafe_code)]

mod defaults;
mod document;
mod expected;
mod pattern;
mod placeholders;
mod pointer;
mod schema;
mod sensitive;
mod violations;
mod walk;

pub use crate::{
    placeholders::NoPlaceholder,
    schema::{LARGEST_SCHEMA, Schema, UnusableSchema},
};
