//! The formats, held against files that were looked at by hand, and against names that try to mislead a reader.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::export::event::Clients;
use crate::ledger::{KeyRing, Leaf};

/// The key that the golden files were made with.
const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn origin() -> Origin {
    Origin { log: "log.example/resolver-1/1".to_owned(), host: "resolver-1".to_owned() }
}

/// Turns what stands in clear in the file of leaves into what a ledger holds.
fn sealed(mut leaf: Value, keys: &mut KeyRing) -> Leaf {
    let raw = leaf["raw"].as_str().unwrap().parse().unwrap();
    if let Some(client) = leaf["client"].as_str() {
        leaf["client"] = keys.seal(client.parse().unwrap(), raw).0.into();
    }
    if let Some(device) = leaf["device"].as_str() {
        let octets: Vec<u8> = device.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect();
        let [a, b, c, d, e, f] = octets[..] else { panic!("{device}") };
        let address =
            std::net::Ipv6Addr::from([b'h', b'a', b'r', b'd', b'w', b'a', b'r', b'e', 0, 0, a, b, c, d, e, f]);
        leaf["device"] = keys.seal(address.into(), raw).0.into();
    }
    serde_json::from_value(leaf).unwrap()
}

fn events(clients: Clients) -> Vec<Event> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("2026-11.key"), KEY).unwrap();
    let mut keys = KeyRing::open(folder.path()).unwrap();
    let leaves = include_str!("../../../tests/data/export/leaves.jsonl").lines();
    let leaves: Vec<Value> = leaves.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |leaf| {
        let leaf = sealed(leaf, &mut keys);
        Event::of_leaf(leaf, clients, &mut keys).0
    };
    let mut events: Vec<_> = leaves.into_iter().map(of).collect();
    events.push(Event::missed(16, 40, Some("2026-11-03T10:00:00Z".parse().unwrap())));
    events
}

/// Compares with a file of `tests/data/export`; with `INTERDICT_GOLDEN=write` set, writes it instead.
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/export").join(name);
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var("INTERDICT_GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (found, wanted) in text.lines().zip(golden.lines()) {
        assert_eq!(found, wanted, "{name}");
    }
    assert_eq!(text, golden, "{name}");
}

fn lines(text: Text, clients: Clients) -> String {
    events(clients).iter().map(|event| text.write(event, &origin()) + "\n").collect()
}

#[test]
fn each_format_writes_what_its_golden_file_holds() {
    for (word, text) in Text::WORDS.iter().map(|word| (word, word.parse::<Text>().unwrap())) {
        assert_golden(&format!("plain.{word}"), &lines(text, Clients::Plain));
    }
    let events = events(Clients::Plain);
    let syslog: String = events.iter().map(|event| syslog::message(event, &origin(), Text::Cef) + "\n").collect();
    assert_golden("plain.syslog", &syslog);
    assert_golden("plain.otlp", &(serde_json::to_string_pretty(&otlp::request(&events, &origin())).unwrap() + "\n"));
    let frames: String = events.iter().flat_map(|event| dnstap::frames(event, &origin())).map(shown).collect();
    assert_golden("plain.dnstap", &frames);
}

/// Octets as `escape_ascii` shows them, so that a change can be read.
fn shown(frame: Vec<u8>) -> String {
    format!("{}\n", frame.escape_ascii())
}

#[test]
fn what_is_told_of_a_client_is_what_was_asked_for() {
    for (word, clients) in Clients::WORDS.iter().map(|word| (*word, word.parse::<Clients>().unwrap())) {
        assert_golden(&format!("{word}.clients"), &lines(Text::Json, clients));
        let clear = ["192.0.2.7", "2001:db8:1:2::7", "00:00:5e:00:53:01", "00-00-5E-00-53-01"];
        for text in Text::WORDS.iter().map(|text| text.parse::<Text>().unwrap()) {
            let lines = lines(text, clients);
            let told: Vec<_> = clear.iter().filter(|clear| lines.contains(**clear)).collect();
            assert_eq!(told.is_empty(), clients != Clients::Plain, "{word} {text:?}: {told:?}");
            assert_eq!(lines.contains("192.0.2.0/24"), clients == Clients::Network, "{word} {text:?}");
        }
        let frames: Vec<u8> =
            events(clients).iter().flat_map(|event| dnstap::frames(event, &origin())).flatten().collect();
        let address = [0x22, 4, 192, 0, 2, 7];
        assert_eq!(frames.windows(6).any(|at| at == address), clients == Clients::Plain, "{word}");
    }
}

/// Returns how many equals signs of an extension begin a value.
fn pairs(line: &str) -> usize {
    let octets = line.as_bytes();
    let escaped = |at: usize| octets[..at].iter().rev().take_while(|octet| **octet == b'\\').count() % 2 == 1;
    (0..octets.len()).filter(|at| octets[*at] == b'=' && !escaped(*at)).count()
}

/// Returns the fields of a line of CEF: seven of the header, and the extension.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut escaped) = (vec![String::new()], false);
    for c in line.chars() {
        if c == '|' && !escaped && fields.len() < 8 {
            fields.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        fields.last_mut().unwrap().push(c);
    }
    fields
}

