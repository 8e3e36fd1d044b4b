//! The report as a value. Every list is in an order that its own content gives.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::basis::Basis;
use super::sums::Sums;
use crate::devices::{Confidence, Role, Standing, Step};

/// What the records of a period say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The whole basis as one word, by which the report is made again.
    pub made_from: String,
    pub basis: Basis,
    pub program: String,
    pub nodes: Vec<Node>,
    pub orders: Vec<OrderShown>,
    /// Policies in use, in the order of their first use.
    pub policies: Vec<PolicyUse>,
    pub totals: Totals,
    pub services: Vec<ServiceRow>,
    pub trend: Trend,
    pub around: Vec<Around>,
    pub waivers: Vec<WaiverUse>,
    pub devices: Listed<DeviceRow>,
    pub names: Listed<NameRow>,
    pub changes: Listed<ChangeRow>,
    pub gaps: Listed<GapRow>,
}

/// The first of many, with how many more there are and what they come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    pub more: u64,
    /// The sums of those that are not listed, where rows have sums.
    pub more_sums: Sums,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), more: 0, more_sums: Sums::default() }
    }
}

/// One resolver: whether its log is sound, and what of the period it covers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Node {
    /// The name of its newest log.
    pub name: String,
    pub checkpoints: Vec<CheckpointShown>,
    /// `intact`, `incomplete`, `tampered`; none where it was not verified.
    pub integrity: Option<String>,
    pub faults: Vec<String>,
    /// Whether the key was given by whoever made the report, and not found beside the log.
    pub key_given: bool,
    /// The checkpoint kept elsewhere that the log continues: how many leaves it covers, and up to when.
    pub anchored: Option<(u64, Option<Timestamp>)>,
    pub records: (u64, u64),
    /// The instants of the first coverage leaf and of the last.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub coverage: Coverage,
    /// Coverage leaves of the period by how far the clock was trusted.
    pub clock: Vec<(String, u64)>,
    pub queries: u64,
    pub sums: Sums,
    pub attempted: u64,
    /// Whether its archived policies were there, so that titles and dates are known.
    pub policies_known: bool,
    /// Leaves that could not be read.
    pub unread: u64,
}

/// A checkpoint that the report rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointShown {
    pub origin: String,
    pub size: u64,
    /// The root, in Base64 as the note holds it.
    pub root: String,
}

/// What of the period is covered by leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Coverage {
    /// Hundredths of a percent, rounded down.
    pub basis_points: u16,
    /// Stretches of the period that no leaf covers, in order; the longest of them, where there are many.
    pub holes: Vec<(Timestamp, Timestamp)>,
    pub more_holes: u64,
    /// Seconds that are not covered.
    pub missing: u64,
}

/// An order as far as the report needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderShown {
    pub id: String,
    /// None where no archived policy was there to tell.
    pub act: Option<Act>,
    pub sums: Sums,
    pub attempted: u64,
}

/// What an archived policy tells of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    pub title: String,
    pub issuer: String,
    pub citation: String,
    pub rules: Vec<String>,
    pub published: Date,
    pub prohibitions: Vec<ProhibitionShown>,
    pub protected: Vec<ProtectedShown>,
    pub facts: Vec<FactShown>,
    pub applied: Vec<Applied>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProhibitionShown {
    pub id: String,
    pub title: String,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub basis: String,
    pub verified: String,
    pub services: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedShown {
    pub services: Vec<String>,
    pub reason: String,
    pub verified: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactShown {
    pub text: String,
    pub verified: String,
}

/// How an order is applied to one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub group: String,
    pub phase: Phase,
    /// Until when an order is only monitored, where that is set.
    pub until: Option<Timestamp>,
    /// Whether the operator says to be bound by the order.
    pub binding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Enforce,
    Monitor,
    Off,
}

/// When a policy was in use, by the coverage leaves of all nodes that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyUse {
    pub digest: String,
    pub from: Timestamp,
    pub until: Timestamp,
    /// Whether the archived policy with this digest was there.
    pub known: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub sums: Sums,
    pub attempted: u64,
    pub let_through: u64,
    /// Devices with attempted contact; see `devices_exact`.
    pub devices: u64,
    /// Of those, ones that stand for a network of many.
    pub networks: u64,
    /// Of those, ones whose address cannot be read: one device is counted once for each month's key and node.
    pub anonymous: u64,
    /// Attempted contact of clients that were not told apart.
    pub unattributed: u64,
    /// Attempted contact that is known by its sums alone, since it could not be recorded.
    pub unrecorded: u64,
    /// Look-ups that are signs of a threat.
    pub threats: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    pub order: String,
    pub service: String,
    /// What the catalogue calls it.
    pub title: Option<String>,
    pub sums: Sums,
    pub attempted: u64,
    pub devices: u64,
}

/// Look-ups by time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Trend {
    /// How many days a bin has; the first and the last may be shorter.
    pub days: u32,
    pub bins: Vec<Bin>,
    /// Instants of prohibitions inside the period.
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// The first day (UTC).
    pub day: Date,
    pub sums: Sums,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    pub at: Timestamp,
    pub order: String,
    pub prohibition: String,
    /// Whether it begins or ends.
    pub begins: bool,
}

/// The days before and after an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Around {
    pub mark: Mark,
    pub title: String,
    pub before: Side,
    pub after: Side,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Look-ups under that prohibition alone.
    pub sums: Sums,
    pub devices: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaiverUse {
    pub id: String,
    pub order: String,
    pub lookups: u64,
    pub devices: u64,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub reason: Option<String>,
    pub approver: Option<String>,
    pub ticket: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRow {
    pub label: String,
    pub kind: DeviceKind,
    pub sums: Sums,
    pub attempted: u64,
    pub services: Vec<String>,
    pub first: Timestamp,
    pub last: Timestamp,
    /// What it may be, by its look-ups in the period.
    pub role: Role,
    pub confidence: Option<Confidence>,
    /// How it stands at the end of the period; none where it attempted no contact.
    pub standing: Option<Standing>,
    pub next: Step,
}

/// What a device is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Its hardware address, which it tells itself.
    Hardware,
    Address,
    /// A network, which stands for many.
    Network,
    /// A pseudonym, since the key is not there.
    Anonymous,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameRow {
    pub name: String,
    pub order: String,
    pub service: String,
    pub confidence: String,
    pub sums: Sums,
    pub attempted: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    pub node: usize,
    pub seq: u64,
    pub at: Timestamp,
    pub act: String,
    pub accepted: bool,
    pub by: String,
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GapRow {
    pub node: usize,
    pub seq: u64,
    pub at: Timestamp,
    pub reason: String,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub count: Option<u64>,
    pub found: String,
}
