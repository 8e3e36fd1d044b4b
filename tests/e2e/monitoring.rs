//! What monitoring sees: metrics as Prometheus wants them, alerts that fire where they should and nowhere else, and a dashboard
//! whose every expression finds something. A real Prometheus scrapes the real daemon.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire;

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const TESTS: &str = include_str!("../../deploy/prometheus/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/interdict.json");

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(place::find("promtool").unwrap());
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&told).into_owned())
}

/// A daemon that has something to tell of everything that can be had without a network: an upstream that answers and one that
/// is dead, a list, an export.
fn busy(alive: &Scripted) -> Daemon {
    let setup = Setup::new().upstreams(&[alive.address, place::socket()]);
    let at = |name: &str| setup.folder.path().join(name).display().to_string();
    std::fs::write(at("ads.txt"), "ads.example\n").unwrap();
    let table = |pairs: &[(&str, String)]| -> toml::Table {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect()
    };
    let list = table(&[("name", "ads".to_owned()), ("file", at("ads.txt"))]);
    let receiver = table(&[("name", "copy".to_owned()), ("kind", "file".to_owned()), ("to", at("copy.jsonl"))]);
    setup.set("lists.list", vec![list]).set("export.receiver", vec![receiver]).start_ready()
}

fn answering() -> Scripted {
    Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])])
}

#[test]
fn metrics_are_as_promtool_wants_them() {
    needs!("promtool");
    let alive = answering();
    let daemon = busy(&alive);
    for name in ["www.example", "ads.example", "upd.kaspersky.com"] {
        wire::udp(daemon.dns, &wire::query(name, wire::A));
    }
    let (_, page) = fetch(daemon.admin, "/metrics").unwrap();
    assert_eq!(promtool(&["check", "metrics"], &page), (true, String::new()), "{page}");
    for name in ["upstream_silent", "list_matches_total", "export_behind_leaves", "check_ok", "data_disk_free_bytes"] {
        assert!(page.lines().any(|line| line.starts_with(&format!("interdict_{name}"))), "{name} is not in\n{page}");
    }
}

#[test]
fn each_alert_fires_where_it_should_and_not_before() {
    needs!("promtool");
    let rules = shipped("prometheus/alerts.test.yaml");
    let (well, told) = promtool(&["test", "rules", rules.to_str().unwrap()], "");
    assert!(well, "{told}");
    for alert in alerts() {
        let tested = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"");
        assert!(TESTS.matches(&tested).count() >= 3, "alerts.test.yaml does not show when {alert} fires, and when not");
    }
}

/// The names of the alerts; each says what is so and what to do.
fn alerts() -> Vec<&'static str> {
    let alerts: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    for alert in &alerts {
        for part in ["severity: ", "summary: ", "action: "] {
            assert_eq!(alert.matches(part).count(), 1, "{part}{alert}");
        }
    }
    alerts.iter().map(|alert| alert.lines().next().unwrap()).collect()
}