proptest! {
    #[test]
    fn no_text_becomes_a_line_a_field_or_another_message(hostile in "\\PC{0,20}|[\\x00-\\x20=|\\\\\"<>\\x7f\u{85}\u{2028}\u{202e}a1\n\r]{0,40}") {
        let event = |name: &str| {
            let leaf = json!({
                "v": 1, "seq": 7, "kind": "attempt", "at": "2026-11-03T09:15:02Z", "last": "2026-11-03T09:15:02Z",
                "raw": "2026-11-03T09:15:02Z", "raw_last": "2026-11-03T09:15:02Z", "count": 1, "group": name, "name": name,
                "verdict": "sunk", "order": name, "prohibition": null, "rule": name, "service": name, "confidence": "high",
                "subject": name, "policy": "00", "rcode": name, "type": name, "transport": name, "rehearsal": false,
            });
            let change = json!({
                "v": 1, "seq": 8, "kind": "change", "at": "2026-11-03T09:15:02Z", "raw": "2026-11-03T09:15:02Z",
                "act": "waiver", "accepted": false, "by": name, "why": name, "what": name, "policy": null, "rehearsal": false,
            });
            [leaf, change].map(|leaf| {
                let leaf: Leaf = serde_json::from_value(leaf).unwrap();
                Event::of_leaf(leaf, Clients::None, &mut KeyRing::reader(Path::new("/nowhere"))).0
            })
        };
        for (event, tame) in event(&hostile).iter().zip(event("x")) {
            for text in [Text::Json, Text::Cef, Text::Ecs, Text::Ocsf] {
                let line = text.write(event, &origin());
                let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}');
                prop_assert!(!line.contains(ends), "{line:?}");
                let start = if text == Text::Cef { "CEF:0|" } else { "{" };
                prop_assert!(line.starts_with(start), "{line:?}");
                if text == Text::Cef {
                    let (found, wanted) = (fields(&line), fields(&text.write(&tame, &origin())));
                    prop_assert_eq!(&found[..7], &wanted[..7]);
                    prop_assert_eq!(pairs(&found[7]), pairs(&wanted[7]));
                } else {
                    let read: Value = serde_json::from_str(&line).unwrap();
                    let whole = match text { Text::Ecs => &read["interdict"], Text::Ocsf => &read["unmapped"], _ => &read };
                    let field = if event.record().is_some() { "name" } else { "why" };
                    prop_assert_eq!(&whole[field], &Value::from(hostile.clone()));
                }
                let message = syslog::message(event, &origin(), text);
                prop_assert!(message.starts_with("<10"), "{message}");
                prop_assert!(message.ends_with(&line));
            }
            // What is no name in presentation form makes no message of DNS, and panics nowhere.
            drop(dnstap::frames(event, &origin()));
        }
    }
}

/// The attributes with the requirement "required" of the classes that are used and of the objects in them (ocsf-schema 1.8.0:
/// events/base_event.json, events/network/dns_activity.json, events/application/application_lifecycle.json, objects/).
const OCSF_REQUIRED: [(&str, &[&str]); 6] = [
    ("", &["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"]),
    ("/metadata", &["product", "version"]),
    ("/metadata/product", &["name"]),
    ("/query", &["hostname"]),
    ("/connection_info", &["direction_id"]),
    ("/app", &["name"]),
];

#[test]
fn what_ocsf_requires_is_there() {
    for event in events(Clients::Network) {
        let object: Value = serde_json::from_str(&Text::Ocsf.write(&event, &origin())).unwrap();
        for (place, required) in OCSF_REQUIRED {
            let Some(of) = object.pointer(place) else { continue };
            assert!(required.iter().all(|key| !of[key].is_null()), "{place} of {object}");
        }
        let number = |key: &str| object[key].as_u64().unwrap();
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
        assert_eq!(number("class_uid") / 1000, number("category_uid"));
        // The network classes want one end at least.
        assert!(
            number("class_uid") != 4003 || object["dst_endpoint"].is_object() || object["src_endpoint"].is_object()
        );
    }
}

#[test]
fn what_ecs_allows_is_all_there_is() {
    // The expected types of each category (ecs 8.17, generated/ecs/ecs_flat.yml, event.category).
    let types = |category: &str| -> &[&str] {
        match category {
            "network" => &["access", "allowed", "connection", "denied", "end", "info", "protocol", "start"],
            "configuration" => &["access", "change", "creation", "deletion", "info"],
            "process" => &["access", "change", "end", "info", "start"],
            other => panic!("{other}"),
        }
    };
    for event in events(Clients::Plain) {
        let document: Value = serde_json::from_str(&Text::Ecs.write(&event, &origin())).unwrap();
        let words = |key: &str| {
            let words = document["event"][key].as_array().unwrap();
            words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for category in words("category") {
            assert!(words("type").iter().all(|word| types(&category).contains(&word.as_str())), "{document}");
        }
        let kind = document["event"]["kind"].as_str().unwrap();
        assert!(["alert", "event", "metric", "pipeline_error"].contains(&kind), "{document}");
    }
}

#[test]
fn a_host_name_cannot_break_out_of_the_header() {
    let origin = Origin { log: "x".to_owned(), host: "a b\n\"é".to_owned() };
    let message = syslog::message(&events(Clients::None)[0], &origin, Text::Json);
    assert!(
        message.starts_with("<109>1 2026-11-03T09:15:02.000123Z a-b-\"- interdict - attempt [origin "),
        "{message}"
    );
}

#[test]
fn response_codes_have_their_numbers() {
    for (mnemonic, number) in
        [("NOERROR", Some(0)), ("NXDOMAIN", Some(3)), ("REFUSED", Some(5)), ("RCODE23", Some(23)), ("x", None)]
    {
        assert_eq!(rcode(mnemonic), number, "{mnemonic}");
    }
}
