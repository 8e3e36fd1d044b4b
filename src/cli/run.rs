//! `interdict run`: the daemon.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use super::output;
use super::settings::{ConfigArgs, Faults};
use crate::daemon::{self, Invocation, StartError};
use crate::export::To;
use crate::observe;

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// Rehearse: policy time starts at this instant and runs on; records are marked and kept apart.
    #[arg(long, value_name = "INSTANT", value_parser = super::instant::parse)]
    at: Option<Timestamp>,
}

pub(super) fn run(of: &Run) -> anyhow::Result<()> {
    let config = of.config.load()?;
    observe::start(&config.log.level, config.log.format).context("cannot write a log")?;
    let load = || of.config.load_config();
    // The daemon does its work, whether anyone reads this or not.
    let records = config.export.iter().any(|receiver| receiver.to == To::Stdout);
    let announce = |text: &str| match records {
        true => drop(writeln!(io::stderr(), "{text}")),
        false => drop(writeln!(output::stdout(), "{text}")),
    };
    let invocation = Invocation { load: &load, at: of.at, file: of.config.file(), announce: &announce };
    let kept = config.clone();
    daemon::run(config, &invocation).map_err(|error| match error {
        StartError::Faults(faults) => Faults(faults).into(),
        other => match other.place(&kept) {
            Some(place) => anyhow::Error::new(other).context(place),
            None => other.into(),
        },
    })
}

/// Returns the exit code where the daemon did not start.
pub(super) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    error.downcast_ref().map(StartError::exit_code)
}
