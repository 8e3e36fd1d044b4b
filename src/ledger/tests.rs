//! What the ledger keeps, folds and tells, from attempt to leaf.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::fixtures::{AT, attempt, clock, snapshot};
use super::*;
use crate::clock::Reading;

const PROMPT: Duration = Duration::from_secs(20);

/// One look-up.
fn add(window: &mut fold::Window, attempt: Attempt) {
    window.add(&(&attempt).into(), false);
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
    // No commit falls in between, so that the look-ups are folded.
    let settings = Settings { commit: PROMPT, ..Settings::new(data.path()) };
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
        ledger.change(Change {
            act: Act::Reload,
            accepted,
            by,
            why,
            what: None,
            policy: Some([7; 32]),
            rotation: None,
            device: None,
        });
    }
    assert!(ledger.flush(PROMPT));
    let leaves = leaves(&settings);
    let changes: Vec<_> =
        leaves.iter().filter_map(|leaf| if let Body::Change(of) = &leaf.body { Some(of) } else { None }).collect();
    assert_eq!(changes.iter().map(|change| change.accepted).collect::<Vec<_>>(), [true, false]);
    assert!(changes.iter().all(|change| change.rehearsal && change.why == "reload\n\"quoted\""));
    let newest = super::changes(&settings.journal(), 1, |change| change.act == Act::Reload).unwrap();
    assert_eq!(newest.len(), 1);
    assert!(!newest[0].1.accepted && Some(newest[0].0) == leaves.last().map(|leaf| leaf.seq));
    assert_eq!(super::changes(&settings.journal(), 9, |_| true).unwrap().len(), 2);
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

/// Returns the look-ups that are alike to one of a client.
fn alike(policy: &Arc<Snapshot>, client: &str) -> Arc<Repeats> {
    let Attempt { client, name, record_type, matched, rcode, snapshot, .. } =
        attempt(policy, client, "upd.vendor.example", AT);
    Arc::new(Repeats::new(client, (&name, record_type), (matched, rcode), snapshot))
}

#[test]
fn repeats_are_one_leaf_from_the_first_to_the_last() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { commit: PROMPT, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let policy = snapshot(1);
    let recorder = ledger.recorder();
    let first = attempt(&policy, "192.0.2.7", "upd.vendor.example", AT);
    let repeats = alike(&policy, "192.0.2.7");
    for seconds in [1, 2, 9] {
        let later = |at: jiff::Timestamp| at + jiff::SignedDuration::from_secs(seconds);
        let reading = Reading { at: later(first.reading.at), raw: later(first.reading.raw), ..first.reading };
        recorder.repeat(&repeats, &reading);
    }
    let began = first.reading;
    recorder.record(first);
    ledger.close();
    let records = records(&settings);
    assert_eq!(records.len(), 1, "{records:?}");
    let (record, last) = (&records[0], jiff::SignedDuration::from_secs(9));
    assert_eq!((record.count, record.name.as_deref()), (4, Some("upd.vendor.example")));
    assert_eq!((record.at, record.last), (began.at, began.at + last));
    assert_eq!((record.raw, record.raw_last), (began.raw, began.raw + last));
}

/// Beside a writer that takes out what it finds all the time, and rings that are full most of it.
#[test]
fn no_repeat_is_lost_and_none_is_counted_twice() {
    for ring in [1, 4096] {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings { ring, commit: Duration::from_millis(10), ..Settings::new(data.path()) };
        let ledger = Ledger::open(settings.clone(), clock()).unwrap();
        let policy = snapshot(1);
        ledger.install(&policy);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (recorder, policy) = (ledger.recorder(), &policy);
                scope.spawn(move || {
                    let reading = attempt(policy, "192.0.2.1", "upd.vendor.example", AT).reading;
                    let all: Vec<_> = (0..8).map(|client| alike(policy, &format!("192.0.{worker}.{client}"))).collect();
                    for number in 0..50_000 {
                        recorder.repeat(&all[number % 8], &reading);
                    }
                });
            }
        });
        ledger.close();
        assert_eq!(ledger.health().overflowed > 0, ring == 1);
        let of_one: Vec<u64> = records(&settings).iter().filter(|of| of.folded.is_none()).map(|of| of.count).collect();
        assert!(of_one.len() >= 8, "{of_one:?}");
        assert_eq!(sums(&leaves(&settings)).values().sum::<u64>(), 200_000, "rings of {ring}");
    }
}

