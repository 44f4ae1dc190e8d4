//! The small parent of a server: it keeps the sockets that the world knows, and starts the server as its child; when the child dies,
//! another one takes its place and answers those that wait.
//!
//! `words` is what the two say to each other, `wire` how that crosses, `course` what the parent does next (pure), `keeper` the parent
//! itself, `link` the server's side, `systemd` what a service manager gives and hears. The parent is one thread: it reads no
//! configuration, knows no plugin, opens no file, and has no lock, so that there is nothing in it that could break.
//!
//! What must not live here: who is guilty of a death (the loader's suspects), and what is served.

mod course;
mod keeper;
mod link;
mod systemd;
mod wire;
mod words;

pub use link::{ParentLink, ParentOrder};

use std::process::ExitCode;

/// What the child is called.
const SERVER_NAME: &str = "camlock-server";

/// Runs a server under a parent. To be called early in `main`, before there are threads, and after [`run_runner_if_asked`].
///
/// The process that calls this becomes the parent, and ends when the server has ended in order, or cannot be kept up. The server is the
/// same program, started again with the same arguments: there this call runs `server`, with the link to the parent.
///
/// [`run_runner_if_asked`]: crate::run_runner_if_asked
pub fn under_parent(server: impl FnOnce(&ParentLink) -> u8) -> ExitCode {
    if is_child() {
        let link = match ParentLink::of_child() {
            Ok(link) => link,
            Err(error) => {
                eprintln!("camlock: this is a server's process, and its parent cannot be heard: {error}");
                return ExitCode::FAILURE;
            }
        };
        let code = server(&link);
        link.bye();
        return code.into();
    }
    match keeper::run() {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("camlock: no parent can keep the server: {error} (`--no-parent` runs it without one)");
            ExitCode::FAILURE
        }
    }
}

/// Whether this process is the child of such a parent.
fn is_child() -> bool {
    std::env::args_os().next().is_some_and(|name| name == SERVER_NAME)
}
