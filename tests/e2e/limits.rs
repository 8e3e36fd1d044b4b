//! What one client may ask and hold, and that nobody else pays for it.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::clients::dig;
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::upstream::Upstream;
use crate::wire::{self, Stream};

const SUNK: &str = "dnl-01.geo.kaspersky.com";

fn answering() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

/// A daemon in whose eyes nobody is exempt.
fn limited(rate: u32, burst: u32) -> Setup {
    let exempt: Vec<String> = Vec::new();
    let setup = Setup::new().set("limit.exempt", exempt);
    setup.set("limit.queries_per_second", i64::from(rate)).set("limit.burst", i64::from(burst))
}

/// Sends queries from one socket, waits until the daemon has counted each, and returns what came back.
fn ask_many(daemon: &Daemon, from: IpAddr, queries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.connect(daemon.dns).unwrap();
    let counted = || daemon.metric("interdict_queries_total") + daemon.metric("interdict_dropped_total{reason=\"rate");
    let before = counted();
    let (mut sent, mut answers, mut buffer) = (0, Vec::new(), [0; 4096]);
    // In groups that the receive buffer of either side holds.
    for group in queries.chunks(100) {
        for query in group {
            socket.send(query).unwrap();
        }
        sent += group.len();
        place::until(PATIENCE, "every query to be counted", || (counted() - before >= sent as f64).then_some(()));
        // What is counted is answered right after.
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while let Ok(length) = socket.recv(&mut buffer) {
            answers.push(buffer[..length].to_vec());
            if answers.len() == sent {
                break;
            }
        }
    }
    answers
}

fn is_truncated(answer: &[u8]) -> bool {
    answer[2] & 2 != 0
}

#[test]
fn who_asks_too_much_is_held_back_told_to_come_over_tcp_and_counted_in_the_records() {
    needs!("dig");
    let daemon = limited(1, 10).start();
    let mut asking = wire::Asking::of(SUNK, wire::A);
    asking.edns = Some((0, 4096, false));
    let query = asking.to_wire();
    let start = Instant::now();
    let answers = ask_many(&daemon, place::other_address(), &vec![query.clone(); 60]);
    let earned = 10 + start.elapsed().as_secs() as usize + 1;
    let (slipped, whole): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| is_truncated(answer));
    assert!((10..=earned).contains(&whole.len()), "{} of at most {earned}", whole.len());
    assert!(whole.iter().all(|answer| wire::rcode(answer) == wire::NXDOMAIN));
    assert_eq!(slipped.len(), (60 - whole.len()) / 2);
    for answer in slipped {
        assert!(answer.len() <= query.len(), "an answer to a forged query must not be longer than it");
        assert_eq!((wire::id(answer), wire::rcode(answer)), (wire::id(&query), wire::NOERROR));
        assert!(wire::parse(answer).answers.is_empty());
    }
    // A stub that is told so asks over TCP, where it gets its answer; other clients notice nothing.
    let from = format!("-b{}", place::other_address());
    let retried = place::until(PATIENCE, "a truncated answer to dig", || {
        let answer = dig(daemon.dns, &[SUNK, &from, "+time=1", "+tries=5"]);
        answer.text.contains("retrying in TCP mode").then_some(answer)
    });
    assert_eq!(retried.status, "NXDOMAIN", "{}", retried.text);
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &query)), wire::NXDOMAIN);
    let counted = |reason| daemon.metric(&format!("interdict_dropped_total{{reason=\"{reason}\"}}"));
    let (limited, slipped) = (counted("rate_limited") as u64, counted("rate_slipped") as u64);
    let sunk = daemon.metric("interdict_verdicts_total{verdict=\"sunk\"}") as u64;
    let asked = daemon.metric("interdict_queries_total") as u64;
    assert!(limited >= 20 && slipped >= 20 && asked == sunk, "{limited} {slipped} {asked} {sunk}");
    let covered = covered(&daemon.stop());
    assert_eq!(["sunk", "dropped_rate_limited", "dropped_rate_slipped"].map(covered), [sunk, limited, slipped]);
}

/// Returns the sums over all coverage leaves, by outcome.
fn covered(setup: &Setup) -> impl Fn(&str) -> u64 + use<> {
    let files = std::fs::read_dir(setup.data().join("journal")).unwrap();
    let text: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let leaves: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    move |outcome| {
        let covering = leaves.iter().filter(|leaf| leaf["kind"] == "coverage");
        covering.map(|leaf| leaf["queries"][outcome].as_u64().unwrap_or_default()).sum()
    }
}

