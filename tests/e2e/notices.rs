//! Notices: by real mail and real webhooks, once each, by a clock that somebody bears out.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::clock::{CATALOGUE, INSTANT, ORDER, honest, through};
use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::web::Authority;
use crate::wire;

const SECRET: &str = "0123456789abcdef";
const PASSWORD: &str = "correct horse";
const HOSTILE: &str = "<img/src=x>";

/// A receiver in a process of its own; ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Where notices arrive.
struct Post {
    folder: tempfile::TempDir,
    ip: IpAddr,
    ports: [u16; 2],
    certificate: (PathBuf, PathBuf),
}

impl Post {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ip, ports) = (place::server_address(), [place::port(), place::port()]);
        let authority = Authority::new();
        authority.write(&folder.path().join("ca.pem"));
        let certificate = authority.certify(&ip.to_string(), folder.path());
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self { folder, ip, ports, certificate }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn start(&self, kind: &str, more: &[&str]) -> Server {
        let port = self.ports[usize::from(kind == "hook")];
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/mailbox.py");
        let mut command = place::tied(place::PYTHON);
        command.arg(script).args([kind, &self.ip.to_string(), &port.to_string()]).arg(self.folder.path());
        command.arg(&self.certificate.0).arg(&self.certificate.1).args(more);
        let started = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        place::until(PATIENCE, "the receiver to listen", || std::net::TcpStream::connect((self.ip, port)).ok());
        started
    }

    fn smtp(&self, mode: &str) -> Server {
        self.start("smtp", &[mode, "interdict", PASSWORD])
    }

    /// Has a daemon send mail here.
    fn with_mail(&self, setup: Setup, mode: &str) -> Setup {
        setup
            .set("notice.smtp.server", format!("{}:{}", self.ip, self.ports[0]))
            .set("notice.smtp.tls", mode)
            .set("notice.smtp.from", "Interdict <interdict@corp.example>")
            .set("notice.smtp.to", vec!["helpdesk@corp.example", "security@corp.example"])
            .set("notice.smtp.user", "interdict")
            .set("notice.smtp.password_file", self.path("password"))
            .set("notice.smtp.ca_file", self.path("ca.pem"))
            .set("notice.smtp.private", true)
    }

    fn with_hook(&self, setup: Setup) -> Setup {
        let mut hook = toml::Table::new();
        hook.insert("name".to_owned(), "tickets".into());
        hook.insert("url".to_owned(), format!("https://{}:{}/hook", self.ip, self.ports[1]).into());
        hook.insert("secret_file".to_owned(), self.path("secret").into());
        hook.insert("ca_file".to_owned(), self.path("ca.pem").into());
        hook.insert("private".to_owned(), true.into());
        setup.set("notice.webhook", vec![hook])
    }

    /// Returns what has arrived, the first one first.
    fn arrived(&self, kind: &str) -> Vec<Value> {
        let read = |number: u32| std::fs::read(self.folder.path().join(format!("{kind}-{number}.json"))).ok();
        (1..).map_while(read).map(|octets| serde_json::from_slice(&octets).unwrap()).collect()
    }

    /// Returns the messages that are no tests.
    fn mails(&self) -> Vec<String> {
        let all = self.arrived("smtp").into_iter().map(|mail| mail["message"].as_str().unwrap().to_owned());
        all.filter(|message| !subject(message).contains("[test]")).collect()
    }

    fn hooks(&self) -> Vec<Value> {
        self.arrived("hook").into_iter().filter(|hook| hook["body"]["kind"] != "test").collect()
    }
}

fn subject(message: &str) -> String {
    let unfolded = message.replace("\r\n ", " ");
    let line = unfolded.lines().find_map(|line| line.strip_prefix("Subject: "));
    line.unwrap_or_else(|| panic!("{message}")).to_owned()
}

fn message_id(message: &str) -> &str {
    let line = message.lines().find_map(|line| line.strip_prefix("Message-ID: "));
    line.unwrap_or_else(|| panic!("{message}"))
}

