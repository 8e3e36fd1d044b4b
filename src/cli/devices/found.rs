//! Devices as the records tell of them, with the names that the sources of names tell now.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Scope, quiet};
use crate::cli::clock;
use crate::cli::report::{made, node};
use crate::client::{Hardware, Known};
use crate::identify;
use crate::report::{Basis, DeviceList, Format, Gatherer, Source, VERSION};
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
        let mut reveal = |seen: &Seen| made::reveal(seen, keys);
        gatherer.add_devices(Source { store, basis, node: node.clone(), reveal: &mut reveal })?;
    }
    let mut list = gatherer.devices(quiet(of), all);
    let names = Names::new(identify::look_once(&config.client.sources, now));
    for device in &mut list.devices {
        device.name = names.of(&device.label);
    }
    Ok(list)
}

/// Names by what devices are told by.
struct Names {
    hardware: BTreeMap<Hardware, String>,
    addresses: BTreeMap<IpAddr, String>,
}

impl Names {
    fn new(known: Known) -> Self {
        let mut names = Self { hardware: BTreeMap::new(), addresses: BTreeMap::new() };
        // The most credible last, so that it stays.
        let mut devices = known.devices;
        devices.sort_by_key(|device| std::cmp::Reverse(device.source));
        for device in devices {
            let Some(name) = device.name.map(|name| name.to_string()) else { continue };
            if let Some(hardware) = device.hardware {
                names.hardware.insert(hardware, name.clone());
            }
            names.addresses.insert(device.address.to_canonical(), name);
        }
        names.hardware.extend(known.names.into_iter().map(|(hardware, name)| (hardware, name.to_string())));
        names
    }

    fn of(&self, label: &str) -> Option<String> {
        let by_address = label.parse().ok().and_then(|address: IpAddr| self.addresses.get(&address));
        let by_hardware = || label.parse().ok().and_then(|hardware: Hardware| self.hardware.get(&hardware));
        by_address.or_else(by_hardware).cloned()
    }
}
