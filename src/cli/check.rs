//! `interdict check`: everything that the daemon would load, without starting it.

use std::io::Write;

use clap::Args;

use super::folder::Folder;
use super::orders::Phase;
use super::output::plain;
use super::settings::{ConfigArgs, Faults};
use crate::daemon::{self, Checked};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(of: &Check, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let Checked { snapshot, notes } = daemon::check(&config).map_err(Faults)?;
    let now = super::clock::now(&Folder::new(&config.data_dir, false));
    writeln!(out, "ok")?;
    writeln!(out, "policy {}", hex::encode(snapshot.digest()))?;
    for catalogue in &snapshot.inputs().catalogues {
        let entries = catalogue.entries.len();
        writeln!(out, "catalogue {}: {entries} entries, revised {}", plain(&catalogue.id), catalogue.revised)?;
    }
    for order in &snapshot.inputs().orders {
        writeln!(out, "order {}: {}", plain(&order.id), plain(&order.title))?;
        for prohibition in &order.prohibitions {
            let phase = Phase::of(prohibition.validity, now);
            writeln!(out, "  {}: {phase}", plain(&prohibition.id))?;
        }
    }
    for note in notes {
        writeln!(out, "note {}", plain(&note))?;
    }
    Ok(())
}
