//! What a service manager gives to a program that it starts, and what it is told: sockets (`LISTEN_FDS`), and how things stand
//! (`NOTIFY_SOCKET`).

use crate::sys;
use std::{
    env, io,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

/// The variables that are for this process alone.
pub(super) const VARIABLES: [&str; 5] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", "NOTIFY_SOCKET"];
/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// The sockets that were passed, by what they are for: `page`, if that is its name, else `listen`.
pub(super) fn sockets() -> io::Result<Vec<(String, OwnedFd)>> {
    let own = env::var("LISTEN_PID").ok().and_then(|id| id.parse().ok()) == Some(std::process::id());
    let count = env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<i32>().ok()).filter(|_| own).unwrap_or(0);
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let purposes = purposes(&names, usize::try_from(count).unwrap_or(0));
    (FIRST..).zip(purposes).map(|(number, purpose)| Ok((purpose.to_owned(), sys::inherited(number)?))).collect()
}

fn purposes(names: &str, count: usize) -> Vec<&'static str> {
    let names = names.split(':').chain(std::iter::repeat("")).take(count);
    names.map(|name| if name == "page" { "page" } else { "listen" }).collect()
}

/// Tells the service manager, if there is one that wants to hear.
pub(super) fn notify(state: &str) {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return };
    let told = || -> io::Result<()> {
        let bytes = place.as_encoded_bytes();
        let address = match bytes {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&place)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
        Ok(())
    };
    if let Err(error) = told() {
        eprintln!("camlock: the service manager could not be told `{state}`: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_known_by_their_names() {
        assert_eq!(purposes("", 1), ["listen"]);
        assert_eq!(purposes("camlock.socket:page", 2), ["listen", "page"]);
        assert_eq!(purposes("page", 2), ["page", "listen"]);
        assert!(purposes("page", 0).is_empty());
    }
}
