//! What was asked before: the same queries through the daemon, and through `scan` of what real servers logged of them.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, Setup, program};
use crate::place::{self, PATIENCE};
use crate::rpz::{Peer, begin, start};
use crate::upstream::Upstream;
use crate::wire::{self, Stream};

/// What is asked, and how often over UDP and over TCP.
const QUERIES: &[(&str, u16, usize, usize)] = &[
    ("dnl-01.geo.kaspersky.com", wire::A, 3, 1),
    ("DNL-01.geo.Kaspersky.com", wire::AAAA, 1, 0),
    ("opentip.kaspersky.com", wire::A, 2, 1),
    ("support.kaspersky.com", wire::A, 1, 1),
    ("ksn-a-stat-geo.kaspersky-labs.com", wire::A, 2, 2),
    ("upd.kaspersky.com.corp.example", wire::A, 1, 0),
    ("notkaspersky.com", wire::A, 1, 1),
    ("www.example", wire::AAAA, 4, 0),
    ("absent.example", 65, 1, 1),
];

/// The last name that is asked for, by which a log is known to be whole.
const LAST: &str = "last.scan.example";

/// Queries by verdict, and attempts by name and verdict.
type Sums = (BTreeMap<String, u64>, BTreeMap<(String, String), u64>);

fn ask(server: SocketAddr) {
    let mut stream = Stream::open(server);
    for (name, record_type, udp, tcp) in QUERIES {
        let query = wire::query(name, *record_type);
        (0..*udp).for_each(|_| drop(wire::udp(server, &query)));
        (0..*tcp).for_each(|_| drop(stream.ask(&query).unwrap()));
    }
    drop(wire::udp(server, &wire::query(LAST, wire::A)));
}

fn scan(arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("scan").args(arguments).current_dir("/").env("INTERDICT_DATA_DIR", "/nonexistent");
    command.output().unwrap()
}

