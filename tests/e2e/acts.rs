//! What is recorded of changes that a crash, a full disk or an edit by hand comes between.

use serde_json::Value;

use crate::clock::honest;
use crate::daemon::{Daemon, Setup};
use crate::disk::Small;
use crate::place::{self, PATIENCE};
use crate::wire;

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

/// The disk of the journal is full, so that the kill comes between what is done and its record.
#[test]
fn what_was_done_before_a_kill_and_not_recorded_is_recorded_once_at_the_next_start() {
    needs!("root", "mount", "umount");
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let small = Small::mount(&setup.data().join("journal"), "4m");
    let daemon = setup.start();
    let add = |daemon: &Daemon, client: &str, lasts: &str| {
        done(&daemon.command(&[&ADD[..], &["--client", client, "--for", lasts]].concat()));
    };
    add(&daemon, "192.0.2.1", "1h");
    let filler = small.fill();
    // What comes first still finds room in the last page.
    let mut number = 0;
    place::until(PATIENCE, "the disk to be told as full", || {
        number += 1;
        wire::udp(daemon.dns, &wire::query(&format!("n{number}.upd.kaspersky.com"), wire::A));
        (daemon.metric("interdict_ledger_failing") > 0.0).then_some(())
    });
    done(&daemon.command(&["waiver", "revoke", "W-1", "--reason", "no longer needed"]));
    add(&daemon, "192.0.2.2", "2s");
    add(&daemon, "192.0.2.3", "1h");
    let file = daemon.data().join("waivers.json");
    place::until(PATIENCE, "W-2 to lapse", || {
        std::fs::read_to_string(&file).unwrap().contains("\"lapsed\"").then_some(())
    });
    let setup = daemon.kill();
    let crashed = std::fs::read(&file).unwrap();
    std::fs::remove_file(filler).unwrap();

    let expected = [("lapse", "W-2"), ("revoke", "W-1"), ("waiver", "W-1"), ("waiver", "W-2"), ("waiver", "W-3")];
    let mut daemon = setup.start();
    // The second time as after a kill between the record and the note of it.
    for round in 0..2 {
        let mut told: Vec<_> = ["waiver", "revoke", "lapse"].iter().flat_map(|act| changes(&daemon, act)).collect();
        told.sort_by_key(|change| (text(change, "act").to_owned(), text(change, "what").to_owned()));
        let words = |change: &Value| {
            let id = text(change, "what").split(':').next().unwrap_or_default().to_owned();
            (text(change, "act").to_owned(), id)
        };
        let words: Vec<_> = told.iter().map(words).collect();
        let expected: Vec<_> = expected.iter().map(|(act, id)| ((*act).to_owned(), (*id).to_owned())).collect();
        assert_eq!(words, expected, "round {round}: {told:#?}");
        let last = told.last().unwrap();
        assert!(text(last, "by").starts_with("uid ") && text(last, "by").ends_with("waivers.json tells"), "{last}");
        assert!(text(last, "why").contains("recorded at the start after a crash"), "{last}");
        let setup = daemon.stop();
        let kept = std::fs::read_to_string(&file).unwrap();
        assert!(!kept.contains("unrecorded"), "{kept}");
        if round == 0 {
            std::fs::write(&file, &crashed).unwrap();
        }
        daemon = setup.start();
    }
}
