//! The Open Cybersecurity Schema Framework, version 1.8: look-ups are DNS Activity (4003) with the profile
//! `security_control`, changes Application Lifecycle (6002), anything else a base event.

use serde_json::{Map, Value, json};

use super::{put, rcode};
use crate::export::event::{Event, Origin, Told, Weight};
use crate::ledger::{Act, Body, Changed, Record};

/// The version of the schema.
const VERSION: &str = "1.8.0";

/// Returns an event as an object of its class.
pub(super) fn write(event: &Event, origin: &Origin) -> Value {
    let mut object = Map::new();
    let (class, activity) = match &event.told {
        Told::Leaf(leaf) => match &leaf.body {
            Body::Attempt(record) => {
                attempt(event, record, &mut object);
                object.insert("dst_endpoint".to_owned(), json!({ "hostname": origin.host }));
                // Traffic: the leaf tells of both query and response.
                (Class::DNS, (6, "Traffic"))
            }
            Body::Change(change) => {
                object.insert("app".to_owned(), product());
                object.insert("status_id".to_owned(), if change.accepted { 1 } else { 2 }.into());
                (Class::LIFECYCLE, lifecycle(change))
            }
            Body::Coverage(_) | Body::Gap(_) | Body::Unknown => (Class::BASE, (99, event.kind())),
        },
        Told::Missed { .. } => (Class::BASE, (99, event.kind())),
    };
    let Class { uid, name, category, category_name } = class;
    let (activity_id, activity_name) = activity;
    let (severity_id, severity) = severity(event.weight());
    for (key, value) in [
        ("class_uid", json!(uid)),
        ("class_name", json!(name)),
        ("category_uid", json!(category)),
        ("category_name", json!(category_name)),
        ("activity_id", json!(activity_id)),
        ("activity_name", json!(activity_name)),
        ("type_uid", json!(uid * 100 + activity_id)),
        ("severity_id", json!(severity_id)),
        ("severity", json!(severity)),
        ("message", json!(event.sentence())),
        ("metadata", metadata(event, origin)),
        ("unmapped", Value::Object(event.value(origin))),
    ] {
        object.insert(key.to_owned(), value);
    }
    // `time` is required; what has none is a hole at the end of a journal.
    object.insert("time".to_owned(), event.at().map_or(0, |at| at.as_millisecond()).into());
    if let Some((from, until)) = event.span() {
        object.insert("start_time".to_owned(), from.as_millisecond().into());
        object.insert("end_time".to_owned(), until.as_millisecond().into());
    }
    Value::Object(object)
}

struct Class {
    uid: u32,
    name: &'static str,
    category: u32,
    category_name: &'static str,
}

impl Class {
    const DNS: Self = Self { uid: 4003, name: "DNS Activity", category: 4, category_name: "Network Activity" };
    const LIFECYCLE: Self =
        Self { uid: 6002, name: "Application Lifecycle", category: 6, category_name: "Application Activity" };
    const BASE: Self = Self { uid: 0, name: "Base Event", category: 0, category_name: "Uncategorized" };
}

fn product() -> Value {
    json!({ "name": "Interdict", "vendor_name": "Interdict", "version": env!("CARGO_PKG_VERSION") })
}

fn metadata(event: &Event, origin: &Origin) -> Value {
    let profiles: &[&str] = if event.record().is_some() { &["security_control"] } else { &[] };
    json!({
        "version": VERSION, "product": product(), "profiles": profiles, "uid": event.id(origin),
        "log_name": origin.log, "log_provider": origin.host, "sequence": event.seq(),
    })
}

/// The activities of Application Lifecycle.
const fn lifecycle(change: &Changed) -> (u32, &'static str) {
    match change.act {
        Act::Start => (3, "Start"),
        Act::Stop => (4, "Stop"),
        Act::Reload | Act::Activate | Act::List => (8, "Update"),
        Act::Removed
        | Act::Document
        | Act::Rewritten
        | Act::Servfail
        | Act::Waiver
        | Act::Confirm
        | Act::Revoke
        | Act::Lapse
        | Act::MonitorOnly
        | Act::Clock
        | Act::Hold
        | Act::Release
        | Act::Rotate
        | Act::Forget
        | Act::DeviceRemoved
        | Act::DeviceWithdrawn
        | Act::Notice
        | Act::Origin => (99, change.act.as_str()),
    }
}

const fn severity(weight: Weight) -> (u32, &'static str) {
    match weight {
        Weight::Informational => (1, "Informational"),
        Weight::Notice => (2, "Low"),
        Weight::Warning => (3, "Medium"),
        Weight::Error => (4, "High"),
    }
}

fn attempt(event: &Event, record: &Record, object: &mut Map<String, Value>) {
    // What is recorded and answered is Allowed, and was noted or corrected by nobody.
    let (action, disposition) = match record.verdict.as_str() {
        "sunk" => ((2, "Denied"), (2, "Blocked")),
        "monitored" => ((1, "Allowed"), (17, "Logged")),
        _ => ((1, "Allowed"), (1, "Allowed")),
    };
    // The object needs a name, which look-ups that were put together do not have.
    if let Some(name) = &record.name {
        let mut query = Map::new();
        query.insert("hostname".to_owned(), name.as_str().into());
        put(&mut query, "type", record.r#type.clone());
        query.insert("class".to_owned(), "IN".into());
        object.insert("query".to_owned(), Value::Object(query));
    }
    let code = record.rcode.as_deref().map(response_code);
    let transport = record.transport.as_deref();
    let connection = json!({
        "direction_id": 1, "direction": "Inbound",
        "protocol_name": transport, "protocol_num": transport.map(|of| if of == "udp" { 17 } else { 6 }),
    });
    let mut source = Map::new();
    // A text that is not an address has its own place: `uid`.
    put(&mut source, "ip", event.client.address.map(|address| address.to_string()));
    put(&mut source, "uid", event.client.text().filter(|_| event.client.address.is_none()));
    put(&mut source, "mac", event.client.hardware.clone());
    for (key, value) in [
        ("action_id", json!(action.0)),
        ("action", json!(action.1)),
        ("disposition_id", json!(disposition.0)),
        ("disposition", json!(disposition.1)),
        ("is_alert", json!(record.threat || record.verdict == "sunk")),
        ("policy", json!({ "uid": record.policy, "name": record.order })),
        ("firewall_rule", json!({ "uid": record.rule, "name": record.rule, "category": record.service })),
        ("count", json!(record.count)),
        ("query_time", json!(record.at.as_millisecond())),
        ("response_time", json!(record.last.as_millisecond())),
        ("rcode_id", json!(code.map_or(99, |(id, _)| id))),
        ("connection_info", if transport.is_some() { connection } else { json!({ "direction_id": 1 }) }),
    ] {
        object.insert(key.to_owned(), value);
    }
    if !source.is_empty() {
        object.insert("src_endpoint".to_owned(), Value::Object(source));
    }
    put(object, "rcode", code.map(|(_, caption)| caption));
}

/// The response codes of the class, with their captions.
fn response_code(mnemonic: &str) -> (u16, &'static str) {
    const CAPTIONS: [&str; 12] = [
        "NoError",
        "FormError",
        "ServError",
        "NXDomain",
        "NotImp",
        "Refused",
        "YXDomain",
        "YXRRSet",
        "NXRRSet",
        "NotAuth",
        "NotZone",
        "DSOTYPENI",
    ];
    let known = rcode(mnemonic).and_then(|code| Some((code, *CAPTIONS.get(usize::from(code))?)));
    known.unwrap_or((99, "Other"))
}
