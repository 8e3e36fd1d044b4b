//! Whom look-ups are attributed to: one device by its hardware address, by its address, or by a pseudonym.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::sums::Sums;
use super::value::DeviceKind;
use crate::store::Seen;

/// What the key ring tells of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revealed {
    pub hardware: Option<String>,
    /// The address, or the network where that is what was recorded; none where the key is not there.
    pub address: Option<String>,
}

/// One device, the same in every month and at every resolver as far as records can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Person {
    pub(super) kind: DeviceKind,
    pub(super) label: String,
}

impl Person {
    /// Returns who a client is. A pseudonym is of one client under one key of one resolver.
    pub(super) fn of(revealed: Revealed, seen: &Seen, node: &str) -> Self {
        match revealed {
            Revealed { hardware: Some(label), .. } => Self { kind: DeviceKind::Hardware, label },
            Revealed { address: Some(label), .. } if seen.prefix.is_some() => Self { kind: DeviceKind::Network, label },
            Revealed { address: Some(label), .. } => Self { kind: DeviceKind::Address, label },
            Revealed { .. } => {
                let text = [node, seen.key.as_deref().unwrap_or_default(), &seen.client].join("\n");
                let digest = hex::encode(&Sha256::digest(text)[..6]);
                Self { kind: DeviceKind::Anonymous, label: format!("anonymous-{digest}") }
            }
        }
    }
}

/// What a device looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) sums: Sums,
    /// Places of services, and of waivers.
    pub(super) services: BTreeSet<u16>,
    pub(super) waivers: BTreeSet<u16>,
    /// Microseconds since 1970.
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Default for Use {
    fn default() -> Self {
        let (sums, services, waivers) = (Sums::default(), BTreeSet::new(), BTreeSet::new());
        Self { sums, services, waivers, first: i64::MAX, last: i64::MIN }
    }
}

impl Use {
    pub(super) fn merge(&mut self, other: Self) {
        self.sums.add_all(other.sums);
        self.services.extend(other.services);
        self.waivers.extend(other.waivers);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
    }
}

/// All devices of all resolvers.
pub(super) type Devices = BTreeMap<Person, Use>;

/// Returns how many devices attempted contact, and how many of them used each service or waiver that `of` tells.
pub(super) fn count(devices: &Devices, places: usize, of: impl Fn(&Use) -> &BTreeSet<u16>) -> Vec<u64> {
    let mut counts = vec![0; places];
    for place in devices.values().flat_map(of) {
        if let Some(count) = counts.get_mut(usize::from(*place)) {
            *count += 1;
        }
    }
    counts
}
