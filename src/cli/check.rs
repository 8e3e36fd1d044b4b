//! `interdict check`: everything that the daemon would load, without starting it.

use std::io::Write;

use clap::Args;

use super::folder::Folder;
use super::orders::Phase;
use super::output::plain;
use super::settings::{ConfigArgs, Faults};
use crate::daemon::{self, Checked, CheckedList, told};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Fail on any line of a list that is not understood.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(of: &Check, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let Checked { snapshot, lists, notes } = daemon::check(&config).map_err(Faults)?;
    if of.strict {
        let told = lists.iter().zip(&config.lists.lists).flat_map(|(list, of)| told(&of.source.path, &list.refusals));
        let told: Vec<String> = told.collect();
        anyhow::ensure!(told.is_empty(), Faults(told));
    }
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
    for list in &lists {
        let CheckedList { name, rules, refusals, overruled } = list;
        writeln!(out, "list {}: {rules} rules, {} lines not understood", plain(name), refusals.count)?;
        for name in overruled {
            writeln!(out, "  lets {} pass, which an order withholds all the same", plain(name))?;
        }
    }
    for note in notes {
        writeln!(out, "note {}", plain(&note))?;
    }
    Ok(())
}
