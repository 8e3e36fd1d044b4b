//! `interdict ledger`: evidence for others: verifying a log, and what they need to do so.

mod verify;

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};

use super::command::DaemonArgs;
use super::folder::Folder;
use super::output::plain;
use super::settings::{ConfigArgs, FolderArgs};
use crate::control::Command as Commanded;
use crate::ledger::checkpoint::{Checkpoint, MAX_NOTE, Verifier};
use crate::ledger::verify::Integrity;
use crate::ledger::{self, CHECKPOINT, KEY, Proof, ProofError, Settings, logs, newest};

/// The largest proof that is read, in octets: the longest leaf, its path and a note, in base64.
const MAX_PROOF: u64 = 256 * 1024;

#[derive(Debug, Args)]
pub(super) struct Ledger {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify a log: its files, its signature, what it continues and what time it covers. Needs no configuration where a
    /// folder is given.
    Verify(verify::Verify),
    /// Write the newest checkpoint, to be kept where nobody can change it who can change the log.
    Checkpoint(Here),
    /// Write the line by which others verify what this node signs.
    Key(Here),
    /// Write a proof that a record is in the log, which others check without the log.
    Prove(Prove),
    /// Check such a proof, and show its record.
    CheckProof(CheckProof),
    /// Keep everything from now on, whatever its age and size, and let no month be forgotten: a legal hold.
    Hold(Act),
    /// End a hold.
    Release(Act),
    /// Make the key of a node before its first start, and write the line by which others verify what it signs.
    Keygen(Here),
    /// Sign the log with a new key from now on. The leaf that says so is signed with both keys.
    RotateKey(RotateKey),
}

#[derive(Debug, Args)]
struct Here {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Args)]
struct Prove {
    /// The number of the record, as `attempts` lists it.
    #[arg(value_name = "N")]
    number: u64,
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, Args)]
struct Act {
    /// Why; it is recorded.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Args)]
struct RotateKey {
    /// For how many days checkpoints have a signature of the key before too.
    #[arg(long, value_name = "N", default_value_t = 30)]
    overlap_days: u16,
    #[command(flatten)]
    act: Act,
}

#[derive(Debug, Args)]
struct CheckProof {
    /// What `prove` has written.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The verifier line of the log, as `key` writes it, from somebody you trust.
    #[arg(long, value_name = "VKEY")]
    key: Verifier,
}

/// A log that is not whole, or not what was signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsound {
    #[error("tampered with: this is not what was signed")]
    Tampered,
    #[error("incomplete: not everything that was signed is here, or can be checked")]
    Incomplete,
}

impl Unsound {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Tampered => 3,
            Self::Incomplete => 4,
        }
    }

    const fn of(integrity: Integrity) -> Option<Self> {
        match integrity {
            Integrity::Intact => None,
            Integrity::Incomplete => Some(Self::Incomplete),
            Integrity::Tampered => Some(Self::Tampered),
        }
    }
}

pub(super) fn run(of: &Ledger, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Verify(of) => verify::run(of, out),
        Command::Checkpoint(here) => show_checkpoint(&here.folder()?.log(), out),
        Command::Key(here) => show_keys(&here.folder()?.log(), out),
        Command::Prove(of) => {
            let proof = Proof::make(&of.here.folder()?.log(), of.number)?;
            Ok(write!(out, "{proof}")?)
        }
        Command::CheckProof(of) => check_proof(of, out),
        Command::Hold(Act { reason, daemon }) => {
            daemon.ask(&Commanded::LedgerHold { reason: reason.clone() })?.write(out)
        }
        Command::Release(Act { reason, daemon }) => {
            daemon.ask(&Commanded::LedgerRelease { reason: reason.clone() })?.write(out)
        }
        Command::Keygen(here) => keygen(here, out),
        Command::RotateKey(RotateKey { overlap_days, act: Act { reason, daemon } }) => {
            let command = Commanded::LedgerRotateKey { overlap_days: *overlap_days, reason: reason.clone() };
            daemon.ask(&command)?.write(out)
        }
    }
}

impl Here {
    fn folder(&self) -> anyhow::Result<Folder> {
        Ok(self.folder.of(&self.config.load()?))
    }
}

fn keygen(here: &Here, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = here.config.load()?;
    let folder = here.folder.of(&config);
    let settings = Settings {
        origin: config.ledger.origin.clone(),
        rehearsal: here.folder.is_rehearsal(),
        ..Settings::new(folder.root())
    };
    let verifier = ledger::keygen(&settings).context("no key was made")?;
    Ok(writeln!(out, "{verifier}")?)
}

fn show_checkpoint(logs: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let folder = newest(logs).with_context(|| cannot_list(logs))?.ok_or_else(|| no_log(logs))?;
    let note = read_text(&folder.join(CHECKPOINT), MAX_NOTE as u64)?;
    let key = verifier_of(&folder)?;
    Checkpoint::open(&note, &key).with_context(|| format!("the checkpoint in {} cannot be used", folder.display()))?;
    Ok(write!(out, "{note}")?)
}

fn show_keys(folder: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let numbers = logs(folder).with_context(|| cannot_list(folder))?;
    if numbers.is_empty() {
        return Err(no_log(folder));
    }
    for number in numbers {
        writeln!(out, "{}", verifier_of(&folder.join(number.to_string()))?)?;
    }
    Ok(())
}

fn verifier_of(log: &Path) -> anyhow::Result<Verifier> {
    let path = log.join(KEY);
    let text = read_text(&path, MAX_NOTE as u64)?;
    text.trim_end().parse().with_context(|| format!("cannot use {}", path.display()))
}

fn cannot_list(logs: &Path) -> String {
    format!("cannot list {}; ask as the daemon's user", logs.display())
}

fn no_log(logs: &Path) -> anyhow::Error {
    anyhow!("no log is in {}; the daemon makes one when it runs", logs.display())
}

/// Reads a small text file that somebody has named.
pub(super) fn read_text(path: &Path, most: u64) -> anyhow::Result<String> {
    let read = || {
        let file = File::open(path)?;
        let mut octets = Vec::new();
        file.take(most + 1).read_to_end(&mut octets)?;
        std::io::Result::Ok(octets)
    };
    let octets = read().with_context(|| format!("cannot read {}", path.display()))?;
    if octets.len() as u64 > most {
        bail!("{} is larger than {most} octets, which is not what was meant", path.display());
    }
    String::from_utf8(octets).with_context(|| format!("{} is not UTF-8 text", path.display()))
}

fn check_proof(of: &CheckProof, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = read_text(&of.file, MAX_PROOF)?;
    let cannot = || format!("{} proves nothing", of.file.display());
    let proof = Proof::parse(&text).with_context(cannot)?;
    let head = proof.check(&of.key).map_err(|error| match error {
        ProofError::Wrong | ProofError::Checkpoint(_) => anyhow!(error).context(Unsound::Tampered),
        ProofError::Malformed => anyhow!(error),
    });
    let head = head.with_context(cannot)?;
    writeln!(out, "the log {} has this record as leaf {} of {}:", plain(&head.origin), proof.index, head.size)?;
    writeln!(out, "{}", plain(&String::from_utf8_lossy(&proof.entry)))?;
    Ok(())
}
