//! Upstreams that are down, fail, refuse or lie.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::clients::dig;
use crate::daemon::{Setup, fetch};
use crate::place;
use crate::scripted::Scripted;
use crate::wire;

const RIGHT: [u8; 4] = [192, 0, 2, 7];
const WRONG: [u8; 4] = [203, 0, 113, 66];

fn honest() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[RIGHT])])
}

fn answering(rcode: u8) -> Scripted {
    Scripted::start(move |query| vec![wire::reply(query, rcode, &[])])
}

/// An upstream that takes queries and never answers.
fn silent() -> Scripted {
    Scripted::start(|_| Vec::new())
}

fn addresses(answer: &[u8]) -> Vec<String> {
    wire::parse(answer).answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn the_next_upstream_is_asked_where_one_is_of_no_use() {
    let good = honest();
    let (servfail, refused, silent) = (answering(wire::SERVFAIL), answering(wire::REFUSED), silent());
    let nobody = place::socket();
    for (what, bad) in
        [("down", nobody), ("silent", silent.address), ("failing", servfail.address), ("refusing", refused.address)]
    {
        let daemon = Setup::new().upstreams(&[bad, good.address]).start();
        // More than one, since the order of the upstreams is the daemon's own affair.
        for number in 0..4 {
            let answer = wire::udp(daemon.dns, &wire::query(&format!("{what}{number}.example"), wire::A));
            assert_eq!(addresses(&answer), ["192.0.2.7"], "with one upstream {what}");
        }
    }
}

#[test]
fn no_upstream_of_use_gives_servfail_that_says_why() {
    needs!("dig");
    let two = |start: fn() -> Scripted| [start(), start()];
    let failing = two(|| answering(wire::SERVFAIL));
    let refusing = two(|| answering(wire::REFUSED));
    let silent = two(silent);
    let addresses = |of: &[Scripted; 2]| [of[0].address, of[1].address];
    for (what, bad) in [
        ("down", [place::socket(), place::socket()]),
        ("silent", addresses(&silent)),
        ("failing", addresses(&failing)),
        ("refusing", addresses(&refusing)),
    ] {
        let daemon = Setup::new().upstreams(&bad).start();
        let answer = dig(daemon.dns, &["www.example", "+time=15"]);
        assert_eq!(answer.status, "SERVFAIL", "with all upstreams {what}\n{}", answer.text);
        // RFC 8914: 22 No Reachable Authority, 23 Network Error.
        assert!(matches!(answer.ede_code(), Some(22 | 23)), "with all upstreams {what}\n{}", answer.text);
        // What is decided here needs no upstream.
        assert_eq!(dig(daemon.dns, &["dnl-01.geo.kaspersky.com"]).status, "NXDOMAIN");
    }
}

#[test]
fn an_upstream_that_comes_back_is_used_again() {
    let address = place::socket();
    let daemon = Setup::new().upstreams(&[address]).start();
    let query = || wire::query("back.example", wire::A);
    let failed = wire::udp(daemon.dns, &query());
    assert_eq!(wire::rcode(&failed), wire::SERVFAIL);
    let socket = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(&wire::reply(&buffer[..length], wire::NOERROR, &[RIGHT]), from));
        }
    });
    place::until(Duration::from_secs(40), "the upstream to be used again", || {
        let answer = wire::udp_once(daemon.dns, &query(), Duration::from_secs(10))?;
        (wire::rcode(&answer) == wire::NOERROR).then_some(())
    });
}

/// RFC 5452, section 9.1: an answer must match id, question, address and port.
#[test]
fn answers_that_do_not_match_are_ignored_and_the_right_one_is_taken() {
    let liar = Scripted::start(|query| {
        let lie = wire::reply(query, wire::NOERROR, &[WRONG]);
        let mut wrong_id = lie.clone();
        wrong_id[0] ^= 0x55;
        let mut no_response = lie.clone();
        no_response[2] &= 0x7f;
        let mut wrong_opcode = lie.clone();
        wrong_opcode[2] |= 0x10;
        let mut wrong_name = lie.clone();
        wrong_name[13] ^= 0x01;
        let mut wrong_type = lie.clone();
        let type_at = 12 + wire::name_wire(&wire::question_name(query)).len();
        wrong_type[type_at + 1] = 28;
        let mut no_question = lie.clone();
        no_question[5] = 0;
        let right = wire::reply(query, wire::NOERROR, &[RIGHT]);
        let lies = [wrong_id, no_response, wrong_opcode, wrong_name, wrong_type, no_question];
        lies.into_iter().chain([lie[..7].to_vec(), Vec::new(), vec![0xff; 300], right]).collect()
    });
    let daemon = Setup::new().upstreams(&[liar.address]).start();
    for number in 0..20 {
        let answer = wire::udp(daemon.dns, &wire::query(&format!("lie{number}.example"), wire::A));
        assert_eq!(addresses(&answer), ["192.0.2.7"]);
    }
}

