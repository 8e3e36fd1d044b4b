//! `interdict policy diff OLD NEW`: what changes for whom, and from when on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::names;
use super::side::Side;
use crate::cli::audience::{self, Audience};
use crate::cli::folder::Folder;
use crate::cli::settings::ConfigArgs;
use crate::policy::{Demand, Difference, Ruling, Sink, Snapshot, Verdict, differences};
use crate::query::Target;

/// How many later instants are looked at.
const INSTANTS: usize = 256;
/// How many names are listed in all; more are only counted, so that names beyond number can be compared.
const LISTED: usize = 100_000;

/// Compare two policies: what changes for whom, name by name, now and at each later instant.
///
/// A policy is named by a configuration file, of which [policy] and the groups of clients count (variables of the
/// environment count as they do for `run`, and waivers that were added by command are in no file); by the digest of one that is archived in the data folder; or by the word
/// `current`, for the one by which the running daemon decides.
///
/// Compared are the names that catalogues and waivers of either policy list: those written out, a sample for each pattern
/// with a `*`, and one name below each suffix. This does not know what clients ask for: a name that is newly sunk may be
/// asked for all day, or never. Give the names that your network asks for with --names, or let the daemon count what a
/// candidate decides otherwise (`[policy] shadow`). Nor does it know where names lead: an answer with an alias of a sunk
/// name is withheld too.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The policy that is compared with: a configuration file, a digest, or `current`.
    #[arg(value_name = "OLD")]
    old: String,
    /// The policy that may come: a configuration file, a digest, or `current`.
    #[arg(value_name = "NEW")]
    new: String,
    /// Compare these names too, one a line, `#` before comments; `-` for standard input. One that stands there twice
    /// counts twice.
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Compare at this instant alone.
    #[arg(long, value_name = "INSTANT", value_parser = crate::cli::instant::parse)]
    at: Option<Timestamp>,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What a change comes to for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Withheld, and was not.
    Sunk,
    /// No longer withheld, nor an attempted contact with a prohibited service.
    Freed,
    /// Resolved and recorded as monitored, and was not.
    Monitored,
    /// Let through by a waiver, and was not.
    Waived,
    /// Resolved as before, for another reason.
    Reason,
    /// The same verdict, by another rule.
    Rule,
    /// Withheld as before, and answered otherwise.
    Answer,
}

impl Kind {
    pub(super) const ALL: [Self; 7] =
        [Self::Sunk, Self::Freed, Self::Monitored, Self::Waived, Self::Reason, Self::Rule, Self::Answer];

