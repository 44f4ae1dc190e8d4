//! Rows on their way in and out: formats, and pieces of them. What must not live here: HTTP's methods and statuses.

mod csv;
mod format;
mod incoming;
mod shape;
mod written;

pub use format::Format;
pub use incoming::{IncomingRows, Sent, document};
pub use shape::Shape;
pub use written::RowWriter;