#[test]
fn a_flood_of_names_is_bounded_on_disk_and_exact_in_sums() {
    let data = tempfile::tempdir().unwrap();
    let bounds = Bounds { leaves_per_client: 100, leaves: 1000, network_leaves: 50, ..Bounds::default() };
    let settings = Settings { bounds, ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    let policy = snapshot(1);
    ledger.install(&policy);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (recorder, policy) = (ledger.recorder(), &policy);
            scope.spawn(move || {
                let model = attempt(policy, &format!("192.0.2.{worker}"), "upd.vendor.example", AT);
                for number in 0..100_000 {
                    let name = format!("n{number}.w{worker}.upd.vendor.example").parse().unwrap();
                    recorder.record(Attempt { name, ..model.clone() });
                }
            });
        }
    });
    recorder_of_another_client(&ledger, &policy);
    ledger.close();
    let records = records(&settings);
    let single = records.iter().filter(|record| record.folded.is_none()).count();
    assert!((100..=201).contains(&single), "{single}");
    let networks: Vec<_> = records.iter().filter(|record| record.folded == Some(Folded::Network)).collect();
    assert!((1..=50).contains(&networks.len()), "{}", networks.len());
    let mut keys = KeyRing::reader(&settings.keys);
    for record in networks {
        assert_eq!((record.prefix, record.name.as_ref()), (Some(24), None));
        let key = KeyId::parse(record.key.as_deref().unwrap()).unwrap();
        let network = keys.decrypt(record.client.as_deref().unwrap(), &key).unwrap();
        assert_eq!(network, Some("192.0.2.0".parse().unwrap()));
        let (names, count) = (record.names.unwrap(), record.count);
        assert!(names.abs_diff(count) <= count / 5 + 1, "{names} names in {count} look-ups");
    }
    let counts: u64 = records.iter().map(|record| record.count).sum();
    assert_eq!(counts, 200_001);
    assert_eq!(sums(&leaves(&settings)).values().sum::<u64>(), 200_001);
    assert!(records.len() < 400, "{}", records.len());
}

/// A flood by some clients must not hide the others.
fn recorder_of_another_client(ledger: &Ledger, policy: &Arc<Snapshot>) {
    assert!(ledger.flush(PROMPT));
    ledger.recorder().record(attempt(policy, "198.51.100.1", "upd.vendor.example", AT));
}

#[test]
fn beyond_the_bound_on_networks_only_the_rule_is_left() {
    let data = tempfile::tempdir().unwrap();
    let bounds = Bounds { clients: 2, network_leaves: 3, ..Bounds::default() };
    let mut window = fold::Window::new(bounds);
    let policy = snapshot(1);
    for number in 0..20_u8 {
        for _ in 0..2 {
            add(&mut window, attempt(&policy, &format!("10.0.{number}.1"), "upd.vendor.example", AT));
        }
    }
    add(&mut window, attempt(&policy, "2001:db8::1", "console.vendor.example", AT));
    let mut keys = KeyRing::open(data.path()).unwrap();
    let drafts = window.take(&mut keys, false);
    let folded: Vec<_> = drafts.iter().map(|draft| (draft.record.folded, draft.record.count)).collect();
    let mut expected = vec![(None, 2); 2];
    expected.extend([(Some(Folded::Network), 2); 3]);
    expected.extend([(Some(Folded::Rule), 30), (Some(Folded::Rule), 1)]);
    assert_eq!(folded, expected);
    let clients: Vec<_> = drafts[2..].iter().map(|draft| draft.record.clients.unwrap()).collect();
    assert_eq!((&clients[..3], clients[4]), (&[1, 1, 1][..], 1));
    assert!(clients[3].abs_diff(15) <= 4, "an estimate of 15: {}", clients[3]);
    assert!(drafts[5].record.client.is_none() && drafts[5].record.key.is_none());
    window.start_minute();
    add(&mut window, attempt(&policy, "10.0.9.1", "upd.vendor.example", AT));
    assert_eq!(window.take(&mut keys, false)[0].record.folded, None, "a new minute has new bounds");
}

#[test]
fn no_leaf_spans_an_instant_of_the_policy() {
    let data = tempfile::tempdir().unwrap();
    let mut window = fold::Window::new(Bounds::default());
    let policy = snapshot(1);
    // A kept console has the same verdict on both sides of the instant.
    for at in ["2024-09-29T03:59:59.9Z", "2024-09-29T03:59:59.8Z", "2024-09-29T04:00:00Z", "2024-09-29T04:00:00.1Z"] {
        add(&mut window, attempt(&policy, "192.0.2.7", "console.vendor.example", at));
    }
    let drafts = window.take(&mut KeyRing::open(data.path()).unwrap(), false);
    let spans: Vec<_> =
        drafts.iter().map(|draft| (draft.record.at.to_string(), draft.record.last.to_string())).collect();
    let span = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(
        spans,
        [
            span("2024-09-29T03:59:59.8Z", "2024-09-29T03:59:59.9Z"),
            span("2024-09-29T04:00:00Z", "2024-09-29T04:00:00.1Z")
        ]
    );
}