/// Our own limiter must not take the office, a forwarder in it or this machine for an attacker.
#[test]
fn private_networks_are_never_held_back_by_default() {
    let upstream = answering();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("limit.queries_per_second", 1).start();
    let queries: Vec<_> = (0..1000).map(|_| wire::query("www.example", wire::A)).collect();
    let answers = ask_many(&daemon, place::other_address(), &queries);
    assert!(answers.len() == 1000 && !answers.iter().any(|answer| is_truncated(answer)), "{}", answers.len());
    assert_eq!(daemon.metric("interdict_dropped_total{reason=\"rate"), 0.0);
}

#[test]
fn over_tcp_who_asks_too_much_waits_and_gets_every_answer() {
    let upstream = answering();
    let daemon = limited(50, 5).upstreams(&[upstream.address]).start();
    let mut stream = Stream::open(daemon.dns);
    let start = Instant::now();
    for _ in 0..30 {
        stream.send(&wire::query("www.example", wire::A)).unwrap();
    }
    for _ in 0..30 {
        assert_eq!(wire::rcode(&stream.receive().unwrap()), wire::NOERROR);
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(490), "25 tokens at 50 a second came in {took:?}");
}

/// Returns a query with the option of RFC 7828.
fn keepalive_query(name: &str) -> Vec<u8> {
    let mut asking = wire::Asking::of(name, wire::A);
    asking.edns = Some((0, 1232, false));
    let mut query = asking.to_wire();
    *query.last_mut().unwrap() = 4;
    query.extend([0, 11, 0, 0]);
    query
}

/// Returns the seconds that an answer says the connection may be silent.
fn keepalive(answer: &[u8]) -> Option<f64> {
    let at = answer.windows(4).position(|octets| octets == [0, 11, 0, 2])?;
    assert_eq!(at + 6, answer.len(), "it is the last option");
    // The parser takes no message whose lengths are wrong.
    assert!(wire::parse(answer).edns.is_some());
    Some(f64::from(u16::from_be_bytes([answer[at + 4], answer[at + 5]])) / 10.0)
}

/// RFC 7828, sections 3.2 and 3.3.
#[test]
fn a_client_that_asks_is_told_how_long_its_connection_may_be_silent() {
    let upstream = answering();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let mut stream = Stream::open(daemon.dns);
    // From upstream, from the cache, sunk.
    for name in ["fresh.example", "fresh.example", SUNK] {
        assert_eq!(keepalive(&stream.ask(&keepalive_query(name)).unwrap()), Some(10.0), "{name}");
        assert_eq!(keepalive(&stream.ask(&wire::query(name, wire::A)).unwrap()), None, "{name}, not asked");
        assert_eq!(keepalive(&wire::udp(daemon.dns, &keepalive_query(name))), None, "{name}, over UDP");
    }
}

