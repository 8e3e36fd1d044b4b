//! Which waivers are in force: those of the register, and those of files; and what has changed about them unasked.

use std::path::Path;
use std::thread::JoinHandle;

use jiff::{SignedDuration, Timestamp};

use super::build::Built;
use crate::clock::Reading;
use crate::config::ControlConfig;
use crate::control::{Entry, Kept, Limits, Listed, Opened, Register, State, Unrecorded, describe, harmless};
use crate::feed::{Archive, FileWaiver};
use crate::ledger::{self, Act, Change, Changed, Ledger};
use crate::policy::{Rules, Waiver};

/// The waivers that a daemon works with.
#[derive(Debug)]
pub(super) struct Waivers {
    pub(super) register: Register,
    /// What was wrong with the register's file at the start.
    pub(super) fault: Option<String>,
    pub(super) files: Vec<FileWaiver>,
    /// Those that the register's file grants, and that nobody else has confirmed.
    unconfirmed: Vec<String>,
    /// Files that could not be read at the start, each with the reason.
    unread: Vec<String>,
    /// What files held before the last reload.
    before: Vec<FileWaiver>,
    /// Granted waivers that policy cannot be compiled with, each with the reason.
    pub(super) left_out: Vec<LeftOut>,
    /// Finds the identifiers that the journal tells of; taken where the first new one is given.
    given: Option<JoinHandle<Vec<String>>>,
    /// Of this, only the numbers count: those that something else than the register remembers.
    remembered: Kept,
}

/// A waiver that names what is no longer there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) id: String,
    pub(super) fault: String,
}

/// Why a waiver waits although the file says that it is granted.
const UNCONFIRMED: &str =
    "it was granted without anybody else having confirmed it, and waits for that: [control] four_eyes";

/// What those who watch the daemon are told of waivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) in_force: u64,
    pub(super) pending: u64,
    /// The waiver by which the installation only monitors, in words.
    pub(super) monitor_only: Option<String>,
    pub(super) faults: Vec<String>,
}

impl Waivers {
    /// Takes the register as it was found. `files` and `left_out` come with each policy.
    pub(super) fn new(opened: Opened, config: &ControlConfig) -> Self {
        let Opened { mut register, fault } = opened;
        let unconfirmed = if config.four_eyes { register.distrust() } else { Vec::new() };
        Self {
            register,
            fault,
            files: Vec::new(),
            unconfirmed,
            unread: Vec::new(),
            before: Vec::new(),
            left_out: Vec::new(),
            given: None,
            remembered: Kept::default(),
        }
    }

    /// Takes over what was built with a policy.
    pub(super) fn take(&mut self, built: &mut Built) {
        self.before = std::mem::replace(&mut self.files, std::mem::take(&mut built.files));
        self.unread = std::mem::take(&mut built.unread);
        self.left_out = std::mem::take(&mut built.left_out);
    }

    /// Records what has changed since the policy with the waivers `before` without a command.
    pub(super) fn tell(&self, ledger: &Ledger, before: &[Waiver], archive: &Archive, now: &Reading) {
        if let Some(fault) = &self.fault {
            tracing::error!(%fault, "waivers are lost");
        }
        for fault in &self.unread {
            tracing::error!(%fault, "a file of waivers cannot be read");
        }
        for out in &self.left_out {
            tracing::error!(waiver = %out.id, fault = %out.fault, "a waiver lifts nothing");
        }
        let digest = archive.digest();
        let kept = self.register.kept();
        for waiver in self.unconfirmed.iter().filter_map(|id| kept.find(id)).map(|entry| &entry.waiver) {
            let change = Change { accepted: false, ..self.unasked(waiver, UNCONFIRMED) };
            tracing::error!(by = %change.by, waiver = %in_words(waiver), "{UNCONFIRMED}");
            ledger.change(Change { policy: Some(digest), ..change });
        }
        for change in self.differences(before, &archive.operator().waivers, now) {
            tracing::warn!(by = %change.by, waiver = %change.what.as_deref().unwrap_or_default(), "{}", change.why);
            ledger.change(Change { policy: Some(digest), ..change });
        }
    }

