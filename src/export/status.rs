//! How an export is doing, for those who watch the daemon.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::observe::ExportCounters;

/// How one export is doing.
#[derive(Debug)]
pub struct Status {
    name: String,
    counters: ExportCounters,
    behind: AtomicU64,
    reopen: AtomicBool,
    failing: Mutex<Option<String>>,
    unreadable: Mutex<Option<String>>,
}

/// What a status is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub name: String,
    /// How many leaves on disk the receiver has not taken yet.
    pub behind: u64,
    /// Why the receiver does not take records, if so.
    pub failing: Option<String>,
    /// Why less was told of the last clients than was asked for, if so: their key cannot be read.
    pub unreadable: Option<String>,
}

impl Status {
    pub(super) fn new(name: &str, counters: ExportCounters) -> Self {
        let (behind, reopen, failing) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::new(None));
        Self { name: name.to_owned(), counters, behind, reopen, failing, unreadable: Mutex::new(None) }
    }

    /// Returns the name of the export.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how the export is doing now.
    pub fn report(&self) -> Report {
        let failing = self.failing.lock().expect("no holder of this lock panics").clone();
        let unreadable = self.unreadable.lock().expect("no holder of this lock panics").clone();
        Report { name: self.name.clone(), behind: self.behind.load(Ordering::Relaxed), failing, unreadable }
    }

    /// Has the file opened anew before anything more is written to it, since somebody moved it away.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    pub(super) fn takes_reopening(&self) -> bool {
        self.reopen.swap(false, Ordering::Relaxed)
    }

    pub(super) fn is_behind(&self, leaves: u64) {
        self.behind.store(leaves, Ordering::Relaxed);
        self.counters.behind(leaves);
    }

    pub(super) fn taken(&self, events: u64) {
        self.counters.taken(events);
        self.counters.works();
        if self.failing.lock().expect("no holder of this lock panics").take().is_some() {
            tracing::info!(export = self.name, "the receiver takes records again");
        }
    }

    pub(super) fn missed(&self, leaves: u64) {
        self.counters.missed(leaves);
    }

    /// Notes why less is told of clients than was asked for, or that it is not. What lasts is told once.
    pub(super) fn tells_clients(&self, why: Option<String>) {
        let mut unreadable = self.unreadable.lock().expect("no holder of this lock panics");
        if let Some(error) = why.as_ref().filter(|why| unreadable.as_ref() != Some(why)) {
            tracing::warn!(export = self.name, error, "records are exported without their clients in clear");
        }
        *unreadable = why;
    }

    /// Notes a failure; one that lasts is told once.
    pub(super) fn failed(&self, text: String) {
        self.counters.failed();
        let mut failing = self.failing.lock().expect("no holder of this lock panics");
        if failing.as_ref() != Some(&text) {
            tracing::warn!(export = self.name, error = text, "the receiver does not take records; it gets them later");
            *failing = Some(text);
        }
    }
}
