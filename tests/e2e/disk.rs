//! A full disk: answers go on, and it is told.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE, run};
use crate::wire;

/// A small file system of its own; unmounted when dropped.
pub struct Small(std::path::PathBuf);

impl Small {
    pub fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=0755");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "interdict-test"]).arg(path));
        Self(path.to_owned())
    }

    /// Takes all the room that is left.
    pub fn fill(&self) -> std::path::PathBuf {
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        for size in [65_536, 4096, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

fn ask(daemon: &Daemon, names: std::ops::Range<usize>) {
    for number in names {
        let name = format!("n{number}.upd.kaspersky.com");
        let answer = wire::udp(daemon.dns, &wire::query(&name, wire::A));
        assert_eq!(wire::rcode(&answer), wire::NXDOMAIN, "{name}");
    }
}

fn listed(daemon: &Daemon, name: &str) -> bool {
    let records = daemon.json(&["attempts", "--json", "--name", name]);
    records.iter().any(|record| record["name"].as_str().is_some_and(|of| of.trim_end_matches('.') == name))
}

#[test]
fn a_full_disk_stops_no_answer_and_is_told_and_records_go_on_when_there_is_room() {
    needs!("root", "mount", "umount");
    let setup = Setup::new();
    let small = Small::mount(&setup.data(), "8m");
    let daemon = setup.start();
    ask(&daemon, 0..10);
    place::until(PATIENCE, "the first records", || listed(&daemon, "n9.upd.kaspersky.com").then_some(()));
    let before = daemon.told().len();
    let filler = small.fill();
    ask(&daemon, 100..1100);
    place::until(PATIENCE, "the full disk to be told", || {
        let told = daemon.told()[before..].to_lowercase();
        (told.contains("no space left") || told.contains("disk is full")).then_some(())
    });
    place::until(PATIENCE, "the metrics to tell it", || {
        (daemon.metric("interdict_ledger_failing") > 0.0).then_some(())
    });
    ask(&daemon, 1100..1150);
    std::fs::remove_file(filler).unwrap();
    place::until(PATIENCE, "records to go on", || {
        ask(&daemon, 5000..5001);
        listed(&daemon, "n5000.upd.kaspersky.com").then_some(())
    });
    assert!(listed(&daemon, "n9.upd.kaspersky.com"));
    place::until(PATIENCE, "the metrics to be calm again", || {
        (daemon.metric("interdict_ledger_failing") == 0.0).then_some(())
    });
    daemon.stop();
}

/// What is no sunk name is answered all the while.
#[test]
fn where_the_operator_wants_it_a_full_disk_stops_the_answers_to_sunk_names_and_no_others() {
    needs!("root", "mount", "umount");
    for durability in ["normal", "strict"] {
        let setup = Setup::new()
            .set("ledger.fail", "servfail")
            .set("ledger.durability", durability)
            .set("zones.hosts", vec!["printer.office.test 10.0.0.7"]);
        let small = Small::mount(&setup.data(), "8m");
        let daemon = setup.start();
        let code = |name: &str| wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A)));
        assert_eq!(code("before.upd.kaspersky.com"), wire::NXDOMAIN, "{durability}");
        let filler = small.fill();
        // In normal mode the disk has to fail first; in strict mode no answer leaves that is not on it.
        let mut number = 0;
        place::until(PATIENCE, "sunk names to be refused", || {
            number += 1;
            (code(&format!("n{number}.upd.kaspersky.com")) == wire::SERVFAIL).then_some(())
        });
        for _ in 0..20 {
            number += 1;
            assert_eq!(code(&format!("n{number}.upd.kaspersky.com")), wire::SERVFAIL, "{durability}");
            assert_eq!(code("printer.office.test"), wire::NOERROR, "{durability}");
        }
        assert!(daemon.told().contains("sunk names are answered with SERVFAIL"), "{}", daemon.told());
        let (_, health) = fetch(daemon.admin, "/health/ready").unwrap();
        assert!(health.contains("sunk names are answered with SERVFAIL"), "{health}");
        std::fs::remove_file(filler).unwrap();
        place::until(PATIENCE, "sunk names to be answered again", || {
            (code("after.upd.kaspersky.com") == wire::NXDOMAIN).then_some(())
        });
        place::until(PATIENCE, "what was refused to be recorded too", || {
            listed(&daemon, &format!("n{number}.upd.kaspersky.com")).then_some(())
        });
        daemon.stop();
    }
}

#[test]
fn a_start_on_a_full_disk_answers_and_catches_up_when_there_is_room() {
    needs!("root", "mount", "umount");
    let setup = Setup::new();
    let small = Small::mount(&setup.data(), "4m");
    let filler = small.fill();
    let daemon = setup.launch();
    place::until(PATIENCE, "an answer", || {
        let query = wire::query("n0.upd.kaspersky.com", wire::A);
        wire::udp_once(daemon.dns, &query, wire::SHORT).filter(|answer| wire::rcode(answer) == wire::NXDOMAIN)
    });
    place::until(PATIENCE, "the full disk to be told", || daemon.told().contains("cannot be archived").then_some(()));
    std::fs::remove_file(filler).unwrap();
    place::until(PATIENCE, "the record to be listed", || listed(&daemon, "n0.upd.kaspersky.com").then_some(()));
    place::until(PATIENCE, "the policy to be archived", || {
        std::fs::read_to_string(daemon.data().join("policy/current")).ok().filter(|digest| digest.len() == 65)
    });
}
