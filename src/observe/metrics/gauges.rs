//! What metrics show of the other parts, read off when somebody asks.

use super::{FetchGauge, ShadowCount, UpstreamGauge};

/// What is read off the other parts when somebody asks for the metrics.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Where the candidate policy differs, if there is one.
    pub shadow: Vec<ShadowCount>,
    /// How fetched files stand.
    pub fetches: Vec<FetchGauge>,
    /// How upstream servers stand.
    pub upstreams: Vec<UpstreamGauge>,
    pub cache_entries: u64,
    pub cache_octets: u64,
    /// Leaves that are durable.
    pub ledger_leaves: u64,
    /// Leaves that wait in memory.
    pub ledger_unwritten: u64,
    /// Look-ups that are counted, since they could not be recorded one by one.
    pub ledger_uncovered: u64,
    pub ledger_octets: u64,
    pub ledger_failing: bool,
    /// Leaves that the last checkpoint of the log tells of.
    pub log_signed: u64,
    pub log_octets: u64,
    pub log_failing: bool,
    pub publish_failing: bool,
    /// When a checkpoint was published last, in seconds since 1970; 0 for never.
    pub log_published: u64,
    pub witnesses_failing: u64,
    /// When the witness that is furthest behind has cosigned last, in seconds since 1970; 0 for never.
    pub log_cosigned: u64,
    pub policy_entries: u64,
    pub policy_orders: u64,
    pub waivers_in_force: u64,
    /// Waivers that wait for somebody to confirm them.
    pub waivers_pending: u64,
    pub monitor_only: bool,
    /// How far the system clock is trusted; none in a rehearsal.
    pub clock_state: Option<&'static str>,
}

pub(super) const GAUGES: [(&str, &str); 19] = [
    ("cache_entries", "Answers that are kept"),
    ("cache_size_bytes", "About how much memory the kept answers take"),
    ("ledger_leaves", "Leaves of the ledger that are on disk"),
    ("ledger_unwritten_leaves", "Leaves of the ledger that wait in memory"),
    ("ledger_uncovered_lookups", "Look-ups that are only counted, because the disk refuses leaves"),
    ("ledger_size_bytes", "Size of the journal"),
    ("ledger_failing", "1 while the ledger cannot be written"),
    ("ledger_log_signed_leaves", "Leaves that the last checkpoint of the log tells of"),
    ("ledger_log_size_bytes", "Size of the log, which holds the records once more and their hashes"),
    ("ledger_log_failing", "1 while the log falls behind the journal"),
    ("ledger_publish_failing", "1 while the log is not published as it should be"),
    ("ledger_published_timestamp_seconds", "When a checkpoint of the log was published last; 0 for never"),
    ("ledger_witnesses_failing", "Witnesses that do not cosign the log at the moment"),
    ("ledger_cosigned_timestamp_seconds", "When the witness that is furthest behind has cosigned the log; 0 for never"),
    ("policy_entries", "Entries of all catalogues"),
    ("policy_orders", "Orders that are loaded"),
    ("waivers_in_force", "Waivers that are in force"),
    ("waivers_pending", "Waivers that wait for somebody to confirm them"),
    ("monitor_only", "1 while nothing is enforced, in an emergency or a dry run"),
];
