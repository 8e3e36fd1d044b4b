//! Counters in the Prometheus text format. Each label value is resolved once, at the start, so that counting is one atomic
//! addition: no hashing, no allocation, no lock.

mod clients;
mod exports;
mod fetches;
mod gauges;
mod happenings;
mod lists;
mod shadow;
mod standing;
#[cfg(test)]
mod tests;
mod upstreams;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use clients::ClientMetrics;
pub use clients::{Claimed, IDENTIFICATIONS};
pub use exports::ExportCounters;
use exports::ExportMetrics;
use fetches::FetchMetrics;
pub use fetches::{FetchGauge, Fetched};
use gauges::GAUGES;
pub use gauges::Gauges;
pub use happenings::{Dropped, Served, UpstreamEvent, Withheld};
use lists::ListMetrics;
pub use lists::{ListCounters, ListMatch};
pub use shadow::ShadowCount;
use shadow::ShadowCounts;
pub use standing::CertificateGauge;
use standing::StandingMetrics;
pub use upstreams::UpstreamGauge;
use upstreams::UpstreamMetrics;

/// The transports, in the order of their enum, which stands above this module.
pub const TRANSPORTS: &[&str] = &["udp", "tcp"];
/// The verdicts, in the order of their enum, which stands above this module.
pub const VERDICTS: &[&str] = &["pass", "noted", "exempt", "protected", "kept", "monitored", "waived", "sunk"];
const CODES: &[&str] = &["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other"];
const CLOCK_STATES: &[&str] = &["synchronised", "unsynchronised", "behind", "ahead"];
const RELOADS: &[&str] = &["accepted", "refused"];

type Label = [(&'static str, &'static str); 1];

/// Counters by the value of one label.
struct Counters {
    by_value: Vec<(&'static str, Counter)>,
}

impl Counters {
    fn register(
        registry: &mut Registry,
        (name, help): (&str, &str),
        label: &'static str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let family = Family::<Label, Counter>::default();
        let by_value = values.into_iter().map(|value| (value, family.get_or_create(&[(label, value)]).clone()));
        let by_value = by_value.collect();
        registry.register(name, help, family);
        Self { by_value }
    }

