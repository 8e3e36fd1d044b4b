//! `interdict report verify`: makes a report again from what it names, and compares.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::made::{self, Wanted};
use super::node;
use crate::ledger::checkpoint::Verifier;
use crate::report::Basis;

/// The largest report that is read.
const MAX_REPORT: u64 = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A report in any form.
    file: PathBuf,
    /// A data folder, or a copy of its folder `ledger`; once for each resolver of the report.
    #[arg(long, value_name = "DIR", required = true)]
    ledger: Vec<PathBuf>,
}

pub(super) fn run(of: &Verify, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = of.file.display();
    let mut octets = Vec::new();
    let file = File::open(&of.file).with_context(|| format!("cannot read {path}"))?;
    file.take(MAX_REPORT + 1).read_to_end(&mut octets).with_context(|| format!("cannot read {path}"))?;
    if octets.len() as u64 > MAX_REPORT {
        bail!("{path} is larger than any report");
    }
    let basis = Basis::find(&octets).with_context(|| format!("{path} names nothing that it was made from"))?;
    let mut nodes = Vec::new();
    for named in &basis.nodes {
        let keys = named.keys.iter().map(|key| key.parse::<Verifier>()).collect::<Result<Vec<_>, _>>();
        let keys = keys.with_context(|| format!("{path} names a key that is none"))?;
        let anchors: Vec<_> = named.anchor.iter().cloned().collect();
        let wanted = Wanted { keys: &keys, anchors: &anchors, verify: named.verified };
        let origin = named.logs.last().map(|log| log.origin.clone()).unwrap_or_default();
        let folder = of.ledger.iter().find(|folder| node::has(folder, &origin));
        let folder = folder.with_context(|| format!("the log {origin} is in none of the folders given (--ledger)"))?;
        nodes.push(node::reopen(folder, named, &wanted)?);
    }
    let again = made::make(basis.clone(), nodes)?;
    if again == octets {
        writeln!(out, "the same: made again from the signed leaves, {} octets", octets.len())?;
        return Ok(());
    }
    let beside = beside(&of.file);
    super::keep(&beside, &again)?;
    let line = octets.split(|octet| *octet == b'\n').zip(again.split(|octet| *octet == b'\n'));
    let line = line.take_while(|(one, other)| one == other).count() + 1;
    writeln!(
        out,
        "What the logs, keys and archived policies here give is in {}; line {line} differs.",
        beside.display()
    )?;
    writeln!(out, "Where keys or policies were destroyed or are not here, that alone makes a report another one.")?;
    bail!("{path} is not the report that these logs give")
}

fn beside(path: &std::path::Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".again");
    name.into()
}
