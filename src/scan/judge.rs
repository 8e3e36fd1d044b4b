//! What policy says of a query that was seen: at its own time, or at another.

use jiff::Timestamp;

use super::Seen;
use crate::client::{Client, GroupId, Table};
use crate::policy::{Match, Snapshot, Verdict};

/// One policy, and when and whom it decides for.
#[derive(Debug)]
pub struct Judge<'a> {
    pub snapshot: &'a Snapshot,
    /// Who belongs to the groups of this policy.
    pub table: Table,
    /// Decides all queries as if asked then, rather than each at its own time.
    pub at: Option<Timestamp>,
    /// The place of the only order that counts.
    pub order: Option<usize>,
}

/// What a verdict rests on; ordered by order, service, prohibition and verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule<'a> {
    pub order: &'a str,
    pub service: &'a str,
    pub prohibition: Option<&'a str>,
    pub verdict: Verdict,
}

/// What was decided on one query.
#[derive(Debug, Clone, Copy)]
pub struct Verdicts<'a> {
    pub verdict: Verdict,
    pub group: GroupId,
    pub rule: Option<Rule<'a>>,
    /// The entry that matches, over all catalogues.
    pub entry: Option<usize>,
    /// Whether the attempt is recorded with its client, and not only counted.
    pub recorded: bool,
}

impl Verdicts<'_> {
    const PASS: Self =
        Self { verdict: Verdict::Pass, group: GroupId::DEFAULT, rule: None, entry: None, recorded: false };
}

impl<'a> Judge<'a> {
    /// Decides on a query as `pipeline` does on its question.
    pub fn decide(&self, seen: &Seen) -> Verdicts<'a> {
        // Nearly every name is no rule's; then it does not matter who asks.
        if !self.snapshot.is_listed(&seen.name) {
            return Verdicts::PASS;
        }
        let client = self.table.identify(seen.client);
        let found = self.deciding(seen, &client);
        let Some(found) = found else { return Verdicts { group: client.group(), ..Verdicts::PASS } };
        let rule = Rule {
            order: &self.snapshot.order_of(&found).id,
            service: &self.snapshot.service_of(found.entry).id,
            prohibition: self.snapshot.prohibition_of(&found).map(|of| of.id.as_str()),
            verdict: found.verdict,
        };
        Verdicts {
            verdict: found.verdict,
            group: client.group(),
            rule: Some(rule),
            entry: Some(found.entry),
            recorded: found.recorded,
        }
    }

    fn deciding(&self, seen: &Seen, client: &Client) -> Option<Match> {
        let at = self.at.unwrap_or(seen.at);
        match self.order {
            None => self.snapshot.decide(&seen.name, client, at).deciding,
            Some(order) => self.snapshot.matches(&seen.name, client, at).into_iter().find(|of| of.order == order),
        }
    }
}

/// What another policy, or another instant, does to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It is withheld, and was not.
    Blocked,
    /// It is no longer withheld.
    Lifted,
    /// Its verdict is another, and it is withheld by neither or by both.
    Other,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 3] = [Self::Blocked, Self::Lifted, Self::Other];

    /// Returns the word that tables and files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Lifted => "lifted",
            Self::Other => "other",
        }
    }
}

/// One change, with the rule on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Change<'a> {
    pub effect: Effect,
    pub old: Option<Rule<'a>>,
    pub new: Option<Rule<'a>>,
}

impl<'a> Change<'a> {
    /// Returns what becomes of a query; nothing where it is treated as before.
    pub fn of(old: &Verdicts<'a>, new: &Verdicts<'a>) -> Option<Self> {
        let effect = match (old.verdict, new.verdict) {
            (old_verdict, new_verdict) if old_verdict == new_verdict && old.rule == new.rule => return None,
            (Verdict::Sunk, Verdict::Sunk) => Effect::Other,
            (_, Verdict::Sunk) => Effect::Blocked,
            (Verdict::Sunk, _) => Effect::Lifted,
            (_, _) => Effect::Other,
        };
        Some(Self { effect, old: old.rule, new: new.rule })
    }

    /// Returns whether the new rule explains it, rather than the old one.
    pub const fn is_by_new(&self) -> bool {
        match self.effect {
            Effect::Blocked => true,
            Effect::Lifted => self.old.is_none(),
            Effect::Other => self.new.is_some(),
        }
    }
}
