//! Contradictions between groups of clients, and between devices.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::value::{Row, Value};
use crate::client::DEFAULT_GROUP;

/// The most groups that there may be.
const MAX_GROUPS: usize = 1024;

/// Notes every contradiction in `[client]`.
pub(super) fn check_clients(settings: &Settings, faults: &mut Faults) {
    check_groups(settings, faults);
    check_upstreams(settings, faults);
    let mut hardware = Taken::new("client.device", "hardware address");
    let mut addresses = Taken::new("client.device", "address");
    for row in rows(settings, "client", "device") {
        let title = title(row);
        match row.values.get("hardware") {
            Some(Value::Hardware(Some(own))) => hardware.take(own, &title, row, faults),
            _ if row.is_empty("addresses") => {
                let text = format!("this `client.device` ({title}) has neither a hardware address nor addresses");
                faults.push(&row.place, text, "add `hardware = \"…\"`, `addresses = [\"…\"]` or both");
            }
            _ => {}
        }
        if let Some(Value::Ips(own)) = row.values.get("addresses") {
            own.iter().for_each(|own| addresses.take(own, &title, row, faults));
        }
    }
}

fn check_groups(settings: &Settings, faults: &mut Faults) {
    let mut names = Taken::new("client.group", "name");
    let mut networks = Taken::new("client.group", "network");
    let mut devices = Taken::new("client.group", "device");
    let mut patterns = Taken::new("client.group", "name of a client");
    for (number, row) in rows(settings, "client", "group").enumerate() {
        if number == MAX_GROUPS {
            let text = format!("there are more than {MAX_GROUPS} groups");
            faults.push(&row.place, text, "make one group of those that are treated alike");
        }
        let title = title(row);
        if let Some(Value::Text(name)) = row.values.get("name") {
            if name == DEFAULT_GROUP {
                let text = format!("the group {title} is that of all clients that no other group takes");
                faults.push(&row.place, text, "give it another name, or leave it out");
            }
            names.take(name, &title, row, faults);
        }
        if ["networks", "devices", "names"].into_iter().all(|key| row.is_empty(key)) {
            let text = format!("the group {title} takes nobody");
            faults.push(&row.place, text, "give it `networks`, `devices` or `names`");
        }
        if let Some(Value::Networks(own)) = row.values.get("networks") {
            own.iter().for_each(|own| networks.take(own, &title, row, faults));
        }
        if let Some(Value::Hardwares(own)) = row.values.get("devices") {
            own.iter().for_each(|own| devices.take(own, &title, row, faults));
        }
        if let Some(Value::Patterns(own)) = row.values.get("names") {
            own.iter().for_each(|own| patterns.take(own, &title, row, faults));
        }
    }
}

/// Each group with upstreams of its own is there, and has them once.
fn check_upstreams(settings: &Settings, faults: &mut Faults) {
    let mut taken = Taken::new("upstream.group", "group");
    for row in rows(settings, "upstream", "group") {
        let Some(Value::Text(name)) = row.values.get("group") else { continue };
        let is_it = |row: &Row| matches!(row.values.get("name"), Some(Value::Text(of)) if of == name);
        let shown = quote(name);
        if name == DEFAULT_GROUP {
            let text = format!("the group {shown} of this `upstream.group` has those of [upstream]");
            faults.push(&row.place, text, "write its servers there");
        } else if !rows(settings, "client", "group").any(is_it) {
            let text = format!("`upstream.group` names the group {shown}, which [client] does not have");
            faults.push(&row.place, text, "write a [[client.group]] with this `name`");
        }
        taken.take(name, &shown, row, faults);
    }
}

fn title(row: &Row) -> String {
    match row.values.get("name") {
        Some(Value::Text(name)) => quote(name),
        Some(Value::Name(name)) => quote(&name.to_string()),
        _ => String::new(),
    }
}

impl Row {
    fn is_empty(&self, key: &str) -> bool {
        match self.values.get(key) {
            Some(Value::Networks(own)) => own.is_empty(),
            Some(Value::Hardwares(own)) => own.is_empty(),
            Some(Value::Patterns(own)) => own.is_empty(),
            Some(Value::Ips(own)) => own.is_empty(),
            _ => true,
        }
    }
}

/// What can belong to one table only, with the title of the table that has it.
struct Taken<T> {
    table: &'static str,
    what: &'static str,
    by: BTreeMap<T, String>,
}

impl<T: Ord + Clone + Display> Taken<T> {
    const fn new(table: &'static str, what: &'static str) -> Self {
        Self { table, what, by: BTreeMap::new() }
    }

    fn take(&mut self, item: &T, title: &str, row: &Row, faults: &mut Faults) {
        if let Some(other) = self.by.insert(item.clone(), title.to_owned()) {
            let shown = quote(&item.to_string());
            let text = format!("`{}` {title} has the {} {shown}, which {other} has before it", self.table, self.what);
            faults.push(&row.place, text, "leave it in one of them");
        }
    }
}
