//! `interdict ledger verify`: whether a log is what was signed, and what that shows.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::{ConfigArgs, FolderArgs, MAX_NOTE, Unsound, Verifier, read_text};
use crate::cli::output::plain;
use crate::ledger::cosign::Cosigner;
use crate::ledger::verify::{
    Against, Covered, Fault, Hole, Integrity, KeySource, Report, Retired, Verification, Witnessed, verify_folder,
};

/// How many stretches of time without coverage the text lists; JSON lists them all.
const MAX_HOLES: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A data folder, its folder `ledger`, or a copy of one log; the configured data folder without it.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: whether the log continues it.
    #[arg(long, value_name = "CHECKPOINT_FILE")]
    from: Option<PathBuf>,
    /// The verifier line of the log, from somebody you trust; once for each log of the folder.
    #[arg(long, value_name = "VKEY")]
    key: Vec<Verifier>,
    /// The verifier line of a witness, from somebody you trust: what it has cosigned of the log.
    #[arg(long, value_name = "VKEY")]
    witness: Vec<Cosigner>,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    rehearsal: FolderArgs,
}

pub(super) fn run(of: &Verify, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = match &of.folder {
        Some(folder) => folder.clone(),
        None => of.rehearsal.of(&of.config.load()?).root().to_owned(),
    };
    let earlier = of.from.as_deref().map(|path| read_text(path, MAX_NOTE as u64)).transpose()?;
    if let (Some(note), Some(path)) = (&earlier, &of.from) {
        let text = note.rfind("\n\n").map(|end| &note[..=end]).unwrap_or_default();
        crate::ledger::checkpoint::Checkpoint::parse(text)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    }
    let found = verify_folder(
        &folder,
        Against { keys: &of.key, witnesses: &of.witness, earlier: earlier.as_deref(), ..Against::default() },
    )?;
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        write(&found, out)?;
    }
    Unsound::of(found.integrity).map_or(Ok(()), |unsound| Err(unsound.into()))
}

fn write(found: &Verification, out: &mut dyn Write) -> io::Result<()> {
    for (place, log) in found.logs.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        write_log(log, out)?;
    }
    write_faults(&found.faults, out)?;
    let anchored = found.logs.iter().any(|log| log.anchored.is_some() || !log.witnessed.is_empty());
    let beside = found.logs.iter().any(|log| log.key == Some(KeySource::Beside));
    writeln!(out)?;
    if anchored {
        writeln!(out, "Leaves behind what is anchored could still be written anew by whoever holds the key.")?;
    } else {
        writeln!(
            out,
            "No checkpoint that was kept elsewhere bears this out (--from): whoever holds the key could have written all"
        )?;
        writeln!(out, "of this anew, and an older copy that was put back looks the same.")?;
    }
    if beside {
        writeln!(out, "The key lay beside the log: compare it with one that you were given (--key).")?;
    }
    if found.logs.iter().any(|log| log.key == Some(KeySource::Given) && log.retired.iter().all(|retired| retired.given))
    {
        writeln!(
            out,
            "Whether a key that was given has been retired meanwhile, only the newer key or a newer checkpoint tells."
        )?;
    }
    writeln!(out, "Nothing here shows what never entered the log.")
}

fn write_log(log: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut row = |title: &str, value: String| writeln!(out, "{:<11} {}", format!("{title}:"), plain(&value));
    let origin = log.origin.as_deref().unwrap_or("unknown");
    row("log", format!("{origin} in {}", log.folder.display()))?;
    row("leaves", leaves(log))?;
    row("signed by", signed_by(log))?;
    for Retired { key, leaf, given } in &log.retired {
        let leaf = leaf.map_or_else(|| "a leaf that was removed".to_owned(), |leaf| format!("leaf {leaf}"));
        let given = if *given { ", which was given" } else { "" };
        row("before", format!("{key}{given}, until {leaf}, which both keys have signed"))?;
    }
    row(
        "integrity",
        match (log.integrity, log.first_bad_leaf) {
            (Integrity::Intact, _) => "intact".to_owned(),
            (Integrity::Incomplete, _) => "incomplete".to_owned(),
            (Integrity::Tampered, Some(leaf)) => format!("tampered (first bad leaf {leaf})"),
            (Integrity::Tampered, None) => "tampered".to_owned(),
        },
    )?;
    row(
        "anchored",
        match &log.anchored {
            None if log.witnessed.is_empty() => "none".to_owned(),
            None => "by witnesses".to_owned(),
            Some(anchor) => match anchor.at {
                Some(at) => format!("{at} (leaves 0 to {}, by their own time)", anchor.leaves.saturating_sub(1)),
                None => format!("the first {} leaves", anchor.leaves),
            },
        },
    )?;
    for Witnessed { witness, leaves, at } in &log.witnessed {
        row("witnessed", format!("{at} (leaves 0 to {}, by {witness} and its clock)", leaves.saturating_sub(1)))?;
    }
    row("coverage", coverage(&log.coverage))?;
    write_faults(&log.faults, out)?;
    if log.more_faults > 0 {
        writeln!(out, "  and {} more", log.more_faults)?;
    }
    Ok(())
}

fn signed_by(log: &Report) -> String {
    let follows = log.retired.iter().any(|retired| retired.given);
    let signer = log.signer.as_deref().unwrap_or("nobody known");
    match log.key {
        _ if follows => format!("{signer}, which follows on the key given"),
        Some(KeySource::Given) => format!("the key given{}", vouches(log)),
        Some(KeySource::Beside) => format!("the key that lies beside the log{}", vouches(log)),
        None => "nobody known".to_owned(),
    }
}

/// Returns what a key vouches for that was not the first.
fn vouches(log: &Report) -> &'static str {
    if log.retired.is_empty() { "" } else { ", which vouches for every leaf, those before it was in use too" }
}

fn write_faults(faults: &[Fault], out: &mut dyn Write) -> io::Result<()> {
    for Fault { kind, leaf: _, text } in faults {
        let word = match kind {
            Integrity::Intact => "intact",
            Integrity::Incomplete => "incomplete",
            Integrity::Tampered => "tampered",
        };
        writeln!(out, "  {word}: {}", plain(text))?;
    }
    Ok(())
}

fn leaves(log: &Report) -> String {
    let kinds: Vec<_> = log.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let pruned = match log.pruned {
        0 => String::new(),
        pruned => format!("; of the first {pruned} only the hashes are left, since they were removed for their age"),
    };
    let records = log.records.map(|(first, last)| format!(", records {first} to {last}")).unwrap_or_default();
    let kinds = if kinds.is_empty() { "none read".to_owned() } else { kinds.join(", ") };
    format!("{} ({kinds}){records}{pruned}", log.leaves)
}

fn coverage(covered: &Covered) -> String {
    let Covered { from, until, basis_points, holes, more_holes, unwritten } = covered;
    let (Some(from), Some(until)) = (from, until) else { return "unknown: no leaf tells".to_owned() };
    if from == until {
        return format!("unknown: {from} is the only instant that leaves tell of");
    }
    let mut text = format!("{}.{:02} % of {from} to {until}", basis_points / 100, basis_points % 100);
    if !holes.is_empty() {
        let listed: Vec<_> =
            holes.iter().take(MAX_HOLES).map(|Hole { from, until }| format!("from {from} to {until}")).collect();
        let more = more_holes + holes.len().saturating_sub(MAX_HOLES) as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!(" (not covered: {}{more})", listed.join(", ")));
    }
    if *unwritten > 0 {
        text.push_str(&format!("; {unwritten} look-ups are only counted, because the disk refused their records"));
    }
    text
}
