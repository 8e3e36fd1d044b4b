//! Commands on how long records are kept, whose they are and who signs them: forgetting a month, the legal hold, and changing
//! the key of the log. Each is on record before it is done, so that a key never goes unrecorded.

use jiff::SignedDuration;

use super::command::{UNRECORDED, chain};
use super::{Daemon, RECORD_TIME};
use crate::control::{Actor, Reply, harmless, reason as checked};
use crate::ledger::{self, Act, Change, Hold, KeyId};

impl Daemon {
    /// Destroys the keys of a month.
    pub(super) fn forget(&self, by: &Actor, month: &str, reason: &str) -> Reply {
        let keys = ledger::Settings::new(self.folder.root()).keys;
        let asked = Some(format!("asked for: {}", harmless(month)));
        let able = checked(reason).and_then(|reason| {
            let month = KeyId::month(month).ok_or_else(|| "a month is written like 2026-11".to_owned())?;
            if let Some(held) = ledger::held(self.folder.root()).map_err(|error| unreadable(&error))? {
                return Err(format!("{} holds everything since {:.0}: {}", held.by, held.since, held.reason));
            }
            self.recordable()?;
            // A key that is in memory only comes to the disk with its first record.
            self.ledger.flush(RECORD_TIME);
            match ledger::forgettable(&keys, &month).map_err(|error| chain(&error))?.is_empty() {
                true => Err(format!("there is no key of {month}")),
                false => Ok((month, reason)),
            }
        });
        let (month, reason) = match able {
            Ok(able) => able,
            Err(fault) => return self.refuse(Act::Forget, by, vec![fault], asked),
        };
        // What waits for the disk may be sealed with that key; afterwards it could not be.
        let what = format!("the keys of {month}");
        let told = self.record(by_actor(Act::Forget, by, &reason, what));
        if !told.is_empty() {
            return self.refuse(Act::Forget, by, vec![UNRECORDED.to_owned()], asked);
        }
        match ledger::forget(&keys, &month) {
            Ok(destroyed) if destroyed.is_empty() => {
                self.refuse(Act::Forget, by, vec![format!("there is no key of {month}")], asked)
            }
            Ok(destroyed) => {
                let names: Vec<_> = destroyed.iter().map(KeyId::as_str).collect();
                tracing::warn!(by = %by, ?reason, "the keys of {month} were destroyed");
                let told = vec![
                    format!("destroyed: {}; whose the records of {month} are can no longer be told", names.join(", ")),
                    "copies of the key folder still have them: destroy those too".to_owned(),
                ];
                Reply::Done { told, shown: Some(serde_json::json!({ "destroyed": names })) }
            }
            Err(error) => self.refuse(Act::Forget, by, vec![chain(&error)], asked),
        }
    }

    /// Keeps everything from now on.
    pub(super) fn hold(&self, by: &Actor, reason: &str) -> Reply {
        let data = self.folder.root();
        let able = checked(reason).and_then(|reason| match ledger::held(data) {
            Ok(Some(held)) => Err(format!("{} holds everything already, since {:.0}", held.by, held.since)),
            Ok(None) => self.recordable().map(|()| reason),
            Err(error) => Err(unreadable(&error)),
        });
        let reason = match able {
            Ok(reason) => reason,
            Err(fault) => return self.refuse(Act::Hold, by, vec![fault], None),
        };
        // Before it is recorded: nothing may go in between.
        let held = Hold { since: self.clock.read().at, by: by.to_string(), reason: reason.clone() };
        if let Err(error) = ledger::hold(data, &held) {
            return self.refuse(Act::Hold, by, vec![chain(&error)], None);
        }
        let mut told = self.record(by_actor(Act::Hold, by, &reason, "everything is kept".to_owned()));
        tracing::warn!(by = %by, ?reason, "a legal hold began: nothing is removed or forgotten");
        told.insert(0, "nothing is removed or forgotten until interdict ledger release; watch the disk".to_owned());
        Reply::Done { told, shown: None }
    }

    /// Ends the hold.
    pub(super) fn release(&self, by: &Actor, reason: &str) -> Reply {
        let data = self.folder.root();
        let able = checked(reason).and_then(|reason| match ledger::held(data) {
            Ok(None) => Err("nothing is held".to_owned()),
            // One that cannot be read is released like any other.
            Ok(Some(_)) | Err(_) => self.recordable().map(|()| reason),
        });
        let reason = match able {
            Ok(reason) => reason,
            Err(fault) => return self.refuse(Act::Release, by, vec![fault], None),
        };
        let what = "records are removed again as configured".to_owned();
        if !self.record(by_actor(Act::Release, by, &reason, what)).is_empty() {
            return self.refuse(Act::Release, by, vec![UNRECORDED.to_owned()], None);
        }
        if let Err(error) = ledger::release(data) {
            return self.refuse(Act::Release, by, vec![chain(&error)], None);
        }
        tracing::warn!(by = %by, ?reason, "the legal hold was ended");
        Reply::done("the hold has ended; records are removed again as configured")
    }

    /// Puts a new key in the place of the one that signs the log.
    pub(super) fn rotate_key(&self, by: &Actor, overlap_days: u16, reason: &str) -> Reply {
        let able = checked(reason).and_then(|reason| {
            if overlap_days > MAX_OVERLAP {
                return Err(format!("both keys may sign for {MAX_OVERLAP} days at most"));
            }
            self.recordable().map(|()| reason)
        });
        let asked = Some(format!("asked for: both keys for {overlap_days} days"));
        let reason = match able {
            Ok(reason) => reason,
            Err(fault) => return self.refuse(Act::Rotate, by, vec![fault], asked),
        };
        let overlap = SignedDuration::from_hours(24 * i64::from(overlap_days));
        match self.ledger.rotate((&by.to_string(), &reason), (self.clock.read().ends, overlap), RECORD_TIME) {
            Err(error) => self.refuse(Act::Rotate, by, vec![chain(&error)], asked),
            Ok(rotated) => {
                let (old, new) = (rotated.old.to_string(), rotated.new.to_string());
                tracing::warn!(by = %by, ?reason, old, new, "the key of the log was changed");
                let mut told = vec![
                    format!("checkpoints are signed with {new}"),
                    format!(
                        "and until {:.0} with the key before too; hand the new line out to those who verify",
                        rotated.until
                    ),
                ];
                if !rotated.done {
                    told.push(
                        "the disk has not taken it yet, and the key changes once it does; see `interdict ledger key`"
                            .to_owned(),
                    );
                }
                Reply::Done { told, shown: Some(serde_json::json!({ "old": old, "new": new, "done": rotated.done })) }
            }
        }
    }
}

/// How many days two keys may sign at most.
const MAX_OVERLAP: u16 = 366;

fn by_actor(act: Act, by: &Actor, why: &str, what: String) -> Change {
    Change { by: by.to_string(), what: Some(what), ..Change::own(act, true, why, None) }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("there is a hold that cannot be read, which holds all the same: {error}")
}
