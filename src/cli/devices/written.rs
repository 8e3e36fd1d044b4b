//! The list as text and as CSV, and the table of rules.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::json;

use crate::cli::output::{self, Table, plain};
use crate::devices::{Rules, State, Step};
use crate::report::{Device, DeviceKind, DeviceList};

/// The longest name that a table shows whole.
const MAX_COLUMN: usize = 40;

pub(super) fn text(list: &DeviceList, out: &mut dyn Write) -> io::Result<()> {
    if list.devices.is_empty() {
        writeln!(out, "no device attempted contact")?;
        return notes(list, out);
    }
    let mut table = Table::new(["DEVICE", "NAME", "GROUP", "STATE", "LIKELY", "SERVICES", "LAST", "UPDATES", "NEXT"]);
    for device in &list.devices {
        table.push([
            device.label.clone(),
            shortened(device.name.as_deref().unwrap_or("-")),
            device.group.clone().unwrap_or_else(|| crate::client::DEFAULT_GROUP.to_owned()),
            state(device),
            role(device),
            shortened(&or_dash(device.services.join(","))),
            format!("{:.0}", device.last),
            device.rhythm.map_or_else(|| "-".to_owned(), |(hours, _)| format!("~{hours} h")),
            device.next.as_str().to_owned(),
        ]);
    }
    table.write(out)?;
    let steps: BTreeSet<Step> = list.devices.iter().map(|device| device.next).collect();
    writeln!(out)?;
    for step in steps.into_iter().filter(|step| *step != Step::Nothing) {
        writeln!(out, "{}: {}", step.as_str(), step.words())?;
    }
    foot(list, out)
}

fn foot(list: &DeviceList, out: &mut dyn Write) -> io::Result<()> {
    for help in &list.help {
        let note = help.note.as_deref().map(|note| format!(" ({note})")).unwrap_or_default();
        writeln!(out, "left open for removal: {}{}", plain(&help.name), plain(&note))?;
    }
    notes(list, out)
}

/// What is said whether there are devices or none; without any there is nothing to be removed.
fn notes(list: &DeviceList, out: &mut dyn Write) -> io::Result<()> {
    if list.only_around > 0 {
        writeln!(out, "{} devices only tried ways round this resolver; --all lists them", list.only_around)?;
    }
    if list.without_contact > 0 {
        writeln!(out, "{} devices attempted no contact; --all lists them", list.without_contact)?;
    }
    match list.until {
        Some(until) => {
            writeln!(out, "records tell of the time up to {until:.0}; silence is unknown, and not compliance")
        }
        None => writeln!(out, "no leaf says which time is covered; silence is unknown, and not compliance"),
    }
}

/// Returns the state of a device in words.
pub(super) fn state(device: &Device) -> String {
    let Some(standing) = &device.standing else { return "no contact".to_owned() };
    let again = if standing.seen_again { ", seen again" } else { "" };
    match (standing.state, standing.silent_since) {
        (State::GoneQuiet, Some(since)) => format!("gone quiet since {}{again}", since.strftime("%Y-%m-%d")),
        (state, _) => format!("{}{again}", state.as_str()),
    }
}

/// Returns the role with its confidence.
pub(super) fn role(device: &Device) -> String {
    let confidence = device.role.confidence.map(|of| format!(" ({of})")).unwrap_or_default();
    format!("{}{confidence}", device.role.role)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_COLUMN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

const COLUMNS: [&str; 30] = [
    "device",
    "told_by",
    "addresses",
    "name",
    "group",
    "identified",
    "via",
    "state",
    "silent_since",
    "seen_again",
    "confirmed_at",
    "confirmed_by",
    "confirmation",
    "role",
    "confidence",
    "reasons",
    "otherwise",
    "services",
    "around",
    "around_lookups",
    "waivers",
    "attempted",
    "withheld",
    "let_through",
    "first",
    "last",
    "every_hours",
    "regularity",
    "next",
    "what_to_do",
];

pub(super) fn csv(list: &DeviceList, out: &mut dyn Write) -> io::Result<()> {
    output::write_csv(out, COLUMNS)?;
    for device in &list.devices {
        let cells = cells(device).map(|cell| plain(&cell).to_string());
        output::write_csv(out, cells.iter().map(String::as_str))?;
    }
    Ok(())
}

fn cells(device: &Device) -> [String; COLUMNS.len()] {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let standing = device.standing.as_ref();
    let confirmation = standing.and_then(|of| of.confirmation.as_ref());
    let reasons: Vec<_> = device.role.reasons.iter().map(|(id, words)| format!("{id}: {words}")).collect();
    let otherwise: Vec<_> = device.role.otherwise.iter().map(|role| role.as_str()).collect();
    [
        device.label.clone(),
        told_by(device.kind).to_owned(),
        device.addresses.join(" "),
        or_empty(&device.name),
        device.group.clone().unwrap_or_else(|| crate::client::DEFAULT_GROUP.to_owned()),
        or_empty(&device.identified),
        or_empty(&device.via),
        standing.map(|of| of.state.as_str().to_owned()).unwrap_or_default(),
        standing.and_then(|of| of.silent_since).map(|at| at.to_string()).unwrap_or_default(),
        standing.map(|of| of.seen_again.to_string()).unwrap_or_default(),
        confirmation.map(|of| of.at.to_string()).unwrap_or_default(),
        confirmation.map(|of| of.actor.clone()).unwrap_or_default(),
        confirmation.map(|of| of.what.clone()).unwrap_or_default(),
        device.role.role.to_string(),
        device.role.confidence.map(|of| of.to_string()).unwrap_or_default(),
        reasons.join("; "),
        otherwise.join(" "),
        device.services.join(" "),
        device.around.join(" "),
        device.around_lookups.to_string(),
        device.waivers.join(" "),
        device.attempted.to_string(),
        device.sums.withheld.to_string(),
        device.sums.let_through().to_string(),
        device.first.to_string(),
        device.last.to_string(),
        device.rhythm.map(|(hours, _)| hours.to_string()).unwrap_or_default(),
        device.rhythm.map(|(_, regularity)| regularity.to_string()).unwrap_or_default(),
        device.next.as_str().to_owned(),
        device.next.words().to_owned(),
    ]
}

/// Returns what a device is told by.
pub(super) const fn told_by(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Hardware => "hardware address",
        DeviceKind::Address => "address",
        DeviceKind::Network => "network (many)",
        DeviceKind::Anonymous => "pseudonym",
    }
}

pub(super) fn rules(of: &Rules, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        let rules: Vec<_> = of
            .rules
            .iter()
            .map(|rule| {
                json!({
                    "id": rule.id, "role": rule.role, "confidence": rule.confidence, "when": rule.when,
                    "source": rule.source, "error": rule.error,
                })
            })
            .collect();
        return writeln!(out, "{}", serde_json::Value::from(rules));
    }
    for rule in &of.rules {
        writeln!(out, "{}: {} ({})", rule.id, rule.role, rule.confidence)?;
        writeln!(out, "  when    {}", rule.when.join(", and "))?;
        writeln!(out, "  source  {}", rule.source)?;
        writeln!(out, "  error   {}\n", rule.error)?;
    }
    writeln!(out, "the first that holds decides; how often each role is right is in docs/devices.md")
}
