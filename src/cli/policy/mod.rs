//! `interdict policy`: what another policy would do.

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
    // What these do is told where their options are.
    Diff(diff::Diff),
    Shadow(shadow::Shadow),
}

pub(super) fn run(of: &Policy, out: &mut dyn Write) -> anyhow::Result<()> {
    match &of.command {
        Command::Diff(of) => diff::run(of, out),
        Command::Shadow(of) => shadow::run(of, out),
    }
}
