//! Lists that an operator brings: decided after the orders, and kept as they were when they last were good.

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire;

const BANNED: &str = "dnl-01.geo.kaspersky.com";

fn honest() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

/// A table of the configuration for the list `name`, whose file lies in the folder of the setup.
fn table(setup: &Setup, name: &str, more: &[(&str, &str)]) -> toml::Value {
    let file = setup.folder.path().join(format!("{name}.txt"));
    let mut table = toml::Table::new();
    table.insert("name".to_owned(), name.into());
    table.insert("file".to_owned(), file.display().to_string().into());
    table.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
    table.into()
}

fn with(setup: Setup, lists: Vec<toml::Value>) -> Setup {
    setup.set("lists.list", lists)
}

fn write(setup_folder: &std::path::Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(setup_folder.join(format!("{name}.txt")), text).unwrap();
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("0.0.0.0 n{n}.ads.example\n")).collect()
}

fn code(daemon: &Daemon, name: &str) -> u8 {
    wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A)))
}

/// Reloads, and waits until the list has been told of or taken.
fn reload(daemon: &Daemon, told: &str) {
    let before = daemon.told().len();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, told, || daemon.told()[before..].contains(told).then_some(()));
    place::until(PATIENCE, "the reload to end", || daemon.told()[before..].contains("reloaded").then_some(()));
}

#[test]
fn a_list_that_is_no_longer_good_stays_as_it_was() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let ads = table(&setup, "ads", &[]);
    let folder = setup.folder.path().to_owned();
    write(&folder, "ads", names(100));
    let daemon = with(setup, vec![ads]).start();
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN);
    assert_eq!(code(&daemon, "other.example"), wire::NOERROR);
    for (bad, told) in [
        ("<!doctype html><title>404</title>".to_owned(), "web page"),
        (String::new(), "empty"),
        (names(50), "50 rules and had 100"),
        (format!("{}0.0.0.0 com\n", names(100)), "would withhold com"),
        ("nonsense here\n".repeat(5), "none of the formats"),
    ] {
        write(&folder, "ads", &bad);
        reload(&daemon, told);
        assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN, "after {told}");
        assert_eq!(code(&daemon, "shop.com"), wire::NOERROR, "after {told}");
        let health = fetch(daemon.admin, "/health/ready").unwrap().1;
        assert!(health.contains(told), "{health}");
        let fault = daemon.json(&["lists", "--json"])[0]["fault"].as_str().unwrap_or_default().to_owned();
        assert!(fault.contains(told) && fault.contains("the last good one stays"), "{told}: {fault}");
        // `check` refuses what a reload refuses.
        let checked = daemon.command(&["check"]);
        assert_eq!(checked.status.code(), Some(78), "{told}");
        assert!(String::from_utf8_lossy(&checked.stderr).contains(told), "{told}: {checked:?}");
    }
    write(&folder, "ads", names(100));
    assert_eq!(daemon.json(&["lists", "--json"])[0]["fault"], serde_json::Value::Null);
    let explained = daemon.command(&["explain", "n7.ads.example"]).stdout;
    let explained = String::from_utf8(explained).unwrap();
    assert!(explained.starts_with("pass: no order withholds it; the list ads does\n"), "{explained}");
    write(&folder, "ads", names(50));
    // Not even a new start forgets the last good one.
    let daemon = daemon.stop().start();
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN);
    write(&folder, "ads", names(90));
    reload(&daemon, "list loaded");
    assert_eq!(code(&daemon, "n95.ads.example"), wire::NOERROR, "what was kept is decided again");
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN);
    let metrics = fetch(daemon.admin, "/metrics").unwrap().1;
    assert!(metrics.contains("list_matches_total{list=\"ads\",result=\"withheld\"}"), "{metrics}");
}

