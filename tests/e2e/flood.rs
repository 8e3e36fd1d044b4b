//! A flood of prohibited names: answered, bounded on disk and in memory, and counted to the last look-up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use serde_json::Value;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire;

/// How many distinct names one client asks for: more than it gets records of its own in a minute.
const NAMES: usize = 6000;
/// How many clients ask for the same name: more than are told apart in a minute.
const CLIENTS: usize = 5000;
/// Queries under way at a time, so few that no buffer is ever full.
const WINDOW: usize = 100;

/// What the heads of `src/ledger/fold.rs` and docs/evidence.md say of a minute.
const RECORDS_OF_CLIENT: usize = 2000;
const RECORDS: usize = 20_000;
const NETWORK_RECORDS: usize = 2000;

/// Asks from each of these sockets for the next name, and takes every answer.
fn ask(dns: SocketAddr, sockets: &[UdpSocket], names: impl Iterator<Item = String>) {
    let names: Vec<_> = names.collect();
    for names in names.chunks(WINDOW) {
        let asking = || names.iter().zip(sockets.iter().cycle());
        for (name, socket) in asking() {
            socket.send_to(&wire::query(name, wire::A), dns).unwrap();
        }
        for (_, socket) in asking() {
            let mut answer = [0; 1232];
            let length = socket.recv(&mut answer).expect("an answer to each");
            assert_eq!(wire::rcode(&answer[..length]), wire::NXDOMAIN);
        }
    }
}

fn socket(address: impl Into<IpAddr>) -> UdpSocket {
    let socket = UdpSocket::bind((address.into(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// KiB that the program alone holds.
fn memory(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn sum(rows: &[Value], field: &str) -> usize {
    rows.iter().map(|row| usize::try_from(row[field].as_u64().unwrap()).unwrap()).sum()
}

#[test]
fn a_flood_is_bounded_and_counted_to_the_last_look_up() {
    let daemon = Setup::new().start();
    let before = memory(&daemon);
    let one = [socket(place::server_address())];
    ask(daemon.dns, &one, (0..NAMES).map(|number| format!("f{number}.upd.kaspersky.com")));
    for first in (0..CLIENTS).step_by(WINDOW) {
        let address = |number: usize| Ipv4Addr::from(0x7F40_0000 + u32::try_from(number).unwrap());
        let sockets: Vec<_> = (first..first + WINDOW).map(|number| socket(address(number))).collect();
        // Twice each: the second is a repeat.
        ask(daemon.dns, &sockets, (0..2 * WINDOW).map(|_| "repeated.upd.kaspersky.com".to_owned()));
    }
    let sent = NAMES + 2 * CLIENTS;
    let rules = place::until(PATIENCE, "everything to be recorded", || {
        let rules = daemon.json(&["sums", "rules", "--json"]);
        (sum(&rules, "lookups") >= sent).then_some(rules)
    });
    assert_eq!(sum(&rules, "lookups"), sent, "{rules:?}");
    assert!(rules.iter().all(|row| row["kept"] == "recorded" && row["verdict"] == "sunk"), "{rules:?}");

    // A minute may have ended in between, so that everything may have been used twice.
    let clients = daemon.json(&["sums", "clients", "--json"]);
    let records = sum(&clients, "records");
    assert!(records <= 2 * (RECORDS + NETWORK_RECORDS) && records < sent, "{records} records of {sent} look-ups");
    let own = place::server_address().to_string();
    let of = clients.iter().find(|of| of["client"] == own.as_str()).unwrap();
    assert!(of["records"].as_u64().unwrap() <= 2 * RECORDS_OF_CLIENT as u64, "{of}");
    let folded: Vec<_> = daemon
        .json(&["attempts", "--json", "--limit", "100000"])
        .into_iter()
        .filter(|record| record["folded"] == "network")
        .collect();
    assert!(!folded.is_empty() && folded.iter().all(|of| of["names"].is_u64() && of["clients"].is_u64()));
    let grown = memory(&daemon).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more than before");
}
