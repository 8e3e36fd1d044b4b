//! Groups of upstream servers, in the order of the configuration, those that just failed last.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// How long a server that failed is asked after the others.
const REST: Duration = Duration::from_secs(10);

/// Servers that answer for the same names. Clones share what is known of them.
#[derive(Debug, Clone)]
pub struct Group {
    servers: Arc<[Server]>,
    clock: ClockHandle,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Milliseconds since boot until which it is asked last; 0 while it is well.
    resting: AtomicU64,
    /// Whether the last try gave no answer.
    silent: AtomicBool,
    /// Set for good once a query sent to it came back to us.
    loops: AtomicBool,
}

/// How a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It answered last, or was not asked yet.
    Well,
    /// It gave no answer to the last try.
    Silent,
    /// What is sent to it comes back to us: it is never asked.
    Loops,
}

#[derive(Clone)]
struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Group {
    /// Returns the group of `addresses`, in the order in which they are to be asked.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>, clock: Arc<dyn Clock>) -> Self {
        let server = |address| Server {
            address,
            resting: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            loops: AtomicBool::new(false),
        };
        Self { servers: addresses.into_iter().map(server).collect(), clock: ClockHandle(clock) }
    }

    /// Returns the servers to ask, in order; those that lead back to us are left out.
    pub fn order(&self) -> Vec<SocketAddr> {
        let usable = || self.servers.iter().filter(|server| !server.loops.load(Ordering::Relaxed));
        if usable().all(|server| server.resting.load(Ordering::Relaxed) == 0) {
            // Nearly always: the clock need not be read.
            return usable().map(|server| server.address).collect();
        }
        let now = self.now();
        let rests = |server: &&Server| server.resting.load(Ordering::Relaxed) > now;
        let well = usable().filter(|server| !rests(server));
        well.chain(usable().filter(rests)).map(|server| server.address).collect()
    }

    /// Returns every server with how it is doing.
    pub fn servers(&self) -> impl Iterator<Item = (SocketAddr, Condition)> {
        let condition = |server: &Server| match (&server.loops, &server.silent) {
            (loops, _) if loops.load(Ordering::Relaxed) => Condition::Loops,
            (_, silent) if silent.load(Ordering::Relaxed) => Condition::Silent,
            _ => Condition::Well,
        };
        self.servers.iter().map(move |server| (server.address, condition(server)))
    }

    /// Notes that a server answered.
    pub fn succeeded(&self, address: SocketAddr) {
        if let Some(server) = self.find(address).filter(|server| server.silent.load(Ordering::Relaxed)) {
            server.resting.store(0, Ordering::Relaxed);
            server.silent.store(false, Ordering::Relaxed);
        }
    }

    /// Notes that a server gave no answer.
    pub(super) fn failed(&self, address: SocketAddr) {
        if let Some(server) = self.find(address) {
            server.resting.store(self.now() + REST.as_millis() as u64, Ordering::Relaxed);
            server.silent.store(true, Ordering::Relaxed);
        }
    }

    /// Leaves a server out for good, since what is sent to it comes back.
    pub fn leads_back(&self, address: SocketAddr) {
        if let Some(server) = self.find(address) {
            server.loops.store(true, Ordering::Relaxed);
        }
    }

    fn find(&self, address: SocketAddr) -> Option<&Server> {
        self.servers.iter().find(|server| server.address == address)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.0.read().boot.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reads the servers from the text of a `resolv.conf`, port 53 each; lines of other kinds are passed over.
pub fn servers_of(resolv_conf: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next()?;
        // A zone index such as %eth0 cannot be told portably; such a server is passed over.
        let address: IpAddr = words.next()?.parse().ok()?;
        (keyword == "nameserver").then_some(SocketAddr::new(address, 53))
    };
    resolv_conf.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_server_that_failed_is_asked_last_for_a_while() {
        let clock = Arc::new(ManualClock::new("2024-01-01T00:00:00Z".parse().unwrap()));
        let addresses: [SocketAddr; 2] = ["192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap()];
        let group = Group::new(addresses, clock.clone());
        assert_eq!(group.order(), addresses);
        group.failed(addresses[0]);
        assert_eq!(group.order(), [addresses[1], addresses[0]]);
        let conditions = |group: &Group| group.servers().map(|(_, condition)| condition).collect::<Vec<_>>();
        assert_eq!(conditions(&group), [Condition::Silent, Condition::Well]);
        clock.set("2024-01-01T00:00:11Z".parse().unwrap());
        assert_eq!(group.order(), addresses);
        group.succeeded(addresses[0]);
        assert_eq!(conditions(&group), [Condition::Well, Condition::Well]);
        group.leads_back(addresses[0]);
        assert_eq!((group.order(), conditions(&group)), (vec![addresses[1]], vec![Condition::Loops, Condition::Well]));
    }

    #[test]
    fn resolv_conf_is_read_like_the_stub_resolver_does() {
        let text = "# nameserver 192.0.2.9\nsearch corp.example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \nnameserver x\n";
        assert_eq!(servers_of(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }
}
