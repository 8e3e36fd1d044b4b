//! dnstap (dnstap.info): look-ups as messages of Protocol Buffers. Written by hand: two dozen fields, which never change
//! their numbers.

use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use super::{json_line, rcode};
use crate::export::event::{Event, Origin};
use crate::ledger::Record;
use crate::message::{Class, Name, RecordType, Writer, flag};

/// What a Frame Streams file or connection says that it carries.
pub(in crate::export) const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The values of `Message.Type`.
const CLIENT_QUERY: u64 = 5;
const CLIENT_RESPONSE: u64 = 6;

/// Returns a look-up as the query of a client and the response to it, each a frame; nothing for what is no look-up, or for
/// look-ups that were put together and so have no name.
pub(in crate::export) fn frames(event: &Event, origin: &Origin) -> Vec<Vec<u8>> {
    let Some(record) = event.record() else { return Vec::new() };
    let name: Option<Name> = record.name.as_ref().and_then(|name| name.parse().ok());
    let record_type: Option<RecordType> = record.r#type.as_ref().and_then(|of| of.parse().ok());
    let (Some(name), Some(record_type)) = (name, record_type) else { return Vec::new() };
    let extra = json_line(&Value::Object(event.value(origin)));
    let frame = |kind: u64| {
        let mut outer = Fields::default();
        outer.octets(1, origin.host.as_bytes());
        outer.octets(2, concat!("interdict ", env!("CARGO_PKG_VERSION")).as_bytes());
        outer.octets(3, extra.as_bytes());
        outer.octets(14, &message(kind, event, record, (&name, record_type)).0);
        outer.number(15, 1);
        outer.0
    };
    vec![frame(CLIENT_QUERY), frame(CLIENT_RESPONSE)]
}

fn message(kind: u64, event: &Event, record: &Record, question: (&Name, RecordType)) -> Fields {
    let mut fields = Fields::default();
    fields.number(1, kind);
    let address = event.client.address.or_else(|| event.client.network.map(|network| network.network()));
    fields.number(2, if address.is_some_and(|address| address.is_ipv6()) { 2 } else { 1 });
    if let Some(protocol) = record.transport.as_deref().and_then(protocol) {
        fields.number(3, protocol);
    }
    match address {
        Some(IpAddr::V4(address)) => fields.octets(4, &address.octets()),
        Some(IpAddr::V6(address)) => fields.octets(4, &address.octets()),
        None => {}
    }
    let (seconds, nanos) = parts(record.at);
    fields.number(8, seconds);
    fields.fixed(9, nanos);
    if kind == CLIENT_QUERY {
        fields.octets(10, &wire(question, flag::RECURSION_DESIRED));
        return fields;
    }
    let code = record.rcode.as_deref().and_then(rcode).unwrap_or_default();
    let flags = flag::RESPONSE | flag::RECURSION_DESIRED | flag::RECURSION_AVAILABLE | (code & 0x0F);
    fields.number(12, seconds);
    fields.fixed(13, nanos);
    fields.octets(14, &wire(question, flags));
    fields.octets(15, &policy(record, question.0).0);
    fields
}

fn policy(record: &Record, name: &Name) -> Fields {
    let mut fields = Fields::default();
    fields.octets(1, record.order.as_bytes());
    fields.octets(2, record.rule.as_bytes());
    fields.number(
        3,
        match (record.verdict.as_str(), record.rcode.as_deref()) {
            ("sunk", Some("NXDOMAIN")) => 1,
            ("sunk", Some("NOERROR")) => 2,
            ("sunk", _) => 6,
            _ => 3,
        },
    );
    let subject = record.subject.as_deref().map(|subject| (subject.parse::<IpAddr>(), subject.parse::<Name>()));
    match subject {
        Some((Ok(IpAddr::V4(address)), _)) => {
            fields.number(4, 3);
            fields.octets(5, &address.octets());
        }
        Some((Ok(IpAddr::V6(address)), _)) => {
            fields.number(4, 3);
            fields.octets(5, &address.octets());
        }
        // What an alias leads to is a name like the one that was asked for; the format has no other word for it.
        Some((Err(_), Ok(target))) => {
            fields.number(4, 1);
            fields.octets(5, target.as_wire());
        }
        None => {
            fields.number(4, 1);
            fields.octets(5, name.as_wire());
        }
        Some((Err(_), Err(_))) => {}
    }
    fields
}

/// Returns a message of nothing but the question. The id is not kept in records, and is 0.
fn wire((name, record_type): (&Name, RecordType), flags: u16) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, 0, flags).question(name.as_wire(), record_type, Class::IN);
    out
}

/// The values of `SocketProtocol`.
fn protocol(transport: &str) -> Option<u64> {
    match transport {
        "udp" => Some(1),
        "tcp" => Some(2),
        "dot" => Some(3),
        "doh" | "doh3" => Some(4),
        "doq" => Some(7),
        _ => None,
    }
}

fn parts(at: Timestamp) -> (u64, u32) {
    let nanos = at.as_nanosecond().max(0);
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or_default();
    (seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or_default())
}

/// Fields of a message of Protocol Buffers.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn octets(&mut self, field: u64, octets: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(octets.len() as u64);
        self.0.extend_from_slice(octets);
    }

    fn fixed(&mut self, field: u64, value: u32) {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}
