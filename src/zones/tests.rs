//! What the zones answer, name by name.

use proptest::prelude::*;

use super::*;
use crate::message::{Class, ResponseView, Section};

const OFFICE: &str = r#"
$TTL 300
@ 86400 IN SOA ns hostmaster (
        2026010100 ; serial
        1h 10m 1w
        60 )       ; denials
        NS ns
        MX 10 mail
        TXT "v=spf1 -all; not a comment" "\065\"b"
ns      A 192.0.2.53
alias   CNAME www
chain   CNAME alias
dead    CNAME nothing
away    CNAME www.example.net.
over    CNAME printer.office.example.
loop    CNAME pool
pool    CNAME loop
self    CNAME @
www     600 A 192.0.2.80
        A 192.0.2.81
        A 192.0.2.80
*.wild  TXT "anything"
deep.below.wild A 192.0.2.82
_sip._udp SRV 10 20 5060 ns
web     HTTPS 1 . alpn="h2,h3" port=8443
        CAA 0 issue "ca.example"
raw     TYPE65280 \# 4 0A 00 0001
old     DNAME new.example.org.
moved   DNAME wild
$ORIGIN sub.corp.example.
@       A 192.0.2.90
below.that AAAA 2001:db8::5
"#;

fn spec() -> ZonesSpec {
    ZonesSpec {
        hosts: vec![
            (name("printer.office.example"), vec!["10.0.0.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]),
            (name("extra.corp.example"), vec!["192.0.2.9".parse().unwrap()]),
            (name("scanner.home.arpa"), vec!["10.0.0.8".parse().unwrap()]),
            (name("tray.printer.office.example"), vec!["10.0.0.7".parse().unwrap()]),
            (name("public.office.example"), vec!["8.8.8.8".parse().unwrap()]),
            (name(r"odd\;na\.me\032x.office.example"), vec!["10.0.0.9".parse().unwrap()]),
        ],
        zones: vec![(name("corp.example"), OFFICE.to_owned())],
        special_use: true,
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn question(of: &str, record_type: &str) -> Question {
    Question { name: name(of), record_type: record_type.parse().unwrap(), class: Class::IN }
}

fn wire(zones: &Zones, question: &Question) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(zones.answer(question, |further| zones.origin_for(further).is_some())).unwrap()
}

/// Answers as `CODE type,type`, with the types of the answer section.
fn ask(zones: &Zones, of: &str, record_type: &str) -> String {
    let question = question(of, record_type);
    let message = wire(zones, &question);
    let view = ResponseView::read(&message).unwrap();
    assert!(view.opt().is_none() && ResponseView::asked(&message, &question.name, question.record_type, Class::IN));
    let records: Vec<_> = view.records().map(Result::unwrap).collect();
    let answers: Vec<_> =
        records.iter().filter(|of| of.section == Section::Answer).map(|of| of.record_type.to_string()).collect();
    let soa = records.iter().any(|of| of.section == Section::Authority && of.record_type == RecordType::SOA);
    let refused = view.response_code() == 5;
    let aliases = answers.iter().all(|of| of == "CNAME" || of == "DNAME") && !answers.is_empty();
    assert!(
        soa != (answers.iter().any(|of| of != "CNAME" && of != "DNAME") || refused) || aliases,
        "{of} {record_type}"
    );
    assert_ne!(view.flags() & flag::AUTHORITATIVE, 0, "{of} {record_type}");
    format!("{} {}", view.response_code(), answers.join(",")).trim().to_owned()
}

/// The data of an answer's records, in hickory's presentation.
fn data(zones: &Zones, of: &str, record_type: &str) -> Vec<String> {
    let message = Message::from_vec(&wire(zones, &question(of, record_type))).unwrap();
    message.answers.iter().map(|record| format!("{} {} {}", record.name, record.ttl, record.data)).collect()
}

fn faults(text: &str) -> Vec<ZoneError> {
    let zones = vec![(name("corp.example"), text.to_owned())];
    Zones::build(&ZonesSpec { zones, ..ZonesSpec::default() }).map(drop).err().unwrap_or_default()
}

const LOOPBACK_V6: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
const UNSPECIFIED_V6: &str = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";

/// RFC 6303, RFC 6761, RFC 6762, RFC 7686, RFC 7793, RFC 8375, RFC 9462.
#[test]
fn special_use_names_are_answered_here() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("localhost", "A", "0 A"),
        ("LocalHost", "AAAA", "0 AAAA"),
        ("any.thing.localhost", "A", "0 A"),
        ("any.thing.localhost", "HTTPS", "0"),
        ("localhost", "MX", "0"),
        ("x.invalid", "A", "3"),
        ("invalid", "A", "0"),
        ("invalid", "SOA", "0 SOA"),
        ("invalid", "NS", "0 NS"),
        ("a.b.test", "HTTPS", "3"),
        ("abc.onion", "A", "3"),
        ("printer.local", "A", "3"),
        ("_dns-sd._udp.local", "PTR", "3"),
        ("x.home.arpa", "A", "3"),
        ("home.arpa", "DS", "0"),
        ("_dns.resolver.arpa", "SVCB", "0"),
        ("resolver.arpa", "A", "0"),
        ("any.name.resolver.arpa", "A", "0"),
        ("1.0.0.127.in-addr.arpa", "PTR", "0 PTR"),
        ("2.0.0.127.in-addr.arpa", "PTR", "3"),
        ("1.0.0.0.in-addr.arpa", "PTR", "3"),
        ("255.255.255.255.in-addr.arpa", "PTR", "0"),
        ("4.3.2.10.in-addr.arpa", "PTR", "3"),
        ("10.in-addr.arpa", "PTR", "0"),
        ("1.1.168.192.in-addr.arpa", "PTR", "3"),
        ("1.1.16.172.in-addr.arpa", "PTR", "3"),
        ("1.1.31.172.in-addr.arpa", "PTR", "3"),
        ("1.1.254.169.in-addr.arpa", "PTR", "3"),
        ("1.1.64.100.in-addr.arpa", "PTR", "3"),
        ("1.1.127.100.in-addr.arpa", "PTR", "3"),
        ("1.2.0.192.in-addr.arpa", "PTR", "3"),
        ("1.100.51.198.in-addr.arpa", "PTR", "3"),
        ("1.113.0.203.in-addr.arpa", "PTR", "3"),
        (LOOPBACK_V6, "PTR", "0 PTR"),
        (UNSPECIFIED_V6, "PTR", "0"),
        ("1.0.0.d.f.ip6.arpa", "PTR", "3"),
        ("1.8.e.f.ip6.arpa", "PTR", "3"),
        ("1.b.e.f.ip6.arpa", "PTR", "3"),
        ("1.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "3"),
    ] {
        assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
        assert!(zones.origin_of(&name.parse().unwrap()).is_some(), "{name}");
    }
    assert_eq!(data(&zones, "1.0.0.127.in-addr.arpa", "PTR"), ["1.0.0.127.in-addr.arpa. 10800 localhost."]);
    assert_eq!(data(&zones, "x.localhost", "AAAA"), ["x.localhost. 10800 ::1"]);
    for public in [
        "example.com",
        "1.1.1.1.in-addr.arpa",
        "1.1.32.172.in-addr.arpa",
        "1.1.128.100.in-addr.arpa",
        "notlocalhost",
        "arpa",
    ] {
        assert_eq!(zones.origin_of(&name(public)), None, "{public}");
    }
}

#[test]
fn no_special_use_name_is_answered_where_that_is_switched_off() {
    let zones = Zones::build(&ZonesSpec { special_use: false, ..spec() }).unwrap();
    for public in ["localhost", "x.test", "1.2.3.10.in-addr.arpa"] {
        assert_eq!(zones.origin_of(&name(public)), None, "{public}");
    }
    assert_eq!(ask(&zones, "7.0.0.10.in-addr.arpa", "PTR"), "0 PTR,PTR");
}

/// RFC 4035, section 3.1.4.1.
#[test]
fn the_signer_of_a_zone_is_asked_for_above_it() {
    let zones = Zones::build(&spec()).unwrap();
    for (of, record_type, origin) in [
        ("home.arpa", "DS", None),
        ("home.arpa", "A", Some("home.arpa")),
        ("x.home.arpa", "DS", Some("home.arpa")),
        ("corp.example", "DS", None),
        ("example.net", "DS", None),
    ] {
        assert_eq!(zones.origin_for(&question(of, record_type)), origin.map(name).as_ref(), "{of} {record_type}");
    }
}

#[test]
fn a_configured_zone_replaces_what_would_be_made_at_and_below_it() {
    let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n".to_owned();
    let zones = ["172.in-addr.arpa", "test"].map(|origin| (name(origin), soa.clone())).to_vec();
    let zones = Zones::build(&ZonesSpec { zones, hosts: Vec::new(), special_use: true }).unwrap();
    assert_eq!(zones.origin_of(&name("1.1.16.172.in-addr.arpa")), Some(&name("172.in-addr.arpa")));
    assert_eq!(data(&zones, "test", "SOA").len(), 1);
}

#[test]
fn hosts_have_addresses_and_reverse_records() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("printer.office.example", "A", "0 A"),
        ("Printer.Office.Example", "AAAA", "0 AAAA"),
        ("printer.office.example", "TXT", "0"),
        ("x.printer.office.example", "A", "3"),
        ("tray.printer.office.example", "A", "0 A"),
        ("7.0.0.10.in-addr.arpa", "PTR", "0 PTR,PTR"),
        ("7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "0 PTR"),
        ("0.0.10.in-addr.arpa", "PTR", "0"),
        ("9.2.0.192.in-addr.arpa", "PTR", "0 PTR"),
        ("8.8.8.8.in-addr.arpa", "PTR", "0 PTR"),
        ("extra.corp.example", "A", "0 A"),
        ("scanner.home.arpa", "A", "0 A"),
        (r"ODD\;na\.me\032x.office.example", "A", "0 A"),
    ] {
        assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
    }
    for not_ours in ["office.example", "8.8.8.in-addr.arpa", "9.8.8.8.in-addr.arpa"] {
        assert_eq!(zones.origin_of(&name(not_ours)), None, "only the host itself is answered here, not {not_ours}");
    }
    let clash = ZonesSpec { hosts: vec![(name("alias.corp.example"), vec!["192.0.2.1".parse().unwrap()])], ..spec() };
    let faults = Zones::build(&clash).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "host alias.corp.example: alias.corp.example cannot be an alias and have other records"
    );
}

