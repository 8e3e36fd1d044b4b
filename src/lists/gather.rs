//! What is gathered from the text of a list: rules for its index, and the lines that were not understood.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::index::{Builder, MAX_PAYLOAD, Scope};
use super::rule::{Action, Alias, Choice, Local, LocalRecord};
use crate::message::Name;

/// Lines that are kept with their text; more are counted only.
const MAX_TOLD: usize = 100;
/// The longest piece of a line that is kept, in characters.
const MAX_QUOTE: usize = 80;

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Counted from 1.
    pub line: usize,
    /// The line, cut where it is long. Others chose it: escape it before it is shown.
    pub text: String,
    pub reason: String,
}

/// The lines that were not understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    pub count: usize,
    /// The first of them.
    pub told: Vec<Refusal>,
}

impl Refusals {
    pub(super) fn push(&mut self, line: usize, text: &str, reason: impl Into<String>) {
        self.count += 1;
        if self.told.len() < MAX_TOLD {
            let text = text.trim().chars().take(MAX_QUOTE).collect();
            self.told.push(Refusal { line, text, reason: reason.into() });
        }
    }
}

/// Networks with what is said of each.
pub(super) type Networks = BTreeMap<IpNet, Choice>;

/// Rules as they are read.
#[derive(Debug, Default)]
pub struct Gathered {
    pub(super) builder: Builder,
    pub(super) choices: Vec<Choice>,
    numbers: HashMap<Choice, u32, foldhash::fast::RandomState>,
    /// Records of names, until all lines are read.
    local: BTreeMap<(Name, Scope), Local>,
    /// Networks of clients whose questions are all meant.
    pub(super) clients: Networks,
    /// Networks whose addresses an answer must not have.
    pub(super) answers: Networks,
    pub(super) refusals: Refusals,
}

impl Gathered {
    /// Returns the number of a choice, for [`Gathered::add`].
    ///
    /// # Errors
    /// Where a list says more different things than can be numbered.
    pub(super) fn number(&mut self, choice: Choice) -> Result<u32, String> {
        if let Some(number) = self.numbers.get(&choice) {
            return Ok(*number);
        }
        let number = u32::try_from(self.choices.len()).ok().filter(|number| *number <= MAX_PAYLOAD);
        let number = number.ok_or("the list says too many different things")?;
        self.choices.push(choice.clone());
        self.numbers.insert(choice, number);
        Ok(number)
    }

    /// Adds a rule whose choice has a number.
    pub(super) fn add(&mut self, name: &Name, scope: Scope, number: u32) {
        self.builder.add(name, scope, number);
    }

    /// Adds a rule.
    pub(super) fn rule(&mut self, name: &Name, scope: Scope, choice: Choice) -> Result<(), String> {
        let number = self.number(choice)?;
        self.add(name, scope, number);
        Ok(())
    }

    /// Adds a record of a name, to those that it has.
    pub(super) fn record(&mut self, name: &Name, scope: Scope, record: LocalRecord) -> Result<(), String> {
        let local = self.local.entry((name.clone(), scope)).or_default();
        if local.alias.is_some() {
            return Err("the name has an alias; nothing may stand beside it".to_owned());
        }
        if !local.records.contains(&record) {
            local.records.push(record);
        }
        Ok(())
    }

    /// Adds an alias of a name that has nothing else.
    pub(super) fn alias(&mut self, name: &Name, scope: Scope, alias: Alias) -> Result<(), String> {
        let local = self.local.entry((name.clone(), scope)).or_default();
        match &local.alias {
            Some(other) if *other == alias => Ok(()),
            None if local.records.is_empty() => {
                local.alias = Some(alias);
                Ok(())
            }
            Some(_) => Err("the name has another alias".to_owned()),
            None => Err("the name has records; no alias may stand beside them".to_owned()),
        }
    }

    /// Adds addresses of a name.
    pub(super) fn addresses(&mut self, name: &Name, scope: Scope, addresses: &[IpAddr]) -> Result<(), String> {
        let mut records = Local::addresses(addresses).records.into_iter();
        records.try_for_each(|record| self.record(name, scope, record))
    }

    pub(super) fn refuse(&mut self, line: usize, text: &str, reason: impl Into<String>) {
        self.refusals.push(line, text, reason);
    }

    /// Returns the lines that were not understood.
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Returns how many rules there are, for names and for addresses.
    pub fn len(&self) -> u64 {
        self.builder.len() + self.local.len() as u64 + self.clients.len() as u64 + self.answers.len() as u64
    }

    /// Returns whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the reading: what was gathered of names with records becomes rules.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for ((name, scope), mut local) in std::mem::take(&mut self.local) {
            local.records.sort();
            self.rule(&name, scope, Choice::plain(Action::Local(Box::new(local))))?;
        }
        Ok(())
    }
}
