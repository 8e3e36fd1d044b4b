//! Whom look-ups are attributed to: one device by its hardware address, by its address, or by a pseudonym.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use sha2::{Digest as _, Sha256};

use super::sums::{Class, Sums};
use super::value::DeviceKind;
use crate::devices::{Facts, Kind};
use crate::ledger::{KeyId, KeyRing, hardware_of};
use crate::store::{Seen, Tally};

/// What the key ring tells of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revealed {
    pub hardware: Option<String>,
    /// The address, or the network where that is what was recorded; none where the key is not there.
    pub address: Option<String>,
}

/// Returns whose the records of a client are, as far as a key ring tells.
///
/// # Errors
/// Where a key is there and cannot be read.
pub fn reveal(seen: &Seen, keys: &mut KeyRing) -> Result<Revealed, Box<dyn Error + Send + Sync>> {
    let Some(key) = seen.key.as_deref().and_then(KeyId::parse) else { return Ok(Revealed::default()) };
    let device = seen.device.as_ref().map(|device| keys.decrypt(device, &key)).transpose()?.flatten();
    let address = keys.decrypt(&seen.client, &key)?.map(|address| match seen.prefix {
        Some(prefix) => format!("{address}/{prefix}"),
        None => address.to_string(),
    });
    Ok(Revealed { hardware: device.and_then(hardware_of).map(|device| device.to_string()), address })
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
    /// By what its role is judged.
    pub(super) facts: Facts,
    /// The first and the last attempted contact; ways round are none.
    pub(super) contact: Option<(i64, i64)>,
    /// The last contact that no waiver let through.
    pub(super) unwaived: Option<i64>,
    /// The newest addresses, each with the instant at which it was seen last.
    pub(super) addresses: Vec<(i64, String)>,
}

/// How many addresses of one device are kept.
const MAX_ADDRESSES: usize = 8;

impl Default for Use {
    fn default() -> Self {
        Self {
            sums: Sums::default(),
            services: BTreeSet::new(),
            waivers: BTreeSet::new(),
            first: i64::MAX,
            last: i64::MIN,
            facts: Facts::default(),
            contact: None,
            unwaived: None,
            addresses: Vec::new(),
        }
    }
}

impl Use {
    /// Adds look-ups of one service that became `class`.
    pub(super) fn add(&mut self, (class, kind): (Class, Kind), service: u16, waiver: Option<u16>, tally: &Tally) {
        let sums = Sums::of(class, tally.count);
        self.sums.add_all(sums);
        self.facts.add(kind, tally.count, tally.day, tally.hours);
        self.waivers.extend(waiver);
        (self.first, self.last) = (self.first.min(tally.first), self.last.max(tally.last));
        // Services that a device attempted contact with; what it may use is no finding.
        if sums.attempted() == 0 {
            return;
        }
        self.services.insert(service);
        if kind != Kind::Around {
            self.contact = joined(self.contact, Some((tally.first, tally.last)));
            if class != Class::Waived {
                self.unwaived = self.unwaived.max(Some(tally.last));
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sums.add_all(other.sums);
        self.services.extend(other.services);
        self.waivers.extend(other.waivers);
        (self.first, self.last) = (self.first.min(other.first), self.last.max(other.last));
        self.facts.merge(&other.facts);
        self.contact = joined(self.contact, other.contact);
        self.unwaived = self.unwaived.max(other.unwaived);
        for (last, address) in other.addresses {
            match self.addresses.iter_mut().find(|(_, known)| *known == address) {
                Some(known) => known.0 = known.0.max(last),
                None => self.addresses.push((last, address)),
            }
        }
        self.addresses.sort_unstable_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
        self.addresses.truncate(MAX_ADDRESSES);
    }
}

fn joined(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
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
