//! Waivers and the emergency, by command and by file, against the running daemon.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Setup, program};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire;

const NAME: &str = "dnl-01.geo.kaspersky.com";

fn honest() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

fn is_sunk(daemon: &Daemon) -> bool {
    let answer = wire::udp(daemon.dns, &wire::query(NAME, wire::A));
    wire::rcode(&answer) == wire::NXDOMAIN
}

/// Runs a command that has to be done, and returns what it told.
#[track_caller]
fn done(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Runs a command that has to fail with an exit code, and returns what it told of that.
#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}{}", String::from_utf8_lossy(&output.stdout));
    told
}

const WHO: [&str; 4] = ["--reason", "tests of removal", "--approver", "A. Counsel"];

fn add(daemon: &Daemon, terms: &[&str]) -> Output {
    daemon.command(&[&["waiver", "add"], terms, &WHO[..]].concat())
}

fn changes(daemon: &Daemon, act: &str) -> Vec<Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == act).collect()
}

/// Returns the changes of waivers, once there are as many as that.
fn until_changed(daemon: &Daemon, number: usize) -> Vec<Value> {
    place::until(PATIENCE, "the records", || Some(changes(daemon, "waiver")).filter(|of| of.len() == number))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn check(daemon: &Daemon, name: &str) -> Value {
    let readiness = crate::daemon::ready(daemon);
    readiness["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap().clone()
}

#[test]
fn a_waiver_lapses_at_its_end_also_for_what_is_cached() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    assert!(is_sunk(&daemon));
    let told = done(&add(&daemon, &["--order", "us-commerce-2024", "--name", "*.kaspersky.com", "--for", "4s"]));
    assert!(told.starts_with("W-1: us-commerce-2024, names *.kaspersky.com, for everyone"), "{told}");
    assert!(!is_sunk(&daemon) && !is_sunk(&daemon), "the waiver lifts nothing");
    assert_eq!(daemon.metric("interdict_waivers_in_force"), 1.0);
    let asked = upstream.asked(NAME);
    place::until(PATIENCE, "the waiver to lapse", || is_sunk(&daemon).then_some(()));
    assert_eq!(upstream.asked(NAME), asked, "the answer was not cached, so that nothing was shown");
    let [lapse] = &place::until(PATIENCE, "the record of it", || {
        Some(changes(&daemon, "lapse")).filter(|changes| !changes.is_empty())
    })[..] else {
        panic!("it lapsed more than once")
    };
    assert!(text(lapse, "by") == "interdict" && text(lapse, "what").starts_with("W-1: "), "{lapse}");
    let [shown] = &daemon.json(&["waiver", "show", "W-1", "--json"])[..] else { panic!("no waiver") };
    assert_eq!((text(shown, "state"), text(shown, "approver")), ("lapsed", "A. Counsel"));
    assert_eq!(daemon.json(&["waiver", "list", "--json"]), Vec::<Value>::new());
    let waived = daemon.json(&["attempts", "--json", "--waiver", "W-1"]);
    assert!(waived.iter().all(|record| record["verdict"] == "waived") && !waived.is_empty(), "{waived:?}");
}

#[test]
fn a_waiver_of_one_order_lifts_no_other_and_is_refused_where_it_names_nothing() {
    let upstream = honest();
    let orders = vec!["us-commerce-2024".to_owned(), "us-ndaa-1634".to_owned()];
    let daemon = Setup::new().upstreams(&[upstream.address]).set("policy.orders", orders).start();
    done(&add(&daemon, &["--order", "us-commerce-2024", "--service", "update", "--for", "1h"]));
    assert!(is_sunk(&daemon), "another order still forbids it");
    for (terms, told) in [
        (vec!["--order", "no-such-order"], "no-such-order"),
        (vec!["--order", "us-commerce-2024", "--service", "no-such-service"], "no-such-service"),
        (vec!["--order", "us-commerce-2024", "--client", "no-such-group"], "no-such-group"),
        (vec!["--service", "update"], "CATALOGUE/SERVICE"),
        (vec!["--order", "us-commerce-2024", "--client", "10.0.0.7/8"], "10.0.0.0/8"),
    ] {
        let refused = failed(&add(&daemon, &[&terms[..], &["--for", "1h"]].concat()), 1);
        assert!(refused.starts_with("refused: ") && refused.contains(told), "{refused}");
        let newest = changes(&daemon, "waiver").remove(0);
        assert!(newest["accepted"] == false && text(&newest, "why").contains(told), "{newest}");
    }
    assert!(failed(&add(&daemon, &["--order", "us-commerce-2024", "--for", "367d"]), 1).contains("366 days"));
    failed(&add(&daemon, &["--for", "1h"]), 64);
    done(&add(&daemon, &["--service", "kaspersky/update", "--client", "192.0.2.1", "--for", "1h"]));
    assert!(is_sunk(&daemon), "it is for another client");
    done(&add(&daemon, &["--service", "kaspersky/update", "--for", "1h"]));
    assert!(!is_sunk(&daemon));
    done(&daemon.command(&["waiver", "revoke", "W-3", "--reason", "done"]));
    assert!(is_sunk(&daemon));
    failed(&daemon.command(&["waiver", "revoke", "W-3", "--reason", "again"]), 1);
}

/// Runs a command as another user of the daemon's group.
fn as_user(daemon: &Daemon, program: &Path, uid: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(place::find("setpriv").unwrap());
    command.args(["--reuid", uid, "--regid", "0", "--clear-groups"]).arg(program).args(arguments);
    command.arg("--config").arg(daemon.folder().join("interdict.toml")).current_dir(daemon.folder());
    command.output().unwrap()
}

/// Opens the folder of the test to other users, and returns a program that they can run.
fn open_up(daemon: &Daemon) -> PathBuf {
    std::fs::set_permissions(daemon.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = daemon.folder().join("interdict");
    std::fs::copy(program(), &copy).unwrap();
    copy
}

#[test]
fn with_four_eyes_another_user_has_to_confirm() {
    needs!("root", "setpriv");
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("control.four_eyes", true).start();
    let program = open_up(&daemon);
    let user = |uid: &str, arguments: &[&str]| as_user(&daemon, &program, uid, arguments);
    let asked = [&["waiver", "add", "--order", "us-commerce-2024", "--for", "1h"], &WHO[..]].concat();
    assert!(done(&user("12345", &asked)).contains("confirm"));
    assert!(is_sunk(&daemon) && daemon.metric("interdict_waivers_pending") == 1.0);
    assert!(failed(&user("12345", &["waiver", "confirm", "W-1"]), 1).contains("somebody else"));
    assert!(is_sunk(&daemon));
    let refused = changes(&daemon, "confirm").remove(0);
    assert!(refused["accepted"] == false && text(&refused, "by").starts_with("uid 12345"), "{refused}");
    done(&user("12346", &["waiver", "confirm", "W-1"]));
    assert!(!is_sunk(&daemon));
    let confirmed = changes(&daemon, "confirm").remove(0);
    assert!(confirmed["accepted"] == true && text(&confirmed, "by").starts_with("uid 12346"), "{confirmed}");
    // Whoever is not of the group gets nowhere.
    let mut stranger = Command::new(place::find("setpriv").unwrap());
    stranger.args(["--reuid", "12345", "--regid", "12345", "--clear-groups"]).arg(&program);
    stranger.args(["waiver", "list", "--config"]).arg(daemon.folder().join("interdict.toml"));
    assert!(failed(&stranger.output().unwrap(), 77).contains("the group of the daemon"));
    // One that nobody confirms lapses, and lifts nothing meanwhile.
    let short = [&["waiver", "add", "--order", "us-commerce-2024", "--for", "2s"], &WHO[..]].concat();
    done(&user("12345", &short));
    let lapse = place::until(PATIENCE, "it to lapse", || changes(&daemon, "lapse").pop());
    assert!(
        text(&lapse, "why").contains("nobody has confirmed") && text(&lapse, "what").starts_with("W-2: "),
        "{lapse}"
    );
    assert!(failed(&user("12346", &["waiver", "confirm", "W-2"]), 1).contains("lapsed"));
    // An emergency has no time for a second one.
    done(&user("12345", &["monitor-only", "--for", "1m", "--reason", "an outage"]));
}

#[test]
fn with_four_eyes_a_hand_edit_of_the_register_confirms_nothing() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("control.four_eyes", true).start();
    done(&add(&daemon, &["--order", "us-commerce-2024", "--for", "1h"]));
    let setup = daemon.stop();
    let file = setup.data().join("waivers.json");
    let edited = std::fs::read_to_string(&file).unwrap().replace("\"pending\"", "\"granted\"");
    std::fs::write(&file, edited).unwrap();
    let daemon = setup.start();
    assert!(is_sunk(&daemon) && daemon.metric("interdict_waivers_pending") == 1.0);
    let shown = check(&daemon, "waivers");
    assert!(shown["ok"] == false && text(&shown, "detail").starts_with("W-1: it was granted without"), "{shown}");
    let told = until_changed(&daemon, 2).remove(0);
    assert!(told["accepted"] == false && text(&told, "by").ends_with("waivers.json"), "{told}");
    assert!(daemon.told().contains("ERROR it was granted without"), "{}", daemon.told());
}

#[test]
fn an_emergency_is_bounded_loud_and_over_by_itself() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("control.monitor_only_max_minutes", 1).start();
    let begin = |time: &str| daemon.command(&["monitor-only", "--for", time, "--reason", "an outage"]);
    assert!(failed(&begin("2m"), 1).contains("1 minutes at most"));
    assert!(is_sunk(&daemon) && changes(&daemon, "monitor-only")[0]["accepted"] == false);
    failed(&daemon.command(&["monitor-only", "--for", "1m"]), 64);
    done(&begin("1m"));
    assert!(!is_sunk(&daemon));
    assert!(failed(&begin("1m"), 1).contains("M-1"));
    let check_of = |ok: bool| check(&daemon, "monitor-only")["ok"] == ok;
    assert!(check_of(false), "{}", check(&daemon, "monitor-only"));
    assert_eq!(daemon.metric("interdict_monitor_only"), 1.0);
    assert!(done(&daemon.command(&["waiver", "list"])).starts_with("NOTHING IS ENFORCED until "));
    assert!(daemon.told().contains("ERROR nothing is enforced until"), "{}", daemon.told());
    done(&daemon.command(&["monitor-only", "--stop"]));
    assert!(is_sunk(&daemon) && check_of(true));
    failed(&daemon.command(&["monitor-only", "--stop"]), 1);
    done(&begin("3s"));
    assert!(!is_sunk(&daemon));
    place::until(PATIENCE, "its end", || is_sunk(&daemon).then_some(()));
    let lapse = place::until(PATIENCE, "its record", || changes(&daemon, "lapse").pop());
    assert!(text(&lapse, "what").starts_with("M-2: every order, for everyone"), "{lapse}");
    place::until(PATIENCE, "its end to be told", || daemon.told().contains("the end of M-2 has come").then_some(()));
    assert!(daemon.json(&["attempts", "--json", "--waiver", "M-2"])[0]["verdict"] == "waived");
}

