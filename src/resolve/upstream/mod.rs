//! Groups of upstream servers, and in which order those of a group are asked.

mod endpoint;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Routes;
use super::channel::{Channel, Trust};
use super::exchange::Failure;
use super::validation::Validation;
use crate::query::Query;
pub use endpoint::{Endpoint, Protocol, Secure};
pub use server::{Condition, Server, Tried};

/// The most servers that a group may have.
pub const MAX_SERVERS: usize = 16;

/// Of how many questions of a group that asks the fastest server one asks another first, to see whether that is faster now.
const PROBE_EVERY: usize = 32;

/// In which order servers are asked. Those that gave no answer last are asked after the others in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// In that of the configuration.
    #[default]
    Order,
    /// By their round-trip times, the fastest first.
    Fastest,
    /// The two fastest at once; the first good answer counts.
    Race,
    /// Each first in its turn.
    RoundRobin,
}

/// Servers that answer for the same names. Clones share what is known of them.
#[derive(Debug, Clone)]
pub struct Group {
    servers: Arc<[Arc<Server>]>,
    strategy: Strategy,
    /// How many questions there were.
    turn: Arc<AtomicUsize>,
    secure: u16,
    validation: Option<Arc<Validation>>,
    distrusts: bool,
}

/// Servers in the order in which they are to be asked, by their places in their group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Picks {
    places: [u8; MAX_SERVERS],
    count: u8,
    /// Places of servers that are spoken to encrypted, a bit each.
    secure: u16,
}

impl Picks {
    /// Returns the place of the `at`th server, from the start again behind the last.
    pub fn turn(&self, at: usize) -> Option<usize> {
        let places = self.as_slice();
        places.get(at.checked_rem(places.len())?).map(|place| usize::from(*place))
    }

    /// Returns whether the server at a place is spoken to encrypted.
    pub const fn is_secure(&self, place: usize) -> bool {
        self.secure >> place & 1 == 1
    }

    /// Returns whether there is nobody to ask.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many there are to ask.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns the second, and the others with the second behind them, where two are to be asked at once and there are two.
    pub fn race(mut self, at_once: bool) -> (Self, Option<usize>) {
        if !at_once || self.count < 2 {
            return (self, None);
        }
        let second = self.places[1].into();
        self.as_mut_slice()[1..].rotate_left(1);
        (self, Some(second))
    }

    /// Returns the same from the second on, with the first at the end.
    #[must_use]
    pub fn behind_first(mut self) -> Self {
        let by = self.len().min(1);
        self.as_mut_slice().rotate_left(by);
        self
    }

    fn push(&mut self, place: usize) {
        if let (Ok(place), Some(room)) = (u8::try_from(place), self.places.get_mut(usize::from(self.count))) {
            *room = place;
            self.count += 1;
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.places[..usize::from(self.count)]
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.places[..usize::from(self.count)]
    }
}

impl FromIterator<usize> for Picks {
    /// Takes [`MAX_SERVERS`] places at most.
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        let mut picks = Self::default();
        places.into_iter().for_each(|place| picks.push(place));
        picks
    }
}

impl Group {
    /// Returns the group of `servers`, the first [`MAX_SERVERS`] of them.
    pub fn new(servers: impl IntoIterator<Item = Arc<Server>>, strategy: Strategy) -> Self {
        let servers: Arc<[Arc<Server>]> = servers.into_iter().take(MAX_SERVERS).collect();
        let bits = servers.iter().enumerate().map(|(place, server)| u16::from(server.channel().is_some()) << place);
        let secure = bits.sum();
        Self { servers, strategy, turn: Arc::default(), secure, validation: None, distrusts: false }
    }

    /// Has answers validated (RFC 4035).
    #[must_use]
    pub fn validated(self, by: Option<Validation>) -> Self {
        Self { distrusts: by.is_some(), validation: by.map(Arc::new), ..self }
    }

    /// Has the servers not believed where they say that they have validated an answer.
    #[must_use]
    pub fn distrusted(self, is_so: bool) -> Self {
        Self { distrusts: is_so, ..self }
    }

    /// Returns whether the servers are not believed that they have validated an answer, which may be one that nobody validates.
    pub const fn distrusts(&self) -> bool {
        self.distrusts
    }

    /// Returns how the answer to a query is validated, if it is.
    pub fn validation(&self, query: &Query) -> Option<&Validation> {
        self.validation.as_deref().filter(|validation| validation.covers(query))
    }