#[test]
fn a_zone_of_the_configuration_is_served_whole() {
    let zones = Zones::build(&spec()).unwrap();
    for (name, record_type, expected) in [
        ("corp.example", "MX", "0 MX"),
        ("corp.example", "SOA", "0 SOA"),
        ("www.corp.example", "A", "0 A,A"),
        ("alias.corp.example", "A", "0 CNAME,A,A"),
        ("chain.corp.example", "A", "0 CNAME,CNAME,A,A"),
        ("chain.corp.example", "AAAA", "0 CNAME,CNAME"),
        ("alias.corp.example", "CNAME", "0 CNAME"),
        // RFC 6604, section 2.1: the code is that of the last name.
        ("dead.corp.example", "A", "3 CNAME"),
        ("away.corp.example", "A", "0 CNAME"),
        ("over.corp.example", "A", "0 CNAME,A"),
        ("loop.corp.example", "A", "0 CNAME,CNAME"),
        ("self.corp.example", "MX", "0 CNAME,MX"),
        // RFC 4592, section 2.2.1: what exists, even without records of its own, hides the wildcard.
        ("a.b.wild.corp.example", "TXT", "0 TXT"),
        ("a.wild.corp.example", "A", "0"),
        ("below.wild.corp.example", "TXT", "0"),
        ("x.below.wild.corp.example", "TXT", "3"),
        ("deep.below.wild.corp.example", "TXT", "0"),
        ("wild.corp.example", "TXT", "0"),
        ("_udp.corp.example", "SRV", "0"),
        ("_sip._udp.corp.example", "SRV", "0 SRV"),
        ("web.corp.example", "HTTPS", "0 HTTPS"),
        ("web.corp.example", "CAA", "0 CAA"),
        ("raw.corp.example", "TYPE65280", "0 TYPE65280"),
        ("x.old.corp.example", "A", "0 DNAME,CNAME"),
        ("old.corp.example", "A", "0"),
        ("deep.below.moved.corp.example", "A", "0 DNAME,CNAME,A"),
        ("sub.corp.example", "A", "0 A"),
        ("below.that.sub.corp.example", "AAAA", "0 AAAA"),
        ("nothing.corp.example", "A", "3"),
        ("www.corp.example", "DNAME", "0"),
        ("www.corp.example", "ANY", "0 A,A"),
        ("corp.example", "TYPE251", "5"),
        ("corp.example", "AXFR", "5"),
    ] {
        if expected != "5" {
            assert_eq!(ask(&zones, name, record_type), expected, "{name} {record_type}");
            continue;
        }
        let message = wire(&zones, &question(name, record_type));
        assert_eq!(ResponseView::read(&message).unwrap().response_code(), 5, "{name} {record_type}");
    }
    for (of, record_type, expected) in [
        ("www.corp.example", "A", "www.corp.example. 300 192.0.2.80"),
        ("corp.example", "MX", "corp.example. 300 10 mail.corp.example."),
        ("_sip._udp.corp.example", "SRV", "_sip._udp.corp.example. 300 10 20 5060 ns.corp.example."),
        ("x.old.corp.example", "CNAME", "x.old.corp.example. 300 x.new.example.org."),
    ] {
        assert!(data(&zones, of, record_type).contains(&expected.to_owned()), "{:?}", data(&zones, of, record_type));
    }
    let text = wire(&zones, &question("corp.example", "TXT"));
    assert!(text.windows(4).any(|part| part == b"\x03A\"b"), "{}", text.escape_ascii());
}

