//! What is held of sets and proofs that are signed here, and what that takes.

use std::time::{Duration, Instant};

use hickory_net::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_net::proto::dnssec::rdata::{DNSKEY, DNSSECRData, NSEC, NSEC3, RRSIG};
use hickory_net::proto::dnssec::{Algorithm, DnssecSigner, Nsec3HashAlgorithm, SigningKey as _};
use hickory_net::proto::op::{Message, OpCode, Query as Asked};
use hickory_net::proto::rr::rdata::{A, CNAME, NULL};
use hickory_net::proto::rr::{DNSClass, Name, RData, Record, RecordSet, RecordType as Type};

use super::denial::{Denial, Proven};
use super::links::{self, links};
use super::rrset::{Budget, Keys, RrSet};
use super::zones::{Authentic, Begins, Kept, Known};

const NOW: u32 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn budget() -> Budget {
    Budget { checks: 128, rounds: 10_000, spent: false }
}

/// A zone that signs.
struct Zone {
    signer: DnssecSigner,
    keys: Keys,
}

impl Zone {
    fn new(of: &str) -> Self {
        let algorithm = Algorithm::ECDSAP256SHA256;
        let key = EcdsaSigningKey::generate_pkcs8(algorithm).unwrap();
        let key = EcdsaSigningKey::from_pkcs8(&key, algorithm).unwrap();
        let public = DNSKEY::new(true, true, false, key.to_public_key().unwrap());
        let keys = Keys::of(name(of), vec![public.clone()]);
        Self { signer: DnssecSigner::new(public, Box::new(key), name(of), Duration::from_secs(100_000)), keys }
    }

    /// Returns a record and the signature of the set that it is.
    fn signed(&self, record: Record) -> [Record; 2] {
        let begin = time::OffsetDateTime::from_unix_timestamp((NOW - 10).into()).unwrap();
        let (owner, ttl) = (record.name.clone(), record.ttl);
        let signature = RRSIG::from_rrset(&RecordSet::from(record.clone()), DNSClass::IN, begin, &self.signer).unwrap();
        [record, Record::from_rdata(owner, ttl, RData::DNSSEC(DNSSECRData::RRSIG(signature)))]
    }

    fn nsec(&self, owner: &str, next: Name, types: &[Type]) -> [Record; 2] {
        self.signed(Record::from_rdata(
            name(owner),
            300,
            RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(next, types.iter().copied()))),
        ))
    }

    /// Returns what a proof says of a name and type, and whether the name exists.
    fn says(
        &self,
        proof: &[Record],
        (of, record_type): (&str, Type),
        (exists, behind): (bool, bool),
    ) -> (Proven, bool) {
        let denial = Denial::of(proof, &self.keys, NOW, &mut budget());
        denial.proves((&name(of), record_type), (exists, behind))
    }
}

/// Takes an answer with these records apart, as one that an upstream gave.
fn message(asked: (&str, Type), answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.add_query(Asked::query(name(asked.0), asked.1));
    (message.answers, message.authorities) = (answers, authorities);
    message
}

fn address(of: &str, last: u16) -> Record {
    let [high, low] = last.to_be_bytes();
    Record::from_rdata(name(of), 300, RData::A(A::new(192, 0, high, low)))
}

fn renamed(mut record: Record, to: &str) -> Record {
    record.name = name(to);
    record
}

#[test]
fn a_denial_stands_for_itself_however_often_it_is_there() {
    let zone = Zone::new("z.");
    let [nsec, signature] = zone.nsec("a.z.", name("b.z."), &[Type::A]);
    let proof = [nsec.clone(), nsec.clone(), signature.clone()];
    assert_eq!(zone.says(&proof, ("a.z.", Type::AAAA), (true, false)), (Proven::Absent, true));
    // Of two that differ, and of which one is signed, nobody knows which is meant.
    let [other, _] = zone.nsec("a.z.", name("c.z."), &[Type::A]);
    assert_eq!(zone.says(&[other, nsec, signature], ("a.z.", Type::AAAA), (true, false)).0, Proven::Nothing);
}

