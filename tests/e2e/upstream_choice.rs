//! Which upstream is asked, and what a dead one costs.

use std::sync::atomic::{AtomicU64, Ordering};
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
            _ => assert_eq!(answered(), expected.map(f64::from), "{strategy}"),
        }
        let rtt = daemon.metric(&format!("interdict_upstream_rtt_seconds{{upstream=\"{}\"}}", slow.address));
        assert!((0.04..1.0).contains(&rtt), "{strategy}: {rtt}");
    }
}
