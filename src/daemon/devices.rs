//! What persons confirm of devices: that a product was removed, and that this does not hold any more. The record is all there is of
//! it, so that whoever has the log and the keys knows the same.

use super::Daemon;
use crate::control::{Actor, Reply, person as answering, quoted, reason as checked};
use crate::ledger::{Act, Change, Whose};

impl Daemon {
    /// Records that the removal of a product from a device is confirmed.
    pub(super) fn device_removed(&self, by: &Actor, device: &str, words: (&str, &str)) -> Reply {
        self.record_device(Act::DeviceRemoved, "removal of the product confirmed by", by, (device, words))
    }

    /// Records that such a confirmation does not hold any more.
    pub(super) fn device_withdrawn(&self, by: &Actor, device: &str, words: (&str, &str)) -> Reply {
        self.record_device(Act::DeviceWithdrawn, "confirmation withdrawn by", by, (device, words))
    }

    fn record_device(
        &self,
        act: Act,
        what: &str,
        by: &Actor,
        (device, (person, reason)): (&str, (&str, &str)),
    ) -> Reply {
        let able = whose(device).and_then(|device| {
            let (person, reason) = (answering(person)?, checked(reason)?);
            self.recordable().map(|()| (device, person, reason))
        });
        let (device, person, reason) = match able {
            Ok(able) => able,
            // Whose it is stands in no record in clear.
            Err(fault) => return self.refuse(act, by, vec![fault], None),
        };
        let what = format!("{what} {}", quoted(&person));
        let change = Change { by: by.to_string(), what: Some(what.clone()), ..Change::own(act, true, &reason, None) };
        let mut told = self.record(Change { device: Some(device), ..change });
        tracing::warn!(by = %by, ?reason, "{what}");
        told.insert(0, what);
        Reply::Done { told, shown: None }
    }
}

fn whose(text: &str) -> Result<Whose, String> {
    let address = text.parse().map(Whose::Address).ok();
    let hardware = || text.parse().map(Whose::Hardware).ok();
    address.or_else(hardware).ok_or_else(|| "a device is told by its address or its hardware address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_an_address_or_a_hardware_address() {
        assert_eq!(whose("192.0.2.7"), Ok(Whose::Address([192, 0, 2, 7].into())));
        assert_eq!(whose("00:00:5e:00:53:01"), Ok(Whose::Hardware("00:00:5e:00:53:01".parse().unwrap())));
        for text in ["", "192.0.2.0/24", "host.example", "anonymous-00", "192.0.2.7 "] {
            assert!(whose(text).is_err(), "{text}");
        }
    }
}