#[test]
fn a_server_may_say_that_there_is_no_name_and_prove_that_there_is_nothing_of_the_type() {
    let zone = Zone::new("z.");
    let below = zone.nsec("a.z.", name("x.empty.z."), &[Type::A]);
    assert_eq!(zone.says(&below, ("empty.z.", Type::A), (false, false)), (Proven::Absent, true));
    let next = Name::from_labels([&b"\0"[..], b"a", b"z"]).unwrap();
    let made_up = zone.nsec("a.z.", next, &[Type::RRSIG, Type::NSEC, Type::Unknown(128)]);
    assert_eq!(zone.says(&made_up, ("a.z.", Type::A), (false, false)), (Proven::Absent, true));
    // The other way round only where an alias leads there.
    let none = [zone.nsec("z.", name("b.z."), &[Type::SOA, Type::NS])].concat();
    assert_eq!(zone.says(&none, ("a.z.", Type::A), (true, true)), (Proven::Absent, true));
    assert_eq!(zone.says(&none, ("a.z.", Type::A), (true, false)).0, Proven::Nothing);
    assert_eq!(zone.says(&none, ("a.z.", Type::A), (false, false)), (Proven::Absent, false));
}

#[test]
fn nothing_stands_above_the_root() {
    let root = Zone::new(".");
    let of_root = root.nsec(".", name("aaa."), &[Type::NS, Type::SOA, Type::DNSKEY]);
    assert_eq!(root.says(&of_root, (".", Type::DS), (true, false)).0, Proven::Absent);
    let zone = Zone::new("z.");
    let of_zone = zone.nsec("z.", name("a.z."), &[Type::NS, Type::SOA, Type::DNSKEY]);
    assert_eq!(zone.says(&of_zone, ("z.", Type::DS), (true, false)).0, Proven::Nothing, "that is for the zone above");
}

#[test]
fn forged_signatures_of_one_set_take_no_more_than_those_that_are_looked_at() {
    let zone = Zone::new("z.");
    let [nsec, signature] = zone.nsec("a.z.", name("b.z."), &[Type::A]);
    // They are by the right key, of another set.
    let (forged, set) = (renamed(signature, "c.z."), renamed(nsec, "c.z."));
    let proof: Vec<Record> = std::iter::repeat_n(forged, 40).chain(std::iter::repeat_n(set, 100)).collect();
    let mut left = budget();
    assert!(Denial::of(&proof, &zone.keys, NOW, &mut left).signed.is_empty());
    assert_eq!((left.checks, left.spent), (128 - 8, false));
    // And what no key may have made takes nothing.
    let other = Zone::new("z.");
    let mut left = budget();
    Denial::of(&other.nsec("a.z.", name("b.z."), &[Type::A]), &zone.keys, NOW, &mut left);
    assert_eq!(left.checks, 128);
}

#[test]
fn a_budget_that_is_spent_says_so() {
    let zone = Zone::new("z.");
    let hash = |of: &str| Nsec3HashAlgorithm::SHA1.hash(&[], &name(of), 100).unwrap().as_ref().to_vec();
    let next = hash("other.z.");
    let nsec3 = NSEC3::new(Nsec3HashAlgorithm::SHA1, false, 100, Vec::new(), next, [Type::A]);
    let owner = format!("{}.z.", data_encoding::BASE32_DNSSEC.encode(&hash("a.z.")));
    let proof = zone.signed(Record::from_rdata(name(&owner), 300, RData::DNSSEC(DNSSECRData::NSEC3(nsec3))));
    for (rounds, expected) in [(101, Proven::Absent), (100, Proven::Nothing)] {
        let mut left = Budget { rounds, ..budget() };
        let denial = Denial::of(&proof, &zone.keys, NOW, &mut left);
        assert_eq!(denial.proves((&name("a.z."), Type::AAAA), (true, false)).0, expected);
        denial.settle(&mut left);
        assert_eq!(left.spent, expected == Proven::Nothing);
    }
    let set = zone.signed(address("a.z.", 1));
    let set = RrSet::find(&set, &set[0].name, Type::A).unwrap();
    let mut left = Budget { checks: 0, ..budget() };
    assert!(set.verified(&zone.keys, NOW, &mut left).is_none() && left.spent);
    assert!(set.verified(&zone.keys, NOW, &mut budget()).is_some());
}

