use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::client::Client;
use crate::clock::ManualClock;
use crate::message::{Name, RecordType};
use crate::policy::{
    Catalogue, Confidence, Entry, Exempt, Exemption, Inputs, Kept, Match, Matching, Noted, Order, Pattern, Prohibition,
    Service, Then, Validity, Verdict, Verification,
};
use crate::query::{Through, Transport};

const AT: &str = "2024-09-29T04:00:01Z";
const PROMPT: Duration = Duration::from_secs(20);

/// A small policy: updates are sunk from an instant on, consoles kept and recorded, support kept, a look-alike a threat.
pub(super) fn snapshot(number: u64) -> Arc<Snapshot> {
    let services = ["update", "console", "support", "web", "look-alike"];
    let entry = |text: &str, service| Entry {
        text: text.to_owned(),
        pattern: Pattern::parse(text, Matching::Suffix, &[]).unwrap(),
        service,
        confidence: Confidence::High,
        evidence: Vec::new(),
        note: None,
    };
    let date = "2024-06-24".parse().unwrap();
    let kept = |service: &str, record| Kept {
        services: vec![service.to_owned()],
        reason: "removal".to_owned(),
        record,
        until: None,
        then: Then::Noted,
    };
    let catalogue = Catalogue {
        id: "vendor".to_owned(),
        vendor: "Vendor".to_owned(),
        title: "Names".to_owned(),
        revised: date,
        services: services.map(|id| Service { id: id.to_owned(), title: id.to_owned() }).to_vec(),
        entries: vec![
            entry("upd.vendor.example", 0),
            entry("geo.vendor.example", 0),
            entry("console.vendor.example", 1),
            entry("support.vendor.example", 2),
            entry("www.vendor.example", 3),
            entry("vendor-update.example", 4),
        ],
    };
    let order = Order {
        id: "act-2024".to_owned(),
        title: "Act".to_owned(),
        issuer: "Issuer".to_owned(),
        citation: "1 X 2".to_owned(),
        rules: Vec::new(),
        catalogue: "vendor".to_owned(),
        published: date,
        sources: Vec::new(),
        facts: Vec::new(),
        prohibitions: vec![Prohibition {
            id: "updates".to_owned(),
            title: "Updates".to_owned(),
            validity: Validity::new("2024-09-29T04:00:00Z".parse().unwrap(), None).unwrap(),
            basis: "1 X 2".to_owned(),
            verification: Verification::Primary,
            services: vec!["update".to_owned()],
        }],
        protected: Vec::new(),
        exempt: vec![Exempt {
            services: vec!["look-alike".to_owned()],
            reason: "not the vendor's".to_owned(),
            exemption: Exemption::LookAlike,
            threat: true,
        }],
        kept: vec![kept("console", true), kept("support", false)],
        noted: vec![Noted { services: vec!["web".to_owned()], reason: "visits".to_owned() }],
    };
    let inputs = Inputs { catalogues: vec![catalogue], orders: vec![order], ..Inputs::default() };
    let digest = [u8::try_from(number).unwrap(); 32];
    Arc::new(Snapshot::compile(number, digest, inputs).unwrap())
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(AT.parse().unwrap()))
}

/// Returns what a worker hands over for this look-up; panics where no rule matches.
pub(super) fn attempt(snapshot: &Arc<Snapshot>, client: &str, name: &str, at: &str) -> Attempt {
    let client = Client::at(client.parse().unwrap());
    let name: Name = name.parse().unwrap();
    let reading = ManualClock::new(at.parse().unwrap()).read();
    let matched = snapshot.decide(&name, &client, reading.at).deciding.unwrap();
    Attempt {
        reading,
        client,
        transport: Transport::Udp,
        name,
        record_type: RecordType::A,
        subject: None,
        through: Through::Question,
        matched,
        rcode: if matched.verdict == Verdict::Sunk { 3 } else { 0 },
        snapshot: Arc::clone(snapshot),
    }
}

fn leaves(settings: &Settings) -> Vec<Leaf> {
    read(&settings.journal(), 0).map(Result::unwrap).collect()
}

fn records(settings: &Settings) -> Vec<Record> {
    let record = |leaf: Leaf| match leaf.body {
        Body::Attempt(record) => Some(*record),
        Body::Coverage(_) | Body::Change(_) | Body::Gap(_) | Body::Unknown => None,
    };
    leaves(settings).into_iter().filter_map(record).collect()
}

/// Sums by rule and verdict over attempts, coverage and gaps.
pub(super) fn sums(leaves: &[Leaf]) -> BTreeMap<(String, String), u64> {
    let mut sums = BTreeMap::new();
    for leaf in leaves {
        let counts = match &leaf.body {
            Body::Attempt(record) => {
                *sums.entry((record.rule.clone(), record.verdict.clone())).or_insert(0) += record.count;
                continue;
            }
            Body::Coverage(coverage) => [&coverage.counted[..], &coverage.threats[..]].concat(),
            Body::Gap(gap) => gap.rules.clone(),
            Body::Change(_) | Body::Unknown => continue,
        };
        for count in counts {
            *sums.entry((count.rule, count.verdict)).or_insert(0) += count.count;
        }
    }
    sums
}

