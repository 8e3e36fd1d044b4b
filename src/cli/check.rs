//! `interdict check`: everything that the daemon would load, without starting it.

use std::io::Write;

use clap::Args;

use super::orders::Phase;
use super::output::plain;
use super::settings::{ConfigArgs, Faults, load_policy, texts};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::zones::{Zones, ZonesSpec};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(of: &Check, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = of.config.load()?;
    let (loaded, zones) = (load_policy(&config), check_zones(&config));
    let loaded = match (loaded, zones) {
        (Ok(loaded), Ok(())) => loaded,
        (policy, zones) => {
            let faults = [policy.err(), zones.err()].into_iter().flatten().flat_map(|Faults(faults)| faults);
            return Err(Faults(faults.collect()).into());
        }
    };
    let snapshot = &loaded.snapshot;
    let now = SystemClock.read().at;
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
    Ok(())
}

/// Builds the local zones as the daemon does.
fn check_zones(config: &Config) -> Result<(), Faults> {
    let spec = ZonesSpec {
        hosts: config.zones.hosts.iter().map(|host| (host.name.clone(), host.addresses.clone())).collect(),
        zones: config.zones.zone.iter().map(|zone| (zone.origin.clone(), zone.text.clone())).collect(),
        special_use: config.zones.special_use,
    };
    Zones::build(&spec).map(drop).map_err(|faults| Faults(texts(&faults)))
}
