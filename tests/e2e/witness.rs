//! A witness elsewhere bears the log out: it cosigns what only grows, and nothing else.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire;

const SECRET: &str = "0707070707070707070707070707070707070707070707070707070707070707";

/// A witness in a process of its own; ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/witness.py")
}

fn ask(daemon: &Daemon, name: &str) {
    let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
    assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
}

fn line_of(daemon: &Daemon) -> String {
    place::until(PATIENCE, "a log", || {
        let output = daemon.command(&["ledger", "key"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    })
}

/// Returns how many leaves the witness has borne out, as verification finds.
fn witnessed(daemon: &Daemon, witness: &str) -> u64 {
    let found = daemon.command(&["ledger", "verify", "--json", "--witness", witness]);
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["integrity"], "intact", "{found}");
    found["logs"][0]["witnessed"][0]["leaves"].as_u64().unwrap_or(0)
}

fn health(daemon: &Daemon) -> String {
    crate::daemon::fetch(daemon.admin, "/health/ready").unwrap().1
}

#[test]
fn a_witness_cosigns_what_grows_and_refuses_a_log_that_was_put_back() {
    needs!("python3", "python3-cryptography");
    let line = Command::new("python3").arg(script()).args(["key", SECRET]).output().unwrap().stdout;
    let line = String::from_utf8(line).unwrap().trim().to_owned();
    let (ip, port) = (place::server_address(), place::port());
    let mut table = toml::Table::new();
    table.insert("url".to_owned(), format!("http://{ip}:{port}/w/").into());
    table.insert("key".to_owned(), line.clone().into());
    table.insert("private".to_owned(), true.into());
    let setup = Setup::new().set("ledger.checkpoint_s", 1).set("ledger.witness", vec![table]);
    let state = setup.folder.path().join("witness");
    let start = |log: &str| {
        let mut command = place::tied(place::find("python3").unwrap());
        command.arg(script()).args([ip.to_string(), port.to_string()]).arg(&state).args([log, SECRET]);
        let started = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        place::until(PATIENCE, "the witness to listen", || std::net::TcpStream::connect((ip, port)).ok());
        started
    };
    let answers = || std::fs::read_to_string(state.with_extension("log")).unwrap_or_default();
    let daemon = setup.start();
    let (failing, cosigned) = ("interdict_ledger_witnesses_failing", "interdict_ledger_cosigned_timestamp_seconds");

    // Nobody waits for one that is not there.
    ask(&daemon, "a.upd.kaspersky.com");
    place::until(PATIENCE, "the witness to be missed", || (daemon.metric(failing) == 1.0).then_some(()));
    assert!(health(&daemon).contains("witness.example/w1 has cosigned no leaves"), "{}", health(&daemon));
    let log = line_of(&daemon);
    let server = start(&log);
    place::until(PATIENCE, "a cosignature", || (daemon.metric(cosigned) > 0.0).then_some(()));
    place::until(PATIENCE, "health", || (daemon.metric(failing) == 0.0).then_some(()));
    let first = witnessed(&daemon, &line);
    assert!(first > 0);
    ask(&daemon, "b.upd.kaspersky.com");
    place::until(PATIENCE, "a larger one", || (witnessed(&daemon, &line) > first).then_some(()));

    // What is not known here any more, the witness tells.
    let before = daemon.stop();
    let data = before.data();
    std::fs::remove_dir_all(data.join("ledger/1/cosigned")).unwrap();
    let copy = data.with_extension("copy");
    assert!(Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap().success());
    let daemon = before.start();
    place::until(PATIENCE, "the witness to tell its size", || answers().contains("409").then_some(()));
    place::until(PATIENCE, "a cosignature", || (witnessed(&daemon, &line) > first).then_some(()));

    // Everything is put back as it was, key folder too, and goes on otherwise: the log itself does not show it.
    ask(&daemon, "c.upd.kaspersky.com");
    let known = witnessed(&daemon, &line);
    place::until(PATIENCE, "a larger one", || (witnessed(&daemon, &line) > known).then_some(()));
    let setup = daemon.stop();
    let newest = std::fs::read_to_string(data.join("ledger/1/checkpoint")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&copy, &data).unwrap();
    let daemon = setup.start();
    for number in 0..20 {
        ask(&daemon, &format!("d{number}.upd.kaspersky.com"));
    }
    place::until(PATIENCE, "the witness to refuse", || (daemon.metric(failing) == 1.0).then_some(()));
    assert!(answers().ends_with("409\n") || answers().ends_with("422\n"), "{}", answers());
    let kept = daemon.folder().join("newest");
    std::fs::write(&kept, newest).unwrap();
    let verify = daemon.command(&["ledger", "verify", "--from", kept.to_str().unwrap()]);
    assert!(matches!(verify.status.code(), Some(3 | 4)), "{verify:?}");
    drop(server);
}
