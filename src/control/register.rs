//! The waivers that a resolver was told of by command, in a file of the data folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Actor;
use super::form::{Form, VERSION, Versioned};
use super::unrecorded::Unrecorded;
use crate::clock::Reading;
use crate::policy::{Rules, Waiver};

/// Longer than any file that this program writes.
const LONGEST: u64 = 64 << 20;
/// How many waivers may be open at a time.
const MANY: usize = 1000;
/// How many ended ones are kept; the journal has all of them.
const REMEMBERED: usize = 1000;

/// Everything that is kept of waivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of the last waiver; numbers are never given twice.
    pub waivers_given: u64,
    /// The number of the last time that the installation was set to only monitor.
    pub monitor_only_given: u64,
    /// In the order in which they were added.
    pub entries: Vec<Entry>,
    /// What was done here and is not known to be on record.
    pub unrecorded: Vec<Unrecorded>,
}

/// A waiver with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub waiver: Waiver,
    pub state: State,
    pub added: Mark,
    pub confirmed: Option<Mark>,
    pub ended: Option<Mark>,
}

/// Who did something, and when, by policy time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    pub at: Timestamp,
    pub by: String,
    /// The user, where it was one.
    pub uid: Option<u32>,
    /// Why, where the waiver itself does not say it.
    pub why: Option<String>,
}

/// What has become of a waiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for somebody else to confirm it, and lifts nothing.
    Pending,
    /// It lifts what it names, in its term.
    Granted,
    Revoked,
    /// Its end came, or nobody confirmed it before that.
    Lapsed,
}

impl State {
    /// Returns whether something may still become of the waiver.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Granted => true,
            Self::Revoked | Self::Lapsed => false,
        }
    }

    /// Returns the word that commands use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Granted => "granted",
            Self::Revoked => "revoked",
            Self::Lapsed => "lapsed",
        }
    }
}

/// Why a change of the waivers is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no waiver {0}; `interdict waiver list --all` shows all that are known")]
    Unknown(String),
    #[error("{id} is {} already", .state.as_str())]
    Ended { id: String, state: State },
    #[error("{0} is in force already and needs nobody to confirm it")]
    Granted(String),
    #[error("{id} was added by uid {uid}; somebody else has to confirm it")]
    SameActor { id: String, uid: u32 },
    #[error("{MANY} waivers are open; revoke those that are not needed")]
    Many,
}

impl Kept {
    /// Adds a waiver under the next number, and returns its identifier.
    ///
    /// # Errors
    /// `Many` where too many are open.
    pub fn add(&mut self, waiver: Waiver, state: State, added: Mark) -> Result<String, Refusal> {
        if self.entries.iter().filter(|entry| entry.state.is_open()).count() >= MANY {
            return Err(Refusal::Many);
        }
        let (letter, given) = match waiver.scope.rules {
            Rules::Everything => ('M', &mut self.monitor_only_given),
            Rules::Order { .. } | Rules::Service { .. } => ('W', &mut self.waivers_given),
        };
        *given += 1;
        let id = format!("{letter}-{given}");
        let waiver = Waiver { id: id.clone(), ..waiver };
        self.entries.push(Entry { waiver, state, added, confirmed: None, ended: None });
        Ok(id)
    }

    /// Notes that numbers up to these were given, by whatever else remembers it.
    pub fn never_again(&mut self, ids: impl IntoIterator<Item = String>) {
        for id in ids {
            let number = |prefix: &str| id.strip_prefix(prefix).and_then(|number| number.parse::<u64>().ok());
            self.waivers_given = self.waivers_given.max(number("W-").unwrap_or_default());
            self.monitor_only_given = self.monitor_only_given.max(number("M-").unwrap_or_default());
        }
    }

    /// Puts a pending waiver in force.
    ///
    /// # Errors
    /// Where it is not pending, or was added by the same user.
    pub fn confirm(&mut self, id: &str, mark: Mark) -> Result<&Entry, Refusal> {
        let entry = self.open(id)?;
        if entry.state == State::Granted {
            return Err(Refusal::Granted(id.to_owned()));
        }
        if let (Some(uid), true) = (entry.added.uid, entry.added.uid == mark.uid) {
            return Err(Refusal::SameActor { id: id.to_owned(), uid });
        }
        (entry.state, entry.confirmed) = (State::Granted, Some(mark));
        Ok(entry)
    }