    fn add(&self, at: usize) {
        if let Some((_, counter)) = self.by_value.get(at) {
            counter.inc();
        }
    }
}

/// Registers gauges by the value of one label.
fn register_gauges(
    registry: &mut Registry,
    (name, help): (&str, &str),
    label: &'static str,
    values: &[&'static str],
) -> Vec<(&'static str, Gauge)> {
    let family = Family::<Label, Gauge>::default();
    let gauges = values.iter().map(|value| (*value, family.get_or_create(&[(label, *value)]).clone())).collect();
    registry.register(name, help, family);
    gauges
}

/// Every metric of the daemon.
pub struct Metrics {
    registry: Registry,
    queries: Counters,
    verdicts: Counters,
    served: Counters,
    codes: Counters,
    dropped: Counters,
    withheld: Counters,
    lists: ListMetrics,
    fetches: FetchMetrics,
    upstreams: UpstreamMetrics,
    standing: StandingMetrics,
    exports: ExportMetrics,
    cache: Counters,
    upstream: Counters,
    reloads: Counters,
    clients: ClientMetrics,
    threats: Counter,
    start_time: Gauge<f64, AtomicU64>,
    upstream_latency: Histogram,
    gauges: Vec<Gauge>,
    clock_states: Vec<(&'static str, Gauge)>,
    shadow: ShadowCounts,
}

impl Metrics {
    /// Registers every metric, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("interdict");
        let all = &mut registry;
        all.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let served = Served::ALL.map(Served::as_str);
        let dropped = Dropped::ALL.map(Dropped::as_str);
        let events = UpstreamEvent::ALL.map(UpstreamEvent::as_str);
        let help = |name, help| (name, help);
        let gauges = GAUGES.map(|_| Gauge::default());
        let upstream_latency = Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0]);
        let metrics = Self {
            queries: Counters::register(
                all,
                help("queries", "Packets from allowed clients, within their limit"),
                "transport",
                TRANSPORTS.iter().copied(),
            ),
            verdicts: Counters::register(
                all,
                help("verdicts", "Answered queries by what policy said of them"),
                "verdict",
                VERDICTS.iter().copied(),
            ),
            served: Counters::register(all, help("responses", "Responses by where they came from"), "source", served),
            codes: Counters::register(
                all,
                help("response_codes", "Responses by their code"),
                "rcode",
                CODES.iter().copied(),
            ),
            dropped: Counters::register(
                all,
                help("dropped", "Packets and connections that were not answered as queries are"),
                "reason",
                dropped,
            ),
            lists: ListMetrics::register(all),
            fetches: FetchMetrics::register(all),
            upstreams: UpstreamMetrics::register(all),
            standing: StandingMetrics::register(all),
            exports: ExportMetrics::register(all),
            withheld: Counters::register(
                all,
                help(
                    "withheld",
                    "Answers from which something was withheld by the operator's own choice, without an order",
                ),
                "reason",
                Withheld::ALL.map(Withheld::as_str),
            ),
            cache: Counters::register(all, help("cache_lookups", "Look-ups in the cache"), "result", ["miss", "hit"]),
            upstream: Counters::register(all, help("upstream_events", "What happened with upstreams"), "event", events),
            reloads: Counters::register(
                all,
                help("reloads", "Reloads of configuration and policy"),
                "result",
                RELOADS.iter().copied(),
            ),
            clients: ClientMetrics::register(all),
            threats: Counter::default(),
            start_time: Gauge::default(),
            upstream_latency: upstream_latency.clone(),
            gauges: gauges.to_vec(),
            clock_states: register_gauges(
                all,
                help("clock_state", "1 for how far the system clock is trusted: guarded where behind or ahead"),
                "state",
                CLOCK_STATES,
            ),
            shadow: ShadowCounts::register(all),
            registry: Registry::default(),
        };
        for ((name, help), gauge) in GAUGES.iter().zip(gauges) {
            all.register(*name, *help, gauge);
        }
        all.register("threat_signs", "Look-ups of names that are signs of a threat", metrics.threats.clone());
        all.register_with_unit(
            "start_time",
            "When the program started, in seconds since 1970",
            Unit::Seconds,
            metrics.start_time.clone(),
        );
        all.register_with_unit(
            "upstream_latency",
            "Time from a question to an upstream to its answer",
            Unit::Seconds,
            upstream_latency,
        );
        Self { registry, ..metrics }
    }

    /// Counts a packet by its transport, which is a place in [`TRANSPORTS`].
    pub fn count_query(&self, transport: usize) {
        self.queries.add(transport);
    }

    /// Counts what policy said of an answered query, which is a place in [`VERDICTS`].
    pub fn count_verdict(&self, verdict: usize) {
        self.verdicts.add(verdict);
    }

    /// Counts a response by where it came from, and by its code.
    pub fn count_response(&self, served: Served, code: u16) {
        self.served.add(served as usize);
        self.codes.add(usize::from(code).min(CODES.len() - 1));
    }

    /// Counts what was not answered as a query is.
    pub fn count_dropped(&self, dropped: Dropped) {
        self.dropped.add(dropped as usize);
    }

    /// Counts a look-up in the cache.
    pub fn count_cache(&self, hit: bool) {
        self.cache.add(usize::from(hit));
    }

    /// Returns the look-ups in the cache that missed and that hit.
    pub fn cache_lookups(&self) -> (u64, u64) {
        match &self.cache.by_value[..] {
            [(_, misses), (_, hits)] => (misses.get(), hits.get()),
            _ => (0, 0),
        }
    }

    /// Counts what happened with an upstream.
    pub fn count_upstream(&self, event: UpstreamEvent) {
        self.upstream.add(event as usize);
    }

    /// Counts the time that an upstream took to answer.
    pub fn observe_upstream_latency(&self, latency: Duration) {
        self.upstream_latency.observe(latency.as_secs_f64());
    }

