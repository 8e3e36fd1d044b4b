//! Faults that were found by review, each as somebody outside would meet it.

use nix::sys::signal::Signal;

use crate::daemon::Setup;
use crate::place;
use crate::scripted::{Gate, Scripted};
use crate::wire;

const ADDRESS: [u8; 4] = [192, 0, 2, 7];

fn addresses(answer: &[u8]) -> Vec<String> {
    wire::parse(answer).answers.iter().map(|record| record.data.to_string()).collect()
}

/// An OPT record with an extended error of `length` octets of text.
fn extended_error(length: u16) -> Vec<u8> {
    let option = [&[0, 15][..], &(length + 2).to_be_bytes(), &[0, 22], &vec![b'x'; usize::from(length)]].concat();
    [&[0, 0, 41, 4, 0xD0, 0, 0, 0, 0][..], &u16::try_from(option.len()).unwrap().to_be_bytes(), &option].concat()
}

#[test]
fn an_upstreams_extended_error_never_outgrows_what_a_client_takes() {
    let upstream = Scripted::start(|query| {
        let mut reply = wire::reply(query, wire::SERVFAIL, &[]);
        reply[11] = 1;
        reply.extend(extended_error(2500));
        vec![reply]
    });
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let mut query = wire::query("big.example", wire::A);
    query[11] = 1;
    query.extend([0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0]);
    for _ in 0..2 {
        let answer = wire::udp(daemon.dns, &query);
        assert!(answer.len() <= 512 && wire::rcode(&answer) == wire::SERVFAIL, "{} octets", answer.len());
    }
}

#[test]
fn what_others_answer_now_is_not_answered_from_before_a_reload() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[ADDRESS])]);
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    let query = || wire::query("printer.office.example", wire::A);
    assert_eq!(addresses(&wire::udp(daemon.dns, &query())), ["192.0.2.7"]);
    daemon.reconfigure("zones.hosts", vec!["printer.office.example 10.0.0.9"]);
    daemon.signal(Signal::SIGHUP);
    place::until(place::PATIENCE, "the host of the configuration", || {
        (addresses(&wire::udp(daemon.dns, &query())) == ["10.0.0.9"]).then_some(())
    });
}

#[test]
fn what_is_turned_away_is_recorded_and_local_names_are_answered_all_the_same() {
    let gate = Gate::default();
    let upstream = Scripted::start({
        let gate = gate.clone();
        move |query| {
            gate.pass();
            vec![wire::reply(query, wire::NOERROR, &[ADDRESS])]
        }
    });
    let daemon = Setup::new()
        .upstreams(&[upstream.address])
        .set("upstream.in_flight", 1)
        .set("upstream.timeout_ms", 30_000)
        .at("2024-09-01T00:00:00Z")
        .start();
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(&wire::query("slow.example", wire::A), daemon.dns).unwrap();
    place::until(place::PATIENCE, "the one place to be taken", || (upstream.asked("slow.example") > 0).then_some(()));
    let turned_away = wire::udp(daemon.dns, &wire::query("dnl-07.geo.kaspersky.com", wire::A));
    assert_eq!(wire::rcode(&turned_away), wire::SERVFAIL);
    assert_eq!(addresses(&wire::udp(daemon.dns, &wire::query("localhost", wire::A))), ["127.0.0.1"]);
    place::until(place::PATIENCE, "the monitored look-up to be listed", || {
        let records = daemon.command(&["attempts", "--rehearsal", "--json", "--name", "dnl-07.geo.kaspersky.com"]);
        String::from_utf8_lossy(&records.stdout).contains("\"SERVFAIL\"").then_some(())
    });
    gate.open();
}

#[test]
fn a_refusal_by_a_header_alone_leads_on_at_once() {
    let refusing = Scripted::start(|query| {
        let mut header = query[..12].to_vec();
        header[2] |= 0x80;
        header[3] = 5;
        header[4..12].fill(0);
        vec![header]
    });
    let good = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[ADDRESS])]);
    let daemon = Setup::new().upstreams(&[refusing.address, good.address]).set("upstream.timeout_ms", 30_000).start();
    let answer = wire::udp_once(daemon.dns, &wire::query("on.example", wire::A), place::PATIENCE);
    assert_eq!(addresses(&answer.expect("an answer before the first try is over")), ["192.0.2.7"]);
}

#[test]
fn readiness_follows_the_upstream() {
    let address = place::socket();
    let daemon = Setup::new().upstreams(&[address]).set("upstream.timeout_ms", 300).start();
    let status = || crate::daemon::fetch(daemon.admin, "/health/ready").map(|(status, _)| status);
    drop(wire::udp(daemon.dns, &wire::query("nobody.example", wire::A)));
    place::until(place::PATIENCE, "the daemon to be not ready", || (status() == Some(503)).then_some(()));
    let socket = std::net::UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&wire::reply(&buffer[..length], wire::NOERROR, &[]), from));
        }
    });
    // Nobody asks meanwhile: it finds out by itself.
    place::until(place::PATIENCE, "the daemon to be ready again", || (status() == Some(200)).then_some(()));
}

/// Whoever closes any descriptor of a file gives back SQLite's locks on it. Without the daemon's lock, the next to close
/// the index takes itself for the last and removes files that the daemon works with.
#[test]
fn the_daemon_holds_its_lock_on_the_index() {
    use std::os::unix::fs::MetadataExt as _;
    let daemon = Setup::new().start();
    drop(wire::udp(daemon.dns, &wire::query("n1.upd.kaspersky.com", wire::A)));
    place::until(place::PATIENCE, "the record to be listed", || {
        let records = daemon.command(&["attempts", "--json"]);
        String::from_utf8_lossy(&records.stdout).contains("n1.upd").then_some(())
    });
    let index = std::fs::metadata(daemon.data().join("index.sqlite")).unwrap().ino();
    let is_locked = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let (pid, file) = (daemon.pid().to_string(), format!(":{index} "));
        locks.lines().any(|line| line.contains(&file) && line.split_whitespace().any(|word| word == pid))
    };
    place::until(place::PATIENCE, "the lock on the index", || is_locked().then_some(()));
    // Not only while it writes: over more than one of its rounds. The kernel's list is read in pieces, and skips lines where
    // others lock files meanwhile.
    let end = std::time::Instant::now() + std::time::Duration::from_millis(1200);
    while std::time::Instant::now() < end {
        assert!((0..8).any(|_| is_locked()), "the daemon has lost its lock");
    }
}
