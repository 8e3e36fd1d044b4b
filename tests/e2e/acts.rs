//! What is recorded of changes that a crash, a full disk or an edit by hand comes between.

use serde_json::Value;

use crate::clock::honest;
use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};

const ADD: [&str; 8] =
    ["waiver", "add", "--service", "kaspersky/update", "--reason", "tests of removal", "--approver", "A. Counsel"];

#[track_caller]
fn done(output: &std::process::Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn changes(daemon: &Daemon, act: &str) -> Vec<Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == act).collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn an_edit_is_recorded_also_where_the_start_after_it_failed() {
    let upstream = honest();
    let daemon = Setup::new().upstreams(&[upstream.address]).start();
    done(&daemon.command(&[&ADD[..], &["--client", "192.0.2.1", "--for", "1h"]].concat()));
    let setup = daemon.stop();
    let file = setup.data().join("waivers.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, kept.replace("192.0.2.1/32", "0.0.0.0/0")).unwrap();
    let (journal, aside) = (setup.data().join("journal"), setup.data().join("aside"));
    std::fs::rename(&journal, &aside).unwrap();
    std::fs::write(&journal, "no folder").unwrap();
    assert_eq!(setup.fail().status.code(), Some(73));
    std::fs::remove_file(&journal).unwrap();
    std::fs::rename(&aside, &journal).unwrap();
    let daemon = setup.start();
    let edit = place::until(PATIENCE, "the record of the edit", || {
        changes(&daemon, "waiver").into_iter().find(|change| text(change, "by").ends_with("waivers.json"))
    });
    assert!(text(&edit, "what").contains("for 0.0.0.0/0"), "{edit}");
}
