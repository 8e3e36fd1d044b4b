//! Carries out commands, one after the other, and records each: who, why, and whether it was done.

use std::sync::Arc;

use jiff::SignedDuration;

use super::waivers::{in_words, limits, unrecorded};
use super::{Daemon, RECORD_TIME, Work};
use crate::control::{
    Actor, Asked, Call, Command, End, Kept, Mark, Reply, ShownClock, State, grant, harmless, quoted, reason as checked,
    term,
};
use crate::ledger::{self, Act, Change};
use crate::pipeline;
use crate::policy::{Rules, Scope, Snapshot, Waiver};

/// Why a command is refused: everything that is wrong with it.
type Refused = Vec<String>;

impl Daemon {
    /// Carries out a command, and answers with what was done or why it was refused.
    pub(super) fn carry_out(&self, work: &mut Work, call: Call) {
        let Call { actor, command, reply } = call;
        let by = &actor;
        // Answered once they have come, which nothing here waits for.
        if let Command::ListsRefresh { name } | Command::PolicyFetch { name } = &command {
            let is_list = matches!(command, Command::ListsRefresh { .. });
            return work.fetching.refresh(by, is_list, name.as_deref(), reply);
        }
        if let Command::NoticeTest = &command {
            return self.notices.test(by, reply);
        }
        let answer = match command {
            Command::WaiverAdd(asked) => self.add(work, by, &asked),
            Command::WaiverRevoke { id, reason } => self.revoke(work, by, &id, &reason),
            Command::WaiverConfirm { id } => self.confirm(work, by, &id),
            Command::MonitorOnly { seconds, reason } => self.monitor_only(work, by, seconds, &reason),
            Command::MonitorOnlyStop { reason } => self.enforce_again(work, by, reason.as_deref()),
            Command::ClockAccept { reason } => self.accept_clock(by, &reason),
            Command::ClockReset { reason } => self.reset_clock(by, &reason),
            Command::PrivacyForget { month, reason } => self.forget(by, &month, &reason),
            Command::LedgerHold { reason } => self.hold(by, &reason),
            Command::LedgerRelease { reason } => self.release(by, &reason),
            Command::LedgerRotateKey { overlap_days, reason } => self.rotate_key(by, overlap_days, &reason),
            Command::DeviceRemoved { device, person, reason } => self.device_removed(by, &device, (&person, &reason)),
            Command::DeviceWithdraw { device, person, reason } => {
                self.device_withdrawn(by, &device, (&person, &reason))
            }
            Command::WaiverList { all } => self.list(work, |listed| all || listed.is_open()),
            Command::WaiverShow { id } => self.list(work, |listed| listed.id == id),
            Command::ClockShow => self.show_clock(),
            Command::CacheStats => self.show_cache(),
            Command::CacheShow { name } => self.show_kept(&name),
            Command::CacheFlush { name, below } => self.flush(by, name.as_deref(), below),
            Command::PolicyActivate { digest, reason } => self.activate_asked(work, by, &digest, &reason),
            Command::ListsRefresh { .. } | Command::PolicyFetch { .. } | Command::NoticeTest => {
                unreachable!("carried out above")
            }
        };
        self.tally(work);
        // Whoever asked may be gone; what was done is recorded.
        let _ = reply.send(answer);
    }

    fn add(&self, work: &mut Work, by: &Actor, asked: &Asked) -> Reply {
        let now = self.clock.read();
        let limits = limits(&work.config.control);
        let state = if limits.four_eyes { State::Pending } else { State::Granted };
        let granted = grant(asked, &now, &limits).and_then(|waiver| {
            let mut kept = work.waivers.draft(&work.archive);
            let id = kept.add(waiver, state, Mark::of(by, now.at, None)).map_err(|error| vec![error.to_string()])?;
            let waiver = kept.find(&id).map(|entry| entry.waiver.clone()).unwrap_or_else(|| unreachable!("just added"));
            // What waits to be confirmed has to be such that it can be.
            let mut waivers = work.waivers.with(&kept);
            if state == State::Pending {
                waivers.push(waiver.clone());
                self.compile(work, waivers)?;
            }
            let change = by_actor(Act::Waiver, by, &waiver.reason, &waiver);
            Ok((self.apply(work, kept, vec![change])?, waiver))
        });
        match granted {
            Err(faults) => {
                let asked = serde_json::to_string(asked).unwrap_or_default();
                self.refuse(Act::Waiver, by, faults, Some(format!("asked for: {asked}")))
            }
            Ok((mut told, waiver)) => {
                let words = in_words(&waiver);
                tracing::warn!(by = %by, waiver = %words, state = state.as_str(), "a waiver was added");
                told.insert(0, words);
                if state == State::Pending {
                    let id = &waiver.id;
                    told.push(format!(
                        "it lifts nothing before somebody else confirms it: interdict waiver confirm {id}"
                    ));
                }
                Reply::Done { told, shown: Some(serde_json::json!({ "id": waiver.id })) }
            }
        }
    }

