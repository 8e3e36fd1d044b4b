//! How many queries a client may ask in a time: a bucket of tokens for each network of clients, in a table that never grows.
//! Pure but for the counting: the time is an argument.
//!
//! One mechanism holds back both a client that asks too much and a flood of forged sources, whose answers would hit a
//! victim: the victim is a network like any other, and gets no more than its bucket holds. Response rate limiting as name servers
//! have it counts answers by name too, since it must not hold up resolvers, who ask for many; here everybody is a
//! client, and who asks for another name each time is no better off.
//!
//! A bucket is one number: the instant at which it will be full again (the generic cell rate algorithm). So one that is full
//! holds nothing that could be lost, and its place is free. Where all places of a set are in use, the fullest bucket gives
//! its own up, and its client starts with a full one: the error is in the client's favour, and whoever is at the limit
//! stays there longest. Each query holds a place for as long as its token takes to come back, however sources are made
//! up: to fill the table, a flood has to bring [`PLACES`] times `queries_per_second` queries a second.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;

use crate::query::Transport;

/// How many buckets there are at a time.
pub const PLACES: usize = SETS * WAYS;
const SETS: usize = 1 << 14;
/// Places of a set: as many as one cache line has.
const WAYS: usize = 8;
/// How often a bucket is tried that other workers change at the same time. Each time, one of them got through.
const TRIES: usize = 8;

/// How much a client may ask, and who counts as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// How many queries a second a client may ask for long, up to a million; `None` for as many as it wants.
    pub queries_per_second: Option<NonZeroU32>,
    /// How many it may ask at once after a pause, at least one.
    pub burst: u32,
    /// The length of the prefix that makes one client, up to 32 bits.
    pub ipv4_prefix: u8,
    /// The length of the prefix that makes one client, up to 64 bits.
    pub ipv6_prefix: u8,
    /// Networks that may ask as much as they want.
    pub exempt: Vec<IpNet>,
    /// Of how many queries over the limit one is answered with TC, so that who really asks comes back over TCP; 0 for none.
    pub slip: u32,
}

/// Whether a query is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    Within,
    /// Too much: the client has its next token after this time.
    Over(Duration),
}

/// Counts the queries of all clients, for all workers.
#[derive(Debug)]
pub struct Limiter {
    /// Microseconds that a token takes to come back; 0 where nothing is limited.
    interval: u64,
    /// Microseconds that an empty bucket takes to be full again.
    whole: u64,
    masks: (u32, u64),
    exempt: Networks,
    /// Keys of their own for each kind of network and each transport, so that one number is hashed and nothing else.
    hashes: [RandomState; 4],
    sets: Box<[Set]>,
}

/// Buckets that stand in for each other. Each is a tag of 16 bits, and 48 bits for the microsecond at which it is full again.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

const TIME_BITS: u32 = 48;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// One network of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    V4(u32),
    V6(u64),
    /// An address for itself, of an exempt network.
    Alone(IpAddr),
}

impl Limiter {
    /// Returns full buckets for everybody.
    pub fn new(rate: &Rate) -> Self {
        let interval = rate.queries_per_second.map_or(0, |rate| (1_000_000 / u64::from(rate.get())).max(1));
        let sets = if interval == 0 { 0 } else { SETS };
        Self {
            interval,
            whole: interval * u64::from(rate.burst.max(1)),
            masks: (
                u32::MAX.checked_shl(32 - u32::from(rate.ipv4_prefix.min(32))).unwrap_or_default(),
                u64::MAX.checked_shl(64 - u32::from(rate.ipv6_prefix.min(64))).unwrap_or_default(),
            ),
            exempt: Networks::new(&rate.exempt),
            hashes: std::array::from_fn(|_| RandomState::new()),
            sets: (0..sets).map(|_| Set::default()).collect(),
        }
    }

    /// Returns whom an address counts as.
    pub fn prefix(&self, address: IpAddr) -> Prefix {
        match address.to_canonical() {
            address if self.exempt.contains(address) => Prefix::Alone(address),
            IpAddr::V4(v4) => Prefix::V4(v4.to_bits() & self.masks.0),
            IpAddr::V6(v6) => Prefix::V6((v6.to_bits() >> 64) as u64 & self.masks.1),
        }
    }