#[test]
fn what_was_answered_survives_a_power_cut_and_no_number_is_given_twice() {
    let upstream = honest();
    let mut setup = Setup::new().upstreams(&[upstream.address]);
    for number in 1..=3 {
        let daemon = setup.start();
        let told = done(&add(&daemon, &["--service", "kaspersky/update", "--for", "1h"]));
        let daemon = daemon.kill().start();
        assert!(told.starts_with(&format!("W-{number}: ")), "{told}");
        assert!(!is_sunk(&daemon));
        let recorded = changes(&daemon, "waiver");
        assert!(
            text(&recorded[0], "what") == told.trim_end() && text(&recorded[0], "by") != "interdict",
            "{recorded:?}"
        );
        assert_eq!(recorded.len(), number, "{recorded:?}");
        setup = daemon.stop();
    }
    // An old copy of the file: its numbers are not given again, and what vanished is told.
    let file = setup.data().join("waivers.json");
    std::fs::remove_file(&file).unwrap();
    let daemon = setup.start();
    assert!(is_sunk(&daemon));
    let vanished: Vec<_> = place::until(PATIENCE, "the records", || {
        let vanished = changes(&daemon, "waiver").into_iter().filter(|of| text(of, "why") == "it vanished");
        Some(vanished.collect::<Vec<_>>()).filter(|vanished| vanished.len() == 3)
    });
    assert!(vanished.iter().all(|of| text(of, "by").contains("waivers.json")), "{vanished:?}");
    let told = done(&add(&daemon, &["--service", "kaspersky/update", "--for", "1h"]));
    assert!(told.starts_with("W-4: "), "{told}");
    let setup = daemon.stop();
    // A damaged one lifts nothing, is kept aside, and stops nobody.
    std::fs::write(&file, "{\"version\": 1, \"waiv").unwrap();
    let daemon = setup.start();
    assert!(is_sunk(&daemon));
    assert_eq!(check(&daemon, "waivers")["ok"], false);
    assert!(daemon.told().contains("waivers.json.aside-1"), "{}", daemon.told());
    assert!(done(&add(&daemon, &["--service", "kaspersky/update", "--for", "1h"])).starts_with("W-5: "));
}