/// Returns whether health finds nothing wrong with notices.
fn is_well(daemon: &Daemon) -> bool {
    let (_, health) = fetch(daemon.admin, "/health/ready").expect("health answers");
    let health: Value = serde_json::from_str(&health).unwrap();
    health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "notices").unwrap()["ok"] == true
}

/// The last words of a message before it was encoded for the way: soft ends of lines are taken out.
fn readable(message: &str) -> String {
    message.replace("=\r\n", "").replace("=3D", "=")
}

fn ask(daemon: &Daemon, from: &str) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket.send_to(&wire::query("a.upd.kaspersky.com", wire::A), daemon.dns).unwrap();
    socket.recv(&mut [0; 4096]).unwrap();
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn records(daemon: &Daemon, channel: &str) -> Vec<(String, bool)> {
    let changes = daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == "notice");
    let told = changes.map(|change| (change["what"].as_str().unwrap().to_owned(), change["accepted"] == true));
    let mut told: Vec<_> = told.filter(|(what, _)| what.ends_with(channel) && !what.contains(" test@")).collect();
    told.reverse();
    told
}

/// A daemon whose second prohibition begins at `instant`, with two devices that attempted contact.
fn asked_before(instant: Timestamp) -> (Setup, crate::scripted::Scripted) {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let (order, catalogue) = (setup.folder.path().join("order.toml"), setup.folder.path().join("catalogue.toml"));
    assert!(ORDER.contains(INSTANT), "the shipped order writes its instant otherwise");
    std::fs::write(&order, ORDER.replace(INSTANT, &format!("from = {instant:.0}"))).unwrap();
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let mut group = toml::Table::new();
    group.insert("name".to_owned(), "bench".into());
    group.insert("networks".to_owned(), vec!["127.77.0.7/32"].into());
    let mut device = toml::Table::new();
    device.insert("name".to_owned(), HOSTILE.into());
    device.insert("addresses".to_owned(), vec!["127.77.0.7"].into());
    let daemon = setup
        .set("policy.orders", vec![order.display().to_string()])
        .set("policy.catalogues", vec![catalogue.display().to_string()])
        .set("client.group", vec![group])
        .set("client.device", vec![device])
        .start();
    ["127.77.0.7", "127.77.0.8"].iter().for_each(|from| ask(&daemon, from));
    place::until(PATIENCE, "the records", || {
        let [list] = &daemon.json(&["devices", "--format", "json"])[..] else { panic!("not one object") };
        (list["devices"].as_array().unwrap().len() == 2).then_some(())
    });
    (daemon.stop(), upstream)
}

#[expect(clippy::disallowed_methods, reason = "what is to come lies after the present instant")]
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}

