//! The Common Event Format (ArcSight, version 0): a header of eight fields, and pairs of key and value.

use std::fmt::Write as _;

use crate::export::event::{Event, Origin, Told, Weight};
use crate::ledger::Body;

/// The longest value that is written, in characters; readers of the format allow 4000 at most.
const MAX_VALUE: usize = 4000;

/// Returns an event in one line.
pub(super) fn write(event: &Event, origin: &Origin) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let class = event.record().map_or(event.kind(), |record| record.verdict.as_str());
    let mut line = String::from("CEF:0");
    for field in ["Interdict", "Interdict", version, class, &event.sentence(), severity(event.weight())] {
        line.push('|');
        escape(&mut line, field, '|');
    }
    line.push('|');
    for (at, (key, value)) in extension(event, origin).into_iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        escape(&mut line, &value, '=');
    }
    line
}

/// From 0 to 10.
const fn severity(weight: Weight) -> &'static str {
    match weight {
        Weight::Informational => "2",
        Weight::Notice => "5",
        Weight::Warning => "7",
        Weight::Error => "8",
    }
}

/// Appends a text so that no part of it ends the field: the sign that would is escaped, and so is whatever ends a line.
fn escape(line: &mut String, text: &str, ends: char) {
    for character in text.chars().take(MAX_VALUE) {
        match character {
            '\\' => line.push_str("\\\\"),
            c if c == ends => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            // Line separators of Unicode, and signs that turn the direction of text, end or forge lines as well.
            c if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

type Pairs = Vec<(&'static str, String)>;

fn extension(event: &Event, origin: &Origin) -> Pairs {
    let mut pairs: Pairs = Vec::new();
    let mut put = |key, value: Option<String>| pairs.extend(value.map(|value| (key, value)));
    put("cat", Some(event.kind().to_owned()));
    put("rt", event.at().map(|at| at.as_millisecond().to_string()));
    if let Some((from, until)) = event.span() {
        put("start", Some(from.as_millisecond().to_string()));
        put("end", Some(until.as_millisecond().to_string()));
    }
    put("externalId", Some(event.seq().to_string()));
    put("dvchost", Some(origin.host.clone()).filter(|host| !host.is_empty()));
    labelled(&mut pairs, ("cs1", "cs1Label", "log"), Some(origin.log.clone()));
    match &event.told {
        Told::Leaf(leaf) => match &leaf.body {
            Body::Attempt(_) => attempt(event, &mut pairs),
            Body::Coverage(of) => {
                pairs.push(("cnt", of.queries.values().sum::<u64>().to_string()));
                labelled(&mut pairs, ("cn1", "cn1Label", "leaves"), Some(of.leaves.to_string()));
                labelled(
                    &mut pairs,
                    ("cn2", "cn2Label", "recorded"),
                    Some(of.recorded.values().sum::<u64>().to_string()),
                );
            }
            Body::Change(of) => {
                pairs.push(("act", of.act.as_str().to_owned()));
                pairs.push(("outcome", if of.accepted { "success" } else { "failure" }.to_owned()));
                pairs.push(("suser", of.by.clone()));
                pairs.push(("reason", of.why.clone()));
                pairs.extend(of.what.clone().map(|what| ("msg", what)));
                labelled(&mut pairs, ("cs6", "cs6Label", "policy"), of.policy.clone());
            }
            Body::Gap(of) => {
                pairs.extend(of.count.map(|count| ("cnt", count.to_string())));
                pairs.push(("msg", of.found.clone()));
                numbers(&mut pairs, of.first_seq.zip(of.last_seq));
            }
            Body::Unknown => {}
        },
        Told::Missed { first, last, .. } => {
            pairs.push(("cnt", (last - first + 1).to_string()));
            numbers(&mut pairs, Some((*first, *last)));
        }
    }
    pairs
}

fn attempt(event: &Event, pairs: &mut Pairs) {
    let Some(record) = event.record() else { return };
    let mut put = |key, value: Option<String>| pairs.extend(value.map(|value| (key, value)));
    put("act", Some(record.verdict.clone()));
    put("cnt", Some(record.count.to_string()));
    put("app", Some("DNS".to_owned()));
    put("proto", record.transport.as_ref().map(|transport| transport.to_uppercase()));
    put("destinationDnsDomain", record.name.clone());
    put("outcome", record.rcode.clone());
    put("smac", event.client.hardware.clone());
    match event.client.address {
        Some(std::net::IpAddr::V4(address)) => put("src", Some(address.to_string())),
        Some(std::net::IpAddr::V6(address)) => {
            put("c6a2Label", Some("Source IPv6 Address".to_owned()));
            put("c6a2", Some(address.to_string()));
        }
        None => labelled(pairs, ("cs2", "cs2Label", "client"), event.client.text()),
    }
    labelled(pairs, ("cs3", "cs3Label", "order"), Some(record.order.clone()));
    labelled(pairs, ("cs4", "cs4Label", "service"), Some(record.service.clone()));
    labelled(pairs, ("cs5", "cs5Label", "rule"), Some(record.rule.clone()));
    labelled(pairs, ("cs6", "cs6Label", "policy"), Some(record.policy.clone()));
    labelled(pairs, ("flexString1", "flexString1Label", "type"), record.r#type.clone());
    labelled(pairs, ("flexString2", "flexString2Label", "subject"), record.subject.clone());
}

fn numbers(pairs: &mut Pairs, seqs: Option<(u64, u64)>) {
    if let Some((first, last)) = seqs {
        labelled(pairs, ("cn1", "cn1Label", "first"), Some(first.to_string()));
        labelled(pairs, ("cn2", "cn2Label", "last"), Some(last.to_string()));
    }
}

fn labelled(pairs: &mut Pairs, (key, label, word): (&'static str, &'static str, &'static str), value: Option<String>) {
    if let Some(value) = value {
        pairs.push((label, word.to_owned()));
        pairs.push((key, value));
    }
}
