//! Compliance reports: their figures are those of the records, and others can make them again from the log.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::daemon::{Daemon, Setup};
use crate::wire;

const PERIOD: [&str; 4] = ["--from", "2020-01-01T00:00:00Z", "--to", "2090-01-01T00:00:00Z"];

#[track_caller]
fn report(daemon: &Daemon, file: &Path, more: &[&str]) -> Output {
    let file = file.display().to_string();
    let output = daemon.command(&[&["report"], PERIOD.as_slice(), &["-o", &file], more].concat());
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// `report verify` needs no configuration.
fn verify(file: &Path, folder: &Path) -> Output {
    let mut command = std::process::Command::new(crate::daemon::program());
    command.args(["report", "verify"]).arg(file).arg("--ledger").arg(folder);
    command.output().unwrap()
}

fn read(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_report_has_the_figures_of_the_records_and_is_made_again_from_the_log() {
    let daemon = Setup::new().start();
    for name in ["a.upd.kaspersky.com", "a.upd.kaspersky.com", "b.upd.kaspersky.com", "store.kaspersky.com"] {
        let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
        assert_eq!(wire::rcode(&answer), wire::NXDOMAIN);
    }
    // What was recorded is signed at a stop.
    let daemon = daemon.stop().start();
    let folder = daemon.folder().to_owned();
    let of = |name: &str| folder.join(name);
    report(&daemon, &of("r.json"), &["--format", "json", "--duty", "none of 15 CFR 791.106"]);
    let found = read(&of("r.json"));

    let attempts = daemon.json(&["attempts", "--json", "--limit", "1000"]);
    let sum = |wanted: &dyn Fn(&serde_json::Value) -> bool| -> u64 {
        attempts.iter().filter(|attempt| wanted(attempt)).map(|attempt| attempt["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(sum(&|_| true), 4, "{attempts:?}");
    assert_eq!(found["totals"]["attempted"], 4);
    assert_eq!(found["totals"]["sums"]["withheld"], sum(&|attempt| attempt["verdict"] == "sunk"));
    assert_eq!((&found["totals"]["devices"], &found["devices"]["rows"][0]["label"]), (&1.into(), &"127.0.0.1".into()));
    for row in found["names"]["rows"].as_array().unwrap() {
        assert_eq!(row["attempted"], sum(&|attempt| attempt["name"] == row["name"]), "{row}");
    }
    for row in found["services"].as_array().unwrap() {
        assert_eq!(row["attempted"], sum(&|attempt| attempt["service"] == row["service"]), "{row}");
    }
    assert_eq!(found["nodes"][0]["integrity"], "intact");
    let order = &found["orders"][0];
    assert_eq!((&order["id"], &order["act"]["citation"]), (&"us-commerce-2024".into(), &"89 FR 52434".into()));
    assert_eq!(order["act"]["prohibitions"][1]["verified"], "secondary");

    // The log goes on, and each report is still made again octet by octet.
    for (format, lang) in [("json", "en"), ("html", "de"), ("csv", "en"), ("pdf", "de"), ("xlsx", "en")] {
        report(&daemon, &of(&format!("r.{format}")), &["--format", format, "--lang", lang]);
    }
    // With a key and a checkpoint that were kept elsewhere.
    let text = |arguments: &[&str]| String::from_utf8(daemon.command(arguments).stdout).unwrap();
    fs::write(of("note"), text(&["ledger", "checkpoint"])).unwrap();
    let (key, note) = (text(&["ledger", "key"]), of("note").display().to_string());
    report(&daemon, &of("kept.json"), &["--format", "json", "--key", key.trim(), "--anchor", &note]);
    let kept = read(&of("kept.json"));
    assert_eq!(kept["nodes"][0]["key_given"], true);
    assert_eq!(kept["nodes"][0]["anchored"][0], kept["nodes"][0]["checkpoints"][0]["size"]);
    wire::udp(daemon.dns, &wire::query("late.upd.kaspersky.com", wire::A));
    let daemon = daemon.stop().start();
    let data = daemon.data();
    for name in ["r.json", "r.html", "r.csv", "r.pdf", "r.xlsx", "kept.json"] {
        let output = verify(&of(name), &data);
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.starts_with("the same"), "{name}: {told}");
    }
    report(&daemon, &of("later.json"), &["--format", "json"]);
    assert_eq!(read(&of("later.json"))["totals"]["attempted"], 5);

    // What nobody has ever ordered is no clean network.
    for (of_what, named) in [("--order", "us-commerce-2025"), ("--group", "nobody")] {
        for command in [&["report", "-o", "-", "--format", "csv"][..], &["devices"]] {
            let period = if command[0] == "report" { &PERIOD[..] } else { &[] };
            let output = daemon.command(&[command, period, &[of_what, named]].concat());
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && told.contains(named), "{command:?} {of_what}: {told}");
        }
    }

    // One that says something else, and one whose log is not here.
    let html = fs::read_to_string(of("r.html")).unwrap();
    fs::write(of("r.html"), html.replacen("<dd>4</dd>", "<dd>3</dd>", 1)).unwrap();
    let output = verify(&of("r.html"), &data);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_to_string(of("r.html.again")).unwrap(), html);
    assert!(!verify(&of("r.csv"), daemon.folder()).status.success());

    // A copy of the log alone has neither keys nor policies: sums stay, devices are pseudonyms, dates are not known.
    let alone = of("copy");
    copy(&data.join("ledger"), &alone);
    let alone = alone.display().to_string();
    report(&daemon, &of("alone.json"), &["--format", "json", "--ledger", &alone]);
    let found = read(&of("alone.json"));
    assert_eq!((&found["totals"]["sums"]["withheld"], &found["totals"]["anonymous"]), (&5.into(), &1.into()));
    assert!(found["orders"][0]["act"].is_null(), "{}", found["orders"][0]);
    let twice =
        [&["report"], PERIOD.as_slice(), &["-o", "-", "--format", "csv", "--ledger", &alone, "--ledger", &alone]];
    let output = daemon.command(&twice.concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("twice"), "{output:?}");
}