/// RFC 2308, section 3.
#[test]
fn a_denial_lasts_no_longer_than_the_minimum() {
    let zones = Zones::build(&spec()).unwrap();
    let message = Message::from_vec(&wire(&zones, &question("nothing.corp.example", "A"))).unwrap();
    assert_eq!(message.authorities[0].ttl, 60);
    assert_eq!(data(&zones, "corp.example", "SOA")[0].split(' ').nth(1), Some("86400"));
}

#[test]
fn other_classes_are_refused() {
    let zones = Zones::build(&spec()).unwrap();
    let question = Question { class: Class::CH, ..question("localhost", "A") };
    assert_eq!(ResponseView::read(&wire(&zones, &question)).unwrap().response_code(), 5);
}

#[test]
fn an_alias_that_leads_out_is_told() {
    let zones = Zones::build(&spec()).unwrap();
    for (of, record_type, out) in [
        ("away.corp.example", "A", Some("www.example.net")),
        ("away.corp.example", "CNAME", None),
        ("x.old.corp.example", "MX", Some("x.new.example.org")),
        ("alias.corp.example", "A", None),
        ("dead.corp.example", "A", None),
        ("loop.corp.example", "A", None),
    ] {
        let question = question(of, record_type);
        let ours = |further: &Question| zones.origin_for(further).is_some();
        let further = zones.leads_out(&question, &wire(&zones, &question), ours);
        assert_eq!(further.map(|of| of.name), out.map(name), "{of} {record_type}");
    }
}

