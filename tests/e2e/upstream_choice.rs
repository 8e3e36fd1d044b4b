//! Which upstream is asked, and what a dead one costs.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::unbound::Unbound;
use crate::wire;

/// How long one try may take in these tests.
const TRY: Duration = Duration::from_millis(400);

/// Asks for a name that nobody has asked for yet, and returns how long it took.
fn ask(daemon: &Daemon) -> Duration {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("n{}.example", NEXT.fetch_add(1, Ordering::Relaxed));
    let begun = Instant::now();
    let answer = wire::parse(&wire::udp(daemon.dns, &wire::query(&name, wire::A)));
    assert_eq!(answer.answers.len(), 1, "{name}: {answer}");
    begun.elapsed()
}

fn count(daemon: &Daemon, upstream: std::net::SocketAddr, result: &str) -> f64 {
    daemon.metric(&format!("interdict_upstream_tries_total{{upstream=\"{upstream}\",result=\"{result}\"}}"))
}

fn is_silent(daemon: &Daemon, upstream: std::net::SocketAddr) -> bool {
    daemon.metric(&format!("interdict_upstream_silent{{upstream=\"{upstream}\"}}")) > 0.0
}

#[test]
fn a_stopped_upstream_costs_one_try_and_is_asked_again_once_it_goes_on() {
    needs!("unbound");
    for strategy in ["order", "fastest", "race", "round-robin"] {
        let (first, second) = (Unbound::start("192.0.2.1"), Unbound::start("192.0.2.2"));
        let daemon = Setup::new()
            .upstreams(&[first.address, second.address])
            .set("upstream.strategy", strategy)
            .set("upstream.timeout_ms", i64::try_from(TRY.as_millis()).unwrap())
            .start();
        for _ in 0..4 {
            assert!(ask(&daemon) < TRY, "{strategy}");
        }
        first.signal(Signal::SIGSTOP);
        let took: Vec<_> = (0..40).map(|_| ask(&daemon)).collect();
        let late = took.iter().filter(|took| **took >= TRY).count();
        assert!(late <= 1 && *took.iter().max().unwrap() < 2 * TRY, "{strategy}: {took:?}");
        place::until(PATIENCE, "the first to be found out", || {
            ask(&daemon);
            is_silent(&daemon, first.address).then_some(())
        });
        assert!(count(&daemon, first.address, "timeout") >= 1.0, "{strategy}");
        first.signal(Signal::SIGCONT);
        // Nobody's query has to find that out.
        place::until(PATIENCE, "the first to be known again", || (!is_silent(&daemon, first.address)).then_some(()));
        let before = count(&daemon, first.address, "answered");
        place::until(PATIENCE, "the first to be asked again", || {
            ask(&daemon);
            (count(&daemon, first.address, "answered") > before).then_some(())
        });
    }
}

#[test]
fn where_every_upstream_is_dead_it_is_told_in_time_and_by_health() {
    let (first, second) = (Scripted::start(|_| vec![]), Scripted::start(|_| vec![]));
    for strategy in ["order", "race"] {
        let daemon = Setup::new()
            .upstreams(&[first.address, second.address])
            .set("upstream.strategy", strategy)
            .set("upstream.timeout_ms", 100)
            .start();
        let begun = Instant::now();
        let answer = wire::udp(daemon.dns, &wire::query("www.example", wire::A));
        assert_eq!(wire::rcode(&answer), wire::SERVFAIL);
        assert!(begun.elapsed() < Duration::from_millis(1000), "{strategy}: {:?}", begun.elapsed());
        place::until(PATIENCE, "health to tell", || {
            let (status, page) = fetch(daemon.admin, "/health/ready")?;
            (status == 503 && page.matches("gives no answer").count() == 2).then_some(())
        });
    }
}

#[test]
fn each_strategy_asks_whom_it_says() {
    let answer = |late: Duration| {
        move |query: &[u8]| {
            std::thread::sleep(late);
            vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 1]])]
        }
    };
    let slow = Scripted::start(answer(Duration::from_millis(40)));
    let (near, far) = (Scripted::start(answer(Duration::ZERO)), Scripted::start(answer(Duration::from_millis(20))));
    for (strategy, expected) in
        [("order", [30, 0, 0]), ("round-robin", [10, 10, 10]), ("fastest", [1, 28, 1]), ("race", [0, 0, 0])]
    {
        let daemon = Setup::new()
            .upstreams(&[slow.address, near.address, far.address])
            .set("upstream.strategy", strategy)
            .start();
        (0..30).map(|_| ask(&daemon)).for_each(|took| assert!(took < PATIENCE));
        let answered = || [&slow, &near, &far].map(|server| count(&daemon, server.address, "answered"));
        match strategy {
            "race" => place::until(PATIENCE, "two to be asked each time", || {
                let [slow, near, far] = answered();
                (slow + near + far >= 60.0 && near >= 28.0).then_some(())
            }),
            // Where the machine stands still for longer than a server is given, another is asked for once.
            _ => {
                let (answered, expected) = (answered(), expected.map(f64::from));
                let is_so = answered.iter().zip(expected).all(|(of, expected)| (of - expected).abs() <= 4.0);
                assert!(is_so, "{strategy}: {answered:?} in place of {expected:?}");
            }
        }
        let rtt = daemon.metric(&format!("interdict_upstream_rtt_seconds{{upstream=\"{}\"}}", slow.address));
        assert!((0.04..1.0).contains(&rtt), "{strategy}: {rtt}");
    }
}

