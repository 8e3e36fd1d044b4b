//! SIGHUP: the new policy whole or the old one, and no query is lost on the way.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE, rounds};
use crate::scripted::Scripted;
use crate::wire;

const ORDER: &str = include_str!("../../blocklists/orders/us-commerce-2024.toml");
const CATALOGUE: &str = include_str!("../../blocklists/catalogues/kaspersky.toml");
const INSTANT: &str = "2024-09-29T00:00:00-04:00";

/// A daemon with an order file of its own, that the test can change.
fn start(upstream: &Scripted) -> (Daemon, PathBuf) {
    let setup = Setup::new().upstreams(&[upstream.address]);
    let order = setup.folder.path().join("order.toml");
    let catalogue = setup.folder.path().join("catalogue.toml");
    std::fs::write(&order, ORDER).unwrap();
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let files = |path: &PathBuf| vec![path.display().to_string()];
    let setup = setup.set("policy.orders", files(&order)).set("policy.catalogues", files(&catalogue));
    (setup.start(), order)
}

fn honest() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

fn is_sunk(daemon: &Daemon) -> bool {
    let answer = wire::udp(daemon.dns, &wire::query("dnl-01.geo.kaspersky.com", wire::A));
    wire::rcode(&answer) == wire::NXDOMAIN
}

/// Text of an order whose prohibitions begin in the far future.
fn postponed() -> String {
    assert!(ORDER.contains(INSTANT), "the shipped order writes its instant otherwise");
    ORDER.replace(INSTANT, "2099-09-29T00:00:00-04:00")
}

#[test]
fn a_good_order_replaces_the_old_one_and_a_bad_one_does_not() {
    let upstream = honest();
    let (daemon, order) = start(&upstream);
    assert!(is_sunk(&daemon));
    std::fs::write(&order, postponed()).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the good order to be in force", || (!is_sunk(&daemon)).then_some(()));

    let bad_line = postponed().lines().count() + 1;
    for bad in [
        format!("{}\nfrom = yesterday", postponed()),
        ORDER.replace(INSTANT, "soon"),
        ORDER.replace("\"ksn\"", "\"unheard-of\""),
        String::new(),
        "<html><body>404 Not Found</body></html>".to_owned(),
    ] {
        let before = daemon.told().len();
        std::fs::write(&order, &bad).unwrap();
        daemon.signal(Signal::SIGHUP);
        place::until(PATIENCE, "the fault to be told with its file and line", || {
            daemon.told()[before..].contains("order.toml:").then_some(())
        });
        assert!(!is_sunk(&daemon), "a bad order changed the policy: line {bad_line} of\n{bad}");
    }
    std::fs::remove_file(&order).unwrap();
    let before = daemon.told().len();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the missing file to be told", || {
        daemon.told()[before..].contains("order.toml").then_some(())
    });
    assert!(!is_sunk(&daemon));

    std::fs::write(&order, ORDER).unwrap();
    daemon.signal(Signal::SIGHUP);
    // What was resolved meanwhile is in the cache and must not outlive the change.
    place::until(PATIENCE, "the good order to be in force again", || is_sunk(&daemon).then_some(()));
}

#[test]
fn a_bad_configuration_is_told_and_changes_nothing() {
    let upstream = honest();
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    let before = daemon.told().len();
    daemon.reconfigure("upstream.serverz", vec!["192.0.2.1:53"]);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the fault to be told", || daemon.told()[before..].contains("serverz").then_some(()));
    let answer = wire::udp(daemon.dns, &wire::query("still.example", wire::A));
    assert_eq!(wire::rcode(&answer), wire::NOERROR);
    assert!(is_sunk(&daemon));
}

#[test]
fn upstreams_can_be_changed_without_a_restart() {
    let (first, second) =
        (honest(), Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 8]])]));
    let mut daemon = Setup::new().upstreams(&[first.address]).start();
    daemon.reconfigure("upstream.servers", vec![second.address.to_string()]);
    daemon.signal(Signal::SIGHUP);
    let mut number = 0;
    place::until(PATIENCE, "the other upstream to be asked", || {
        number += 1;
        let answer = wire::udp(daemon.dns, &wire::query(&format!("n{number}.example"), wire::A));
        (wire::parse(&answer).answers[0].data.to_string() == "192.0.2.8").then_some(())
    });
}

/// Asks one question after the other until told to end; returns how many were asked and the names that got no answer.
fn ask_on(server: SocketAddr, ended: &AtomicBool) -> (usize, Vec<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut stream = wire::Stream::open(server);
    let mut codes = BTreeMap::<u8, usize>::new();
    let (mut lost, mut buffer, mut number) = (Vec::new(), [0; 1500], 0);
    while !ended.load(Ordering::SeqCst) {
        number += 1;
        let name = match number % 3 {
            0 => "upd.kaspersky.com".to_owned(),
            1 => "cached.example".to_owned(),
            _ => format!("n{number}.example"),
        };
        let query = wire::query(&name, wire::A);
        let answer = if number % 10 == 0 {
            stream.ask(&query).ok()
        } else {
            socket.send(&query).unwrap();
            socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
        };
        match answer {
            Some(answer) => *codes.entry(wire::rcode(&answer)).or_default() += 1,
            None => lost.push(name),
        }
    }
    assert!(codes.keys().all(|code| matches!(*code, wire::NOERROR | wire::NXDOMAIN)), "{codes:?}");
    (number, lost)
}

#[test]
fn no_query_is_lost_while_policies_are_swapped() {
    let upstream = honest();
    let (daemon, order) = start(&upstream);
    let ended = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (server, ended) = (daemon.dns, ended.clone());
            std::thread::spawn(move || ask_on(server, &ended))
        })
        .collect();
    for round in 0..rounds(10, 200) {
        let (text, sunk) = if round % 2 == 0 { (postponed(), false) } else { (ORDER.to_owned(), true) };
        std::fs::write(&order, text).unwrap();
        daemon.signal(Signal::SIGHUP);
        place::until(PATIENCE, "the swap", || (is_sunk(&daemon) == sunk).then_some(()));
        // A faulty one between, which must cost nothing either.
        std::fs::write(&order, "kind = ").unwrap();
        daemon.signal(Signal::SIGHUP);
    }
    ended.store(true, Ordering::SeqCst);
    for client in clients {
        let (asked, lost) = client.join().unwrap();
        assert!(asked > 100, "only {asked} queries were asked: no load");
        assert!(lost.is_empty(), "{} of {asked} were lost: {lost:?}", lost.len());
    }
}