#[test]
fn no_list_lifts_an_order() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let allow = table(&setup, "allow", &[("format", "adblock")]);
    let folder = setup.folder.path().to_owned();
    write(&folder, "allow", format!("@@||{BANNED}^$important\n@@||kaspersky.com^\n||ads.example^\n"));
    let setup = with(setup, vec![allow]);
    let checked = setup.check(&[]);
    assert!(checked.contains(&format!("lets {BANNED} pass, which an order withholds all the same")), "{checked}");
    let daemon = setup.start();
    assert_eq!(code(&daemon, BANNED), wire::NXDOMAIN);
    assert_eq!(code(&daemon, "www.ads.example"), wire::NXDOMAIN);
    assert_eq!(upstream.asked(BANNED), 0);
    let explained = |name: &str| String::from_utf8(daemon.command(&["explain", name]).stdout).unwrap();
    let told = explained(BANNED);
    assert!(
        told.starts_with("sunk") && told.contains("allow: pass by the rule") && told.contains("decides nothing"),
        "{told}"
    );
    let told = explained("www.ads.example");
    assert!(told.contains("allow: block by the rule ads.example and *.ads.example; decides"), "{told}");
    assert!(told.contains("extended error 15 (Blocked)"), "{told}");
}

#[test]
fn names_behind_aliases_and_addresses_in_answers_are_decided_too() {
    let upstream = Scripted::start(|query| match wire::asked_name(query).as_str() {
        "alias.example" => vec![aliased(query, "bad.example")],
        "number.example" => vec![wire::reply(query, wire::NOERROR, &[[203, 0, 113, 9]])],
        _ => vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])],
    });
    let setup = Setup::new().upstreams(&[upstream.address]);
    let zone = table(&setup, "zone", &[("format", "rpz")]);
    let folder = setup.folder.path().to_owned();
    write(&folder, "zone", "@ 60 SOA . . 1 2 3 4 5\nunrelated.example CNAME .\n");
    let daemon = with(setup, vec![zone]).start();
    for name in ["alias.example", "number.example"] {
        assert_eq!(code(&daemon, name), wire::NOERROR, "{name} before the list names it");
    }
    let rules = "bad.example CNAME .\n24.0.113.0.203.rpz-ip CNAME *.\n";
    write(&folder, "zone", format!("@ 60 SOA . . 1 2 3 4 5\nunrelated.example CNAME .\n{rules}"));
    reload(&daemon, "list loaded");
    // Both are kept, and decided again.
    assert_eq!(code(&daemon, "alias.example"), wire::NXDOMAIN);
    let answer = wire::parse(&wire::udp(daemon.dns, &wire::query("number.example", wire::A)));
    assert!(answer.answers.is_empty(), "{answer:?}");
    assert_eq!(upstream.asked("alias.example"), 1);
}

fn aliased(query: &[u8], target: &str) -> Vec<u8> {
    let mut wire = wire::reply(query, wire::NOERROR, &[]);
    wire[7] = 2;
    let name = wire::name_wire(target);
    wire.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 0, 0, u8::try_from(name.len()).unwrap()]);
    wire.extend(&name);
    wire.extend(&name);
    wire.extend([0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 9]);
    wire
}

#[test]
fn a_list_has_dates_and_another_action() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let dated = table(&setup, "dated", &[("from", "2030-01-01T00:00:00Z"), ("monitor_from", "2020-01-01T00:00:00Z")]);
    let refused = table(&setup, "refused", &[("action", "refused"), ("format", "suffixes")]);
    let folder = setup.folder.path().to_owned();
    write(&folder, "dated", "dated.example\n");
    write(&folder, "refused", "refused.example\n");
    let daemon = with(setup, vec![dated, refused]).at("2025-06-01T00:00:00Z").start();
    assert_eq!(code(&daemon, "dated.example"), wire::NOERROR);
    assert_eq!(code(&daemon, "www.refused.example"), wire::REFUSED);
    let metrics = fetch(daemon.admin, "/metrics").unwrap().1;
    assert!(metrics.contains("list_matches_total{list=\"dated\",result=\"monitored\"} 1"), "{metrics}");
}

#[test]
fn a_strict_check_fails_on_any_line_that_is_not_understood() {
    let setup = Setup::new();
    let ads = table(&setup, "ads", &[("format", "hosts")]);
    write(setup.folder.path(), "ads", "0.0.0.0 a.example\n0.0.0.0 b.example\nnons\u{1b}[2Jense\n");
    let setup = with(setup, vec![ads]);
    let checked = setup.check(&[]);
    assert!(checked.contains("list ads: 2 rules, 1 line not understood"), "{checked}");
    let strict = setup.check(&["--strict"]);
    assert!(strict.contains("ads.txt:3: `nons\\u{1b}[2Jense`: a line of a hosts file begins"), "{strict}");
}

