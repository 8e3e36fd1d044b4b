//! `interdict monitor-only`: an emergency in which nothing is enforced.

use std::io::Write;

use clap::Args;

use super::command::DaemonArgs;
use crate::control::Command;

#[derive(Debug, Args)]
pub(super) struct MonitorOnly {
    /// How long, such as 15m; [control] monitor_only_max_minutes bounds it.
    #[arg(
        long = "for",
        value_name = "TIME",
        value_parser = super::instant::parse_length,
        required_unless_present = "stop",
        requires = "reason"
    )]
    seconds: Option<u64>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// Enforce again before its time.
    #[arg(long, conflicts_with = "seconds")]
    stop: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn run(of: &MonitorOnly, out: &mut dyn Write) -> anyhow::Result<()> {
    let command = match of.seconds {
        Some(seconds) => Command::MonitorOnly { seconds, reason: of.reason.clone().unwrap_or_default() },
        None => Command::MonitorOnlyStop { reason: of.reason.clone() },
    };
    of.daemon.ask(&command)?.write(out)
}
