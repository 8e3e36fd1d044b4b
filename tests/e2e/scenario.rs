//! Scenarios in which time passes: the files in `tests/scenarios`, run against the path of a query in this process.
//!
//! Upstream is a real NSD; listeners are left out, and the clock stands where each line puts it. The form of the files is
//! in `tests/scenarios/README.md`.

mod told;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use interdict::answer::Style;
use interdict::cache::{Cache, Key, Range, Standing};
use interdict::client::{self, Clients, Device, Known, Source};
use interdict::clock::{Clock, ManualClock, monotonic};
use interdict::feed::{self, Selection};
use interdict::inspect::{Guards, Rebinding};
use interdict::ledger::{self, Body, Ledger, Record, Recorder};
use interdict::message::QueryView;
use interdict::observe::Metrics;
use interdict::pipeline::{Pipeline, Recent, State, Step};
use interdict::policy::{
    Apply, Mode, Operator, OperatorTreatment, Party, Phase, Removal, Rules, Scope, Term, TreatmentChoice, Waiver,
};
use interdict::query::{Peer, Query, Transport};
use interdict::resolve::{Asking, Failed, Failure, Lifetimes, Resolved, Routes, Servers, View};
use interdict::zones::{Zones, ZonesSpec};
use jiff::Timestamp;

use crate::place::PATIENCE;
use crate::upstream::Upstream;
use crate::wire;
use told::{of_answer, of_record};

/// A test for each file, so that a runner names the scenario that fails.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            needs!("nsd");
            play(stringify!($name));
        })+

        #[test]
        fn every_scenario_file_is_played() {
            let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
            let scenarios = files.filter(|path| path.extension().is_some_and(|extension| extension == "scn"));
            let mut found: Vec<_> =
                scenarios.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            found.sort();
            let mut played = vec![$(stringify!($name)),+];
            played.sort_unstable();
            assert_eq!(found, played);
        }
    };
}

scenarios!(
    a_cached_alias_does_not_survive_the_instant,
    a_lifted_prohibition_lets_through_again,
    a_lookup_is_resolved_before_the_instant_and_sunk_after,
    a_waiver_lapses_on_a_cached_answer,
    a_waiver_lifts_one_order_and_no_other,
    an_installation_can_only_monitor,
    every_path_of_an_answer_is_decided_on,
    each_order_leaves_alone_what_is_behind_its_own,
    groups_are_told_apart_on_one_kept_answer,
    keys_for_encrypted_client_hello_are_taken_out,
    look_alikes_and_search_lists_are_never_matched,
    private_addresses_of_others_are_withheld,
    a_stale_answer_is_given_where_no_upstream_answers,
    what_is_asked_for_again_is_renewed_in_time,
    what_is_kept_outlives_a_restart,
    the_operator_treats_a_service_otherwise,
    ttls_end_at_the_instant,
    what_is_kept_for_removal_is_resolved_and_recorded,
    what_is_protected_is_never_sunk,
    what_is_sunk_again_is_recorded_again,
);

/// Two may have asked, one in vain: what came is given, and stays.
#[test]
fn a_failure_does_not_take_the_place_of_what_came_meanwhile() {
    needs!("nsd");
    let text = "zone example\n    www A 192.0.2.80\nend\n\
                at 2024-09-01T00:00:00Z  query 10.0.0.7 udp www.example. A  expect NOERROR\n";
    let scenario = read("meanwhile", text);
    let zones: Vec<_> = scenario.zones.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let upstream = Upstream::with(&zones);
    let mut stage = Stage::set(&scenario, upstream.address);
    let Happening::Ask(step) = &scenario.steps[0] else { panic!("it asks") };
    stage.play(step);
    let (packet, query) = asked("www.example.");
    let failed = Resolved::Failed(Failed { failure: Failure::TimedOut, extended_error: None });
    let mut out = Vec::new();
    stage.pipeline.conclude(&query, (&failed, 0, None), &stage.pipeline.moment(), &stage.recorder, &mut out);
    assert_eq!((wire::rcode(&out), wire::id(&out)), (wire::NOERROR, wire::id(&packet)));
    stage.play(step);
}

