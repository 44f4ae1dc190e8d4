//! The port through which a server and its machine are examined. What must not live here: what is looked at.

use crate::{BoxFuture, Finding};

/// Whoever examines a server, and changes nothing.
pub trait Doctor: Send + Sync {
    /// What the server knows of itself and of its plugins.
    fn server(&self) -> BoxFuture<Vec<Finding>>;
    /// What is found on the machine. Things are tried, a library is linked: that takes a second or more.
    fn machine(&self) -> BoxFuture<Vec<Finding>>;
}
