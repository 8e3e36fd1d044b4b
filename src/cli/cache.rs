//! `interdict cache`: what the daemon keeps of answers.

use std::io::Write;

use clap::{Args, Subcommand};

use super::command::DaemonArgs;
use super::output::plain;
use crate::control::{Command as Commanded, ShownAnswer, ShownCache};

#[derive(Debug, Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell how many answers are kept, and how often they served.
    Stats(Stats),
    /// Show the answers that are kept of a name.
    Show(Show),
    /// Forget kept answers: those of a name, or all. What is asked for next is asked of an upstream again.
    Flush(Flush),
}

#[derive(Debug, Args)]
struct Stats {
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Show {
    name: String,
    /// Write a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct Flush {
    /// The name; without one, everything is forgotten.
    name: Option<String>,
    /// Forget what is below the name too.
    #[arg(long, requires = "name")]
    below: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(of: &Cache, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Stats(Stats { json, daemon }) => {
            let shown: ShownCache = daemon.ask(&Commanded::CacheStats)?.read()?;
            write_stats(&shown, *json, out)
        }
        Command::Show(Show { name, json, daemon }) => {
            let shown: Vec<ShownAnswer> = daemon.ask(&Commanded::CacheShow { name: name.clone() })?.read()?;
            write_answers(&shown, *json, out)
        }
        Command::Flush(Flush { name, below, daemon }) => {
            daemon.ask(&Commanded::CacheFlush { name: name.clone(), below: *below })?.write(out)
        }
    }
}

fn write_stats(shown: &ShownCache, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(shown)?)?;
        return Ok(());
    }
    // Taken apart field by field, so that a field added to `ShownCache` has to be dealt with here.
    let ShownCache { answers, octets, hits, misses } = shown;
    for (title, value) in [("answers", answers), ("octets", octets), ("hits", hits), ("misses", misses)] {
        writeln!(out, "{title:<8} {value}")?;
    }
    Ok(())
}

fn write_answers(shown: &[ShownAnswer], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(shown)?)?;
        return Ok(());
    }
    if shown.is_empty() {
        writeln!(out, "nothing is kept of it")?;
    }
    for ShownAnswer { record_type, dnssec_ok, checking_disabled, state, left, rcode, records } in shown {
        let flags = [(*dnssec_ok, " DO"), (*checking_disabled, " CD")];
        let flags: String = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
        let left = if state == "fresh" { format!(" for {left} s") } else { String::new() };
        writeln!(out, "{}{flags}: {}, {}{left}", plain(record_type), plain(rcode), plain(state))?;
        for record in records {
            writeln!(out, "  {}", plain(record))?;
        }
    }
    Ok(())
}
