//! What the zones answer, name by name.

use super::*;
use crate::message::{Class, RecordType, ResponseView, Section};

fn spec() -> ZonesSpec {
    let name = |text: &str| text.parse().unwrap();
    let text = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n@ IN NS ns\nns A 192.0.2.53\nalias CNAME www\nwww A 192.0.2.80\n\
                *.wild TXT \"anything\"\nmulti 300 IN TXT ( \"a\"\n \"b\" )\n";
    ZonesSpec {
        hosts: vec![
            (name("printer.office.example"), vec!["10.0.0.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]),
            (name("extra.corp.example"), vec!["192.0.2.9".parse().unwrap()]),
        ],
        zones: vec![(name("corp.example"), text.to_owned())],
        special_use: true,
    }
}

/// Answers as `CODE type,type`, with the types of the answer section.
fn ask(zones: &Zones, name: &str, record_type: RecordType) -> String {
    let question = Question { name: name.parse().unwrap(), record_type, class: Class::IN };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let message = runtime.block_on(zones.answer(&question)).unwrap();
    let view = ResponseView::read(&message).unwrap();
    assert!(view.opt().is_none() && view.asks(&question.name, record_type, Class::IN));
    let records: Vec<_> = view.records().map(Result::unwrap).collect();
    let answers: Vec<_> =
        records.iter().filter(|of| of.section == Section::Answer).map(|of| of.record_type.to_string()).collect();
    let soa = records.iter().any(|of| of.section == Section::Authority && of.record_type == RecordType::SOA);
    assert_eq!(soa, answers.is_empty(), "{name}: a negative answer has an SOA, another has none");
    format!("{} {}", view.response_code(), answers.join(",")).trim().to_owned()
}

/// RFC 6303, RFC 6761, RFC 6762, RFC 7686, RFC 7793, RFC 8375, RFC 9462.
#[test]
fn special_use_names_are_answered_here() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("localhost", RecordType::A, "0 A"),
        ("LocalHost", RecordType::AAAA, "0 AAAA"),
        ("any.thing.localhost", RecordType::A, "0 A"),
        ("localhost", RecordType::MX, "0"),
        ("x.invalid", RecordType::A, "3"),
        ("invalid", RecordType::A, "0"),
        ("a.b.test", RecordType::HTTPS, "3"),
        ("abc.onion", RecordType::A, "3"),
        ("printer.local", RecordType::A, "3"),
        ("x.home.arpa", RecordType::A, "3"),
        ("_dns.resolver.arpa", RecordType::SVCB, "0"),
        ("1.0.0.127.in-addr.arpa", RecordType::PTR, "0 PTR"),
        ("2.0.0.127.in-addr.arpa", RecordType::PTR, "3"),
        ("4.3.2.10.in-addr.arpa", RecordType::PTR, "3"),
        ("1.1.168.192.in-addr.arpa", RecordType::PTR, "3"),
        ("1.1.31.172.in-addr.arpa", RecordType::PTR, "3"),
        ("1.1.100.100.in-addr.arpa", RecordType::PTR, "3"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", RecordType::PTR, "0 PTR"),
        ("1.0.0.d.f.ip6.arpa", RecordType::PTR, "3"),
    ] {
        assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
        assert!(zones.origin_of(&name.parse().unwrap()).is_some(), "{name}");
    }
    for public in ["example.com", "1.1.1.1.in-addr.arpa", "1.1.32.172.in-addr.arpa", "notlocalhost", "arpa"] {
        assert_eq!(zones.origin_of(&public.parse().unwrap()), None, "{public}");
    }
}

#[test]
fn hosts_have_addresses_and_reverse_records() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("printer.office.example", RecordType::A, "0 A"),
        ("Printer.Office.Example", RecordType::AAAA, "0 AAAA"),
        ("printer.office.example", RecordType::TXT, "0"),
        ("x.printer.office.example", RecordType::A, "3"),
        ("7.0.0.10.in-addr.arpa", RecordType::PTR, "0 PTR"),
        ("9.2.0.192.in-addr.arpa", RecordType::PTR, "0 PTR"),
        ("extra.corp.example", RecordType::A, "0 A"),
    ] {
        assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
    }
    assert_eq!(zones.origin_of(&"office.example".parse().unwrap()), None, "only the host itself is answered here");
}

#[test]
fn a_zone_of_the_configuration_is_served_whole() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("www.corp.example", RecordType::A, "0 A"),
        ("alias.corp.example", RecordType::A, "0 CNAME,A"),
        ("alias.corp.example", RecordType::CNAME, "0 CNAME"),
        ("a.b.wild.corp.example", RecordType::TXT, "0 TXT"),
        ("multi.corp.example", RecordType::TXT, "0 TXT"),
        ("nothing.corp.example", RecordType::A, "3"),
        ("www.corp.example", RecordType::DNAME, "0"),
    ] {
        assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
    }
}

#[test]
fn a_faulty_zone_is_told_with_its_line() {
    let build = |text: &str| {
        let zones = vec![("corp.example".parse().unwrap(), text.to_owned())];
        Zones::build(&ZonesSpec { zones, ..ZonesSpec::default() }).map(drop).unwrap_err().remove(0)
    };
    let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n";
    let fault = build(&format!("{soa}www A 192.0.2.80\nbad A not-an-address\nlast A 192.0.2.1\n"));
    assert!(matches!(&fault, ZoneError::Line { line: 3, text, .. } if text == "bad A not-an-address"), "{fault}");
    assert!(matches!(build("www 300 IN A 192.0.2.80\n"), ZoneError::Zone { .. }), "no SOA");
    assert!(matches!(build(&format!("{soa}www.other.example. 300 IN A 192.0.2.80\n")), ZoneError::Zone { .. }));
    assert!(matches!(build(&format!("{soa}$InClude /etc/passwd\n")), ZoneError::Include { .. }));
    let hostile = build(&format!("{soa}\u{1b}[2Jx A nothing\n")).to_string();
    assert!(!hostile.contains('\u{1b}'), "{hostile:?}");
}