#[test]
fn silent_connections_go_sooner_as_connections_run_out() {
    let daemon = Setup::new().set("listen.tcp_connections", 10).start();
    let mut first = Stream::open(daemon.dns);
    assert_eq!(keepalive(&first.ask(&keepalive_query(SUNK)).unwrap()), Some(10.0));
    let start = Instant::now();
    let mut crowd: Vec<_> = (0..8).map(|_| Stream::open(daemon.dns)).collect();
    for stream in &mut crowd {
        stream.ask(&wire::query(SUNK, wire::A)).unwrap();
    }
    // One is left of five: a fifth of the time.
    assert_eq!(keepalive(&first.ask(&keepalive_query(SUNK)).unwrap()), Some(2.0));
    // As they go, the others may stay longer again.
    place::until(Duration::from_secs(8), "a silent connection to be closed", || {
        let gone = |stream: &mut Stream| {
            stream.0.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            stream.receive().is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
        };
        crowd.iter_mut().any(gone).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn one_client_has_so_many_connections_and_others_have_theirs() {
    let daemon = Setup::new().set("listen.tcp_connections_per_client", 3).start();
    let query = wire::query(SUNK, wire::A);
    let mut own: Vec<_> = (0..3).map(|_| Stream::open(daemon.dns)).collect();
    for stream in &mut own {
        stream.ask(&query).unwrap();
    }
    assert!(Stream::open(daemon.dns).ask(&query).is_err(), "a fourth was served");
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::new(place::other_address(), 0).into()).unwrap();
    other.connect(&daemon.dns.into()).unwrap();
    let mut other = Stream(TcpStream::from(other));
    assert_eq!(wire::rcode(&other.ask(&query).unwrap()), wire::NXDOMAIN);
    assert_eq!(daemon.metric("interdict_dropped_total{reason=\"connection_limit\"}"), 1.0);
    own.pop();
    served_again(&daemon);
}

/// Waits until another connection of this client is served.
fn served_again(daemon: &Daemon) {
    place::until(PATIENCE, "another connection to be served", || {
        Stream::open(daemon.dns).ask(&wire::query(SUNK, wire::A)).ok()
    });
}

#[test]
fn who_takes_no_answers_loses_the_connection_in_time() {
    needs!("nsd");
    let upstream = Upstream::start();
    let setup = Setup::forwarding_to(&upstream).set("listen.tcp_connections_per_client", 1);
    let daemon = setup.set("listen.tcp_idle_ms", 1000).start();
    let greedy = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    greedy.set_recv_buffer_size(4096).unwrap();
    greedy.set_send_buffer_size(4096).unwrap();
    greedy.connect(&daemon.dns.into()).unwrap();
    greedy.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut greedy = Stream(TcpStream::from(greedy));
    // Once the daemon is not read from, it does not read either.
    let sent = (0..50_000).take_while(|_| greedy.send(&wire::query("large.example", wire::TXT)).is_ok()).count();
    assert!(sent > 16 && sent < 50_000, "{sent} queries were taken");
    served_again(&daemon);
}

#[test]
fn who_dribbles_a_query_loses_the_connection_in_time() {
    let daemon = Setup::new().set("listen.tcp_idle_ms", 300).start();
    let mut stream = Stream::open(daemon.dns);
    let mut octets = wire::framed(&vec![1; 60_000]).into_iter();
    // Never silent for long, and never done.
    place::until(Duration::from_secs(10), "the connection to be closed", || {
        stream.0.write_all(&[octets.next().unwrap()]).err()
    });
    assert!(octets.len() > 50_000);
}

#[test]
fn a_hundred_queries_of_one_connection_are_answered_as_their_answers_come() {
    let gate = crate::scripted::Gate::default();
    let held = gate.clone();
    let upstream = Scripted::start(move |query| {
        if wire::asked_name(query).starts_with("slow") {
            held.pass();
        }
        vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]
    });
    let daemon = Setup::new().upstreams(&[upstream.address]).set("upstream.timeout_ms", 20_000).start();
    let mut stream = Stream::open(daemon.dns);
    for number in 0..100 {
        let kind = if number % 2 == 0 { "slow" } else { "fast" };
        let asking = wire::Asking { id: number, ..wire::Asking::of(&format!("{kind}{number}.example"), wire::A) };
        stream.send(&asking.to_wire()).unwrap();
    }
    let mut fast: Vec<_> = (0..50).map(|_| wire::id(&stream.receive().unwrap())).collect();
    fast.sort_unstable();
    assert_eq!(fast, (0..100).filter(|number| number % 2 == 1).collect::<Vec<_>>());
    gate.open();
    let mut slow: Vec<_> = (0..50).map(|_| wire::id(&stream.receive().unwrap())).collect();
    slow.sort_unstable();
    assert_eq!(slow, (0..100).filter(|number| number % 2 == 0).collect::<Vec<_>>());
}

/// Returns the processor time that a process has had.
fn processor_time(daemon: &Daemon) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(of_task).sum())
}

#[test]
fn where_descriptors_run_out_connections_wait_and_all_else_goes_on() {
    needs!("prlimit");
    let upstream = answering();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let query = wire::query(SUNK, wire::A);
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &query)), wire::NXDOMAIN);
    place::until(PATIENCE, "the first record", || (!daemon.json(&["attempts", "--json"]).is_empty()).then_some(()));
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let (pid, few) = (daemon.pid().to_string(), format!("--nofile={0}:{0}", open + 10));
    place::run(std::process::Command::new("prlimit").args(["--pid", &pid, &few]));
    let crowd: Vec<_> = (0..40).map(|_| TcpStream::connect(daemon.dns).unwrap()).collect();
    let told = || daemon.told().matches("connections cannot be accepted").count();
    place::until(PATIENCE, "it to be told", || (told() > 0).then_some(()));
    let (start, before) = (Instant::now(), processor_time(&daemon));
    place::until(PATIENCE, "a second to pass", || {
        assert_eq!(wire::rcode(&wire::udp(daemon.dns, &query)), wire::NXDOMAIN);
        (start.elapsed() > Duration::from_secs(1)).then_some(())
    });
    let spent = processor_time(&daemon) - before;
    assert!(spent < Duration::from_millis(300), "{spent:?} of processor time in {:?}", start.elapsed());
    assert_eq!(told(), 1, "{}", daemon.told());
    drop(crowd);
    served_again(&daemon);
    assert!(daemon.metric("interdict_dropped_total{reason=\"not_accepted\"}") >= 2.0);
}

#[test]
fn connections_take_at_most_half_of_the_descriptors() {
    needs!("prlimit");
    let daemon = Setup::new().through(&["prlimit", "--nofile=200:200"]).start();
    assert!(daemon.told().contains("fewer connections over TCP"), "{}", daemon.told());
    let start = |limit: &str| Setup::new().through(&["prlimit", limit]).start();
    assert!(!start("--nofile=4096:4096").told().contains("fewer connections"));
}
