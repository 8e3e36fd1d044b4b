//! What became of each notice, kept from one start to the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::{Kind, Known, Mark, Notice, Plan};
use crate::fetch;

/// The version of the form.
const VERSION: u32 = 1;
/// The largest file that is read, in octets.
const MAX_FILE: u64 = 16 << 20;
/// Notices that are remembered besides those that stand.
const MAX_ENTRIES: usize = 500;
/// How often a sending is tried in all.
pub(super) const TRIES: u32 = 16;

/// All that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    version: u32,
    /// The policy instant at which notices were switched on first.
    since: Option<Timestamp>,
    /// Since when each instant of a prohibition is known.
    known: BTreeMap<String, Timestamp>,
    /// The oldest first.
    pub entries: Vec<Entry>,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// What it is about, as [`Mark::key`] names it; none for a digest.
    pub about: Option<String>,
    pub due: Timestamp,
    pub channels: BTreeMap<String, Sending>,
}

/// What became of a notice by one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sending {
    pub state: State,
    pub tries: u32,
    /// The policy instant of the last try.
    pub at: Option<Timestamp>,
    /// Why it is not sent.
    pub why: Option<String>,
}

/// How a sending stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Waiting,
    Sent,
    /// It was tried as often as is done.
    Failed,
    /// A later one says more, or its way or its subject is gone.
    Replaced,
}

impl State {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Replaced => "replaced",
        }
    }
}

/// A sending that is to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub notice: Notice,
    pub channel: String,
}

impl Default for Kept {
    fn default() -> Self {
        Self { version: VERSION, since: None, known: BTreeMap::new(), entries: Vec::new() }
    }
}

impl Kept {
    /// Reads what was kept; nothing where there is no file.
    ///
    /// # Errors
    /// Where the file cannot be read, or is none of this program.
    pub fn read(path: &Path) -> io::Result<Self> {
        let metadata = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            found => found?,
        };
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if !metadata.is_file() || metadata.len() > MAX_FILE {
            return Err(wrong("it is no file of notices".to_owned()));
        }
        let kept: Self = serde_json::from_slice(&fs::read(path)?)?;
        if kept.version == VERSION { Ok(kept) } else { Err(wrong(format!("it has version {}", kept.version))) }
    }

    /// Writes it down, whole and durable.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fetch::replace(path, &serde_json::to_vec_pretty(self)?)
    }

    pub(super) fn known(&self, at: Timestamp) -> Known<'_> {
        Known { since: self.since.unwrap_or(at), marks: &self.known }
    }

    /// Notes the instants that are known from now on; those that are no more are forgotten. Returns whether anything is new.
    pub fn note(&mut self, marks: &[Mark], at: Timestamp) -> bool {
        let before = (self.since, self.known.clone());
        self.since.get_or_insert(at);
        let keys: BTreeMap<_, _> = marks.iter().map(|mark| (mark.key(), at)).collect();
        self.known.retain(|key, _| keys.contains_key(key));
        for (key, at) in keys {
            self.known.entry(key).or_insert(at);
        }
        before != (self.since, self.known.clone())
    }

    /// Takes over what stands, to be sent by each of the ways, and gives up what waits and stands no more. Returns whether
    /// anything has changed.
    pub fn take(&mut self, plan: &Plan, channels: &[String]) -> bool {
        let before = self.clone();
        for notice in &plan.standing {
            if self.entries.iter().any(|entry| entry.id == notice.id) {
                continue;
            }
            let fresh = Sending { state: State::Waiting, tries: 0, at: None, why: None };
            let channels = channels.iter().map(|channel| (channel.clone(), fresh.clone())).collect();
            let about = notice.mark.as_ref().map(Mark::key);
            self.entries.push(Entry { id: notice.id.clone(), about, due: notice.due, channels });
        }
        let stands = |id: &str| plan.standing.iter().any(|notice| notice.id == id);
        for entry in &mut self.entries {
            let standing = stands(&entry.id);
            let is_given_up = |channel: &String| !standing || !channels.contains(channel);
            let waiting = entry.channels.iter_mut().filter(|(_, sending)| sending.state == State::Waiting);
            for (_, sending) in waiting.filter(|(channel, _)| is_given_up(channel)) {
                sending.state = State::Replaced;
                let why = if standing { "the channel is configured no more" } else { "a later notice stands, or none" };
                let last = sending.why.take().map(|why| format!("; last try: {why}")).unwrap_or_default();
                sending.why = Some(format!("{why}{last}"));
            }
        }
        while self.entries.len() > MAX_ENTRIES {
            let Some(oldest) = self.entries.iter().position(|entry| !stands(&entry.id)) else { break };
            self.entries.remove(oldest);
        }
        before != *self
    }

    /// Returns what is to be tried, in the order in which it fell due.
    pub fn waiting(&self, plan: &Plan) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for notice in &plan.standing {
            let Some(entry) = self.entries.iter().find(|entry| entry.id == notice.id) else { continue };
            let channels = entry.channels.iter().filter(|(_, sending)| sending.state == State::Waiting);
            waiting.extend(channels.map(|(channel, _)| Waiting { notice: notice.clone(), channel: channel.clone() }));
        }
        waiting.sort_by_key(|waiting| (waiting.notice.due, waiting.notice.kind == Kind::Digest));
        waiting
    }

    /// Notes what came of a try. Returns how often it was tried.
    pub fn tried(&mut self, of: &Waiting, at: Timestamp, result: Result<(), String>) -> u32 {
        let entry = self.entries.iter_mut().find(|entry| entry.id == of.notice.id);
        let Some(sending) = entry.and_then(|entry| entry.channels.get_mut(&of.channel)) else { return 0 };
        sending.tries += 1;
        sending.at = Some(at);
        (sending.state, sending.why) = match result {
            Ok(()) => (State::Sent, None),
            Err(why) if sending.tries >= TRIES => (State::Failed, Some(why)),
            Err(why) => (State::Waiting, Some(why)),
        };
        sending.tries
    }
}