    /// Records what the register's file says was done, where a crash came between that and its record.
    pub(super) fn catch_up(&self, ledger: &Ledger, journal: &Path) {
        let unrecorded = &self.register.kept().unrecorded;
        let Some(from) = unrecorded.iter().map(|of| of.from).min() else { return };
        let mut recorded = ledger::changes_from(journal, from).unwrap_or_else(|error| {
            tracing::warn!(%error, "the journal cannot be searched for what was done; it may be recorded twice");
            Vec::new()
        });
        for of in unrecorded {
            let late = self.late(of);
            let is_record = |seq: u64, change: &Changed| {
                let Changed { act, by, why, what, .. } = change;
                let (by, why) = (by.as_str(), why.as_str());
                let told = (by, why) == (&of.by, &of.why) || (by, why) == (&late.by, &late.why);
                told && seq >= of.from && (*act, what) == (of.act, &of.what)
            };
            // Each record stands for one thing that was done.
            match recorded.iter().position(|(seq, change)| is_record(*seq, change)) {
                Some(place) => drop(recorded.swap_remove(place)),
                None => {
                    tracing::warn!(by = %late.by, what = late.what.as_deref().unwrap_or_default(), "{}", late.why);
                    ledger.change(late);
                }
            }
        }
    }

    /// Returns the change by which something is recorded after a crash. The file alone bears it out.
    fn late(&self, of: &Unrecorded) -> Change {
        let by = format!("{}, as {} tells", of.by, harmless(&self.register.path().display().to_string()));
        let why = format!("{}; done at {:.0}, and recorded at the start after a crash", of.why, of.at);
        Change { by, what: of.what.clone(), ..Change::own(of.act, true, &why, None) }
    }

    /// Begins to look in the journal for identifiers that were given, since no file may make a resolver give them again.
    pub(super) fn look(&mut self, journal: &Path) -> std::io::Result<()> {
        let journal = journal.to_owned();
        let find = move || {
            let mut given = Vec::new();
            let found = ledger::changes(&journal, 1, |change| {
                if matches!(change.act, Act::Waiver | Act::MonitorOnly) {
                    let id = change.what.as_deref().and_then(|what| what.split_once(": "));
                    given.extend(id.map(|(id, _)| id.to_owned()));
                }
                false
            });
            if let Err(error) = found {
                tracing::warn!(%error, "the journal could not be searched for waivers; the register alone counts them");
            }
            given
        };
        self.given = Some(std::thread::Builder::new().name("waivers".to_owned()).spawn(find)?);
        Ok(())
    }

    /// Returns what is kept, to be changed, with every number noted that was ever given.
    pub(super) fn draft(&mut self, archive: &Archive) -> Kept {
        self.remembered.never_again(archive.operator().waivers.iter().map(|waiver| waiver.id.clone()));
        if let Some(given) = self.given.take() {
            // A panic was told when it happened.
            self.remembered.never_again(given.join().unwrap_or_default());
        }
        let mut kept = self.register.kept().clone();
        kept.waivers_given = kept.waivers_given.max(self.remembered.waivers_given);
        kept.monitor_only_given = kept.monitor_only_given.max(self.remembered.monitor_only_given);
        kept
    }

    /// Returns the waivers that policy goes by with this register.
    pub(super) fn with(&self, kept: &Kept) -> Vec<Waiver> {
        let applies = |waiver: &&Waiver| !self.left_out.iter().any(|out| out.id == waiver.id);
        self.files.iter().map(|file| &file.waiver).chain(kept.granted().filter(applies)).cloned().collect()
    }

    /// Returns the waiver by which the installation only monitors, or is about to.
    pub(super) fn monitor_only(&self) -> Option<&Entry> {
        let entries = self.register.kept().entries.iter();
        entries.filter(|entry| entry.state.is_open()).find(|entry| entry.waiver.scope.rules == Rules::Everything)
    }

    /// Returns how every waiver stands, those of files first.
    pub(super) fn list(&self, now: &Reading) -> Vec<Listed> {
        let files = self.files.iter().map(|file| Listed::in_file(&file.waiver, &file.path, now));
        let entries = self.register.kept().entries.iter().map(|entry| {
            let out = self.left_out.iter().find(|out| out.id == entry.waiver.id && entry.state == State::Granted);
            Listed::of(entry, out.map(|out| out.fault.clone()), now)
        });
        files.chain(entries).collect()
    }

