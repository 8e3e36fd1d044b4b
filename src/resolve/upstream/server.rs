//! One upstream server: how it has been doing, however many groups it is in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use crate::resolve::channel::{Channel, Trust};

/// How long it takes until a measured round-trip time counts for half. A slow server seems faster and faster while it is not
/// asked, so that it is asked again at some time.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// The least time that a server is given for an answer, however quick it was so far: a processor may be busy for as long.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);
/// The time that a server is given of which no round-trip time is known.
const FIRST_PATIENCE: Duration = Duration::from_millis(400);
/// How long a server may answer nothing before it counts as silent. Less, and a question that takes it long would do.
const SILENCE: Duration = Duration::from_secs(1);

/// A server with what is known of it. All of it is only ever a hint, so that no two numbers need to fit together.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    /// The way to it, where it is spoken to encrypted.
    channel: Option<Arc<Channel>>,
    /// Whether the last try gave no answer.
    silent: AtomicBool,
    /// Set for good once a query sent to it came back to us.
    loops: AtomicBool,
    /// The smoothed round-trip time in microseconds; 0 while none was measured.
    rtt: AtomicU32,
    /// How much it varies, in microseconds.
    variation: AtomicU32,
    /// When the first query left that it has not answered, with no answer to another since: in milliseconds since `born`, and
    /// one more; 0 for none.
    unanswered: AtomicU64,
    /// Whether it ever answered anything, our own checks included.
    heard: AtomicBool,
    /// When it was measured last, in milliseconds since `born`.
    measured: AtomicU64,
    /// When it was last checked without a query of a client, in milliseconds since `born`.
    checked: AtomicU64,
    /// When it fell silent last, in milliseconds since `born`.
    fell_silent: AtomicU64,
    born: Instant,
    tally: [AtomicU64; 4],
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// An answer that can be used.
    Answered,
    /// An answer that it cannot or will not, such as SERVFAIL.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way to it, or no connection.
    Unreachable,
}

impl Tried {
    /// Everything that can come of a try, in the order of [`Server::tally`].
    pub const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::TimedOut, Self::Unreachable];

    /// Returns the word that metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::TimedOut => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
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

impl Server {
    /// Returns a server of which nothing is known yet, at `now`.
    pub fn new(endpoint: Endpoint, trust: &Trust, now: Instant) -> Self {
        let channel = match &endpoint {
            Endpoint::Plain(_) => None,
            Endpoint::Secure(secure) => Some(Arc::new(Channel::new(secure.clone(), trust.clone()))),
        };
        Self::by(endpoint, channel, now)
    }

    /// Returns the plain server at an address.
    pub fn at(address: SocketAddr, now: Instant) -> Self {
        Self::by(Endpoint::Plain(address), None, now)
    }

    fn by(endpoint: Endpoint, channel: Option<Arc<Channel>>, now: Instant) -> Self {
        Self {
            endpoint,
            channel,
            silent: AtomicBool::new(false),
            loops: AtomicBool::new(false),
            rtt: AtomicU32::new(0),
            variation: AtomicU32::new(0),
            unanswered: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            measured: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            fell_silent: AtomicU64::new(0),
            born: now,
            tally: Default::default(),
        }
    }

    /// Returns the same server with nothing known of it but whether it is silent, for tries that are not to count.
    #[must_use]
    pub fn apart(&self, now: Instant) -> Self {
        let apart = Self::by(self.endpoint.clone(), self.channel.clone(), now);
        apart.silent.store(self.silent.load(Ordering::Relaxed), Ordering::Relaxed);
        apart
    }

    /// Returns where it is.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the way to it, where it is spoken to encrypted.
    pub(in crate::resolve) fn channel(&self) -> Option<&Arc<Channel>> {
        self.channel.as_ref()
    }

    /// Returns the name that its certificate has to be for, with when the one that it has shown last runs out, in seconds
    /// since 1970; `None` where it has shown none.
    pub fn certificate(&self) -> Option<(&str, i64)> {
        let Endpoint::Secure(secure) = &self.endpoint else { return None };
        let expiry = (self.channel.as_ref()?.trust().expiry)(&secure.name)?;
        Some((&secure.name, expiry))
    }

    /// Returns whether it is the server of this endpoint, as it is believed now.
    pub(super) fn is(&self, endpoint: &Endpoint, trust: &Trust) -> bool {
        self.endpoint == *endpoint && self.channel.as_ref().is_none_or(|channel| channel.trust().is_as(trust))
    }

    /// Returns how it is doing.
    pub fn condition(&self) -> Condition {
        match (self.loops.load(Ordering::Relaxed), self.silent.load(Ordering::Relaxed)) {
            (true, _) => Condition::Loops,
            (false, true) => Condition::Silent,
            (false, false) => Condition::Well,
        }
    }