    /// Ends a waiver before its time.
    ///
    /// # Errors
    /// Where there is none, or it has ended.
    pub fn revoke(&mut self, id: &str, mark: Mark) -> Result<&Entry, Refusal> {
        let entry = self.open(id)?;
        (entry.state, entry.ended) = (State::Revoked, Some(mark));
        Ok(entry)
    }

    /// Ends every waiver whose time is over by a clock that is trusted, and returns them with what they were before.
    pub fn lapse(&mut self, now: &Reading) -> Vec<(State, Waiver)> {
        let mut lapsed = Vec::new();
        for entry in &mut self.entries {
            if entry.state.is_open() && entry.waiver.term.until() <= now.ends {
                lapsed.push((entry.state, entry.waiver.clone()));
                entry.state = State::Lapsed;
                let at = entry.waiver.term.until();
                entry.ended = Some(Mark { at, by: crate::ledger::OWN.to_owned(), uid: None, why: None });
            }
        }
        let ended = self.entries.iter().filter(|entry| !entry.state.is_open()).count();
        let mut forgotten = ended.saturating_sub(REMEMBERED);
        self.entries.retain(|entry| {
            let goes = !entry.state.is_open() && forgotten > 0;
            forgotten -= usize::from(goes);
            !goes
        });
        lapsed
    }

    /// Lets those wait again that are granted without anybody else having confirmed them, and returns their identifiers. The
    /// emergency needs nobody.
    pub fn distrust(&mut self) -> Vec<String> {
        let unseen = |entry: &&mut Entry| {
            let other = entry.confirmed.as_ref().is_some_and(|mark| mark.uid.is_some() && mark.uid != entry.added.uid);
            entry.state == State::Granted && entry.waiver.scope.rules != Rules::Everything && !other
        };
        let entries = self.entries.iter_mut().filter(unseen).map(|entry| {
            (entry.state, entry.confirmed) = (State::Pending, None);
            entry.waiver.id.clone()
        });
        entries.collect()
    }

    /// Returns the waivers that policy is to go by.
    pub fn granted(&self) -> impl Iterator<Item = &Waiver> {
        self.entries.iter().filter(|entry| entry.state == State::Granted).map(|entry| &entry.waiver)
    }

    /// Returns a waiver by its identifier.
    pub fn find(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.waiver.id == id)
    }

    fn open(&mut self, id: &str) -> Result<&mut Entry, Refusal> {
        let found = self.entries.iter_mut().find(|entry| entry.waiver.id == id);
        let entry = found.ok_or_else(|| Refusal::Unknown(super::harmless(id)))?;
        match entry.state {
            State::Pending | State::Granted => Ok(entry),
            state @ (State::Revoked | State::Lapsed) => Err(Refusal::Ended { id: id.to_owned(), state }),
        }
    }
}

impl Mark {
    /// Returns the mark of somebody who commands.
    pub fn of(actor: &Actor, at: Timestamp, why: Option<String>) -> Self {
        Self { at, by: actor.to_string(), uid: Some(actor.uid), why }
    }
}

/// Why the file is of no use, or cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the waivers cannot be kept in {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the waivers in {} are not overwritten: {why}", path.display())]
    Sealed { path: PathBuf, why: String },
}

/// The file of waivers.
#[derive(Debug)]
pub struct Register {
    path: PathBuf,
    kept: Kept,
    /// Why the file must not be written over.
    sealed: Option<String>,
}

/// A register as it was found.
#[derive(Debug)]
pub struct Opened {
    pub register: Register,
    /// What is wrong with the file, in words. No waiver that it may hold applies then.
    pub fault: Option<String>,
}

impl Register {
    /// Reads the file at `path`. One that is damaged or of a later version is put aside, and nothing in it applies.
    pub fn open(path: &Path) -> Opened {
        let (kept, why) = match read(path) {
            Ok(kept) => (kept, None),
            Err(why) => (Kept::default(), Some(why)),
        };
        let mut register = Self { path: path.to_owned(), kept, sealed: None };
        let fault = why.map(|why| match put_aside(path) {
            Ok(aside) => format!(
                "the waivers in {} are lost, and none of them applies: {why}; the file is kept as {}",
                path.display(),
                aside.display()
            ),
            Err(error) => {
                let fault = format!("none of the waivers in {} applies: {why}; {error}", path.display());
                register.sealed = Some(fault.clone());
                fault
            }
        });
        Opened { register, fault }
    }

    /// Returns what is kept.
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Lets granted waivers wait that nobody else has confirmed (see [`Kept::distrust`]); the file has it from the next
    /// change on.
    pub fn distrust(&mut self) -> Vec<String> {
        self.kept.distrust()
    }

