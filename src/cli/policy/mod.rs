//! `interdict policy`: what another policy would do.

mod diff;
mod names;
mod page;
mod pending;
mod shadow;
pub(super) mod side;

use std::io::Write;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // What these do is told where their options are.
    Diff(diff::Diff),
    Shadow(shadow::Shadow),
    Pending(pending::Shown),
    /// Fetch the catalogues and orders of [[policy.fetch]] now, and wait for what comes of it.
    Fetch(pending::Fetch),
    Activate(pending::Activate),
}

pub(super) fn run(of: &Policy, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Diff(of) => diff::run(of, out),
        Command::Pending(of) => pending::run(of, out),
        Command::Fetch(of) => pending::fetch(of, out),
        Command::Activate(of) => pending::activate(of, out),
        Command::Shadow(of) => shadow::run(of, out),
    }
}
