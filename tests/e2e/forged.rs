//! Answers by somebody between us and the upstream, who has every record of every zone at hand and the keys of none: what is
//! validated is never what he made of them.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::clients::{Answer, dig};
use crate::scripted::Scripted;
use crate::signed::NameSpace;
use crate::wire::{self, Asking};

/// Says what is true of a name and type, with signatures.
struct Truth(SocketAddr);

impl Truth {
    fn of(&self, name: &str, record_type: RecordType) -> Message {
        let asking = Asking { flags: 0x0110, edns: Some((0, 4096, true)), ..Asking::of(name, record_type.into()) };
        wire::parse(&wire::udp_once(self.0, &asking.to_wire(), wire::SHORT).expect("Unbound answers"))
    }
}

/// What is answered in place of the truth, if anything is.
type Forgery = fn(&Truth, &str, RecordType) -> Option<Message>;

/// Asks for a name through a daemon whose upstream is forged.
fn asked(names: &NameSpace, (name, record_type): (&str, &str), forgery: Forgery, validates: bool) -> Answer {
    let truth = names.passing.address;
    let upstream = Scripted::start(move |query| {
        let (of, record_type) = (wire::asked_name(query), RecordType::from(wire::question_type(query)));
        let Some(mut forged) = forgery(&Truth(truth), &of, record_type) else {
            return wire::udp_once(truth, query, wire::SHORT).into_iter().collect();
        };
        let asked = wire::parse(query);
        forged.metadata.id = asked.id;
        forged.queries = asked.queries.clone();
        vec![forged.to_vec().unwrap()]
    });
    let dnssec = if validates { "validate" } else { "pass" };
    let daemon = names.validated().set("upstream.dnssec", dnssec).upstreams(&[upstream.address]).start();
    dig(daemon.dns, &[name, record_type, "+dnssec"])
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 300, data)
}

fn address(name: &str) -> Record {
    record(name, RData::A("192.0.2.66".parse().unwrap()))
}

/// An answer of these records, whatever `of` says.
fn made(mut of: Message, answers: Vec<Record>) -> Message {
    of.answers = answers;
    of.metadata.response_code = ResponseCode::NoError;
    of
}

