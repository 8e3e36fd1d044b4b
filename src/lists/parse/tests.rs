//! What each format says, and what it refuses.

use super::super::{Action, Choice, List, compile, index};
use super::*;
use crate::client::Client;
use crate::message::RecordType;
use ipnet::IpNet;
use proptest::prelude::*;

fn list_of(mut gathered: Gathered) -> List {
    let octets = compile(&mut gathered, ([0; 32], Format::Hosts), || {
        index::Key([0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xA24B_AED4_963E_E407])
    })
    .unwrap();
    List::new(index::Index::from_octets(octets).unwrap()).unwrap()
}

/// What the list makes of a question, such as `block` or `local 192.0.2.1`; `-` where it says nothing.
fn says(list: &List, name: &str, record_type: RecordType, client: &str) -> String {
    let client = Client::at(client.parse().unwrap());
    match list.decide(&name.parse().unwrap(), record_type, &client) {
        None => "-".to_owned(),
        Some((Action::Local(local), _)) => {
            let records = local.records.iter().map(|record| match (record.record_type, &record.data[..]) {
                (1, [a, b, c, d]) => format!(" {a}.{b}.{c}.{d}"),
                (other, data) => format!(" TYPE{other}:{}", hex::encode(data)),
            });
            let alias =
                local.alias.iter().map(|alias| format!(" {}{}", if alias.prepend { "*." } else { "" }, alias.target));
            format!("local{}", records.chain(alias).collect::<String>())
        }
        Some((action, _)) => action.to_string(),
    }
}

fn check(format: Format, text: &str, expected: &[(&str, &str)], refused: &[usize]) {
    let gathered = parse(format, text);
    let told: Vec<usize> = gathered.refusals().told.iter().map(|refusal| refusal.line).collect();
    assert_eq!(told, refused, "{:?}", gathered.refusals());
    let list = list_of(gathered);
    for (name, expected) in expected {
        assert_eq!(says(&list, name, RecordType::A, "192.0.2.99"), *expected, "{name}");
    }
}

#[test]
fn hosts_files_name_names_themselves() {
    let text = "# a comment\n127.0.0.1 localhost\n0.0.0.0 ads.example Tracker.example # two\n::1 six.example\n\
                192.0.2.7 intra.example\n192.0.2.8 intra.example\nfe80::1%lo0 localhost\n0.0.0.0\nads.example\n\
                0.0.0.0 bad_name.example ex..ample\n";
    check(
        Format::Hosts,
        text,
        &[
            ("ads.example", "block"),
            ("www.ads.example", "-"),
            ("TRACKER.example", "block"),
            ("six.example", "block"),
            ("intra.example", "local 192.0.2.7 192.0.2.8"),
            ("bad_name.example", "block"),
            ("localhost", "-"),
        ],
        &[8, 9, 10],
    );
}

#[test]
fn bare_names_are_names_and_suffixes_are_subtrees() {
    let text = "\u{feff}# list\na.example\n*.b.example\nc.example # why\n; other comment\nB\\046x.example\nbücher.example\n\
                d.example e.example\n192.0.2.1\n<html>\n";
    check(
        Format::Domains,
        text,
        &[
            ("a.example", "block"),
            ("x.a.example", "-"),
            ("b.example", "-"),
            ("x.b.example", "block"),
            ("c.example", "block"),
            ("b\\.x.example", "block"),
        ],
        &[7, 8, 9, 10],
    );
    check(
        Format::Suffixes,
        "a.example\n*.b.example\n.c.example\n",
        &[
            ("a.example", "block"),
            ("x.a.example", "block"),
            ("b.example", "block"),
            ("c.example", "block"),
            ("example", "-"),
        ],
        &[],
    );
}

#[test]
fn the_syntax_of_ad_blockers_is_read_as_far_as_it_is_about_names() {
    let text = "[Adblock Plus 2.0]\n! Title: x\n||ads.example^\n@@||good.ads.example^\n||hard.example^$important\n\
                @@||hard.example^\n||zone.example^$denyallow=a.zone.example|b.zone.example\n\
                ||typed.example^$dnstype=AAAA|HTTPS\n||most.example^$dnstype=~A\n\
                ||office.example^$client=192.0.2.0/28|~192.0.2.5\n|exact.example^\n||*.below.example^\nplain.example\n\
                0.0.0.0 hosts.example\n@@||both.example^$important\n||both.example^$important\n\
                ||page.example^$third-party\n/regex[0-9]/\nexample.com##.banner\n||open.example\n||ex*.example^\n\
                ||ctag.example^$client=laptop\n";
    check(
        Format::Adblock,
        text,
        &[
            ("ads.example", "block"),
            ("x.ads.example", "block"),
            ("x.good.ads.example", "pass"),
            ("hard.example", "block"),
            ("zone.example", "block"),
            ("x.a.zone.example", "-"),
            ("typed.example", "-"),
            ("most.example", "-"),
            ("office.example", "-"),
            ("exact.example", "block"),
            ("x.exact.example", "-"),
            ("below.example", "-"),
            ("x.below.example", "block"),
            ("plain.example", "block"),
            ("hosts.example", "block"),
            ("both.example", "pass"),
        ],
        &[17, 18, 19, 20, 21, 22],
    );
    let list = list_of(parse(Format::Adblock, text));
    assert_eq!(says(&list, "typed.example", RecordType::HTTPS, "192.0.2.99"), "block");
    assert_eq!(says(&list, "most.example", RecordType::TXT, "192.0.2.99"), "block");
    assert_eq!(says(&list, "x.office.example", RecordType::A, "192.0.2.7"), "block");
    assert_eq!(says(&list, "office.example", RecordType::A, "192.0.2.5"), "-");
}

