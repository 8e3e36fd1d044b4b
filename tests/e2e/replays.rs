//! Every record replays: the archived policy gives the decision that the record holds, for whoever asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;
use crate::wire;

/// Clients in no group, in one that only monitors, in one that an order does not apply to, and one with a waiver.
const CLIENTS: [Ipv4Addr; 4] =
    [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

const WAIVERS: &str = r#"
[[waiver]]
id = "bench"
order = "us-commerce-2024"
services = ["update"]
clients = ["127.0.0.4"]
names = ["*.geo.kaspersky.com", "upd.kaspersky.com"]
reason = "tests of removal"
approver = "A. Counsel"
from = 2024-10-01T00:00:00Z
until = 2099-01-01T00:00:00Z

[[waiver]]
id = "lab"
service = "kaspersky/ksn"
clients = ["lab"]
reason = "a trap for traffic"
approver = "A. Counsel"
from = 2024-10-01T00:00:00Z
until = 2099-01-01T00:00:00Z
"#;

/// Names of every kind: under each verdict, of no rule, and aliases and targets that lead to them.
const NAMES: [&str; 20] = [
    "dnl-01.geo.kaspersky.com",
    "dnl-02.geo.kaspersky.com",
    "upd.kaspersky.com",
    "s17.upd.kaspersky.com",
    "x.ksn.kaspersky-labs.com",
    "store.kaspersky.com",
    "opentip.kaspersky.com",
    "s1.ksc.kaspersky.com",
    "media.kaspersky.com",
    "www.kaspersky.com",
    "sinkhole.kaspersky.com",
    "activation-v2.kaspersky.com",
    "alias.example",
    "deep.example",
    "ksn.example",
    "tip.example",
    "mail.example",
    "hint.example",
    "www.example",
    "absent.example",
];

fn tables(toml: &str, key: &str) -> toml::Value {
    let table: toml::Table = toml.parse().unwrap();
    table[key].clone()
}

fn daemon(upstream: &Upstream) -> Daemon {
    let setup = Setup::forwarding_to(upstream);
    let waivers = setup.folder.path().join("waivers.toml");
    std::fs::write(&waivers, WAIVERS).unwrap();
    setup
        .set("policy.orders", vec!["us-commerce-2024", "us-ndaa-1634", "us-bod-17-01"])
        .set("policy.waivers", vec![waivers.display().to_string()])
        .set("control.waiver_max_days", 0)
        .set("ways_round.discovery", true)
        .set(
            "client.group",
            tables(
                "[[group]]\nname = \"lab\"\nnetworks = [\"127.0.0.2\"]\n[[group]]\nname = \"site\"\nnetworks = [\"127.0.0.3\"]\n",
                "group",
            ),
        )
        .set(
            "policy.apply",
            tables(
                "[[apply]]\norder = \"us-ndaa-1634\"\nphase = \"off\"\n\
                 [[apply]]\norder = \"us-ndaa-1634\"\ngroups = [\"site\"]\nsink = \"refused\"\napplies = \"binding\"\n\
                 [[apply]]\norder = \"us-commerce-2024\"\ngroups = [\"site\"]\nphase = \"off\"\n",
                "apply",
            ),
        )
        .set("ledger.store_noted", true)
        .start()
}

fn ask(daemon: &Daemon, client: Ipv4Addr, name: &str, record_type: u16) {
    let socket = UdpSocket::bind(SocketAddr::from((client, 0))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.connect(daemon.dns).unwrap();
    let query = wire::query(name, record_type);
    let mut buffer = [0; 1500];
    place::until(PATIENCE, &format!("an answer about {name}"), || {
        socket.send(&query).unwrap();
        socket.recv(&mut buffer).ok().filter(|_| buffer[..2] == query[..2])
    });
}

#[test]
fn every_record_replays_for_whoever_asked() {
    needs!("nsd");
    let upstream = Upstream::with(&[
        (
            "kaspersky.com",
            "$ORIGIN kaspersky.com.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n* A 192.0.2.20\n",
        ),
        (
            "kaspersky-labs.com",
            "$ORIGIN kaspersky-labs.com.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n* A 192.0.2.21\n",
        ),
        (
            "example",
            "$ORIGIN example.\n$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n\
             alias CNAME dnl-01.geo.kaspersky.com.\ndeep CNAME alias\nksn CNAME x.ksn.kaspersky-labs.com.\n\
             tip CNAME opentip.kaspersky.com.\nmail MX 10 upd.kaspersky.com.\n\
             hint HTTPS 1 upd.kaspersky.com. alpn=h2\n",
        ),
    ]);
    let daemon = daemon(&upstream);
    // The second time what is asked for is kept.
    for (name, client) in NAMES.iter().flat_map(|name| CLIENTS.map(|client| (name, client))) {
        for record_type in [wire::A, wire::A, 15, 65] {
            ask(&daemon, client, name, record_type);
        }
    }
    ask(&daemon, CLIENTS[1], "_dns.resolver.arpa", 64);
    let records = place::until(PATIENCE, "the records of the last query", || {
        let records = daemon.json(&["attempts", "--json", "--limit", "100000"]);
        let is_last = |record: &Value| record["name"].as_str() == Some("_dns.resolver.arpa");
        records.iter().any(is_last).then_some(records)
    });
    let verdicts: std::collections::BTreeSet<_> = records.iter().filter_map(|of| of["verdict"].as_str()).collect();
    for verdict in ["sunk", "waived", "kept", "protected", "noted"] {
        assert!(verdicts.contains(verdict), "no record is {verdict}: {verdicts:?}");
    }
    let clients: std::collections::BTreeSet<_> = records.iter().filter_map(|of| of["client"].as_str()).collect();
    assert_eq!(clients, CLIENTS.map(|client| IpAddr::V4(client).to_string()).iter().map(String::as_str).collect());
    assert!(records.len() > 100, "only {} records", records.len());
    for record in &records {
        let seq = record["seq"].to_string();
        let replay = daemon.command(&["explain", "--record", &seq, "--json"]);
        let told = String::from_utf8_lossy(&replay.stdout);
        assert!(replay.status.success(), "{record}\n{told}{}", String::from_utf8_lossy(&replay.stderr));
    }
}