#[test]
fn every_fault_of_a_zone_is_told_with_its_line() {
    let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n";
    for (line, reason) in [
        ("bad A not-an-address", "an A record holds one IPv4 address"),
        ("bad AAAA 192.0.2.1", "an AAAA record holds one IPv6 address"),
        ("bad A", "another number of values"),
        ("bad", "it has no record type"),
        ("bad 300 IN", "it has no record type"),
        ("bad NOTYPE x", "is not a record type"),
        ("bad CH A 192.0.2.1", "only class IN"),
        ("bad 99999999999 A 192.0.2.1", "is no time"),
        ("bad MX 70000 mail", "is no number that fits"),
        ("bad TXT \"open", "a quote is not closed"),
        ("bad TXT ) x", "a parenthesis is closed that was not opened"),
        ("bad TXT ( x", "a parenthesis is not closed"),
        ("bad TXT \\256", "a backslash must be followed"),
        ("bad..name A 192.0.2.1", "is no domain name"),
        ("www.other.example. A 192.0.2.1", "does not belong to the zone"),
        ("$InClude /etc/passwd", "$INCLUDE is not supported"),
        ("$GENERATE 1-9 x$ A 192.0.2.$", "only $ORIGIN and $TTL"),
        ("$ORIGIN", "it takes one value"),
        ("sub NS ns.sub", "delegations are not followed"),
        ("@ CNAME www", "cannot be an alias"),
        ("ns CNAME www", "cannot be an alias and have other records"),
        ("x SOA ns hostmaster 1 2 3 4 60", "belongs to the zone's own name"),
        ("@ SOA ns hostmaster 2 2 3 4 60", "has a record of type SOA already"),
        ("@ DNSKEY 257 3 13 AAAA", "served unsigned"),
        ("bad TYPE41 \\# 0", "is no type of records in a zone"),
        ("bad TYPE65280 \\# 3 0A00", "octets in hexadecimal digits must follow"),
        ("bad TYPE65280 \\# 0", "without data"),
        ("bad A \\# 3 0A0000", "are no data of type A"),
        ("bad HTTPS nonsense", "hickory cannot read"),
        ("\u{1b}[2Jx A nothing", "a control character"),
    ] {
        let told = faults(&format!("{soa}ns A 192.0.2.53\n\n; a comment\n{line}"));
        let [ZoneError::Line { line: 5, text, reason: given, .. }] = told.as_slice() else {
            panic!("{line}: {told:?}")
        };
        assert!(given.contains(reason), "{line}: {given}");
        assert!(!format!("{text}{given}").contains(char::is_control), "{text:?} {given:?}");
    }
    let told = faults(&format!("{soa}a A x\nfine A 192.0.2.1\nb A y\n"));
    assert_eq!(
        told.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [2, 4].map(|line| {
            let text = if line == 2 { "a A x" } else { "b A y" };
            format!("zone corp.example, line {line} `{text}`: an A record holds one IPv4 address")
        })
    );
}

