//! What no rule names goes through whole: every section, type, flag and TTL.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use crate::clients::{Answer, Record, delv, dig, dig_output, kdig};
use crate::daemon::Setup;
use crate::place;
use crate::scripted::Scripted;
use crate::upstream::Upstream;
use crate::wire;

/// The records of one section, in an order that is the same for the same records.
fn sorted(answer: &Answer, section: &str) -> Vec<Record> {
    let mut records = answer.section(section).to_vec();
    records.sort();
    records
}

#[test]
fn an_answer_passes_through_with_all_sections_and_ttls() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    for question in [
        ["www.example", "A"],
        ["www.example", "AAAA"],
        ["www.example", "TXT"],
        ["short.example", "A"],
        ["mail.example", "MX"],
        ["srv.example", "SRV"],
        ["caa.example", "CAA"],
        ["naptr.example", "NAPTR"],
        ["unknown.example", "TYPE65280"],
        ["any.below.wild.example", "A"],
        ["chain1.example", "A"],
        ["cname.example", "CNAME"],
        ["many.example", "A"],
        ["plainhttps.example", "HTTPS"],
        ["empty.example", "A"],
        ["absent.example", "A"],
        ["example", "SOA"],
        ["example", "NS"],
        ["opentip.kaspersky.com", "AAAA"],
        ["tip.example", "A"],
        [r"a\.b.example", "A"],
        [r"\001\200.example", "A"],
    ] {
        let truth = dig(upstream.address, &question);
        let answer = dig(daemon.dns, &question);
        assert_eq!(answer.status, truth.status, "{question:?}\n{}", answer.text);
        for section in ["question", "answer", "authority", "additional"] {
            assert_eq!(sorted(&answer, section), sorted(&truth, section), "{section} of {question:?}\n{}", answer.text);
        }
        assert!(answer.has("qr") && answer.has("ra") && answer.has("rd"), "{question:?}\n{}", answer.text);
        assert!(!answer.has("aa") && !answer.has("ad"), "{question:?}\n{}", answer.text);
        assert_eq!(answer.ede, None, "{question:?}\n{}", answer.text);
    }
    let long = dig(daemon.dns, &["long.example", "TXT"]);
    assert!((86_400..=1_209_600).contains(&long.ttl()), "{}", long.text);
}

#[test]
fn a_second_asker_gets_the_cached_answer_with_its_ttl_run_down() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    for _ in 0..20 {
        let answer = wire::parse(&wire::udp(daemon.dns, &wire::query("cached.example", wire::A)));
        assert_eq!(answer.answers.len(), 1);
        assert!((240..=256).contains(&answer.answers[0].ttl), "{answer}");
    }
    assert_eq!(upstream.asked("cached.example"), 1);
    place::until(place::PATIENCE, "the TTL to run down", || {
        let answer = wire::parse(&wire::udp(daemon.dns, &wire::query("cached.example", wire::A)));
        (answer.answers[0].ttl < 256).then_some(())
    });
}

#[test]
fn the_name_comes_back_in_the_case_it_was_asked_in() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    // The second spelling comes from the cache, the third is sunk.
    for name in ["wWw.ExAmPlE.", "WwW.eXaMpLe.", "DNL-01.gEo.KasPERsky.cOm."] {
        let answer = dig(daemon.dns, &[name, "A"]);
        assert_eq!(answer.section("question")[0].name, name, "{}", answer.text);
        let message = wire::udp(daemon.dns, &wire::query(name, wire::A));
        assert_eq!(wire::question_name(&message), name.trim_end_matches('.'));
    }
}

