//! Connections for plugins that have no network of their own: the server makes the socket, looks at where it is to lead, and connects it.
//!
//! A plugin's `socket` and `connect` wait in the kernel for this side's word. The socket is made here, in the server's network, and put
//! among the plugin's descriptors; to connect it, a duplicate of it is connected here, to an address that was copied before it was judged.
//! Bytes then flow as over any socket. Names are looked up here too: whoever connects to a resolver speaks with this side.
//!
//! `connecting` is how it is connected, `rules` are what was granted, `names` what names were found to lead to, `dns` the words of resolvers. What must not live here: how
//! refusals are told.

mod connecting;
mod dns;
mod names;
mod rules;

pub(crate) use rules::{NetworkRules, parted};

use crate::{
    bounds::HeldProcess,
    sandbox::{is_by_tcp, is_of_internet},
    sys::{self, DescriptorPlace, ToldCall},
};
use connecting::{HeldSocket, SocketConnector};
use dns::DnsAnswer;
use names::FoundNames;
use rules::AddressVerdict;
use rustix::{
    fs::{fcntl_getfl, fcntl_setfl},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest address that is looked at.
const ADDRESS: usize = 28;
/// Where resolvers answer.
const RESOLVER_PORT: u16 = 53;
/// A resolver's connection that asks nothing for so long is closed.
const ASKING: Duration = Duration::from_secs(30);
/// What was refused, in words, and the permission that would allow it, if one does.
pub(crate) type RefusedAct = (String, Option<String>);

/// Tells of what was refused.
pub(crate) type TellRefusal = Arc<dyn Fn(RefusedAct) + Send + Sync>;

/// The one that connects for a plugin's process.
pub(crate) struct Broker {
    rules: NetworkRules,
    found: FoundNames,
    held: Arc<OnceLock<HeldProcess>>,
    connector: SocketConnector,
}

/// What follows from a call.
enum BrokerAnswer {
    Error(i32),
    Done,
    /// It was answered already, or does not wait any more.
    Over,
}

impl From<Errno> for BrokerAnswer {
    fn from(error: Errno) -> Self {
        BrokerAnswer::Error(error.raw_os_error())
    }
}

const REFUSED: BrokerAnswer = BrokerAnswer::Error(libc::EPERM);

impl Broker {
    pub(crate) fn new(rules: NetworkRules, held: Arc<OnceLock<HeldProcess>>) -> Self {
        Broker { rules, found: FoundNames::default(), held, connector: SocketConnector::default() }
    }

    /// Whether a call is one for this.
    pub(crate) fn takes(&self, call: &ToldCall) -> bool {
        call.number == libc::SYS_connect || call.number == libc::SYS_socket && is_by_tcp(call.arguments)
    }

    /// Answers one.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<OwnedFd>, call: ToldCall, tell: TellRefusal) {
        if call.number == libc::SYS_socket {
            if let Err(error) = make_socket(&listener, &call) {
                sys::answer(&listener, &call, Err(error.raw_os_error().unwrap_or(libc::EPERM)));
            }
            return;
        }
        let (outcome, asking) = match self.connect(&listener, &call, &tell).await {
            Ok(asking) => (BrokerAnswer::Done, asking),
            Err(outcome) => (outcome, None),
        };
        match outcome {
            BrokerAnswer::Done => sys::answer(&listener, &call, Ok(())),
            BrokerAnswer::Error(error) => sys::answer(&listener, &call, Err(error)),
            BrokerAnswer::Over => {}
        }
        if let Some(asking) = asking {
            let _ = self.resolve(asking, tell).await;
        }
    }

    /// Connects, or says why not. Where the plugin connected to a resolver, the other end of what it has instead.
    async fn connect(
        &self,
        listener: &OwnedFd,
        call: &ToldCall,
        tell: &TellRefusal,
    ) -> Result<Option<UnixStream>, BrokerAnswer> {
        let length = usize::try_from(call.arguments[2]).unwrap_or(0).min(ADDRESS);
        let mut copied = [0; ADDRESS];
        if sys::read_from(call.thread, call.arguments[1], &mut copied[..length]).is_err() {
            return Err(BrokerAnswer::Error(libc::EFAULT));
        }
        let socket = self.duplicate(call).map_err(|_| BrokerAnswer::Error(libc::EBADF))?;
        // What was read and taken is of that call, and of no other process that has its number since.
        if !sys::still_waits(listener, call) {
            return Err(BrokerAnswer::Over);
        }
        let family = sockopt::socket_domain(&socket)?;
        let Some(address) = address_of(&copied[..length]).filter(|_| is_of_internet(family.as_raw().into())) else {
            tell(("connect to what is no host".to_owned(), None));
            return Err(REFUSED);
        };
        if address.port() == RESOLVER_PORT && resolvers().contains(&address.ip()) {
            return self.become_resolver(listener, call, &socket).map(Some);
        }
        self.judge(address).await.map_err(|refusal| {
            tell(refusal);
            REFUSED
        })?;
        self.connector.connect(socket, address).await?;
        Ok(None)
    }

    /// The plugin's descriptor, once more.
    fn duplicate(&self, call: &ToldCall) -> io::Result<HeldSocket> {
        let number = i32::try_from(call.arguments[0]).map_err(io::Error::other)?;
        let held =
            self.held.get().filter(|held| Path::new(&format!("/proc/{}/task/{}", held.id, call.thread)).exists());
        if let Some(held) = held {
            return Ok(HeldSocket::new(pidfd_getfd(&held.pidfd, number, PidfdGetfdFlags::empty())?));
        }
        // A process that the plugin started.
        let status = std::fs::read_to_string(format!("/proc/{}/status", call.thread))?;
        let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
        let process = process.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let process = pidfd_open(process, PidfdFlags::empty())?;
        Ok(HeldSocket::new(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?))
    }

    /// Whether it may connect there.
    async fn judge(&self, address: SocketAddr) -> Result<(), RefusedAct> {
        let place = address.ip().to_canonical();
        let mut verdict = self.rules.judge(address, &self.found.of(place));
        if verdict == AddressVerdict::Refused {
            // It may have found the address by itself: in a file, or by a question of its own.
            for name in self.rules.names_for(address.port()) {
                if self.found.look_up(name).await.contains(&place) {
                    verdict = self.rules.judge(address, &self.found.of(place));
                    break;
                }
            }
        }
        let (place, port) = (shown(place), address.port());
        match verdict {
            AddressVerdict::Allowed => Ok(()),
            AddressVerdict::Private => {
                let what = format!("connect to {place}:{port}, which lies in a private network");
                Err((what, Some("network:private".to_owned())))
            }
            AddressVerdict::Refused => match self.found.of(address.ip().to_canonical()).first() {
                Some(name) => {
                    Err((format!("connect to {name}:{port} ({place})"), Some(format!("network:{name}:{port}"))))
                }
                None => Err((format!("connect to {place}:{port}"), Some(format!("network:{place}:{port}")))),
            },
        }
    }

    /// Puts one end of a pair in the place of the plugin's socket: the other one is answered here.
    fn become_resolver(
        &self,
        listener: &OwnedFd,
        call: &ToldCall,
        socket: &HeldSocket,
    ) -> Result<UnixStream, BrokerAnswer> {
        let in_words = |_: io::Error| BrokerAnswer::Error(libc::ENOBUFS);
        let (ours, theirs) = UnixStream::pair().map_err(in_words)?;
        ours.set_nonblocking(true).map_err(in_words)?;
        fcntl_setfl(&theirs, fcntl_getfl(socket)?)?;
        let number = u32::try_from(call.arguments[0]).unwrap_or(u32::MAX);
        sys::hand_over(listener, call, theirs.as_fd(), DescriptorPlace::InPlaceOf(number), true).map_err(in_words)?;
        Ok(ours)
    }

    /// Answers a resolver's questions until it has no more.
    async fn resolve(&self, asking: UnixStream, tell: TellRefusal) -> io::Result<()> {
        let mut asking = tokio::net::UnixStream::from_std(asking)?;
        loop {
            let length = match tokio::time::timeout(ASKING, asking.read_u16()).await {
                Ok(length) => usize::from(length?),
                Err(_) => return Ok(()),
            };
            if length > dns::LONGEST {
                return Ok(());
            }
            let mut message = vec![0; length];
            tokio::time::timeout(ASKING, asking.read_exact(&mut message)).await??;
            let Some(question) = dns::read(&message) else { return Ok(()) };
            let addresses;
            let answer = if self.rules.has_name(&question.name) {
                addresses = self.found.look_up(&question.name).await;
                if addresses.is_empty() { DnsAnswer::Nothing } else { DnsAnswer::Addresses(&addresses) }
            } else {
                let name = &question.name;
                tell((format!("look up {name}"), Some(format!("network:{name}"))));
                DnsAnswer::Refused
            };
            let answer = dns::write(&question, answer);
            let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
            framed.extend(answer);
            tokio::time::timeout(ASKING, asking.write_all(&framed)).await??;
        }
    }
}

