//! What was read of a file, and what could not be.

use std::collections::BTreeMap;

use super::Seen;

/// How many places are told of what could not be read.
const PLACES: usize = 10;

/// What was read of one file. Places are numbers of lines or packets, from 1 on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Lines or packets.
    pub units: u64,
    /// Queries, those that stand for several counted as such.
    pub queries: u64,
    /// Lines or packets that are no query, nor meant to be one.
    pub others: u64,
    /// Packets that the capture holds once more; each counts once.
    pub twice: u64,
    pub unread: Unread,
    /// Why reading ended before the end of the file.
    pub ended: Option<Ended>,
}

/// What could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    pub count: u64,
    /// How many for each reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Where the first ones stand, and why.
    pub first: Vec<(u64, &'static str)>,
}

/// Why reading ended before the end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The line or packet that could not be read.
    pub place: u64,
    pub why: String,
}

/// Takes what a file tells.
pub(super) struct Sink<'a> {
    pub(super) account: Account,
    each: Each<'a>,
    stopped: bool,
}

/// Is given each query with its place, and says whether it wants more.
pub(super) type Each<'a> = &'a mut dyn FnMut(&Seen, u64) -> bool;

impl<'a> Sink<'a> {
    pub(super) fn new(each: Each<'a>) -> Self {
        Self { account: Account::default(), each, stopped: false }
    }

    /// Begins the next line or packet.
    pub(super) const fn begin(&mut self) {
        self.account.units += 1;
    }

    pub(super) fn take(&mut self, seen: &Seen) {
        self.account.queries = self.account.queries.saturating_add(seen.count);
        self.stopped |= !(self.each)(seen, self.account.units);
    }

    /// Returns whether nobody wants more.
    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) const fn other(&mut self) {
        self.account.others += 1;
    }

    pub(super) const fn twice(&mut self) {
        self.account.twice += 1;
    }

    pub(super) fn unread(&mut self, why: &'static str) {
        let unread = &mut self.account.unread;
        unread.count += 1;
        *unread.reasons.entry(why).or_default() += 1;
        if unread.first.len() < PLACES {
            unread.first.push((self.account.units, why));
        }
    }

    pub(super) fn end(&mut self, why: impl Into<String>) {
        self.account.ended = Some(Ended { place: self.account.units, why: why.into() });
    }
}
