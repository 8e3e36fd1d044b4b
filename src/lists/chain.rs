//! The lists of an installation in their order: the first that matches decides.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::list::{List, Rule};
use super::rule::Action;
use crate::client::Client;
use crate::message::{Name, RecordType};
use crate::policy::When;

/// From when to when a list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dates {
    /// The first instant at which it decides; ever since where none is set and nothing is monitored.
    pub from: Option<Timestamp>,
    /// The first instant at which it counts no more.
    pub until: Option<Timestamp>,
    /// The first instant at which its matches are counted, though they withhold nothing. Without `from`, that is all it does.
    pub monitor_from: Option<Timestamp>,
}

/// What a list does at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Off,
    Monitored,
    Enforced,
}

impl Dates {
    fn phase(&self, at: When) -> Phase {
        if self.until.is_some_and(|until| at.ends >= until) {
            return Phase::Off;
        }
        let begun = |instant: Option<Timestamp>| instant.is_some_and(|instant| instant <= at.at);
        match (self.from, self.monitor_from) {
            (None, None) => Phase::Enforced,
            (from, _) if begun(from) => Phase::Enforced,
            (_, monitored) if begun(monitored) => Phase::Monitored,
            (Some(_), _) | (None, Some(_)) => Phase::Off,
        }
    }

    fn instants(&self) -> impl Iterator<Item = Timestamp> {
        [self.from, self.until, self.monitor_from].into_iter().flatten()
    }
}

/// A list in its place.
#[derive(Debug, Clone)]
pub struct Link {
    pub name: String,
    pub list: Arc<List>,
    pub dates: Dates,
    /// What becomes of every name that the list withholds, whatever it says itself.
    pub action: Option<Action>,
}

/// What the chain says of a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed<'a> {
    /// The place of the list in the chain.
    pub place: usize,
    pub list: &'a str,
    pub action: &'a Action,
    pub rule: Rule,
    /// Whether it is counted only, since the list does not decide yet.
    pub monitored: bool,
}

impl Listed<'_> {
    /// Returns whether the true answer is withheld.
    pub fn withholds(&self) -> bool {
        !self.monitored && *self.action != Action::Pass
    }
}

/// The ordered chain of lists. Never changes; a reload makes another one.
#[derive(Debug, Default)]
pub struct Chain {
    links: Vec<Link>,
    /// Every instant at which a list begins or ends, ascending.
    instants: Vec<Timestamp>,
    number: u64,
}

impl Chain {
    /// Returns the chain of these lists, the first of which is asked first. `number` is unique in this process.
    pub fn new(number: u64, links: Vec<Link>) -> Self {
        let mut instants: Vec<Timestamp> = links.iter().flat_map(|link| link.dates.instants()).collect();
        instants.sort_unstable();
        instants.dedup();
        Self { links, instants, number }
    }

    /// Says what the lists make of a question. The first list that matches decides, and one that lets the name pass ends the
    /// chain; a list that is only monitored decides nothing. Pure: the same arguments always give the same.
    pub fn decide(
        &self,
        name: &Name,
        record_type: RecordType,
        client: &Client,
        at: impl Into<When>,
    ) -> Option<Listed<'_>> {
        self.first(at.into(), |list| list.decide(name, record_type, client))
    }

    /// Says what the lists make of an address in an answer.
    pub fn decide_address(&self, address: IpAddr, at: impl Into<When>) -> Option<Listed<'_>> {
        self.first(at.into(), |list| list.decide_address(address))
    }

    /// Returns what each list says that counts at `at`, in their order; `ask` asks one.
    pub fn matches<'a>(
        &'a self,
        at: impl Into<When>,
        ask: impl Fn(&'a List) -> Option<(&'a Action, Rule)>,
    ) -> Vec<Listed<'a>> {
        let at = at.into();
        let places = 0..self.links.len();
        places.filter_map(|place| self.ask(place, at, &ask)).collect()
    }

    fn first<'a>(&'a self, at: When, ask: impl Fn(&'a List) -> Option<(&'a Action, Rule)>) -> Option<Listed<'a>> {
        let mut monitored = None;
        for place in 0..self.links.len() {
            match self.ask(place, at, &ask) {
                Some(listed) if !listed.monitored => return Some(listed),
                Some(listed) => monitored = monitored.or(Some(listed)),
                None => {}
            }
        }
        monitored
    }

    /// Asks the list at a place, if it counts.
    fn ask<'a>(
        &'a self,
        place: usize,
        at: When,
        ask: impl Fn(&'a List) -> Option<(&'a Action, Rule)>,
    ) -> Option<Listed<'a>> {
        let link = self.links.get(place)?;
        let phase = link.dates.phase(at);
        if phase == Phase::Off {
            return None;
        }
        let (action, rule) = ask(&link.list)?;
        let action = link.action.as_ref().filter(|_| *action != Action::Pass).unwrap_or(action);
        Some(Listed { place, list: &link.name, action, rule, monitored: phase == Phase::Monitored })
    }

    /// Returns whether a rule of any list matches `name`, whatever its conditions and dates.
    pub fn is_listed(&self, name: &Name) -> bool {
        self.links.iter().any(|link| link.list.is_listed(name))
    }

    /// Returns whether what the lists say of questions for `name` is the same whoever asks.
    pub fn says_the_same_to_all(&self, name: &Name) -> bool {
        self.links.iter().all(|link| link.list.says_the_same_to_all(name))
    }

    /// Returns whether any list says something of addresses in answers.
    pub fn has_answers(&self) -> bool {
        self.links.iter().any(|link| link.list.has_answers())
    }

    /// Returns the lists in their order.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Returns whether there is no list.
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Returns what no other chain of fewer than 2^16 instants has, nor this one before or after an instant at which a list begins or ends.
    pub fn epoch(&self, at: impl Into<When>) -> u64 {
        let When { at, ends } = at.into();
        let passed = |at| self.instants.partition_point(|instant| *instant <= at) as u64;
        self.number << 32 | passed(at) << 16 | passed(ends)
    }

    /// Returns the first instant after `at` at which a list begins or ends.
    pub fn next_instant(&self, at: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.instants.partition_point(|instant| *instant <= at)).copied()
    }
}

#[cfg(test)]
mod tests;
