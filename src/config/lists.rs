//! The lists of the configuration: contradictions among them, and what they are loaded from.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::types::{ListConfig, ListsConfig};
use super::value::{Row, Value};
use crate::lists::{Action, Bounds, Dates, Source};
use crate::message::Name;

pub(super) fn check_lists(settings: &Settings, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for row in rows(settings, "lists", "list") {
        if let Some(Value::Text(name)) = row.values.get("name") {
            // Its compiled form is kept in a file of that name.
            if !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_') {
                let text = format!("this `lists.list` has the name {}", quote(name));
                faults.push(&row.place, text, "use letters, digits, `-` and `_` only");
            }
            if !seen.insert(name) {
                let text = format!("`lists.list` has {} twice", quote(name));
                faults.push(&row.place, text, "give each its own name");
            }
        }
        check_dates(row, faults);
    }
}

fn check_dates(row: &Row, faults: &mut Faults) {
    let instant = |key| match row.values.get(key) {
        Some(Value::Instant(instant)) => *instant,
        _ => None,
    };
    let (from, until, monitored) = (instant("from"), instant("until"), instant("monitor_from"));
    for (first, begin) in [("from", from), ("monitor_from", monitored)] {
        if let (Some(begin), Some(until)) = (begin, until)
            && until <= begin
        {
            let text = format!("this `lists.list` ends at {until}, not after its `{first}`, {begin}");
            faults.push(&row.place, text, "let `until` be later");
        }
    }
    if let (Some(from), Some(monitored)) = (from, monitored)
        && from <= monitored
    {
        let text = format!("this `lists.list` is monitored from {monitored} on, when it decides already ({from})");
        faults.push(&row.place, text, "let `monitor_from` be earlier, or leave it out");
    }
}

impl Settings {
    pub(super) fn lists(&mut self) -> ListsConfig {
        let broad: Vec<Name> = self.take("lists", "broad");
        let mut never = Bounds::default().never;
        never.retain(|name| !broad.contains(name));
        never.extend(self.take::<Vec<Name>>("lists", "never"));
        let bounds = Bounds { least_share: self.take("lists", "least_share"), never };
        let lists = self.rows("lists", "list", |row| ListConfig {
            source: Source {
                name: row.take("name"),
                path: PathBuf::from(row.take::<String>("file")),
                format: row.take::<&str>("format").parse().ok(),
                bounds: bounds.clone(),
            },
            action: action(row.take("action")),
            dates: Dates {
                from: row.take::<Option<Timestamp>>("from"),
                until: row.take("until"),
                monitor_from: row.take("monitor_from"),
            },
        });
        ListsConfig { bounds, lists }
    }
}

/// Returns what takes the place of what lists say; nothing for `as-written`.
fn action(word: &str) -> Option<Action> {
    match word {
        "block" => Some(Action::Block),
        "nxdomain" => Some(Action::Nxdomain),
        "nodata" => Some(Action::Nodata),
        "refused" => Some(Action::Refused),
        "drop" => Some(Action::Drop),
        "null" => Some(Action::null()),
        _ => None,
    }
}
