//! Names that are answered here, zones that others are asked for, and how both meet policy.

use crate::clients::dig;
use crate::daemon::Setup;
use crate::scripted::Scripted;
use crate::upstream::Upstream;
use crate::wire;

const OFFICE: &str = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n@ IN NS ns\nns A 192.0.2.153\nwww A 192.0.2.180\n\
                      out CNAME www.example.\nupdates CNAME dnl-01.geo.kaspersky.com.\n";

fn zone(origin: &str, text: &str) -> toml::Table {
    toml::Table::from_iter([("origin".to_owned(), origin.into()), ("text".to_owned(), text.into())])
}

#[test]
fn hosts_and_zones_of_the_configuration_are_answered_here() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream)
        .set("zones.hosts", vec!["printer.office.test 10.0.0.7 fd00::7"])
        .set("zones.zone", vec![zone("office.internal", OFFICE)])
        .start();
    for (arguments, data) in [
        (["printer.office.test", "A"], vec!["10.0.0.7"]),
        (["printer.office.test", "AAAA"], vec!["fd00::7"]),
        (["www.office.internal", "A"], vec!["192.0.2.180"]),
        (["localhost", "A"], vec!["127.0.0.1"]),
    ] {
        let answer = dig(daemon.dns, &arguments);
        assert_eq!(answer.data(arguments[1]), data, "{}", answer.text);
    }
    assert_eq!(dig(daemon.dns, &["-x", "10.0.0.7"]).data("PTR"), ["printer.office.test."]);
    // Names of private addresses never leave.
    assert_eq!(dig(daemon.dns, &["-x", "192.168.1.1"]).status, "NXDOMAIN");
    // An alias that leads to a name of others is followed there, and one to a prohibited name is sunk.
    let out = dig(daemon.dns, &["out.office.internal", "A"]);
    assert_eq!((out.data("CNAME"), out.data("A")), (vec!["www.example."], vec!["192.0.2.80"]), "{}", out.text);
    let sunk = dig(daemon.dns, &["updates.office.internal", "A"]);
    assert_eq!((sunk.status.as_str(), sunk.ede_code()), ("NXDOMAIN", Some(15)), "{}", sunk.text);
}

#[test]
fn a_zone_has_upstreams_of_its_own() {
    let answering =
        |address: [u8; 4]| Scripted::start(move |query| vec![wire::reply(query, wire::NOERROR, &[address])]);
    let (default, office) = (answering([192, 0, 2, 1]), answering([192, 0, 2, 2]));
    let servers = toml::Value::from(vec![office.address.to_string()]);
    let forward = |name: &str| {
        toml::Table::from_iter([("name".to_owned(), name.into()), ("servers".to_owned(), servers.clone())])
    };
    let daemon = Setup::new()
        .upstreams(&[default.address])
        .set("upstream.zone", vec![forward("corp.example"), forward("10.in-addr.arpa")])
        .start();
    for (name, address) in [
        ("corp.example", "192.0.2.2"),
        ("dc1.Corp.Example", "192.0.2.2"),
        ("notcorp.example", "192.0.2.1"),
        ("example", "192.0.2.1"),
        // Over the zone that would be answered here.
        ("7.0.0.10.in-addr.arpa", "192.0.2.2"),
    ] {
        let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
        let found: Vec<_> = wire::parse(&answer).answers.iter().map(|record| record.data.to_string()).collect();
        assert_eq!(found, [address], "{name}");
    }
    // Prohibited names are sunk whoever would answer for them.
    let sunk = wire::udp(daemon.dns, &wire::query("dnl-01.geo.kaspersky.com", wire::A));
    assert_eq!(wire::rcode(&sunk), wire::NXDOMAIN);
}