    /// Counts an answer from which something was withheld without an order.
    pub fn count_withheld(&self, what: Withheld) {
        self.withheld.add(what as usize);
    }

    /// Counts a look-up of a name that is a sign of a threat: a sinkhole, or a look-alike.
    pub fn count_threat(&self) {
        self.threats.inc();
    }

    /// Tells when the program started, in seconds since 1970-01-01T00:00:00Z.
    pub fn started(&self, seconds: f64) {
        self.start_time.set(seconds);
    }

    /// Counts a reload.
    pub fn count_reload(&self, accepted: bool) {
        self.reloads.add(usize::from(!accepted));
    }

    /// Returns how many queries were answered by each verdict, how many packets were dropped for each reason
    /// (`dropped_…`), from how many answers something was withheld without an order (`withheld_…`), and how many
    /// look-ups each list matched (`list_…`).
    pub fn totals(&self) -> BTreeMap<String, u64> {
        let of = |counters: &Counters, title: &str| {
            let named = |(value, counter): &(&str, Counter)| (format!("{title}{value}"), counter.get());
            counters.by_value.iter().map(named).collect::<Vec<_>>()
        };
        let parts = [
            of(&self.verdicts, ""),
            of(&self.dropped, "dropped_"),
            of(&self.withheld, "withheld_"),
            self.lists.totals(),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Returns every metric in the OpenMetrics text format, which Prometheus reads.
    pub fn encode(&self, gauges: &Gauges) -> String {
        // Taken apart field by field, so that a field added to `Gauges` has to be dealt with here.
        let Gauges {
            ref shadow,
            ref fetches,
            ref upstreams,
            certificates: _,
            checks: _,
            ledger_overflowed: _,
            ready,
            cache_entries,
            cache_octets,
            ledger_leaves,
            ledger_unwritten,
            ledger_uncovered,
            ledger_octets,
            ledger_failing,
            ledger_servfail,
            log_leaves,
            log_signed,
            log_signed_at,
            log_octets,
            log_failing,
            publish_failing,
            log_published,
            witnesses_failing,
            log_cosigned,
            policy_entries,
            policy_orders,
            policy_next,
            waivers_in_force,
            waivers_pending,
            monitor_only,
            disk_free,
            disk_size,
            clock_state,
        } = *gauges;
        let values = [
            cache_entries,
            cache_octets,
            ledger_leaves,
            ledger_unwritten,
            ledger_uncovered,
            ledger_octets,
            u64::from(ledger_failing),
            u64::from(ledger_servfail),
            log_leaves,
            log_signed,
            log_signed_at,
            log_octets,
            u64::from(log_failing),
            u64::from(publish_failing),
            log_published,
            witnesses_failing,
            log_cosigned,
            policy_entries,
            policy_orders,
            policy_next,
            waivers_in_force,
            waivers_pending,
            u64::from(monitor_only),
            u64::from(ready),
            disk_free,
            disk_size,
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        for (state, gauge) in &self.clock_states {
            gauge.set(i64::from(clock_state == Some(*state)));
        }
        self.fetches.show(fetches);
        self.upstreams.show(upstreams);
        self.standing.show(gauges);
        let mut text = String::new();
        self.shadow.show(shadow, || encode(&mut text, &self.registry)).expect("writing to a String cannot fail");
        text
    }
}

/// Turns OpenMetrics text into the Prometheus text format 0.0.4, for readers that do not ask for OpenMetrics: metadata
/// carry the whole name of a counter, there are neither units nor an end mark, and what is told of the program is a gauge.
pub fn plain(open: &str) -> String {
    let mut plain = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), text) => help = Some((name, text.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    _ = writeln!(plain, "# HELP {name}{suffix} {text}");
                }
                _ = writeln!(plain, "# TYPE {name}{suffix} {kind}");
            }
            (Some("#"), ..) => {}
            _ => _ = writeln!(plain, "{line}"),
        }
    }
    plain
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