/// EasyList and EasyPrivacy, as Debian ships them: most of their lines are about parts of pages, which is told of each.
#[test]
fn lists_that_people_use_are_read_and_decide() {
    needs!("webext-ublock-origin-firefox");
    let upstream = honest();
    let mut setup = Setup::new().upstreams(&[upstream.address]);
    let folder = place::real_lists().unwrap().join("easylist");
    let mut tables = Vec::new();
    let mut names = Vec::new();
    for name in ["easylist", "easyprivacy"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
        let is_name = |name: &String| !name.contains(['*', '/', ':']) && name.parse::<std::net::IpAddr>().is_err();
        let plain = |line: &str| line.strip_prefix("||")?.strip_suffix('^').map(str::to_owned);
        // Exceptions would have to be taken out: these lists have them for pages only, with options of their own.
        let found: Vec<String> = text.lines().filter_map(plain).filter(|name| is_name(name)).collect();
        assert!(found.len() > 10_000, "{name} has {} plain names", found.len());
        names.extend(found.into_iter().step_by(257));
        write(setup.folder.path(), name, &text);
        tables.push(table(&setup, name, &[]));
    }
    setup = with(setup, tables);
    let daemon = setup.start();
    let told = daemon.told();
    assert!(told.contains("easyprivacy.txt:") && told.contains("lines of a list were not understood"), "{told}");
    for name in &names {
        assert_eq!(code(&daemon, name), wire::NXDOMAIN, "{name}");
        assert_eq!(code(&daemon, &format!("www.{name}")), wire::NXDOMAIN, "below {name}");
    }
    assert_eq!(code(&daemon, "www.example"), wire::NOERROR);
}

#[test]
fn a_list_is_written_in_the_formats_of_others() {
    let setup = Setup::new();
    let ads = table(&setup, "ads", &[("format", "adblock")]);
    write(
        setup.folder.path(),
        "ads",
        "||ads.example^\n|exact.example^\n@@||good.ads.example^\n||typed.example^$dnstype=A\n",
    );
    let daemon = with(setup, vec![ads]).start();
    let printed = |format: &str| {
        let output = daemon.command(&["lists", "print", "ads", "--as", format]);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        (lines, String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    let (lines, told, code) = printed("adblock");
    let all = ["@@||good.ads.example^", "|exact.example^", "||ads.example^", "||typed.example^$dnstype=A"];
    assert_eq!((lines, told, code), (all.map(str::to_owned).to_vec(), String::new(), Some(0)));
    let (lines, told, code) = printed("rpz");
    for line in [
        "ads.example CNAME .",
        "*.ads.example CNAME .",
        "exact.example CNAME .",
        "*.good.ads.example CNAME rpz-passthru.",
    ] {
        assert!(lines.iter().any(|of| of == line), "{line}: {lines:?}");
    }
    assert!(told.contains("1 rules are left out") && code == Some(1), "{told}");
    let (lines, _, _) = printed("unbound");
    assert!(lines.iter().any(|line| line == "local-zone: \"good.ads.example\" always_transparent"), "{lines:?}");
}

#[test]
fn in_an_emergency_no_list_withholds_anything_either() {
    let upstream = honest();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let ads = table(&setup, "ads", &[]);
    write(setup.folder.path(), "ads", names(100));
    let daemon = with(setup, vec![ads]).start();
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN);
    assert!(daemon.command(&["monitor-only", "--for", "5m", "--reason", "an outage"]).status.success());
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NOERROR);
    assert_eq!(code(&daemon, BANNED), wire::NOERROR);
    assert!(daemon.metric("interdict_list_matches_total{list=\"ads\",result=\"monitored\"}") >= 1.0);
    let explained = &daemon.json(&["explain", "n7.ads.example", "--json"])[0];
    assert_eq!(explained["lists"][0]["decides"], false, "{explained}");
    assert!(daemon.command(&["monitor-only", "--stop"]).status.success());
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN);
}