    /// Notes that it answered after this time, well or not.
    pub(super) fn answered(&self, tried: Tried, after: Duration, now: Instant) {
        self.count(tried);
        self.revive();
        // The smoothing of TCP (RFC 6298, section 2) and of the name servers that measure.
        let sample = u32::try_from(after.as_micros()).unwrap_or(u32::MAX).max(1);
        let (before, varied) = (self.rtt.load(Ordering::Relaxed), self.variation.load(Ordering::Relaxed));
        let (smoothed, variation) = match before {
            0 => (sample, sample / 2),
            _ => (before - before / 8 + sample / 8, varied - varied / 4 + before.abs_diff(sample) / 4),
        };
        self.rtt.store(smoothed.max(1), Ordering::Relaxed);
        self.variation.store(variation, Ordering::Relaxed);
        self.measured.store(self.age(now), Ordering::Relaxed);
    }

    /// Notes a round-trip time in microseconds, as if it were all that was ever measured.
    #[cfg(test)]
    pub(in crate::resolve) fn measured(&self, rtt: u32, now: Instant) {
        self.rtt.store(rtt, Ordering::Relaxed);
        self.measured.store(self.age(now), Ordering::Relaxed);
    }

    /// Notes that it gave no answer to what left at `begun`. A way to it that is shut counts at once, silence once it has lasted
    /// for [`SILENCE`], or for `timeout` where that is less.
    pub(super) fn failed(&self, tried: Tried, (begun, timeout): (Instant, Duration), now: Instant) {
        self.count(tried);
        let begun = self.age(begun) + 1;
        let since = match self.unanswered.compare_exchange(0, begun, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => begun,
            Err(earlier) => earlier,
        };
        let silent = Duration::from_millis((self.age(now) + 1).saturating_sub(since));
        if tried == Tried::TimedOut && silent < SILENCE.min(timeout) {
            return;
        }
        self.silent.store(true, Ordering::Relaxed);
        self.fell_silent.store(self.age(now), Ordering::Relaxed);
    }

    /// Returns whether it ever answered anything.
    pub fn was_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Returns for how long it has been silent; none where it is not.
    pub fn silent_for(&self, now: Instant) -> Option<Duration> {
        let since = self.unanswered.load(Ordering::Relaxed);
        (self.condition() == Condition::Silent)
            .then(|| Duration::from_millis((self.age(now) + 1).saturating_sub(since)))
    }

    /// Returns how long it is ago that anything was learnt of it, from clients' queries or from checks.
    pub fn unknown_for(&self, now: Instant) -> Duration {
        let last = [&self.measured, &self.checked, &self.fell_silent].map(|of| of.load(Ordering::Relaxed));
        Duration::from_millis(self.age(now).saturating_sub(last.into_iter().max().unwrap_or_default()))
    }

