//! From opened resolvers to the octets of a report.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use jiff::Timestamp;

use super::node::Opened;
use crate::cli::folder;
use crate::cli::output::plain;
use crate::client::DEFAULT_GROUP;
use crate::feed::Archive;
use crate::ledger::checkpoint::Verifier;
use crate::policy::Snapshot;
use crate::report::{self, Basis, Gatherer, Source};
use crate::store::Seen;

/// What logs are held against.
#[derive(Debug)]
pub(in crate::cli) struct Wanted<'a> {
    pub(in crate::cli) keys: &'a [Verifier],
    pub(in crate::cli) anchors: &'a [String],
    pub(in crate::cli) verify: bool,
}

pub(super) fn make(basis: Basis, mut nodes: Vec<Opened>) -> anyhow::Result<Vec<u8>> {
    let policies = policies(&basis, &nodes)?;
    let mut gatherer = Gatherer::new(basis, &policies);
    for Opened { store, basis, node, keys, .. } in &mut nodes {
        let mut reveal = |seen: &Seen| report::reveal(seen, keys);
        gatherer.add(Source { store, basis, node: node.clone(), reveal: &mut reveal })?;
    }
    Ok(gatherer.finish().render()?)
}

/// Returns the archived policies that were in use, those used last at the end. One that no folder has is left out, and
/// the report says so; one that this program does not read is as if it were not there.
pub(in crate::cli) fn policies(basis: &Basis, nodes: &[Opened]) -> anyhow::Result<Vec<(String, Snapshot)>> {
    let mut used: BTreeMap<String, Timestamp> = BTreeMap::new();
    for node in nodes {
        for (at, digest) in report::policies(&node.store, &node.basis, (basis.from, basis.to))? {
            let last = used.entry(digest).or_insert(at);
            *last = (*last).max(at);
        }
    }
    let mut used: Vec<_> = used.into_iter().map(|(digest, at)| (at, digest)).collect();
    used.sort_unstable();
    Ok(compiled(used.into_iter().map(|(_, digest)| digest), nodes))
}

/// Makes sure that an order and a group that somebody names are in any of the policies that were in use: a report on one that is
/// not would read as one on a clean network.
pub(in crate::cli) fn known(
    policies: &[(String, Snapshot)],
    (order, group): (Option<&str>, Option<&str>),
) -> anyhow::Result<()> {
    let inputs = || policies.iter().map(|(_, snapshot)| snapshot.inputs());
    let orders: BTreeSet<_> = inputs().flat_map(|of| &of.orders).map(|order| order.id.as_str()).collect();
    let own = inputs().flat_map(|of| &of.operator.groups).map(|group| group.name.as_str());
    let groups: BTreeSet<_> = own.chain([DEFAULT_GROUP]).collect();
    for (what, named, known) in [("order", order, orders), ("group", group, groups)] {
        if let Some(named) = named.filter(|named| !policies.is_empty() && !known.contains(named)) {
            let (named, known) = (plain(named), known.into_iter().collect::<Vec<_>>().join(", "));
            bail!("no policy that was in use has {what} `{named}`; they have {known}");
        }
    }
    Ok(())
}

/// Returns the archived policies with these digests, as far as some folder has them and this program reads them.
pub(in crate::cli) fn compiled(digests: impl IntoIterator<Item = String>, nodes: &[Opened]) -> Vec<(String, Snapshot)> {
    let mut policies = Vec::new();
    for text in digests {
        let Ok(digest) = folder::digest(&text) else { continue };
        let archives = nodes.iter().filter_map(|node| Archive::open(node.policies.as_deref()?, &digest).ok());
        if let Some(snapshot) = archives.into_iter().find_map(|archive| archive.compile(1).ok()) {
            policies.push((text, snapshot));
        }
    }
    policies
}