#[test]
fn an_attempt_becomes_a_leaf_with_everything_but_the_address() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let policy = snapshot(1);
    let recorder = ledger.recorder();
    for _ in 0..3 {
        recorder.record(attempt(&policy, "192.0.2.7", "Dnl.UPD.vendor.example", AT));
    }
    assert!(ledger.flush(PROMPT));
    let [record] = &records(&settings)[..] else { panic!("one leaf for three equal look-ups") };
    assert_eq!((record.count, record.verdict.as_str(), record.order.as_str()), (3, "sunk", "act-2024"));
    assert_eq!(record.name.as_deref(), Some("dnl.upd.vendor.example"));
    assert_eq!(record.prohibition.as_deref(), Some("updates"));
    assert_eq!((record.rule.as_str(), record.service.as_str()), ("suffix:upd.vendor.example", "update"));
    assert_eq!((record.rcode.as_deref(), record.r#type.as_deref()), (Some("NXDOMAIN"), Some("A")));
    assert_eq!(record.policy, "01".repeat(32));
    let mut keys = KeyRing::reader(&settings.keys);
    let key = KeyId::parse(record.key.as_deref().unwrap()).unwrap();
    assert_eq!(key.as_str(), "2024-09");
    let address = keys.decrypt(record.client.as_deref().unwrap(), &key).unwrap();
    assert_eq!(address, Some("192.0.2.7".parse().unwrap()));
    ledger.close();
    for entry in std::fs::read_dir(settings.journal()).unwrap() {
        assert!(!std::fs::read_to_string(entry.unwrap().path()).unwrap().contains("192.0.2"));
    }
}

#[test]
fn what_is_handed_over_is_on_disk_without_being_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    ledger.recorder().record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
    let deadline = std::time::Instant::now() + PROMPT;
    while records(&settings).is_empty() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn only_prohibited_names_and_kept_consoles_are_recorded_with_their_client() {
    for store_noted in [false, true] {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { store_noted, ..Settings::new(data.path()) };
        let ledger = Ledger::open(settings.clone(), clock()).unwrap();
        let policy = snapshot(1);
        let recorder = ledger.recorder();
        let names = ["upd", "console", "support", "www"].map(|label| format!("{label}.vendor.example"));
        for name in names.iter().map(String::as_str).chain(["vendor-update.example"]) {
            recorder.record(attempt(&policy, "192.0.2.7", name, AT));
        }
        ledger.close();
        let recorded: Vec<_> = records(&settings).into_iter().map(|record| record.verdict).collect();
        let all: &[&str] = &["sunk", "kept", "kept", "noted", "exempt"];
        assert_eq!(recorded, if store_noted { all } else { &all[..2] });
        let leaves = leaves(&settings);
        let Some(Body::Coverage(coverage)) = leaves.last().map(|leaf| &leaf.body) else {
            panic!("a last coverage leaf")
        };
        assert_eq!(coverage.event, CoverageEvent::Stop);
        let rules = |counts: &[RuleCount]| counts.iter().map(|count| count.service.clone()).collect::<Vec<_>>();
        let (counted, threats): (&[&str], &[&str]) =
            if store_noted { (&[], &[]) } else { (&["support", "web"], &["look-alike"]) };
        assert_eq!((rules(&coverage.counted), rules(&coverage.threats)), (vec_of(counted), vec_of(threats)));
        assert_eq!(sums(&leaves).values().sum::<u64>(), 5);
    }
}

fn vec_of(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_next_run_goes_on_where_the_last_one_ended() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    for orderly in [true, false, true] {
        let ledger = Ledger::open(settings.clone(), clock()).unwrap();
        ledger.recorder().record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        assert!(ledger.flush(PROMPT));
        if orderly { ledger.close() } else { ledger.abandon() }
    }
    let leaves = leaves(&settings);
    assert_eq!(leaves.iter().map(|leaf| leaf.seq).collect::<Vec<_>>(), (0..leaves.len() as u64).collect::<Vec<_>>());
    assert_eq!(records(&settings).len(), 3);
}

#[test]
fn changes_say_who_and_why_refused_ones_too() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { rehearsal: true, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    for accepted in [true, false] {
        let (by, why) = ("signal SIGHUP".to_owned(), "reload\n\"quoted\"".to_owned());
        ledger.change(Change { act: Act::Reload, accepted, by, why, policy: Some([7; 32]) });
    }
    assert!(ledger.flush(PROMPT));
    let leaves = leaves(&settings);
    let changes: Vec<_> =
        leaves.iter().filter_map(|leaf| if let Body::Change(of) = &leaf.body { Some(of) } else { None }).collect();
    assert_eq!(changes.iter().map(|change| change.accepted).collect::<Vec<_>>(), [true, false]);
    assert!(changes.iter().all(|change| change.rehearsal && change.why == "reload\n\"quoted\""));
}

#[test]
fn a_full_ring_loses_no_sum() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { ring: 4, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let policies = [snapshot(1), snapshot(2)];
    ledger.install(&policies[0]);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (recorder, policies) = (ledger.recorder(), &policies);
            scope.spawn(move || {
                for number in 0..500 {
                    let policy = &policies[usize::from(number > 250)];
                    let name = ["upd.vendor.example", "www.vendor.example", "vendor-update.example"][number % 3];
                    recorder.record(attempt(policy, &format!("192.0.2.{worker}"), name, AT));
                }
            });
        }
    });
    ledger.close();
    assert!(ledger.health().overflowed > 0);
    let sums = sums(&leaves(&settings));
    let of = |verdict: &str| sums.iter().filter(|((_, of), _)| of == verdict).map(|(_, count)| count).sum::<u64>();
    assert_eq!((of("sunk"), of("noted"), of("exempt")), (668, 668, 664));
}

#[test]
fn a_match_carries_no_more_than_leaves_tell() {
    // Taken apart field by field, so that a field added to `Match` has to be dealt with in leaves.
    let Match { order: _, entry: _, verdict: _, prohibition: _, recorded: _, threat: _ } =
        attempt(&snapshot(1), "::1", "upd.vendor.example", AT).matched;
}