/// An address as it stands in permissions.
fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Makes the socket that a call asks for, and answers it with that.
fn make_socket(listener: &OwnedFd, call: &ToldCall) -> io::Result<()> {
    let [family, kind, ..] = call.arguments;
    let family = AddressFamily::from_raw(u16::try_from(family).map_err(io::Error::other)?);
    let has = |flag: i32| kind & flag as u64 != 0;
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, has(libc::SOCK_NONBLOCK));
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sys::hand_over(listener, call, socket.as_fd(), DescriptorPlace::AsAnswer, has(libc::SOCK_CLOEXEC))
}

/// What is written there, if it is an address of a host.
fn address_of(copied: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*copied.first_chunk()?);
    let port = u16::from_be_bytes(*copied.get(2..)?.first_chunk()?);
    match i32::from(family) {
        libc::AF_INET => {
            let address: [u8; 4] = *copied.get(4..)?.first_chunk()?;
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port))
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = *copied.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*copied.get(24..)?.first_chunk()?);
            Some(std::net::SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into())
        }
        _ => None,
    }
}

/// Where this machine's resolvers are: what programs connect to that look names up.
fn resolvers() -> Vec<IpAddr> {
    let written = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let named = written.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let mut resolvers: Vec<IpAddr> = named.filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect();
    // What is asked where none is written down.
    resolvers.push(Ipv4Addr::LOCALHOST.into());
    resolvers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_programs_write_them() {
        let v4 = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(address_of(&v4), Some("127.0.0.1:8080".parse().unwrap()));
        let mut v6 = [0; ADDRESS];
        v6[..4].copy_from_slice(&[10, 0, 1, 187]);
        v6[23] = 1;
        assert_eq!(address_of(&v6), Some("[::1]:443".parse().unwrap()));
        for end in 0..8 {
            assert_eq!(address_of(&v4[..end]), None, "{end}");
        }
        assert_eq!(address_of(&v6[..27]), None);
        assert_eq!(address_of(b"\x01\0/run/socket"), None);
    }

    #[tokio::test]
    async fn a_resolver_is_told_what_may_be_looked_up() {
        let rules = NetworkRules::of(["network:localhost:80"], &[]);
        let broker = Broker::new(rules, Arc::default());
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        ours.set_nonblocking(true).unwrap();
        let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let tell: TellRefusal = Arc::new({
            let told = told.clone();
            move |refusal| told.lock().push(refusal)
        });
        let asking = async {
            let mut asking = tokio::net::UnixStream::from_std(theirs).unwrap();
            let mut codes = Vec::new();
            for name in ["localhost", "elsewhere"] {
                let mut question = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8];
                question.extend(name.bytes().chain([0, 0, 1, 0, 1]));
                asking.write_u16(question.len() as u16).await.unwrap();
                asking.write_all(&question).await.unwrap();
                let mut answer = vec![0; asking.read_u16().await.unwrap().into()];
                asking.read_exact(&mut answer).await.unwrap();
                codes.push((answer[3] & 15, answer.ends_with(&[127, 0, 0, 1])));
            }
            codes
        };
        let (_, codes) = tokio::join!(broker.resolve(ours, tell), asking);
        assert_eq!(codes, [(0, true), (5, false)]);
        let refusal = ("look up elsewhere".to_owned(), Some("network:elsewhere".to_owned()));
        assert_eq!(*told.lock(), [refusal]);
    }
}
