//! Leaves: the lines of the journal. One JSON object each, in canonical form, numbered from 0 without a hole.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::canonical::{self, MAX_INTEGER};
use super::folded::Folded;
use crate::clock::Reading;

/// The version of the format that this program writes.
pub const VERSION: u32 = 1;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The version of the format.
    pub v: u32,
    /// The place of the leaf in the journal, from 0; never given twice.
    pub seq: u64,
    #[serde(flatten)]
    pub body: Body,
}

/// What a leaf says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Body {
    Attempt(Box<Record>),
    Coverage(Box<Coverage>),
    Change(Box<Changed>),
    Gap(Box<Gap>),
    /// Written by a later version of this program.
    #[serde(other)]
    Unknown,
}

/// Look-ups of one kind inside one commit window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The policy instant of the first look-up.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// The policy instant of the last look-up.
    #[serde(with = "micros")]
    pub last: Timestamp,
    /// The instant by which a prohibition had to have ended to be over at the first look-up, where it was another than
    /// `at`: a leap of the clock was not borne out.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub ends: Option<Timestamp>,
    /// What the system clock told at the first look-up.
    #[serde(with = "micros")]
    pub raw: Timestamp,
    /// What the system clock told at the last look-up.
    #[serde(with = "micros")]
    pub raw_last: Timestamp,
    /// How many look-ups the leaf stands for.
    pub count: u64,
    /// Where there were too many to tell them apart: what they were put together by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Folded>,
    /// The encrypted address of the client, or of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The key that `client` is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The length of the prefix in bits, where `client` is a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// The group of the client, where it is not the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// By what the client was found to belong to its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identified: Option<String>,
    /// Who told the address of the client, where it was not the client itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The encrypted hardware address of the client, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The name that was asked for, in presentation form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// How many different names were asked for, estimated; only where look-ups were put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<u64>,
    /// How many different clients asked, estimated; only where look-ups were put together by rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<u64>,
    pub verdict: String,
    pub order: String,
    pub prohibition: Option<String>,
    /// The waiver that let the look-up through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<String>,
    /// The entry of the catalogue: how it matches, a colon, its text.
    pub rule: String,
    pub service: String,
    pub confidence: String,
    /// Whether the look-up is a sign of a threat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub threat: bool,
    /// The name or address that the rule matched, where it is not the name that was asked for.
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The digest of the policy that decided, in hexadecimal.
    pub policy: String,
    /// The mnemonic of the response code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<String>,
    /// Whether policy time was rehearsed.
    pub rehearsal: bool,
}

/// What the time since the last coverage leaf, or since the start, was like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    #[serde(with = "micros")]
    pub at: Timestamp,
    #[serde(with = "micros")]
    pub raw: Timestamp,
    pub event: CoverageEvent,
    /// The policy instant from which on this leaf speaks.
    #[serde(with = "micros")]
    pub from: Timestamp,
    /// The instant by which a prohibition had to have ended to be over, where it was another than `at`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub ends: Option<Timestamp>,
    /// How much time passed since the leaf before, in milliseconds since the boot of the machine, where the clock tells
    /// another length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
    /// All queries by outcome, whether a rule matched or not.
    pub queries: BTreeMap<String, u64>,
    /// Answers from which something was withheld by the operator's own choice and without an order, by what it was. They
    /// are in `queries` too, by what policy said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub withheld: BTreeMap<String, u64>,
    /// Look-ups that became records, by verdict: those in attempt leaves, and in gaps where the disk refused them.
    pub recorded: BTreeMap<String, u64>,
    /// Look-ups that are only counted.
    pub counted: Vec<RuleCount>,
    /// Look-ups that are only counted and are signs of a threat.
    pub threats: Vec<RuleCount>,
    /// How many look-ups met a full ring; they are in `recorded`, `counted` or `threats` too.
    pub overflowed: u64,
    /// How many leaves were written.
    pub leaves: u64,
    /// The digests of the policies that were in use.
    pub policies: Vec<String>,
    /// How far the system clock was trusted when the leaf was written; none in a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    pub rehearsal: bool,
}

/// When a coverage leaf is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CoverageEvent {
    Start,
    Minute,
    Stop,
}

/// Look-ups that one rule matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleCount {
    /// Empty, as `rule` and `service` are, where only the verdict is known.
    pub order: String,
    pub rule: String,
    pub service: String,
    pub verdict: String,
    pub count: u64,
}