#[test]
fn a_notice_goes_out_once_by_each_way_and_the_next_one_when_the_clock_is_borne_out() {
    needs!("python3-aiosmtpd", "libfaketime");
    let post = Post::new();
    let instant = now().checked_add((24 * 8).hours()).unwrap();
    let (setup, _upstream) = asked_before(instant);
    let (_smtp, _hook) = (post.smtp("starttls"), post.start("hook", &[SECRET]));
    std::fs::write(post.path("refuse"), "").unwrap();
    let daemon = post.with_hook(post.with_mail(setup, "starttls")).start();

    let [mail] = &place::until(PATIENCE, "the mail", || Some(post.mails()).filter(|mails| !mails.is_empty()))[..]
    else {
        panic!("more than one message");
    };
    assert!(subject(mail).starts_with("In 8 days: 89 FR 52434, ") && subject(mail).ends_with("(2 devices)"), "{mail}");
    let text = readable(mail);
    assert!(text.contains("group bench: 1 (1 active") && text.contains("attempted contact"), "{text}");
    assert!(!text.contains("127.77.0") && !text.contains("img"), "a device is told of unasked: {text}");
    let envelope = &post.arrived("smtp")[0];
    assert_eq!((&envelope["tls"], envelope["to"].as_array().unwrap().len()), (&true.into(), 2), "{envelope}");

    // The receiver of webhooks refuses, and gets it again.
    place::until(PATIENCE, "a refusal to be recorded", || (!records(&daemon, "tickets").is_empty()).then_some(()));
    std::fs::remove_file(post.path("refuse")).unwrap();
    place::until(PATIENCE, "the webhook", || {
        records(&daemon, "tickets").last().is_some_and(|(_, accepted)| *accepted).then_some(())
    });
    let hooks = post.hooks();
    let (first, last) = (&hooks[0], hooks.last().unwrap());
    assert!(hooks.iter().all(|hook| hook["signed"] == true && hook["kind"] == "application/json"), "{hooks:?}");
    assert_eq!((&first["refused"], &last["refused"], &first["id"]), (&true.into(), &false.into(), &last["id"]));
    assert_eq!(
        (&last["body"]["kind"], &last["body"]["subjects"][0]["devices"]),
        (&"before".into(), &2.into()),
        "{last}"
    );
    assert!(!last["body"].to_string().contains("127.77.0"), "{last}");
    let what = format!(
        "notice us-commerce-2024/{}@{instant}-30d by smtp",
        last["body"]["subjects"][0]["prohibition"].as_str().unwrap()
    );
    assert_eq!(records(&daemon, "smtp"), [(what, true)]);
    assert!(!daemon.told().contains(SECRET) && !daemon.told().contains(PASSWORD));

    // A crash before it was noted as sent: once more by each way, and known again by whoever has it.
    let setup = daemon.kill();
    let path = setup.data().join("notices.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["entries"] = Vec::<Value>::new().into();
    std::fs::write(&path, kept.to_string()).unwrap();
    let taken = hooks.len();
    let daemon = setup.start();
    let hooks = place::until(PATIENCE, "the webhook", || Some(post.hooks()).filter(|hooks| hooks.len() > taken));
    let mails = place::until(PATIENCE, "the mail", || Some(post.mails()).filter(|mails| mails.len() > 1));
    assert_eq!(hooks[taken]["id"], hooks[0]["id"]);
    assert_eq!(message_id(&mails[1]), message_id(&mails[0]));
    assert!(!message_id(&mails[0]).contains(hooks[0]["id"].as_str().unwrap()), "two ways are told apart");
    place::until(PATIENCE, "the record", || (records(&daemon, "smtp").len() == 2).then_some(()));

    // Not again after a restart, not by a clock that has leapt ahead, and then only what stands.
    let told = done(&daemon.command(&["notice", "list"]));
    assert!(told.contains("-30d") && told.contains("to come") && told.contains("-7d"), "{told}");
    let later = instant.checked_add(1.hours()).unwrap();
    let shown = done(&daemon.command(&["notice", "show", "--at", &later.to_string(), "--template", "subject"]));
    assert!(shown.starts_with("In force: 89 FR 52434, "), "{shown}");
    let setup = daemon.stop().set("notice.list_devices", true);
    let daemon = through(setup, &later.strftime("%Y-%m-%d %H:%M:%S").to_string()).start();
    let told = done(&daemon.command(&["notice", "test"]));
    assert!(told.contains("smtp: sent to 2 recipients") && told.contains("tickets: sent"), "{told}");
    assert_eq!((post.mails().len(), post.hooks().len()), (2, hooks.len()), "a leap ahead brings no notice about");
    done(&daemon.command(&["clock", "accept", "--reason", "a test"]));
    let mails = place::until(PATIENCE, "the mail", || Some(post.mails()).filter(|mails| mails.len() > 2));
    assert!(subject(&mails[2]).starts_with("In force: ") && mails.len() == 3, "{mails:?}");
    assert_ne!(message_id(&mails[2]), message_id(&mails[0]));
    let text = readable(&mails[2]);
    assert!(text.contains("127.77.0.7 ") && text.contains("&lt;img") && text.matches("<img").count() == 1, "{text}");
    place::until(PATIENCE, "the webhook", || {
        let last = post.hooks().pop()?;
        let listed = last["body"]["subjects"][0]["listed"].as_array().map(Vec::len);
        (last["body"]["kind"] == "start" && listed == Some(2)).then_some(())
    });
}

#[test]
fn what_a_mail_server_refuses_is_told_and_nothing_goes_out_in_clear() {
    needs!("python3-aiosmtpd");
    let post = Post::new();
    let _smtp = post.smtp("implicit");
    let daemon = post.with_mail(Setup::new(), "implicit").start();
    let told = done(&daemon.command(&["notice", "test"]));
    assert!(told.contains("smtp: sent to 2 recipients"), "{told}");
    assert!(subject(post.arrived("smtp")[0]["message"].as_str().unwrap()).starts_with("[test] Interdict at "));

    std::fs::write(post.path("password"), "wrong").unwrap();
    let refused = daemon.command(&["notice", "test"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("smtp: the mail server refuses") && !told.contains("wrong"), "{told}");
    assert!(is_well(&daemon), "no notice is late by a test that fails");
    assert_eq!(post.arrived("smtp").len(), 1);

    // Somebody whom nobody certifies, and somebody who speaks no TLS.
    let setup = daemon.stop().set("notice.smtp.ca_file", "");
    let daemon = setup.start();
    let told = String::from_utf8_lossy(&daemon.command(&["notice", "test"]).stderr).into_owned();
    assert!(told.contains("is not trusted"), "{told}");
    let plain = std::net::TcpListener::bind((post.ip, place::port())).unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = plain.accept().unwrap();
        drop(stream.write_all(b"220 plain\r\n"));
        let _ = stream.read(&mut [0; 512]);
        drop(stream.write_all(b"250-plain\r\n250 AUTH PLAIN\r\n"));
        let mut after = Vec::new();
        drop(stream.read_to_end(&mut after));
        assert!(after.is_empty(), "{after:?}");
    });
    let setup = daemon.stop().set("notice.smtp.tls", "starttls").set("notice.smtp.server", address.to_string());
    let daemon = setup.start();
    let told = String::from_utf8_lossy(&daemon.command(&["notice", "test"]).stderr).into_owned();
    assert!(told.contains("does not offer STARTTLS"), "{told}");
    // Somebody whose words never end is not listened to for long.
    let flood = Post { ports: [place::port(), place::port()], ..Post::new() };
    let _flood = flood.start("flood", &[]);
    let daemon = flood.with_mail(daemon.stop(), "implicit").start();
    let told = String::from_utf8_lossy(&daemon.command(&["notice", "test"]).stderr).into_owned();
    assert!(told.contains("it says more than a mail server has to say"), "{told}");
    let setup = daemon.stop().set("notice.smtp.private", false);
    let daemon = setup.start();
    let told = String::from_utf8_lossy(&daemon.command(&["notice", "test"]).stderr).into_owned();
    assert!(told.contains("a private address or one of this machine"), "{told}");
    std::fs::remove_file(flood.path("password")).unwrap();
    let told = daemon.stop().check(&[]);
    assert!(told.contains("notice by smtp: cannot read the password"), "{told}");
}