/// Returns the sums over files. The harness has asked for `open.example` until each server was there; that is left out.
fn scanned(arguments: &[&str], probes: u64) -> Sums {
    let output = scan(&[arguments, &["--format", "json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    for file in found["files"].as_array().unwrap() {
        assert_eq!((&file["unread"], &file["ended_early"]), (&Value::from(0), &Value::Null), "{file}");
    }
    let count = |of: &Value| of["count"].as_u64().unwrap();
    let text = |of: &Value| of.as_str().unwrap().to_owned();
    let verdicts = found["verdicts"].as_object().unwrap().iter();
    let mut verdicts: BTreeMap<_, _> = verdicts.map(|(verdict, sum)| (verdict.clone(), count(sum))).collect();
    *verdicts.get_mut("pass").unwrap() -= probes;
    let names = found["names"].as_array().unwrap().iter();
    (verdicts, names.map(|of| ((text(&of["name"]), text(&of["verdict"])), count(of))).collect())
}

/// Returns what the daemon has counted and recorded.
fn live(daemon: &Daemon, more: &[&str]) -> Sums {
    let metric = |verdict: &str| daemon.metric(&format!("interdict_verdicts_total{{verdict=\"{verdict}\"}}")) as u64;
    let all = ["pass", "noted", "exempt", "protected", "kept", "monitored", "waived", "sunk"];
    let verdicts: BTreeMap<_, _> = all.iter().map(|verdict| ((*verdict).to_owned(), metric(verdict))).collect();
    let recorded = ["monitored", "waived", "sunk"].iter().map(|verdict| verdicts[*verdict]).sum::<u64>();
    let names = place::until(PATIENCE, "every attempt to be recorded", || {
        let mut names = BTreeMap::new();
        for of in daemon.json(&[&["attempts", "--json", "--limit", "1000"], more].concat()) {
            let text = |key: &str| of[key].as_str().unwrap().to_owned();
            *names.entry((text("name"), text("verdict"))).or_default() += of["count"].as_u64().unwrap();
        }
        (names.values().sum::<u64>() == recorded).then_some(names)
    });
    (verdicts, names)
}

/// Returns how often the harness has asked, until the server was there, by a log that is whole.
fn probes(log: &Path) -> u64 {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    assert!(text.contains(LAST), "{}:\n{text}", log.display());
    text.lines().filter(|line| is_probe(line)).count() as u64
}

/// Returns whether a line tells of a query of the harness, and not of its answer.
fn is_probe(line: &str) -> bool {
    let asked = ["query[A] open.example from", "msg=\"Question", "msg=\"TCP question", ": query: open.example"];
    line.ends_with("open.example. A IN")
        || line.contains("open.example") && asked.iter().any(|asked| line.contains(asked))
}

/// A server that logs, its log, and a dnstap file where it writes one.
fn bind(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let here = Ipv4Addr::LOCALHOST.into();
    let address = SocketAddr::new(here, place::port_on(here));
    let own = folder.display();
    let text = format!(
        "options {{ directory \"{own}\"; listen-on port {} {{ {here}; }}; listen-on-v6 {{ none; }}; pid-file none;\n\
         session-keyfile none; recursion yes; forward only; forwarders port {} {{ {}; }}; dnssec-validation no;\n\
         querylog yes; dnstap {{ client; }}; dnstap-output file \"{own}/bind.tap\"; }};\ncontrols {{ }};\n\
         logging {{ channel q {{ file \"{own}/bind.log\"; print-time yes; print-severity yes; print-category yes; }};\n\
         category queries {{ q; }}; }};\n",
        address.port(),
        upstream.port(),
        upstream.ip()
    );
    std::fs::write(folder.join("named.conf"), text).unwrap();
    (start("named", &["-f", "-c", "named.conf"], folder, address), address)
}

fn unbound(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let address = place::socket();
    let own = folder.display();
    let text = format!(
        "server:\n interface: {0}@{1}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{own}\"\n\
         \x20use-syslog: no\n logfile: \"{own}/queries.unbound\"\n log-queries: yes\n log-replies: yes\n\
         \x20module-config: \"iterator\"\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n\
         remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: {2}@{3}\n",
        address.ip(),
        address.port(),
        upstream.ip(),
        upstream.port()
    );
    std::fs::write(folder.join("unbound.conf"), text).unwrap();
    (start("unbound", &["-d", "-c", "unbound.conf"], folder, address), address)
}

fn dnsmasq(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let address = place::socket();
    let arguments = [
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".to_owned(),
        format!("--port={}", address.port()),
        format!("--listen-address={}", address.ip()),
        "--bind-interfaces".to_owned(),
        "--no-resolv".to_owned(),
        "--no-hosts".to_owned(),
        "--user=".to_owned(),
        "--pid-file=".to_owned(),
        format!("--server={}#{}", upstream.ip(), upstream.port()),
        "--log-queries=extra".to_owned(),
        format!("--log-facility={}/queries.dnsmasq", folder.display()),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    (start("dnsmasq", &arguments, folder, address), address)
}

fn powerdns(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let address = place::socket();
    let own = folder.display();
    let arguments = [
        format!("--config-dir={own}"),
        format!("--socket-dir={own}"),
        format!("--local-address={address}"),
        format!("--forward-zones-recurse=.={upstream}"),
        "--quiet=no".to_owned(),
        "--daemon=no".to_owned(),
        "--write-pid=no".to_owned(),
        "--disable-syslog=yes".to_owned(),
        "--dnssec=off".to_owned(),
        "--setuid=".to_owned(),
        "--setgid=".to_owned(),
    ];
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    // It writes its log to standard error, which the harness keeps.
    (start("pdns_recursor", &arguments, folder, address), address)
}

/// A proxy that denies whatever is asked for: it logs that like anything else, and looks up no name for it.
fn squid(folder: &Path) -> (Peer, SocketAddr) {
    let address = place::socket();
    let (own, log) = (folder.display(), folder.join("access.log"));
    // Begun by root, it goes on as somebody who owns nothing.
    std::fs::write(&log, "").unwrap();
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&log, Permissions::from_mode(0o666)).unwrap();
    let text = format!(
        "http_port {address}\nvisible_hostname proxy.example\nhttp_access deny all\naccess_log stdio:{own}/access.log squid\n\
         cache_log /dev/null\npid_filename none\ncache_effective_user nobody\ncache deny all\ncache_mem 0\n\
         netdb_filename none\npinger_enable off\nshutdown_lifetime 0 seconds\nmax_filedescriptors 1024\n\
         coredump_dir none\ndns_nameservers 127.0.0.1\n",
    );
    std::fs::write(folder.join("squid.conf"), text).unwrap();
    // What it shares with itself is named after the service.
    let name = format!("interdict{}", std::process::id());
    let ready = || std::net::TcpStream::connect(address).ok().map(drop);
    (begin("squid", &["-N", "-n", &name, "-f", "squid.conf"], folder, ready), address)
}

/// Asks a proxy for the same names as [`ask`] does a name server: in clear in place of UDP, through a tunnel in place of TCP.
fn ask_proxy(proxy: SocketAddr) {
    let ask = |request: String| {
        let mut stream = std::net::TcpStream::connect(proxy).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
    };
    let get = |name: &str| ask(format!("GET http://{name}/x?y HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"));
    for (name, _, udp, tcp) in QUERIES {
        (0..*udp).for_each(|_| get(name));
        let connect = || ask(format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\nConnection: close\r\n\r\n"));
        (0..*tcp).for_each(|_| connect());
    }
    get(LAST);
}

#[test]
fn what_servers_have_logged_is_decided_as_the_daemon_decides_it() {
    needs!("nsd", "named", "unbound", "dnsmasq", "pdns_recursor", "squid");
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    type Begin = fn(&Path, SocketAddr) -> (Peer, SocketAddr);
    let servers: [(Begin, &str, &str); 4] = [
        (bind, "bind", "bind.log"),
        (unbound, "unbound", "queries.unbound"),
        (dnsmasq, "dnsmasq", "queries.dnsmasq"),
        (powerdns, "powerdns", "pdns_recursor.log"),
    ];
    let mut logs = Vec::new();
    for (server_of, format, log) in servers {
        let (server, address) = server_of(folder.path(), upstream.address);
        ask(address);
        // Some hold back what they log until they end.
        server.end();
        let probes = probes(&at(log));
        logs.push((format, at(log).display().to_string(), probes));
    }
    logs.push(("dnstap", at("bind.tap").display().to_string(), logs[0].2));
    let (proxy, address) = squid(folder.path());
    ask_proxy(address);
    proxy.end();
    logs.push(("squid", at("access.log").display().to_string(), probes(&at("access.log"))));
    // Any zone and any year will do, since the instant that is decided at is told.
    let year = "2026";
    // Before the instant, between the two, and after both.
    for instant in ["2024-07-01T00:00:00Z", "2024-09-01T00:00:00Z", "2024-10-01T00:00:00Z"] {
        let daemon = Setup::forwarding_to(&upstream).at(instant).start();
        ask(daemon.dns);
        let expected = live(&daemon, &["--rehearsal"]);
        assert!(expected.1.len() > 1, "{expected:?}");
        for (format, log, probes) in &logs {
            let found = scanned(&[log, "--at", instant, "--zone", "UTC", "--year", year], *probes);
            assert_eq!(found, expected, "{format} at {instant}");
        }
    }
    let files: Vec<_> = logs.iter().map(|(_, log, _)| log.as_str()).collect();
    let all = scanned(&[&files[..], &["--zone", "UTC", "--year", year]].concat(), logs.iter().map(|of| of.2).sum());
    let asked: usize = QUERIES.iter().map(|(_, _, udp, tcp)| udp + tcp).sum::<usize>() + 1;
    assert_eq!(all.0.values().sum::<u64>(), (asked * logs.len()) as u64);
}

#[test]
fn a_capture_of_what_the_daemon_was_asked_is_decided_as_it_was() {
    needs!("nsd", "tcpdump", "root");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    let capture = daemon.folder().join("capture");
    let log = std::fs::File::create(daemon.folder().join("tcpdump.log")).unwrap();
    let mut command = place::tied(place::find("tcpdump").unwrap());
    command.args(["-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w"]).arg(&capture);
    command.arg(format!("host {}", daemon.dns.ip())).stdin(Stdio::null()).stderr(log);
    let mut tcpdump = command.spawn().unwrap();
    place::until(PATIENCE, "tcpdump to listen", || {
        let told = std::fs::read_to_string(daemon.folder().join("tcpdump.log")).unwrap();
        told.contains("listening on").then_some(())
    });
    ask(daemon.dns);
    let port = daemon.dns.port().to_string();
    let (path, expected) = (capture.display().to_string(), live(&daemon, &[]));
    let asked: u64 = expected.0.values().sum();
    place::until(PATIENCE, "the capture to be whole", || {
        let output = scan(&[&path, "--port", &port, "--format", "csv"]);
        let rows = String::from_utf8(output.stdout).unwrap();
        let counts = rows.lines().filter(|row| row.starts_with("\"verdict\""));
        let counts: u64 =
            counts.map(|row| row.split(',').nth(8).unwrap().trim_matches('"').parse::<u64>().unwrap()).sum();
        (counts == asked).then_some(())
    });
    drop(tcpdump.kill());
    drop(tcpdump.wait());
    assert_eq!(scanned(&[&path, "--port", &port], 0), expected);
    // Single attempts say the same, and a command that nobody listens to any more ends well.
    let output = scan(&[&path, "--port", &port, "--records"]);
    let records = String::from_utf8(output.stdout).unwrap();
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len() as u64, expected.1.values().sum::<u64>());
    assert!(records.iter().any(|of| of["transport"] == "tcp") && records.iter().any(|of| of["transport"] == "udp"));
    // What the same clients would meet at another instant: nothing is withheld then that is now.
    let mut command = Command::new(program());
    command.args(["simulate", &path, "--port", &port, "--at", "2024-07-01T00:00:00Z", "--format", "json"]);
    let output = command.env("INTERDICT_DATA_DIR", "/nonexistent").output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["effects"]["lifted"]["count"].as_u64(), Some(expected.0["sunk"]), "{found}");
    assert_eq!(found["effects"]["blocked"]["count"], 0);
}

#[test]
fn what_cannot_be_read_is_told_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let line = "27-Nov-2026 04:55:33.123 client @0x1 192.0.2.7#4000 (x): query: ";
    let good = file("good", &format!("{line}=1+1.dnl-01.geo.kaspersky.com IN A +\n{line}a\u{1b}[2J..b IN A +\n"));
    let other = file("other", "nothing that anybody knows\n");
    let output = scan(&[&other, &good]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{told}");
    assert!(told.contains("its content is none of pcap"), "{told}");
    let output = scan(&[&good]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("--zone"), "{told}");
    let output = scan(&[&good, &file("empty", ""), "--zone", "Europe/Berlin"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("1 unread: the name is no domain name; first line 2"), "{text}");
    assert!(text.contains("1 of 1 queries attempted contact with a service that was prohibited then"), "{text}");
    assert!(!text.contains('\u{1b}'));
    let output = scan(&[&good, "--zone", "UTC", "--format", "csv"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"'=1+1.dnl-01.geo.kaspersky.com\""), "{text}");
}
