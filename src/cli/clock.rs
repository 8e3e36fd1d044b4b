//! `interdict clock`: how far the system clock is trusted, what time policy goes by, and what an operator says of it.

use std::io::Write;

use clap::{Args, Subcommand};

use super::command::DaemonArgs;
use super::folder::Folder;
use super::output::plain;
use super::settings::ConfigArgs;
use crate::clock::{Clock as _, GuardedClock, Reading};
use crate::config::ControlSocket;
use crate::control::{AskError, Command as Commanded, ShownClock};
use crate::policy::When;

#[derive(Debug, Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how far the system clock is trusted, and the instant that policy goes by.
    Show(Show),
    /// Take the system clock for right as it is now, as a time service would: after a leap ahead, prohibitions end by it
    /// again.
    Accept(Act),
    /// Forget the instants seen and take the system clock as it is now, also where policy time goes back by that: after a
    /// wrong clock was accepted. A prohibition that had begun may not have begun then.
    Reset(Act),
}

#[derive(Debug, Args)]
struct Show {
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
struct Act {
    /// Why; it is recorded.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(of: &Clock, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Show(show) => write_state(show, out),
        Command::Accept(Act { reason, daemon }) => {
            daemon.ask(&Commanded::ClockAccept { reason: reason.clone() })?.write(out)
        }
        Command::Reset(Act { reason, daemon }) => {
            daemon.ask(&Commanded::ClockReset { reason: reason.clone() })?.write(out)
        }
    }
}

fn write_state(of: &Show, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let daemon = DaemonArgs::real(of.config.clone());
    let asked = match config.control.listen {
        ControlSocket::Off => None,
        ControlSocket::InDataFolder | ControlSocket::At(_) => match daemon.ask(&Commanded::ClockShow) {
            Ok(done) => Some(done.read()?),
            // Whoever may not command may still look at the file.
            Err(error) if error.is::<AskError>() => None,
            Err(error) => return Err(error),
        },
    };
    let shown: ShownClock = match asked {
        Some(shown) => shown,
        None => {
            let folder = Folder::new(&config.data_dir, false);
            ShownClock::new(&guarded(&folder).assess(), folder.clock().display().to_string())
        }
    };
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(());
    }
    // Taken apart field by field, so that a field added to `ShownClock` has to be dealt with here.
    let ShownClock { state: _, policy, ends, system, latest, synchronised, witness, file, fault: _, words } = shown;
    writeln!(out, "{}\n", plain(&words))?;
    let mut row = |title: &str, value: String| writeln!(out, "  {title:<12} {}", plain(&value));
    row("policy time", policy.to_string())?;
    if ends != policy {
        row("ends by", ends.to_string())?;
    }
    row("system clock", system.to_string())?;
    row("latest seen", latest.to_string())?;
    row("borne out", synchronised.map_or_else(|| "not seen".to_owned(), |mark| mark.to_string()))?;
    row("asked", witness)?;
    row("kept in", file)?;
    Ok(())
}

/// Returns the time that a daemon with this data folder decides by now.
pub(super) fn now(folder: &Folder) -> When {
    let Reading { at, ends, .. } = guarded(folder).read();
    When { at, ends }
}

/// Reads what a daemon kept, and writes nothing.
fn guarded(folder: &Folder) -> GuardedClock {
    let clock = GuardedClock::system();
    clock.take_over(&folder.clock());
    clock
}