    fn confirm(&self, work: &mut Work, by: &Actor, id: &str) -> Reply {
        let mark = Mark::of(by, self.clock.read().at, None);
        let mut kept = work.waivers.draft(&work.archive);
        let what = kept.find(id).map(|entry| in_words(&entry.waiver));
        let confirmed =
            kept.confirm(id, mark).map(|entry| entry.waiver.clone()).map_err(|error| vec![error.to_string()]);
        let done = confirmed.and_then(|waiver| {
            let change = by_actor(Act::Confirm, by, "confirmed", &waiver);
            Ok((self.apply(work, kept, vec![change])?, waiver))
        });
        match done {
            Err(faults) => self.refuse(Act::Confirm, by, faults, what.or_else(|| Some(named(id)))),
            Ok((told, waiver)) => self.done(told, by, "a waiver was confirmed", &waiver),
        }
    }

    fn revoke(&self, work: &mut Work, by: &Actor, id: &str, reason: &str) -> Reply {
        let now = self.clock.read().at;
        let mut kept = work.waivers.draft(&work.archive);
        let what = kept.find(id).map(|entry| in_words(&entry.waiver));
        let in_file = work.waivers.files.iter().find(|file| file.waiver.id == id);
        let in_file = in_file.map(|file| harmless(&file.path));
        let done = checked(reason).map_err(|fault| vec![fault]).and_then(|reason| {
            if let Some(path) = in_file {
                return Err(vec![format!("{id} stands in {path}: take it out there, and reload")]);
            }
            let mark = Mark::of(by, now, Some(reason.clone()));
            let waiver = kept.revoke(id, mark).map_err(|error| vec![error.to_string()])?.waiver.clone();
            let change = by_actor(Act::Revoke, by, &reason, &waiver);
            Ok((self.apply(work, kept, vec![change])?, waiver))
        });
        match done {
            Err(faults) => self.refuse(Act::Revoke, by, faults, what.or_else(|| Some(named(id)))),
            Ok((told, waiver)) => {
                if waiver.scope.rules == Rules::Everything {
                    tracing::error!(by = %by, "the installation enforces again: {} was ended", waiver.id);
                }
                self.done(told, by, "a waiver was revoked", &waiver)
            }
        }
    }

    fn monitor_only(&self, work: &mut Work, by: &Actor, seconds: u64, reason: &str) -> Reply {
        let now = self.clock.read();
        let longest = limits(&work.config.control).longest_monitor_only;
        let long = i64::try_from(seconds).map(SignedDuration::from_secs).unwrap_or(SignedDuration::MAX);
        let terms = checked(reason).map_err(|fault| vec![fault]).and_then(|reason| {
            let refused = |fault: String| Err(vec![fault]);
            if longest.is_zero() {
                return refused("[control] monitor_only_max_minutes = 0 forbids it".to_owned());
            }
            if long.is_zero() || long > longest {
                let minutes = longest.as_mins();
                return refused(format!(
                    "it may last {minutes} minutes at most; see [control] monitor_only_max_minutes"
                ));
            }
            if let Some(entry) = work.waivers.monitor_only() {
                return refused(format!("{} does so already until {}", entry.waiver.id, entry.waiver.term.until()));
            }
            let term = term(None, End::After(seconds), &now, None).map_err(|fault| vec![fault])?;
            let scope = Scope { clients: Vec::new(), rules: Rules::Everything, names: Vec::new() };
            let approver = by.to_string();
            Ok(Waiver { id: String::new(), scope, term, reason, approver, ticket: None })
        });
        let done = terms.and_then(|waiver| {
            let mut kept = work.waivers.draft(&work.archive);
            let mark = Mark::of(by, now.at, None);
            let id = kept.add(waiver, State::Granted, mark).map_err(|error| vec![error.to_string()])?;
            let waiver = kept.find(&id).map(|entry| entry.waiver.clone()).unwrap_or_else(|| unreachable!("just added"));
            let change = by_actor(Act::MonitorOnly, by, &waiver.reason, &waiver);
            Ok((self.apply(work, kept, vec![change])?, waiver))
        });
        match done {
            Err(faults) => {
                let what = format!("asked for: {seconds} seconds; reason: {}", quoted(reason));
                self.refuse(Act::MonitorOnly, by, faults, Some(what))
            }
            Ok((mut told, waiver)) => {
                work.reminded = now.boot;
                let until = waiver.term.until();
                tracing::error!(by = %by, reason = ?waiver.reason, "nothing is enforced until {until}: only monitored");
                told.insert(0, format!("{}: nothing is enforced until {until}; all of it is recorded", waiver.id));
                told.push("interdict monitor-only --stop ends it earlier".to_owned());
                Reply::Done { told, shown: Some(serde_json::json!({ "id": waiver.id })) }
            }
        }
    }

