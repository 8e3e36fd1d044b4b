//! Every way to a prohibited name or address that is known: none lets it through, by no transport, asked afresh or kept
//! from before the instant; and what is protected or only looks alike is left alone.

use std::net::IpAddr;
use std::time::Duration;

use interdict::message::{Class, Name, Owner, RecordType, Section, Writer};

use crate::daemon::{Daemon, Setup};
use crate::place;
use crate::scripted::Scripted;
use crate::upstream::Upstream;
use crate::wire::{self, Stream};

const TABLE: &str = include_str!("evasions.table");
const ZONES: &[(&str, &str)] = &[
    ("example", include_str!("zones/evasions/example.zone")),
    ("nszone.example", include_str!("zones/evasions/nszone.example.zone")),
    ("kaspersky.com", include_str!("zones/evasions/kaspersky.com.zone")),
    ("9.in-addr.arpa", include_str!("zones/evasions/9.in-addr.arpa.zone")),
];
/// What must not stand in an answer behind its question where something was withheld.
const CANARIES: &[&str] =
    &["198.51.100.66", "2001:db8:bad::66", "203.0.113.129", "2001:db8:add::1", "canary", "dnl-01", "kaspersky"];

/// Networks whose addresses are sunk, for names but those of one service.
const CATALOGUE: &str = r#"
format = 1
kind = "catalogue"
id = "networks"
vendor = "Nobody"
title = "Networks of nobody"
revised = 2026-01-01
[services]
network = "Networks"
spared = "Names that may lie in them"
[[entry]]
name = "203.0.113.128/25"
match = "network"
service = "network"
confidence = "high"
evidence = ["made up"]
[[entry]]
name = "2001:db8:add::/48"
match = "network"
service = "network"
confidence = "high"
evidence = ["made up"]
[[entry]]
name = "spared.example"
match = "exact"
service = "spared"
confidence = "high"
evidence = ["made up"]
"#;
const ORDER: &str = r#"
format = 1
kind = "order"
id = "networks"
title = "No addresses of these networks"
issuer = "Nobody"
citation = "1 XX 3"
catalogue = "networks"
published = 2024-06-24
[[prohibition]]
id = "networks"
title = "No addresses"
from = 2024-09-29T00:00:00-04:00
basis = "1 XX 3"
verification = "unverified"
services = ["network"]
[[protected]]
services = ["spared"]
reason = "Made up."
basis = "1 XX 3"
verification = "unverified"
"#;

/// One line of the table.
#[derive(Debug)]
struct Row {
    line: usize,
    text: &'static str,
    name: Vec<u8>,
    record_type: u16,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    Withheld(u8),
    Without(Vec<u8>),
    Open(Vec<u8>),
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<Row> = lines.map(|(at, text)| row(at + 1, text)).collect();
    assert!(rows.len() >= 60, "the table has {} rows", rows.len());
    rows
}

fn row(line: usize, text: &'static str) -> Row {
    let words: Vec<_> = text.split_whitespace().collect();
    let expected = match words[2..] {
        ["nxdomain"] => Expected::Withheld(wire::NXDOMAIN),
        ["nodata"] => Expected::Withheld(wire::NOERROR),
        ["without", what] => Expected::Without(octets(what)),
        ["open", what] => Expected::Open(octets(what)),
        _ => panic!("line {line} expects nothing that is known: {text}"),
    };
    let record_type: RecordType = words[1].parse().unwrap_or_else(|error| panic!("line {line}: {error}"));
    Row { line, text, name: spelled(words[0]), record_type: record_type.0, expected }
}

/// Returns the octets of an address, or of a text in lower case.
fn octets(text: &str) -> Vec<u8> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().to_vec(),
        Err(_) => text.to_ascii_lowercase().into_bytes(),
    }
}