/// A running Prometheus that scrapes one daemon; is killed when it is dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one with the shipped rules, whose alerts fire at once.
    fn start(admin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let is_wait = |line: &&str| line.trim_start().starts_with("for: ");
        let hasty: String = ALERTS.lines().filter(|line| !is_wait(line)).map(|line| format!("{line}\n")).collect();
        std::fs::write(at("alerts.yaml"), hasty).unwrap();
        let configuration = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms }}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs:\n  - job_name: interdict\n    static_configs: [{{ targets: [\"{admin}\"] }}]\n"
        );
        std::fs::write(at("prometheus.yml"), configuration).unwrap();
        let address = place::socket();
        let log = std::fs::File::create(at("log")).unwrap();
        let mut command = place::tied(place::find("prometheus").unwrap());
        command
            .arg(format!("--config.file={}", at("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.wal-compression")
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let prometheus = Self { child, address, folder };
        place::until(PATIENCE, "Prometheus to be ready", || (prometheus.get("/-/ready")?.0 == 200).then_some(()));
        prometheus
    }

    /// Fetches a page; HTTP/1.0, so that it comes in one piece.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).expect("Prometheus answers");
        let value: Value =
            serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {status} {error}: {body}"));
        assert_eq!(value["status"], "success", "{path}: {value}");
        value["data"].clone()
    }

    /// Asks an expression and returns its results.
    fn ask(&self, expression: &str) -> Vec<Value> {
        let mut encoded = String::new();
        for octet in expression.bytes() {
            let _ = write!(encoded, "%{octet:02X}");
        }
        let data = self.json(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().unwrap_or_else(|| panic!("{expression}: {data}")).clone()
    }

    /// Returns how often the daemon was scraped.
    fn scrapes(&self) -> u64 {
        let counts = self.ask("count_over_time(up[1h])");
        let count = counts.first().and_then(|one| one["value"][1].as_str()).and_then(|text| text.parse::<f64>().ok());
        count.map_or(0, |count| count as u64)
    }

    fn firing(&self) -> BTreeSet<String> {
        let data = self.json("/api/v1/alerts");
        let alerts = data["alerts"].as_array().unwrap().iter().filter(|alert| alert["state"] == "firing");
        alerts.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap());
        }
    }
}

#[test]
fn a_dead_upstream_raises_its_alerts_and_no_others() {
    needs!("prometheus");
    // Nobody is at its upstream, and nobody asks the daemon anything.
    let daemon = Setup::new().start();
    let prometheus = Prometheus::start(daemon.admin);
    let mut expected = BTreeSet::from(["InterdictUpstreamDown".to_owned(), "InterdictNotReady".to_owned()]);
    // Whether a time service bears the clock out is the machine's doing.
    if daemon.metric("interdict_clock_state{state=\"unsynchronised\"}") == 1.0 {
        expected.insert("InterdictClockUnsynchronised".to_owned());
    }
    // That an order changes by itself soon depends on the date.
    let without_dates = |mut firing: BTreeSet<String>| {
        firing.remove("InterdictChangeAhead");
        firing
    };
    place::until(PATIENCE, "the alerts to fire", || prometheus.firing().is_superset(&expected).then_some(()));
    let rules = place::until(PATIENCE, "every rule to be evaluated", || {
        let groups = prometheus.json("/api/v1/rules")["groups"].as_array().unwrap().clone();
        let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(rules.len(), alerts().len());
    for rule in rules {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule}");
    }
    assert_eq!(without_dates(prometheus.firing()), expected);
}

/// Expressions whose data only something has that a test on loopback cannot have, or had not time for.
const WITHOUT_DATA: &[&str] = &[
    "interdict_fetch_age_seconds",
    "interdict_certificate_expiry_timestamp_seconds",
    "interdict_ledger_published_timestamp_seconds",
    "interdict_ledger_cosigned_timestamp_seconds",
    "interdict_ledger_log_signed_timestamp_seconds",
    "interdict_upstream_latency_seconds_bucket",
];

#[test]
fn each_panel_of_the_dashboard_shows_what_the_daemon_tells() {
    needs!("prometheus");
    let alive = answering();
    let daemon = busy(&alive);
    let prometheus = Prometheus::start(daemon.admin);
    for name in ["www.example", "www.example", "ads.example", "upd.kaspersky.com"] {
        wire::udp(daemon.dns, &wire::query(name, wire::A));
    }
    let begun = prometheus.scrapes();
    place::until(PATIENCE, "some scrapes", || (prometheus.scrapes() > begun + 3).then_some(()));
    let known: BTreeSet<_> = {
        let names = prometheus.json("/api/v1/metadata");
        names.as_object().unwrap().keys().cloned().collect()
    };
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| Some((panel["title"].as_str()?, panel["targets"].as_array()?)));
    let expressions: Vec<_> = targets
        .flat_map(|(title, targets)| targets.iter().map(move |target| (title, target["expr"].as_str().unwrap())))
        .collect();
    assert!(expressions.len() > 25, "{expressions:?}");
    for (title, expression) in expressions {
        for name in metrics(expression) {
            // What is told of counters and histograms has their names without the suffixes of samples.
            let bare = name.trim_end_matches("_bucket").trim_end_matches("_total");
            let is_known = known.contains(name) || known.contains(bare);
            assert!(is_known || WITHOUT_DATA.contains(&name), "{title}: the daemon has no {name}");
        }
        let asked = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
        assert!(!asked.contains('$'), "{title}: {asked}");
        let found = prometheus.ask(&asked);
        let may_be_empty = metrics(expression).iter().all(|name| WITHOUT_DATA.contains(name));
        assert!(!found.is_empty() || may_be_empty, "{title}: nothing comes of {asked}");
    }
}

/// Returns the names of our metrics in a text.
fn metrics(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("interdict_")).collect()
}

/// What the rules ask for is there, too, under the very name.
#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let alive = answering();
    let daemon = busy(&alive);
    let (_, page) = fetch(daemon.admin, "/metrics").unwrap();
    let is_words = |line: &str| ["summary:", "action:", "#"].iter().any(|start| line.trim_start().starts_with(start));
    for name in ALERTS.lines().filter(|line| !is_words(line)).flat_map(metrics) {
        let is_there = page.lines().any(|line| line.split(['{', ' ']).next() == Some(name));
        assert!(is_there || WITHOUT_DATA.contains(&name) || name.starts_with("interdict_fetch_"), "{name} is not told");
    }
}

