//! Ten thousand broken packets: none is fatal, none is a hang, and good ones between them are answered right.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::daemon::{Daemon, Setup};
use crate::place::{self, rounds};
use crate::scripted::Scripted;
use crate::wire::{self, Asking, Stream};

const SEED: u64 = 0x2024_0929;

/// Queries that are right, for the mutations to begin with.
fn good(random: &mut StdRng) -> Vec<u8> {
    const NAMES: &[&str] = &["www.example", "dnl-01.geo.kaspersky.com", "alias.example", "opentip.kaspersky.com", ""];
    const TYPES: &[u16] = &[wire::A, wire::AAAA, wire::TXT, wire::HTTPS, wire::SOA, 255, 252, 65_280];
    let mut asking = Asking::of(NAMES[random.random_range(0..NAMES.len())], TYPES[random.random_range(0..TYPES.len())]);
    asking.edns = random.random_bool(0.5).then(|| (0, random.random(), random.random()));
    asking.to_wire()
}

fn mutated(random: &mut StdRng) -> Vec<u8> {
    let mut packet = good(random);
    match random.random_range(0..8) {
        0 => {
            for _ in 0..random.random_range(1..=16) {
                let at = random.random_range(0..packet.len());
                packet[at] ^= 1 << random.random_range(0..8);
            }
        }
        1 => packet.truncate(random.random_range(0..packet.len())),
        2 => looped(random, &mut packet),
        3 => {
            packet = vec![0; random.random_range(0..600)];
            random.fill_bytes(&mut packet);
        }
        4 => {
            // Counts that promise more than there is.
            let at = random.random_range(2..6) * 2;
            packet[at..at + 2].copy_from_slice(&random.random::<u16>().to_be_bytes());
        }
        5 => {
            let junk: Vec<u8> = (0..random.random_range(1..400)).map(|_| random.random()).collect();
            packet.extend(junk);
        }
        6 => {
            let at = random.random_range(12..packet.len());
            packet.insert(at, random.random());
        }
        _ => {
            // A name of labels without end.
            packet.truncate(12);
            while packet.len() < random.random_range(200..1400) {
                packet.extend([63; 64]);
            }
        }
    }
    packet
}

/// Makes the name of the question point to itself, to a pointer, ahead or out of the message.
fn looped(random: &mut StdRng, packet: &mut Vec<u8>) {
    let target = match random.random_range(0..4) {
        0 => 12,
        1 => 14,
        2 => random.random_range(0..64),
        _ => 0x3fff,
    };
    let pointer = (0xc000_u16 | target).to_be_bytes();
    let rest: Vec<u8> = [1, b'x'].into_iter().chain(pointer).chain(pointer).chain([0, 1, 0, 1]).collect();
    packet.truncate(12);
    packet.extend(&rest[if random.random_bool(0.5) { 0 } else { 2 }..]);
}

fn start() -> (Scripted, Daemon) {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    (upstream, daemon)
}

fn assert_serves(server: SocketAddr) {
    // A burst may overflow the socket's buffer, which is no fault; a stub asks again.
    let ask = |name: &str| {
        place::until(place::PATIENCE, "a right answer between broken packets", || {
            wire::udp_once(server, &wire::query(name, wire::A), Duration::from_secs(1))
        })
    };
    let plain = wire::parse(&ask("steady.example"));
    assert_eq!(plain.answers.len(), 1, "{plain}");
    assert_eq!(wire::rcode(&ask("dnl-01.geo.kaspersky.com")), wire::NXDOMAIN);
}

/// The resident memory of the daemon in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn assert_unharmed(mut daemon: Daemon, before: u64) {
    assert_serves(daemon.dns);
    let after = resident(&daemon);
    assert!(after < before + 64 * 1024, "memory went from {before} to {after} KiB");
    let told = daemon.told();
    assert!(!told.contains("panicked"), "{told}");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.ended(Duration::from_secs(10)).code(), Some(0));
}

#[test]
fn ten_thousand_mutated_packets_over_udp_do_no_harm() {
    let (_upstream, daemon) = start();
    let mut random = StdRng::seed_from_u64(SEED);
    assert_serves(daemon.dns);
    let before = resident(&daemon);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.dns).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 65535];
    for number in 0..rounds(10_000, 1_000_000) {
        drop(socket.send(&mutated(&mut random)));
        while let Ok(length) = socket.recv(&mut buffer) {
            assert!(length >= 12 && buffer[2] & 0x80 != 0, "not a response: {:02x?}", &buffer[..length]);
            assert!(length <= 1232, "an answer of {length} octets");
        }
        if number % 500 == 0 {
            assert_serves(daemon.dns);
        }
    }
    assert_unharmed(daemon, before);
}

#[test]
fn ten_thousand_mutated_packets_over_tcp_do_no_harm() {
    let (_upstream, daemon) = start();
    let mut random = StdRng::seed_from_u64(SEED + 1);
    assert_serves(daemon.dns);
    let before = resident(&daemon);
    let mut stream = Stream::open(daemon.dns);
    for number in 0..rounds(10_000, 200_000) {
        let mut packet = wire::framed(&mutated(&mut random));
        // Lengths that do not fit, now and then; the stream is of no use after that.
        let misframed = random.random_bool(0.02);
        if misframed {
            packet[..2].copy_from_slice(&random.random::<u16>().to_be_bytes());
        }
        let sent = std::io::Write::write_all(&mut stream.0, &packet);
        if misframed || sent.is_err() || number % 25 == 24 {
            drain(&stream);
            stream = Stream::open(daemon.dns);
        }
        if number % 500 == 0 {
            assert_serves(daemon.dns);
            let mut good = Stream::open(daemon.dns);
            let answer = good.ask(&wire::query("dnl-01.geo.kaspersky.com", wire::A)).unwrap();
            assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
        }
    }
    assert_unharmed(daemon, before);
}

/// Takes what has come, so that closing does not reset the connection under answers that are still on their way.
fn drain(stream: &Stream) {
    stream.0.set_nonblocking(true).unwrap();
    let mut buffer = [0; 65535];
    while std::io::Read::read(&mut &stream.0, &mut buffer).is_ok_and(|length| length > 0) {}
}
