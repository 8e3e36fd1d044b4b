//! `interdict policy pending`, `fetch` and `activate`: catalogues and orders that were fetched, before they are in force.

use std::io::Write;

use clap::Args;

use super::diff;
use super::side::Side;
use crate::cli::command::DaemonArgs;
use crate::cli::folder::Folder;
use crate::cli::output::plain;
use crate::cli::settings::{ConfigArgs, Faults, load_policy, texts};
use crate::control::Command as Commanded;

/// Show what was fetched and is not in force, and what it would change: as `policy diff` does, name by name, now and at each
/// later instant. Compared is the policy of the configuration file with and without it.
#[derive(Debug, Args)]
pub(super) struct Shown {
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// The name of one; all of them, without it.
    name: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// Put in force what was fetched: all that waits, as it was when `policy pending` showed it.
#[derive(Debug, Args)]
pub(super) struct Activate {
    /// The digest of the set, which `policy pending` shows. What has changed since is refused.
    #[arg(value_name = "SET")]
    digest: String,
    /// Why; it is recorded.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(of: &Shown, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let shelf = config.shelf();
    let pending = shelf.pending(|_| true).map_err(|fault| Faults(texts(&[fault])))?;
    if pending.news.is_empty() {
        writeln!(out, "nothing waits to be put in force")?;
        return Ok(());
    }
    let old = load_policy(&config)?;
    let archive = old.archive.with_fetched(pending.documents(&shelf));
    let new = archive.compile(2).map_err(|faults| Faults(texts(&faults)))?;
    for news in &pending.news {
        writeln!(out, "{}", plain(&news.words()))?;
    }
    writeln!(out, "set {}\n", pending.digest())?;
    let side = |given: &str, snapshot| Side { given: given.to_owned(), snapshot };
    let (old, new) = (side("in force", old.snapshot), side("with what waits", new));
    let now = crate::cli::clock::now(&Folder::new(&config.data_dir, false)).at;
    diff::write([&old, &new], now, out)
}

pub(super) fn fetch(of: &Fetch, out: &mut dyn Write) -> anyhow::Result<()> {
    of.daemon.ask(&Commanded::PolicyFetch { name: of.name.clone() })?.write(out)
}

pub(super) fn activate(of: &Activate, out: &mut dyn Write) -> anyhow::Result<()> {
    let Activate { digest, reason, daemon } = of;
    daemon.ask(&Commanded::PolicyActivate { digest: digest.clone(), reason: reason.clone() })?.write(out)
}