#[test]
fn coverage_tells_the_queries_since_the_one_before() {
    let data = tempfile::tempdir().unwrap();
    let total = Arc::new(std::sync::atomic::AtomicU64::new(10));
    let totals: Totals = {
        let total = Arc::clone(&total);
        Arc::new(move || BTreeMap::from([("pass".to_owned(), total.load(std::sync::atomic::Ordering::Relaxed))]))
    };
    let settings = Settings { totals: Some(totals), ..Settings::new(data.path()) };
    let ledger = Ledger::open(settings.clone(), clock()).unwrap();
    total.store(17, std::sync::atomic::Ordering::Relaxed);
    ledger.close();
    let queries: Vec<_> = leaves(&settings)
        .into_iter()
        .filter_map(|leaf| if let Body::Coverage(coverage) = leaf.body { Some(coverage.queries["pass"]) } else { None })
        .collect();
    assert_eq!(queries, [10, 7]);
}

#[test]
fn a_key_that_was_destroyed_during_its_month_is_not_made_again() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::new(data.path());
    for _ in 0..2 {
        let ledger = Ledger::open(settings.clone(), clock()).unwrap();
        ledger.recorder().record(attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT));
        ledger.close();
        let _ = std::fs::remove_file(settings.keys.join("2024-09.key"));
    }
    let mut ring = KeyRing::reader(&settings.keys);
    let clients = records(&settings).into_iter().map(|record| {
        let key = KeyId::parse(&record.key.unwrap()).unwrap();
        (key.as_str().to_owned(), ring.decrypt(&record.client.unwrap(), &key).unwrap())
    });
    let expected = [("2024-09".to_owned(), None), ("2024-09-2".to_owned(), Some("192.0.2.7".parse().unwrap()))];
    assert_eq!(clients.collect::<Vec<_>>(), expected);
}

#[test]
fn the_thread_that_panics_is_told_by_health() {
    let data = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(Settings::new(data.path()), clock()).unwrap();
    let mut of = attempt(&snapshot(1), "192.0.2.7", "upd.vendor.example", AT);
    of.matched.entry = 1000;
    ledger.recorder().record(of);
    let deadline = std::time::Instant::now() + PROMPT;
    while !matches!(ledger.health().state, State::Failing { reason, .. } if reason.contains("panicked")) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
}

proptest! {
    #[test]
    fn folding_changes_no_sum(
        events in proptest::collection::vec((0u8..12, 0usize..6, 0u8..5, 0i64..4, 0u8..20), 0..200),
        clients in 0usize..5, leaves_per_client in 0u32..6, leaves in 0u32..20, network_leaves in 0u32..6,
    ) {
        let data = tempfile::tempdir().unwrap();
        let mut keys = KeyRing::open(data.path()).unwrap();
        let mut window = fold::Window::new(Bounds { clients, leaves_per_client, leaves, network_leaves, ..Bounds::default() });
        let policy = snapshot(1);
        let (mut expected, mut found) = (BTreeMap::new(), BTreeMap::new());
        let mut written = 0;
        for (client, host, label, shift, commit) in events {
            let host = ["upd", "geo", "console", "support", "www", "deep.upd"][host];
            let at: Timestamp = "2024-09-29T03:59:58Z".parse().unwrap();
            let at = (at + jiff::SignedDuration::from_secs(shift)).to_string();
            let client = if client > 9 { format!("2001:db8::{client}") } else { format!("10.0.{client}.1") };
            let of = attempt(&policy, &client, &format!("l{label}.{host}.vendor.example"), &at);
            *expected.entry((of.matched.entry, of.matched.verdict)).or_insert(0) += 1;
            add(&mut window, of);
            if commit == 0 {
                for draft in window.take(&mut keys, false) {
                    prop_assert!(draft.record.at <= draft.record.last);
                    written += usize::from(draft.record.folded.is_none());
                    *found.entry((draft.rule.entry, draft.rule.verdict)).or_insert(0) += draft.record.count;
                }
            }
        }
        for draft in window.take(&mut keys, false) {
            written += usize::from(draft.record.folded.is_none());
            *found.entry((draft.rule.entry, draft.rule.verdict)).or_insert(0) += draft.record.count;
        }
        prop_assert_eq!(found, expected);
        prop_assert!(written <= leaves as usize && written <= clients * leaves_per_client as usize);
    }
}
