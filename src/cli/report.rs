//! `interdict report`: what the records of a period say, for readers who are not at a terminal.

pub(super) mod made;
pub(super) mod node;
mod verify;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::ledger::read_text;
use super::settings::{ConfigArgs, FolderArgs};
use crate::ledger::checkpoint::{MAX_NOTE, Verifier};
use crate::report::{self, Basis, Format, LANGUAGES, VERSION};
use made::Wanted;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Report {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Make,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a report again from the logs that it names, and compare: without any index, from the signed leaves alone.
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
struct Make {
    /// The first instant of the period.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse, required = true)]
    from: Option<Timestamp>,
    /// The instant at which the period ends.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse, required = true)]
    to: Option<Timestamp>,
    /// Only what this order decided.
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Only clients of this group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// A data folder, or a copy of its folder `ledger`; once for each resolver. Without it, the configured data folder.
    #[arg(long, value_name = "DIR")]
    ledger: Vec<PathBuf>,
    /// The form of the file.
    #[arg(long, value_name = "FORM", value_parser = format(), required = true)]
    format: Option<Format>,
    /// The file to write; `-` for standard output.
    #[arg(short, long, value_name = "FILE", required = true)]
    output: Option<PathBuf>,
    /// The language of the texts.
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = PossibleValuesParser::new(LANGUAGES))]
    lang: String,
    /// The duty to keep records that the operator claims, in words; none is claimed without it.
    #[arg(long, value_name = "TEXT")]
    duty: Option<String>,
    /// The verifier line of a log, from somebody you trust; once for each log.
    #[arg(long, value_name = "VKEY")]
    key: Vec<Verifier>,
    /// A checkpoint that was kept elsewhere: whether the log continues it; once for each resolver.
    #[arg(long, value_name = "CHECKPOINT_FILE")]
    anchor: Vec<PathBuf>,
    /// Do not verify the logs; the report says so.
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

fn format() -> impl clap::builder::TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str)).map(|word| {
        let found = Format::ALL.into_iter().find(|format| format.as_str() == word);
        found.expect("only these words are possible")
    })
}

pub(super) fn run(of: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Some(Command::Verify(verify)) => verify::run(verify, out),
        None => write(&of.make, out),
    }
}

/// Writes a file that others cannot read, since it tells whose devices asked for what.
pub(super) fn keep(path: &Path, octets: &[u8]) -> anyhow::Result<()> {
    let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = open().and_then(|mut file| file.write_all(octets));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Whoever gives one log twice would count everything in it twice.
fn distinct(nodes: &[node::Opened]) -> anyhow::Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for log in nodes.iter().flat_map(|node| &node.basis.logs) {
        if !seen.insert(&log.origin) {
            bail!("the log {} is given twice (--ledger)", log.origin);
        }
    }
    Ok(())
}

/// Whoever asks about a time of which nothing is known must not read that nothing was attempted.
fn known(nodes: &[node::Opened], from: Timestamp) -> anyhow::Result<()> {
    let mut until = None;
    for node in nodes {
        until = until.max(report::until(&node.store, &node.basis)?);
    }
    match until {
        Some(until) if until <= from => {
            bail!("nothing is known of a period that begins at {from}: records tell of the time up to {until:.0}")
        }
        Some(_) | None => Ok(()),
    }
}

fn write(of: &Make, out: &mut dyn Write) -> anyhow::Result<()> {
    // Optional only beside a subcommand.
    let (Some(from), Some(to), Some(format), Some(output)) = (of.from, of.to, of.format, &of.output) else {
        bail!("--from, --to, --format and --output are needed");
    };
    if from >= to {
        bail!("the period ends before it begins: --from {from} --to {to}");
    }
    let folders = match of.ledger.as_slice() {
        [] => vec![of.folder.of(&of.config.load()?).root().to_owned()],
        folders => folders.to_vec(),
    };
    let anchors = of.anchor.iter().map(|path| read_text(path, MAX_NOTE as u64)).collect::<anyhow::Result<Vec<_>>>()?;
    let wanted = Wanted { keys: &of.key, anchors: &anchors, verify: !of.unverified };
    let nodes = folders.iter().map(|folder| node::open(folder, &wanted)).collect::<anyhow::Result<Vec<_>>>()?;
    distinct(&nodes)?;
    known(&nodes, from)?;
    let basis = Basis {
        version: VERSION,
        format,
        lang: of.lang.clone(),
        from,
        to,
        order: of.order.clone(),
        group: of.group.clone(),
        duty: of.duty.clone(),
        nodes: nodes.iter().map(|node| node.basis.clone()).collect(),
    };
    if of.order.is_some() || of.group.is_some() {
        made::known(&made::policies(&basis, &nodes)?, (of.order.as_deref(), of.group.as_deref()))?;
    }
    let octets = made::make(basis, nodes)?;
    if output.as_os_str() == "-" {
        out.write_all(&octets)?;
        return Ok(());
    }
    keep(output, &octets)?;
    // Beside what a program may read.
    let _ = writeln!(io::stderr(), "wrote {}", output.display());
    Ok(())
}