    /// Takes a token for a query that came at `now`, in time since any instant before the first call. UDP and TCP have
    /// tokens of their own: forged datagrams take none from who really asks over TCP.
    pub fn take(&self, address: IpAddr, transport: Transport, now: Duration) -> Allowance {
        if self.interval == 0 {
            return Allowance::Within;
        }
        let (kind, network) = match self.prefix(address) {
            Prefix::Alone(_) => return Allowance::Within,
            Prefix::V4(network) => (0, network.into()),
            Prefix::V6(network) => (1, network),
        };
        let transport = match transport {
            Transport::Udp => 0,
            Transport::Tcp => 2,
        };
        // Two that share a set and a tag, one pair in 2^30, share a bucket; nobody outside can tell which do.
        let hash = self.hashes[kind | transport].hash_one::<u64>(network);
        let Set(places) = &self.sets[hash as usize % SETS];
        let now = u64::try_from(now.as_micros()).unwrap_or(TIME) & TIME;
        for _ in 0..TRIES {
            let (place, before) = find(places, hash & !TIME);
            let full_at = if (before ^ hash) >> TIME_BITS == 0 { (before & TIME).max(now) } else { now };
            let after = full_at + self.interval;
            if after - now > self.whole {
                return Allowance::Over(Duration::from_micros(after - now - self.whole));
            }
            let bucket = hash & !TIME | after & TIME;
            if place.compare_exchange_weak(before, bucket, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        Allowance::Within
    }
}

/// Returns the bucket with this tag, or the one that is to give up its place, as it is now.
fn find(places: &[AtomicU64; WAYS], tag: u64) -> (&AtomicU64, u64) {
    let mut fullest = (&places[0], u64::MAX);
    for place in places {
        let bucket = place.load(Ordering::Relaxed);
        if bucket & !TIME == tag {
            return (place, bucket);
        }
        if bucket & TIME < fullest.1 & TIME {
            fullest = (place, bucket);
        }
    }
    fullest
}

/// Of the queries over the limit, says which are answered with TC.
#[derive(Debug)]
pub struct Slip {
    every: u32,
    count: u32,
}

impl Slip {
    /// Returns one that says so of every `every`-th query; of none for 0.
    pub const fn new(every: u32) -> Self {
        Self { every, count: 0 }
    }

    /// Counts a query over the limit, and returns whether it is answered.
    pub const fn answers(&mut self) -> bool {
        self.count += 1;
        let answers = self.count == self.every;
        if self.count >= self.every {
            self.count = 0;
        }
        answers
    }
}

/// A set of networks, laid out so that asking takes a few instructions a network.
#[derive(Debug)]
pub struct Networks {
    /// Address and mask.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// Returns the set of these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        let v4 = networks.iter().filter_map(|network| match network {
            IpNet::V4(v4) => Some((v4.network().to_bits(), v4.netmask().to_bits())),
            IpNet::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|network| match network {
            IpNet::V4(_) => None,
            IpNet::V6(v6) => Some((v6.network().to_bits(), v6.netmask().to_bits())),
        });
        Self { v4: v4.collect(), v6: v6.collect() }
    }

