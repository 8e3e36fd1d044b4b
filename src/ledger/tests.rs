use std::time::Duration;

use super::fixtures::{AT, attempt, clock, snapshot};
use super::*;

const PROMPT: Duration = Duration::from_secs(20);

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