/// Each forgery, of which nothing may reach the client but that there is no answer.
const FORGERIES: &[(&str, &str, &str, Forgery)] = &[
    ("an address that nothing signs", "www.signed.land", "A", |truth, name, of| {
        (name == "www.signed.land" && of == RecordType::A).then(|| {
            let mut message = made(truth.of(name, of), vec![address(name)]);
            message.authorities.clear();
            message
        })
    }),
    ("another address with the signature of the true one", "www.signed.land", "A", |truth, name, of| {
        (name == "www.signed.land" && of == RecordType::A).then(|| {
            let mut message = truth.of(name, of);
            message
                .answers
                .iter_mut()
                .filter(|of| of.record_type() == RecordType::A)
                .for_each(|of| *of = address("www.signed.land"));
            message
        })
    }),
    ("an alias that nothing signs, into a zone that nothing signs", "www.signed.land", "A", |truth, name, of| {
        (name == "www.signed.land" && of == RecordType::A).then(|| {
            let mut message = truth.of("out.signed.land", of);
            message.answers.iter_mut().filter(|of| of.record_type() == RecordType::CNAME).for_each(|of| {
                of.name = Name::from_ascii("www.signed.land.").unwrap();
            });
            message.answers.retain(|of| of.record_type() != RecordType::RRSIG);
            message
        })
    }),
    (
        "that there is no such name, by the word of a zone that signs nothing",
        "www.signed.land",
        "A",
        |truth, name, of| (name == "www.signed.land" && of == RecordType::A).then(|| truth.of("absent.plain.land", of)),
    ),
    ("that there is no such name, by the proof of the zone above", "www.signed.land", "A", |truth, name, of| {
        (name == "www.signed.land" && of == RecordType::A).then(|| truth.of("absent.land", of))
    }),
    ("that there is no such name, by the proof of another name", "www.signed.land", "A", |truth, name, of| {
        (name == "www.signed.land" && of == RecordType::A).then(|| truth.of("absent.signed.land", of))
    }),
    (
        "that there is nothing of the type, by the proof of another type",
        "www.signed.land",
        "AAAA",
        |truth, name, of| {
            (name == "www.signed.land" && of == RecordType::AAAA).then(|| truth.of(name, RecordType::TXT))
        },
    ),
    (
        "that there is nothing of the type, by the proof that there is the name",
        "www.signed.land",
        "A",
        |truth, name, of| {
            (name == "www.signed.land" && of == RecordType::A).then(|| {
                // Whatever stands right before the name says that the name is the next.
                let mut message = truth.of("wwv.signed.land", of);
                message.metadata.response_code = ResponseCode::NoError;
                message
            })
        },
    ),
    (
        "that a zone is unsigned, by a record of another class beside the true one",
        "www.signed.land",
        "A",
        |truth, name, of| match of {
            RecordType::A if name == "www.signed.land" => Some(made(truth.of(name, of), vec![address(name)])),
            RecordType::DS if name == "signed.land" => {
                // The true proof of the zone above that the name is there, behind one that says what is wanted.
                let mut message = truth.of("signed.land", RecordType::TXT);
                message.answers.clear();
                let mut above = truth.of("signedx.land", RecordType::A);
                let is_before = |of: &Record| {
                    of.record_type() == RecordType::NSEC && of.name < Name::from_ascii("signedx.land.").unwrap()
                };
                let owner =
                    above.authorities.iter().filter(|of| is_before(of)).map(|of| of.name.clone()).max().unwrap();
                let delegation = truth.of("plain.land", RecordType::DS).authorities;
                let mut forged = delegation.into_iter().find(|of| of.record_type() == RecordType::NSEC).unwrap();
                (forged.name, forged.dns_class) = (owner, DNSClass::CH);
                above.authorities.insert(0, forged);
                above.metadata.response_code = ResponseCode::NoError;
                message.authorities = above.authorities;
                Some(message)
            }
            _ => None,
        },
    ),
    (
        "where a name leads, by a DNAME of another class beside the true one",
        "x.moved.signed.land",
        "A",
        |truth, name, of| {
            (name == "x.moved.signed.land" && of == RecordType::A).then(|| {
                let mut message = truth.of("www.moved.signed.land", of);
                let mut lie = truth.of("old.signed.land", RecordType::DNAME).answers[0].clone();
                (lie.name, lie.dns_class) = (Name::from_ascii("moved.signed.land.").unwrap(), DNSClass::CH);
                message.answers.retain(|of| of.name == Name::from_ascii("moved.signed.land.").unwrap());
                message.answers.insert(0, lie);
                message.answers.push(record(
                    "x.moved.signed.land.",
                    RData::CNAME(CNAME(Name::from_ascii("x.www.land.").unwrap())),
                ));
                message.authorities = truth.of("x.www.land", of).authorities;
                message.metadata.response_code = ResponseCode::NXDomain;
                message
            })
        },
    ),
    ("that there is an alias for all names of a zone", "alias.signed.land", "A", |truth, name, of| {
        (name == "alias.signed.land" && of == RecordType::A).then(|| {
            let mut message = truth.of(name, of);
            message.answers.retain(|of| of.record_type() != RecordType::RRSIG);
            message
        })
    }),
    ("that a zone is unsigned, by the proof of one that is", "www.signed.land", "A", |truth, name, of| match of {
        RecordType::A if name == "www.signed.land" => Some(made(truth.of(name, of), vec![address(name)])),
        RecordType::DS if name == "signed.land" => Some(truth.of("plain.land", of)),
        _ => None,
    }),
    (
        "that a zone is unsigned, by the proof of another zone that leaves some out",
        "www.signed.land",
        "A",
        |truth, name, of| match of {
            RecordType::A if name == "www.signed.land" => Some(made(truth.of(name, of), vec![address(name)])),
            RecordType::DS if name.ends_with("signed.land") => Some(truth.of("opted.out", of)),
            _ => None,
        },
    ),
    ("the keys of another zone", "www.signed.land", "A", |truth, name, of| match of {
        RecordType::A if name == "www.signed.land" => Some(made(truth.of("www.hashed.land", of), vec![address(name)])),
        RecordType::DS | RecordType::DNSKEY if name == "signed.land" => Some(truth.of("hashed.land", of)),
        _ => None,
    }),
    ("no keys, and the word of a zone that signs nothing", "www.signed.land", "A", |truth, name, of| match of {
        RecordType::A if name == "www.signed.land" => {
            let signed = truth.of(name, of);
            let answers = signed.answers.iter().filter(|of| of.record_type() == RecordType::RRSIG).cloned();
            Some(made(truth.of("www.plain.land", of), answers.chain([address(name)]).collect()))
        }
        RecordType::DNSKEY if name == "signed.land" => Some(truth.of("absent.plain.land", RecordType::DNSKEY)),
        _ => None,
    }),
    ("what a wildcard says, of a name that exists", "not.wild.signed.land", "TXT", |truth, name, of| {
        (name == "not.wild.signed.land" && of == RecordType::TXT).then(|| {
            let mut message = truth.of("any.wild.signed.land", of);
            message.answers.iter_mut().for_each(|of| of.name = Name::from_ascii("not.wild.signed.land.").unwrap());
            message
        })
    }),
    (
        "the same, with what a zone says that signs nothing beside it",
        "not.wild.signed.land",
        "TXT",
        |truth, name, of| {
            (name == "not.wild.signed.land" && of == RecordType::TXT).then(|| {
                let mut message = truth.of("any.wild.signed.land", of);
                message.answers.iter_mut().for_each(|of| of.name = Name::from_ascii("not.wild.signed.land.").unwrap());
                message.authorities = truth.of("absent.plain.land", of).authorities;
                message
            })
        },
    ),
];