/// A change of what the daemon does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    #[serde(with = "micros")]
    pub at: Timestamp,
    #[serde(with = "micros")]
    pub raw: Timestamp,
    pub act: Act,
    /// Whether the change was made; one that was refused left everything as it was.
    pub accepted: bool,
    /// Who made it: `uid 1000 (name)`, `signal SIGHUP`, `file PATH`, `interdict`.
    pub by: String,
    pub why: String,
    /// What was changed, in words: a waiver with its terms, the states of the clock. Holds no control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The digest of the policy from then on; of the refused one where it could be read.
    pub policy: Option<String>,
    /// Where leaves were removed, or their answers were others: the number of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Where leaves were removed, or their answers were others: the number of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// Where the key of the log changes: the note that both keys have signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// Where it is about one device: its encrypted address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Where it is about one device that is told by its hardware address: that, encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The key that `client` or `device` is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub rehearsal: bool,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    Start,
    Stop,
    Reload,
    /// The oldest segment of the journal was removed, to stay within the bound on its size.
    Removed,
    /// Leaves were written again to a new segment, because the disk lost or refused them.
    Rewritten,
    /// Answers were SERVFAIL in place of what leaves say, because the disk did not take those in time.
    Servfail,
    /// A waiver was added, or a file of waivers came to say something else.
    Waiver,
    /// Another than who added it has confirmed a waiver, which is in force by that.
    Confirm,
    /// A waiver was ended before its time.
    Revoke,
    /// A waiver came to its end, or one that needed confirming did without.
    Lapse,
    /// The installation was set to only monitor for a while, in an emergency.
    #[serde(rename = "monitor-only")]
    MonitorOnly,
    /// The system clock came to be trusted otherwise, or an operator said that it is right.
    Clock,
    /// Catalogues and orders that were fetched were put in force.
    Activate,
    /// One that was fetched was refused as it came.
    Document,
    /// A list that is fetched came to say something else, or was refused as it came.
    List,
    /// A log of another name began, because the one before could not be gone on with.
    Origin,
    /// The keys of a month were destroyed, so that its records are anonymous.
    Forget,
    /// Everything is kept, whatever its age or size.
    Hold,
    /// A hold was ended.
    Release,
    /// The log is signed with another key from then on.
    Rotate,
    /// Somebody confirmed that a product was removed from a device.
    #[serde(rename = "device-removed")]
    DeviceRemoved,
    /// Such a confirmation was withdrawn.
    #[serde(rename = "device-withdrawn")]
    DeviceWithdrawn,
    /// A notice of a prohibition was sent, or could not be.
    Notice,
}

impl Act {
    /// Returns the word that records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Activate => "activate",
            Self::Document => "document",
            Self::List => "list",
            Self::Removed => "removed",
            Self::Rewritten => "rewritten",
            Self::Servfail => "servfail",
            Self::Waiver => "waiver",
            Self::Confirm => "confirm",
            Self::Revoke => "revoke",
            Self::Lapse => "lapse",
            Self::MonitorOnly => "monitor-only",
            Self::Clock => "clock",
            Self::Origin => "origin",
            Self::Forget => "forget",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Rotate => "rotate",
            Self::DeviceRemoved => "device-removed",
            Self::DeviceWithdrawn => "device-withdrawn",
            Self::Notice => "notice",
        }
    }
}

/// What could not be recorded, or is no longer there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    #[serde(with = "micros")]
    pub at: Timestamp,
    #[serde(with = "micros")]
    pub raw: Timestamp,
    pub reason: GapReason,
    /// The policy instant of the first look-up that is missing, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub from: Option<Timestamp>,
    /// The policy instant of the last look-up that is missing, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "micros::option")]
    pub until: Option<Timestamp>,
    /// How many look-ups are missing, where it is known.
    pub count: Option<u64>,
    /// The look-ups that are missing, by rule.
    pub rules: Vec<RuleCount>,
    /// How many changes are missing.
    pub changes: u64,
    /// Where leaves are missing: the number of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Where leaves are missing: the number of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// What was found, in words.
    pub found: String,
    pub rehearsal: bool,
}

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The disk refused leaves until there were too many to hold in memory, or a ring was full before the counters of its
    /// policy were made.
    Unwritten,
    /// A line is torn or changed.
    Damaged,
    /// Leaves or whole segments are not there.
    Missing,
}