    fn of(old: &Ruling<'_>, new: &Ruling<'_>) -> Self {
        match (old.verdict, new.verdict) {
            (old_verdict, new_verdict) if old_verdict == new_verdict => {
                match (Ruling { answer: None, ..*old }) == (Ruling { answer: None, ..*new }) {
                    true => Self::Answer,
                    false => Self::Rule,
                }
            }
            (_, Verdict::Sunk) => Self::Sunk,
            (_, Verdict::Monitored) => Self::Monitored,
            (_, Verdict::Waived) => Self::Waived,
            (Verdict::Sunk | Verdict::Monitored | Verdict::Waived, _) => Self::Freed,
            (_, Verdict::Pass | Verdict::Noted | Verdict::Exempt | Verdict::Protected | Verdict::Kept) => Self::Reason,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Comparison<'a> {
    pub(super) old: Compared<'a>,
    pub(super) new: Compared<'a>,
    /// The first instant that is compared.
    pub(super) from: Timestamp,
    /// Whether that is the only one.
    pub(super) instant_only: bool,
    /// Names of the catalogues and waivers.
    pub(super) listed: usize,
    /// Further names that were given, and lines that hold none.
    pub(super) given: u64,
    pub(super) faulty_lines: u64,
    pub(super) groups: Vec<Audience>,
    /// How many names change, at each instant at which either policy changes.
    pub(super) instants: Vec<Instant>,
    /// How many later instants were not looked at.
    pub(super) instants_left_out: usize,
    pub(super) changes: Vec<Change<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Compared<'a> {
    pub(super) given: &'a str,
    pub(super) policy: String,
    pub(super) orders: Vec<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Instant {
    pub(super) at: Timestamp,
    /// Each name counts once, for however many groups it changes.
    #[serde(flatten)]
    pub(super) counts: BTreeMap<Kind, u64>,
}

/// Names that change alike, for the same clients, in the same period.
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    pub(super) change: Kind,
    /// Of the new rule, or of the old one where no rule matches any more.
    pub(super) order: Option<&'a str>,
    pub(super) service: Option<&'a str>,
    pub(super) groups: Vec<String>,
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) old: Shown<'a>,
    pub(super) new: Shown<'a>,
    pub(super) count: u64,
    /// As many of them as are listed.
    pub(super) names: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    pub(super) verdict: &'static str,
    pub(super) order: Option<&'a str>,
    pub(super) prohibition: Option<&'a str>,
    pub(super) service: Option<&'a str>,
    pub(super) waiver: Option<&'a str>,
    /// Whether clients are told that the network is bound, and how a sunk name is answered where that is not as everywhere.
    pub(super) binding: Option<bool>,
    pub(super) sink: Option<&'static str>,
}

pub(super) fn run(of: &Diff, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = Folder::new(&config.data_dir, false);
    let [old, new] = [&of.old, &of.new].map(|given| Side::load(given, &folder));
    let (old, new) = (old?, new?);
    let from = of.at.unwrap_or_else(|| crate::cli::clock::now(&folder).at);
    let mut walk = Walk::new([&old.snapshot, &new.snapshot], from, of.at.is_some());
    let listed = walk.policies.map(Snapshot::listed).into_iter().reduce(|a, b| &a | &b).unwrap_or_default();
    listed.iter().for_each(|target| walk.visit(target));
    let (given, faulty_lines) = match &of.names {
        None => (0, 0),
        Some(path) => names::each(path, &mut |name| {
            let target = Target::Name(name);
            if !listed.contains(&target) {
                walk.visit(&target);
            }
        })?,
    };
    let comparison = Comparison { listed: listed.len(), given, faulty_lines, ..walk.finish([&old, &new]) };
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&comparison)?)?;
    } else {
        super::page::write(&comparison, out)?;
    }
    Ok(())
}

/// Writes for people what changes from the first policy to the second, from an instant on.
pub(super) fn write([old, new]: [&Side; 2], from: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut walk = Walk::new([&old.snapshot, &new.snapshot], from, false);
    let listed = &old.snapshot.listed() | &new.snapshot.listed();
    listed.iter().for_each(|target| walk.visit(target));
    Ok(super::page::write(&Comparison { listed: listed.len(), ..walk.finish([old, new]) }, out)?)
}

/// What makes two changes the same, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row<'a> {
    kind: Kind,
    order: Option<&'a str>,
    service: Option<&'a str>,
    from: Timestamp,
    until: Option<Timestamp>,
    old: Ruling<'a>,
    new: Ruling<'a>,
    /// Places of audiences.
    audiences: Vec<usize>,
}

/// The comparison under way: keeps rows and sums, and never more names than are listed.
struct Walk<'a> {
    policies: [&'a Snapshot; 2],
    audiences: Vec<Audience>,
    from: Timestamp,
    instant_only: bool,
    /// Every instant that is looked at, with the counts at each.
    instants: Vec<Instant>,
    left_out: usize,
    rows: BTreeMap<Row<'a>, (u64, Vec<String>)>,
    listed: usize,
}