#[test]
fn records_of_dnssec_come_for_those_who_ask_for_them_and_validate() {
    needs!("nsd", "dig", "delv");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    // Each order of asking, so that the cache cannot give one kind of asker the other's answer.
    for name in ["www.signed.example", "txt.signed.example"] {
        let kinds = [(&["+dnssec"][..], true), (&["+nodnssec"], false), (&["+noedns"], false), (&["+dnssec"], true)];
        let kinds: Vec<_> =
            if name.starts_with("txt") { kinds.into_iter().rev().skip(1).collect() } else { kinds.into() };
        for (arguments, signed) in kinds {
            let answer = dig(daemon.dns, &[&[name, "TXT"], arguments].concat());
            let everything = answer.answers().iter().chain(answer.section("authority"));
            let signatures = everything.filter(|record| record.record_type == "RRSIG").count();
            assert_eq!(signatures > 0, signed, "{name} {arguments:?}\n{}", answer.text);
            assert_eq!(answer.has("do"), signed, "{name} {arguments:?}\n{}", answer.text);
        }
    }
    for (question, says) in [
        (["www.signed.example", "A"], "; fully validated"),
        (["www.signed.example", "AAAA"], "; fully validated"),
        (["txt.signed.example", "TXT"], "; fully validated"),
        (["absent.signed.example", "A"], "; negative response, fully validated"),
        (["txt.signed.example", "A"], "; negative response, fully validated"),
    ] {
        let told = delv(daemon.dns, &question);
        assert!(told.contains(says), "{question:?}\n{told}");
    }
}

/// RFC 6840, sections 5.7 to 5.9, and RFC 4035, section 3.2.2.
#[test]
fn ad_goes_to_those_who_understand_it_and_cd_comes_back() {
    let upstream = Scripted::start(|query| {
        let mut reply = wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]]);
        reply[3] |= 0x20;
        vec![reply]
    });
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    const AD: u16 = 0x20;
    const CD: u16 = 0x10;
    // Twice, the second time from the cache.
    for (name, dnssec_ok, flags, expected) in [
        ("a.example", false, 0, 0),
        ("a.example", false, AD, AD),
        ("a.example", true, 0, AD),
        ("b.example", true, 0, AD),
        ("b.example", false, 0, 0),
        ("c.example", false, CD, CD),
        ("c.example", true, CD, AD | CD),
    ]
    .repeat(2)
    {
        let mut asking = wire::Asking::of(name, wire::A);
        asking.flags |= flags;
        asking.edns = Some((0, 1232, dnssec_ok));
        let answer = wire::udp(daemon.dns, &asking.to_wire());
        let got = u16::from(answer[3]) & (AD | CD);
        assert_eq!(got, expected, "{name}, DO {dnssec_ok}, flags {flags:#x}");
    }
}

#[test]
fn a_large_answer_is_truncated_over_udp_and_whole_over_tcp() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    // Never more than 1232 octets over UDP, whatever the asker says that it takes (RFC 9715).
    for size in ["+noedns", "+bufsize=512", "+bufsize=1232", "+bufsize=4096", "+bufsize=65535"] {
        let short = dig(daemon.dns, &["large.example", "TXT", "+ignore", size]);
        assert!(short.has("tc"), "{size}\n{}", short.text);
        let limit = if size == "+noedns" || size.ends_with("=512") { 512 } else { 1232 };
        let received = short.text.split_once("MSG SIZE  rcvd: ").and_then(|(_, rest)| rest.trim().parse().ok());
        assert!(received.is_some_and(|received: usize| received <= limit), "{size}\n{}", short.text);
        assert!(short.payload.is_none_or(|payload| payload <= 1232), "{size}\n{}", short.text);
        let whole = dig(daemon.dns, &["large.example", "TXT", size]);
        assert_eq!(whole.answers().len(), 20, "{size}\n{}", whole.text);
    }
    let many = dig(daemon.dns, &["many.example", "A", "+ignore", "+noedns"]);
    assert!(many.has("tc"), "{}", many.text);
    assert_eq!(dig(daemon.dns, &["many.example", "A", "+ignore", "+bufsize=1232"]).answers().len(), 40);
}

#[test]
fn the_operator_says_how_long_a_response_over_udp_may_be() {
    // 1,600 octets of addresses, from a server that does not keep to what it is asked.
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]; 100])]);
    for (most, size, limit) in [(512_u16, 1232, 512), (4096, 4096, 4096), (4096, 1232, 1232), (1232, 4096, 1232)] {
        let setup = Setup::new().upstreams(&[upstream.address]);
        let daemon = setup.set("answer.max_udp_payload", i64::from(most)).start();
        let mut asking = wire::Asking::of("large.example", wire::A);
        asking.edns = Some((0, size, false));
        let wire = wire::udp(daemon.dns, &asking.to_wire());
        let answer = wire::parse(&wire);
        assert!(wire.len() <= limit, "{} octets, at most {most}, asked for {size}", wire.len());
        assert_eq!(
            (answer.answers.len(), answer.metadata.truncation),
            if limit == 4096 { (100, false) } else { (0, true) }
        );
        assert_eq!(answer.edns.unwrap().max_payload(), most);
    }
}