/// The names of metrics that a page of them tells, without what each has in front.
fn told(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE interdict_"));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

const GUIDE: &str = include_str!("../../docs/monitoring.md");

/// Returns the words in a column of a table of the guide.
fn column(heading: &str, place: usize) -> BTreeSet<String> {
    let table = GUIDE.split(heading).nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(place + 1).unwrap());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn the_guide_tells_each_metric() {
    let alive = answering();
    let daemon = busy(&alive);
    // What is measured of an upstream is there once somebody has asked it.
    wire::udp(daemon.dns, &wire::query("www.example", wire::A));
    let (_, page) = fetch(daemon.admin, "/metrics").unwrap();
    let written = column("| metric, each with `interdict_` in front", 0);
    let missing: Vec<_> = told(&page).into_iter().filter(|name| !written.contains(name)).collect();
    assert!(missing.is_empty(), "docs/monitoring.md does not tell {missing:?}");
    // What only comes with something that is configured elsewhere is known by its name in the source.
    let others = ["certificate_expiry_timestamp_seconds", "fetch_age_seconds", "fetch_failing", "fetches_total"];
    let others = others.into_iter().chain(["shadow_differences_total"]);
    let known: BTreeSet<_> = told(&page).into_iter().chain(others.map(str::to_owned)).collect();
    let gone: Vec<_> = written.difference(&known).collect();
    assert!(gone.is_empty(), "docs/monitoring.md tells of {gone:?}, which there are not");
}

/// Whoever searches the log relies on the names of its fields.
#[test]
fn the_guide_tells_each_field_of_the_log() {
    let written = column("| field |", 0);
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            found.extend(code.split("tracing::").skip(1).flat_map(fields));
        }
    }
    assert!(found.len() > 20, "{found:?}");
    assert_eq!(found.difference(&written).collect::<Vec<_>>(), Vec::<&String>::new(), "docs/monitoring.md lacks them");
    assert_eq!(written.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new(), "no line has them");
}

/// Returns the fields of the call of a logging macro that a piece of code begins with: what stands before its message.
fn fields(code: &str) -> Vec<String> {
    let Some((name, rest)) = code.split_once("!(") else { return Vec::new() };
    if !["error", "warn", "info", "debug", "trace"].contains(&name) {
        return Vec::new();
    }
    let before = rest.split('"').next().unwrap();
    let parts = before.split(',').map(|part| part.trim().trim_start_matches(['%', '?']));
    let field = |part: &str| -> Option<String> {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        (!word.is_empty() && (rest.is_empty() || rest.starts_with(" ="))).then(|| word.to_owned())
    };
    parts.filter_map(field).collect()
}

/// The entries of journald's native protocol, whose values may have lines.
fn entry(mut octets: &[u8]) -> Vec<(String, String)> {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let mut fields = Vec::new();
    while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
        let (line, rest) = (&octets[..end], &octets[end + 1..]);
        let (name, value, rest) = match line.iter().position(|octet| *octet == b'=') {
            Some(equals) => (&line[..equals], &line[equals + 1..], rest),
            None => {
                let (length, rest) = rest.split_first_chunk().unwrap();
                let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
                (line, value, rest.strip_prefix(b"\n").unwrap())
            }
        };
        fields.push((text(name), text(value)));
        octets = rest;
    }
    assert!(octets.is_empty(), "{octets:?}");
    fields
}

/// A socket of ours stands where journald's does, in a name space of the daemon's own.
#[test]
fn the_journal_gets_entries_with_fields_from_within_the_sandbox() {
    needs!("root", "unshare", "mount");
    let setup = Setup::new().set("log.format", "journal");
    let path = setup.folder.path().join("journald");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let own = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
               ln -s \"$0\" /run/systemd/journal/socket && exec \"$@\"";
    let daemon = setup.through(&["unshare", "-m", "sh", "-c", own, &path.display().to_string()]).start();
    let hostile = "a\nMESSAGE=forged\nINTERDICT_FAULT=forged";
    std::fs::write(daemon.folder().join("interdict.toml"), format!("[policy]\norders = [{hostile:?}]\n")).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    let refused = loop {
        let mut octets = [0; 1 << 16];
        let length = socket.recv(&mut octets).expect("an entry of the refusal");
        let fields = entry(&octets[..length]);
        if fields.contains(&("MESSAGE".to_owned(), "reload refused".to_owned())) {
            break fields;
        }
    };
    let of =
        |name: &str| refused.iter().filter(|(of, _)| of == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
    assert_eq!((of("PRIORITY"), of("SYSLOG_IDENTIFIER"), of("MESSAGE").len()), (vec!["3"], vec!["interdict"], 1));
    assert!(of("INTERDICT_FAULT").len() == 1 && of("INTERDICT_FAULT")[0].contains("forged"), "{refused:?}");
    assert_eq!(daemon.told().lines().filter(|line| line.contains("reload refused")).count(), 0, "{}", daemon.told());
}