/// Returns a query for the A records of a name, from this machine, as octets and read.
fn asked(name: &str) -> (Vec<u8>, Query) {
    let mut asking = wire::Asking::of(name, wire::A);
    asking.edns = Some((0, 1232, false));
    let packet = asking.to_wire();
    let peer = Peer::direct(SocketAddr::new([127, 0, 0, 1].into(), 40_000), None);
    let query = Query::of(QueryView::read(&packet).unwrap(), peer, Transport::Udp);
    (packet, query)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// What a file says, line by line.
struct Scenario {
    name: String,
    selection: Selection,
    operator: Operator,
    guards: Guards,
    devices: Vec<Device>,
    zones: Vec<(String, String)>,
    steps: Vec<Happening>,
}

/// What happens, in turn.
enum Happening {
    Ask(StepLine),
    /// The upstream is no more.
    UpstreamEnds,
    /// What is kept goes through a file, and is taken up at this instant; in another boot or not.
    Restart(Timestamp, bool),
    /// The answer to a name's A records has been asked for anew; with the place in the file.
    Renewed(String, String),
}

/// One query with what is expected of it.
struct StepLine {
    /// Where it stands, for messages.
    place: String,
    at: Timestamp,
    client: IpAddr,
    transport: Transport,
    name: String,
    record_type: String,
    rcode: String,
    /// What else is expected: key, `=` or `<=`, value.
    expected: Vec<(String, &'static str, String)>,
}

fn play(name: &str) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.scn"))).unwrap();
    let scenario = read(name, &text);
    let zones: Vec<_> = scenario.zones.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(!zones.is_empty() && !scenario.steps.is_empty(), "{name} asks nothing, or of nobody");
    let upstream = Upstream::with(&zones);
    let mut stage = Stage::set(&scenario, upstream.address);
    let mut upstream = Some(upstream);
    for step in &scenario.steps {
        match step {
            Happening::Ask(step) => stage.play(step),
            Happening::UpstreamEnds => drop(upstream.take()),
            Happening::Restart(at, reboots) => stage.restart(*at, *reboots),
            Happening::Renewed(name, place) => stage.renewed(name, place),
        }
    }
}

fn read(name: &str, text: &str) -> Scenario {
    let (mut catalogues, mut orders) = (Vec::new(), Vec::new());
    let mut scenario = Scenario {
        name: name.to_owned(),
        selection: Selection::default(),
        operator: Operator::default(),
        guards: Guards::default(),
        devices: Vec::new(),
        zones: Vec::new(),
        steps: Vec::new(),
    };
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let place = format!("{name}.scn:{}", number + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["catalogue", file] => catalogues.push(chosen(file)),
            ["order", file] => orders.push(chosen(file)),
            ["treat", order, service, choice] => {
                let choice = match choice.split_once(':') {
                    None if choice == "noted" => TreatmentChoice::Noted,
                    None if choice == "exempt" => TreatmentChoice::Exempt,
                    None if choice == "kept" => TreatmentChoice::Kept,
                    Some(("prohibited", id)) => TreatmentChoice::Prohibited(id.to_owned()),
                    _ => panic!("{place}: `{choice}` is no treatment"),
                };
                let (order, service) = (order.to_owned(), service.to_owned());
                scenario.operator.treatments.push(OperatorTreatment { order, service, choice });
            }
            ["removal", "until", instant] => scenario.operator.removal = Removal::Until(instant.parse().expect(&place)),
            ["removal", "finished"] => scenario.operator.removal = Removal::Finished,
            ["ech", "removed"] => scenario.guards.removes_ech = true,
            ["rebinding", "protect", ref allow @ ..] => {
                let allow = allow.iter().map(|zone| zone.parse().expect(&place)).collect();
                scenario.guards.rebinding = Some(Rebinding { allow });
            }
            ["mode", "monitor"] => scenario.operator.mode = Mode::Monitor,
            ["apply", order, groups, ref phase @ ..] => {
                let phase = match phase {
                    ["enforce"] => Phase::Enforce,
                    ["off"] => Phase::Off,
                    ["monitor"] => Phase::Monitor { until: None },
                    ["monitor", "until", until] => Phase::Monitor { until: Some(until.parse().expect(&place)) },
                    _ => panic!("{place}: `{phase:?}` is no phase"),
                };
                let (order, groups) = (order.to_owned(), listed(groups));
                scenario.operator.applies.push(Apply { order, groups, phase, demand: None, sink: None });
            }
            ["waive", id, rules, clients, names, "from", from, "until", until] => {
                let scope = scope(&place, rules, clients, names);
                let term = Term::new(from.parse().expect(&place), until.parse().expect(&place)).expect(&place);
                let (id, reason, approver) = (id.to_owned(), "a test".to_owned(), "a test".to_owned());
                scenario.operator.waivers.push(Waiver { id, scope, term, reason, approver, ticket: None });
            }
            ["group", name, members] => scenario.operator.groups.push(group(&place, name, members)),
            ["device", address, hardware, name] => scenario.devices.push(Device {
                address: address.parse().expect(&place),
                hardware: listed(hardware).pop(),
                name: listed(name).pop(),
                source: Source::Lease,
            }),
            ["zone", apex] => {
                let zone = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "end");
                let zone: Vec<_> = zone.map(str::trim_start).collect();
                let header =
                    format!("$ORIGIN {apex}.\n$TTL 86400\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\n");
                scenario.zones.push((apex.to_owned(), format!("{header}ns A 192.0.2.53\n{}\n", zone.join("\n"))));
            }
            ["upstream", "ends"] => scenario.steps.push(Happening::UpstreamEnds),
            [what @ ("restart" | "reboot"), "at", at] => {
                scenario.steps.push(Happening::Restart(at.parse().expect(&place), what == "reboot"));
            }
            ["renewed", name] => scenario.steps.push(Happening::Renewed(name.to_owned(), place)),
            ["at", at, "query", client, transport, name, record_type, "expect", rcode, ref rest @ ..] => {
                scenario.steps.push(Happening::Ask(StepLine {
                    at: at.parse().unwrap_or_else(|error| panic!("{place}: {error}")),
                    client: client.parse().unwrap_or_else(|error| panic!("{place}: {client}: {error}")),
                    transport: [Transport::Udp, Transport::Tcp]
                        .into_iter()
                        .find(|of| of.as_str() == transport)
                        .unwrap_or_else(|| panic!("{place}: `{transport}` is no transport")),
                    name: name.to_owned(),
                    record_type: record_type.to_owned(),
                    rcode: rcode.to_owned(),
                    expected: rest.iter().map(|word| expectation(&place, word)).collect(),
                    place,
                }));
            }
            _ => panic!("{place}: this is no line of a scenario: {line}"),
        }
    }
    if !catalogues.is_empty() || !orders.is_empty() {
        scenario.selection = Selection { catalogues, orders };
    }
    scenario
}