    /// Returns the servers to ask, in order; those that lead back to us are left out.
    pub fn order(&self, now: Instant) -> Picks {
        let (mut picks, mut silent) = (Picks { secure: self.secure, ..Picks::default() }, Picks::default());
        for (place, server) in self.servers.iter().enumerate() {
            match server.condition() {
                Condition::Well => picks.push(place),
                Condition::Silent => silent.push(place),
                Condition::Loops => {}
            }
        }
        let turn = || self.turn.fetch_add(1, Ordering::Relaxed);
        match self.strategy {
            _ if picks.len() < 2 => {}
            Strategy::Order => {}
            Strategy::RoundRobin => {
                let by = turn() % picks.len();
                picks.as_mut_slice().rotate_left(by);
            }
            Strategy::Fastest | Strategy::Race => {
                let servers = &self.servers;
                picks.as_mut_slice().sort_by_key(|place| servers[usize::from(*place)].weight(now));
                if turn() % PROBE_EVERY == PROBE_EVERY - 1 {
                    self.longest_unknown_first(&mut picks);
                }
            }
        }
        // One of them has to be asked only where nobody else answers; the longer it was silent, the likelier it is back.
        silent.as_mut_slice().sort_by_key(|place| self.servers[usize::from(*place)].times().1);
        silent.as_slice().iter().for_each(|place| picks.push(usize::from(*place)));
        picks
    }

    /// Puts the server in front whose round-trip time was measured the longest ago.
    fn longest_unknown_first(&self, picks: &mut Picks) {
        let measured = |place: u8| self.servers[usize::from(place)].times().0;
        let oldest = picks.as_slice().iter().enumerate().min_by_key(|(_, place)| measured(**place));
        if let Some((at, _)) = oldest {
            picks.as_mut_slice()[..=at].rotate_right(1);
        }
    }

    /// Returns whether the first two servers are asked at once.
    pub const fn races(&self) -> bool {
        matches!(self.strategy, Strategy::Race)
    }

    /// Returns whether any server is spoken to encrypted.
    pub const fn is_secure(&self) -> bool {
        self.secure != 0
    }

    /// Returns this server alone.
    pub fn only(&self, place: usize) -> Picks {
        Picks { secure: self.secure, ..Picks::from_iter([place]) }
    }

    /// Returns every server.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Returns where the plain server at a place is.
    pub(super) fn address(&self, place: usize) -> io::Result<SocketAddr> {
        self.servers[place].endpoint().plain().ok_or_else(|| io::Error::other("it is spoken to encrypted alone"))
    }

    /// Returns the way to the server at a place, where it is spoken to encrypted.
    pub(super) fn channel(&self, place: usize) -> Option<&Arc<Channel>> {
        self.servers[place].channel()
    }

    /// Notes that a server answered after this time, well or not.
    pub(super) fn answered(&self, place: usize, tried: Tried, after: Duration, now: Instant) {
        self.servers[place].answered(tried, after, now);
    }

    /// Notes that a server gave no answer to what left at `begun`, in a try that could have taken `timeout` at most.
    pub(super) fn failed(
        &self,
        (place, failure): (usize, Failure),
        (begun, timeout): (Instant, Duration),
        now: Instant,
    ) {
        let tried = match failure {
            Failure::TimedOut => Tried::TimedOut,
            Failure::Unreachable | Failure::Refused | Failure::Bogus => Tried::Unreachable,
        };
        self.servers[place].failed(tried, (begun, timeout), now);
    }

    /// Returns how long a server is given for an answer to a datagram.
    pub(super) fn patience(&self, place: usize) -> Duration {
        self.servers[place].patience()
    }
}

/// The servers of all groups, so that whoever is in several is known once, and stays known across a change of settings.
#[derive(Debug, Clone, Default)]
pub struct Servers(Vec<Arc<Server>>);

impl Servers {
    /// Returns the servers that are asked now. What is sent to one may have come back for reasons that are mended with the
    /// settings: nothing is known of that one any more.
    pub fn of(routes: &Routes) -> Self {
        let servers = routes.servers().into_iter();
        Self(servers.filter(|server| server.condition() != Condition::Loops).collect())
    }