    fn enforce_again(&self, work: &mut Work, by: &Actor, reason: Option<&str>) -> Reply {
        match work.waivers.monitor_only().map(|entry| entry.waiver.id.clone()) {
            Some(id) => self.revoke(work, by, &id, reason.unwrap_or("ended by hand")),
            None => Reply::refused("the installation is not set to only monitor"),
        }
    }

    /// Keeps `kept` with what is to be recorded, records the changes, and lets policy go by it; in this sequence, so that what
    /// was answered survives, and what is in force is recorded, by the next start if not by this one. Returns what else is to
    /// be told.
    pub(super) fn apply(&self, work: &mut Work, mut kept: Kept, changes: Vec<Change>) -> Result<Vec<String>, Refused> {
        let waivers = work.waivers.with(&kept);
        let compiled = self.compile(work, waivers)?;
        if let Some((archive, _)) = &compiled {
            self.folder.archive(archive).map_err(|error| vec![error.to_string()])?;
        }
        kept.unrecorded.extend(changes.iter().map(|change| unrecorded(change, self.clock.read().at, &self.ledger)));
        work.waivers.register.replace(kept).map_err(|error| vec![chain(&error)])?;
        if let Some((_, snapshot)) = &compiled {
            self.ledger.install(snapshot);
        }
        let digest = compiled.as_ref().map_or_else(|| work.archive.digest(), |(archive, _)| archive.digest());
        let mut told = self.record_all(changes.into_iter().map(|change| Change { policy: Some(digest), ..change }));
        if let Some((archive, snapshot)) = compiled {
            work.number += 1;
            // By the active one the next start finds what is not recorded yet.
            let unarchived = (!told.is_empty()).then(|| archive.clone()).or_else(|| {
                let error = self.folder.activate(&archive).err()?;
                told.push(format!("the policy could not be named the active one, which is tried again: {error}"));
                Some(archive.clone())
            });
            self.standing().unarchived = unarchived;
            let state = pipeline::State::clone(&self.pipeline.moment().state);
            let shadow = self.beside(&snapshot, work.waivers.register.kept(), state.shadow.as_deref());
            self.pipeline.install(pipeline::State { snapshot, shadow, ..state });
            work.archive = archive;
        }
        if told.is_empty() {
            self.settle(work);
        }
        Ok(told)
    }

    /// Notes in the register that all of it is on record, where it is, and policy is named the active one. Where that cannot
    /// be written, the next start finds the records.
    pub(super) fn settle(&self, work: &mut Work) {
        if work.waivers.register.kept().unrecorded.is_empty() || self.standing().unarchived.is_some() {
            return;
        }
        if self.recordable().is_ok() && self.ledger.flush(RECORD_TIME) {
            let _ = work.waivers.register.settle();
        }
    }

    /// Compiles the active policy with other waivers; `None` where they are the same.
    fn compile(
        &self,
        work: &Work,
        waivers: Vec<Waiver>,
    ) -> Result<Option<(crate::feed::Archive, Arc<Snapshot>)>, Refused> {
        if work.archive.operator().waivers == waivers {
            return Ok(None);
        }
        let operator = crate::policy::Operator { waivers, ..work.archive.operator().clone() };
        let archive = work.archive.with_operator(operator);
        let faults = |faults: Vec<crate::feed::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        let snapshot = archive.compile(work.number + 1).map_err(faults)?;
        Ok(Some((archive, Arc::new(snapshot))))
    }

    /// Records a change and waits for the disk. Returns what is to be told where the disk takes nothing.
    pub(super) fn record(&self, change: Change) -> Vec<String> {
        self.record_all([change])
    }

    fn record_all(&self, changes: impl IntoIterator<Item = Change>) -> Vec<String> {
        changes.into_iter().for_each(|change| self.ledger.change(change));
        match self.ledger.flush(RECORD_TIME) {
            true => Vec::new(),
            false => vec!["the record of it waits in memory, because the disk takes none at the moment".to_owned()],
        }
    }

    pub(super) fn refuse(&self, act: Act, by: &Actor, faults: Refused, what: Option<String>) -> Reply {
        let why = harmless(&faults.join("; "));
        tracing::warn!(by = %by, act = act.as_str(), why, "a command was refused");
        let what = what.map(|what| harmless(&what));
        self.record(Change { by: by.to_string(), what, ..Change::own(act, false, &why, None) });
        Reply::Refused { told: faults }
    }

    fn done(&self, mut told: Vec<String>, by: &Actor, log: &str, waiver: &Waiver) -> Reply {
        let words = in_words(waiver);
        tracing::warn!(by = %by, waiver = %words, "{log}");
        told.insert(0, words);
        Reply::Done { told, shown: None }
    }