/// A server that gives every name this address.
fn honest(last: u8) -> Scripted {
    Scripted::start(move |query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, last]])])
}

/// Asks as the client at an address, and returns the last octet of what it is told.
fn told(daemon: &Daemon, client: IpAddr, name: &str) -> u8 {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&wire::query(name, wire::A), daemon.dns).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    *answer[..length].last().unwrap()
}

fn rows(text: &str) -> toml::Value {
    let table: toml::Table = text.parse().unwrap();
    table["row"].clone()
}

#[test]
fn a_group_asks_its_own_upstreams_and_shares_answers_with_those_of_the_same_only() {
    let (all, lab, zone) = (honest(1), honest(2), honest(3));
    let [default, of_lab, of_same] = ["127.0.0.1".parse().unwrap(), place::other_address(), place::server_address()];
    let daemon = Setup::new()
        .upstreams(&[all.address])
        .set(
            "client.group",
            rows(&format!(
                "[[row]]\nname = \"lab\"\nnetworks = [\"{of_lab}\"]\n[[row]]\nname = \"same\"\nnetworks = [\"{of_same}\"]"
            )),
        )
        .set(
            "upstream.group",
            rows(&format!(
                "[[row]]\ngroup = \"lab\"\nservers = [\"{}\"]\n[[row]]\ngroup = \"same\"\nservers = [\"{}\"]\n\
                 strategy = \"fastest\"",
                lab.address, all.address
            )),
        )
        .set(
            "upstream.zone",
            rows(&format!("[[row]]\nname = \"corp.example\"\nservers = [\"{}\"]", zone.address)),
        )
        .start();
    // Twice, the second time from what is kept.
    for _ in 0..2 {
        for (client, last) in [(default, 1), (of_lab, 2), (of_same, 1)] {
            assert_eq!(told(&daemon, client, "www.example"), last, "{client}");
            assert_eq!(told(&daemon, client, "www.corp.example"), 3, "{client}: a zone is for everybody");
        }
    }
    assert_eq!((all.asked("www.example"), lab.asked("www.example")), (1, 1));
    let (_, page) = fetch(daemon.admin, "/health/ready").unwrap();
    assert!(page.contains(&format!("group lab: {}", lab.address)), "{page}");
    assert!(page.contains(&format!("zone corp.example: {}", zone.address)), "{page}");
}

#[test]
fn a_change_of_upstreams_under_load_loses_no_query_and_forgets_no_server_that_stays() {
    let (first, second, third, dead) = (honest(1), honest(2), honest(3), Scripted::start(|_| vec![]));
    let addresses = |servers: &[&Scripted]| servers.iter().map(|server| server.address.to_string()).collect::<Vec<_>>();
    let setup = Setup::new().set("upstream.servers", addresses(&[&dead, &first, &second]));
    let mut daemon = setup.set("upstream.timeout_ms", i64::try_from(TRY.as_millis()).unwrap()).start();
    ask(&daemon);
    assert!(is_silent(&daemon, dead.address));
    let (server, over) = (daemon.dns, Arc::new(AtomicBool::new(false)));
    let asking: Vec<_> = (0..4)
        .map(|of| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(server).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let (mut asked, mut late, mut answer) = (0, 0, [0; 512]);
                while !over.load(Ordering::Relaxed) {
                    socket.send(&wire::query(&format!("n{asked}.of{of}.example"), wire::A)).unwrap();
                    let begun = Instant::now();
                    let length = socket.recv(&mut answer).unwrap();
                    late += i32::from(begun.elapsed() >= TRY);
                    assert_eq!(wire::parse(&answer[..length]).answers.len(), 1);
                    asked += 1;
                }
                (asked, late)
            })
        })
        .collect();
    for (round, servers) in [[&dead, &third], [&dead, &first], [&dead, &third]].iter().enumerate() {
        let before = count(&daemon, dead.address, "timeout");
        daemon.reconfigure("upstream.servers", addresses(servers));
        daemon.signal(Signal::SIGHUP);
        place::until(PATIENCE, "the reload", || {
            let done = daemon.metric("interdict_reloads_total{result=\"accepted\"}");
            (done > round as f64).then_some(())
        });
        place::until(PATIENCE, "the new server to be asked", || {
            (count(&daemon, servers[1].address, "answered") > 10.0).then_some(())
        });
        assert!(is_silent(&daemon, dead.address) && before >= 1.0);
        assert!(count(&daemon, dead.address, "timeout") >= before, "what came of it is still known");
        assert_eq!(count(&daemon, second.address, "answered"), 0.0, "who is asked no more is told of no more");
    }
    over.store(true, Ordering::Relaxed);
    let counts: Vec<(i32, i32)> = asking.into_iter().map(|thread| thread.join().unwrap()).collect();
    let (asked, late) = counts.iter().fold((0, 0), |(asked, late), of| (asked + of.0, late + of.1));
    // A machine may stand still for a moment; were the silent server asked first, every answer would be late.
    assert!(asked > 100 && late * 20 < asked, "nobody waits for the silent server: {late} of {asked} late");
}
