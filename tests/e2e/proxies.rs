//! Who says for whom they ask: proxies with a PROXY header, forwarders with an EDNS Client Subnet option, and strangers
//! that forge either.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use crate::clients::{dig, dig_output};
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire::{self, SHORT, Stream};

const SUNK: &str = "upd.kaspersky.com";
/// Where clients are that nobody can reach: the proxy alone says that they ask.
const BEHIND: &str = "10.9.8.7";

/// A PROXY header of version 2 for a datagram or connection over IPv4.
fn header(command: u8, source: [u8; 4]) -> Vec<u8> {
    let mut wire = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    // One field behind the addresses, which has to be passed over.
    wire.extend([command, 0x12, 0, 12 + 5]);
    wire.extend(source);
    wire.extend([192, 0, 2, 53, 0x9C, 0x40, 0, 53, 0x04, 0, 2, 1, 2]);
    wire
}

/// A query whose OPT record has a client subnet: family, prefix and octets of the address.
fn subnet_query(name: &str, data: &[u8]) -> Vec<u8> {
    let mut asking = wire::Asking::of(name, wire::A);
    asking.edns = Some((0, 1232, false));
    let mut wire = asking.to_wire();
    let option = [&[0, 8, 0, data.len() as u8], data].concat();
    let at = wire.len() - 2;
    wire[at..].copy_from_slice(&u16::try_from(option.len()).unwrap().to_be_bytes());
    wire.extend(option);
    wire
}

