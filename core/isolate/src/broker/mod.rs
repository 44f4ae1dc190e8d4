//! Connections for plugins that have no network of their own: the server makes the socket, looks at where it is to lead, and connects it.
//!
//! A plugin's `socket` and `connect` wait in the kernel for this side's word. The socket is made here, in the server's network, and put
//! among the plugin's descriptors; to connect it, a duplicate of it is connected here, to an address that was copied before it was judged.
//! Bytes then flow as over any socket. Names are looked up here too: whoever connects to a resolver speaks with this side.
//!
//! `rules` are what was granted, `names` what names were found to lead to, `dns` the words of resolvers. What must not live here: how
//! refusals are told.

mod dns;
mod names;
mod rules;

pub(crate) use rules::{NetworkRules, parted};

use crate::{
    bounds::HeldProcess,
    sys::{self, DescriptorPlace, ToldCall},
};
use dns::DnsAnswer;
use names::FoundNames;
use rules::AddressVerdict;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    net::{AddressFamily, Shutdown, SocketFlags, SocketType, connect, shutdown, socket_with, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

/// The longest address that is looked at.
const ADDRESS: usize = 28;
/// Where resolvers answer.
const RESOLVER_PORT: u16 = 53;
/// A resolver's connection that asks nothing for so long is closed.
const ASKING: Duration = Duration::from_secs(30);
/// What connects without a wait takes so long at most, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(5);
/// So many are at that at once, for one plugin: each has a thread.
const PLACES: usize = 8;
/// Longer than the kernel tries to connect, unless it was told otherwise.
const CONNECTING: Duration = Duration::from_secs(130);

/// What was refused, in words, and the permission that would allow it, if one does.
pub(crate) type RefusedAct = (String, Option<String>);

/// Tells of what was refused.
pub(crate) type TellRefusal = Arc<dyn Fn(RefusedAct) + Send + Sync>;

/// The one that connects for a plugin's process.
pub(crate) struct Broker {
    rules: NetworkRules,
    found: FoundNames,
    held: Arc<OnceLock<HeldProcess>>,
    places: Arc<Semaphore>,
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
        Broker { rules, found: FoundNames::default(), held, places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Whether a call is one for this.
    pub(crate) fn takes(&self, call: &ToldCall) -> bool {
        let [family, kind, protocol, ..] = call.arguments;
        let by_tcp = kind & 0xf == libc::SOCK_STREAM as u64 && [0, libc::IPPROTO_TCP as u64].contains(&protocol);
        call.number == libc::SYS_connect || call.number == libc::SYS_socket && is_of_internet(family) && by_tcp
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
        self.connect_to(socket, address).await?;
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

    /// Connects as the plugin's own call would: at once, or after a wait that holds up nobody else.
    async fn connect_to(&self, socket: HeldSocket, address: SocketAddr) -> Result<(), BrokerAnswer> {
        let socket = Arc::new(socket);
        let outcome = self.connect_held(&socket, address).await;
        // Before the plugin goes on: its own close is the last one then, and the other side hears of it at once.
        if let Some(socket) = Arc::into_inner(socket) {
            socket.close().await;
        }
        outcome
    }

    async fn connect_held(&self, socket: &Arc<HeldSocket>, address: SocketAddr) -> Result<(), BrokerAnswer> {
        if fcntl_getfl(socket)?.contains(OFlags::NONBLOCK) {
            return self.begin(socket.clone(), address, AT_ONCE).await;
        }
        fcntl_setfl(socket, fcntl_getfl(socket)? | OFlags::NONBLOCK)?;
        let outcome = match self.begin(socket.clone(), address, AT_ONCE).await {
            Err(BrokerAnswer::Error(libc::EINPROGRESS)) => connected(socket).await,
            begun => begun,
        };
        // Nothing else of what was set meanwhile is set back.
        fcntl_setfl(socket, fcntl_getfl(socket)? - OFlags::NONBLOCK)?;
        outcome
    }

    /// Connects without a wait: on another thread, for the plugin may have it wait after all, by what it sets meanwhile. Then it is
    /// refused.
    async fn begin(&self, socket: Arc<HeldSocket>, address: SocketAddr, within: Duration) -> Result<(), BrokerAnswer> {
        let Ok(place) = self.places.clone().acquire_owned().await else { return Err(REFUSED) };
        let connecting = tokio::task::spawn_blocking({
            let socket = socket.clone();
            move || {
                let _place = place;
                connect(&socket, &address)
            }
        });
        match tokio::time::timeout(within, connecting).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(REFUSED),
            Err(_) => {
                // Wakes the one that waits.
                let _ = shutdown(&socket, Shutdown::Both);
                Err(REFUSED)
            }
        }
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

fn is_of_internet(family: u64) -> bool {
    [libc::AF_INET as u64, libc::AF_INET6 as u64].contains(&family)
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

/// Waits until it is, or cannot be.
async fn connected(socket: &HeldSocket) -> Result<(), BrokerAnswer> {
    let watched = socket.as_fd().try_clone_to_owned().and_then(sys::watched);
    let watched = watched.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOBUFS))?;
    if tokio::time::timeout(CONNECTING, watched.writable()).await.is_err() {
        let _ = shutdown(socket, Shutdown::Both);
        return Err(Errno::TIMEDOUT.into());
    }
    Ok(sockopt::socket_error(socket)??)
}

/// A duplicate of a plugin's socket, or of whatever it is. Where it is the last one, its close can wait for as long as the plugin
/// likes: so that is done on a thread that may wait.
struct HeldSocket(Option<OwnedFd>);

impl HeldSocket {
    fn new(socket: OwnedFd) -> Self {
        HeldSocket(Some(socket))
    }

    async fn close(mut self) {
        let socket = self.0.take();
        let _ = tokio::task::spawn_blocking(move || drop(socket)).await;
    }
}

impl AsFd for HeldSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Some(socket) => socket.as_fd(),
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        if let (Some(socket), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(socket));
        }
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

    fn socket(flags: SocketFlags) -> HeldSocket {
        HeldSocket::new(
            socket_with(AddressFamily::INET, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None).unwrap(),
        )
    }

    #[tokio::test]
    async fn it_is_connected_as_the_plugin_would_and_waits_for_no_longer_than_it_may() {
        let broker = Broker::new(NetworkRules::of([], &[]), Arc::default());
        let listener = socket(SocketFlags::empty());
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address: SocketAddr = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();

        let first = socket(SocketFlags::empty());
        let plugins = first.as_fd().try_clone_to_owned().unwrap();
        assert!(broker.connect_to(first, address).await.is_ok());
        assert!(
            rustix::net::getpeername(&plugins).is_ok() && !fcntl_getfl(&plugins).unwrap().contains(OFlags::NONBLOCK)
        );

        // Whoever comes now is not answered: nobody accepts, and one is waiting already.
        let mut others = Vec::new();
        for _ in 0..3 {
            let other = socket(SocketFlags::NONBLOCK);
            others.push(other.as_fd().try_clone_to_owned().unwrap());
            let _ = broker.connect_to(other, address).await;
        }
        let begun = broker.connect_to(socket(SocketFlags::NONBLOCK), address).await;
        assert!(matches!(begun, Err(BrokerAnswer::Error(libc::EINPROGRESS))));

        // One that was made to wait after all.
        let waits = Arc::new(socket(SocketFlags::empty()));
        let begun = broker.begin(waits, address, Duration::from_millis(100)).await;
        assert!(matches!(begun, Err(BrokerAnswer::Error(libc::EPERM))));
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