#[test]
fn kdig_gets_the_same_over_udp_and_tcp() {
    needs!("nsd", "kdig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    for transport in ["+notcp", "+tcp"] {
        let answer = kdig(daemon.dns, &["www.example", "A", transport]);
        assert_eq!((answer.status.as_str(), answer.data("A")), ("NOERROR", vec!["192.0.2.80"]), "{}", answer.text);
        assert_eq!(kdig(daemon.dns, &["absent.example", "A", transport]).status, "NXDOMAIN");
        let sunk = kdig(daemon.dns, &["dnl-01.geo.kaspersky.com", "A", transport, "+edns"]);
        assert_eq!((sunk.status.as_str(), sunk.ede_code()), ("NXDOMAIN", Some(15)), "{}", sunk.text);
    }
}

#[test]
fn unknown_versions_and_options_of_edns_are_dealt_with() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    // RFC 6891, section 6.1.3; also for a name that is sunk.
    for name in ["www.example", "dnl-01.geo.kaspersky.com"] {
        let answer = dig(daemon.dns, &[name, "+edns=1", "+noednsnegotiation"]);
        assert_eq!(answer.status, "BADVERS", "{}", answer.text);
        assert!(answer.answers().is_empty(), "{}", answer.text);
    }
    for option in
        ["+ednsopt=65001:c0ffee", "+cookie", "+nsid", "+subnet=192.0.2.0/24", "+padding=128", "+ednsflags=0x40"]
    {
        let answer = dig(daemon.dns, &["www.example", option]);
        assert_eq!((answer.status.as_str(), answer.data("A")), ("NOERROR", vec!["192.0.2.80"]), "{}", answer.text);
    }
    // Who does not speak EDNS is not spoken to in it (section 7).
    let plain = dig(daemon.dns, &["dnl-01.geo.kaspersky.com", "+noedns"]);
    assert_eq!((plain.status.as_str(), plain.payload, plain.ede), ("NXDOMAIN", None, None), "{}", plain.text);
}

#[test]
fn what_is_not_a_plain_query_is_refused_as_the_rfcs_say() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    for opcode in ["1", "2", "4", "5", "6", "15"] {
        let answer = dig(daemon.dns, &["www.example", &format!("+opcode={opcode}")]);
        assert_eq!(answer.status, "NOTIMP", "opcode {opcode}\n{}", answer.text);
    }
    for arguments in [["CH", "TXT", "version.bind"], ["CH", "TXT", "id.server"], ["CH", "TXT", "hostname.bind"]] {
        let answer = dig(daemon.dns, &arguments);
        assert_eq!((answer.status.as_str(), answer.answers().len()), ("REFUSED", 0), "{}", answer.text);
    }
    // RFC 8482: one answer that says so, and no more.
    for transport in ["+notcp", "+tcp"] {
        let any = dig(daemon.dns, &["www.example", "ANY", transport]);
        assert_eq!(any.status, "NOERROR", "{}", any.text);
        assert!(any.answers().iter().all(|record| record.record_type == "HINFO"), "{}", any.text);
        assert!(any.data("HINFO")[0].contains("RFC8482"), "{}", any.text);
        assert_eq!(dig(daemon.dns, &["dnl-01.geo.kaspersky.com", "ANY", transport]).status, "NXDOMAIN");
    }
    for transfer in ["AXFR", "IXFR=1"] {
        let output = dig_output(daemon.dns, &["example", transfer]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("192.0.2.80"), "{transfer} gave the zone away\n{text}");
    }
    let query = wire::query("www.example", wire::A);
    for (count, expected) in [(0, wire::FORMERR), (2, wire::FORMERR), (65_535, wire::FORMERR)] {
        let mut odd = query.clone();
        odd[4..6].copy_from_slice(&u16::to_be_bytes(count));
        assert_eq!(wire::rcode(&wire::udp(daemon.dns, &odd)), expected, "QDCOUNT {count}");
    }
    let mut response = query.clone();
    response[2] |= 0x80;
    assert_eq!(wire::udp_once(daemon.dns, &response, wire::SHORT), None, "a response was answered");
    assert_eq!(wire::udp_once(daemon.dns, &query[..11], wire::SHORT), None, "half a header was answered");
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &query)), wire::NOERROR);
}

