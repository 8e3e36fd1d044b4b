//! The Elastic Common Schema: its own fields where it has them, and the whole leaf under `interdict`.

use serde_json::{Map, Value, json};

use super::{put, rcode};
use crate::export::event::{Event, Origin, Weight};
use crate::ledger::Record;

/// The version of the schema whose fields are used.
const VERSION: &str = "8.17.0";

/// Returns an event as a document.
pub(super) fn write(event: &Event, origin: &Origin) -> Value {
    let mut document = Map::new();
    put(&mut document, "@timestamp", event.at().map(|at| format!("{at:.6}")));
    document.insert("ecs".to_owned(), json!({ "version": VERSION }));
    document.insert("message".to_owned(), event.sentence().into());
    document.insert("event".to_owned(), Value::Object(about(event, origin)));
    document.insert(
        "observer".to_owned(),
        json!({
            "vendor": "Interdict", "product": "Interdict", "type": "dns", "version": env!("CARGO_PKG_VERSION"),
            "hostname": origin.host,
        }),
    );
    if let Some(record) = event.record() {
        attempt(event, record, &mut document);
    }
    document.insert("interdict".to_owned(), Value::Object(event.value(origin)));
    Value::Object(document)
}

fn about(event: &Event, origin: &Origin) -> Map<String, Value> {
    let record = event.record();
    let weight = event.weight();
    let mut about = Map::new();
    about.insert("id".to_owned(), event.id(origin).into());
    about.insert("sequence".to_owned(), event.seq().into());
    about.insert("module".to_owned(), "interdict".into());
    about.insert("dataset".to_owned(), format!("interdict.{}", event.kind()).into());
    about.insert("provider".to_owned(), "interdict".into());
    about.insert("severity".to_owned(), severity(weight).into());
    let (kind, category, types) = match record {
        Some(record) if record.threat || record.verdict == "sunk" => ("alert", "network", access(record)),
        Some(record) => ("event", "network", access(record)),
        None if event.kind() == "change" => ("event", "configuration", vec!["change"]),
        None if event.kind() == "coverage" => ("metric", "process", vec!["info"]),
        // Of errors tells the kind: the category has no such type.
        None => ("pipeline_error", "process", vec!["info"]),
    };
    about.insert("kind".to_owned(), kind.into());
    about.insert("category".to_owned(), json!([category]));
    about.insert("type".to_owned(), json!(types));
    put(&mut about, "action", record.map(|record| record.verdict.clone()));
    if let Some((from, until)) = event.span() {
        about.insert("start".to_owned(), format!("{from:.6}").into());
        about.insert("end".to_owned(), format!("{until:.6}").into());
    }
    about
}

fn access(record: &Record) -> Vec<&'static str> {
    vec!["protocol", if record.verdict == "sunk" { "denied" } else { "allowed" }]
}

/// As syslog numbers them, turned around: more is worse.
const fn severity(weight: Weight) -> u8 {
    match weight {
        Weight::Informational => 1,
        Weight::Notice => 3,
        Weight::Warning => 5,
        Weight::Error => 7,
    }
}

fn attempt(event: &Event, record: &Record, document: &mut Map<String, Value>) {
    let mut question = Map::new();
    put(&mut question, "name", record.name.clone());
    put(&mut question, "type", record.r#type.clone());
    question.insert("class".to_owned(), "IN".into());
    let mut dns = Map::new();
    dns.insert("type".to_owned(), "answer".into());
    dns.insert("question".to_owned(), Value::Object(question));
    put(&mut dns, "response_code", record.rcode.clone().filter(|code| rcode(code).is_some()));
    document.insert("dns".to_owned(), Value::Object(dns));
    let mut network = Map::new();
    network.insert("protocol".to_owned(), "dns".into());
    put(&mut network, "transport", record.transport.clone());
    document.insert("network".to_owned(), Value::Object(network));
    document.insert(
        "rule".to_owned(),
        json!({ "name": record.rule, "ruleset": record.order, "category": record.service, "version": record.policy }),
    );
    let mut source = Map::new();
    put(&mut source, "ip", event.client.address.map(|address| address.to_string()));
    // An encrypted address has the form of one, and must not be taken for one.
    put(&mut source, "address", event.client.text());
    put(&mut source, "mac", event.client.hardware.as_ref().map(|mac| mac.replace(':', "-").to_uppercase()));
    if !source.is_empty() {
        document.insert("source".to_owned(), Value::Object(source));
    }
}