#[test]
fn an_exception_counts_however_short_its_name_is() {
    let text = "||a.b.example^\n@@||example^\n||c.example^$important\n";
    check(Format::Adblock, text, &[("a.b.example", "pass"), ("c.example", "block")], &[]);
}

#[test]
fn lines_of_dnsmasq_are_about_names_and_all_below() {
    let text = "# x\naddress=/a.example/\naddress=/b.example/c.example/192.0.2.9\naddress=/null.example/#\n\
                address=/zero.example/0.0.0.0\nserver=/d.example/\nlocal=/e.example/\nserver=/f.example/#\n\
                server=/g.example/192.0.2.53\naddress=/#/192.0.2.1\ncache-size=5\naddress=a.example\n";
    check(
        Format::Dnsmasq,
        text,
        &[
            ("a.example", "block"),
            ("x.a.example", "block"),
            ("x.c.example", "local 192.0.2.9"),
            ("null.example", "local 0.0.0.0 TYPE28:00000000000000000000000000000000"),
            ("zero.example", "block"),
            ("d.example", "block"),
            ("e.example", "block"),
            ("f.example", "pass"),
            ("g.example", "-"),
        ],
        &[9, 10, 11, 12],
    );
}

#[test]
fn local_zones_of_unbound_keep_their_records() {
    let text = "server:\n  local-zone: \"a.example\" always_nxdomain # x\n  local-zone: 'b.example.' redirect\n\
                local-data: \"b.example A 192.0.2.3\"\nlocal-zone: c.example static\n\
                local-data: 'host.c.example. 60 IN A 192.0.2.4'\nlocal-zone: \"d.example\" refuse\n\
                local-zone: \"e.example\" deny\nlocal-zone: \"f.example\" always_null\n\
                local-zone: \"g.example\" transparent\nlocal-zone: \"h.example\" inform\n\
                local-data: \"x.b.example A 192.0.2.3\"\nlocal-data: \"nonsense\"\nforward-zone:\n\
                local-data: \"alone.example CNAME other.example.\"\n";
    check(
        Format::Unbound,
        text,
        &[
            ("x.a.example", "block"),
            ("x.b.example", "local 192.0.2.3"),
            ("c.example", "block"),
            ("host.c.example", "local 192.0.2.4"),
            ("x.host.c.example", "block"),
            ("d.example", "refused"),
            ("e.example", "drop"),
            ("f.example", "local 0.0.0.0 TYPE28:00000000000000000000000000000000"),
            ("g.example", "-"),
            ("alone.example", "local other.example"),
        ],
        &[11, 14, 12, 13],
    );
}

/// draft-vixie-dnsop-dns-rpz-00, sections 4 and 5.
#[test]
fn policy_zones_have_every_action() {
    let text = "$TTL 60\n$ORIGIN rpz.test.\n@ SOA ns.rpz.test. h.rpz.test. 1 2 3 4 5\n  NS ns.rpz.test.\n\
                nx.example CNAME .\n*.nx.example CNAME .\nnodata.example CNAME *.\npass.example CNAME rpz-passthru.\n\
                old.example CNAME old.example.\ndrop.example CNAME rpz-drop.\ntcp.example CNAME rpz-tcp-only.\n\
                data.example A 192.0.2.1\n             A 192.0.2.2\n             MX 10 mail.example.\n\
                garden.example CNAME walled.example.\n*.w.example CNAME *.walled.example.\n\
                abs.example.rpz.test. CNAME .\n32.7.2.0.192.rpz-client-ip CNAME rpz-drop.\n\
                24.0.113.0.203.rpz-ip CNAME .\n48.zz.db8.2001.rpz-ip A 192.0.2.5\n\
                ns.example.rpz-nsdname CNAME .\n32.1.2.0.192.rpz-nsip CNAME .\nodd.example CNAME rpz-other.\n\
                outside.test. CNAME .\n24.1.2.0.192.rpz-ip CNAME .\nd.example DNAME x.example.\n$INCLUDE x\n\
                both.example A 192.0.2.1\nboth.example CNAME x.example.\n";
    check(
        Format::Rpz,
        text,
        &[
            ("nx.example", "nxdomain"),
            ("a.b.nx.example", "nxdomain"),
            ("nodata.example", "nodata"),
            ("x.nodata.example", "-"),
            ("pass.example", "pass"),
            ("old.example", "pass"),
            ("drop.example", "drop"),
            ("tcp.example", "tcp-only"),
            ("data.example", "local 192.0.2.1 192.0.2.2 TYPE15:000a046d61696c076578616d706c6500"),
            ("garden.example", "local walled.example"),
            ("x.w.example", "local *.walled.example"),
            ("abs.example", "nxdomain"),
            ("both.example", "local 192.0.2.1"),
        ],
        &[21, 22, 23, 24, 25, 26, 27, 29],
    );
    let list = list_of(parse(Format::Rpz, text));
    assert_eq!(says(&list, "any.example", RecordType::A, "192.0.2.7"), "drop", "its client is known");
    let address = |text: &str| list.decide_address(text.parse().unwrap()).map(|(action, _)| action.to_string());
    assert_eq!(address("203.0.113.9"), Some("nxdomain".to_owned()));
    assert_eq!(address("::ffff:203.0.113.9"), Some("nxdomain".to_owned()));
    assert_eq!(address("2001:db8:0:7::1"), Some("local".to_owned()));
    assert_eq!(address("203.0.114.9"), None);
}

