//! The page's own listener: taken before anything is begun, served when everything is. What must not live here: what is served.

use crate::{
    Failed,
    config::{Config, PageListen},
};
use camlock_embed::{Camlock, Dispatch, ParentLink};
use camlock_http::{Front, FrontOptions};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Where it is looked for.
const USUAL: u16 = 8081;
/// So many ports are tried from there, before any free one is taken.
const TRIED: u16 = 100;
/// People and their tabs, not the world.
const CONNECTIONS: usize = 1_000;

/// A socket for the page.
pub(crate) struct PageListener {
    listener: TcpListener,
    port: u16,
    /// Where people find it.
    pub(crate) url: String,
}

impl PageListener {
    /// Takes the socket, if there is to be a page. One that was asked for and is taken is an error.
    pub(crate) fn open(config: &Config, link: &ParentLink) -> Result<Option<Self>, Failed> {
        let listener = match config.page {
            PageListen::Off => return Ok(None),
            PageListen::At(address) => {
                let listener = link.listener("page", &address.to_string(), || TcpListener::bind(address));
                listener.map_err(|error| {
                    format!(
                        "the page cannot be served on {address}: {error} (name another with --page, or `--page off`)"
                    )
                })?
            }
            PageListen::Usual => link
                .listener("page", "anywhere", next_free)
                .map_err(|error| format!("no port is free for the page: {error}"))?,
        };
        let address = listener.local_addr().map_err(|error| format!("the page's address is not known: {error}"))?;
        let scheme = if config.front.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", reachable(address));
        Ok(Some(PageListener { listener, port: address.port(), url }))
    }

    /// Serves the page.
    pub(crate) fn serve(self, config: &Config, camlock: &Camlock) -> Result<Option<Front>, Failed> {
        let tls = config.front.tls.clone();
        let Some(router) = camlock.page(self.port, tls.is_some()) else { return Ok(None) };
        let dispatch = Dispatch::default();
        dispatch.fall_through_to(router);
        let options = FrontOptions {
            threads: 1,
            further: 1,
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS,
            ..config.front.clone()
        };
        let front = Front::start(self.listener, dispatch, options);
        Ok(Some(front.map_err(|error| format!("the page cannot be served: {error}"))?))
    }
}

fn next_free() -> io::Result<TcpListener> {
    for port in USUAL..USUAL + TRIED {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// An address that a browser on this machine can be sent to: all addresses are none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
