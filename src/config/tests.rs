//! What is loaded from files and variables, and how each fault is told.

mod clients;
mod control;
mod fetch;
mod hostile;
mod ledger;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::feed::Selection;
use crate::identify::Sources;
use crate::listen::limit::Rate;
use crate::observe::Format;
use crate::policy::{Apply, Demand, Operator, OperatorTreatment, Phase, Removal, Sink, TreatmentChoice};

const SHIPPED: &str = include_str!("../../config/interdict.toml");

fn plain(text: &str) -> crate::resolve::Endpoint {
    crate::resolve::Endpoint::Plain(text.parse().unwrap())
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let path = file.path().display().to_string();
    Config::load(Some(file.path()), environment)
        .map_err(|faults| faults.iter().map(|fault| fault.to_string().replace(&path, "file")).collect())
}

/// Checks that exactly these faults are told, each beginning with the first and containing the second text.
#[track_caller]
fn assert_faults(text: &str, environment: &[(&str, &str)], expected: &[(&str, &str)]) {
    let faults = load(text, environment).expect_err("it has faults");
    let told = faults.join("\n");
    assert_eq!(faults.len(), expected.len(), "{told}");
    for (fault, (begin, part)) in faults.iter().zip(expected) {
        assert!(fault.starts_with(begin) && fault.contains(part), "expected {begin} … {part} in:\n{told}");
    }
}

/// The networks whose clients are answered, and may ask any number.
fn private() -> Vec<ipnet::IpNet> {
    [
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    ]
    .map(|network| network.parse().unwrap())
    .to_vec()
}

fn defaults() -> Config {
    let Selection { catalogues, orders } = Selection::default();
    Config {
        data_dir: PathBuf::from("./interdict-data"),
        listen: Listen {
            dns: vec!["127.0.0.1:5300".parse().unwrap()],
            allow: private(),
            workers: 0,
            proxy_from: Vec::new(),
            ecs_from: Vec::new(),
            tcp_connections: 1024,
            tcp_connections_per_client: 64,
            tcp_in_flight: 64,
            tcp_idle: Duration::from_secs(10),
        },
        limit: Rate {
            queries_per_second: std::num::NonZeroU32::new(100),
            burst: 500,
            ipv4_prefix: 32,
            ipv6_prefix: 56,
            exempt: private(),
            slip: 2,
        },
        admin: Admin { listen: Some("127.0.0.1:5380".parse().unwrap()), hosts: Vec::new() },
        control: ControlConfig {
            listen: ControlSocket::InDataFolder,
            four_eyes: false,
            monitor_only_max_minutes: 60,
            waiver_max_days: 366,
        },
        upstream: UpstreamConfig {
            servers: Vec::new(),
            strategy: crate::resolve::Strategy::Order,
            bootstrap: Vec::new(),
            ca: None,
            dnssec: DnssecConfig::default(),
            timeout: Duration::from_millis(1500),
            attempts: 3,
            in_flight: 4096,
            zones: Vec::new(),
            groups: Vec::new(),
        },
        cache: CacheConfig {
            size: 64 << 20,
            max_ttl: 86_400,
            negative_max_ttl: 3600,
            failure_ttl: 5,
            stale_max_ttl: 86_400,
            prefetch: true,
            save: false,
        },
        zones: ZonesConfig { hosts: Vec::new(), zone: Vec::new(), special_use: true },
        client: ClientConfig { groups: Vec::new(), sources: Sources::default() },
        policy: fetch::policy(catalogues, orders),
        ways_round: WaysRound {
            canary: false,
            relay: false,
            discovery: false,
            public_resolvers: false,
            ech: false,
            catalogue: "ways-round".to_owned(),
        },
        rebinding: RebindingConfig { protect: false, allow: Vec::new() },
        lists: ListsConfig { bounds: crate::lists::Bounds::default(), lists: Vec::new() },
        fetch: fetch::defaults(),
        answer: AnswerConfig { sink: Sink::Nxdomain, sink_ttl: 60, max_payload: 1232, version: String::new() },
        ledger: ledger::defaults(),
        export: Vec::new(),
        notice: notice::defaults(),
        daemon: DaemonConfig { sandbox: true, reload_on_change: false },
        log: LogConfig { level: "info".to_owned(), format: Format::Text },
        places: Places::default(),
    }
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    assert_eq!(Config::default_values(), defaults());
    assert_eq!(load("", &[]), Ok(defaults()));
}