#[test]
fn nothing_forged_is_held_for_true() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    for (what, name, record_type, forgery) in FORGERIES {
        let believed = asked(&names, (name, record_type), *forgery, false);
        assert_ne!(believed.status, "SERVFAIL", "{what}: who does not validate gets it\n{}", believed.text);
        let answer = asked(&names, (name, record_type), *forgery, true);
        let seen = (answer.status.as_str(), answer.has("ad"), answer.answers().len());
        assert_eq!(seen, ("SERVFAIL", false, 0), "{what}\n{}", answer.text);
    }
    // The truth comes through the same hands.
    let answer = asked(&names, ("www.signed.land", "A"), |_, _, _| None, true);
    assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", true), "{}", answer.text);
}

#[test]
fn what_is_added_to_the_truth_does_not_go_on_with_it() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let answer = asked(
        &names,
        ("www.signed.land", "A"),
        |truth, name, of| {
            (name == "www.signed.land" && of == RecordType::A).then(|| {
                let mut message = truth.of(name, of);
                message.metadata.response_code = ResponseCode::NXDomain;
                message.answers.push(address("www.hashed.land"));
                message.authorities.push(address("mail.signed.land"));
                message.additionals.push(address("ns.land"));
                message
            })
        },
        true,
    );
    assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", true), "{}", answer.text);
    assert!(!answer.text.contains("192.0.2.66") && answer.text.contains("192.0.2.1\n"), "{}", answer.text);
}

#[test]
fn what_is_proven_is_told_whatever_the_code_says() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    for name in ["www.signed.land", "www.hashed.land"] {
        let denied: Forgery = |truth, name, of| {
            (of == RecordType::MX).then(|| {
                let mut message = truth.of(name, of);
                message.metadata.response_code = ResponseCode::NXDomain;
                message
            })
        };
        let answer = asked(&names, (name, "MX"), denied, true);
        let seen = (answer.status.as_str(), answer.has("ad"), answer.answers().len());
        assert_eq!(seen, ("NOERROR", true, 0), "{name}\n{}", answer.text);
    }
}

/// A CAA record whose tag is empty, which no library takes.
const UNREADABLE: &[u8] = b"\xc0\x0c\x01\x01\0\x01\0\0\x01\x2c\0\x02\0\0";

#[test]
fn what_cannot_be_read_passes_where_nothing_signs_it() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let truth = names.passing.address;
    let upstream = Scripted::start(move |query| match wire::question_type(query) {
        257 => {
            let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
            let head = [&query[..2], b"\x81\x80\0\x01\0\x01\0\0\0\0", &query[12..end]].concat();
            vec![[&head[..], UNREADABLE].concat()]
        }
        _ => wire::udp_once(truth, query, wire::SHORT).into_iter().collect(),
    });
    let daemon = names.validated().upstreams(&[upstream.address]).start();
    for (name, passes) in [("www.plain.land", true), ("www.signed.land", false)] {
        let asking = Asking { flags: 0x0120, edns: None, ..Asking::of(name, 257) };
        let answer = wire::udp_once(daemon.dns, &asking.to_wire(), wire::SHORT).expect("an answer");
        let seen = (answer[3] & 15, answer[3] & 0x20, answer.ends_with(&UNREADABLE[10..]));
        assert_eq!(seen, (if passes { 0 } else { 2 }, 0, passes), "{name} {answer:?}");
    }
}