#[test]
fn without_rd_nothing_is_asked_upstream_and_a_sunk_name_stays_sunk() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    let mut asking = wire::Asking::of("fresh.example", wire::A);
    asking.flags = 0;
    let answer = wire::parse(&wire::udp(daemon.dns, &asking.to_wire()));
    assert!(answer.answers.is_empty(), "{answer}");
    assert_eq!(upstream.asked("fresh.example"), 0);
    let mut sunk = wire::Asking::of("dnl-01.geo.kaspersky.com", wire::A);
    sunk.flags = 0;
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &sunk.to_wire())), wire::NXDOMAIN);
}

#[test]
fn a_stranger_gets_no_answer_and_is_counted() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let stranger = place::other_address();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("listen.allow", vec!["127.0.0.1/32"]).start();
    let query = wire::query("www.example", wire::A);
    let friend = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(wire::rcode(&ask_from(&friend, daemon.dns, &query).expect("an answer to a friend")), wire::NOERROR);
    let before = refused(&daemon);
    let socket = UdpSocket::bind((stranger, 0)).unwrap();
    assert_eq!(ask_from(&socket, daemon.dns, &query), None);
    place::until(place::PATIENCE, "the stranger to be counted", || (refused(&daemon) > before).then_some(()));
    // A stranger over TCP loses the connection, or never has one.
    let local = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    local.bind(&SocketAddr::new(stranger, 0).into()).unwrap();
    local.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    if local.connect(&daemon.dns.into()).is_ok() {
        let mut stream = wire::Stream(local.into());
        assert!(stream.ask(&query).is_err(), "a stranger was answered over TCP");
    }
}

/// Everything that the metrics say of queries that were refused for where they came from.
fn refused(daemon: &crate::daemon::Daemon) -> f64 {
    daemon.metric("interdict_dropped_total{reason=\"not_allowed\"}")
}

fn ask_from(socket: &UdpSocket, server: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    socket.send_to(query, server).unwrap();
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).ok()?;
    Some(buffer[..length].to_vec())
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let port = place::port_on("0.0.0.0".parse().unwrap());
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, place::port_on(Ipv6Addr::LOCALHOST.into())));
    let wildcard = SocketAddr::from(([0, 0, 0, 0], port));
    let daemon = Setup::forwarding_to(&upstream).set("listen.dns", vec![wildcard.to_string(), six.to_string()]).start();
    for address in [place::server_address(), place::other_address(), "127.0.0.1".parse().unwrap()] {
        for transport in ["+notcp", "+tcp"] {
            // dig takes no answer from an address that it did not ask.
            let answer = dig(SocketAddr::new(address, port), &["www.example", transport]);
            assert_eq!(answer.data("A"), ["192.0.2.80"], "{address}\n{}", answer.text);
        }
    }
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(dig(six, &["www.example", transport]).data("A"), ["192.0.2.80"]);
        assert_eq!(dig(six, &["dnl-01.geo.kaspersky.com", transport]).status, "NXDOMAIN");
    }
    drop(daemon);
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    needs!("nsd");
    let upstream = Upstream::start();
    // On every address at once no port of the other tests will do.
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let everywhere = vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    let _daemon = Setup::forwarding_to(&upstream).set("listen.dns", everywhere).start();
    // A connected socket takes nothing from another address; the last one is answered from the second part of the path.
    for (address, name) in [
        ("127.0.0.1", "dnl-01.geo.kaspersky.com"),
        ("127.83.5.9", "dnl-01.geo.kaspersky.com"),
        ("::1", "dnl-01.geo.kaspersky.com"),
        ("127.83.5.10", "www.example"),
    ] {
        let server = std::net::SocketAddr::new(address.parse().unwrap(), port);
        let answer = wire::udp_once(server, &wire::query(name, wire::A), place::PATIENCE);
        assert!(answer.is_some(), "{address}");
    }
}