#[test]
fn an_answer_from_another_address_or_port_is_ignored() {
    let upstream = UdpSocket::bind(place::socket()).unwrap();
    let others = [UdpSocket::bind(place::socket()).unwrap(), UdpSocket::bind((place::other_address(), 0)).unwrap()];
    let daemon = Setup::new().upstreams(&[upstream.local_addr().unwrap()]).start();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = upstream.recv_from(&mut buffer) {
            for other in &others {
                drop(other.send_to(&wire::reply(&buffer[..length], wire::NOERROR, &[WRONG]), from));
            }
            drop(upstream.send_to(&wire::reply(&buffer[..length], wire::NOERROR, &[RIGHT]), from));
        }
    });
    for number in 0..20 {
        let answer = wire::udp(daemon.dns, &wire::query(&format!("other{number}.example"), wire::A));
        assert_eq!(addresses(&answer), ["192.0.2.7"]);
    }
}

/// RFC 5452, sections 9.2 and 10.
#[test]
fn ids_and_ports_of_queries_cannot_be_guessed() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    for number in 0..200 {
        wire::udp(daemon.dns, &wire::query(&format!("guess{number}.example"), wire::A));
    }
    let queries = upstream.queries();
    let of_ours = queries.iter().filter(|(_, query)| wire::asked_name(query).starts_with("guess"));
    let (ports, ids): (Vec<u16>, Vec<u16>) = of_ours.map(|(from, query)| (from.port(), wire::id(query))).unzip();
    assert!(ids.len() >= 200, "only {} queries came", ids.len());
    let steady = |values: &[u16]| values.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) <= 2).count();
    assert!(ids.iter().collect::<BTreeSet<_>>().len() > 190 && steady(&ids) < 10, "{ids:?}");
    assert!(ports.iter().collect::<BTreeSet<_>>().len() > 100 && steady(&ports) < 50, "{ports:?}");
}

#[test]
fn a_malformed_answer_gives_servfail_and_no_harm() {
    let upstream = Scripted::start(|query| {
        let mut broken = wire::reply(query, wire::NOERROR, &[RIGHT]);
        let length = broken.len();
        match wire::asked_name(query).as_bytes().first() {
            Some(b'a') => broken.truncate(length - 3),
            Some(b'b') => broken[7] = 200,
            // The owner name of the answer points to itself.
            Some(b'c') => broken[length - 15] = u8::try_from(length - 16).unwrap(),
            _ => broken[length - 5] = 200,
        }
        vec![broken]
    });
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    for name in ["a.example", "b.example", "c.example", "d.example"] {
        let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
        assert_eq!(wire::rcode(&answer), wire::SERVFAIL, "{name}: {answer:02x?}");
    }
}

#[test]
fn a_daemon_that_is_its_own_upstream_is_told_and_does_not_spin() {
    let dns = place::socket();
    let setup = Setup::new().set("listen.dns", vec![dns.to_string()]).upstreams(&[dns]);
    let output = setup.fail();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains(&dns.to_string()) && told.contains("interdict.toml:"), "{told}");
}

#[test]
fn two_daemons_that_forward_to_each_other_are_told_and_do_not_spin() {
    let (one, other) = (place::socket(), place::socket());
    let start = |here: SocketAddr, there| Setup::new().set("listen.dns", vec![here.to_string()]).upstreams(&[there]);
    // Whoever finds the loop first is not ready; so it is not waited for.
    let (first, second) = (start(one, other).launch(), start(other, one).launch());
    place::until(place::PATIENCE, "both to listen", || {
        [&first, &second].iter().all(|daemon| fetch(daemon.admin, "/health/ready").is_some()).then_some(())
    });
    let answer = wire::udp_once(one, &wire::query("round.example", wire::A), Duration::from_secs(15));
    assert_eq!(wire::rcode(&answer.expect("an answer although the query went round")), wire::SERVFAIL);
    place::until(place::PATIENCE, "the loop to be told", || {
        let told = first.told().to_lowercase() + &second.told().to_lowercase();
        told.contains("comes back to us").then_some(())
    });
}
