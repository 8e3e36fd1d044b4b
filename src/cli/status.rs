//! `interdict status`: one screen on what is in force and how the daemon is.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::explain;
use super::folder::Folder;
use super::output::plain;
use super::probe::{self, Check};
use super::settings::ConfigArgs;
use crate::policy::When;

/// Ends with 0 where a daemon runs, is ready and finds everything well; with 1 where it is not ready or cannot be asked, with 2
/// where it answers and something is not well, with 69 where none runs.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    config: ConfigArgs,
    /// Write a JSON object.
    #[arg(long)]
    json: bool,
}

/// What is shown; the keys are for scripts.
#[derive(Debug, Serialize)]
struct Shown {
    running: bool,
    listening: Vec<String>,
    policy: String,
    orders: Vec<ShownOrder>,
    /// When something about the orders changes by itself.
    next_instant: Option<Timestamp>,
    /// None where nobody is asked, or the admin listener does not answer.
    ready: Option<bool>,
    /// What the daemon tells of itself.
    checks: Vec<Check>,
    /// Why it tells nothing.
    silent: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShownOrder {
    id: String,
    title: String,
}

/// Why the command does not end with 0, all of it being told by then.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwell {
    #[error("no daemon runs in the data folder")]
    Stopped,
    #[error("the daemon is not ready")]
    Unready,
    #[error("the daemon answers, and something is not well")]
    Told,
}

impl Unwell {
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Unready => 1,
            Self::Told => 2,
            Self::Stopped => 69,
        }
    }
}

pub(super) fn run(of: &Status, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let folder = Folder::new(&config.data_dir, false);
    let running = folder.running_policy()?.is_some();
    let (snapshot, _) = explain::policy(false, &config, &folder)?;
    let When { at, .. } = super::clock::now(&folder);
    let asked = config.admin.listen.map(|admin| probe::health(probe::reachable(admin)));
    let (health, silent) = match asked {
        None => (None, Some("[admin] listen is \"\"".to_owned())),
        Some(Ok(health)) => (Some(health), None),
        Some(Err(error)) => (None, Some(format!("the admin listener does not answer: {error}"))),
    };
    let orders = snapshot.inputs().orders.iter();
    let shown = Shown {
        running,
        listening: config.listen.dns.iter().map(ToString::to_string).collect(),
        policy: hex::encode(snapshot.digest()),
        orders: orders.map(|order| ShownOrder { id: order.id.to_string(), title: order.title.to_string() }).collect(),
        next_instant: snapshot.next_instant(at),
        ready: health.as_ref().map(|health| health.ready),
        checks: health.map(|health| health.checks).unwrap_or_default(),
        silent,
    };
    if of.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
    } else {
        shown.write(out)?;
    }
    match (running, shown.ready) {
        (false, _) => Err(Unwell::Stopped.into()),
        (true, Some(false)) => Err(Unwell::Unready.into()),
        // One that is to be asked, and does not answer.
        (true, None) if config.admin.listen.is_some() => Err(Unwell::Unready.into()),
        (true, _) if shown.checks.iter().any(|check| !check.ok) => Err(Unwell::Told.into()),
        (true, _) => Ok(()),
    }
}

impl Shown {
    fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        // Taken apart field by field, so that a field added to `Shown` has to be dealt with here.
        let Self { running, listening, policy, orders, next_instant, ready, checks, silent } = self;
        let state = match (running, ready) {
            (false, _) => "no daemon runs in the data folder; what follows is what the files say",
            (true, Some(true)) => "running and ready",
            (true, Some(false)) => "running, and not ready",
            (true, None) => "running",
        };
        writeln!(out, "{state}\n")?;
        let mut row = |title: &str, value: &str| writeln!(out, "  {title:<13} {}", plain(value));
        row("DNS", &listening.join(", "))?;
        row("policy", policy)?;
        for order in orders {
            row("order", &format!("{}: {}", order.id, order.title))?;
        }
        let next = next_instant.map_or_else(|| "none is set".to_owned(), |instant| instant.to_string());
        row("next instant", &next)?;
        for check in checks.iter().filter(|check| check.name != "policy") {
            let mark = if check.ok { "" } else { "NOT WELL: " };
            row(&check.name, &format!("{mark}{}", check.detail))?;
        }
        if let (true, Some(silent)) = (running, silent) {
            row("health", silent)?;
        }
        Ok(())
    }
}