    pub(super) fn tally(&self, now: &Reading) -> Tally {
        let listed = self.list(now);
        let count = |state: &str| listed.iter().filter(|one| one.state == state && one.fault.is_none()).count() as u64;
        let monitor_only = self.monitor_only().filter(|entry| entry.waiver.term.until() > now.at);
        let kept = self.register.kept();
        let waiting = |id: &&String| kept.find(id).is_some_and(|entry| entry.state == State::Pending);
        let unconfirmed = self.unconfirmed.iter().filter(waiting).map(|id| format!("{id}: {UNCONFIRMED}"));
        let left_out = self.left_out.iter().map(|out| format!("{} lifts nothing: {}", out.id, out.fault));
        Tally {
            in_force: count("in force"),
            pending: count("pending"),
            monitor_only: monitor_only.map(|entry| in_words(&entry.waiver)),
            faults: self.fault.iter().chain(&self.unread).cloned().chain(unconfirmed).chain(left_out).collect(),
        }
    }

    /// Returns a change for each waiver that appeared, changed or vanished between two policies without a command.
    pub(super) fn differences(&self, before: &[Waiver], after: &[Waiver], now: &Reading) -> Vec<Change> {
        let find = |list: &[Waiver], id: &str| list.iter().find(|waiver| waiver.id == id).cloned();
        let mut changes = Vec::new();
        for waiver in after {
            let why = match find(before, &waiver.id) {
                Some(old) if old == *waiver => continue,
                // It has a record of its own.
                None if self.is_kept_to_be_told(waiver) => continue,
                Some(old) => format!("it was changed; before: {}", describe(&old)),
                None => "it appeared".to_owned(),
            };
            changes.push(self.unasked(waiver, &why));
        }
        for waiver in before.iter().filter(|waiver| find(after, &waiver.id).is_none()) {
            let entry = self.register.kept().find(&waiver.id);
            match (entry.map(|entry| entry.state), self.left_out.iter().find(|out| out.id == waiver.id)) {
                (_, Some(out)) => changes.push(Change {
                    by: ledger::OWN.to_owned(),
                    ..self.unasked(waiver, &format!("it lifts nothing: {}", out.fault))
                }),
                // Ended by a command or by its time, which is recorded as such.
                (Some(State::Revoked | State::Lapsed), None) if self.is_kept_to_be_told(waiver) => {}
                (Some(state @ (State::Revoked | State::Lapsed)), None) => {
                    changes.push(self.unasked(waiver, &format!("it was set to be {}", state.as_str())));
                }
                // Told as such.
                (Some(State::Pending), None) if self.unconfirmed.contains(&waiver.id) => {}
                (None, None) if is_own(&waiver.id) && waiver.term.until() <= now.ends => {}
                _ => changes.push(self.unasked(waiver, "it vanished")),
            }
        }
        changes
    }

    /// Returns whether something was done with exactly this waiver that has a record of its own, or is about to.
    fn is_kept_to_be_told(&self, waiver: &Waiver) -> bool {
        let words = in_words(waiver);
        self.register.kept().unrecorded.iter().any(|of| of.what.as_ref() == Some(&words))
    }

    fn unasked(&self, waiver: &Waiver, why: &str) -> Change {
        let known = self.files.iter().chain(&self.before).find(|file| file.waiver.id == waiver.id);
        let path = match known {
            Some(file) => file.path.clone(),
            None if is_own(&waiver.id) => self.register.path().display().to_string(),
            // It vanished while no daemon ran; which file it stood in is not kept.
            None => "among those of [policy] waivers".to_owned(),
        };
        Change {
            by: format!("file {}", harmless(&path)),
            what: Some(in_words(waiver)),
            ..Change::own(Act::Waiver, true, why, None)
        }
    }
}

/// Returns a waiver with its terms in one line.
pub(super) fn in_words(waiver: &Waiver) -> String {
    format!("{}: {}", harmless(&waiver.id), describe(waiver))
}

/// Returns what is kept of a change until it is on record.
pub(super) fn unrecorded(change: &Change, at: Timestamp, ledger: &Ledger) -> Unrecorded {
    let Change { act, by, why, what, .. } = change.clone();
    // What is durable now came before it.
    Unrecorded { at, act, by, why, what, from: ledger.health().leaves }
}

/// Returns whether an identifier was given by a resolver.
fn is_own(id: &str) -> bool {
    id.starts_with("W-") || id.starts_with("M-")
}

/// Returns what the configuration allows.
pub(super) fn limits(config: &ControlConfig) -> Limits {
    let days = i64::from(config.waiver_max_days);
    Limits {
        four_eyes: config.four_eyes,
        longest_waiver: (days > 0).then(|| SignedDuration::from_hours(days * 24)),
        longest_monitor_only: SignedDuration::from_mins(config.monitor_only_max_minutes.into()),
    }
}