    /// Notes that everything that was done is on record.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn settle(&mut self) -> Result<(), RegisterError> {
        if self.kept.unrecorded.is_empty() {
            return Ok(());
        }
        self.replace(Kept { unrecorded: Vec::new(), ..self.kept.clone() })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what is kept. When this returns, it survives a loss of power; where it fails, what was kept stands.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn replace(&mut self, kept: Kept) -> Result<(), RegisterError> {
        if let Some(why) = &self.sealed {
            return Err(RegisterError::Sealed { path: self.path.clone(), why: why.clone() });
        }
        write(&self.path, &kept).map_err(|source| RegisterError::Write { path: self.path.clone(), source })?;
        self.kept = kept;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Kept, String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let mut text = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LONGEST {
        return Err("it is larger than any that was ever written".to_owned());
    }
    let damaged = |error: serde_json::Error| format!("it is damaged: {error}");
    match serde_json::from_slice(&text).map_err(damaged)? {
        Versioned { version: VERSION } => {}
        Versioned { version } => return Err(format!("it has version {version}; this program reads version {VERSION}")),
    }
    let form: Form = serde_json::from_slice(&text).map_err(damaged)?;
    Kept::try_from(form).map_err(|error| format!("it is damaged: {error}"))
}

/// Returns the version of a register that a later version of this program wrote, and the one that this program knows: what it
/// has waived must not be forgotten.
pub fn newer(path: &Path) -> Option<(u32, u32)> {
    let text = fs::read(path).ok()?;
    let Versioned { version } = serde_json::from_slice(&text).ok()?;
    (version > VERSION).then_some((version, VERSION))
}

/// Writes beside the file and renames, so that a crash leaves the old one or the new one.
fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(&fresh)?;
    serde_json::to_writer_pretty(&mut file, &Form::from(kept))?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Renames the file to a name that nothing has yet.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..1000 {
        let aside = path.with_extension(format!("json.aside-{number}"));
        if fs::symlink_metadata(&aside).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("too many files are kept aside already; look at them and remove them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Party, Scope, Term};
    use std::time::Duration;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn waiver(rules: Rules) -> Waiver {
        let term = Term::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")).unwrap();
        let clients = vec![Party::Group("lab".to_owned()), Party::Network("10.0.0.7/32".parse().unwrap())];
        let scope = Scope { clients, rules, names: vec!["*.upd.acme.example".parse().unwrap()] };
        let (id, reason, approver) = (String::new(), "tests".to_owned(), "A. Counsel".to_owned());
        Waiver { id, scope, term, reason, approver, ticket: None }
    }

    fn of_order() -> Waiver {
        waiver(Rules::Order { order: "acme-2026".to_owned(), services: vec!["update".to_owned()] })
    }

    fn mark(uid: u32) -> Mark {
        Mark::of(&Actor { uid, pid: None, name: None }, at("2026-01-01T00:00:00Z"), None)
    }

    #[test]
    fn what_is_kept_reads_back_and_numbers_are_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waivers.json");
        let Opened { mut register, fault } = Register::open(&path);
        assert_eq!((register.kept(), fault), (&Kept::default(), None));
        let mut kept = register.kept().clone();
        assert_eq!(kept.add(of_order(), State::Pending, mark(1)).unwrap(), "W-1");
        assert_eq!(kept.add(waiver(Rules::Everything), State::Granted, mark(1)).unwrap(), "M-1");
        let every = Rules::Service { catalogue: "acme".to_owned(), service: "update".to_owned() };
        assert_eq!(kept.add(waiver(every), State::Granted, mark(1)).unwrap(), "W-2");
        kept.confirm("W-1", mark(2)).unwrap();
        kept.revoke("W-1", mark(3)).unwrap();
        register.replace(kept.clone()).unwrap();
        let Opened { register, fault } = Register::open(&path);
        assert_eq!((register.kept(), fault), (&kept, None));
        kept.entries.clear();
        assert_eq!(kept.add(of_order(), State::Granted, mark(1)).unwrap(), "W-3");
        // A restored file knows fewer than the journal does.
        kept.never_again(["W-17", "M-4", "lab", "W-x"].map(str::to_owned));
        assert_eq!(kept.add(of_order(), State::Granted, mark(1)).unwrap(), "W-18");
        assert_eq!(kept.add(waiver(Rules::Everything), State::Granted, mark(1)).unwrap(), "M-5");
    }

    #[test]
    fn a_file_that_is_damaged_or_newer_is_kept_aside_and_lifts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waivers.json");
        let mut kept = Kept::default();
        kept.add(of_order(), State::Granted, mark(1)).unwrap();
        write(&path, &kept).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        for (number, (bad, told)) in [
            (good[..good.len() / 2].to_owned(), "damaged"),
            (String::new(), "damaged"),
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good.replace("\"W-1\"", "\"X-1\""), "no id"),
            (good.replace("\"W-1\"", "\"W-01\""), "no id"),
            (good.replace("tests", "\\u001b[2J"), "control"),
            (good.replace("2026-01-02", "2025-01-02"), "damaged"),
            (good.replace("\"reason\"", "\"raeson\""), "damaged"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_ne!(bad, good);
            fs::write(&path, &bad).unwrap();
            assert_eq!(newer(&path), (told == "version 2").then_some((2, VERSION)));
            let Opened { mut register, fault } = Register::open(&path);
            let fault = fault.expect(told);
            assert!(fault.contains(told), "{fault}");
            assert_eq!(register.kept().granted().count(), 0);
            let aside = folder.path().join(format!("waivers.json.aside-{}", number + 1));
            assert_eq!(fs::read_to_string(aside).unwrap(), bad);
            register.replace(Kept::default()).unwrap();
        }
    }

