//! What the daemon asks of the ledger's thread, and what that tells in return. Not on the path of a query.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ring::Exchange;
use super::{Change, Fail, Health, LogHealth, State};
use crate::clock::Clock;

/// Changes that are held while the writer is busy; beyond it they are counted.
const MAX_CHANGES: usize = 1024;

/// What others want of the writer, and what it tells them.
pub(super) struct Inbox {
    wanted: Mutex<Wanted>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Wanted {
    changes: Vec<Change>,
    changes_lost: u64,
    flushes: Vec<SyncSender<bool>>,
    end: Option<End>,
}

/// What the writer is to do at once.
pub(super) struct Requests {
    /// Each is told whether everything is durable.
    pub(super) flushes: Vec<SyncSender<bool>>,
    pub(super) end: Option<End>,
}

/// How the thread is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After a last commit.
    Orderly,
    /// As kill -9 would.
    Abrupt,
}

impl Inbox {
    pub(super) fn new(fail: Fail) -> Self {
        let health = Health {
            state: State::Writing,
            fail,
            committed: None,
            leaves: 0,
            unwritten: 0,
            uncovered: 0,
            overflowed: 0,
            bytes: 0,
            held: false,
            log: LogHealth::default(),
        };
        Self { wanted: Mutex::default(), health: Mutex::new(health) }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the health, to be changed by the writer.
    pub(super) fn told(&self) -> MutexGuard<'_, Health> {
        // What a panicking writer has left here is still what there is to tell.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is asked for besides changes.
    pub(super) fn requests(&self) -> Requests {
        let mut wanted = self.wanted();
        Requests { flushes: std::mem::take(&mut wanted.flushes), end: wanted.end }
    }

    /// Takes the changes to be recorded, and how many there were beyond those.
    pub(super) fn take_changes(&self) -> (Vec<Change>, u64) {
        let mut wanted = self.wanted();
        (std::mem::take(&mut wanted.changes), std::mem::take(&mut wanted.changes_lost))
    }

    pub(super) fn change(&self, change: Change) {
        let mut wanted = self.wanted();
        if wanted.changes.len() < MAX_CHANGES {
            wanted.changes.push(change);
        } else {
            wanted.changes_lost += 1;
        }
    }

    pub(super) fn flush(&self) -> Receiver<bool> {
        let (done, wait) = sync_channel(1);
        self.wanted().flushes.push(done);
        wait
    }

    pub(super) fn end(&self, orderly: bool) {
        self.wanted().end = Some(if orderly { End::Orderly } else { End::Abrupt });
    }

    pub(super) fn health(&self) -> Health {
        self.told().clone()
    }
}

/// Tells that the thread is gone; by the health too, if it goes by a panic.
pub(super) struct Alarm(pub(super) Arc<Inbox>, pub(super) Arc<Exchange>, pub(super) Arc<dyn Clock>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the thread of the ledger has panicked; nothing is recorded until a restart".to_owned();
            self.0.told().state = State::Failing { since: self.2.read().raw, reason };
        }
        // Whoever waits for a record waits no longer.
        self.1.durable.end();
    }
}
