//! Answers in all shapes that servers give them: what is found in them, and what is left of them.

use super::*;
use crate::message::{Body, Class, Name, Owner, RecordType, Section, Writer, flag};
use crate::query::{Question, Target};
use crate::resolve::{Lifetimes, flatten};

use RecordType as T;
use Section::{Additional, Answer, Authority};

const QUESTION: &[u8] = b"\x05alias\x07example\x00";
const LIFETIMES: Lifetimes = Lifetimes { most: 86_400, most_negative: 3_600, failure: 5 };
const KEY: Class = Class::IN;

/// A record: section, owner (empty for the question's name), type and data.
type Line<'a> = (Section, &'a str, RecordType, &'a [u8]);

fn response(lines: &[Line<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, 1, flag::RESPONSE | flag::AUTHENTIC_DATA);
    writer.question(QUESTION, T::A, KEY);
    for (section, owner, record_type, data) in lines {
        let name: Name = if owner.is_empty() { Name::root() } else { owner.parse().unwrap() };
        let owner = if owner.is_empty() { Owner::QUESTION } else { Owner::Name(&name) };
        writer.record(*section, owner, (*record_type, KEY), 60, &[data]);
    }
    out
}

fn found(lines: &[Line<'_>]) -> Option<Vec<String>> {
    let wire = response(lines);
    let subjects = subjects(&ResponseView::read(&wire).unwrap()).ok()?;
    Some(subjects.iter().map(|of| format!("{:?} {} {}", of.place, of.through, of.target).to_lowercase()).collect())
}

#[test]
fn what_an_answer_leads_to_are_subjects() {
    let target = b"\x06Target\x04test\x00";
    let with = |before: &[u8]| [before, target].concat();
    let (mx, srv) = (with(&[0, 10]), with(&[0, 1, 0, 2, 1, 187]));
    let naptr = with(b"\x00\x01\x00\x02\x01S\x07SIP+D2U\x00");
    let hints = b"\x00\x01\x00\x00\x04\x00\x08\xC0\x00\x02\x01\xC0\x00\x02\x02";
    let hint6 = [&b"\x00\x01\x00\x00\x06\x00\x10"[..], &[0x20, 1, 13, 0xB8], &[0; 11], &[9]].concat();
    for (lines, expected) in [
        (vec![(Answer, "", T::CNAME, &target[..])], vec!["chain cname target.test"]),
        (vec![(Answer, "", T::DNAME, &target[..])], vec!["answer dname target.test"]),
        (vec![(Answer, "example", T::DNAME, &target[..])], vec!["chain dname alias.target.test"]),
        (vec![(Answer, "", T::HTTPS, &with(&[0, 1]))], vec!["answer svcb target.test"]),
        (vec![(Answer, "", T::HTTPS, b"\x00\x01\x00")], vec![]),
        (vec![(Answer, "", T::HTTPS, hints)], vec!["aside hint 192.0.2.1", "aside hint 192.0.2.2"]),
        (vec![(Answer, "", T::SVCB, &hint6)], vec!["aside hint 2001:db8::9"]),
        (vec![(Answer, "", T::MX, &mx)], vec!["answer mx target.test"]),
        (vec![(Answer, "", T::KX, &mx)], vec!["answer mx target.test"]),
        (vec![(Answer, "", T::MX, b"\x00\x00\x00")], vec![]),
        (vec![(Answer, "", T::SRV, &srv)], vec!["answer srv target.test"]),
        (vec![(Answer, "", T::NS, &target[..])], vec!["answer ns target.test"]),
        (vec![(Answer, "", T::NAPTR, &naptr)], vec!["answer naptr target.test"]),
        (vec![(Answer, "", T::PTR, &target[..])], vec![]),
        (vec![(Answer, "", T::A, b"\x7f\x00\x00\x01")], vec!["answer address 127.0.0.1"]),
        (vec![(Additional, "", T::A, b"\x7f\x00\x00\x01")], vec!["aside address 127.0.0.1"]),
        (vec![(Answer, "other.test", T::TXT, b"\x00")], vec!["answer owner other.test"]),
        (
            vec![(Additional, "glue.test", T::A, b"\x01\x02\x03\x04")],
            vec!["aside owner glue.test", "aside address 1.2.3.4"],
        ),
        (vec![(Authority, "example", T::NS, &target[..])], vec![]),
        (vec![(Authority, "other.test", T::NS, &target[..])], vec!["aside owner other.test"]),
        (vec![(Additional, "", T::CNAME, &target[..])], vec!["aside cname target.test"]),
        (vec![(Additional, "", T::HTTPS, &with(&[0, 1]))], vec!["aside svcb target.test"]),
        // A pointer into the question: "example".
        (vec![(Answer, "", T::CNAME, b"\x01x\xC0\x12")], vec!["chain cname x.example"]),
        // What the answer says counts before what stands beside it.
        (
            vec![(Answer, "", T::MX, &mx), (Additional, "target.test", T::A, b"\x01\x02\x03\x04")],
            vec!["answer mx target.test", "aside address 1.2.3.4"],
        ),
    ] {
        assert_eq!(found(&lines).unwrap(), expected, "{lines:?}");
    }
}

/// What protects a name of the chain stands before what hangs on the chain, and before nothing else: were only the first of
/// the two kept, it would protect the other one too.
#[test]
fn what_hangs_on_the_chain_and_also_does_not_is_a_subject_twice() {
    let mx = [&[0, 10][..], b"\x03bad\x04test\x00"].concat();
    let last = b"\x04last\x04test\x00";
    let lines =
        [(Answer, "", T::CNAME, &last[..]), (Answer, "last.test", T::MX, &mx), (Answer, "other.test", T::MX, &mx)];
    let wire = response(&lines);
    let subjects = subjects(&ResponseView::read(&wire).unwrap()).unwrap();
    let bad = Target::Name("bad.test".parse().unwrap());
    let behind: Vec<bool> = subjects.iter().filter(|of| of.target == bad).map(|of| of.behind_chain).collect();
    assert_eq!(behind, [true, false]);
}

#[test]
fn a_chain_is_followed_from_the_question_whatever_the_order_of_the_records() {
    let (a, b, c) = (b"\x01a\x04test\x00", b"\x01b\x04test\x00", b"\x01c\x04test\x00");
    let lines = [
        (Answer, "z.test", T::CNAME, &c[..]),
        (Answer, "b.test", T::A, b"\x01\x02\x03\x04"),
        (Answer, "a.test", T::CNAME, &b[..]),
        (Answer, "", T::CNAME, &a[..]),
        // A second alias of the same name: nobody follows both, and either may be followed.
        (Answer, "", T::CNAME, &c[..]),
    ];
    let expected = [
        "chain cname a.test",
        "chain cname b.test",
        "answer owner z.test",
        "answer cname c.test",
        "answer address 1.2.3.4",
    ];
    assert_eq!(found(&lines).unwrap(), expected);
    // A circle ends where it began.
    let circle = [(Answer, "", T::CNAME, &a[..]), (Answer, "a.test", T::CNAME, QUESTION)];
    assert_eq!(found(&circle).unwrap(), ["chain cname a.test", "answer cname alias.example"]);
    // A DNAME record without the alias that goes with it.
    let subtree = [(Answer, "", T::CNAME, &b"\x01x\x01d\x04test\x00"[..]), (Answer, "d.test", T::DNAME, &a[..])];
    assert_eq!(found(&subtree).unwrap(), ["chain cname x.d.test", "chain dname x.a.test"]);
}

#[test]
fn what_cannot_be_inspected_does_not_pass() {
    for (record_type, data, what) in [
        (T::CNAME, &b"\xC0\xFF"[..], "a pointer to nowhere"),
        (T::CNAME, b"\x01x\xC0\x0B", "a pointer into the header"),
        // The TTL of the record, 60, ends with the octets 0 and 60: a root label for some, and not for others.
        (T::CNAME, b"\x01x\xC0\x26", "a pointer into a TTL"),
        (T::CNAME, b"\x09target", "a name beyond its record"),
        (T::CNAME, b"", "no name"),
        (T::HTTPS, b"\x00", "no target"),
        (T::HTTPS, b"\x00\x01\x00\x00\x04\x00\x05\xC0\x00\x02\x01\xC0", "half a hint"),
        (T::HTTPS, b"\x00\x01\x00\x00\x04\x00\x08\xC0\x00\x02\x01", "a hint beyond its record"),
        (T::HTTPS, b"\x00\x01\x00\x00", "half a key"),
        (T::MX, b"\x00\x01", "no exchange"),
        (T::SRV, b"\x00\x01\x00\x01\x00", "no port"),
        (T::NAPTR, b"\x00\x01\x00\x01\xFFU", "flags beyond the record"),
        (T::NAPTR, b"\x00\x01\x00\x01\x01U\x00\x00", "no replacement"),
        (T::A, b"\x7f\x00\x00", "three octets of an address"),
        (T::AAAA, b"\x7f\x00\x00\x01", "an IPv4 address for AAAA"),
    ] {
        assert_eq!(found(&[(Answer, "", record_type, data)]), None, "{what}");
    }
    let names: Vec<String> = (0..100).map(|n| format!("n{n}.test")).collect();
    let wires: Vec<Vec<u8>> = names.iter().map(|name| name.parse::<Name>().unwrap().as_wire().to_vec()).collect();
    let mut chain = vec![(Answer, "", T::CNAME, &wires[0][..])];
    chain.extend((1..100).map(|n| (Answer, names[n - 1].as_str(), T::CNAME, &wires[n][..])));
    assert_eq!(found(&chain), None, "a chain of a hundred aliases");
    assert_eq!(found(&chain[..40]).map(|found| found.len()), Some(40), "a chain of forty");
}

/// A directory of a large site: more services than any chain has aliases.
#[test]
fn large_sets_of_records_are_inspected_whole() {
    let data: Vec<Vec<u8>> = (0..1500u16)
        .map(|n| {
            [&b"\x00\x00\x00\x64\x01\x85"[..], format!("dc{n}.corp.example").parse::<Name>().unwrap().as_wire()]
                .concat()
        })
        .collect();
    let lines: Vec<_> = data.iter().map(|data| (Answer, "", T::SRV, &data[..])).collect();
    let found = found(&lines).unwrap();
    assert_eq!((found.len(), found[1499].as_str()), (1500, "answer srv dc1499.corp.example"));
}

/// A message of 64 KiB whose names would take megabytes.
#[test]
fn names_that_are_only_long_by_pointers_are_bounded() {
    let long = format!("{}.example", vec!["x".repeat(60); 4].join(".")).parse::<Name>().unwrap();
    let mut lines = vec![(Answer, long.to_string(), T::TXT, b"\x00".to_vec())];
    let at = 12 + QUESTION.len() + 4;
    for n in 0..4000u16 {
        let data = [&[2u8][..], &n.to_be_bytes(), &(0xC000 | at as u16).to_be_bytes()].concat();
        lines.push((Answer, String::new(), T::NS, data));
    }
    let lines: Vec<Line<'_>> = lines.iter().map(|(a, b, c, d)| (*a, b.as_str(), *c, &d[..])).collect();
    assert_eq!(found(&lines), None);
}

fn body(lines: &[Line<'_>]) -> (Body, Question) {
    let wire = response(lines);
    let question = Question { name: Name::from_wire(QUESTION).unwrap(), record_type: T::A, class: KEY };
    (flatten(&ResponseView::read(&wire).unwrap(), LIFETIMES).unwrap(), question)
}

/// Returns the records of a body as text, each section on its own, by an independent parser.
fn shown(body: &Body) -> Vec<String> {
    let mut wire = Vec::new();
    let mut writer = Writer::new(&mut wire, 1, flag::RESPONSE);
    writer.question(QUESTION, T::A, KEY);
    let start = writer.len();
    writer.octets().extend_from_slice(&body.octets);
    let [answers, authority, additional] = body.counts;
    writer.set_counts(answers, authority, additional);
    let view = ResponseView::read(&wire).unwrap();
    let ttls: Vec<_> = view.records().map(|record| record.unwrap().ttl_at - start).collect();
    assert_eq!(ttls, body.ttls.iter().map(|at| usize::from(*at)).collect::<Vec<_>>());
    let message = hickory_proto::op::Message::from_vec(&wire).unwrap();
    let sections = [("an", &message.answers), ("au", &message.authorities), ("ad", &message.additionals)];
    let line = |(section, records): (&str, &Vec<hickory_proto::rr::Record>)| {
        let of = |record: &hickory_proto::rr::Record| {
            format!("{section} {} {} {}", record.name, record.record_type(), record.data)
        };
        records.iter().map(of).collect::<Vec<_>>()
    };
    sections.into_iter().flat_map(line).collect()
}

fn is(name: &str) -> impl Fn(&Subject) -> bool {
    let target = name.parse().map_or_else(|_| Target::Name(name.parse().unwrap()), Target::Address);
    move |subject| subject.target == target
}

/// A signature over a set of this type, by `example`.
fn signature(covered: RecordType) -> Vec<u8> {
    [&covered.0.to_be_bytes()[..], &[13, 2, 0, 0, 0, 60], &[0; 10], b"\x07example\x00sig"].concat()
}

#[test]
fn what_is_sunk_beside_an_answer_is_taken_out_with_its_signature() {
    let mx = b"\x00\x0A\x04mail\xC0\x12";
    let (a, ns, mx_signed, a_signed) = (b"\x01\x02\x03\x04", b"\x02ns\xC0\x12", signature(T::MX), signature(T::A));
    let lines = [
        (Answer, "", T::MX, &mx[..]),
        (Answer, "", T::RRSIG, &mx_signed),
        (Authority, "example", T::NS, &ns[..]),
        (Additional, "bad.test", T::A, &a[..]),
        (Additional, "bad.test", T::RRSIG, &a_signed),
        (Additional, "mail.example", T::A, &a[..]),
        (Additional, "mail.example", T::RRSIG, &a_signed),
    ];
    let (whole, question) = body(&lines);
    assert_ne!(whole.flags & flag::AUTHENTIC_DATA, 0);
    let left = without(&whole, &question, is("bad.test")).unwrap();
    assert_eq!(left.flags & flag::AUTHENTIC_DATA, 0);
    assert_eq!((left.counts, left.lifetime), ([2, 1, 2], whole.lifetime));
    let lines = shown(&left);
    assert_eq!(lines[0], "an alias.example. MX 10 mail.example.");
    assert_eq!(lines[2], "au example. NS ns.example.");
    assert_eq!(lines[3], "ad mail.example. A 1.2.3.4");
    assert!(!left.octets.windows(3).any(|octets| octets == b"bad"), "{lines:?}");
    // The address takes the records of both names with it; nothing else is sunk, and all stays.
    assert_eq!(without(&whole, &question, is("1.2.3.4")).unwrap().counts, [2, 1, 0]);
    assert_eq!(without(&whole, &question, is("other.test")).unwrap(), whole);
}

/// The name of the mail host is written only in the record that goes.
#[test]
fn pointers_into_what_is_taken_out_are_written_out() {
    let bad: Name = "bad.test".parse().unwrap();
    let mut wire = response(&[(Additional, "bad.test", T::A, b"\x01\x02\x03\x04")]);
    let at = u16::try_from(12 + QUESTION.len() + 4).unwrap();
    for (owner, record_type, data) in [
        // "good.test", whose end is a pointer to the "test" of the record before.
        (&b"\x04good"[..], 1u16, b"\x05\x06\x07\x08".to_vec()),
        (b"\x04Mail", 15, [&b"\x00\x01\x02mx"[..], &(0xC000 | (at + 4)).to_be_bytes()].concat()),
    ] {
        wire.extend_from_slice(owner);
        wire.extend((0xC000 | (at + 4)).to_be_bytes());
        wire.extend([record_type.to_be_bytes(), [0, 1], [0, 0], [0, 60]].concat());
        wire.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        wire.extend(data);
    }
    wire[11] = 3;
    let whole = flatten(&ResponseView::read(&wire).unwrap(), LIFETIMES).unwrap();
    let question = Question { name: Name::from_wire(QUESTION).unwrap(), record_type: T::A, class: KEY };
    let left = without(&whole, &question, |subject| subject.target == Target::Name(bad.clone())).unwrap();
    assert_eq!(shown(&left), ["ad good.test. A 5.6.7.8", "ad Mail.test. MX 1 mx.test."]);
}

#[test]
fn hints_are_taken_out_and_are_not_mandatory_then() {
    let data = |mandatory: &[u8], more: &[u8]| [b"\x00\x01\x03svc\xC0\x12", mandatory, more].concat();
    let hint = b"\x00\x04\x00\x04\xC0\x00\x02\x01";
    let (alpn, ech) = (b"\x00\x01\x00\x03\x02h2", b"\x00\x05\x00\x02ec");
    let mandatory = |keys: &[u8]| {
        [&[0, 0, 0, keys.len() as u8 * 2][..], &keys.iter().flat_map(|key| [0, *key]).collect::<Vec<_>>()].concat()
    };
    let signed = signature(T::HTTPS);
    for (before, out, after) in [
        (data(&[], hint), "192.0.2.1", data(&[], &[])),
        (data(&[], &[&alpn[..], hint].concat()), "192.0.2.1", data(&[], alpn)),
        (data(&mandatory(&[4]), hint), "192.0.2.1", data(&[], &[])),
        (
            data(&mandatory(&[1, 4]), &[&alpn[..], hint, ech].concat()),
            "192.0.2.1",
            data(&mandatory(&[1]), &[&alpn[..], ech].concat()),
        ),
        (data(&mandatory(&[1, 5]), &[&alpn[..], ech].concat()), "ech", data(&mandatory(&[1]), alpn)),
        (data(&[], &[&hint[..], ech].concat()), "ech", data(&[], hint)),
    ] {
        let (whole, question) = body(&[(Answer, "", T::HTTPS, &before), (Answer, "", T::RRSIG, &signed)]);
        let left = match out {
            "ech" => without_ech(&whole, &question).unwrap().unwrap(),
            address => without(&whole, &question, is(address)).unwrap(),
        };
        let (expected, _) = body(&[(Answer, "", T::HTTPS, &after)]);
        assert_eq!(shown(&left), shown(&expected), "{before:02x?}");
        assert_eq!(left.counts, [1, 0, 0], "the signature goes");
        assert_eq!(left.flags & flag::AUTHENTIC_DATA, 0);
    }
    let (plain, question) = body(&[(Answer, "", T::HTTPS, &data(&[], hint)), (Answer, "", T::A, b"\x01\x02\x03\x04")]);
    assert_eq!(without_ech(&plain, &question), Ok(None));
}

/// An answer with something of everything, for the mutations to begin with.
fn rich() -> Vec<u8> {
    let target = b"\x03www\x04test\x00";
    let with = |before: &[u8], after: &[u8]| [before, target, after].concat();
    let (mx, srv) = (with(&[0, 10], &[]), with(&[0, 1, 0, 2, 1, 187], &[]));
    let https = with(&[0, 1], b"\x00\x00\x00\x02\x00\x04\x00\x04\x00\x04\xC0\x00\x02\x01\x00\x05\x00\x02ec");
    let naptr = with(b"\x00\x01\x00\x02\x01S\x00\x00", &[]);
    let (soa, signed) = (with(target, &[0; 20]), signature(T::A));
    response(&[
        (Answer, "", T::CNAME, b"\x01a\xC0\x12"),
        (Answer, "a.example", T::HTTPS, &https),
        (Answer, "a.example", T::MX, &mx),
        (Answer, "example", T::DNAME, target),
        (Authority, "example", T::SOA, &soa),
        (Authority, "x.test", T::NS, target),
        (Additional, "www.test", T::A, b"\x01\x02\x03\x04"),
        (Additional, "www.test", T::RRSIG, &signed),
        (Additional, "www.test", T::HTTPS, &https),
        (Additional, "s.test", T::SRV, &srv),
        (Additional, "n.test", T::NAPTR, &naptr),
    ])
}

fn question() -> Question {
    Question { name: Name::from_wire(QUESTION).unwrap(), record_type: T::A, class: KEY }
}

/// Returns the subjects of a body.
fn subjects_of(body: &Body) -> Vec<Subject> {
    let mut wire = Vec::new();
    let mut writer = Writer::new(&mut wire, 1, flag::RESPONSE);
    writer.question(QUESTION, T::A, KEY);
    writer.octets().extend_from_slice(&body.octets);
    writer.set_counts(body.counts[0], body.counts[1], body.counts[2]);
    subjects(&ResponseView::read(&wire).unwrap()).unwrap()
}

fn assert_is_clean_or_refused(wire: &[u8]) {
    let Ok(view) = ResponseView::read(wire) else { return };
    let (Ok(_), Ok(whole)) = (subjects(&view), flatten(&view, LIFETIMES)) else { return };
    if let Ok(left) = without(&whole, &question(), |_| true) {
        assert!(subjects_of(&left).iter().all(|subject| subject.place != Place::Aside), "{wire:02x?}");
    }
    if let Ok(Some(left)) = without_ech(&whole, &question()) {
        assert_eq!(without_ech(&left, &question()), Ok(None), "{wire:02x?}");
    }
}

#[test]
fn an_answer_with_everything_beside_it_is_left_bare() {
    let wire = rich();
    let whole = flatten(&ResponseView::read(&wire).unwrap(), LIFETIMES).unwrap();
    let left = without(&whole, &question(), |_| true).unwrap();
    assert_eq!(left.counts, [4, 1, 0], "{:?}", shown(&left));
    assert_eq!(left.minimums.len(), 1);
    assert_is_clean_or_refused(&wire);
}

proptest::proptest! {
    #[test]
    fn any_response_is_inspected_or_refused(
        tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        counts in [0u8..4, 0u8..4, 0u8..4],
    ) {
        let mut wire = response(&[]);
        for (at, count) in [7, 9, 11].into_iter().zip(counts) {
            wire[at] = count;
        }
        wire.extend(tail);
        assert_is_clean_or_refused(&wire);
    }

    /// What is taken out is out, whatever an upstream sends, and what is left is a message.
    #[test]
    fn a_broken_response_is_made_clean_or_refused(
        flips in proptest::collection::vec((28usize..560, proptest::prelude::any::<u8>()), 1..12),
    ) {
        let mut wire = rich();
        for (at, octet) in flips {
            if let Some(place) = wire.get_mut(at) {
                *place = octet;
            }
        }
        assert_is_clean_or_refused(&wire);
    }
}
