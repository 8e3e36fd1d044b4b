//! Real name servers that stop, die, come back and lose packets; and some that speak another dialect.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::clients::dig;
use crate::daemon::{Daemon, Setup};
use crate::namespace::Namespace;
use crate::place::{self, PATIENCE};
use crate::scripted::{Gate, Scripted};
use crate::upstream::Upstream;
use crate::wire;

/// Every name has an address, so that each question is a fresh one.
const ZONES: &[(&str, &str)] = &[(
    "example",
    "$ORIGIN example.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.53\n* A 192.0.2.7\n",
)];

/// How many queries are under way at a time: so many that their answers have room in the socket while nobody reads them.
const AT_A_TIME: u16 = 100;

/// Asks for fresh names, [`AT_A_TIME`], and returns how many were answered with their address, failed and lost.
fn ask_all(server: SocketAddr, prefix: &str, count: u16, patience: Duration) -> (u16, u16, u16) {
    let socket = UdpSocket::bind(if server.ip().is_loopback() { "127.0.0.1:0" } else { "0.0.0.0:0" }).unwrap();
    socket.connect(server).unwrap();
    let (mut asked, mut answered, mut failed) = (0, 0, 0);
    let start = Instant::now();
    let mut buffer = [0; 1500];
    while let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        while asked < count.min(answered + failed + AT_A_TIME) {
            let asking = wire::Asking { id: asked, ..wire::Asking::of(&format!("{prefix}{asked}.example"), wire::A) };
            socket.send(&asking.to_wire()).unwrap();
            asked += 1;
        }
        socket.set_read_timeout(Some(left)).unwrap();
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let answer = &buffer[..length];
        match wire::rcode(answer) {
            wire::NOERROR => {
                assert_eq!(wire::question_name(answer), format!("{prefix}{}.example", wire::id(answer)));
                assert_eq!(wire::parse(answer).answers[0].data.to_string(), "192.0.2.7");
                answered += 1;
            }
            _ => failed += 1,
        }
        if answered + failed == count {
            break;
        }
    }
    (answered, failed, count - answered - failed)
}

#[test]
fn an_upstream_that_is_stopped_or_killed_is_passed_by_and_asked_again_when_it_is_back() {
    needs!("nsd");
    let (first, second) = (Upstream::with(ZONES), Upstream::with(ZONES));
    let setup = Setup::new().upstreams(&[first.address, second.address]).set("upstream.timeout_ms", 1500);
    let daemon = setup.start();
    let whole = |prefix: &str, count: u16| {
        assert_eq!(ask_all(daemon.dns, prefix, count, PATIENCE), (count, 0, 0), "{prefix}");
    };
    whole("well", 50);
    first.signal(Signal::SIGSTOP);
    // Those under way when it is found out wait for one try; those after it do not.
    whole("stopping", 20);
    let start = Instant::now();
    whole("stopped", 50);
    assert!(start.elapsed() < Duration::from_millis(1400), "each waits anew: {:?}", start.elapsed());
    first.signal(Signal::SIGCONT);
    whole("continued", 20);
    // It dies with questions of ours in its queue.
    let asked = || daemon.metric("interdict_upstream_events_total{event=\"query\"}");
    let before = asked();
    let address = first.address;
    first.signal(Signal::SIGSTOP);
    second.signal(Signal::SIGSTOP);
    let daemon_dns = daemon.dns;
    let waiting = std::thread::spawn(move || ask_all(daemon_dns, "dying", 20, PATIENCE));
    place::until(PATIENCE, "the questions to be under way", || (asked() >= before + 20.0).then_some(()));
    first.signal(Signal::SIGKILL);
    drop(first);
    second.signal(Signal::SIGCONT);
    assert_eq!(waiting.join().unwrap(), (20, 0, 0));
    whole("killed", 50);
    second.signal(Signal::SIGSTOP);
    let _again = Upstream::at(address, ZONES);
    place::until(PATIENCE, "the one that is back to be asked", || {
        let answer = wire::udp_once(daemon.dns, &wire::query("back.example", wire::A), PATIENCE)?;
        (wire::rcode(&answer) == wire::NOERROR).then_some(())
    });
    second.signal(Signal::SIGCONT);
}

/// Returns an address that tells the name asked for.
fn mark(query: &[u8]) -> [u8; 4] {
    let name = wire::asked_name(query);
    let number = name.trim_start_matches(char::is_alphabetic).split('.').next().unwrap().parse().unwrap_or_default();
    [10, 1, 1, number]
}

/// An answer that comes when every try is over is lost; none is taken for that of another question.
#[test]
fn late_answers_are_never_given_to_others() {
    let upstream = Scripted::start(|query| {
        let [_, _, _, number] = mark(query);
        // Between nothing and twice as long as all tries may take.
        std::thread::sleep(Duration::from_millis(u64::from(number) * 8));
        vec![wire::reply(query, wire::NOERROR, &[mark(query)])]
    });
    let setup = Setup::new().upstreams(&[upstream.address]).set("upstream.timeout_ms", 200);
    let daemon = setup.set("upstream.attempts", 2).start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.dns).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for number in 0..100 {
        let asking = wire::Asking { id: number, ..wire::Asking::of(&format!("late{number}.example"), wire::A) };
        socket.send(&asking.to_wire()).unwrap();
    }
    let (mut answered, mut buffer) = (0, [0; 1500]);
    for _ in 0..100 {
        let length = socket.recv(&mut buffer).unwrap();
        let answer = wire::parse(&buffer[..length]);
        if let [record] = &answer.answers[..] {
            assert_eq!(record.data.to_string(), format!("10.1.1.{}", answer.metadata.id));
            answered += 1;
        } else {
            assert_eq!(wire::rcode(&buffer[..length]), wire::SERVFAIL);
        }
    }
    assert!((30..60).contains(&answered), "{answered} of 100 answered");
}