#[test]
fn more_records_than_there_is_reason_for_are_not_taken_apart() {
    let alias = |from: u32| {
        Record::from_rdata(name(&format!("c{from}.z.")), 300, RData::CNAME(CNAME(name(&format!("c{}.z.", from + 1)))))
    };
    let aliases: Vec<Record> = (0..16).map(alias).collect();
    let beside = |of: u32| address(&format!("s{of}.z."), 1);
    let of = |count| message(("c0.z.", Type::A), aliases.clone(), (0..count).map(beside).collect()).to_vec().unwrap();
    let most = links::read(&of(256)).expect("as many are read");
    assert_eq!(links(&most).unwrap().len(), 17);
    assert!(links::read(&of(257)).is_none());
    // Of what stands above an alias, there is one record and its signatures.
    let above = |count: u16| {
        let data = RData::Unknown { code: Type::DNAME, rdata: NULL::with(vec![0]) };
        let made = Record::from_rdata(name("z."), 300, data);
        let answers = std::iter::repeat_n(made, count.into()).chain(aliases.iter().cloned()).collect();
        links(&message(("c0.z.", Type::A), answers, Vec::new())).is_some()
    };
    assert!(above(16) && !above(17));
}

#[test]
fn of_signatures_that_are_asked_for_nothing_else_goes_on() {
    let [record, signature] = Zone::new("z.").signed(address("www.z.", 1));
    let answer = message(("www.z.", Type::RRSIG), vec![record, signature], Vec::new());
    let written = links::written(answer, &Authentic::new(), (false, false), true).unwrap();
    let types: Vec<Type> = Message::from_vec(&written).unwrap().answers.iter().map(Record::record_type).collect();
    assert_eq!(types, [Type::RRSIG]);
}

#[test]
fn a_set_of_which_a_part_finds_no_room_is_not_passed_on() {
    let long = format!("{}z.", "a.".repeat(40));
    for (count, passes) in [(200_u16, true), (2000, false)] {
        let answers = (0..count).map(|last| address(&long, last)).collect();
        let authentic: Authentic = std::iter::once(((name(&long), Type::A), 300)).collect();
        let written = links::written(message((&long, Type::A), answers, Vec::new()), &authentic, (true, false), true);
        assert_eq!(written.is_some(), passes, "{count}");
    }
}

#[test]
fn what_stands_beside_an_answer_need_not_be_read() {
    let whole = message(("www.z.", Type::A), vec![address("www.z.", 1)], Vec::new()).to_vec().unwrap();
    // An address of three octets.
    let broken = [&b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x03"[..], &[192, 0, 2]].concat();
    let with = |count: std::ops::Range<usize>| {
        let mut wire = [&whole[..], &broken].concat();
        wire[count.end - 1] += 1;
        links::read(&wire).map(|message| message.answers.len())
    };
    assert_eq!((with(10..12), with(8..10)), (Some(1), None), "beside it, and in the proof");
}

#[test]
fn names_are_known_up_to_a_bound_of_names_and_of_octets() {
    let now = Instant::now();
    let (kept, zone) = (Kept::default(), Zone::new("z."));
    let later = now + Duration::from_secs(60);
    let known = |begins| Known { since: now, until: later, begins };
    for number in 0..20_000 {
        kept.put(&name(&format!("n{number}.z.")), known(Begins::Nothing));
        assert!(kept.size().0 <= 16_384);
    }
    assert!(kept.get(&name("n19999.z."), now).is_some() && kept.get(&name("n19999.z."), later).is_none());
    let key = zone.signer.key().to_public_key().unwrap();
    let long = std::iter::repeat_n(DNSKEY::new(true, true, false, key), 16).collect();
    let keys = std::sync::Arc::new(Keys::of(name("z."), long));
    for number in 0..20_000 {
        kept.put(&name(&format!("z{number}.z.")), known(Begins::Zone(std::sync::Arc::clone(&keys))));
        assert!(kept.size().1 <= 16 << 20);
    }
    assert!(kept.get(&name("z19999.z."), now).is_some());
    // The same name again takes no more.
    let before = kept.size();
    kept.put(&name("z19999.z."), known(Begins::Zone(keys)));
    assert_eq!(kept.size(), before);
}