#[test]
fn a_hand_edit_of_the_register_is_recorded() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    done(&add(&daemon, &["--service", "kaspersky/update", "--client", "192.0.2.1", "--for", "1h"]));
    assert!(is_sunk(&daemon));
    let setup = daemon.stop();
    let file = setup.data().join("waivers.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    let edited = kept.replace("192.0.2.1/32", "0.0.0.0/0");
    assert_ne!(edited, kept);
    std::fs::write(&file, edited).unwrap();
    let daemon = setup.start();
    assert!(!is_sunk(&daemon));
    let edit = until_changed(&daemon, 2).remove(0);
    assert!(text(&edit, "by").ends_with("waivers.json") && text(&edit, "what").contains("for 0.0.0.0/0"), "{edit}");
    assert!(text(&edit, "why").contains("before: ") && text(&edit, "why").contains("for 192.0.2.1"), "{edit}");
}

const SHARED: &str = r#"
[[waiver]]
id = "lab"
order = "us-commerce-2024"
services = ["update"]
reason = "tests of removal"
approver = "A. Counsel"
from = 2024-01-01T00:00:00Z
until = 2024-12-01T00:00:00Z

[[waiver]]
id = "other"
service = "kaspersky/update"
clients = ["192.0.2.1"]
reason = "another"
approver = "A. Counsel"
from = 2024-01-01T00:00:00Z
until = 2024-12-01T00:00:00Z
"#;