/// A server that has to look for an answer itself gives it once it has it, and each time that it was asked.
#[test]
fn an_answer_to_the_first_try_counts_while_the_next_one_goes_on() {
    let asked_again = [Gate::default(), Gate::default()];
    let (gates, seen) = (asked_again.clone(), Mutex::new([0; 2]));
    let upstream = Scripted::start(move |query| {
        let place = match wire::asked_name(query).as_str() {
            "udp.example" => 0,
            "tcp.example" => 1,
            _ => return vec![wire::nodata(query)],
        };
        let is_first = std::mem::replace(&mut seen.lock().unwrap()[place], 1) == 0;
        if !is_first {
            gates[place].open();
            return Vec::new();
        }
        gates[place].pass();
        vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]
    });
    let daemon = Setup::new().upstreams(&[upstream.address]).set("upstream.timeout_ms", 300).start();
    // One is asked by the worker, the other by a task.
    for (name, by) in [("udp.example", "+notcp"), ("tcp.example", "+tcp")] {
        let answer = dig(daemon.dns, &[name, "A", by]);
        assert_eq!((answer.status.as_str(), answer.answers().len()), ("NOERROR", 1), "{}", answer.text);
        assert!(upstream.asked(name) > 1);
    }
}

#[test]
fn an_upstream_without_edns_or_room_is_asked_as_it_can_be() {
    // Bind 8 and its like answer FORMERR to what they do not know (RFC 6891, section 7).
    let old = Scripted::start(|query| match query[11] {
        0 => vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])],
        _ => vec![wire::reply(query, wire::FORMERR, &[])],
    });
    // It answers over UDP that there is not enough room, always, and whole over TCP.
    let narrow = Scripted::by_transport(|query, over_tcp| {
        let mut reply = wire::reply(query, wire::NOERROR, if over_tcp { &[[192, 0, 2, 7]] } else { &[] });
        reply[2] |= if over_tcp { 0 } else { 2 };
        vec![reply]
    });
    for (what, upstream) in [("without EDNS", &old), ("without room", &narrow)] {
        let daemon = Setup::new().upstreams(&[upstream.address]).start();
        for number in 0..5 {
            let answer = wire::parse(&wire::udp(daemon.dns, &wire::query(&format!("n{number}.example"), wire::A)));
            assert_eq!(answer.answers.len(), 1, "{what}: {answer}");
            assert!(!answer.metadata.truncation, "{what}: {answer}");
        }
    }
}

#[test]
fn a_truncated_answer_whose_whole_cannot_be_had_is_a_failure_and_no_half_answer() {
    let cut = |query: &[u8]| {
        let mut reply = wire::reply(query, wire::NOERROR, &[[192, 0, 2, 66]]);
        reply[2] |= 2;
        reply
    };
    // Nobody listens there over TCP.
    let deaf = UdpSocket::bind(place::socket()).unwrap();
    let address = deaf.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = deaf.recv_from(&mut buffer) {
            drop(deaf.send_to(&cut(&buffer[..length]), from));
        }
    });
    let daemon = Setup::new().upstreams(&[address]).start();
    let answer = wire::parse(&wire::udp(daemon.dns, &wire::query("cut.example", wire::A)));
    assert!(answer.answers.is_empty(), "half an answer went out: {answer}");
    assert_eq!(answer.metadata.response_code.to_string(), "Server Failure");
}

/// Starts a daemon inside a namespace whose way to the upstream loses a share of all datagrams, both ways.
fn behind_loss(namespace: &Namespace, upstream: &Upstream, percent: u8) -> Daemon {
    let port = upstream.address.port();
    let rules = format!(
        "table inet loss {{ chain in {{ type filter hook input priority 0; udp sport {port} numgen random mod 100 < {percent} drop; }}; \
         chain out {{ type filter hook output priority 0; udp dport {port} numgen random mod 100 < {percent} drop; }}; }}"
    );
    let (done, told) = namespace.exec(&["nft", &rules]);
    assert!(done, "{told}");
    let mut setup = Setup::forwarding_to(upstream).through(&["ip", "netns", "exec", &namespace.name]);
    setup.dns = SocketAddr::new(IpAddr::V4(namespace.there), 53);
    setup.admin = SocketAddr::new(IpAddr::V4(namespace.there), 80);
    let (dns, admin) = (setup.dns.to_string(), setup.admin.to_string());
    let setup = setup.set("listen.dns", vec![dns]).set("admin.listen", admin);
    setup.set("upstream.timeout_ms", 100).set("upstream.attempts", 10).start()
}

#[test]
fn a_network_that_loses_a_third_of_all_packets_is_lived_with() {
    needs!("root", "ip", "nft", "nsd");
    let namespace = Namespace::new();
    let upstream = Upstream::at(SocketAddr::new(IpAddr::V4(namespace.here), 53), ZONES);
    let daemon = behind_loss(&namespace, &upstream, 18);
    // 18 % each way are a third of all exchanges; ten of them fail in a row once in 60,000.
    let (answered, failed, lost) = ask_all(daemon.dns, "lossy", 300, PATIENCE);
    assert!(answered >= 299 && lost == 0, "{answered} answered, {failed} failed, {lost} lost");
    let tries = daemon.metric("interdict_upstream_events_total{event=\"query\"}");
    assert!(tries > 340.0, "only {tries} tries: nothing was lost");
    assert!(TcpStream::connect(daemon.dns).is_ok());
}