#[test]
fn a_zone_that_cannot_be_served_is_told() {
    assert!(matches!(faults("www 300 IN A 192.0.2.80\n").as_slice(), [ZoneError::Zone { .. }]), "no SOA");
    assert!(matches!(faults("").as_slice(), [ZoneError::Zone { .. }]));
    let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n";
    let below = faults(&format!("{soa}old DNAME new\nx.old A 192.0.2.1\n"));
    assert!(below[0].to_string().contains("x.old.corp.example stands below"), "{below:?}");
    let zones = vec![(name("a.example"), soa.to_owned()), (name("a.example"), soa.to_owned())];
    let twice = Zones::build(&ZonesSpec { zones, ..ZonesSpec::default() }).unwrap_err();
    assert_eq!(twice, [ZoneError::Twice { origin: name("a.example") }]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_told(text in r#"(?s)([a-z@.*\\"();$ \t\n0-9:]|\PC|IN |A |TXT |SVCB |HTTPS |CAA |NAPTR |CERT |TLSA |SSHFP |CSYNC |HINFO |OPENPGPKEY |\\# |\$ORIGIN |\$TTL ){0,60}"#) {
        let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n";
        let zones = vec![(name("corp.example"), format!("{soa}{text}"))];
        let _ = Zones::build(&ZonesSpec { zones, ..ZonesSpec::default() });
    }

    #[test]
    fn any_data_of_any_type_are_answered_or_told(
        of in 0usize..17,
        values in proptest::collection::vec(r#"[a-z0-9]{1,8}|[0-9]{1,5}|"[ -!#-\[\]-~]{0,12}"|[a-z]{1,4}="?[a-z0-9,.:]{1,8}"?|\."#, 0..7),
    ) {
        let types = [
            "A", "AAAA", "CNAME", "MX", "SRV", "TXT", "PTR", "CAA", "CERT", "CSYNC", "HINFO", "HTTPS", "NAPTR",
            "OPENPGPKEY", "SSHFP", "SVCB", "TLSA",
        ];
        let text = format!("@ 300 IN SOA ns hostmaster 1 2 3 4 60\nx 60 IN {} {}\n", types[of], values.join(" "));
        let zones = vec![(name("corp.example"), text)];
        if let Ok(zones) = Zones::build(&ZonesSpec { zones, ..ZonesSpec::default() }) {
            let message = wire(&zones, &question("x.corp.example", types[of]));
            let message = ResponseView::read(&message).unwrap();
            prop_assert!(message.records().all(|record| record.is_ok()));
            prop_assert!(message.records().next().is_some());
        }
    }
}