impl<'a> Walk<'a> {
    fn new(policies: [&'a Snapshot; 2], from: Timestamp, instant_only: bool) -> Self {
        let mut instants = BTreeSet::from([from]);
        for policy in policies.into_iter().filter(|_| !instant_only) {
            instants.extend(std::iter::successors(policy.next_instant(from), |at| policy.next_instant(*at)));
        }
        let left_out = instants.len().saturating_sub(INSTANTS + 1);
        let none = || Kind::ALL.map(|kind| (kind, 0)).into();
        Self {
            policies,
            audiences: audience::of(policies),
            from,
            instant_only,
            instants: instants.into_iter().take(INSTANTS + 1).map(|at| Instant { at, counts: none() }).collect(),
            left_out,
            rows: BTreeMap::new(),
            listed: 0,
        }
    }

    /// Compares what both policies make of a name or address, for every audience.
    fn visit(&mut self, target: &Target) {
        let [old, new] = self.policies;
        if !old.is_listed(target) && !new.is_listed(target) {
            return;
        }
        let instants = || self.instants.iter().map(|instant| instant.at);
        let found: Vec<Vec<Difference<'a>>> = (self.audiences.iter())
            .map(|of| differences((old, &of.clients[0]), (new, &of.clients[1]), target, instants()))
            .collect();
        let mut alike: Vec<(Difference<'a>, Vec<usize>)> = Vec::new();
        for (place, of) in found.iter().enumerate() {
            // The clients of a network are told apart from their group only where they are treated otherwise.
            if self.audiences[place].within.is_some_and(|group| found[group] == *of) {
                continue;
            }
            for difference in of {
                match alike.iter_mut().find(|(known, _)| known == difference) {
                    Some((_, audiences)) => audiences.push(place),
                    None => alike.push((*difference, vec![place])),
                }
            }
        }
        let rows: Vec<_> = alike.into_iter().map(|(difference, audiences)| self.row(difference, audiences)).collect();
        self.count(&rows);
        for row in rows {
            let (count, names) = self.rows.entry(row).or_default();
            *count += 1;
            if self.listed < LISTED {
                self.listed += 1;
                names.push(target.to_string());
            }
        }
    }

    fn row(&self, of: Difference<'a>, audiences: Vec<usize>) -> Row<'a> {
        let Difference { from, until, old, new } = of;
        let (order, service) = if new.order.is_some() { (new.order, new.service) } else { (old.order, old.service) };
        Row { kind: Kind::of(&old, &new), order, service, from, until, old, new, audiences }
    }

    /// Adds a name to the counts of each instant at which it changes, once for each kind of change.
    fn count(&mut self, rows: &[Row<'a>]) {
        for kind in Kind::ALL {
            let periods: Vec<_> = rows.iter().filter(|row| row.kind == kind).map(|row| (row.from, row.until)).collect();
            let Some(first) = periods.iter().map(|(from, _)| *from).min() else { continue };
            let begun = self.instants.partition_point(|instant| instant.at < first);
            for Instant { at, counts } in &mut self.instants[begun..] {
                let holds =
                    |(from, until): &(Timestamp, Option<Timestamp>)| from <= at && until.is_none_or(|end| *at < end);
                *counts.entry(kind).or_default() += u64::from(periods.iter().any(holds));
            }
        }
    }

    fn finish(self, [old, new]: [&'a Side; 2]) -> Comparison<'a> {
        let labels: Vec<_> = self.audiences.iter().map(Audience::label).collect();
        let changes = self.rows.into_iter().map(|(row, (count, names))| {
            let Row { kind, order, service, from, until, old, new, audiences } = row;
            let groups = audiences.iter().map(|place| labels[*place].clone()).collect();
            let (old, new) = (Shown::new(&old), Shown::new(&new));
            Change { change: kind, order, service, groups, from, until, old, new, count, names }
        });
        Comparison {
            old: Compared::new(old),
            new: Compared::new(new),
            from: self.from,
            instant_only: self.instant_only,
            listed: 0,
            given: 0,
            faulty_lines: 0,
            changes: changes.collect(),
            groups: self.audiences,
            instants: self.instants,
            instants_left_out: self.left_out,
        }
    }
}

impl<'a> Compared<'a> {
    fn new(side: &'a Side) -> Self {
        let orders = side.snapshot.inputs().orders.iter().map(|order| order.id.as_str()).collect();
        Self { given: &side.given, policy: side.digest(), orders }
    }
}

impl<'a> Shown<'a> {
    fn new(of: &Ruling<'a>) -> Self {
        let Ruling { verdict, order, prohibition, service, waiver, answer } = *of;
        let sink = answer.and_then(|(_, sink)| sink).map(Sink::as_str);
        let binding = answer.map(|(demand, _)| demand == Demand::External);
        Self { verdict: verdict.as_str(), order, prohibition, service, waiver, binding, sink }
    }
}
