//! The lists of the configuration, loaded aside: a list that is no longer good stays as it was when it last was.

use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::command::chain;
use crate::client::Client;
use crate::config::{Config, Fault, ListConfig};
use crate::lists::index::Key;
use crate::lists::{self, Action, Chain, Link, List, LoadError, Refusals};
use crate::observe::Metrics;
use crate::pipeline::Lists;
use crate::policy::{Snapshot, Verdict};

/// What a list is, for `interdict check`.
#[derive(Debug)]
pub struct CheckedList {
    pub name: String,
    pub path: PathBuf,
    /// None where it is yet to be fetched.
    pub rules: Option<u64>,
    pub refusals: Refusals,
    /// Names that the list would let pass, and an order withholds all the same.
    pub overruled: Vec<String>,
}

/// The most names that are told one by one.
pub(super) const MAX_TOLD: usize = 20;

/// Loads every list. One that is not good is left as it was, or out where it never was good; that is told, and neither
/// keeps the daemon from starting nor another list from being loaded.
pub(super) fn load(config: &Config, folder: &Path, number: u64, metrics: &Metrics) -> (Arc<Lists>, Vec<String>) {
    let folder = folder.join("lists");
    let mut faults = Vec::new();
    if !config.lists.lists.is_empty()
        && let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(&folder)
    {
        faults.push(format!("cannot make {}: {error}", folder.display()));
    }
    let (mut links, mut counters) = (Vec::new(), Vec::new());
    for (place, ListConfig { source, action, dates, origin }) in config.lists.lists.iter().enumerate() {
        let lists::Loaded { list, fault, refusals } = lists::load(source, &folder, key);
        // One that is yet to be fetched is told of by whoever fetches it.
        if let Some(fault) = fault.filter(|fault| origin.is_none() || !is_missing(fault)) {
            let left = if list.is_some() { "the last good one stays" } else { "it is left out" };
            faults.push(told_of_list(config, place, format!("{}; {left}", chain(&fault)), fault.line()));
        }
        for line in told(&source.path, &refusals).take(MAX_TOLD) {
            tracing::warn!(list = source.name, "{line}");
        }
        if refusals.count > 0 {
            tracing::warn!(list = source.name, lines = refusals.count, "lines of a list were not understood");
        }
        let Some(list) = list else { continue };
        tracing::info!(list = source.name, rules = list.len(), "list loaded");
        counters.push(metrics.list(&source.name));
        links.push(Link { name: source.name.clone(), list: Arc::new(list), dates: *dates, action: action.clone() });
    }
    for fault in &faults {
        tracing::error!(%fault, "a list cannot be used as it is");
    }
    (Arc::new(Lists { chain: Chain::new(number, links), counters }), faults)
}

/// Returns the lists with another one in place of that of the same name, or where there was none, in its place.
pub(super) fn with(
    config: &Config,
    lists: &Lists,
    (name, list): (&str, List),
    number: u64,
    metrics: &Metrics,
) -> Lists {
    let list = Arc::new(list);
    let links = config.lists.lists.iter().filter_map(|ListConfig { source, action, dates, .. }| {
        let list = match source.name == name {
            true => Arc::clone(&list),
            false => Arc::clone(&lists.chain.links().iter().find(|link| link.name == source.name)?.list),
        };
        Some(Link { name: source.name.clone(), list, dates: *dates, action: action.clone() })
    });
    let links: Vec<_> = links.collect();
    let counters = links.iter().map(|link| metrics.list(&link.name)).collect();
    Lists { chain: Chain::new(number, links), counters }
}

fn is_missing(fault: &LoadError) -> bool {
    matches!(fault, LoadError::Read(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Reads every list as [`load`] would, and keeps nothing. Which names an order withholds all the same is told where there is a policy.
pub(super) fn check(
    config: &Config,
    folder: &Path,
    snapshot: Option<&Snapshot>,
    now: Timestamp,
) -> Result<Vec<CheckedList>, Vec<String>> {
    let (mut checked, mut faults) = (Vec::new(), Vec::new());
    for (place, ListConfig { source, origin, .. }) in config.lists.lists.iter().enumerate() {
        let (name, path) = (source.name.clone(), source.path.clone());
        match lists::check(source, &folder.join("lists"), key) {
            Ok((list, refusals)) => {
                let overruled = snapshot.map(|snapshot| overruled(&list, snapshot, now)).unwrap_or_default();
                checked.push(CheckedList { name, path, rules: Some(list.len()), refusals, overruled });
            }
            Err(fault) if origin.is_some() && is_missing(&fault) => {
                let (refusals, overruled) = (Refusals::default(), Vec::new());
                checked.push(CheckedList { name, path, rules: None, refusals, overruled });
            }
            Err(fault) => faults.push(told_of_list(config, place, chain(&fault), fault.line())),
        }
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults) }
}

/// Says what is wrong with a list: with the line of its own file that is at fault, or else with that of the configuration which
/// names it.
fn told_of_list(config: &Config, place: usize, text: String, line: Option<usize>) -> String {
    let lists::Source { name, path, .. } = &config.lists.lists[place].source;
    match line {
        Some(line) => Fault::told(&path.display().to_string(), Some(line), &format!("list {name}: {text}")),
        None => config.told(&format!("lists.list[{place}]"), format!("list {name}: {}: {text}", path.display())),
    }
}

/// Returns the names that a list lets pass, though an order withholds them.
fn overruled(list: &List, snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let nobody = Client::at(Ipv4Addr::UNSPECIFIED.into());
    let passed = list.rules().filter(|(_, _, choice)| choice.action == Action::Pass);
    let sunk = passed.filter(|(name, _, _)| snapshot.decide(name, &nobody, now).verdict == Verdict::Sunk);
    sunk.take(MAX_TOLD).map(|(name, _, _)| name.to_string()).collect()
}

/// Returns the lines that were not understood as `file:line: text: reason`, with what a terminal would obey escaped.
pub fn told<'a>(path: &'a Path, refusals: &'a Refusals) -> impl Iterator<Item = String> + 'a {
    refusals.told.iter().map(move |lists::Refusal { line, text, reason }| {
        let line = format!("{}:{line}: `{text}`: {reason}", path.display());
        line.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] }).collect()
    })
}

/// Gives a key that nobody can foretell.
fn key() -> Key {
    Key(rand::random())
}