#[test]
fn a_notice_says_until_when_a_resolver_only_monitors_and_nothing_of_withholding() {
    needs!("python3-aiosmtpd");
    let post = Post::new();
    let (setup, _upstream) = asked_before(now().checked_add((24 * 8).hours()).unwrap());
    let daemon = setup.start();
    let told = done(&daemon.command(&["monitor-only", "--for", "15m", "--reason", "an outage"]));
    let until = told.split("nothing is enforced until ").nth(1).unwrap().split(';').next().unwrap();
    let until = until.parse::<Timestamp>().unwrap().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (_smtp, _hook) = (post.smtp("starttls"), post.start("hook", &[SECRET]));
    let daemon = post.with_hook(post.with_mail(daemon.stop(), "starttls")).start();
    let mails = place::until(PATIENCE, "the mail", || Some(post.mails()).filter(|mails| !mails.is_empty()));
    let text = readable(&mails[0]);
    assert!(text.contains("(2 devices)"), "{text}");
    assert_eq!(text.matches(&format!("only monitors, until {until}:")).count(), 2, "{text}");
    assert_eq!(text.matches(&format!("only monitored until {until}")).count(), 4, "{text}");
    assert!(!text.contains("withheld"), "{text}");
    let hooks = place::until(PATIENCE, "the webhook", || Some(post.hooks()).filter(|hooks| !hooks.is_empty()));
    let body = &hooks[0]["body"];
    assert_eq!((&body["only_monitored"], &body["only_monitored_until"]), (&true.into(), &until.into()), "{body}");
    assert!(!body.to_string().contains("withheld"), "{body}");
    // Whoever asks once it is over reads of withholding again.
    done(&daemon.command(&["monitor-only", "--stop"]));
    let shown = done(&daemon.command(&["notice", "show", "--template", "text"]));
    assert!(shown.contains("withheld while in force") && !shown.contains("only monitor"), "{shown}");
}

