//! `interdict export`: what was recorded, in a format of other systems, oldest first.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use super::settings::{ConfigArgs, FolderArgs};
use crate::export::{Clients, Encoding, Origin, Period, once};
use crate::ledger;

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
    /// The format (docs/events.md).
    #[arg(long, value_name = "FORMAT", value_parser = encoding(), default_value = "json")]
    format: Encoding,
    /// How much of who asked is written.
    #[arg(long, value_parser = clients(), default_value = "encrypted")]
    clients: Clients,
    /// Only what is not over before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    from: Option<Timestamp>,
    /// Only what begins before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    to: Option<Timestamp>,
    /// Only records with a larger number, to go on where an earlier export ended.
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// The file to write, which must not be there yet; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

fn encoding() -> impl TypedValueParser<Value = Encoding> {
    let unknown = |()| "there is no such format".to_owned();
    PossibleValuesParser::new(Encoding::WORDS).try_map(move |word| word.parse().map_err(unknown))
}

fn clients() -> impl TypedValueParser<Value = Clients> {
    let unknown = |()| "there is no such word".to_owned();
    PossibleValuesParser::new(Clients::WORDS).try_map(move |word| word.parse().map_err(unknown))
}

pub(super) fn run(of: &Export, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config);
    let origin = Origin::here(log(&folder.log()).context("cannot read the name of the log")?);
    let wanted = (Period { from: of.from, to: of.to, after: of.after }, of.format, of.clients);
    let write = |out: &mut dyn Write| once(&folder.journal(), &mut folder.keys(), &origin, wanted, out);
    let done = if of.output.as_os_str() == "-" {
        write(out)?
    } else {
        let path = of.output.display();
        // Records are not for everybody who may look into a folder.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&of.output);
        let mut file = BufWriter::new(file.with_context(|| format!("cannot make {path}"))?);
        let done = write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).with_context(|| format!("cannot write {path}"))?;
        done
    };
    // Beside the records, so that a program that reads them does not stumble.
    let last = done.last.map(|last| format!(", the last is record {last}")).unwrap_or_default();
    let mut told = format!("{} events{last}", done.events);
    if done.missed + done.damaged > 0 {
        told.push_str(&format!("; {} records are not there, {} lines are damaged", done.missed, done.damaged));
    }
    if done.unreadable > 0 {
        told.push_str(&format!("; {} are without their client, whose key is damaged", done.unreadable));
    }
    let _ = writeln!(io::stderr(), "{told}");
    Ok(())
}

/// Returns the name of the log that is written to; none before it was made.
fn log(folder: &std::path::Path) -> io::Result<Option<String>> {
    let Some(newest) = ledger::newest(folder)? else { return Ok(None) };
    let text = std::fs::read_to_string(newest.join(ledger::CHECKPOINT))?;
    let origin = text.lines().next().filter(|line| ledger::checkpoint::is_name(line));
    Ok(origin.map(str::to_owned))
}