    /// Notes what came of a check that began at `begun` and that no client asked for; it is not counted among the tries.
    pub fn checked(&self, answers: bool, begun: Instant, now: Instant) {
        self.checked.store(self.age(now), Ordering::Relaxed);
        if answers {
            return self.revive();
        }
        let begun = self.age(begun) + 1;
        // Where queries of clients went unanswered before it, it is silent since then.
        let _ = self.unanswered.compare_exchange(0, begun, Ordering::Relaxed, Ordering::Relaxed);
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Notes that it answers again.
    fn revive(&self) {
        self.heard.store(true, Ordering::Relaxed);
        self.silent.store(false, Ordering::Relaxed);
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// Returns how long a first try of a question may take: as long as round-trip times are and vary (RFC 6298, section 2), in
    /// steps of which each is twice the one before.
    pub(super) fn patience(&self) -> Duration {
        let rtt = self.rtt.load(Ordering::Relaxed);
        if rtt == 0 || self.silent.load(Ordering::Relaxed) {
            return FIRST_PATIENCE;
        }
        let wanted = u64::from(rtt) + 4 * u64::from(self.variation.load(Ordering::Relaxed));
        let steps = Duration::from_micros(wanted).as_millis().div_ceil(LEAST_PATIENCE.as_millis()).max(1);
        LEAST_PATIENCE
            * u32::try_from(steps).unwrap_or(u32::MAX).checked_next_power_of_two().unwrap_or(1 << 10).min(1 << 10)
    }

    /// Leaves it out for good, since what is sent to it comes back.
    pub fn leads_back(&self) {
        self.loops.store(true, Ordering::Relaxed);
    }

    /// Returns the smoothed round-trip time; `None` while none was measured.
    pub fn rtt(&self) -> Option<Duration> {
        let rtt = self.rtt.load(Ordering::Relaxed);
        (rtt > 0).then(|| Duration::from_micros(rtt.into()))
    }

    /// Returns how many tries there were, by what came of them.
    pub fn tally(&self) -> [(Tried, u64); 4] {
        Tried::ALL.map(|tried| (tried, self.tally[tried as usize].load(Ordering::Relaxed)))
    }

    /// Returns the round-trip time in microseconds by which servers are compared; less the longer ago it was measured, and
    /// 0 for one that was not, so that each is measured soon.
    pub(super) fn weight(&self, now: Instant) -> u32 {
        let since = self.age(now).saturating_sub(self.measured.load(Ordering::Relaxed));
        let halvings = u32::try_from(u128::from(since) / HALF_LIFE.as_millis()).unwrap_or(u32::MAX);
        self.rtt.load(Ordering::Relaxed).checked_shr(halvings).unwrap_or(0)
    }

    /// Returns when it was measured last, and when it fell silent last, to compare with those of the other servers.
    pub(super) fn times(&self) -> (Instant, Instant) {
        let at = |of: &AtomicU64| self.born + Duration::from_millis(of.load(Ordering::Relaxed));
        (at(&self.measured), at(&self.fell_silent))
    }

    fn count(&self, tried: Tried) {
        self.tally[tried as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    #[test]
    fn a_round_trip_time_is_smoothed_and_counts_for_less_as_it_ages() {
        let start = monotonic();
        let server = Server::by(Endpoint::Plain("192.0.2.1:53".parse().unwrap()), None, start);
        assert_eq!((server.rtt(), server.weight(start)), (None, 0));
        let millis = Duration::from_millis;
        server.answered(Tried::Answered, millis(80), start);
        assert_eq!(server.rtt(), Some(millis(80)));
        server.answered(Tried::Refused, millis(160), start);
        assert_eq!(server.rtt(), Some(millis(90)));
        assert_eq!(server.weight(start + Duration::from_secs(59)), 90_000);
        assert_eq!(server.weight(start + Duration::from_secs(60)), 45_000);
        assert_eq!(server.weight(start + Duration::from_secs(180)), 11_250);
        assert_eq!(server.weight(start + Duration::from_secs(86_400)), 0);
    }

    #[test]
    fn a_server_is_silent_once_it_was_for_a_second() {
        let start = monotonic();
        let server = Server::by(Endpoint::Plain("192.0.2.1:53".parse().unwrap()), None, start);
        let (millis, timeout) = (Duration::from_millis, Duration::from_millis(1500));
        let fails = |begun, after| {
            server.failed(Tried::TimedOut, (start + millis(begun), timeout), start + millis(begun + after));
            server.condition()
        };
        assert_eq!([fails(0, 200), fails(200, 400), fails(700, 200)], [Condition::Well; 3]);
        assert_eq!(fails(800, 200), Condition::Silent, "since the first of them");
        server.answered(Tried::Answered, millis(1), start + millis(1100));
        assert_eq!(fails(1200, 400), Condition::Well, "it answered in between");
        server.failed(Tried::Unreachable, (start + millis(1700), timeout), start + millis(1701));
        assert_eq!(server.condition(), Condition::Silent);
        assert_eq!(server.tally().map(|(_, count)| count), [1, 0, 5, 1]);
        server.checked(true, start + millis(1900), start + millis(1901));
        server.failed(Tried::TimedOut, (start + millis(2000), millis(100)), start + millis(2100));
        assert_eq!(server.condition(), Condition::Silent, "no try may take longer");
    }

    #[test]
    fn a_check_tells_of_a_server_that_nobody_asks() {
        let start = monotonic();
        let server = Server::by(Endpoint::Plain("192.0.2.1:53".parse().unwrap()), None, start);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((server.was_heard(), server.silent_for(at(0))), (false, None));
        assert_eq!(server.unknown_for(at(700)), Duration::from_millis(700));
        server.checked(false, at(1000), at(1400));
        assert_eq!((server.condition(), server.was_heard()), (Condition::Silent, false));
        assert_eq!(server.unknown_for(at(1500)), Duration::from_millis(100));
        server.checked(false, at(5000), at(5400));
        assert_eq!(
            server.silent_for(at(6000)),
            Some(Duration::from_secs(5)),
            "since the first check without an answer"
        );
        server.checked(true, at(7000), at(7001));
        assert_eq!(
            (server.condition(), server.was_heard(), server.silent_for(at(9000))),
            (Condition::Well, true, None)
        );
        assert_eq!(server.tally().map(|(_, count)| count), [0; 4]);
    }

    #[test]
    fn a_server_is_given_time_by_what_was_measured() {
        let start = monotonic();
        let server = Server::by(Endpoint::Plain("192.0.2.1:53".parse().unwrap()), None, start);
        let millis = Duration::from_millis;
        assert_eq!(server.patience(), millis(400), "nothing is known");
        server.answered(Tried::Answered, millis(1), start);
        assert_eq!(server.patience(), millis(50));
        server.answered(Tried::Answered, millis(300), start);
        assert_eq!(server.patience(), millis(400));
        (0..60).for_each(|_| server.answered(Tried::Answered, millis(700), start));
        assert_eq!(server.patience(), millis(800));
        (0..50).for_each(|_| server.answered(Tried::Answered, millis(1), start));
        assert_eq!(server.patience(), millis(50));
    }
}