#[test]
fn a_notice_counts_the_second_in_which_it_is_made() {
    let (setup, _upstream) = asked_before(now().checked_add((24 * 8).hours()).unwrap());
    let daemon = setup.start();
    let [list] = &daemon.json(&["devices", "--format", "json"])[..] else { panic!("not one object") };
    let last = list["devices"].as_array().unwrap().iter().map(|device| device["last"].as_str().unwrap());
    let last: Timestamp = last.max().unwrap().parse().unwrap();
    let at = Timestamp::from_second(last.as_second()).unwrap().to_string();
    let shown = done(&daemon.command(&["notice", "show", "--at", &at, "--template", "webhook"]));
    let digest: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!((&digest["at"], &digest["subjects"][1]["devices"]), (&at.into(), &2.into()), "{shown}");
}

/// Empties an index and keeps everybody else from writing to it.
const EMPTIED: &str = "
import signal, sqlite3, sys
index = sqlite3.connect(sys.argv[1], isolation_level=None)
index.execute('BEGIN IMMEDIATE')
for (table,) in index.execute(\"SELECT name FROM sqlite_master WHERE type = 'table'\").fetchall():
    index.execute('DELETE FROM ' + table)
index.execute('COMMIT')
index.execute('BEGIN IMMEDIATE')
print('held', flush=True)
signal.pause()
";

#[test]
fn a_notice_waits_for_an_index_that_is_being_made() {
    needs!("python3-aiosmtpd");
    let post = Post::new();
    let (setup, _upstream) = asked_before(now().checked_add((24 * 8).hours()).unwrap());
    let _smtp = post.smtp("implicit");
    let mut command = place::tied(place::PYTHON);
    command.args(["-c", EMPTIED]).arg(setup.data().join("index.sqlite"));
    let mut holder = Server(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut held = [0; 4];
    std::io::Read::read_exact(holder.0.stdout.as_mut().unwrap(), &mut held).unwrap();
    let daemon = post.with_mail(setup, "implicit").start();
    let why = place::until(PATIENCE, "the failure to be told", || {
        let list: Value = serde_json::from_str(&done(&daemon.command(&["notice", "list", "--json"]))).ok()?;
        list["notices"][0]["channels"]["smtp"]["why"].as_str().map(str::to_owned)
    });
    assert!(why.contains("the index has 0 of "), "{why}");
    drop(holder);
    let mails = place::until(PATIENCE, "the mail", || Some(post.mails()).filter(|mails| !mails.is_empty()));
    assert!(subject(&mails[0]).ends_with("(2 devices)"), "{mails:?}");
}