    fn list(&self, work: &Work, wanted: impl Fn(&crate::control::Listed) -> bool) -> Reply {
        let listed: Vec<_> = work.waivers.list(&self.clock.read()).into_iter().filter(|one| wanted(one)).collect();
        match serde_json::to_value(listed) {
            Ok(listed) => Reply::Done { told: Vec::new(), shown: Some(listed) },
            Err(error) => Reply::refused(error.to_string()),
        }
    }

    fn show_clock(&self) -> Reply {
        let Some(status) = self.clock.status() else { return Reply::refused(REHEARSED) };
        match serde_json::to_value(ShownClock::new(&status, self.folder.clock().display().to_string())) {
            Ok(shown) => Reply::Done { told: Vec::new(), shown: Some(shown) },
            Err(error) => Reply::refused(error.to_string()),
        }
    }

    fn accept_clock(&self, by: &Actor, reason: &str) -> Reply {
        let Some(guard) = &self.guard else { return Reply::refused(REHEARSED) };
        let before = guard.assess();
        let asked = format!("accept: the clock was {before}");
        let able = checked(reason).and_then(|reason| {
            // Asked before it is recorded; the clock may be set back in between, and then policy time does not follow.
            if before.trust == crate::clock::Trust::Behind {
                return Err(crate::clock::Earlier { reading: before.reading }.to_string());
            }
            self.recordable().map(|()| reason)
        });
        let reason = match able {
            Ok(reason) => reason,
            Err(fault) => return self.refuse(Act::Clock, by, vec![fault], Some(asked)),
        };
        let (ends, raw) = (before.reading.ends, before.reading.raw);
        let what = format!("accept: the system clock at {raw:.6} counts, where it counted up to {ends:.6}");
        let mut told = self.record(Change {
            by: by.to_string(),
            what: Some(what),
            ..Change::own(Act::Clock, true, &reason, None)
        });
        if !told.is_empty() {
            return self.refuse(Act::Clock, by, vec![UNRECORDED.to_owned()], Some(asked));
        }
        match guard.accept() {
            Ok(acted) => {
                told.extend(acted.after.fault.clone());
                tracing::warn!(by = %by, reason = ?reason, "the system clock was accepted: it is {}", acted.after);
                told.insert(0, format!("the clock is {}", acted.after));
                Reply::Done { told, shown: None }
            }
            Err(error) => self.refuse(Act::Clock, by, vec![error.to_string()], Some(asked)),
        }
    }

    fn reset_clock(&self, by: &Actor, reason: &str) -> Reply {
        let Some(guard) = &self.guard else { return Reply::refused(REHEARSED) };
        let before = guard.assess();
        let asked = format!("reset: the clock was {before}");
        let reason = match checked(reason).and_then(|reason| self.recordable().map(|()| reason)) {
            Ok(reason) => reason,
            Err(fault) => return self.refuse(Act::Clock, by, vec![fault], Some(asked)),
        };
        let (at, raw) = (before.reading.at, before.reading.raw);
        // Before it is done, so that nothing is lifted by it unrecorded.
        let what = format!("reset: policy time goes from {at:.6} to the system clock at {raw:.6}");
        let mut told = self.record(Change {
            by: by.to_string(),
            what: Some(what),
            ..Change::own(Act::Clock, true, &reason, None)
        });
        if !told.is_empty() {
            return self.refuse(Act::Clock, by, vec![UNRECORDED.to_owned()], Some(asked));
        }
        let acted = guard.reset();
        told.extend(acted.after.fault.clone());
        let (old, new) = (acted.before.reading.at, acted.after.reading.at);
        tracing::error!(by = %by, reason = ?reason, "policy time was reset from {old:.0} to {new:.0}");
        told.insert(0, format!("policy time was {old:.0} and is {new:.0}; the clock is {}", acted.after));
        Reply::Done { told, shown: None }
    }

    /// Refuses what must not be done unrecorded while the disk takes no records.
    pub(super) fn recordable(&self) -> Result<(), String> {
        match self.ledger.health().state {
            ledger::State::Writing => Ok(()),
            ledger::State::Failing { reason, .. } => {
                Err(format!("it cannot be recorded at the moment, and is not done unrecorded: {reason}"))
            }
        }
    }
}

pub(super) const UNRECORDED: &str = "the disk did not take the record of it in time, and it is not done unrecorded; a record that comes \
                          to the disk later is followed by this refusal";
const REHEARSED: &str = "a rehearsal has a time of its own, which is not guarded";

fn by_actor(act: Act, by: &Actor, why: &str, waiver: &Waiver) -> Change {
    Change { by: by.to_string(), what: Some(in_words(waiver)), ..Change::own(act, true, why, None) }
}

fn named(id: &str) -> String {
    format!("asked for: {}", harmless(id))
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
