//! Records at real receivers: each arrives, also where the receiver goes away and comes back in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Setup, fetch};
use crate::disk::Small;
use crate::place::{self, PATIENCE, run};
use crate::wire;

/// A receiver of records, in a process of its own; ends with the test.
struct Receiver(Child);

impl Receiver {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn end(mut self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        place::until(PATIENCE, "a receiver to end", || self.0.try_wait().unwrap());
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Makes a certificate for the address of this test, which vouches for itself.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    let name = format!("subjectAltName=IP:{}", place::server_address());
    let mut command = Command::new(place::find("openssl").unwrap());
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=receiver", "-addext", &name, "-addext", "basicConstraints=critical,CA:FALSE"]);
    run(command.arg("-out").arg(&certificate).arg("-keyout").arg(&key));
    (certificate, key)
}

fn receiver(name: &str, kind: &str, to: impl ToString, more: &[(&str, &Path)]) -> toml::Value {
    let mut table = toml::Table::new();
    for (key, value) in [("name", name.to_owned()), ("kind", kind.to_owned()), ("to", to.to_string())] {
        table.insert(key.to_owned(), value.into());
    }
    table.extend(more.iter().map(|(key, path)| ((*key).to_owned(), path.display().to_string().into())));
    table.into()
}

fn ask(daemon: &Daemon, names: std::ops::Range<usize>) {
    for number in names {
        let answer = wire::udp(daemon.dns, &wire::query(&format!("n{number}.upd.kaspersky.com"), wire::A));
        assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
    }
}

/// Returns the records of the daemon as `interdict export` tells them, by their number.
fn exported(daemon: &Daemon) -> BTreeMap<u64, Value> {
    numbered(daemon.json(&["export", "--format", "json"]))
}

fn numbered(lines: Vec<Value>) -> BTreeMap<u64, Value> {
    lines.into_iter().map(|line| (line["seq"].as_u64().unwrap(), line)).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last one may be half written.
    text.split_inclusive('\n').filter_map(|line| serde_json::from_str(line.strip_suffix('\n')?).ok()).collect()
}

/// Waits until everything recorded by now has arrived, each record as it is.
fn assert_arrived(daemon: &Daemon, what: &str, received: impl Fn() -> BTreeMap<u64, Value>) {
    let expected = place::until(PATIENCE, "the records to be on disk", || {
        Some(exported(daemon)).filter(|records| records.len() > 100)
    });
    place::until(PATIENCE, what, || {
        let received = received();
        expected.keys().all(|seq| received.contains_key(seq)).then_some(())
    });
    let received = received();
    for (seq, record) in &expected {
        assert_eq!(&received[seq], record, "{what}");
    }
}

fn rsyslog(folder: &Path, (udp, tls): (u16, u16), (certificate, key): &(PathBuf, PathBuf)) -> Receiver {
    let (ip, at) = (place::server_address(), folder.display());
    let text = format!(
        "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"ossl\"\n\
         \x20   defaultNetstreamDriverCAFile=\"{0}\" defaultNetstreamDriverCertFile=\"{0}\"\n\
         \x20   defaultNetstreamDriverKeyFile=\"{1}\")\n\
         module(load=\"imudp\")\n\
         module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
         template(name=\"message\" type=\"string\" string=\"%msg%\\n\")\n\
         ruleset(name=\"udp\") {{ action(type=\"omfile\" file=\"{at}/udp.log\" template=\"message\") }}\n\
         ruleset(name=\"tls\") {{ action(type=\"omfile\" file=\"{at}/tls.log\" template=\"message\") }}\n\
         input(type=\"imudp\" address=\"{ip}\" port=\"{udp}\" ruleset=\"udp\")\n\
         input(type=\"imtcp\" address=\"{ip}\" port=\"{tls}\" ruleset=\"tls\")\n",
        certificate.display(),
        key.display(),
    );
    let config = folder.join("rsyslog.conf");
    std::fs::write(&config, text).unwrap();
    let started = Receiver::start(
        place::tied(place::find("rsyslogd").unwrap())
            .arg("-n")
            .arg("-f")
            .arg(&config)
            .arg("-i")
            .arg(folder.join("pid")),
    );
    place::until(PATIENCE, "rsyslog to listen", || std::net::TcpStream::connect((ip, tls)).ok());
    started
}

#[test]
fn rsyslog_gets_every_record_over_tls_though_it_restarts() {
    needs!("rsyslogd", "openssl");
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (ports, keys) = ((place::port(), place::port()), certificate(&folder));
    let ip = place::server_address();
    let server = rsyslog(&folder, ports, &keys);
    let daemon = setup
        .set(
            "export.receiver",
            vec![
                receiver("udp", "syslog-udp", format!("{ip}:{}", ports.0), &[]),
                receiver("tls", "syslog-tls", format!("{ip}:{}", ports.1), &[("ca", &keys.0)]),
            ],
        )
        .start();
    ask(&daemon, 0..60);
    // A first part is there: the connection is open, and what goes over it now is what a restart may lose.
    place::until(PATIENCE, "records to arrive", || (!lines(&folder.join("tls.log")).is_empty()).then_some(()));
    ask(&daemon, 60..90);
    server.end(Signal::SIGTERM);
    ask(&daemon, 90..120);
    place::until(PATIENCE, "the failure to be told", || {
        (daemon.metric("interdict_export_failing{export=\"tls\"}") > 0.0).then_some(())
    });
    let before = lines(&folder.join("udp.log")).len();
    let _server = rsyslog(&folder, ports, &keys);
    ask(&daemon, 120..150);
    assert_arrived(&daemon, "all records to arrive over TLS", || numbered(lines(&folder.join("tls.log"))));
    place::until(PATIENCE, "records to arrive over UDP again", || {
        (lines(&folder.join("udp.log")).len() > before).then_some(())
    });
    let (datagrams, expected) = (lines(&folder.join("udp.log")), exported(&daemon));
    assert!(datagrams.iter().all(|line| expected[&line["seq"].as_u64().unwrap()] == *line));
}

#[test]
fn a_server_that_is_not_vouched_for_gets_nothing() {
    needs!("rsyslogd", "openssl");
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (ports, keys) = ((place::port(), place::port()), certificate(&folder));
    let other = folder.join("other");
    std::fs::create_dir(&other).unwrap();
    let (stranger, _) = certificate(&other);
    let _server = rsyslog(&folder, ports, &keys);
    let to = format!("{}:{}", place::server_address(), ports.1);
    let daemon = setup.set("export.receiver", vec![receiver("tls", "syslog-tls", to, &[("ca", &stranger)])]).start();
    place::until(PATIENCE, "the stranger to be told", || {
        daemon.told().to_lowercase().contains("certificate").then_some(())
    });
    assert!(lines(&folder.join("tls.log")).is_empty());
}

#[test]
fn an_otlp_receiver_that_is_killed_gets_what_it_missed() {
    needs!("python3", "openssl");
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, keys, file) = (place::port(), certificate(&folder), folder.join("requests"));
    let ip = place::server_address();
    let start = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/receiver.py");
        let mut command = place::tied(place::find("python3").unwrap());
        let started = Receiver::start(
            command.arg(script).args([ip.to_string(), port.to_string()]).args([&keys.0, &keys.1, &file]),
        );
        place::until(PATIENCE, "the receiver to listen", || std::net::TcpStream::connect((ip, port)).ok());
        started
    };
    let secret = folder.join("secret");
    std::fs::write(&secret, "Bearer secret\n").unwrap();
    let server = start();
    let lines_file = folder.join("lines.json");
    let daemon = setup
        .set(
            "export.receiver",
            vec![
                receiver(
                    "otlp",
                    "otlp",
                    format!("https://{ip}:{port}/v1/logs"),
                    &[("ca", &keys.0), ("authorization_file", &secret)],
                ),
                receiver("file", "file", lines_file.display(), &[]),
            ],
        )
        .start();
    ask(&daemon, 0..60);
    place::until(PATIENCE, "requests to arrive", || (!lines(&file).is_empty()).then_some(()));
    server.end(Signal::SIGKILL);
    ask(&daemon, 60..120);
    let _server = start();
    assert_arrived(&daemon, "all records to arrive by OTLP", || {
        let requests = lines(&file);
        let records = requests
            .iter()
            .flat_map(|request| request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone());
        numbered(records.map(|of| serde_json::from_str(of["body"]["stringValue"].as_str().unwrap()).unwrap()).collect())
    });

