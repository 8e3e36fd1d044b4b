//! That products were removed from devices, as persons have confirmed it; read from the leaves of changes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::basis::NodeBasis;
use super::devices::Person;
use super::gather::{GatherError, Gatherer, Reveal};
use crate::devices::Confirmation;
use crate::ledger::{Act, Body, Changed};
use crate::store::{Seen, Store};

/// Acts about devices, in the order of their instants.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    /// By instant, resolver and number; none where a confirmation was withdrawn.
    acts: BTreeMap<(Timestamp, usize, u64), (Person, Option<Confirmation>)>,
    /// Of each resolver the policy that was put in use last before the end of the period.
    policies: Vec<Option<String>>,
}

impl Confirmed {
    /// Returns the digests of the policies in use at the end of the period.
    pub(super) fn in_use(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().flatten().map(String::as_str)
    }

    /// Returns what counts for each device: the last act before an instant.
    pub(super) fn before(&self, at: Timestamp) -> BTreeMap<&Person, &Confirmation> {
        let mut counts = BTreeMap::new();
        for (person, confirmation) in self.acts.iter().take_while(|((of, _, _), _)| *of < at).map(|(_, act)| act) {
            match confirmation {
                Some(confirmation) => counts.insert(person, confirmation),
                None => counts.remove(person),
            };
        }
        counts
    }
}

impl Gatherer<'_> {
    /// Takes in what persons have confirmed at one resolver. What cannot be deciphered any more is of nobody.
    pub(super) fn confirmations(
        &mut self,
        store: &Store,
        basis: &NodeBasis,
        (reveal, node): (&mut Reveal<'_>, &str),
    ) -> Result<(), GatherError> {
        let (mut found, mut in_use) = (Vec::new(), None);
        store.told(basis.first, basis.last, |leaf| {
            let Body::Change(change) = leaf.body else { return };
            if !change.accepted || change.at >= self.basis.to {
                return;
            }
            match change.act {
                Act::DeviceRemoved | Act::DeviceWithdrawn => found.push((leaf.seq, change)),
                _ => in_use = change.policy.or_else(|| in_use.take()),
            }
        })?;
        let resolver = self.confirmed.policies.len();
        self.confirmed.policies.push(in_use);
        for (seq, change) in found {
            let Changed { at, act, by, why, what, client, device, key, .. } = *change;
            let seen = Seen {
                client: client.unwrap_or_default(),
                key,
                prefix: None,
                device,
                records: 0,
                count: 0,
                first: at,
                last: at,
            };
            let revealed = reveal(&seen).map_err(GatherError::Reveal)?;
            if revealed.hardware.is_none() && revealed.address.is_none() {
                continue;
            }
            let person = Person::of(revealed, &seen, node);
            let what = what.map_or(why.clone(), |what| format!("{what}; {why}"));
            let confirmation = (act == Act::DeviceRemoved).then_some(Confirmation { at, actor: by, what });
            self.confirmed.acts.insert((at, resolver, seq), (person, confirmation));
        }
        Ok(())
    }
}