    /// Returns a group of plain servers of which nothing is known, each asked in this order.
    pub fn plain(addresses: &[SocketAddr], now: Instant) -> Group {
        let server = |address: &SocketAddr| Arc::new(Server::at(*address, now));
        Group::new(addresses.iter().map(server), Strategy::Order)
    }

    /// Returns the group of the servers at these places.
    pub fn group(&mut self, endpoints: &[Endpoint], strategy: Strategy, (trust, now): (&Trust, Instant)) -> Group {
        let server = |endpoint: &Endpoint| match self.0.iter().find(|server| server.is(endpoint, trust)) {
            Some(known) => Arc::clone(known),
            None => {
                let server = Arc::new(Server::new(endpoint.clone(), trust, now));
                self.0.push(Arc::clone(&server));
                server
            }
        };
        Group::new(endpoints.iter().map(server), strategy)
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
    use crate::clock::monotonic;

    fn group(strategy: Strategy, count: u8, now: Instant) -> Group {
        let server = |last| Arc::new(Server::at(SocketAddr::from(([192, 0, 2, last], 53)), now));
        Group::new((0..count).map(server), strategy)
    }

    fn order(group: &Group, now: Instant) -> Vec<u8> {
        group.order(now).as_slice().to_vec()
    }

    #[test]
    fn a_server_that_gave_no_answer_is_asked_last_under_every_strategy() {
        let now = monotonic();
        for strategy in [Strategy::Order, Strategy::Fastest, Strategy::Race, Strategy::RoundRobin] {
            let group = group(strategy, 3, now);
            let failed = |place, failure, after| {
                let whole = Duration::from_millis(after);
                group.failed((place, failure), (now, whole), now + whole);
            };
            failed(0, Failure::TimedOut, 1);
            for _ in 0..100 {
                assert_eq!(order(&group, now)[2], 0, "{strategy:?}");
            }
            failed(1, Failure::Unreachable, 5);
            assert_eq!(order(&group, now), [2, 0, 1], "{strategy:?}");
            group.servers()[0].checked(true, now, now);
            group.servers()[2].leads_back();
            assert_eq!(order(&group, now), [0, 1], "{strategy:?}");
            group.answered(1, Tried::Refused, Duration::from_millis(1), now);
            assert_eq!(group.servers()[1].condition(), Condition::Well);
        }
    }

    #[test]
    fn each_server_has_its_turn() {
        let now = monotonic();
        let in_turn = group(Strategy::RoundRobin, 3, now);
        assert_eq!((0..4).map(|_| order(&in_turn, now)[0]).collect::<Vec<_>>(), [0, 1, 2, 0]);
        let strict = group(Strategy::Order, 3, now);
        assert!((0..4).all(|_| order(&strict, now) == [0, 1, 2]));
        let (rest, second) = strict.order(now).race(true);
        assert_eq!((rest.as_slice(), second), (&[0, 2, 1][..], Some(1)));
        assert_eq!(strict.order(now).race(false), (strict.order(now), None));
        assert_eq!(Picks::default().turn(0), None);
    }

    #[test]
    fn the_fastest_server_is_asked_first_and_the_others_now_and_then() {
        let start = monotonic();
        let group = group(Strategy::Fastest, 3, start);
        for (place, millis) in [(0, 200), (1, 20), (2, 60)] {
            assert_eq!(order(&group, start)[0], place, "one that was never measured is asked");
            group.answered(place.into(), Tried::Answered, Duration::from_millis(millis), start);
        }
        group.answered(0, Tried::Answered, Duration::from_millis(200), start + Duration::from_millis(1));
        group.answered(1, Tried::Answered, Duration::from_millis(20), start + Duration::from_millis(1));
        let firsts: Vec<u8> = (0..PROBE_EVERY).map(|_| order(&group, start)[0]).collect();
        assert_eq!(firsts.iter().filter(|first| **first == 2).count(), 1, "the one measured first is measured again");
        assert_eq!(firsts.iter().filter(|first| **first == 1).count(), PROBE_EVERY - 1);
        // One that is measured again and again stays what it is; the others seem faster by and by.
        let later = start + Duration::from_secs(301);
        group.answered(1, Tried::Answered, Duration::from_millis(20), later);
        assert_eq!(order(&group, later)[0], 2);
    }

    #[test]
    fn resolv_conf_is_read_like_the_stub_resolver_does() {
        let text = "# nameserver 192.0.2.9\nsearch corp.example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \nnameserver x\n";
        assert_eq!(servers_of(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }
}
