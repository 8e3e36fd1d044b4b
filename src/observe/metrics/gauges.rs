//! What metrics show of the other parts, read off when somebody asks.

use super::{CertificateGauge, FetchGauge, ShadowCount, UpstreamGauge};

/// What is read off the other parts when somebody asks for the metrics.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Where the candidate policy differs, if there is one.
    pub shadow: Vec<ShadowCount>,
    /// How fetched files stand.
    pub fetches: Vec<FetchGauge>,
    /// How upstream servers stand.
    pub upstreams: Vec<UpstreamGauge>,
    /// Certificates that others have shown.
    pub certificates: Vec<CertificateGauge>,
    /// What health tells, by the name of what was looked at.
    pub checks: Vec<(&'static str, bool)>,
    pub ready: bool,
    /// Look-ups that met a full ring since the start.
    pub ledger_overflowed: u64,
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
    /// Whether sunk names get SERVFAIL because their records cannot be written.
    pub ledger_servfail: bool,
    /// Leaves of the log.
    pub log_leaves: u64,
    /// Leaves that the last checkpoint of the log tells of.
    pub log_signed: u64,
    /// When that checkpoint was signed, in seconds since 1970; 0 for not since the start.
    pub log_signed_at: u64,
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
    /// When something about the orders changes by itself, in seconds since 1970; 0 for never.
    pub policy_next: u64,
    pub waivers_in_force: u64,
    /// Waivers that wait for somebody to confirm them.
    pub waivers_pending: u64,
    pub monitor_only: bool,
    /// What is free on the disk of the data folder, in octets, and how large that is.
    pub disk_free: u64,
    pub disk_size: u64,
    /// How far the system clock is trusted; none in a rehearsal.
    pub clock_state: Option<&'static str>,
}

pub(super) const GAUGES: [(&str, &str); 26] = [
    ("cache_entries", "Answers that are kept"),
    ("cache_size_bytes", "About how much memory the kept answers take"),
    ("ledger_leaves", "Leaves of the ledger that are on disk"),
    ("ledger_unwritten_leaves", "Leaves of the ledger that wait in memory"),
    ("ledger_uncovered_lookups", "Look-ups that are only counted, because the disk refuses leaves"),
    ("ledger_size_bytes", "Size of the journal"),
    ("ledger_failing", "1 while the ledger cannot be written"),
    ("ledger_servfail", "1 while sunk names are answered with SERVFAIL, since their records cannot be written"),
    ("ledger_log_leaves", "Leaves of the log"),
    ("ledger_log_signed_leaves", "Leaves that the last checkpoint of the log tells of"),
    (
        "ledger_log_signed_timestamp_seconds",
        "When the last checkpoint of the log was signed; 0 for not since the start",
    ),
    ("ledger_log_size_bytes", "Size of the log, which holds the records once more and their hashes"),
    ("ledger_log_failing", "1 while the log falls behind the journal"),
    ("ledger_publish_failing", "1 while the log is not published as it should be"),
    ("ledger_published_timestamp_seconds", "When a checkpoint of the log was published last; 0 for never"),
    ("ledger_witnesses_failing", "Witnesses that do not cosign the log at the moment"),
    ("ledger_cosigned_timestamp_seconds", "When the witness that is furthest behind has cosigned the log; 0 for never"),
    ("policy_entries", "Entries of all catalogues"),
    ("policy_orders", "Orders that are loaded"),
    ("policy_next_instant_timestamp_seconds", "When something about the orders changes by itself; 0 for never"),
    ("waivers_in_force", "Waivers that are in force"),
    ("waivers_pending", "Waivers that wait for somebody to confirm them"),
    ("monitor_only", "1 while nothing is enforced, in an emergency or a dry run"),
    ("ready", "1 while /health/ready answers with 200"),
    ("data_disk_free_bytes", "Room that is left on the disk of the data folder"),
    ("data_disk_size_bytes", "Size of the disk of the data folder"),
];
