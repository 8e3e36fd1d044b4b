//! What a daemon shows of waivers and of its clock, for people and for programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::register::{Entry, Mark, State};
use crate::clock::{Reading, Status, Witness};
use crate::policy::{Party, Waiver};

/// A waiver as it stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub id: String,
    /// `in force`, `to come`, `pending`, `lapsed` or `revoked`.
    pub state: String,
    pub rules: String,
    pub names: Vec<String>,
    /// Empty for everyone.
    pub clients: Vec<String>,
    pub from: Timestamp,
    pub until: Timestamp,
    pub reason: String,
    pub approver: String,
    pub ticket: Option<String>,
    /// The file that it stands in; none where it was added by command.
    pub file: Option<String>,
    pub added: Option<Mark>,
    pub confirmed: Option<Mark>,
    pub ended: Option<Mark>,
    /// Why it lifts nothing although it is granted.
    pub fault: Option<String>,
}

impl Listed {
    /// Shows a waiver that was added by command.
    pub fn of(entry: &Entry, fault: Option<String>, now: &Reading) -> Self {
        let Entry { waiver, state, added, confirmed, ended } = entry;
        Self {
            added: Some(added.clone()),
            confirmed: confirmed.clone(),
            ended: ended.clone(),
            fault,
            ..Self::new(waiver, *state, now)
        }
    }

    /// Shows a waiver that stands in a file.
    pub fn in_file(waiver: &Waiver, file: &str, now: &Reading) -> Self {
        Self { file: Some(super::harmless(file)), ..Self::new(waiver, State::Granted, now) }
    }

    fn new(waiver: &Waiver, state: State, now: &Reading) -> Self {
        let Waiver { id, scope, term, reason, approver, ticket } = waiver.clone();
        let state = match state {
            State::Granted if term.until() <= now.at => "lapsed",
            State::Granted if term.from() > now.ends => "to come",
            State::Granted => "in force",
            State::Pending | State::Revoked | State::Lapsed => state.as_str(),
        };
        Self {
            id,
            state: state.to_owned(),
            rules: scope.rules.to_string(),
            names: scope.names.iter().map(ToString::to_string).collect(),
            clients: scope.clients.iter().map(Party::to_string).collect(),
            from: term.from(),
            until: term.until(),
            reason,
            approver,
            ticket,
            file: None,
            added: None,
            confirmed: None,
            ended: None,
            fault: None,
        }
    }

    /// Returns whether something may still become of the waiver.
    pub fn is_open(&self) -> bool {
        !matches!(self.state.as_str(), "lapsed" | "revoked")
    }
}

/// How far the system clock is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownClock {
    pub state: String,
    pub policy: Timestamp,
    pub ends: Timestamp,
    pub system: Timestamp,
    pub latest: Timestamp,
    pub synchronised: Option<Timestamp>,
    /// Who tells whether a time service bears the clock out.
    pub witness: String,
    pub file: String,
    pub fault: Option<String>,
    /// The state in words.
    pub words: String,
}

impl ShownClock {
    /// Shows a clock that is kept in `file`.
    pub fn new(status: &Status, file: String) -> Self {
        let Status { trust, reading, latest, marked, fault } = status.clone();
        let Reading { at, ends, raw, boot: _ } = reading;
        Self {
            state: trust.as_str().to_owned(),
            policy: at,
            ends,
            system: raw,
            latest,
            synchronised: marked,
            witness: Witness::now().to_string(),
            file,
            fault,
            words: status.to_string(),
        }
    }
}

/// How much is kept of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCache {
    pub answers: u64,
    /// The memory that they take, about.
    pub octets: u64,
    /// Look-ups since the start that found an answer.
    pub hits: u64,
    pub misses: u64,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownAnswer {
    pub record_type: String,
    /// Whether it was asked for with the DO bit.
    pub dnssec_ok: bool,
    /// Whether it was asked for with the CD bit.
    pub checking_disabled: bool,
    /// `fresh`, or `stale`: past its lifetime, and given only where no upstream answers.
    pub state: String,
    /// Seconds of its lifetime that are left.
    pub left: u32,
    pub rcode: String,
    /// The records as master files have them, with the TTLs that they came with.
    pub records: Vec<String>,
}
