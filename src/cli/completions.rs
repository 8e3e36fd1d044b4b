//! `interdict completions`: from the same definitions as the help.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that the script is for.
    shell: Shell,
}

pub(super) fn run(of: &Completions, out: &mut dyn Write) -> anyhow::Result<()> {
    // Into memory first, since the generator panics where a write fails, and a pipe may be closed.
    let mut script = Vec::new();
    clap_complete::generate(of.shell, &mut super::definition(), "interdict", &mut script);
    Ok(out.write_all(&script)?)
}