/// Returns the wire form of a name, in its case, with `\DDD` for octets.
fn spelled(text: &str) -> Vec<u8> {
    let (mut wire, mut label) = (Vec::new(), Vec::new());
    let mut rest = text.trim_end_matches('.').as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a, b, c, after @ ..]) => {
                label.push((a - b'0') * 100 + (b - b'0') * 10 + (c - b'0'));
                rest = after;
            }
            (b'.', _) => {
                wire.push(u8::try_from(label.len()).unwrap());
                wire.append(&mut label);
            }
            (other, _) => label.push(*other),
        }
    }
    wire.push(u8::try_from(label.len()).unwrap());
    wire.append(&mut label);
    wire.push(0);
    wire
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn query(row: &Row, dnssec_ok: bool) -> Vec<u8> {
    let mut asking = wire::Asking::of("", row.record_type);
    asking.name.clone_from(&row.name);
    asking.edns = Some((0, 1232, dnssec_ok));
    asking.to_wire()
}

/// Asks over every transport, twice each, so that the second answer is a kept one.
fn answers(daemon: &Daemon, query: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut stream = Stream::open(daemon.dns);
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(("udp", wire::udp(daemon.dns, query)));
        answers.push(("tcp", stream.ask(query).unwrap()));
    }
    answers
}

/// Returns what is wrong with an answer, if anything is.
fn fault(row: &Row, answer: &[u8]) -> Option<String> {
    // An independent parser reads it, so that no broken message goes unseen.
    let Ok(message) = hickory_proto::op::Message::from_vec(answer) else { return Some("it is malformed".to_owned()) };
    let behind = &answer[12 + row.name.len() + 4..];
    let is_blocked = ede(&message) == Some(15);
    let leak = CANARIES.iter().find(|canary| contains(behind, &octets(canary)));
    match &row.expected {
        Expected::Withheld(rcode) if wire::rcode(answer) != *rcode => {
            Some(format!("its code is {}", wire::rcode(answer)))
        }
        Expected::Withheld(_) if !message.answers.is_empty() => Some("it has answers".to_owned()),
        Expected::Withheld(_) if !is_blocked => Some("it does not say that it is blocked".to_owned()),
        Expected::Withheld(_) | Expected::Without(_) if leak.is_some() => Some(format!("{} is in it", leak.unwrap())),
        Expected::Without(part) if !contains(behind, part) => Some("what should be left is not in it".to_owned()),
        Expected::Open(part) if !contains(behind, part) => Some("what was asked for is not in it".to_owned()),
        Expected::Without(_) | Expected::Open(_) if is_blocked => Some("it says that it is blocked".to_owned()),
        Expected::Withheld(_) | Expected::Without(_) | Expected::Open(_) => None,
    }
}

fn ede(message: &hickory_proto::op::Message) -> Option<u16> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
    match message.edns.as_ref()?.option(EdnsCode::Unknown(15)) {
        Some(EdnsOption::Unknown(_, octets)) => Some(u16::from_be_bytes([octets[0], octets[1]])),
        _ => None,
    }
}