#[test]
fn the_shipped_file_holds_every_key_at_its_default() {
    assert_eq!(load(SHIPPED, &[]), Ok(defaults()));
    assert!(
        SHIPPED == Spec::to_toml(),
        "config/interdict.toml differs from the table; it would be:\n{}",
        Spec::to_toml()
    );
    for section in Spec::SECTIONS {
        for key in section.keys {
            let line = match key.kind {
                Kind::Tables { .. } => format!("\n# [[{}.{}]]\n", section.name, key.name),
                _ => format!("\n{} = ", key.name),
            };
            assert!(SHIPPED.contains(&line), "{line}");
            assert!(!key.doc.is_empty(), "{} has no words", key.name);
        }
        // The header of a table ends the keys of its section.
        let tables = section.keys.iter().skip_while(|key| !matches!(key.kind, Kind::Tables { .. }));
        assert!(tables.into_iter().all(|key| matches!(key.kind, Kind::Tables { .. })), "[{}]", section.name);
    }
    assert!(SHIPPED.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn the_examples_of_tables_are_right_and_change_what_they_say() {
    let keys = Spec::SECTIONS.iter().flat_map(|section| section.keys);
    let examples: Vec<_> = keys
        .filter_map(|key| match key.kind {
            Kind::Tables { example, .. } => Some(example.join("\n")),
            _ => None,
        })
        .collect();
    assert_eq!(examples.len(), 12);
    for example in examples {
        assert_ne!(load(&example, &[]), Ok(defaults()), "{example}");
        assert_eq!(load(&example, &[]).err(), None, "{example}");
    }
}

#[test]
fn every_key_of_the_file_is_heeded() {
    let text = r#"
data_dir = "/var/lib/interdict"
listen = { dns = ["0.0.0.0:53", "[::]:53"], allow = ["10.0.0.7"], workers = 2, tcp_connections = 9 }
[admin]
listen = ""
hosts = ["Dns.Corp.Example."]
[upstream]
servers = ["10.0.0.1", "[fd00::1]:5353"]
attempts = 1
[[upstream.zone]]
name = "Corp.Example."
servers = ["10.0.0.2"]
strategy = "race"
[zones]
hosts = ["printer.corp.example 10.0.0.9 fd00::9"]
special_use = false
[[zones.zone]]
origin = "lab.example"
text = """
@ 60 IN NS ns.lab.example.
"""
[policy]
orders = ["./orders/"]
applies = "binding"
removal_until = 2026-12-31T00:00:00-05:00
shadow = "candidate.toml"
[[policy.treatment]]
order = "o"
service = "s"
treatment = "prohibited"
prohibition = "p"
[[policy.treatment]]
order = "o"
service = "t"
treatment = "exempt"
[[policy.apply]]
order = "o"
groups = ["default"]
phase = "monitor"
monitor_until = "2026-12-31T00:00:00-05:00"
sink = "nodata"
[answer]
sink = "address"
sink_v4 = "192.0.2.1"
[log]
format = "json"
"#;
    let config = load(text, &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/interdict"));
    assert_eq!((config.listen.dns.len(), config.listen.workers, config.listen.tcp_connections), (2, 2, 9));
    assert_eq!(config.listen.allow[0].to_string(), "10.0.0.7/32");
    assert_eq!(config.admin, Admin { listen: None, hosts: vec!["dns.corp.example".to_owned()] });
    assert_eq!(config.upstream.servers, ["10.0.0.1:53", "[fd00::1]:5353"].map(plain));
    let (zone, servers) = ("corp.example".parse().unwrap(), vec![plain("10.0.0.2:53")]);
    let zone = ForwardZone { zone, servers, strategy: crate::resolve::Strategy::Race };
    assert_eq!(config.upstream.zones, [zone]);
    assert_eq!(config.zones.hosts[0].addresses.len(), 2);
    assert_eq!(config.zones.zone[0].text, "@ 60 IN NS ns.lab.example.\n");
    assert_eq!((config.policy.orders, config.zones.special_use), (vec!["./orders/".to_owned()], false));
    let treatment =
        |service: &str, choice| OperatorTreatment { order: "o".to_owned(), service: service.to_owned(), choice };
    let operator = Operator {
        demand: Demand::External,
        removal: Removal::Until("2026-12-31T05:00:00Z".parse().unwrap()),
        treatments: vec![
            treatment("s", TreatmentChoice::Prohibited("p".to_owned())),
            treatment("t", TreatmentChoice::Exempt),
        ],
        applies: vec![Apply {
            order: "o".to_owned(),
            groups: vec!["default".to_owned()],
            phase: Phase::Monitor { until: Some("2026-12-31T05:00:00Z".parse().unwrap()) },
            demand: None,
            sink: Some(Sink::Nodata),
        }],
        ..Operator::default()
    };
    assert_eq!(config.policy.operator, operator);
    assert_eq!(config.policy.shadow.as_deref(), Some(Path::new("candidate.toml")));
    assert_eq!(config.answer.sink, Sink::Address { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None });
    assert_eq!(config.log.format, Format::Json);
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = r#"data_dri = "x"
workers = 3
[listen]
dns = ["127.0.0.1:5300", "127.0.0.1", "127.0.0.1:5300"]
allow = ["10.0.0.1/8", 7]
wrokers = 2
tcp_idle_ms = 1
tcp_in_flight = "64"
[lisen]
dns = []
[admin]
listen = "localhost:5380"
[upstream]
servers = "10.0.0.1"
attempts = 99999999999999999999999
[[upstream.zone]]
name = "a..b"
servers = []
[[upstream.zone]]
server = ["10.0.0.2"]
[zones]
special_use = "yes"
hosts = ["10.0.0.9 printer"]
[policy]
removal_until = "2026-12-31"
[answer]
sink = "nirvana"
sink_v4 = "::1"
[ledger]
commit_ms = 1.5
"#;
    let expected = [
        ("file:1: `data_dri` is not a key", "did you mean `data_dir`?"),
        ("file:2: `workers` does not belong here", "below [listen]"),
        ("file:4: `listen.dns` is `\"127.0.0.1\"`: the port is missing", "127.0.0.1:5300"),
        ("file:4: `listen.dns` lists `\"127.0.0.1:5300\"` twice", "list it once"),
        ("file:5: `listen.allow` is `\"10.0.0.1/8\"`", "write \"10.0.0.0/8\""),
        ("file:5: `listen.allow` is `7`: not a text", "between quotes"),
        ("file:6: `wrokers` is not a key of `listen`", "did you mean `workers`?"),
        ("file:7: `listen.tcp_idle_ms` is `1`: out of range", "from 100 to 600000"),
        ("file:8: `listen.tcp_in_flight` is `\"64\"`: not a whole number", "from 1 to"),
        ("file:9: `lisen` is not a section", "did you mean [listen]?"),
        ("file:12: `admin.listen` is `\"localhost:5380\"`", "write address and port"),
        ("file:14: `upstream.servers` is `\"10.0.0.1\"`: not a list", "list of texts"),
        ("file:15: `upstream.attempts`", "out of range"),
        ("file:17: `upstream.zone.name` is `\"a..b\"`: not a domain name", "two dots"),
        ("file:18: `upstream.zone.servers` is `[]`: an empty list", "at least 1"),
        ("file:19: this `upstream.zone` has no `name`", "add `name"),
        ("file:19: this `upstream.zone` has no `servers`", "add `servers"),
        ("file:20: `server` is not a key of `upstream.zone`", "did you mean `servers`?"),
        ("file:22: `zones.special_use` is `\"yes\"`", "true or false"),
        ("file:23: `zones.hosts`", "the address stands before the name"),
        ("file:25: `policy.removal_until`", "offset"),
        ("file:27: `answer.sink` is `\"nirvana\"`", "\"nxdomain\", \"nodata\", \"refused\", \"address\""),
        ("file:28: `answer.sink_v4` is `\"::1\"`: not an IPv4 address", "192.0.2.1"),
        ("file:30: `ledger.commit_ms` is `1.5`: not a whole number", "from 10 to 200"),
        ("INTERDICT_LISTEN__WORKERS: `listen.workers` is `many`", "from 0 to 256"),
        ("INTERDICT_LISTEN__WORKRES: this variable sets no key", "did you mean INTERDICT_LISTEN__WORKERS?"),
    ];
    let environment = [("INTERDICT_LISTEN__WORKRES", "2"), ("INTERDICT_LISTEN__WORKERS", "many")];
    assert_faults(text, &environment, &expected);
}

#[test]
fn contradictions_are_told_where_they_stand() {
    let text = r#"[listen]
dns = ["127.0.0.1:5380"]
[policy]
removal = "finished"
removal_until = "2026-12-31T00:00:00Z"
[[policy.treatment]]
order = "o"
service = "s"
treatment = "prohibited"
[[policy.treatment]]
order = "o"
service = "s"
treatment = "noted"
prohibition = "p"
[answer]
sink_v6 = "::1"
[ledger]
segment_mib = 16
max_mib = 31
[[upstream.zone]]
name = "corp.example"
servers = ["10.0.0.1"]
[[upstream.zone]]
name = "CORP.example."
servers = ["10.0.0.2"]
"#;
    let expected = [
        ("file:5: `policy.removal_until`", "removal = \"running\""),
        ("file:6: this `policy.treatment` is \"prohibited\"", "add `prohibition"),
        ("file:10: this `policy.treatment` is \"noted\"", "`p`"),
        ("file:16: `answer.sink_v6` is set although `answer.sink` is \"nxdomain\"", "sink = \"address\""),
        ("file:19: `ledger.max_mib` is 31", "max_mib = 32"),
        ("file:23: `upstream.zone` has `corp.example` twice", "one table"),
        ("INTERDICT_ADMIN__LISTEN: `admin.listen` is 127.0.0.1:5380", "another port"),
    ];
    assert_faults(text, &[("INTERDICT_ADMIN__LISTEN", "127.0.0.1:5380")], &expected);
    assert_faults(
        "[rebinding]\nallow = [\"corp.example\"]\n",
        &[],
        &[("file:2: `rebinding.allow` names zones although `rebinding.protect` is false", "protect = true")],
    );
    assert_faults("[answer]\nsink = \"address\"\n", &[], &[("file:2: `answer.sink` is \"address\"", "set sink_v4")]);
    assert_faults("[answer]\nversion = 2026-01-01\n", &[], &[("file:2: `answer.version`", "not a text")]);
    assert_faults("[listen]\nallow = []\n", &[], &[("file:2: `listen.allow` is `[]`", "at least 1")]);
    assert_faults("[upstream]\nservers = [\"0.0.0.0\"]\n", &[], &[("file:2: `upstream.servers`", "unspecified")]);
    let slip = [("INTERDICT_UPSTREAM_SERVERS", "10.0.0.1")];
    assert_faults("", &slip, &[("INTERDICT_UPSTREAM_SERVERS: ", "INTERDICT_UPSTREAM__SERVERS")]);
    assert_faults("", &[("INTERDICT_DATADIR", "/x")], &[("INTERDICT_DATADIR: ", "INTERDICT_DATA_DIR")]);
    assert_faults("[listen]\ndns = []\n", &[], &[("file:2: `listen.dns` is `[]`", "at least 1")]);
    let own = "[listen]\ndns = [\"10.0.0.9:53\"]\n[upstream]\nservers = [\"10.0.0.1\", \"10.0.0.9\"]\n";
    assert_faults(own, &[], &[("file:4: `upstream.servers` lists 10.0.0.9:53", "name another server")]);
    let own = "[listen]\ndns = [\"10.0.0.9:53\"]\n[[upstream.zone]]\nname = \"corp\"\nservers = [\"10.0.0.9\"]\n";
    assert_faults(own, &[], &[("file:3: `upstream.zone.servers` lists 10.0.0.9:53", "name another server")]);
}

#[test]
fn any_free_port_may_be_asked_for_more_than_once() {
    let config = load("[listen]\ndns = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n", &[]);
    assert_eq!(config.unwrap().listen.dns.len(), 2);
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "data_dir = \"of-file\"\n[listen]\nworkers = 3\n[cache]\nmax_ttl = 7\n";
    let environment = [
        ("INTERDICT_DATA_DIR", "of-environment"),
        ("INTERDICT_LISTEN__WORKERS", "5"),
        ("INTERDICT_LISTEN__DNS", "127.0.0.1:53, [::1]:53,"),
        ("INTERDICT_LISTEN__ALLOW", r#"["10.0.0.0/8"]"#),
        ("INTERDICT_ADMIN__LISTEN", ""),
        ("INTERDICT_UPSTREAM__ZONE", r#"[{ name = "corp.example", servers = ["10.0.0.2"] }]"#),
        ("INTERDICT_ZONES__HOSTS", "a.example 10.0.0.1,b.example 10.0.0.2"),
        ("INTERDICT_ZONES__SPECIAL_USE", "false"),
        ("INTERDICT_POLICY__ORDERS", ""),
        ("INTERDICT_POLICY__REMOVAL_UNTIL", "2026-12-31T00:00:00-05:00"),
        ("INTERDICT_ANSWER__VERSION", "1.2"),
        ("INTERDICT_LOG__LEVEL", "\"debug\""),
        ("INTERDICT_BIN", "/usr/bin/interdict"),
        ("INTERDICT_LONG", "1"),
        ("INTERDICT_SKIPPED", "x"),
        ("HOME__X", "/"),
    ];
    let config = load(text, &environment).unwrap();
    assert_eq!(config.data_dir, Path::new("of-environment"));
    assert_eq!((config.listen.workers, config.listen.dns.len(), config.listen.allow.len()), (5, 2, 1));
    assert_eq!((config.cache.max_ttl, config.admin.listen), (7, None));
    assert_eq!((config.upstream.zones.len(), config.zones.hosts.len(), config.zones.special_use), (1, 2, false));
    assert_eq!(config.policy.orders, Vec::<String>::new());
    assert_eq!(config.policy.operator.removal, Removal::Until("2026-12-31T05:00:00Z".parse().unwrap()));
    assert_eq!((config.answer.version.as_str(), config.log.level.as_str()), ("1.2", "debug"));
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for section in Spec::SECTIONS {
        for key in section.keys {
            let name = match section.name {
                "" => format!("INTERDICT_{}", key.name),
                section => format!("INTERDICT_{}__{}", section.replace('.', "_"), key.name),
            };
            let (name, value) = (name.to_uppercase(), key.default_toml().unwrap());
            assert_eq!(load("", &[(&name, &value)]), Ok(defaults()), "{name}={value}");
        }
    }
    assert_faults(
        "",
        &[("INTERDICT_listen__WORKERS", "1"), ("INTERDICT___", ""), ("INTERDICT___DATA_DIR", "x")],
        &[
            ("INTERDICT___: ", "unset"),
            ("INTERDICT___DATA_DIR: ", "INTERDICT_DATA_DIR"),
            ("INTERDICT_listen__WORKERS: ", "did you mean INTERDICT_LISTEN__WORKERS?"),
        ],
    );
}

#[test]
fn slips_of_syntax_are_told_with_what_else_is_wrong() {
    let text = "[listen]\nworkers = = 2\n[answer]\nsink = \"address\"\n[cache\nmax_ttl = 1\n[log]\nlevel = \"loud\"\n";
    let faults = load(text, &[]).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["file:2", "file:5", "file:8"], "{faults:#?}");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| Config::load(Some(path), []).unwrap_err()[0].to_string();
    let absent = folder.path().join("absent.toml");
    assert!(told(&absent).starts_with(&format!("{}: the file cannot be read: ", absent.display())));
    assert!(told(folder.path()).contains("not a regular file"));
    let garbled = folder.path().join("garbled.toml");
    std::fs::write(&garbled, b"[listen]\n\xff\n").unwrap();
    assert!(told(&garbled).contains(":2: the file is not UTF-8"));
}

#[test]
fn hostile_text_never_reaches_a_terminal_as_it_is() {
    let text = "\"\\u001b[2J\u{9b}\\u202e\" = 1\n[log]\nlevel = \"\u{202e}\\u001b]0;x\\u0007\"\n[\"\\u0007\"]\n";
    let environment = [
        ("INTERDICT_LOG__\u{1b}[2J", "x"),
        ("INTERDICT_DATA_DIR", "a\u{1b}[2J\nb"),
        ("INTERDICT_LOG__FORMAT", "\u{9b}"),
    ];
    let faults = load(text, &environment).unwrap_err();
    assert_eq!(faults.len(), 6, "{faults:#?}");
    for fault in faults {
        assert!(!fault.contains(|character: char| character.is_control() || character == '\u{202e}'), "{fault:?}");
    }
}

#[test]
fn a_file_of_faults_is_not_told_without_end() {
    let text: String = (0..5000).map(|number| format!("key{number} = 1\n")).collect();
    let faults = load(&text, &[]).unwrap_err();
    assert_eq!(faults.len(), 1001);
    assert!(faults[1000].contains("4000 further faults"));
}