#[test]
fn a_shared_file_is_loaded_all_or_nothing_and_a_hand_edit_is_recorded() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]).set("control.waiver_max_days", 0);
    let path = setup.folder.path().join("shared.toml");
    let lasting = SHARED.replace("2024-12-01", "2099-12-01");
    std::fs::write(&path, &lasting).unwrap();
    let daemon = setup.set("policy.waivers", vec![path.display().to_string()]).start();
    assert!(!is_sunk(&daemon));
    let by_file = |of: &Value| text(of, "by") == format!("file {}", path.display());
    let recorded = until_changed(&daemon, 2);
    assert!(
        recorded.len() == 2 && recorded.iter().all(|of| by_file(of) && text(of, "why") == "it appeared"),
        "{recorded:?}"
    );
    assert!(failed(&daemon.command(&["waiver", "revoke", "lab", "--reason", "x"]), 1).contains("shared.toml"));
    // A fault loses nothing.
    let before = daemon.told().len();
    std::fs::write(&path, lasting.replace("id = \"other\"", "id = \"lab\"")).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the fault", || daemon.told()[before..].contains("shared.toml:12: ").then_some(()));
    assert!(!is_sunk(&daemon));
    // One is changed, one is gone.
    let cut = lasting.find("\n[[waiver]]\nid = \"other\"").unwrap();
    std::fs::write(&path, lasting[..cut].replace("services = [\"update\"]", "services = [\"ksn\"]")).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the changed file to be in force", || is_sunk(&daemon).then_some(()));
    let [vanished, changed, ..] = &until_changed(&daemon, 4)[..] else { panic!("too few records") };
    assert!(by_file(changed) && text(changed, "what").starts_with("lab: us-commerce-2024 (ksn)"), "{changed}");
    assert!(text(changed, "why").contains("before: us-commerce-2024 (update)"), "{changed}");
    assert!(
        by_file(vanished) && text(vanished, "what").starts_with("other: ") && text(vanished, "why") == "it vanished",
        "{vanished}"
    );
    // While nobody runs, too; and a start without an edit records nothing.
    let setup = daemon.stop();
    std::fs::write(&path, &lasting).unwrap();
    let daemon = setup.start();
    until_changed(&daemon, 6);
    let daemon = daemon.stop().start();
    // The start is recorded before what it found.
    place::until(PATIENCE, "the start to be recorded", || (changes(&daemon, "start").len() == 3).then_some(()));
    assert_eq!(changes(&daemon, "waiver").len(), 6);
}

