//! Names by what records tell devices by.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::client::{Hardware, Known};

/// Names by what devices are told by: hardware addresses and addresses.
#[derive(Debug, Clone, Default)]
pub struct Names {
    hardware: BTreeMap<Hardware, String>,
    addresses: BTreeMap<IpAddr, String>,
}

impl Names {
    /// Returns the names that sources tell.
    pub fn new(known: Known) -> Self {
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

    /// Returns the name of a device.
    pub fn of(&self, label: &str) -> Option<String> {
        let by_address = label.parse().ok().and_then(|address: IpAddr| self.addresses.get(&address));
        let by_hardware = || label.parse().ok().and_then(|hardware: Hardware| self.hardware.get(&hardware));
        by_address.or_else(by_hardware).cloned()
    }
}
