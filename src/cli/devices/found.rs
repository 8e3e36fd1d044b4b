//! Devices as the records tell of them, with the names that the sources of names tell now.

use super::{Scope, quiet};
use crate::cli::clock;
use crate::cli::report::{made, node};
use crate::identify;
use crate::report::{self, Basis, DeviceList, Format, Gatherer, Source, VERSION};
use crate::store::Seen;

/// Returns the devices that attempted contact, or `all` of which there are records.
pub(super) fn list(of: &Scope, all: bool) -> anyhow::Result<DeviceList> {
    let config = of.config.load()?;
    let folder = of.folder.of(&config);
    let rehearsed = if of.at.is_none() { folder.rehearsed()? } else { None };
    let now = clock::now(&folder).at;
    let to = of.at.or(rehearsed).unwrap_or(now);
    let mut nodes = match of.ledger.as_slice() {
        [] => vec![node::whole(&folder)?],
        folders => {
            let wanted = made::Wanted { keys: &[], anchors: &[], verify: false };
            folders.iter().map(|folder| node::open(folder, &wanted)).collect::<anyhow::Result<Vec<_>>>()?
        }
    };
    let basis = Basis {
        version: VERSION,
        format: Format::Json,
        lang: String::new(),
        from: jiff::Timestamp::UNIX_EPOCH,
        to,
        order: of.order.clone(),
        group: of.group.clone(),
        duty: None,
        nodes: nodes.iter().map(|node| node.basis.clone()).collect(),
    };
    let mut policies = made::policies(&basis, &nodes)?;
    // No leaf names the one in use until a minute has passed.
    if of.at.is_none() && of.ledger.is_empty() {
        let current = folder.active_policy().filter(|digest| policies.last().is_none_or(|(last, _)| last != digest));
        policies.extend(made::compiled(current, &nodes));
    }
    made::known(&policies, (of.order.as_deref(), of.group.as_deref()))?;
    let mut gatherer = Gatherer::new(basis, &policies);
    for node::Opened { store, basis, node, keys, .. } in &mut nodes {
        let mut reveal = |seen: &Seen| report::reveal(seen, keys);
        gatherer.add_devices(Source { store, basis, node: node.clone(), reveal: &mut reveal })?;
    }
    let mut list = gatherer.devices(quiet(of), all);
    let names = identify::Names::new(identify::look_once(&config.client.sources, now));
    for device in &mut list.devices {
        device.name = names.of(&device.label);
    }
    Ok(list)
}