/// A file of this folder, or `shipped:NAME`.
fn chosen(file: &str) -> String {
    file.strip_prefix("shipped:").map_or_else(|| folder().join(file).display().to_string(), str::to_owned)
}

/// Reads items between commas; a dash stands for none.
fn listed<T: std::str::FromStr<Err: std::fmt::Debug>>(words: &str) -> Vec<T> {
    match words {
        "-" => Vec::new(),
        words => words.split(',').map(|word| word.parse().unwrap()).collect(),
    }
}

/// Networks, hardware addresses and `name=PATTERN`.
fn group(place: &str, name: &str, members: &str) -> client::Group {
    let (mut networks, mut devices, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for member in members.split(',') {
        match (member.strip_prefix("name="), member.parse(), member.parse()) {
            (Some(pattern), _, _) => names.push(pattern.parse().expect(place)),
            (None, Ok(hardware), _) => devices.push(hardware),
            (None, Err(_), Ok(network)) => networks.push(network),
            (None, Err(_), Err(error)) => panic!("{place}: {member}: {error}"),
        }
    }
    client::Group { name: name.to_owned(), networks, devices, names }
}

/// `ORDER`, `ORDER:SERVICE,…`, `*/CATALOGUE/SERVICE` or `*`; groups and networks; names.
fn scope(place: &str, rules: &str, clients: &str, names: &str) -> Scope {
    let rules = match (rules.split_once(':'), rules.strip_prefix("*/").and_then(|rest| rest.split_once('/'))) {
        (_, Some((catalogue, service))) => {
            Rules::Service { catalogue: catalogue.to_owned(), service: service.to_owned() }
        }
        (Some((order, services)), None) => Rules::Order { order: order.to_owned(), services: listed(services) },
        (None, None) if rules == "*" => Rules::Everything,
        (None, None) => Rules::Order { order: rules.to_owned(), services: Vec::new() },
    };
    let party = |word: String| match (word.strip_prefix("group="), word.contains(['.', ':'])) {
        (Some(group), _) => Party::Group(group.to_owned()),
        (None, true) => {
            let alone = word.parse::<IpAddr>().map(Into::into);
            Party::Network(alone.or_else(|_| word.parse()).unwrap_or_else(|error| panic!("{place}: {word}: {error}")))
        }
        (None, false) => panic!("{place}: `{word}` is neither a group nor a network"),
    };
    Scope { clients: listed::<String>(clients).into_iter().map(party).collect(), rules, names: listed(names) }
}

fn expectation(place: &str, word: &str) -> (String, &'static str, String) {
    let (key, comparison, value) = match (word.split_once("<="), word.split_once('=')) {
        (Some((key, value)), _) => (key, "<=", value),
        (None, Some((key, value))) => (key, "=", value),
        (None, None) => panic!("{place}: `{word}` is no expectation"),
    };
    (key.to_owned(), comparison, value.to_owned())
}

/// The path of a query with its upstream, clock and journal.
struct Stage {
    clock: Arc<ManualClock>,
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    ledger: Ledger,
    recorder: Recorder,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    recent: Recent,
    /// The number of the first leaf that no step has seen yet.
    seen: u64,
}

impl Stage {
    fn set(scenario: &Scenario, upstream: SocketAddr) -> Self {
        let Some(Happening::Ask(first)) = scenario.steps.first() else { panic!("{} asks nothing", scenario.name) };
        let clock = Arc::new(ManualClock::new(first.at));
        let shared: Arc<dyn Clock> = clock.clone();
        let loaded = feed::load(&scenario.selection, scenario.operator.clone(), 1);
        let loaded = loaded.unwrap_or_else(|faults| panic!("{}: {faults:#?}", scenario.name));
        let zones = ZonesSpec { hosts: Vec::new(), zones: Vec::new(), special_use: true };
        let zones = Zones::build(&zones).unwrap();
        let group = Servers::plain(&[upstream], monotonic());
        let routes = Routes {
            zones,
            forward: Vec::new(),
            default: View { title: String::new(), group, generation: 0 },
            views: Vec::new(),
        };
        let lifetimes = Lifetimes { most: 604_800, most_negative: 3600, failure: 5 };
        let (stale, prefetch) = (Duration::from_secs(86_400), true);
        let asking = Asking { timeout: Duration::from_secs(5), tries: 2, lifetimes, stale, prefetch };
        let style = Style::default();
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let ledger = Ledger::open(ledger::Settings::new(folder.path()), Arc::clone(&shared)).unwrap();
        let snapshot = Arc::new(loaded.snapshot);
        ledger.install(&snapshot);
        let recorder = ledger.recorder();
        let clients = Arc::new(Clients::new(scenario.operator.groups.clone(), false));
        clients.learn(&Known { devices: scenario.devices.clone(), ..Known::default() });
        let state = State {
            snapshot,
            shadow: None,
            clients,
            routes: Arc::new(routes),
            asking,
            style,
            lists: std::sync::Arc::default(),
            guards: scenario.guards.clone(),
            probes: Arc::default(),
        };
        let pipeline = Arc::new(Pipeline::new(state, Cache::new(1 << 20), shared, Arc::clone(&metrics)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.spawn(Arc::clone(&pipeline).renew());
        let recent = Recent::of_one(1);
        Self { clock, pipeline, metrics, ledger, recorder, runtime, folder, recent, seen: 0 }
    }

    fn play(&mut self, step: &StepLine) {
        self.clock.set(step.at);
        let verdicts = self.metrics.totals();
        let record_type: interdict::message::RecordType = step.record_type.parse().unwrap();
        let mut asking = wire::Asking::of(&step.name, record_type.0);
        asking.edns = Some((0, 1232, false));
        let packet = asking.to_wire();
        let octets = self.ask(step, &packet);
        let answer = wire::parse(&octets);
        let records = self.records();
        let place = &step.place;
        let rcode = format!("{:?}", answer.metadata.response_code).to_uppercase();
        assert_eq!(rcode, step.rcode, "{place}\n{answer}");
        for (key, comparison, value) in &step.expected {
            let got = match key.as_str() {
                "verdict" => self.verdict_since(&verdicts),
                "recorded" => if records.is_empty() { "no" } else { "yes" }.to_owned(),
                "ede" | "ttl" | "least" | "data" | "answers" | "ech" => of_answer(key, &answer),
                _ => match &records[..] {
                    [record] => of_record(key, record),
                    _ => panic!("{place}: {key}={value} of {records:#?}"),
                },
            };
            match *comparison {
                "<=" => {
                    let (got, most): (u64, u64) = (got.parse().expect(place), value.parse().expect(place));
                    assert!(got <= most, "{place}: {key} is {got}, not {most} at most\n{answer}");
                }
                _ => assert_eq!(&got, value, "{place}: {key}\n{answer}\n{records:#?}"),
            }
        }
        for record in &records {
            assert_eq!((record.at, record.count), (step.at, 1), "{place}: {record:#?}");
        }
        // Where nothing is recorded, whoever asks the same at once is told the same.
        if records.is_empty() {
            assert_eq!(wire::parse(&self.ask(step, &packet)).answers, answer.answers, "{place}, asked twice");
        }
    }

    fn restart(&self, at: Timestamp, reboots: bool) {
        let mut octets = Vec::new();
        self.pipeline.save(&mut octets, [7; 16]).unwrap();
        self.pipeline.cache().flush(&Range::All);
        self.clock.set(at);
        self.pipeline.take_up(&octets, [7 + u8::from(reboots); 16]);
    }

    /// Waits until the answer to the A records of a name is a new one.
    fn renewed(&self, name: &str, place: &str) {
        let (_, query) = asked(name);
        let is_new = || {
            let kept = self.pipeline.cache().get(&Key::new(&query, 0)).expect(place);
            let standing = kept.standing(self.clock.read().boot, Duration::ZERO);
            matches!(standing, Standing::Fresh { ending: false, .. })
        };
        assert!(!is_new(), "{place}: it need not be asked for anew");
        let waited = async {
            while !is_new() {
                tokio::task::yield_now().await;
            }
        };
        let waited = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, waited).await });
        assert!(waited.is_ok(), "{place}: it is not asked for anew");
    }

    /// Asks as a worker does.
    fn ask(&mut self, step: &StepLine, packet: &[u8]) -> Vec<u8> {
        let peer = Peer::direct(SocketAddr::new(step.client, 40_000), None);
        let mut out = Vec::new();
        let moment = self.pipeline.moment();
        self.recent.turn(&self.pipeline, &moment);
        let over_udp = step.transport == Transport::Udp;
        if over_udp && self.pipeline.repeat(packet, &peer, &moment, (&mut self.recent, &self.recorder), &mut out) {
            return out;
        }
        match self.pipeline.begin(packet, (peer, step.transport), &moment, &self.recorder, &mut out) {
            Step::Answer | Step::Commit(..) => {}
            Step::Repeatable(repeat) if over_udp => self.recent.note(packet, &out, (repeat, &peer), &moment),
            Step::Repeatable(_) => {}
            Step::Ignore => panic!("{}: no answer", step.place),
            Step::Forward(query) | Step::Resolve(query) => {
                self.runtime.block_on(self.pipeline.complete(&query, &self.recorder, &mut out))
            }
        }
        out
    }

    /// The attempts that were recorded since the last step.
    fn records(&mut self) -> Vec<Record> {
        assert!(self.ledger.flush(Duration::from_secs(10)), "the journal was not written");
        let mut records = Vec::new();
        for leaf in ledger::read(&self.folder.path().join("journal"), self.seen) {
            let leaf = leaf.unwrap();
            self.seen = leaf.seq + 1;
            if let Body::Attempt(record) = leaf.body {
                records.push(*record);
            }
        }
        records
    }

    /// The verdict that was given since the metrics said `before`.
    fn verdict_since(&self, before: &BTreeMap<String, u64>) -> String {
        let grown = self.metrics.totals().into_iter().filter(|(word, count)| before.get(word) != Some(count));
        grown.map(|(word, _)| word).collect::<Vec<_>>().join("+")
    }
}
