//! Devices, each with what it may be, how it stands and what to do next.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::devices::{Person, Use};
use super::finish::instant;
use super::gather::Gatherer;
use super::sums::Sums;
use super::value::DeviceKind;
use crate::devices::{Confirmation, Finding, Kind, Rules, Seen, Standing, State, Step};
use crate::store::Manner;

/// After how long without contact a device has gone quiet, where nobody says otherwise.
pub const QUIET: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Devices at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceList {
    pub at: Timestamp,
    /// The instant up to which records tell; none where no leaf covers any time.
    pub until: Option<Timestamp>,
    pub quiet_seconds: i64,
    /// Those that are to be seen to first come first.
    pub devices: Vec<Device>,
    /// Devices that attempted no contact and only tried ways round the resolver; not listed unless all are.
    pub only_around: u64,
    /// Devices that attempted no contact at all; not listed unless all are.
    pub without_contact: u64,
    /// What is left open for removing products.
    pub help: Vec<Help>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its hardware address, address or network, or a pseudonym.
    pub label: String,
    pub kind: DeviceKind,
    /// Its newest addresses, the one seen last first.
    pub addresses: Vec<String>,
    /// The name that the sources of names tell now; none is in the records.
    pub name: Option<String>,
    /// None for the default group.
    pub group: Option<String>,
    pub identified: Option<String>,
    pub via: Option<String>,
    pub role: Finding,
    pub standing: Option<Standing>,
    pub next: Step,
    /// Services that it attempted contact with.
    pub services: Vec<String>,
    /// Services by which it tried to go round the resolver, and how often.
    pub around: Vec<String>,
    pub around_lookups: u64,
    /// Waivers that let it through.
    pub waivers: Vec<String>,
    pub sums: Sums,
    pub attempted: u64,
    /// Hours between updates, in the middle, and percent of the waits that are like it; of the newest 92 days.
    pub rhythm: Option<(u32, u32)>,
    /// The first and the last attempted contact, or look-up where it attempted none.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Names that an order leaves open for removing products.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Help {
    pub order: String,
    pub name: String,
    pub note: Option<String>,
}

/// What is judged of a device at the end of a period.
pub(super) struct Judged {
    pub(super) finding: Finding,
    pub(super) standing: Option<Standing>,
    pub(super) next: Step,
}

impl Gatherer<'_> {
    /// Judges a device at the end of the period.
    pub(super) fn judge(&self, used: &Use, confirmation: Option<&Confirmation>, quiet: SignedDuration) -> Judged {
        let finding = Rules::shipped().judge(&used.facts);
        let standing = used.contact.map(|(first, last)| {
            let (first, last, unwaived) = (instant(first), instant(last), used.unwaived.map(instant));
            let waivers = used.waivers.iter().filter_map(|place| self.waivers.get(usize::from(*place)));
            let waived =
                waivers.filter_map(|(id, _)| self.legal.in_force(id, self.confirmed.in_use(), self.basis.to)).max();
            // Where no leaf covers any time, records themselves tell how far they go.
            let until = self.until.unwrap_or(last).max(last);
            Standing::of(&Seen { first, last, unwaived }, confirmation, waived, (until, quiet))
        });
        let next = Step::of(finding.role, standing.as_ref());
        Judged { finding, standing, next }
    }

    /// Returns the devices that attempted contact, or `all` of which anything is recorded. One that was not seen for `quiet` has gone
    /// quiet.
    pub fn devices(&self, quiet: SignedDuration, all: bool) -> DeviceList {
        let confirmed = self.confirmed.before(self.basis.to);
        let (mut devices, mut only_around, mut without_contact) = (Vec::new(), 0, 0);
        for (person, used) in &self.devices {
            if used.contact.is_none() {
                let tried = used.facts.lookups(Some(Kind::Around)) > 0;
                *if tried { &mut only_around } else { &mut without_contact } += 1;
                if !all {
                    continue;
                }
            }
            let Judged { finding, standing, next } = self.judge(used, confirmed.get(person).copied(), quiet);
            devices.push(self.device(person, used, (finding, standing, next)));
        }
        devices.sort_by_cached_key(|of| {
            let state = of.standing.as_ref().map_or(State::ALL.len(), |of| of.state as usize);
            (state, Reverse(of.attempted), of.kind, of.label.clone())
        });
        let quiet_seconds = quiet.as_secs();
        let help = self.legal.help(|id| self.is_wanted(id));
        DeviceList { at: self.basis.to, until: self.until, quiet_seconds, devices, only_around, without_contact, help }
    }

    fn device(&self, person: &Person, used: &Use, judged: (Finding, Option<Standing>, Step)) -> Device {
        let services = || used.services.iter().filter_map(|place| self.services.get(usize::from(*place)));
        let named = |around: bool| {
            let of = |service: &String| (Rules::shipped().kind(service) == Kind::Around) == around;
            let mut named: Vec<_> = services().map(|(_, service)| service.clone()).filter(of).collect();
            named.sort_unstable();
            named.dedup();
            named
        };
        let manner = self.manners.get(person).map(|(_, manner)| manner.clone());
        let Manner { identified, via, group } = manner.unwrap_or_default();
        let (first, last) = used.contact.unwrap_or((used.first, used.last));
        let (role, standing, next) = judged;
        Device {
            label: person.label.clone(),
            kind: person.kind,
            addresses: used.addresses.iter().map(|(_, address)| address.clone()).collect(),
            name: None,
            group,
            identified,
            via,
            role,
            standing,
            next,
            services: named(false),
            around: named(true),
            around_lookups: used.facts.lookups(Some(Kind::Around)),
            waivers: used
                .waivers
                .iter()
                .filter_map(|place| Some(self.waivers.get(usize::from(*place))?.0.clone()))
                .collect(),
            sums: used.sums,
            attempted: used.sums.attempted(),
            rhythm: used.facts.rhythm().map(|of| (of.hours, of.regularity)),
            first: instant(first),
            last: instant(last),
        }
    }
}