#[test]
fn a_shared_file_may_hold_nothing_and_a_missing_one_lifts_nothing_and_stops_nobody() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]).set("control.waiver_max_days", 0);
    let path = setup.folder.path().join("shared.toml");
    let lasting = SHARED.replace("2024-12-01", "2099-12-01");
    std::fs::write(&path, &lasting).unwrap();
    let daemon = setup.set("policy.waivers", vec![path.display().to_string()]).start();
    assert!(!is_sunk(&daemon));
    // The last one is taken out.
    std::fs::write(&path, "").unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "it to be taken out", || is_sunk(&daemon).then_some(()));
    let daemon = daemon.stop().start();
    assert!(is_sunk(&daemon) && check(&daemon, "waivers")["ok"] == true);
    std::fs::write(&path, &lasting).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "it to be put back", || (!is_sunk(&daemon)).then_some(()));
    // A reload without the file is refused as a whole; a start cannot be.
    std::fs::remove_file(&path).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the fault", || (check(&daemon, "reload")["ok"] == false).then_some(()));
    assert!(!is_sunk(&daemon));
    let daemon = daemon.stop().start();
    assert!(is_sunk(&daemon));
    let shown = check(&daemon, "waivers");
    assert!(shown["ok"] == false && text(&shown, "detail").contains("shared.toml"), "{shown}");
    assert!(daemon.told().contains("ERROR a file of waivers cannot be read"), "{}", daemon.told());
    std::fs::write(&path, &lasting).unwrap();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "it to be read", || (check(&daemon, "waivers")["ok"] == true).then_some(()));
    assert!(!is_sunk(&daemon));
}

#[test]
fn what_names_an_order_that_is_no_longer_chosen_lifts_nothing_and_stops_nobody() {
    let upstream = honest();
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    done(&add(&daemon, &["--order", "us-commerce-2024", "--for", "1h"]));
    done(&add(&daemon, &["--service", "kaspersky/update", "--for", "1h"]));
    daemon.reconfigure("policy.orders", vec!["us-ndaa-1634".to_owned()]);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "it to be told", || (check(&daemon, "waivers")["ok"] == false).then_some(()));
    assert!(!is_sunk(&daemon), "the other waiver still lifts what it names");
    assert!(done(&daemon.command(&["waiver", "list"])).contains("lifts nothing"));
    let daemon = daemon.stop().set("policy.orders", vec!["us-commerce-2024".to_owned()]).start();
    assert_eq!(check(&daemon, "waivers")["ok"], true);
}

#[test]
fn without_a_daemon_or_a_socket_a_command_says_so() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).set("control.listen", false).start();
    assert!(!daemon.data().join("control.sock").exists());
    assert!(failed(&daemon.command(&["waiver", "list"]), 69).contains("[control] listen is false"));
    let path = daemon.folder().join("elsewhere.sock").display().to_string();
    let daemon = daemon.stop().set("control.listen", path.as_str()).start();
    done(&daemon.command(&["waiver", "list"]));
    let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    // What a daemon leaves behind that is killed is replaced.
    let daemon = daemon.kill().start();
    done(&daemon.command(&["waiver", "list"]));
    let mut daemon = daemon;
    daemon.signal(Signal::SIGTERM);
    daemon.ended(PATIENCE);
    assert!(!Path::new(&path).exists());
    assert!(failed(&daemon.command(&["waiver", "list"]), 69).contains("no daemon listens"));
    let long = daemon.folder().join("x".repeat(100)).display().to_string();
    let output = daemon.give_back().set("control.listen", long).fail();
    assert!(failed(&output, 78).contains("longer than"));
}
