//! `interdict check`: everything that the daemon would load, without starting it.

use std::io::Write;

use clap::Args;

use super::folder::Folder;
use super::orders::Phase;
use super::output::plain;
use super::settings::{ConfigArgs, Faults};
use crate::daemon::{self, Candidate, Checked, CheckedList, told};
use crate::observe::counted;
use crate::policy::Operator;

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
    let Checked { snapshot, candidate, lists, notes } = daemon::check(&config).map_err(Faults)?;
    if of.strict {
        let told = lists.iter().flat_map(|list| told(&list.path, &list.refusals));
        let told: Vec<String> = told.collect();
        anyhow::ensure!(told.is_empty(), Faults(told));
    }
    let now = super::clock::now(&Folder::new(&config.data_dir, false));
    writeln!(out, "ok")?;
    writeln!(out, "policy {}", hex::encode(snapshot.digest()))?;
    for catalogue in &snapshot.inputs().catalogues {
        let entries = catalogue.entries.len();
        let entries = counted(entries, "entry", "entries");
        writeln!(out, "catalogue {}: {entries}, revised {}", plain(&catalogue.id), catalogue.revised)?;
    }
    for order in &snapshot.inputs().orders {
        writeln!(out, "order {}: {}", plain(&order.id), plain(&order.title))?;
        for prohibition in &order.prohibitions {
            let phase = Phase::of(prohibition.validity, now);
            writeln!(out, "  {}: {phase}", plain(&prohibition.id))?;
        }
    }
    let Operator { groups, waivers, .. } = &snapshot.inputs().operator;
    let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
    let named = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    writeln!(out, "groups {} besides the default one{}", groups.len(), plain(&named))?;
    let in_force = waivers.iter().filter(|of| of.term.from() <= now.ends && now.at < of.term.until()).count();
    writeln!(out, "waivers {}, {in_force} of them in force", waivers.len())?;
    write_candidate(candidate.as_ref(), out)?;
    for list in &lists {
        let CheckedList { name, path, rules, refusals, overruled } = list;
        match rules {
            None => writeln!(out, "list {}: yet to be fetched", plain(name))?,
            Some(rules) => {
                let (rules, lines) = (counted(*rules, "rule", "rules"), counted(refusals.count, "line", "lines"));
                writeln!(out, "list {}: {rules}, {lines} not understood", plain(name))?;
            }
        }
        for line in told(path, refusals) {
            writeln!(out, "  {line}")?;
        }
        for name in overruled {
            writeln!(out, "  lets {} pass, which an order withholds all the same", plain(name))?;
        }
    }
    for note in notes {
        writeln!(out, "note {}", plain(&note))?;
    }
    Ok(())
}

/// Says what the candidate comes to; its faults are none of the policy that would be in use.
fn write_candidate(candidate: Option<&Candidate>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(Candidate { path, outcome, .. }) = candidate else { return Ok(()) };
    let path = path.display().to_string();
    match outcome {
        Ok(digest) => writeln!(out, "shadow {}: policy {}", plain(&path), hex::encode(digest))?,
        Err(faults) => {
            writeln!(out, "shadow {}: not used", plain(&path))?;
            for fault in faults {
                writeln!(out, "  {}", plain(fault))?;
            }
        }
    }
    Ok(())
}
