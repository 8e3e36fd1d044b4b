//! What each outcome looks like on the wire.

use std::net::Ipv4Addr;

use super::*;
use crate::message::{QueryView, Record, RecordType, ResponseView, u32_at};
use crate::query::{Edns, Peer, Question, Transport};

const STYLE: Style = Style { sink: Sink::Nxdomain, sink_ttl: 60, max_payload: MAX_PAYLOAD, version: String::new() };

fn query(record_type: RecordType, edns: Option<Edns>) -> Query {
    let mut wire = Vec::new();
    Writer::new(&mut wire, 7, 0).question(b"\x01A\x03uPd\x07example\x00", record_type, Class::IN);
    let QueryView { name, capitals, .. } = QueryView::read(&wire).unwrap();
    Query {
        question: Question { name, record_type, class: Class::IN },
        capitals,
        peer: Peer::direct("127.0.0.1:9".parse().unwrap(), None),
        transport: Transport::Udp,
        id: 7,
        recursion_desired: true,
        authentic_data: false,
        checking_disabled: true,
        edns,
    }
}

const EDNS: Option<Edns> = Some(Edns { payload: 4096, dnssec_ok: true });

fn written(query: &Query, outcome: &Outcome<'_>, style: &Style) -> Vec<u8> {
    let mut out = Vec::new();
    respond(query, outcome, style, &mut out);
    out
}

fn sunk(owner: &Name, name_exists: bool, left: Option<u32>) -> Outcome<'_> {
    Outcome::Sunk { owner, citation: "89 FR 1", demand: Demand::Own, sink: None, name_exists, left }
}

/// RFC 8914, sections 4.16 and 4.17.
#[test]
fn the_info_code_tells_who_wanted_the_block() {
    let owner = "upd.example".parse().unwrap();
    for (demand, code, words) in [
        (Demand::Own, 15u16, "blocked by this network's policy; ref 89 FR 1"),
        (Demand::External, 16, "blocked by an order that binds this network; ref 89 FR 1"),
    ] {
        let citation = "89 FR 1";
        let outcome = Outcome::Sunk { owner: &owner, citation, demand, sink: None, name_exists: false, left: None };
        let out = written(&query(RecordType::A, EDNS), &outcome, &STYLE);
        let error = ResponseView::read(&out).unwrap().option(EXTENDED_ERROR).unwrap();
        let text = [&code.to_be_bytes()[..], words.as_bytes()].concat();
        assert_eq!(error, text, "{demand:?}");
    }
}

/// RFC 2308, section 2; RFC 8020, section 2.
#[test]
fn a_sunk_name_gets_the_same_for_every_type() {
    let owner: Name = "upd.example".parse().unwrap();
    let v4 = Sink::Address { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None };
    for (sink, record_type, open, code, counts) in [
        (Sink::Nxdomain, RecordType::A, false, 3, [0, 1]),
        (Sink::Nxdomain, RecordType::HTTPS, false, 3, [0, 1]),
        (Sink::Nxdomain, RecordType(65280), false, 3, [0, 1]),
        (Sink::Nxdomain, RecordType::A, true, 0, [0, 1]),
        (Sink::Nodata, RecordType::A, false, 0, [0, 1]),
        (Sink::Refused, RecordType::A, false, 5, [0, 0]),
        (v4, RecordType::A, false, 0, [1, 0]),
        (v4, RecordType::AAAA, false, 0, [0, 1]),
        (v4, RecordType::MX, false, 0, [0, 1]),
    ] {
        let out = written(&query(record_type, None), &sunk(&owner, open, None), &Style { sink, ..STYLE });
        let view = ResponseView::read(&out).unwrap();
        let count = |section| view.records().flatten().filter(|record| record.section == section).count();
        let found = (view.response_code(), [count(Section::Answer), count(Section::Authority)]);
        assert_eq!(found, (code, counts), "{sink:?} {record_type} {open}");
        assert_eq!(view.flags() & flag::AUTHENTIC_DATA, 0);
    }
}

#[test]
fn the_synthetic_soa_hangs_on_the_entry_and_ends_with_the_rule() {
    let owner: Name = "upd.example".parse().unwrap();
    for (left, ttl) in [(None, 60), (Some(600), 60), (Some(7), 7), (Some(0), 0)] {
        let out = written(&query(RecordType::A, None), &sunk(&owner, false, left), &STYLE);
        let record: Record = ResponseView::read(&out).unwrap().records().next().unwrap().unwrap();
        assert_eq!((record.ttl, u32_at(&out, record.end - 4)), (ttl, Some(ttl)), "{left:?}");
        assert_eq!(Name::read(&out, record.start).unwrap().0, owner);
    }
}

#[test]
fn spelling_id_and_bits_of_the_query_come_back() {
    let owner = "upd.example".parse().unwrap();
    let out = written(&query(RecordType::A, EDNS), &sunk(&owner, false, None), &STYLE);
    assert_eq!(&out[HEADER..HEADER + 15], b"\x01A\x03uPd\x07example\x00");
    let view = ResponseView::read(&out).unwrap();
    let opt = view.opt().unwrap();
    assert_eq!((opt.class.0, opt.ttl), (MAX_PAYLOAD, 0x8000), "our own payload, DO copied");
    let expected = flag::RESPONSE | flag::RECURSION_AVAILABLE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
    assert_eq!((view.id(), view.flags()), (7, expected | 3));
}

