//! OpenTelemetry logs: a request of OTLP/HTTP in JSON (opentelemetry-proto 1, collector/logs/v1).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::json_line;
use crate::export::event::{Event, Origin, Told, Weight};

/// Returns the request that hands these events over.
pub(in crate::export) fn request(events: &[Event], origin: &Origin) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = attributes([
        ("service.name", json!("interdict")),
        ("service.version", json!(version)),
        ("host.name", json!(origin.host)),
    ]);
    let records: Vec<_> = events.iter().map(|event| record(event, origin)).collect();
    json!({
        "resourceLogs": [{
            "resource": { "attributes": resource },
            "scopeLogs": [{ "scope": { "name": "interdict", "version": version }, "logRecords": records }],
        }],
    })
}

fn record(event: &Event, origin: &Origin) -> Value {
    let (number, text) = severity(event.weight());
    let mut named = vec![("log.record.uid", json!(event.id(origin))), ("event.sequence", json!(event.seq()))];
    if let Some(record) = event.record() {
        named.push(("interdict.verdict", json!(record.verdict)));
        named.push(("interdict.order", json!(record.order)));
        named.push(("interdict.service", json!(record.service)));
        named.push(("interdict.rule", json!(record.rule)));
        named.push(("interdict.count", json!(record.count)));
        named.extend(record.name.as_ref().map(|name| ("dns.question.name", json!(name))));
        named.extend(record.r#type.as_ref().map(|of| ("dns.question.type", json!(of))));
        named.extend(record.rcode.as_ref().map(|code| ("dns.response_code", json!(code))));
        named.extend(record.transport.as_ref().map(|transport| ("network.transport", json!(transport))));
        named.extend(event.client.address.map(|address| ("client.address", json!(address.to_string()))));
    }
    let mut record = Map::new();
    for (key, instant) in [("timeUnixNano", event.at()), ("observedTimeUnixNano", raw(event).or(event.at()))] {
        // In JSON, integers of 64 bits are texts; 0 is none.
        let nanos = instant.map_or(0, Timestamp::as_nanosecond).max(0);
        record.insert(key.to_owned(), nanos.to_string().into());
    }
    for (key, value) in [
        ("severityNumber", json!(number)),
        ("severityText", json!(text)),
        ("eventName", json!(format!("interdict.{}", event.kind()))),
        // As a text, so that it is the leaf, octet for octet the same in each store.
        ("body", json!({ "stringValue": json_line(&Value::Object(event.value(origin))) })),
        ("attributes", attributes(named)),
    ] {
        record.insert(key.to_owned(), value);
    }
    Value::Object(record)
}

/// Returns what the system clock told.
fn raw(event: &Event) -> Option<Timestamp> {
    use crate::ledger::Body;
    match &event.told {
        Told::Leaf(leaf) => match &leaf.body {
            Body::Attempt(record) => Some(record.raw),
            Body::Coverage(coverage) => Some(coverage.raw),
            Body::Change(change) => Some(change.raw),
            Body::Gap(gap) => Some(gap.raw),
            Body::Unknown => None,
        },
        Told::Missed { .. } => None,
    }
}

/// Logs data model, "Severity Fields".
const fn severity(weight: Weight) -> (u32, &'static str) {
    match weight {
        Weight::Informational => (9, "INFO"),
        Weight::Notice => (10, "INFO2"),
        Weight::Warning => (13, "WARN"),
        Weight::Error => (17, "ERROR"),
    }
}

fn attributes(named: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let of = |(key, value): (&str, Value)| {
        let value = match value {
            Value::Number(number) => json!({ "intValue": number.to_string() }),
            Value::String(text) => json!({ "stringValue": text }),
            other => json!({ "stringValue": other.to_string() }),
        };
        json!({ "key": key, "value": value })
    };
    Value::Array(named.into_iter().map(of).collect())
}
