//! What another policy would do, as `interdict policy` tells it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use interdict::client::Group;
use interdict::feed::{self, Selection};
use interdict::policy::{Apply, Operator, Party, Phase, Rules, Scope, Term, Waiver};
use serde_json::Value;

/// After both instants of the shipped order.
const AT: &str = "2026-01-01T00:00:00Z";

/// A folder with configurations in it; each sees the same data folder.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.data()).unwrap();
        place.write("interdict.toml", "");
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a configuration that says `more` besides where the data are.
    fn write(&self, name: &str, more: &str) {
        let data = self.data().display().to_string();
        let text = format!("data_dir = {data:?}\n[upstream]\nservers = [\"127.0.0.1:9\"]\n{more}");
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Archives the shipped policy with these choices, as a daemon does, and returns its digest.
    fn archive(&self, operator: Operator) -> String {
        let archive = feed::load(&Selection::default(), operator, 1).unwrap().archive;
        archive.store(&self.data().join("policy")).unwrap();
        hex::encode(archive.digest())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_interdict"));
        command.args(arguments).arg("--config").arg("interdict.toml").current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    fn tell(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn page(&self, arguments: &[&str]) -> String {
        let output = self.tell(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command without a configuration.
    fn page_of(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_interdict")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn diff(&self, old: &str, new: &str, more: &[&str]) -> Value {
        let page = self.page(&[&["policy", "diff", old, new, "--json"], more].concat());
        serde_json::from_str(&page).unwrap()
    }
}

fn changes(diff: &Value) -> &[Value] {
    diff["changes"].as_array().unwrap()
}

fn names(change: &Value) -> Vec<&str> {
    change["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A waiver of the shipped order for a month of 2026.
fn waiver(clients: Vec<Party>, names: &[&str]) -> Waiver {
    let rules = Rules::Order { order: "us-commerce-2024".to_owned(), services: vec!["update".to_owned()] };
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    let [from, until] = ["2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"].map(|text| text.parse().unwrap());
    let scope = Scope { clients, rules, names };
    let (reason, approver) = ("a migration".to_owned(), "someone".to_owned());
    Waiver { id: "W-1".to_owned(), scope, term: Term::new(from, until).unwrap(), reason, approver, ticket: None }
}

#[test]
fn a_policy_does_not_differ_from_itself() {
    let place = Place::new();
    place.write("all.toml", "[policy]\norders = [\"us-commerce-2024\", \"us-ndaa-1634\", \"ca-tbs-2023\"]\n");
    let known = place.tell(&["check"]);
    assert!(known.status.success(), "{known:?}");
    let waived = place.archive(Operator { waivers: vec![waiver(vec![], &[])], ..Operator::default() });
    let archived = place.archive(Operator::default());
    for (old, new) in [("interdict.toml", "interdict.toml"), ("interdict.toml", &archived), (&waived, &waived)] {
        let diff = place.diff(old, new, &["--at", AT]);
        assert_eq!((changes(&diff).len(), &diff["listed"]), (0, &diff["listed"]), "{old} and {new}: {diff}");
        assert!(diff["listed"].as_u64().unwrap() > 500, "{diff}");
        assert!(place.page(&["policy", "diff", old, new]).contains("no difference"), "{old} and {new}");
    }
}

#[test]
fn the_difference_has_exactly_the_keys_that_scripts_rely_on() {
    let place = Place::new();
    place.write("new.toml", "[policy]\norders = [\"us-ndaa-1634\"]\n");
    let diff = place.diff("interdict.toml", "new.toml", &["--at", AT]);
    let expect = |value: &Value, expected: &str| assert_eq!(keys(value), expected.split(' ').collect(), "{value}");
    expect(&diff, "old new from instant_only listed given faulty_lines groups instants instants_left_out changes");
    expect(&diff["old"], "given policy orders");
    expect(&diff["groups"][0], "group network missing other_members");
    expect(&diff["instants"][0], "at sunk freed monitored waived reason rule answer");
    for change in changes(&diff) {
        expect(change, "change order service groups from until old new count names");
        expect(&change["old"], "verdict order prohibition service waiver binding sink");
        expect(&change["new"], "verdict order prohibition service waiver binding sink");
        assert_eq!(change["count"], names(change).len(), "{change}");
    }
}

#[test]
fn an_order_that_is_added_sinks_what_the_other_protects() {
    let place = Place::new();
    place.write("new.toml", "[policy]\norders = [\"us-commerce-2024\", \"us-ndaa-1634\"]\n");
    let diff = place.diff("interdict.toml", "new.toml", &["--at", AT]);
    let opentip = changes(&diff).iter().find(|change| names(change).contains(&"opentip.kaspersky.com")).unwrap();
    assert_eq!((&opentip["change"], &opentip["order"]), (&"sunk".into(), &"us-ndaa-1634".into()));
    assert_eq!((&opentip["old"]["verdict"], &opentip["new"]["verdict"]), (&"protected".into(), &"sunk".into()));
    let sunk: u64 =
        changes(&diff).iter().filter(|of| of["change"] == "sunk").map(|of| of["count"].as_u64().unwrap()).sum();
    assert_eq!(diff["instants"][0]["sunk"], sunk);
    // The other way round it is freed.
    let back = place.diff("new.toml", "interdict.toml", &["--at", AT]);
    assert_eq!((&back["instants"][0]["freed"], &back["instants"][0]["sunk"]), (&sunk.into(), &0.into()));
    let page = place.page(&["policy", "diff", "interdict.toml", "new.toml", "--at", AT]);
    assert!(page.contains(&format!("{sunk} newly sunk")) && page.contains("    opentip.kaspersky.com\n"), "{page}");
}

#[test]
fn a_change_to_come_is_told_with_its_instant() {
    let place = Place::new();
    place.write("new.toml", "[policy]\nremoval_until = \"2999-01-01T00:00:00Z\"\n");
    let diff = place.diff("interdict.toml", "new.toml", &[]);
    let instants = diff["instants"].as_array().unwrap();
    assert_eq!(instants.iter().map(|of| of["reason"].as_u64().unwrap() > 0).collect::<Vec<_>>(), [false, true]);
    for change in changes(&diff) {
        assert_eq!((&change["from"], &change["until"]), (&"2999-01-01T00:00:00Z".into(), &Value::Null), "{change}");
        assert_eq!((&change["old"]["verdict"], &change["groups"][0]), (&"kept".into(), &"default".into()));
    }
    let page = place.page(&["policy", "diff", "interdict.toml", "new.toml"]);
    assert!(page.contains("every client from 2999-01-01T00:00:00Z"), "{page}");
}

#[test]
fn a_treatment_of_the_operator_is_a_change_of_its_service_alone() {
    let place = Place::new();
    let treatment =
        "[[policy.treatment]]\norder = \"us-commerce-2024\"\nservice = \"update\"\ntreatment = \"exempt\"\n";
    place.write("new.toml", treatment);
    let diff = place.diff("interdict.toml", "new.toml", &["--at", AT]);
    assert!(!changes(&diff).is_empty());
    for change in changes(&diff) {
        assert_eq!((&change["change"], &change["service"]), (&"freed".into(), &"update".into()), "{change}");
        assert_eq!(change["new"]["verdict"], "exempt", "{change}");
    }
}

#[test]
fn a_waiver_is_told_for_its_clients_and_its_term() {
    let place = Place::new();
    let clients = vec![Party::Network("192.0.2.0/24".parse().unwrap())];
    let waived = waiver(clients, &["dnl-01.geo.kaspersky.com", "own.upd.kaspersky.com"]);
    let digest = place.archive(Operator { waivers: vec![waived], ..Operator::default() });
    fs::write(place.data().join("policy/current"), format!("{digest}\n")).unwrap();
    let stopped = place.tell(&["policy", "diff", "interdict.toml", "current"]);
    let told = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(stopped.status.code() == Some(1) && told.contains("no daemon runs") && told.contains(&digest), "{told}");
    let lock = File::create(place.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let at = place.diff("interdict.toml", "current", &["--at", "2026-03-15T00:00:00Z"]);
    let [change] = changes(&at) else { panic!("{at}") };
    assert_eq!((&change["change"], &change["groups"]), (&"waived".into(), &vec!["192.0.2.0/24"].into()));
    assert_eq!((&change["old"]["verdict"], &change["new"]["waiver"]), (&"sunk".into(), &"W-1".into()));
    assert_eq!(names(change), ["own.upd.kaspersky.com", "dnl-01.geo.kaspersky.com"]);
    for outside in ["2026-02-28T23:59:59Z", "2026-04-01T00:00:00Z"] {
        assert_eq!(changes(&place.diff("interdict.toml", "current", &["--at", outside])).len(), 0, "{outside}");
    }
}

#[test]
fn a_group_that_only_monitors_changes_for_itself_alone() {
    let place = Place::new();
    let group = |name: &str| Group { name: name.to_owned(), networks: vec![], devices: vec![], names: vec![] };
    let monitor = |groups: &[&str]| Apply {
        order: "us-commerce-2024".to_owned(),
        groups: groups.iter().map(|&name| name.to_owned()).collect(),
        phase: Phase::Monitor { until: Some("2999-01-01T00:00:00Z".parse().unwrap()) },
        demand: None,
        sink: None,
    };
    let groups = vec![group("lab"), group("shop")];
    let digest = place.archive(Operator { groups, applies: vec![monitor(&["lab"])], ..Operator::default() });
    let own = "[[client.group]]\nname = \"lab\"\nnetworks = [\"192.0.2.0/24\"]\n";
    place.write("groups.toml", own);
    let page = place.page(&["policy", "diff", "groups.toml", &digest]);
    assert!(page.contains("group lab takes other clients in NEW") && !page.contains("group lab is not in"), "{page}");
    assert!(page.contains("group shop is not in OLD"), "{page}");
    let diff = place.diff("interdict.toml", &digest, &[]);
    assert!(!changes(&diff).is_empty());
    for change in changes(&diff) {
        assert_eq!((&change["change"], &change["groups"]), (&"monitored".into(), &vec!["lab"].into()), "{change}");
        assert_eq!(change["until"], "2999-01-01T00:00:00Z", "{change}");
    }
    let groups: Vec<_> = diff["groups"].as_array().unwrap().iter().map(|of| (&of["group"], &of["missing"])).collect();
    let [nowhere, old] = [Value::Null, Value::from("old")];
    let [default, lab, shop] = ["default", "lab", "shop"].map(Value::from);
    assert_eq!(groups, [(&default, &nowhere), (&lab, &old), (&shop, &old)]);
    let page = place.page(&["policy", "diff", "interdict.toml", &digest]);
    assert!(page.contains("group lab is not in OLD: compared with the default group there"), "{page}");
    assert!(page.contains("  for   lab until 2999-01-01T00:00:00Z\n"), "{page}");
}

/// What `[[client.group]]` and waivers come to: a group that only monitors, and a waiver for a network.
fn grouped() -> Operator {
    let group = |name: &str| Group { name: name.to_owned(), networks: vec![], devices: vec![], names: vec![] };
    let until = Some("2999-01-01T00:00:00Z".parse().unwrap());
    let apply = Apply {
        order: "us-commerce-2024".to_owned(),
        groups: vec!["lab".to_owned()],
        phase: Phase::Monitor { until },
        demand: None,
        sink: None,
    };
    let waived = waiver(vec![Party::Network("192.0.2.0/24".parse().unwrap())], &["dnl-01.geo.kaspersky.com"]);
    Operator { groups: vec![group("lab")], applies: vec![apply], waivers: vec![waived], ..Operator::default() }
}

#[test]
fn explain_tells_people_of_groups_and_waivers() {
    let place = Place::new();
    let digest = place.archive(grouped());
    fs::write(place.data().join("policy/current"), format!("{digest}\n")).unwrap();
    let lock = File::create(place.data().join("lock")).unwrap();
    lock.lock().unwrap();
    let explain = |more: &[&str]| {
        let arguments = ["explain", "dnl-01.geo.kaspersky.com", "--at", "2026-03-15T00:00:00Z"];
        place.page(&[&arguments[..], more].concat())
    };
    let anyone = explain(&[]);
    for words in ["sunk: ", "others       lab: monitored\n", "192.0.2.0/24: waived, by waiver W-1\n"] {
        assert!(anyone.contains(words), "{words} is not in\n{anyone}");
    }
    let lab = explain(&["--group", "lab"]);
    for words in ["monitored: ", "group        lab\n", "monitored only until 2999", "others       default: sunk\n"] {
        assert!(lab.contains(words), "{words} is not in\n{lab}");
    }
    let waived = explain(&["--client", "192.0.2.7"]);
    for words in [
        "waived: ",
        "W-1 of us-commerce-2024 (update), from 2026-03-01",
        "for 192.0.2.0/24\n",
        "a migration (approved by someone)",
    ] {
        assert!(waived.contains(words), "{words} is not in\n{waived}");
    }
    let unknown = place.tell(&["explain", "x.example", "--group", "shop"]);
    let told = String::from_utf8_lossy(&unknown.stderr);
    assert!(!unknown.status.success() && told.contains("the groups are default, lab"), "{told}");
}

#[test]
fn orders_tell_how_they_apply_where_the_operator_set_that() {
    let place = Place::new();
    let plain = place.page(&["orders"]);
    assert!(!plain.contains("How the operator applies it") && !plain.contains("mode ="), "{plain}");
    let apply = "[[policy.apply]]\norder = \"us-commerce-2024\"\nphase = \"monitor\"\napplies = \"binding\"\n\
                 monitor_until = \"2999-01-01T00:00:00Z\"\nsink = \"nodata\"\n";
    place.write("interdict.toml", apply);
    let told = place.page(&["orders"]);
    for words in ["every group: monitored only until 2999-01-01T00:00:00Z", "Censored", "answered with nodata"] {
        assert!(told.contains(words), "{words} is not in\n{told}");
    }
    let orders: Value = serde_json::from_str(&place.page(&["orders", "--json"])).unwrap();
    let applied = &orders[0]["applied"][0];
    assert_eq!(keys(applied), ["binding", "groups", "phase", "sink", "until"].into());
    assert_eq!((&applied["phase"], &applied["binding"]), (&"monitor".into(), &true.into()));
    place.write("interdict.toml", "[policy]\nmode = \"monitor\"\n");
    assert!(
        place.page(&["orders"]).starts_with("mode = \"monitor\": nothing is withheld"),
        "{:?}",
        place.page(&["orders"])
    );
    let checked = place.page(&["check"]);
    assert!(checked.contains("groups 0 besides the default one\nwaivers 0, 0 of them in force\n"), "{checked}");
}

#[test]
fn help_says_what_a_comparison_does_not_know() {
    for (command, words) in [("diff", "does not know what clients ask for"), ("shadow", "begin anew when either")] {
        let help = Place::new().page_of(&["policy", command, "--help"]);
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{help}");
    }
}

#[test]
fn names_that_are_given_are_compared_too_however_many_they_are() {
    let place = Place::new();
    place.write("new.toml", "[policy]\norders = []\n");
    let mut child = place
        .command(&["policy", "diff", "interdict.toml", "new.toml", "--json", "--at", AT, "--names", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        writeln!(stdin, "# names\nupd.kaspersky.com\nwww.example\nno..name\n\u{1b}[2J.\u{e9}.example").unwrap();
        for number in 0..20_000 {
            writeln!(stdin, "n{number}.upd.kaspersky.com").unwrap();
        }
        drop(stdin);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let diff: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&diff["given"], &diff["faulty_lines"]), (&20_002.into(), &2.into()));
    let without = place.diff("interdict.toml", "new.toml", &["--at", AT]);
    // The listed name is compared once.
    let freed = |diff: &Value| diff["instants"][0]["freed"].as_u64().unwrap();
    assert_eq!(freed(&diff), freed(&without) + 20_000);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("-:4: `no..name` is not a domain name") && !told.contains('\u{1b}'), "{told}");
}

#[test]
fn what_is_no_policy_is_told_with_what_would_be_right() {
    let place = Place::new();
    place.write("faulty.toml", "[policy]\norders = [\"unheard-of\"]\n");
    for (side, code, told) in [
        ("faulty.toml", 78, "unheard-of"),
        ("missing.toml", 78, "missing.toml"),
        ("current", 1, "no daemon runs"),
        (&"ab".repeat(32), 1, "policy archive"),
    ] {
        for sides in [[side, "interdict.toml"], ["interdict.toml", side]] {
            let output = place.tell(&[&["policy", "diff"][..], &sides].concat());
            assert_eq!(output.status.code(), Some(code), "{sides:?}: {output:?}");
            assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
        }
    }
    let output = place.tell(&["policy", "diff", "interdict.toml", "interdict.toml", "--names", "/nowhere"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/nowhere"), "{output:?}");
    assert!(Path::new("/nowhere").metadata().is_err());
}