/// Asks from an address of this process that is not the one that others ask from.
fn ask_from_elsewhere(server: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((place::other_address(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.send(packet).unwrap();
    socket.set_read_timeout(Some(SHORT)).unwrap();
    let mut buffer = [0; 4096];
    socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
}

/// Returns the clients of all records, with their groups.
fn clients(daemon: &Daemon) -> Vec<(String, String)> {
    let records = daemon.json(&["attempts", "--json"]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("default").to_owned();
    let mut clients: Vec<_> = records.iter().map(|record| (text(&record["client"]), text(&record["group"]))).collect();
    clients.sort();
    clients.dedup();
    clients
}

fn recorded(daemon: &Daemon, client: &str, group: &str) {
    place::until(PATIENCE, "the client that was spoken for to be recorded", || {
        clients(daemon).contains(&(client.to_owned(), group.to_owned())).then_some(())
    });
}

fn group(name: &str, networks: &[&str]) -> toml::Table {
    let networks: Vec<toml::Value> = networks.iter().map(|&text| text.into()).collect();
    toml::Table::from_iter([("name".to_owned(), name.into()), ("networks".to_owned(), networks.into())])
}

/// A daemon that trusts whoever asks from 127.0.0.1, and nobody else.
fn trusting(key: &str) -> Setup {
    Setup::new().set(key, vec!["127.0.0.1"]).set("client.group", vec![group("behind", &["10.9.8.0/24"])])
}

#[test]
fn a_trusted_proxy_says_who_asks() {
    let daemon = trusting("listen.proxy_from").start();
    let query = wire::query(SUNK, wire::A);
    let packet = [header(0x21, [10, 9, 8, 7]), query.clone()].concat();
    assert_eq!(wire::rcode(&udp(daemon.dns, &packet).expect("an answer")), wire::NXDOMAIN);
    recorded(&daemon, BEHIND, "behind");
    let mut stream = Stream::open(daemon.dns);
    stream.0.write_all(&header(0x21, [10, 9, 8, 6])).unwrap();
    for _ in 0..2 {
        assert_eq!(wire::rcode(&stream.ask(&query).unwrap()), wire::NXDOMAIN);
    }
    recorded(&daemon, "10.9.8.6", "behind");
    // LOCAL: the proxy asks for itself.
    let mut stream = Stream::open(daemon.dns);
    stream.0.write_all(&header(0x20, [10, 9, 8, 5])).unwrap();
    assert_eq!(wire::rcode(&stream.ask(&query).unwrap()), wire::NXDOMAIN);
    recorded(&daemon, "127.0.0.1", "default");
    assert_eq!(daemon.metric("interdict_claims_total{result=\"proxy_taken\"}"), 2.0);
    assert!(!clients(&daemon).iter().any(|(client, _)| client == "10.9.8.5"));
}

/// Sends a packet from 127.0.0.1 and returns what comes back within a short time.
fn udp(server: SocketAddr, packet: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.send(packet).unwrap();
    socket.set_read_timeout(Some(SHORT)).unwrap();
    let mut buffer = [0; 4096];
    socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
}

#[test]
fn a_trusted_proxy_has_to_say_who_asks_and_the_list_of_the_allowed_is_held_against_that() {
    let daemon = trusting("listen.proxy_from").set("listen.allow", vec!["10.9.0.0/16"]).start();
    let query = wire::query(SUNK, wire::A);
    let broken = {
        let mut header = header(0x21, [10, 9, 8, 7]);
        header.truncate(20);
        header
    };
    let stranger = [header(0x21, [192, 0, 2, 7]), query.clone()].concat();
    for (packet, what) in [(query.clone(), "no header"), (broken, "half a header"), (stranger, "a stranger")] {
        assert_eq!(udp(daemon.dns, &packet), None, "{what}");
    }
    let mut stream = Stream::open(daemon.dns);
    assert!(stream.ask(&query).is_err(), "a connection without a header");
    place::until(PATIENCE, "drops to be counted", || {
        let counted = |reason| daemon.metric(&format!("interdict_dropped_total{{reason=\"{reason}\"}}"));
        (counted("proxy_malformed") == 3.0 && counted("not_allowed") == 1.0).then_some(())
    });
    let packet = [header(0x21, [10, 9, 8, 7]), query].concat();
    assert!(udp(daemon.dns, &packet).is_some(), "the proxy itself need not be allowed");
}

#[test]
fn a_forged_header_is_dropped_and_counted() {
    let daemon = trusting("listen.proxy_from").start();
    let query = wire::query(SUNK, wire::A);
    let packet = [header(0x21, [10, 9, 8, 7]), query.clone()].concat();
    assert_eq!(ask_from_elsewhere(daemon.dns, &packet), None);
    let strange = Setup::new().start();
    assert_eq!(udp(strange.dns, &packet), None);
    // Over TCP the connection ends at once, long before the message is whole that the header would be.
    let mut stream = Stream::open(strange.dns);
    stream.0.write_all(&packet).unwrap();
    let mut rest = Vec::new();
    let ended = stream.0.read_to_end(&mut rest);
    assert!(rest.is_empty() && !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    assert_eq!(daemon.metric("interdict_dropped_total{reason=\"proxy_ignored\"}"), 1.0);
    assert_eq!(strange.metric("interdict_dropped_total{reason=\"proxy_ignored\"}"), 2.0);
    assert!(clients(&daemon).is_empty() && clients(&strange).is_empty());
    // Whoever is no proxy is still answered as ever.
    assert!(ask_from_elsewhere(daemon.dns, &query).is_some());
}

#[test]
fn connections_of_a_proxy_are_held_against_the_limit_for_all() {
    let setup = trusting("listen.proxy_from").set("listen.tcp_connections_per_client", 1);
    let daemon = setup.set("listen.tcp_connections", 3).start();
    let query = wire::query(SUNK, wire::A);
    let open = |last| {
        let mut stream = Stream::open(daemon.dns);
        stream.0.write_all(&header(0x21, [10, 9, 8, last])).unwrap();
        (stream.ask(&query).is_ok(), stream)
    };
    let streams: Vec<_> = (1..=4).map(open).collect();
    assert_eq!(streams.iter().map(|(answered, _)| *answered).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn a_client_subnet_counts_from_a_trusted_forwarder_only() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 1]])]);
    let daemon = trusting("listen.ecs_from").upstreams(&[upstream.address]).start();
    let claim = [0, 1, 32, 0, 10, 9, 8, 7];
    let forged = ask_from_elsewhere(daemon.dns, &subnet_query(SUNK, &claim)).expect("an answer");
    assert_eq!(wire::rcode(&forged), wire::NXDOMAIN);
    recorded(&daemon, &place::other_address().to_string(), "default");
    assert!(!clients(&daemon).iter().any(|(client, _)| client == BEHIND), "{:?}", clients(&daemon));
    assert_eq!(daemon.metric("interdict_claims_total{result=\"subnet_ignored\"}"), 1.0);
    let believed = udp(daemon.dns, &subnet_query(SUNK, &claim)).expect("an answer");
    assert_eq!(wire::rcode(&believed), wire::NXDOMAIN);
    recorded(&daemon, BEHIND, "behind");
    // A prefix of no bits asks that nothing be said of the client.
    assert!(udp(daemon.dns, &subnet_query(SUNK, &[0, 1, 0, 0])).is_some());
    recorded(&daemon, "127.0.0.1", "default");
    for broken in [&[0, 1, 32, 0, 10, 9, 8][..], &[0, 1, 24, 0, 10, 9, 8, 7], &[0, 1, 24, 8, 10, 9, 8], &[0]] {
        let answer = udp(daemon.dns, &subnet_query(SUNK, broken)).expect("an answer");
        assert_eq!(wire::rcode(&answer), wire::FORMERR, "{broken:?}");
        let ignored = ask_from_elsewhere(daemon.dns, &subnet_query(SUNK, broken)).expect("an answer");
        assert_eq!(wire::rcode(&ignored), wire::NXDOMAIN, "{broken:?}");
    }
    assert_eq!(daemon.metric("interdict_claims_total{result=\"subnet_malformed\"}"), 4.0);
    // It goes no further, whoever says it.
    assert!(udp(daemon.dns, &subnet_query("www.example", &claim)).is_some());
    let asked: Vec<_> = upstream.queries().into_iter().map(|(_, query)| wire::parse(&query)).collect();
    assert!(asked.iter().any(|query| query.queries[0].name().to_string().to_lowercase().starts_with("www.example")));
    let options = asked.iter().filter_map(|query| query.edns.as_ref()).map(|edns| edns.options().as_ref().len());
    assert!(options.into_iter().all(|count| count == 0));
}

/// A program in front of the daemon; is killed when it is dropped.
struct Proxy(Child);

impl Proxy {
    fn start(program: &str, arguments: &[&str], folder: &std::path::Path) -> Self {
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command: Command = place::tied(place::find(program).unwrap());
        command.args(arguments).current_dir(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn dnsdist_says_who_asks() {
    needs!("dnsdist", "dig", "setpriv");
    let (address, client) = (place::socket(), place::other_address().to_string());
    let source = place::server_address().to_string();
    let setup = Setup::new().set("listen.proxy_from", vec![source.clone()]);
    let daemon = setup.set("client.group", vec![group("behind", &[&client])]).start();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "setSecurityPollSuffix('')\nsetLocal('{address}')\nsetACL({{'127.0.0.0/8'}})\nnewServer({{address='{}', source='{source}', \
         useProxyProtocol=true}}):setUp()\n",
        daemon.dns
    );
    std::fs::write(folder.path().join("dnsdist.conf"), text).unwrap();
    let _proxy = Proxy::start("dnsdist", &["--supervised", "--disable-syslog", "-C", "dnsdist.conf"], folder.path());
    place::until(PATIENCE, "dnsdist to answer", || {
        dig_output(address, &[SUNK, "-b", &client, "+time=1"]).status.success().then_some(())
    });
    recorded(&daemon, &client, "behind");
    assert_eq!(dig(address, &[SUNK, "-b", &client]).status, "NXDOMAIN");
    assert_eq!(dig(address, &[SUNK, "-b", &client, "+tcp"]).status, "NXDOMAIN");
    let clients = clients(&daemon);
    assert!(clients.iter().all(|(of, _)| *of == client), "{clients:?}");
}

#[test]
fn haproxy_says_who_asks() {
    needs!("haproxy", "dig", "setpriv");
    let (address, client) = (place::socket(), place::other_address().to_string());
    let source = place::server_address().to_string();
    let setup = Setup::new().set("listen.proxy_from", vec![source.clone()]);
    let daemon = setup.set("client.group", vec![group("behind", &[&client])]).start();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\nlisten dns\n bind {address}\n \
         server one {} source {source} send-proxy-v2 check check-send-proxy\n",
        daemon.dns
    );
    std::fs::write(folder.path().join("haproxy.cfg"), text).unwrap();
    let _proxy = Proxy::start("haproxy", &["-db", "-f", "haproxy.cfg"], folder.path());
    let status = place::until(PATIENCE, "HAProxy to answer", || {
        let output = dig_output(address, &[SUNK, "-b", &client, "+tcp", "+time=1"]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert!(status.contains("NXDOMAIN"), "{status}");
    recorded(&daemon, &client, "behind");
    let clients = clients(&daemon);
    assert!(clients.iter().all(|(of, _)| *of == client), "{clients:?}");
}
