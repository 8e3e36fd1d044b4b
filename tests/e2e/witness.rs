//! The log elsewhere: a witness cosigns what only grows, and an object store holds what was published.

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
    needs!("python3-cryptography");
    let line = Command::new(place::PYTHON).arg(script()).args(["key", SECRET]).output().unwrap().stdout;
    let line = String::from_utf8(line).unwrap().trim().to_owned();
    let (ip, port) = (place::server_address(), place::port());
    let mut table = toml::Table::new();
    table.insert("url".to_owned(), format!("http://{ip}:{port}/w/").into());
    table.insert("key".to_owned(), line.clone().into());
    table.insert("private".to_owned(), true.into());
    let setup = Setup::new().set("ledger.checkpoint_s", 1).set("ledger.witness", vec![table]);
    let state = setup.folder.path().join("witness");
    let start = |log: &str| {
        let mut command = place::tied(place::PYTHON);
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

/// A store that was found on this machine, or that of this test, which checks every signature.
fn store(folder: &Path, moto: Option<&Path>, (ip, port): (std::net::IpAddr, u16)) -> Server {
    let mut command = place::tied(moto.map_or_else(|| place::find("python3").unwrap(), Path::to_owned));
    match moto {
        Some(_) => command.args(["-H", &ip.to_string(), "-p", &port.to_string()]),
        None => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/store.py");
            command.arg(script).args([ip.to_string(), port.to_string()]).arg(folder).args(["ID", "SECRET"])
        }
    };
    let started = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    place::until(PATIENCE, "the store to listen", || std::net::TcpStream::connect((ip, port)).ok());
    started
}

/// Copies the objects of a store that checks no signature.
const COPY: &str = "
import os, re, sys, urllib.request
to, folder = sys.argv[1:]
by = {'Authorization': 'AWS4-HMAC-SHA256 Credential=ID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0'}
get = lambda path: urllib.request.urlopen(urllib.request.Request(to + path, headers=by)).read()
for key in re.findall('<Key>([^<]*)</Key>', get('?list-type=2').decode()):
    path = os.path.join(folder, key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'wb').write(get('/' + key))
";

#[test]
fn a_log_that_is_published_to_a_bucket_verifies_and_goes_on_after_the_store_was_away() {
    needs!("python3");
    published_to(None);
    // Another's store too, where this machine has one.
    if let Some(moto) = place::find("moto_server") {
        published_to(Some(&moto));
    }
}

fn published_to(moto: Option<&Path>) {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("store");
    std::fs::create_dir_all(folder.join("evidence")).unwrap();
    let (ip, port) = (place::server_address(), place::port());
    let credentials = elsewhere.path().join("credentials");
    std::fs::write(&credentials, "[default]\naws_access_key_id = ID\naws_secret_access_key = SECRET\n").unwrap();
    let daemon = Setup::new()
        .set("ledger.checkpoint_s", 1)
        .set("ledger.publish", "s3://evidence/site-1")
        .set("ledger.publish_endpoint", format!("http://{ip}:{port}"))
        .set("ledger.publish_credentials", credentials.display().to_string())
        .start();
    place::until(PATIENCE, "the store to be missed", || health(&daemon).contains("not published").then_some(()));
    assert_eq!(daemon.metric("interdict_ledger_publish_failing"), 1.0);
    let server = store(&folder, moto, (ip, port));
    if moto.is_some() {
        let made = "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], method='PUT'))";
        place::run(Command::new("python3").args(["-c", made, &format!("http://{ip}:{port}/evidence")]));
    }
    let published = |daemon: &Daemon| daemon.metric("interdict_ledger_published_timestamp_seconds") > 0.0;
    place::until(PATIENCE, "a checkpoint to be published", || published(&daemon).then_some(()));
    place::until(PATIENCE, "health", || (!health(&daemon).contains("not published")).then_some(()));
    for number in 0..300 {
        ask(&daemon, &format!("n{number}.upd.kaspersky.com"));
    }
    assert!(!daemon.told().contains("SECRET") && !health(&daemon).contains("SECRET"));
    let line = line_of(&daemon);
    let setup = daemon.stop();
    let newest = std::fs::read_to_string(setup.data().join("ledger/1/checkpoint")).unwrap();
    let copy = elsewhere.path().join("copy");
    if moto.is_some() {
        let from = format!("http://{ip}:{port}/evidence");
        place::run(Command::new("python3").args(["-c", COPY, &from]).arg(&copy));
    } else {
        std::fs::rename(folder.join("evidence"), &copy).unwrap();
        std::fs::create_dir(folder.join("evidence")).unwrap();
        let copied = Command::new("cp").arg("-a").args([copy.join("site-1"), folder.join("evidence")]).status();
        assert!(copied.unwrap().success());
    }
    let of = copy.join("site-1");
    assert_eq!(
        std::fs::read_to_string(of.join("1/checkpoint")).unwrap(),
        newest,
        "a stop publishes what it has signed"
    );
    let verify =
        Command::new(crate::daemon::program()).args(["ledger", "verify", "--key", &line]).arg(&of).output().unwrap();
    assert_eq!(verify.status.code(), Some(0), "{}", String::from_utf8_lossy(&verify.stdout));
    assert!(of.join("1/tile/entries/000").is_file() && !of.join("1/tile/entries/000.p").exists());
    // A later start goes on, and writes nothing over.
    let daemon = setup.start();
    ask(&daemon, "later.upd.kaspersky.com");
    place::until(PATIENCE, "a checkpoint to be published", || published(&daemon).then_some(()));
    drop(daemon.stop());
    assert!(!folder.with_extension("overwritten").exists());
    drop(server);
}
