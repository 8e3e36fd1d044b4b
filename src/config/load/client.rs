//! The settings of `[client]`.

use super::Settings;
use crate::client::Group;
use crate::config::types::ClientConfig;
use crate::identify::{LeaseFile, Sources, StaticDevice};
use crate::message::Name;

impl Settings {
    pub(super) fn client(&mut self) -> ClientConfig {
        let groups = self.rows("client", "group", |row| Group {
            name: row.take("name"),
            networks: row.take("networks"),
            devices: row.take("devices"),
            names: row.take("names"),
        });
        let devices = self.rows("client", "device", |row| StaticDevice {
            name: *row.take::<Box<Name>>("name"),
            hardware: row.take("hardware"),
            addresses: row.take("addresses"),
        });
        let leases = self.take::<Vec<String>>("client", "leases");
        let sources = Sources {
            devices,
            leases: leases.iter().map(|text| LeaseFile::of(text)).collect(),
            neighbours: self.take("client", "neighbours"),
            ptr: self.take("client", "ptr"),
        };
        ClientConfig { groups, sources }
    }
}
