//! The command line as people and scripts see it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use interdict::client::Client;
use interdict::clock::{Clock, ManualClock};
use interdict::feed::{self, Selection};
use interdict::ledger::{Attempt, Ledger, Settings};
use interdict::message::{Name, RecordType};
use interdict::policy::{Operator, Verdict};
use interdict::query::{Through, Transport};
use serde_json::Value;

#[path = "cli/orders.rs"]
mod orders;

const COMMANDS: [&str; 13] = [
    "run",
    "explain",
    "attempts",
    "orders",
    "policy",
    "check",
    "clock",
    "index",
    "status",
    "doctor",
    "healthcheck",
    "completions",
    "man",
];
/// Before, at and after the second instant of the shipped order.
const INSTANTS: [&str; 3] = ["2024-09-29T03:59:59.999999Z", "2024-09-29T00:00:00-04:00", "2026-01-01T00:00:00Z"];

/// A folder with a configuration in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with("")
    }

    /// A configuration that says `more` besides where the data are.
    fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let text =
            format!("data_dir = {:?}\n[upstream]\nservers = [\"127.0.0.1:9\"]\n{more}", data.display().to_string());
        fs::write(folder.path().join("interdict.toml"), text).unwrap();
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.arg("--config").arg(self.folder.path().join("interdict.toml")).current_dir(self.folder.path());
        command
    }

    fn tell(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.tell(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn help_manual_page_and_completions_mention_every_command() {
    let pages = [&["--help"][..], &["-h"], &["help"], &["man"]];
    let shells = ["bash", "zsh", "fish", "elvish", "powershell"].map(|shell| vec!["completions", shell]);
    for arguments in pages.into_iter().chain(shells.iter().map(Vec::as_slice)) {
        let output = program(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
        for command in COMMANDS {
            assert!(text(&output.stdout).contains(command), "{arguments:?} lacks {command}");
        }
    }
    let man = program(&["man"]).output().unwrap();
    for option in ["config", "at", "type", "client", "record", "offline", "json", "csv", "rehearsal", "limit"] {
        assert!(text(&man.stdout).contains(&format!("\\fB\\-\\-{option}\\fR")), "the manual page lacks --{option}");
    }
}

#[test]
fn wrong_usage_is_told_with_what_would_be_right() {
    for (arguments, told) in [
        (&["explain"][..], "NAME"),
        (&["unheard-of"], "unheard-of"),
        (&["explain", "x.example", "--at", "2024-09-29T00:00:00"], "2024-09-29T00:00:00-04:00"),
        (&["run", "--at", "yesterday"], "2024-09-29T00:00:00-04:00"),
        (&["--at", "2024-09-29"], "no offset"),
        (&["explain", "x.example", "--type", "NONSENSE"], "AAAA"),
        (&["explain", "a..b"], "a..b"),
        (&["attempts", "--verdict", "violated"], "sunk"),
        (&["attempts", "--json", "--csv"], "--csv"),
        (&["orders", "--diff", "us-ndaa-1634"], "2 values"),
        (&["explain", "x.example", "--record", "1", "--offline"], "--offline"),
        (&["simulate", "x.log"], "--at <INSTANT>|--policy <POLICY>"),
    ] {
        let output = program(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(told), "{arguments:?} does not tell {told}: {output:?}");
    }
}

#[test]
fn every_fault_of_the_configuration_is_told_on_a_line_of_its_own() {
    let place = Place::with("[nonsense]\nkey = 1\n[listen]\ndns = [\"nowhere\"]\n");
    for arguments in
        [&["run"][..], &["check"], &["explain", "x.example"], &["attempts"], &["orders"], &["index", "rebuild"]]
    {
        let output = place.tell(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
        let lines: Vec<_> = text(&output.stderr).lines().collect();
        for fault in ["nonsense", "nowhere"] {
            let told = lines.iter().filter(|line| line.contains(fault) && line.contains("interdict.toml:"));
            assert_eq!(told.count(), 1, "{arguments:?}, {fault}: {lines:#?}");
        }
    }
}

#[test]
fn a_faulty_order_and_a_faulty_zone_are_told_together() {
    let place = Place::with(
        "[policy]\norders = [\"no-such-order\"]\n[[zones.zone]]\norigin = \"home.example\"\ntext = \"x 60 IN A nonsense\"\n",
    );
    for arguments in [&["check"], &["run"]] {
        let output = place.tell(arguments);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        for fault in ["no-such-order", "home.example"] {
            assert!(text(&output.stderr).contains(fault), "{fault}: {output:?}");
        }
    }
}

#[test]
fn check_says_what_would_be_in_force() {
    let output = Place::new().tell(&["check"]);
    assert!(output.status.success(), "{output:?}");
    let told = text(&output.stdout);
    assert_eq!(told.lines().next(), Some("ok"));
    assert!(told.contains("us-commerce-2024") && told.contains("in force since 2024-09-29T04:00:00Z"), "{told}");
}

#[test]
fn a_second_daemon_in_the_data_folder_is_told() {
    let place = Place::new();
    let lock = File::create(place.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let output = place.tell(&["run"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains(&place.data().display().to_string()), "{output:?}");
}

#[test]
fn explain_has_exactly_the_keys_that_scripts_rely_on() {
    let place = Place::new();
    let top = "name type group at verdict order prohibition service entry effective verification basis confidence \
               evidence waiver response ede matches";
    let each = "order prohibition service entry verdict effective verification basis confidence evidence waiver";
    for name in ["dnl-01.geo.kaspersky.com", "opentip.kaspersky.com", "media.kaspersky.com", "www.example"] {
        let explained = place.json(&["explain", name, "--json"]);
        assert_eq!(keys(&explained), top.split(' ').collect(), "{name}");
        for of in explained["matches"].as_array().unwrap() {
            assert_eq!(keys(of), each.split(' ').collect(), "{name}");
        }
    }
}

#[test]
fn explain_tells_the_decision_at_each_side_of_the_instant() {
    let place = Place::new();
    for (name, verdicts) in [
        ("dnl-01.geo.kaspersky.com", ["monitored", "sunk", "sunk"]),
        ("DNL-01.geo.Kaspersky.com.", ["monitored", "sunk", "sunk"]),
        ("opentip.kaspersky.com", ["protected"; 3]),
        ("media.kaspersky.com", ["kept"; 3]),
        ("dnl-01.geo.kaspersky.com.evil.example", ["pass"; 3]),
    ] {
        for (instant, verdict) in INSTANTS.into_iter().zip(verdicts) {
            let explained = place.json(&["explain", name, "--at", instant, "--offline", "--json", "--type", "AAAA"]);
            assert_eq!(explained["verdict"], verdict, "{name} at {instant}: {explained}");
            assert_eq!(explained["type"], "AAAA");
            let (response, ede) =
                if verdict == "sunk" { ("NXDOMAIN", Value::from(15)) } else { ("resolved", Value::Null) };
            assert_eq!((&explained["response"], &explained["ede"]), (&response.into(), &ede), "{name} at {instant}");
            let effective = match verdict {
                "sunk" | "monitored" => Value::from("2024-09-29T04:00:00Z"),
                _ => Value::Null,
            };
            assert_eq!(explained["effective"], effective, "{name} at {instant}");
            assert_eq!(explained["matches"].as_array().unwrap().len(), usize::from(verdict != "pass"), "{name}");
        }
    }
}

#[test]
fn explain_lists_what_every_order_says_with_the_deciding_one_on_top() {
    let place = Place::with("[policy]\norders = [\"us-commerce-2024\", \"us-bod-17-01\", \"us-ndaa-1634\"]\n");
    let explained = place.json(&["explain", "opentip.kaspersky.com", "--json", "--at", INSTANTS[1]]);
    let matches = explained["matches"].as_array().unwrap();
    let told: Vec<_> = matches.iter().map(|of| (of["order"].as_str(), of["verdict"].as_str())).collect();
    let expected = [("us-ndaa-1634", "sunk"), ("us-bod-17-01", "protected"), ("us-commerce-2024", "protected")];
    assert_eq!(told, expected.map(|(order, verdict)| (Some(order), Some(verdict))));
    assert_eq!((&explained["order"], &explained["verdict"]), (&"us-ndaa-1634".into(), &"sunk".into()));
    assert_eq!(explained["effective"], "2018-10-01T04:00:00Z");
    // Of equal verdicts that of the act published first decides, and is on top.
    let explained = place.json(&["explain", "dnl-01.geo.kaspersky.com", "--json", "--at", INSTANTS[1]]);
    let told: Vec<_> = explained["matches"].as_array().unwrap().iter().map(|of| of["order"].as_str()).collect();
    assert_eq!(told, [Some("us-ndaa-1634"), Some("us-commerce-2024"), Some("us-bod-17-01")]);
    assert_eq!(explained["order"], "us-ndaa-1634");
}

#[test]
fn explain_gives_what_the_operator_chose_to_answer() {
    let place = Place::with("[answer]\nsink = \"refused\"\n[policy]\napplies = \"binding\"\n");
    let explained = place.json(&["explain", "dnl-01.geo.kaspersky.com", "--json"]);
    assert_eq!((&explained["response"], &explained["ede"]), (&"REFUSED".into(), &16.into()), "{explained}");
}

#[test]
fn explain_finds_the_group_of_a_client() {
    let place = Place::with(
        "[[client.group]]\nname = \"lab\"\nnetworks = [\"10.1.0.0/16\"]\nnames = [\"*.lab.example\"]\n\
         [[client.device]]\nname = \"bench.lab.example\"\naddresses = [\"10.9.9.9\"]\n\
         [[policy.apply]]\norder = \"us-commerce-2024\"\ngroups = [\"lab\"]\nphase = \"monitor\"\n",
    );
    let explain = |more: &[&str]| {
        let all = [&["explain", "dnl-01.geo.kaspersky.com", "--json", "--at", INSTANTS[2]], more].concat();
        let told = place.json(&all);
        (told["group"].as_str().unwrap().to_owned(), told["verdict"].as_str().unwrap().to_owned())
    };
    for (more, group, verdict) in [
        (&[][..], "default", "sunk"),
        (&["--client", "10.1.2.3"], "lab", "monitored"),
        (&["--client", "10.9.9.9"], "lab", "monitored"),
        (&["--client", "10.2.0.1"], "default", "sunk"),
        (&["--group", "lab"], "lab", "monitored"),
        (&["--client", "10.1.2.3", "--group", "default"], "default", "sunk"),
    ] {
        assert_eq!(explain(more), (group.to_owned(), verdict.to_owned()), "{more:?}");
    }
    let off = Place::with(
        "[[client.group]]\nname = \"lab\"\nnetworks = [\"10.1.0.0/16\"]\n\
         [[policy.apply]]\norder = \"us-commerce-2024\"\ngroups = [\"lab\"]\nphase = \"off\"\n",
    );
    let output = off.tell(&["explain", "dnl-01.geo.kaspersky.com", "--client", "10.1.2.3"]);
    let told = text(&output.stdout);
    assert!(told.contains("order us-commerce-2024 does not apply to group lab") && !told.contains("nearest"), "{told}");
    let output = place.tell(&["explain", "dnl-01.geo.kaspersky.com", "--group", "bal"]);
    assert!(text(&output.stderr).contains("the groups are default, lab"), "{output:?}");
}

#[test]
fn the_page_for_people_uses_honest_words() {
    let place = Place::new();
    for (name, words) in [
        ("dnl-01.geo.kaspersky.com", &["attempted contact with a prohibited service", "89 FR 52434", "NXDOMAIN"][..]),
        ("opentip.kaspersky.com", &["lawful", "secondary"]),
        ("dnl-01.geo.kaspersky.com.evil.example", &["nearest", "stands in front of another domain"]),
        ("www.example", &["no rule matches"]),
    ] {
        let output = place.tell(&["explain", name]);
        let told = text(&output.stdout);
        for word in words {
            assert!(output.status.success() && told.contains(word), "{name} lacks {word}:\n{told}");
        }
        assert!(!told.contains("violat"), "{told}");
    }
}

#[test]
fn explain_decides_by_the_policy_of_a_running_daemon() {
    let place = Place::new();
    let without_orders = Selection { orders: Vec::new(), ..Selection::default() };
    let archive = feed::load(&without_orders, Operator::default(), 1).unwrap().archive;
    archive.store(&place.data().join("policy")).unwrap();
    fs::write(place.data().join("policy/current"), format!("{}\n", hex::encode(archive.digest()))).unwrap();
    let verdict = |more: &[&str]| {
        let arguments = [&["explain", "dnl-01.geo.kaspersky.com", "--json"], more].concat();
        place.json(&arguments)["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(&[]), "sunk", "no daemon runs");
    let lock = File::create(place.data().join("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(verdict(&[]), "pass", "the daemon has no orders");
    assert_eq!(verdict(&["--offline"]), "sunk");
    assert_eq!(verdict(&["--rehearsal"]), "sunk", "no rehearsal runs");
}

/// Records that a client asked for each of `names` at each instant, as a daemon does.
fn record(place: &Place, names: &[&str]) {
    let loaded = feed::load(&Selection::default(), Operator::default(), 1).unwrap();
    loaded.archive.store(&place.data().join("policy")).unwrap();
    let snapshot = Arc::new(loaded.snapshot);
    let clock = Arc::new(ManualClock::new(INSTANTS[0].parse().unwrap()));
    let ledger = Ledger::open(Settings::new(place.data()), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let recorder = ledger.recorder();
    let client = Client::at("192.0.2.7".parse().unwrap());
    for instant in INSTANTS {
        clock.set(instant.parse().unwrap());
        let reading = clock.read();
        for name in names {
            let name: Name = name.parse().unwrap();
            let matched = snapshot.decide(&name, &client, reading.at).deciding.unwrap();
            recorder.record(Attempt {
                reading,
                client,
                transport: Transport::Udp,
                name,
                record_type: RecordType::A,
                subject: None,
                through: Through::Question,
                matched,
                rcode: if matched.verdict == Verdict::Sunk { 3 } else { 0 },
                snapshot: Arc::clone(&snapshot),
            });
        }
        assert!(ledger.flush(Duration::from_secs(30)), "the journal takes records");
    }
    ledger.close();
}

#[test]
fn attempts_are_listed_newest_first_and_can_be_replayed() {
    let place = Place::new();
    // Where no journal is, nobody may read that nothing was attempted.
    let nowhere = place.tell(&["attempts", "--json"]);
    assert_eq!((nowhere.status.code(), &*nowhere.stdout), (Some(1), &b""[..]), "{nowhere:?}");
    record(&place, &["dnl-01.geo.kaspersky.com"]);
    let attempts = place.json(&["attempts", "--json"]);
    let attempts = attempts.as_array().unwrap();
    let of = |key: &str| attempts.iter().map(|of| of[key].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("verdict"), ["sunk", "sunk", "monitored"]);
    assert_eq!(of("client"), ["192.0.2.7"; 3]);
    assert_eq!(of("name"), ["dnl-01.geo.kaspersky.com"; 3]);
    for attempt in attempts {
        let seq = attempt["seq"].to_string();
        let explained = place.json(&["explain", "--record", &seq, "--json"]);
        assert_eq!(explained["record"]["same"], true, "{explained}");
        assert_eq!(explained["verdict"], attempt["verdict"]);
        let page = place.tell(&["explain", "dnl-01.geo.kaspersky.com", "--record", &seq]);
        assert!(page.status.success() && text(&page.stdout).contains("the same decision"), "{page:?}");
        let other = place.tell(&["explain", "www.example", "--record", &seq]);
        assert_eq!(other.status.code(), Some(1), "{other:?}");
    }
    let listed = |more: &[&str]| {
        let attempts = place.json(&[&["attempts", "--json"], more].concat());
        attempts.as_array().unwrap().len()
    };
    assert_eq!(listed(&["--verdict", "sunk"]), 2);
    assert_eq!(listed(&["--limit", "1"]), 1);
    assert_eq!(listed(&["--from", INSTANTS[2]]), 1);
    assert_eq!(listed(&["--to", INSTANTS[1]]), 1);
    assert_eq!(listed(&["--name", ".kaspersky.com"]), 3);
    assert_eq!(listed(&["--name", "kaspersky.com"]), 0);
    assert_eq!(listed(&["--client", "192.0.2.7"]), 3);
    assert_eq!(listed(&["--client", "192.0.2.8"]), 0);
    assert!(!place.tell(&["attempts", "--rehearsal"]).status.success(), "nothing was rehearsed");
}

#[test]
fn attempts_are_told_to_people_and_to_spreadsheets() {
    let place = Place::new();
    record(&place, &["dnl-01.geo.kaspersky.com"]);
    let rebuilt = place.tell(&["index", "rebuild"]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let table = place.tell(&["attempts", "--limit", "2"]);
    let lines: Vec<_> = text(&table.stdout).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let column = lines[0].find("VERDICT").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("sunk ")), "{lines:#?}");
    assert!(text(&table.stderr).contains("--limit"), "{table:?}");
    let csv = place.tell(&["attempts", "--csv"]);
    let lines: Vec<_> = text(&csv.stdout).split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let columns = |line: &str| line.split(',').count();
    assert!(lines.iter().all(|line| columns(line) == columns(lines[0]) && line.starts_with('"')), "{lines:#?}");
    // The columns are those of JSON.
    let json = place.json(&["attempts", "--json"]);
    let headings: BTreeSet<_> = lines[0].split(',').map(|heading| heading.trim_matches('"')).collect();
    assert_eq!(headings, keys(&json[0]));
}

#[test]
fn without_its_key_a_record_is_listed_without_its_client_and_still_replays() {
    let place = Place::new();
    record(&place, &["dnl-01.geo.kaspersky.com"]);
    fs::remove_dir_all(place.data().join("keys")).unwrap();
    let attempts = place.json(&["attempts", "--json", "--limit", "1"]);
    assert_eq!(attempts[0]["client"], Value::Null);
    let explained = place.json(&["explain", "--record", &attempts[0]["seq"].to_string(), "--json"]);
    assert_eq!((&explained["record"]["same"], &explained["record"]["client"]), (&true.into(), &Value::Null));
}

#[test]
fn a_record_that_cannot_be_replayed_is_told() {
    let place = Place::new();
    let none = place.tell(&["explain", "--record", "7"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(text(&none.stderr).contains("no record 7"), "{none:?}");
    record(&place, &["dnl-01.geo.kaspersky.com"]);
    let seq = place.json(&["attempts", "--json"])[0]["seq"].to_string();
    fs::remove_dir_all(place.data().join("policy")).unwrap();
    let lost = place.tell(&["explain", "--record", &seq]);
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
    // In words, and the whole chain: which archive, and what the system says of it.
    assert!(text(&lost.stderr).contains("archived policies go with the last record"), "{lost:?}");
    assert!(text(&lost.stderr).contains("policy archive") && text(&lost.stderr).contains("os error 2"), "{lost:?}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let place = Place::new();
    record(&place, &["dnl-01.geo.kaspersky.com"]);
    let commands = [
        program(&["man"]),
        program(&["completions", "bash"]),
        program(&["--help"]),
        program(&["--version"]),
        place.command(&["check"]),
        place.command(&["orders"]),
        place.command(&["orders", "--diff", "us-commerce-2024", "us-ndaa-1634"]),
        place.command(&["explain", "www.example"]),
        place.command(&["attempts", "--csv"]),
    ];
    for mut command in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    }
}

#[test]
fn what_the_operator_chose_is_not_told_as_law() {
    let treatment = "[[policy.treatment]]\norder = \"us-commerce-2024\"\nservice = \"web\"\ntreatment = \"prohibited\"\n\
                     prohibition = \"updates-and-services\"\n";
    let place = Place::with(treatment);
    let explained = place.json(&["explain", "www.kaspersky.com", "--offline", "--json", "--at", INSTANTS[2]]);
    assert_eq!(explained["verdict"], "sunk", "{explained}");
    assert!(explained["basis"].as_str().unwrap().contains("operator's own"), "{explained}");
    assert_eq!(explained["verification"], Value::Null, "{explained}");
    let orders = place.tell(&["orders"]);
    assert!(text(&orders.stdout).contains("web: prohibited under updates-and-services"), "{orders:?}");
}

#[test]
fn the_address_of_a_page_is_no_name() {
    let told = program(&["explain", "https://upd.kaspersky.com/"]).output().unwrap();
    assert_eq!(told.status.code(), Some(64), "{told:?}");
    assert!(text(&told.stderr).contains("name of its host"), "{told:?}");
}
