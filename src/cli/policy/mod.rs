//! `interdict policy`: what another policy would do.

mod audience;
mod diff;
mod names;
mod page;
mod shadow;
mod side;

use std::io::Write;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare two policies name by name: what changes, for whom and from when on.
    Diff(diff::Diff),
    /// Tell what the candidate of [policy] shadow decides otherwise.
    Shadow(shadow::Shadow),
}

pub(super) fn run(of: &Policy, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Diff(of) => diff::run(of, out),
        Command::Shadow(of) => shadow::run(of, out),
    }
}