impl Leaf {
    /// Appends the leaf as one line, its line feed included.
    pub(super) fn write(&self, line: &mut String) {
        let value = serde_json::to_value(self).expect("a leaf has string keys and nothing that can fail to serialise");
        canonical::write(&value, line).expect("every integer of a leaf is at most 53 bits");
        line.push('\n');
    }

    /// Reads one line, with or without its line feed.
    pub(super) fn read(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

/// The number of a leaf alone; reading it checks that the whole line is JSON.
#[derive(Debug, Deserialize)]
pub(super) struct Numbered {
    #[serde(default)]
    pub(super) v: u32,
    pub(super) seq: u64,
    /// The name of the key that an attempt leaf is encrypted with.
    pub(super) key: Option<String>,
}

/// Returns `count` as an integer that every reader of JSON holds exactly.
pub(super) fn bounded(count: u64) -> u64 {
    count.min(MAX_INTEGER)
}

/// Returns how many milliseconds passed between two readings, where policy time tells more than a second more or less.
pub(super) fn lasted(from: &Reading, until: &Reading) -> Option<u64> {
    let passed = until.boot.saturating_sub(from.boot);
    let told = Duration::try_from(until.at.duration_since(from.at)).unwrap_or_default();
    let leapt = until.ends != until.at || told.abs_diff(passed) > Duration::from_secs(1);
    leapt.then(|| bounded(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)))
}

/// Instants as RFC 3339 in UTC, always with six decimals.
mod micros {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{instant:.6}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }

    pub(super) mod option {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(
            instant: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match instant {
                Some(instant) => super::serialize(instant, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let at: Timestamp = "2024-09-29T04:00:00.1234567Z".parse().unwrap();
        Record {
            at,
            last: at,
            ends: None,
            raw: at,
            raw_last: at,
            count: 2,
            folded: None,
            client: Some("1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777".to_owned()),
            key: Some("2024-09".to_owned()),
            prefix: None,
            group: None,
            identified: None,
            via: None,
            device: None,
            transport: Some("udp".to_owned()),
            name: Some("a\\000\\\".upd.kaspersky.com".to_owned()),
            r#type: Some("A".to_owned()),
            names: None,
            clients: None,
            verdict: "sunk".to_owned(),
            order: "us-commerce-2024".to_owned(),
            prohibition: None,
            waiver: None,
            rule: "suffix:upd.kaspersky.com".to_owned(),
            service: "update".to_owned(),
            confidence: "high".to_owned(),
            threat: false,
            subject: None,
            through: Some("question".to_owned()),
            policy: "00".repeat(32),
            rcode: Some("NXDOMAIN".to_owned()),
            rehearsal: false,
        }
    }

    #[test]
    fn a_leaf_is_one_canonical_line_that_reads_back() {
        let leaf = Leaf { v: VERSION, seq: 7, body: Body::Attempt(Box::new(record())) };
        let mut line = String::new();
        leaf.write(&mut line);
        assert!(line.starts_with("{\"at\":\"2024-09-29T04:00:00.123456Z\",\"client\":\"1dbd:"), "{line}");
        assert!(line.contains("\"kind\":\"attempt\"") && line.contains("\"prohibition\":null"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(line.trim_end().as_bytes(), serde_json_canonicalizer::to_vec(&leaf).unwrap());
        let read = Leaf::read(line.as_bytes()).unwrap();
        let mut again = String::new();
        read.write(&mut again);
        assert_eq!(again, line);
    }

    #[test]
    fn the_word_for_an_act_is_the_one_in_the_journal() {
        use Act::{Clock, Confirm, Lapse, MonitorOnly, Reload, Removed, Revoke, Rewritten, Start, Stop, Waiver};
        for act in [Start, Stop, Reload, Removed, Rewritten, Waiver, Confirm, Revoke, Lapse, MonitorOnly, Clock] {
            assert_eq!(serde_json::to_value(act).unwrap(), act.as_str());
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_told_as_unknown() {
        let leaf = Leaf::read(br#"{"kind":"checkpoint","seq":3,"v":2,"root":"00"}"#).unwrap();
        assert_eq!((leaf.seq, leaf.body), (3, Body::Unknown));
    }
}
