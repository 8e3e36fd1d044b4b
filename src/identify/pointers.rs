//! Which names PTR records tell, and which of them to ask for next. Whoever asks does so one at a time, at a pace of its
//! own; nothing here sends anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::client::{Clients, Device, Source};
use crate::message::Name;

/// The most addresses whose names are kept, or that they have none.
const MAX_NAMES: usize = 16_384;
/// How long a name is kept, whatever its TTL says.
const LEAST: Duration = Duration::from_secs(300);
const MOST: Duration = Duration::from_secs(86_400);
/// How long it is kept that there was no name.
const WITHOUT: Duration = Duration::from_secs(900);
/// How long a name counts beyond its time, so that its client stays in its group while it is asked for again.
const GRACE: Duration = Duration::from_secs(300);
/// How long an address that was noted is not noted again.
const FORGET: Duration = Duration::from_secs(60);

/// What is known of names; all times are since the start of the machine.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    by_address: BTreeMap<IpAddr, Pointer>,
    forgotten: Duration,
}

#[derive(Debug)]
struct Pointer {
    name: Option<Name>,
    until: Duration,
}

impl Pointers {
    /// Returns the next address to ask for: one that has asked, and whose name is needed and not known.
    pub(super) fn next(&mut self, clients: &Clients, now: Duration) -> Option<IpAddr> {
        let strangers = clients.strangers()?;
        if now.saturating_sub(self.forgotten) >= FORGET {
            self.forgotten = now;
            strangers.forget();
            self.by_address.retain(|_, pointer| now < pointer.until + GRACE);
        }
        let table = clients.table();
        let is_fresh = |address: &IpAddr| self.by_address.get(address).is_some_and(|pointer| now < pointer.until);
        let has_room = |address: &IpAddr| self.by_address.len() < MAX_NAMES || self.by_address.contains_key(address);
        std::iter::from_fn(|| strangers.next())
            .find(|address| has_room(address) && !is_fresh(address) && table.lacks_name(*address))
    }

    /// Takes what was answered; `None` where there is no name.
    pub(super) fn answered(&mut self, address: IpAddr, name: Option<(Name, Duration)>, now: Duration) {
        let (name, kept) = match name {
            Some((name, ttl)) => (Some(name), ttl.clamp(LEAST, MOST)),
            None => (None, WITHOUT),
        };
        self.by_address.insert(address, Pointer { name, until: now + kept });
    }

    /// Notes that nobody answered: a name that is known counts for its grace, and is asked for again.
    pub(super) fn unanswered(&mut self, address: IpAddr, now: Duration) {
        self.by_address.entry(address).or_insert(Pointer { name: None, until: now + FORGET });
    }

    /// Returns the addresses with a name.
    pub(super) fn devices(&self, now: Duration) -> impl Iterator<Item = Device> + '_ {
        let lasting = self.by_address.iter().filter(move |(_, pointer)| now < pointer.until + GRACE);
        lasting.filter_map(|(address, pointer)| {
            let name = Some(pointer.name.clone()?);
            Some(Device { address: *address, hardware: None, name, source: Source::Ptr })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Group, Known};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn clients(ptr: bool) -> Clients {
        let group = Group {
            name: "lab".to_owned(),
            networks: Vec::new(),
            devices: vec!["00:00:5e:00:53:01".parse().unwrap()],
            names: vec!["*.lab.example".parse().unwrap()],
        };
        Clients::new(vec![group], ptr)
    }

    #[test]
    fn a_name_is_asked_for_once_and_again_when_its_time_is_over() {
        let (clients, mut pointers) = (clients(true), Pointers::default());
        let address: IpAddr = "10.0.0.7".parse().unwrap();
        let asks = |pointers: &mut Pointers, now| {
            clients.strangers().unwrap().note(address);
            pointers.next(&clients, seconds(now))
        };
        assert_eq!(asks(&mut pointers, 100), Some(address));
        let name: Name = "bench.lab.example".parse().unwrap();
        pointers.answered(address, Some((name, seconds(1))), seconds(100));
        assert_eq!([200, 300, 399].map(|now| asks(&mut pointers, now)), [None; 3], "no sooner than in five minutes");
        assert_eq!(asks(&mut pointers, 470), Some(address));
        // It counts until the answer is there.
        assert_eq!((pointers.devices(seconds(699)).count(), pointers.devices(seconds(700)).count()), (1, 0));
        // A server that is silent for once takes nobody out of a group.
        pointers.unanswered(address, seconds(471));
        assert_eq!(pointers.devices(seconds(471)).count(), 1);
        assert_eq!(asks(&mut pointers, 540), Some(address));
        pointers.answered(address, None, seconds(541));
        assert_eq!(pointers.devices(seconds(541)).count(), 0);
        assert_eq!([700, 1400].map(|now| asks(&mut pointers, now)), [None; 2]);
        assert_eq!(asks(&mut pointers, 1500), Some(address));
        let other: IpAddr = "10.0.0.8".parse().unwrap();
        pointers.unanswered(other, seconds(1500));
        clients.strangers().unwrap().note(other);
        assert_eq!(pointers.next(&clients, seconds(1510)), None);
    }

    #[test]
    fn nobody_is_asked_for_whose_name_changes_nothing() {
        assert!(clients(false).strangers().is_none());
        assert!(Clients::new(Vec::new(), true).strangers().is_none(), "no group has names");
        let (clients, mut pointers) = (clients(true), Pointers::default());
        let device = |address: &str, hardware: Option<&str>, name: Option<&str>| Device {
            address: address.parse().unwrap(),
            hardware: hardware.map(|text| text.parse().unwrap()),
            name: name.map(|text| text.parse().unwrap()),
            source: Source::Lease,
        };
        let devices = vec![
            device("10.0.0.1", Some("00:00:5e:00:53:01"), None),
            device("10.0.0.2", None, Some("desk")),
            device("10.0.0.3", Some("00:00:5e:00:53:03"), None),
        ];
        clients.learn(&Known { devices, ..Known::default() });
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            clients.strangers().unwrap().note(address.parse().unwrap());
        }
        assert_eq!(pointers.next(&clients, seconds(100)), Some("10.0.0.3".parse().unwrap()));
        assert_eq!(pointers.next(&clients, seconds(100)), None);
    }
}
