//! DNS over TCP as RFC 7766 has it: pipelined, out of order, in pieces, limited.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::daemon::Setup;
use crate::place;
use crate::scripted::{Gate, Scripted};
use crate::wire::{self, Stream};

/// An upstream that holds back what it is asked about `slow…` until the gate opens.
fn held(gate: &Gate) -> Scripted {
    let gate = gate.clone();
    Scripted::start(move |query| {
        if wire::asked_name(query).starts_with("slow") {
            gate.pass();
        }
        vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]
    })
}

#[test]
fn a_slow_answer_does_not_hold_up_those_asked_after_it() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let mut stream = Stream::open(daemon.dns);
    let slow = wire::query("slow.example", wire::A);
    stream.send(&slow).unwrap();
    place::until(place::PATIENCE, "the slow query to be upstream", || {
        (upstream.asked("slow.example") > 0).then_some(())
    });
    for name in ["fast.example", "dnl-01.geo.kaspersky.com", "fast.example"] {
        let query = wire::query(name, wire::A);
        let answer = stream.ask(&query).expect("an answer past the slow one");
        assert_eq!(wire::id(&answer), wire::id(&query), "{name}");
    }
    gate.open();
    assert_eq!(wire::id(&stream.receive().expect("the slow answer")), wire::id(&slow));
}

#[test]
fn queries_come_in_any_pieces() {
    let gate = Gate::default();
    gate.open();
    let upstream = held(&gate);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let names = ["one.example", "two.example", "dnl-01.geo.kaspersky.com", "three.example"];
    let queries: Vec<_> = names.iter().map(|name| wire::query(name, wire::A)).collect();
    let together: Vec<u8> = queries.iter().flat_map(|query| wire::framed(query)).collect();
    for piece in [together.len(), 1, 2, 3, 7, 31] {
        let mut stream = Stream::open(daemon.dns);
        for part in together.chunks(piece) {
            stream.0.write_all(part).unwrap();
        }
        let mut ids: Vec<_> = queries.iter().map(|_| wire::id(&stream.receive().unwrap())).collect();
        let mut expected: Vec<_> = queries.iter().map(|query| wire::id(query)).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "in pieces of {piece}");
    }
}

#[test]
fn who_has_said_everything_still_gets_the_answers() {
    let gate = Gate::default();
    let upstream = held(&gate);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let mut stream = Stream::open(daemon.dns);
    stream.send(&wire::query("slow.example", wire::A)).unwrap();
    stream.0.shutdown(Shutdown::Write).unwrap();
    place::until(place::PATIENCE, "the slow query to be upstream", || {
        (upstream.asked("slow.example") > 0).then_some(())
    });
    gate.open();
    assert_eq!(wire::rcode(&stream.receive().expect("an answer after the half-close")), wire::NOERROR);
    assert!(stream.receive().is_err(), "the connection stays open for nobody");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let gate = Gate::default();
    gate.open();
    let upstream = held(&gate);
    let daemon = Setup::new().upstreams(&[upstream.address]).set("listen.tcp_idle_ms", 1000).start();
    let mut busy = Stream::open(daemon.dns);
    let mut idle = Stream::open(daemon.dns);
    // Half a query is idleness too.
    let mut half = Stream::open(daemon.dns);
    half.0.write_all(&wire::framed(&wire::query("half.example", wire::A))[..9]).unwrap();
    idle.ask(&wire::query("idle.example", wire::A)).unwrap();
    let start = Instant::now();
    place::until(place::PATIENCE, "time to pass", || {
        busy.ask(&wire::query("busy.example", wire::A)).expect("the busy connection stays");
        (start.elapsed() > Duration::from_secs(3)).then_some(())
    });
    assert_eq!(idle.receive().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(half.receive().is_err());
}

#[test]
fn connections_beyond_the_limit_harm_nobody() {
    let gate = Gate::default();
    gate.open();
    let upstream = held(&gate);
    let daemon = Setup::new().upstreams(&[upstream.address]).set("listen.tcp_connections", 20).start();
    let mut first = Stream::open(daemon.dns);
    first.ask(&wire::query("first.example", wire::A)).unwrap();
    let crowd: Vec<_> = (0..60).filter_map(|_| TcpStream::connect(daemon.dns).ok()).collect();
    // The one that was there before goes on, and so does UDP.
    for _ in 0..10 {
        assert!(first.ask(&wire::query("first.example", wire::A)).is_ok());
        assert_eq!(wire::rcode(&wire::udp(daemon.dns, &wire::query("udp.example", wire::A))), wire::NOERROR);
    }
    let served = crowd.into_iter().map(Stream).filter_map(|mut stream| {
        stream.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.ask(&wire::query("crowd.example", wire::A)).ok().map(|_| stream)
    });
    let served: Vec<_> = served.collect();
    assert!(served.len() < 20, "{} connections beyond the first were served", served.len());
    drop(served);
    // Room is made again when they are gone.
    place::until(place::PATIENCE, "a new connection to be served", || {
        let mut stream = Stream(TcpStream::connect(daemon.dns).ok()?);
        stream.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.ask(&wire::query("again.example", wire::A)).ok()
    });
}