#[test]
fn a_policy_zone_without_an_origin_is_relative() {
    let text = "$TTL 60\n@ SOA localhost. root.localhost. 1 2 3 4 5\nbad.example CNAME .\n";
    check(Format::Rpz, text, &[("bad.example", "nxdomain")], &[]);
    check(Format::Rpz, "bad.example CNAME .\n", &[("bad.example", "-")], &[1]);
}

#[test]
fn the_first_rule_tells_the_format() {
    for (text, format) in [
        ("# x\n\n0.0.0.0 a.example", Some(Format::Hosts)),
        ("# x\na.example\nb.example\n", Some(Format::Domains)),
        ("*.a.example", Some(Format::Domains)),
        ("! x\n||a.example^", Some(Format::Adblock)),
        ("[Adblock Plus]\na.example", Some(Format::Adblock)),
        ("address=/a.example/", Some(Format::Dnsmasq)),
        ("server:\nlocal-zone: a always_nxdomain", Some(Format::Unbound)),
        ("; x\n$TTL 60\n", Some(Format::Rpz)),
        ("@ 60 IN SOA a b 1 2 3 4 5", Some(Format::Rpz)),
        ("<!doctype html>\n<p>a", None),
        ("{\"a\": 1}", None),
        ("", None),
    ] {
        assert_eq!(detect(text), format, "{text}");
    }
}

#[test]
fn choices_survive_being_written() {
    let text = "||a.example^$denyallow=x.a.example,client=192.0.2.0/24|~192.0.2.1,dnstype=A|~TXT,important\n";
    let gathered = parse(Format::Adblock, text);
    let written = serde_json::to_string(&gathered.choices).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Choice>>(&written).unwrap(), gathered.choices);
}

fn any_network() -> impl Strategy<Value = IpNet> {
    (any::<std::net::IpAddr>(), 0u8..=128).prop_map(|(address, prefix)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        IpNet::new(address, prefix.min(longest)).unwrap().trunc()
    })
}

/// Text that looks like lists, so that parsers get beyond its first word.
fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("||"),
        Just("@@||"),
        Just("^"),
        Just("$"),
        Just("important"),
        Just("denyallow="),
        Just("client="),
        Just("dnstype="),
        Just("address=/"),
        Just("server=/"),
        Just("local-zone: \""),
        Just("local-data: \""),
        Just("\" "),
        Just("always_null"),
        Just("redirect"),
        Just("@ SOA . . 1 2 3 4 5\n"),
        Just(" CNAME "),
        Just(" A "),
        Just("rpz-ip"),
        Just("rpz-client-ip"),
        Just("24.0.2.0.192."),
        Just("zz."),
        Just("*."),
        Just("."),
        Just("\n"),
        Just(" "),
        Just("("),
        Just(")"),
        Just("\\0"),
        Just("\""),
        Just("#"),
        Just("0.0.0.0 "),
        Just("a.example"),
        Just("é"),
        Just("/"),
        Just("|"),
        Just("~"),
        Just(","),
        Just("$ORIGIN "),
        Just("$TTL "),
        Just(";"),
        Just("192.0.2.1"),
        Just("="),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn networks_are_read_back_as_they_are_written(network in any_network()) {
        let text = network_to_labels(&network);
        prop_assert_eq!(network_of_labels(&text.split('.').collect::<Vec<_>>()), Ok(network));
    }

    #[test]
    fn no_text_stops_a_parser(text in prop_oneof![any_text(), ".*", "(?s).{0,300}"]) {
        for format in Format::ALL {
            let gathered = parse(format, &text);
            prop_assert!(gathered.refusals().count <= text.lines().count() + 1);
            list_of(gathered);
        }
        detect(&text);
    }

    /// The quick way reads what the slow one reads, and the same.
    #[test]
    fn plain_names_are_read_alike(text in "[a-cA-C0-9_.-]{0,70}(\\.[a-z]{1,5}\\.?)?") {
        if let Some(plain) = plain_name(text.as_bytes()) {
            prop_assert_eq!(text.parse::<Name>(), Ok(plain));
        }
    }
}