fn assert_table(daemon: &Daemon, rows: &[Row]) {
    let mut faults = Vec::new();
    for row in rows {
        for dnssec_ok in [false, true] {
            for (transport, answer) in answers(daemon, &query(row, dnssec_ok)) {
                if let Some(fault) = fault(row, &answer) {
                    let shown = wire::parse(&answer);
                    faults.push(format!("line {} over {transport}: {}: {fault}\n{shown}", row.line, row.text));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn setup(servers: &[std::net::SocketAddr]) -> Setup {
    let setup = Setup::new().upstreams(servers);
    let file = |name: &str, text: &str| {
        let path = setup.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let catalogues = vec!["kaspersky".to_owned(), file("networks.toml", CATALOGUE)];
    let orders = vec!["us-commerce-2024".to_owned(), file("networks-order.toml", ORDER)];
    setup.set("policy.catalogues", catalogues).set("policy.orders", orders)
}

#[test]
fn no_evasion_of_the_table_gets_through() {
    needs!("nsd");
    let upstream = Upstream::with(ZONES);
    let daemon = setup(&[upstream.address]).at("2024-09-29T04:00:01Z").start();
    assert_table(&daemon, &rows());
}

/// Before the instant nothing is withheld; from it on nothing of what was kept gets through.
#[test]
fn no_answer_from_before_the_instant_gets_through() {
    needs!("nsd");
    let (upstream, liar) = (Upstream::with(ZONES), shaping());
    let mut zone = toml::Table::new();
    zone.insert("name".to_owned(), "shape".into());
    zone.insert("servers".to_owned(), vec![liar.address.to_string()].into());
    let setup = setup(&[upstream.address]).set("upstream.zone", vec![toml::Value::from(zone)]);
    let daemon = setup.at("2024-09-29T03:59:40Z").start();
    let rows: Vec<_> = rows().into_iter().chain(shaped_rows()).collect();
    let mut leading = 0;
    for row in &rows {
        let answer = wire::udp(daemon.dns, &query(row, false));
        let message = wire::parse(&answer);
        let behind = &answer[12 + row.name.len() + 4..];
        assert_eq!(ede(&message), None, "line {}: {}\n{message}", row.line, row.text);
        if !matches!(row.expected, Expected::Open(_)) {
            let kept = message.answers.iter().map(|record| record.ttl).max();
            assert!(kept.is_none_or(|ttl| ttl <= 20), "line {}: {}\n{message}", row.line, row.text);
        }
        let leads = CANARIES.iter().any(|canary| contains(behind, &octets(canary)));
        leading += usize::from(leads);
        // What is to be taken out has to be there at first, or its line would show nothing.
        assert!(leads || !matches!(row.expected, Expected::Without(_)), "line {}: {}", row.line, row.text);
    }
    assert!(leading >= 60, "only {leading} answers led to what is withheld later");
    place::until(Duration::from_secs(60), "the instant to come", || {
        let answer = wire::parse(&wire::udp(daemon.dns, &query(&rows[0], false)));
        (ede(&answer) == Some(15)).then_some(())
    });
    assert_table(&daemon, &rows);
}

type Line<'a> = (Section, &'a str, RecordType, &'a [u8]);

/// Returns a response to `query` with these records; an empty owner is the question's name, by a pointer to it.
fn response(query: &[u8], lines: &[Line<'_>]) -> Vec<u8> {
    let name = wire::asked_name(query);
    let end = 12 + wire::name_wire(&name).len();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, wire::id(query), 0x8180);
    writer.question(&query[12..end], RecordType(u16::from_be_bytes([query[end], query[end + 1]])), Class::IN);
    for (section, owner, record_type, data) in lines {
        let name: Name = if owner.is_empty() { Name::root() } else { owner.parse().unwrap() };
        let owner = if owner.is_empty() { Owner::QUESTION } else { Owner::Name(&name) };
        writer.record(*section, owner, (*record_type, Class::IN), 300, &[data]);
    }
    out
}

/// Answers of shapes that no honest server gives, by the first label of the question, each with what is expected.
fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    use RecordType as T;
    use Section::{Additional, Answer, Authority};
    const SUNK: &str = "dnl-01.geo.kaspersky.com";
    let sunk = wire::name_wire(SUNK);
    let (good, bad) = ([192, 0, 2, 80], [198, 51, 100, 66]);
    let net = [203, 0, 113, 129];
    let data = |before: &[u8], after: &[u8]| [before, &sunk, after].concat();
    let hint = [&[0, 1, 0, 0, 4, 0, 4][..], &net].concat();
    let tip = wire::name_wire("opentip.kaspersky.com");
    let made =
        |question: &str, record_type: T, lines: &[Line<'_>]| response(&wire::query(question, record_type.0), lines);
    vec![
        (
            "disorder.shape A nxdomain",
            made("disorder.shape", T::A, &[(Answer, SUNK, T::A, &bad), (Answer, "", T::CNAME, &sunk)]),
        ),
        ("stray.shape A nodata", made("stray.shape", T::A, &[(Answer, "", T::A, &good), (Answer, SUNK, T::A, &bad)])),
        (
            "straytxt.shape TXT nodata",
            made("straytxt.shape", T::TXT, &[(Answer, "", T::TXT, b"\x01x"), (Answer, SUNK, T::TXT, b"\x06canary")]),
        ),
        (
            "glue.shape A without 192.0.2.80",
            made("glue.shape", T::A, &[(Answer, "", T::A, &good), (Additional, SUNK, T::A, &bad)]),
        ),
        (
            "addhttps.shape A without 192.0.2.80",
            made("addhttps.shape", T::A, &[(Answer, "", T::A, &good), (Additional, "", T::HTTPS, &data(&[0, 1], &[]))]),
        ),
        (
            "addcname.shape A without 192.0.2.80",
            made("addcname.shape", T::A, &[(Answer, "", T::A, &good), (Additional, "x.shape", T::CNAME, &sunk)]),
        ),
        (
            "addmx.shape A without 192.0.2.80",
            made("addmx.shape", T::A, &[(Answer, "", T::A, &good), (Additional, "", T::MX, &data(&[0, 1], &[]))]),
        ),
        (
            "addhint.shape A without 192.0.2.80",
            made("addhint.shape", T::A, &[(Answer, "", T::A, &good), (Additional, "", T::HTTPS, &hint)]),
        ),
        (
            "authority.shape A without 192.0.2.80",
            made("authority.shape", T::A, &[(Answer, "", T::A, &good), (Authority, SUNK, T::NS, b"\x02ns\xC0\x0C")]),
        ),
        (
            "dnl-01.geo.subtree.shape A nxdomain",
            made(
                SUNK.replace("kaspersky.com", "subtree.shape").as_str(),
                T::A,
                &[(Answer, "subtree.shape", T::DNAME, &wire::name_wire("kaspersky.com")), (Answer, SUNK, T::A, &bad)],
            ),
        ),
        (
            "twofold.shape A nxdomain",
            made(
                "twofold.shape",
                T::A,
                &[(Answer, "", T::CNAME, &tip), (Answer, "", T::CNAME, &sunk), (Answer, SUNK, T::A, &bad)],
            ),
        ),
        (
            "shield.shape A nxdomain",
            made(
                "shield.shape",
                T::A,
                &[(Answer, "z.shape", T::CNAME, &tip), (Answer, "", T::CNAME, &sunk), (Answer, SUNK, T::A, &bad)],
            ),
        ),
        (
            "pointed.shape HTTPS nodata",
            // The target is a pointer to the owner of a record before it.
            made(
                "pointed.shape",
                T::HTTPS,
                &[(Answer, SUNK, T::A, &bad), (Answer, "", T::HTTPS, &[0, 1, 0xC0, 12 + 15 + 4])],
            ),
        ),
        (
            "leading.shape A without 192.0.2.80",
            // The owner of the last record ends inside of what is taken out.
            made(
                "leading.shape",
                T::A,
                &[
                    (Answer, "", T::A, &good),
                    (Additional, SUNK, T::A, &bad),
                    (Additional, "", T::MX, &[0, 10, 1, b'm', 0xC0, 12 + 15 + 4 + 16 + 21]),
                ],
            ),
        ),
    ]
}

/// A server that answers in these shapes.
fn shaping() -> Scripted {
    Scripted::start(|query| {
        let name = wire::asked_name(query);
        let shapes = shapes();
        let shape = shapes.iter().find(|(text, _)| text.split(' ').next() == Some(&name));
        let mut answer = shape.map_or_else(|| wire::reply(query, wire::NXDOMAIN, &[]), |(_, answer)| answer.clone());
        answer[..2].copy_from_slice(&query[..2]);
        vec![answer]
    })
}

fn shaped_rows() -> Vec<Row> {
    shapes().iter().enumerate().map(|(at, (text, _))| row(at + 1, text)).collect()
}

#[test]
fn no_shape_that_a_server_lies_in_gets_through() {
    let upstream = shaping();
    let daemon = setup(&[upstream.address]).at("2024-09-29T04:00:01Z").start();
    // Each shape has what must not get through.
    for (text, answer) in shapes() {
        assert!(CANARIES.iter().any(|canary| contains(&answer[28..], &octets(canary))), "{text}");
    }
    assert_table(&daemon, &shaped_rows());
}