    // The file is moved away as log rotation does; what comes later is in a new one, and nothing is in both.
    assert_arrived(&daemon, "all records to be in the file", || numbered(lines(&lines_file)));
    let moved = folder.join("lines.json.1");
    std::fs::rename(&lines_file, &moved).unwrap();
    daemon.signal(Signal::SIGUSR2);
    place::until(PATIENCE, "the new file", || {
        ask(&daemon, 200..201);
        lines_file.exists().then_some(())
    });
    let numbers = |path: &Path| numbered(lines(path)).into_keys().collect::<BTreeSet<_>>();
    assert!(numbers(&moved).is_disjoint(&numbers(&lines_file)));
    let setup = daemon.kill();
    let daemon = setup.start();
    assert_arrived(&daemon, "records over kill -9", || numbered([lines(&moved), lines(&lines_file)].concat()));
}

#[test]
fn what_is_captured_by_dnstap_is_every_look_up_with_its_policy() {
    needs!("fstrm_capture", "dnstap-read");
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let socket = folder.join("dnstap.sock");
    let start = |file: &str| {
        let file = folder.join(file);
        drop(std::fs::remove_file(&socket));
        let mut command = place::tied(place::find("fstrm_capture").unwrap());
        let started =
            Receiver::start(command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(&socket).arg("-w").arg(&file));
        place::until(PATIENCE, "fstrm_capture to listen", || socket.exists().then_some(()));
        started
    };
    let first = start("first.tap");
    let (ip, port, by_tcp) = (place::server_address(), place::port(), folder.join("tcp.tap"));
    let mut command = place::tied(place::find("fstrm_capture").unwrap());
    command.args(["-t", "protobuf:dnstap.Dnstap", "-a", &ip.to_string(), "-p", &port.to_string(), "-w"]).arg(&by_tcp);
    let tcp = Receiver::start(&mut command);
    let daemon = setup
        .set(
            "export.receiver",
            vec![
                receiver("tap", "dnstap", socket.display(), &[]),
                receiver("tcp", "dnstap", format!("{ip}:{port}"), &[]),
            ],
        )
        .start();
    ask(&daemon, 0..60);
    let taken_by = |name| daemon.metric(&format!("interdict_export_events_total{{export=\"{name}\"}}"));
    let taken = || taken_by("tap").min(taken_by("tcp"));
    place::until(PATIENCE, "look-ups to be taken", || (taken() > 0.0).then_some(()));
    ask(&daemon, 60..80);
    first.end(Signal::SIGTERM);
    ask(&daemon, 80..120);
    let second = start("second.tap");
    place::until(PATIENCE, "everything to be taken", || {
        let recorded = exported(&daemon);
        let attempts = recorded.values().filter(|record| record["kind"] == "attempt").count();
        (attempts == 120 && taken() >= recorded.len() as f64).then_some(())
    });
    second.end(Signal::SIGTERM);
    tcp.end(Signal::SIGTERM);
    let read = |file: &str| run(Command::new(place::find("dnstap-read").unwrap()).arg("-p").arg(folder.join(file)));
    let text = read("first.tap") + &read("second.tap");
    for number in 0..120 {
        let name = format!("n{number}.upd.kaspersky.com/IN/A");
        for kind in [" CQ ", " CR "] {
            assert!(text.lines().any(|line| line.contains(kind) && line.contains(&name)), "{kind}{name} in\n{text}");
        }
    }
    assert!(text.contains("status: NXDOMAIN"), "{text}");
    assert_eq!(read("tcp.tap").matches(" CR ").count(), 120);
    // What has no daemon behind it reads the same way.
    let file = folder.join("period.tap");
    let output = daemon.command(&["export", "--format", "dnstap", "-o", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(read("period.tap").matches(" CR ").count(), 120);
}

#[test]
fn an_export_to_a_full_disk_is_told_and_goes_on_with_each_record_once() {
    needs!("root", "mount", "umount");
    let setup = Setup::new();
    let folder = setup.folder.path().join("out");
    let small = Small::mount(&folder, "256k");
    let file = folder.join("records.json");
    let daemon = setup.set("export.receiver", vec![receiver("disk", "file", file.display(), &[])]).start();
    ask(&daemon, 0..20);
    place::until(PATIENCE, "the first records", || (lines(&file).len() > 20).then_some(()));
    let filler = small.fill();
    // More than the last page has room for, so that a part of a batch is written before the disk is full.
    place::until(PATIENCE, "the full disk to be told", || {
        ask(&daemon, 20..60);
        let (_, health) = fetch(daemon.admin, "/health/ready").unwrap();
        (health.contains("takes no records") && health.contains("No space left")).then_some(())
    });
    ask(&daemon, 60..160);
    std::fs::remove_file(filler).unwrap();
    assert_arrived(&daemon, "what came while the disk was full", || numbered(lines(&file)));
    let text = std::fs::read_to_string(&file).unwrap();
    let whole = lines(&file);
    assert_eq!(text.lines().count(), whole.len(), "a line is torn");
    assert_eq!(numbered(whole.clone()).len(), whole.len(), "a record came twice");
    daemon.stop();
}

#[test]
fn clear_addresses_leave_only_where_somebody_says_so() {
    let daemon = Setup::new().start();
    ask(&daemon, 0..2);
    place::until(PATIENCE, "records", || (daemon.metric("interdict_ledger_leaves") > 3.0).then_some(()));
    let told = |arguments: &[&str]| {
        let output = daemon.command(&[&["export"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let address = "\"address\":\"127.0.0.1\"";
    for (arguments, clear) in [(&[][..], false), (&["--clients", "none"], false), (&["--clients", "plain"], true)] {
        assert_eq!(told(arguments).contains(address), clear, "{arguments:?}");
    }
    assert!(told(&["--clients", "network"]).contains("\"network\":\"127.0.0.0/24\""));
    let cef = told(&["--format", "cef", "--to", "1999-01-01T00:00:00Z"]);
    assert_eq!(cef, "");
}