    /// Returns whether an address is in one of them; one that is mapped into IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.iter().any(|(network, mask)| v4.to_bits() & mask == *network),
            IpAddr::V6(v6) => self.v6.iter().any(|(network, mask)| v6.to_bits() & mask == *network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(queries_per_second: u32, burst: u32) -> Rate {
        Rate {
            queries_per_second: NonZeroU32::new(queries_per_second),
            burst,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            exempt: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            slip: 2,
        }
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn granted(limiter: &Limiter, address: &str, queries: u32, now: Duration) -> u32 {
        let address = address.parse().unwrap();
        (0..queries).map(|_| u32::from(limiter.take(address, Transport::Udp, now) == Allowance::Within)).sum()
    }

    #[test]
    fn a_client_gets_its_burst_at_once_and_its_rate_from_then_on() {
        let limiter = Limiter::new(&rate(100, 20));
        assert_eq!(granted(&limiter, "192.0.2.7", 1000, millis(5)), 20);
        let over = limiter.take("192.0.2.7".parse().unwrap(), Transport::Udp, millis(5));
        assert_eq!(over, Allowance::Over(millis(10)));
        // 100 queries a millisecond for two seconds, of which those pass for which a token came back.
        let passed: u32 = (6..2006).map(|now| granted(&limiter, "192.0.2.7", 100, millis(now))).sum();
        assert_eq!(passed, 200);
        assert_eq!(granted(&limiter, "192.0.2.7", 1000, millis(60_000)), 20, "after a pause the bucket is full");
        // A clock that stands still, or one of another worker that is a little behind, gives nothing away.
        assert_eq!(granted(&limiter, "192.0.2.7", 1000, millis(59_999)), 0);
    }

    #[test]
    fn a_network_is_one_client_and_others_are_others() {
        let limiter = Limiter::new(&rate(10, 5));
        for (first, same, other) in [
            ("192.0.2.1", "192.0.2.200", "192.0.3.1"),
            ("::ffff:198.51.100.1", "198.51.100.2", "198.51.101.2"),
            ("2001:db8:0:100::1", "2001:db8:0:1ff:ffff::", "2001:db8:0:200::1"),
        ] {
            assert_eq!(granted(&limiter, first, 9, Duration::ZERO), 5, "{first}");
            assert_eq!(granted(&limiter, same, 9, Duration::ZERO), 0, "{same} counts as {first}");
            assert_eq!(granted(&limiter, other, 9, Duration::ZERO), 5, "{other}");
        }
        // What comes over TCP was not forged.
        assert_eq!(limiter.take("192.0.2.1".parse().unwrap(), Transport::Tcp, Duration::ZERO), Allowance::Within);
    }

    #[test]
    fn exempt_networks_and_no_limit_let_everything_pass() {
        let limiter = Limiter::new(&rate(1, 1));
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"] {
            assert_eq!(granted(&limiter, address, 1000, Duration::ZERO), 1000, "{address}");
        }
        assert_ne!(limiter.prefix("10.0.0.1".parse().unwrap()), limiter.prefix("10.0.0.2".parse().unwrap()));
        assert_eq!(granted(&Limiter::new(&rate(0, 1)), "192.0.2.7", 1000, Duration::ZERO), 1000);
    }

    /// A million made-up sources, more than there are places, and faster than tokens come back.
    #[test]
    fn made_up_sources_neither_lift_a_limit_nor_refuse_a_steady_client() {
        let limiter = Limiter::new(&rate(100, 20));
        let (steady, greedy) = ("203.0.113.9", "198.51.100.1");
        granted(&limiter, greedy, 100, Duration::ZERO);
        let (mut refused, mut greed) = (0, 0);
        for round in 0..1000_u32 {
            let now = Duration::from_millis(round.into());
            for source in 0..1000 {
                let forged = IpAddr::from((0x2000_0000 + ((round * 1000 + source) << 8)).to_be_bytes());
                assert_eq!(limiter.take(forged, Transport::Udp, now), Allowance::Within, "each asks once");
            }
            greed += granted(&limiter, greedy, 10, now);
            // 50 queries a second, half of what it may.
            refused += 1 - if round % 20 == 0 { granted(&limiter, steady, 1, now) } else { 1 };
        }
        assert_eq!(refused, 0);
        assert!(greed <= 100, "{greed} queries in one second");
        assert_eq!(size_of_val(&*limiter.sets), PLACES * 8, "it does not grow");
    }

    #[test]
    fn where_every_place_is_in_use_the_emptiest_buckets_stay() {
        let limiter = Limiter::new(&rate(1, 1000));
        let greedy: Vec<_> = (0..100).map(|number| format!("198.51.{number}.1")).collect();
        for address in &greedy {
            assert_eq!(granted(&limiter, address, 2000, Duration::ZERO), 1000);
        }
        // Each holds its place for a second, and there are twice as many as places.
        for source in 0..2 * PLACES as u32 {
            let forged = IpAddr::from((0x2000_0000 + (source << 8)).to_be_bytes());
            limiter.take(forged, Transport::Udp, Duration::ZERO);
        }
        for address in &greedy {
            assert_eq!(granted(&limiter, address, 10, Duration::ZERO), 0, "{address}");
        }
    }

    #[test]
    fn workers_share_one_bucket() {
        let limiter = Limiter::new(&rate(1, 1000));
        let ask = || granted(&limiter, "192.0.2.7", 2000, Duration::ZERO);
        let passed = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
        });
        // A worker that lost the race too often lets its query pass.
        assert!((1000..1020).contains(&passed), "{passed}");
    }

    #[test]
    fn one_of_so_many_slips() {
        for (every, answered) in [(0, 0), (1, 60), (2, 30), (3, 20)] {
            let mut slip = Slip::new(every);
            assert_eq!((0..60).filter(|_| slip.answers()).count(), answered, "every {every}");
        }
    }
}
