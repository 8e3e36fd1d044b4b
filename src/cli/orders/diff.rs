//! `interdict orders --diff A B`: what one order makes of each name, beside what another makes of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::ensure;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::output::plain;
use crate::cli::settings::{Faults, texts};
use crate::client::Client;
use crate::config::Config;
use crate::feed::{self, Kind, Selection};
use crate::message::Name;
use crate::policy::{Operator, Pattern, Snapshot, Verdict};
use crate::query::Target;

/// Verdicts by the first order and by the second.
type Pair = [Verdict; 2];

#[derive(Debug, Serialize)]
struct Comparison<'a> {
    at: Timestamp,
    a: Compared<'a>,
    b: Compared<'a>,
    /// How many entries the catalogues have.
    entries: usize,
    /// How many of them the orders treat differently.
    differing: usize,
    /// How many of those only the first order sinks, and only the second.
    sunk_by_a_alone: usize,
    sunk_by_b_alone: usize,
    groups: Vec<Group<'a>>,
}

#[derive(Debug, Serialize)]
struct Compared<'a> {
    id: &'a str,
    title: &'a str,
    citation: &'a str,
}

/// Entries of one service that get the same two verdicts, in the order of the catalogue.
#[derive(Debug, Serialize)]
struct Group<'a> {
    catalogue: &'a str,
    service: &'a str,
    title: &'a str,
    a: &'static str,
    b: &'static str,
    names: Vec<Listed<'a>>,
}

/// An entry as the catalogue writes it, or one of its names where they are not all decided alike.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: String,
    r#match: &'static str,
    entry: &'a str,
}

pub(super) fn run(
    orders: [&String; 2],
    config: &Config,
    at: Timestamp,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let [a, b] = orders.map(|order| load(order, config));
    let snapshots = [&a?, &b?];
    let comparison = Comparison::new(snapshots, at);
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&comparison)?)?;
    } else {
        comparison.write(out)?;
    }
    Ok(())
}

/// Reads and compiles one order alone. What the operator sets may be of other orders, and is no part of this one.
fn load(order: &str, config: &Config) -> anyhow::Result<Snapshot> {
    let selection = Selection { orders: vec![order.to_owned()], ..config.selection() };
    let operator = Operator { removal: config.policy.operator.removal, ..Operator::default() };
    let fetched = config.shelf().documents().map_err(|faults| Faults(texts(&faults)))?;
    let catalogues = fetched.into_iter().filter(|document| document.kind == Kind::Catalogue).collect();
    let loaded = feed::load_with(&selection, catalogues, operator, 1).map_err(|faults| Faults(texts(&faults)))?;
    let count = loaded.snapshot.inputs().orders.len();
    ensure!(count == 1, "{order} stands for {count} orders; give one of its files");
    Ok(loaded.snapshot)
}

impl<'a> Comparison<'a> {
    /// Compares the only orders of two snapshots, which have the same catalogues.
    fn new([a, b]: [&'a Snapshot; 2], at: Timestamp) -> Self {
        let mut groups: BTreeMap<_, Group<'_>> = BTreeMap::new();
        let (mut differing, mut sunk_by_a_alone, mut sunk_by_b_alone) = (0, 0, 0);
        let mut position = 0;
        for (of, catalogue) in a.inputs().catalogues.iter().enumerate() {
            for entry in &catalogue.entries {
                let differences = differences([a, b], position, at);
                position += 1;
                let is_sunk_by = |one: usize, other: usize| {
                    let sunk = |pair: &Pair| pair[one] == Verdict::Sunk && pair[other] != Verdict::Sunk;
                    differences.iter().any(|(_, pair)| sunk(pair))
                };
                differing += usize::from(!differences.is_empty());
                sunk_by_a_alone += usize::from(is_sunk_by(0, 1));
                sunk_by_b_alone += usize::from(is_sunk_by(1, 0));
                let service = &catalogue.services[entry.service];
                for (name, pair) in differences {
                    let group = groups.entry((of, entry.service, pair)).or_insert_with(|| Group {
                        catalogue: &catalogue.id,
                        service: &service.id,
                        title: &service.title,
                        a: pair[0].as_str(),
                        b: pair[1].as_str(),
                        names: Vec::new(),
                    });
                    let r#match = if name.is_some() { "exact" } else { entry.pattern.matching().as_str() };
                    let name = name.map_or_else(|| entry.text.clone(), |name| name.to_string());
                    group.names.push(Listed { name, r#match, entry: &entry.text });
                }
            }
        }
        Self {
            at,
            a: Compared::new(a),
            b: Compared::new(b),
            entries: position,
            differing,
            sunk_by_a_alone,
            sunk_by_b_alone,
            groups: groups.into_values().collect(),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "At {:.3}", self.at)?;
        for (letter, of) in [("A", &self.a), ("B", &self.b)] {
            writeln!(out, "  {letter}  {} ({}, {})", plain(of.title), plain(of.id), plain(of.citation))?;
        }
        for group in &self.groups {
            let Group { service, title, a, b, names, .. } = group;
            writeln!(out, "\n{}: {}\n  {a} by A, {b} by B", plain(service), plain(title))?;
            for Listed { name, r#match, .. } in names {
                writeln!(out, "    {match:7}  {}", plain(name))?;
            }
        }
        let Self { entries, differing, sunk_by_a_alone, sunk_by_b_alone, .. } = self;
        let apart = format!("{sunk_by_a_alone} sunk by A alone, {sunk_by_b_alone} sunk by B alone");
        writeln!(out, "\n{differing} of {entries} entries differ: {apart}")
    }
}

impl<'a> Compared<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let order = &snapshot.inputs().orders[0];
        Self { id: &order.id, title: &order.title, citation: &order.citation }
    }
}

/// Returns the verdicts on an entry where they differ: without a name if they are those on all that it covers.
fn differences(snapshots: [&Snapshot; 2], entry: usize, at: Timestamp) -> Vec<(Option<Target>, Pair)> {
    // Decisions do not depend on the client so far, so that any stands for all.
    let anyone = Client::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let pattern = &snapshots[0].entry(entry).pattern;
    let network = match pattern {
        Pattern::Network(network) => Some(Target::Address(network.addr())),
        Pattern::Exact(_) | Pattern::Suffix(_) | Pattern::Pattern { .. } => None,
    };
    let decided: Vec<(Target, Pair)> = pattern
        .samples()
        .map(Target::Name)
        .chain(network)
        .map(|target| {
            let verdicts = snapshots.map(|snapshot| match &target {
                Target::Name(name) => snapshot.decide(name, &anyone, at).verdict,
                Target::Address(_) => snapshot.decide_subject(&Name::root(), &target, &anyone, at).verdict,
            });
            (target, verdicts)
        })
        .collect();
    match decided.first() {
        Some((_, pair)) if decided.iter().all(|(_, other)| other == pair) => {
            if pair[0] == pair[1] {
                Vec::new()
            } else {
                vec![(None, *pair)]
            }
        }
        _ => decided.into_iter().filter(|(_, [a, b])| a != b).map(|(name, pair)| (Some(name), pair)).collect(),
    }
}