fn body(size: usize) -> Body {
    // One TXT record of the question's name, TTL 300.
    let mut octets = vec![0xC0, 0x0C, 0, 16, 0, 1, 0, 0, 1, 0x2C];
    octets.extend_from_slice(&(size as u16).to_be_bytes());
    octets.resize(octets.len() + size, 0);
    Body {
        flags: flag::AUTHENTIC_DATA,
        counts: [1, 0, 0],
        octets: octets.into(),
        ttls: [6].into(),
        minimums: Box::default(),
        lifetime: 300,
        extended_error: None,
    }
}

#[test]
fn ttls_age_and_are_cut_to_the_instant() {
    let body = body(4);
    for (age, left, ttl) in [(0, None, 300), (100, None, 200), (100, Some(50), 50), (400, None, 0)] {
        let outcome = Outcome::Found { body: &body, age: Some(age), left };
        let out = written(&query(RecordType::TXT, None), &outcome, &STYLE);
        let record = ResponseView::read(&out).unwrap().records().next().unwrap().unwrap();
        assert_eq!(record.ttl, ttl, "{age} {left:?}");
    }
}

/// RFC 6840, section 5.8.
#[test]
fn authentic_data_is_told_to_those_who_understand_it() {
    let body = body(4);
    let outcome = Outcome::Found { body: &body, age: Some(0), left: None };
    for (edns, asked, told) in [(None, false, false), (None, true, true), (EDNS, false, true)] {
        let query = Query { authentic_data: asked, ..query(RecordType::TXT, edns) };
        let out = written(&query, &outcome, &STYLE);
        assert_eq!(ResponseView::read(&out).unwrap().flags() & flag::AUTHENTIC_DATA != 0, told, "{edns:?} {asked}");
    }
}

/// RFC 6891, section 6.2.3: never more than was offered, and never more than 1232.
#[test]
fn what_does_not_fit_is_truncated_and_keeps_its_opt_record() {
    let edns = |payload| Some(Edns { payload, dnssec_ok: false });
    for (edns, size, fits) in [
        (None, 400, true),
        (None, 500, false),
        (edns(512), 500, false),
        (edns(100), 400, true),
        (edns(4096), 1150, true),
        (edns(4096), 1232, false),
    ] {
        let body = body(size);
        let query = query(RecordType::TXT, edns);
        let out = written(&query, &Outcome::Found { body: &body, age: Some(0), left: None }, &STYLE);
        let view = ResponseView::read(&out).unwrap();
        assert!(out.len() <= query.limit(MAX_PAYLOAD));
        assert_eq!(view.flags() & flag::TRUNCATED == 0, fits, "{edns:?} {size}");
        assert_eq!(view.opt().is_some(), edns.is_some(), "{edns:?} {size}");
        let narrow = written(
            &query,
            &Outcome::Found { body: &body, age: Some(0), left: None },
            &Style { max_payload: 512, ..STYLE },
        );
        let view = ResponseView::read(&narrow).unwrap();
        assert_eq!((narrow.len() <= 512, view.flags() & flag::TRUNCATED == 0), (true, size == 400), "{edns:?} {size}");
        assert!(view.opt().is_none_or(|opt| opt.class.0 == 512), "{edns:?} {size}");
        let tcp = Query { transport: Transport::Tcp, ..query };
        let out = written(&tcp, &Outcome::Found { body: &body, age: Some(0), left: None }, &STYLE);
        assert_eq!(ResponseView::read(&out).unwrap().flags() & flag::TRUNCATED, 0, "{edns:?} {size}");
    }
}

#[test]
fn a_newer_edns_version_is_told_the_extended_code() {
    let out = written(&query(RecordType::A, EDNS), &Outcome::BadVersion, &STYLE);
    assert_eq!(ResponseView::read(&out).unwrap().response_code(), 16);
}

#[test]
fn what_is_never_served_is_told_apart() {
    let ask = |name: &str, record_type, class| {
        let mut query = query(record_type, None);
        query.question = Question { name: name.parse().unwrap(), record_type, class };
        immediate(&query, 0).map(|outcome| {
            let mut out = Vec::new();
            respond(&query, &outcome, &STYLE, &mut out).mnemonic()
        })
    };
    for (name, record_type, class, code) in [
        ("a.example", RecordType::A, Class::IN, None),
        ("a.example", RecordType(65280), Class::IN, None),
        ("a.example", RecordType::A, Class::ANY, Some(Some("REFUSED"))),
        ("version.bind", RecordType::TXT, Class::CH, Some(Some("REFUSED"))),
        ("a.example", RecordType::AXFR, Class::IN, Some(Some("REFUSED"))),
        ("a.example", RecordType::MAILB, Class::IN, Some(Some("NOTIMP"))),
        ("a.example", RecordType::OPT, Class::IN, Some(Some("FORMERR"))),
        ("a.example", RecordType::NXNAME, Class::IN, Some(Some("FORMERR"))),
    ] {
        assert_eq!(ask(name, record_type, class), code, "{name} {record_type} {class:?}");
    }
}