    #[test]
    fn who_added_a_waiver_cannot_confirm_it_and_what_has_ended_stays_so() {
        let mut kept = Kept::default();
        kept.add(of_order(), State::Pending, mark(1)).unwrap();
        assert_eq!(kept.granted().count(), 0);
        assert_eq!(kept.confirm("W-1", mark(1)), Err(Refusal::SameActor { id: "W-1".to_owned(), uid: 1 }));
        assert_eq!(kept.confirm("W-2", mark(2)), Err(Refusal::Unknown("W-2".to_owned())));
        kept.confirm("W-1", mark(2)).unwrap();
        assert_eq!(kept.granted().count(), 1);
        assert_eq!(kept.confirm("W-1", mark(2)), Err(Refusal::Granted("W-1".to_owned())));
        kept.revoke("W-1", mark(1)).unwrap();
        let ended = Refusal::Ended { id: "W-1".to_owned(), state: State::Revoked };
        assert_eq!(kept.revoke("W-1", mark(1)), Err(ended.clone()));
        assert_eq!(kept.confirm("W-1", mark(2)), Err(ended));
    }

    #[test]
    fn with_four_eyes_what_nobody_else_has_confirmed_waits() {
        let mut kept = Kept::default();
        for _ in 0..3 {
            kept.add(of_order(), State::Granted, mark(1)).unwrap();
        }
        kept.add(waiver(Rules::Everything), State::Granted, mark(1)).unwrap();
        (kept.entries[1].confirmed, kept.entries[2].confirmed) = (Some(mark(1)), Some(mark(2)));
        assert_eq!(kept.distrust(), ["W-1", "W-2"]);
        assert_eq!(kept.granted().map(|waiver| waiver.id.as_str()).collect::<Vec<_>>(), ["W-3", "M-1"]);
        assert_eq!(kept.distrust(), Vec::<String>::new());
    }

    #[test]
    fn waivers_lapse_by_the_instant_that_is_trusted_and_old_ones_are_forgotten() {
        let mut kept = Kept::default();
        for number in 0..REMEMBERED + 1 {
            kept.add(of_order(), State::Granted, mark(1)).unwrap();
            if number > 0 {
                kept.revoke(&format!("W-{}", number + 1), mark(1)).unwrap();
            }
        }
        kept.add(of_order(), State::Pending, mark(1)).unwrap();
        let [before, until, far] = ["2026-01-01T23:59:59Z", "2026-01-02T00:00:00Z", "2060-01-01T00:00:00Z"].map(at);
        let reading = |at, ends| Reading { at, ends, raw: at, boot: Duration::ZERO };
        assert_eq!(kept.lapse(&reading(before, before)), []);
        assert_eq!(kept.lapse(&reading(far, before)), []);
        let lapsed = kept.lapse(&reading(until, until));
        assert_eq!(lapsed.iter().map(|(state, _)| *state).collect::<Vec<_>>(), [State::Granted, State::Pending]);
        assert_eq!((kept.entries.len(), kept.granted().count()), (REMEMBERED, 0));
        assert_eq!(kept.lapse(&reading(until, until)), []);
    }
}
