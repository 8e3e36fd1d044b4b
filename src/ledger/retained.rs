//! What goes for its age, and what verification says of it.

use std::fs;
use std::time::{Duration, Instant};

use super::evidence::{PROMPT, checked, head, log_of, settings};
use super::fixtures::{AT, attempt, snapshot};
use super::verify::{Against, Integrity, verify_folder};
use super::*;
use crate::clock::ManualClock;

const DAY: Duration = Duration::from_secs(86_400);

fn record(ledger: &Ledger, lookups: usize) {
    record_beside(ledger, lookups, 0);
}

/// The same where the log has none of the first leaves.
fn record_beside(ledger: &Ledger, lookups: usize, lacking: u64) {
    let recorder = ledger.recorder();
    for number in 0..lookups {
        recorder.record(attempt(&snapshot(1), "192.0.2.7", &format!("a{number}.upd.vendor.example"), AT));
    }
    assert!(ledger.flush(PROMPT));
    // What goes from the journal before the log has it is lost to both, and here days pass in no time.
    let start = Instant::now();
    while ledger.health().log.leaves + lacking < ledger.health().leaves {
        assert!(start.elapsed() < PROMPT, "{:?}", ledger.health());
        std::thread::yield_now();
    }
}

fn removed(settings: &Settings) -> Vec<String> {
    let all = changes(&settings.journal(), 100, |change| change.act == Act::Removed).unwrap();
    all.into_iter().map(|(_, change)| change.why).collect()
}

#[test]
fn what_is_too_old_goes_from_the_journal_and_every_log_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let publish = Some(elsewhere.path().to_owned());
    let settings = Settings { keep: Some(10 * DAY), publish, ..settings(data.path()) };
    let clock = Arc::new(ManualClock::new(AT.parse().unwrap()));
    let open = |settings: &Settings| Ledger::open(settings.clone(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    // An earlier log, one that is written to, and nothing older than it may be yet.
    let ledger = open(&settings);
    record(&ledger, 600);
    ledger.close();
    let settings = Settings { origin: Some("log.example/later".to_owned()), ..settings };
    let ledger = open(&settings);
    record(&ledger, 600);
    clock.pass(5 * DAY);
    record(&ledger, 5);
    assert_eq!(removed(&settings), Vec::<String>::new());
    // A leap of the clock takes nothing away, and neither does anything while there is a hold.
    let hold_of = Hold { since: AT.parse().unwrap(), by: "uid 0".to_owned(), reason: "case".to_owned() };
    hold(data.path(), &hold_of).unwrap();
    clock.pass(6 * DAY);
    record(&ledger, 5);
    assert_eq!(removed(&settings), Vec::<String>::new());
    release(data.path()).unwrap();
    clock.pass(DAY);
    record(&ledger, 5);
    let told = removed(&settings);
    assert!(!told.is_empty() && told.iter().all(|why| why.ends_with("for their age")), "{told:?}");
    ledger.close();
    let first = read(&settings.journal(), 0).next().unwrap().unwrap().seq;
    assert!(first > 1200, "{first}");
    let found = verify_folder(data.path(), Against::default()).unwrap();
    assert_eq!(found.integrity, Integrity::Intact, "{found:?}");
    assert!(found.logs[0].pruned == 512 && found.logs[1].pruned >= 512, "{found:?}");
    assert_eq!(checked(&log_of(&data, 1)).integrity, Integrity::Incomplete, "without the later log, nothing says why");
    // What is published follows.
    let published = verify_folder(elsewhere.path(), Against::default()).unwrap();
    assert_eq!(published.integrity, Integrity::Intact, "{published:?}");
    for (log, of) in found.logs.iter().zip(&published.logs) {
        assert_eq!((of.pruned, of.leaves), (log.pruned, log.leaves));
    }
    // One bundle more than any leaf says.
    let bundle = log_of(&data, 2).join(tree::bundle_path(found.logs[1].pruned / tree::WIDTH, tree::WIDTH));
    if bundle.exists() {
        fs::remove_file(bundle).unwrap();
        assert_ne!(verify_folder(data.path(), Against::default()).unwrap().integrity, Integrity::Intact);
    }
}

/// Its journal is lost, so that no segment of it ever tells that these leaves go.
#[test]
fn what_only_an_earlier_log_has_goes_for_its_age_and_its_size_and_counts() {
    for (keep, total, why) in
        [(Some(10 * DAY), 4 << 30, "for their age"), (None, 400 << 10, "for the bound on the size")]
    {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(AT.parse().unwrap()));
        let settings = Settings { keep, checkpoint: Duration::ZERO, ..settings(data.path()) };
        let open = |settings: &Settings| Ledger::open(settings.clone(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        let ledger = open(&settings);
        record(&ledger, 600);
        ledger.close();
        fs::remove_dir_all(settings.journal()).unwrap();
        let lacking = head(&log_of(&data, 1)).size;
        clock.pass(11 * DAY);
        let hold_of = Hold { since: AT.parse().unwrap(), by: "uid 0".to_owned(), reason: "case".to_owned() };
        hold(data.path(), &hold_of).unwrap();
        let settings = Settings { origin: Some("log.example/later".to_owned()), ..settings };
        let ledger = open(&settings);
        record_beside(&ledger, 300, lacking);
        let alone = ledger.health().log;
        let entries: u64 = (0..2)
            .map(|index| fs::metadata(log_of(&data, 1).join(tree::bundle_path(index, tree::WIDTH))).unwrap().len())
            .sum();
        assert!(alone.before.is_some() && alone.bytes > entries + 600 * 32, "{alone:?}");
        ledger.close();
        release(data.path()).unwrap();
        let ledger = open(&Settings { total, ..settings.clone() });
        record_beside(&ledger, 1, lacking);
        let deadline = Instant::now() + PROMPT;
        while ledger.health().log.before.is_some() {
            assert!(Instant::now() < deadline, "{:?}", ledger.health());
            record_beside(&ledger, 1, lacking);
        }
        ledger.close();
        let told = removed(&settings);
        assert!(told.len() == 1 && told[0].ends_with(why), "{told:?}");
        let found = verify_folder(data.path(), Against::default()).unwrap();
        assert_eq!((found.integrity, found.logs[0].pruned), (Integrity::Intact, 512), "{found:?}");
    }
}

#[test]
fn only_the_network_of_a_client_is_recorded_where_no_more_is_wanted() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.bounds.networks_only = true;
    let ledger = Ledger::open(settings.clone(), super::fixtures::clock()).unwrap();
    let recorder = ledger.recorder();
    for client in ["192.0.2.7", "2001:db8:1:2ff::7"] {
        recorder.record(attempt(&snapshot(1), client, "upd.vendor.example", AT));
    }
    ledger.close();
    let mut keys = KeyRing::reader(&settings.keys);
    let mut told = Vec::new();
    for leaf in read(&settings.journal(), 0) {
        let Body::Attempt(record) = leaf.unwrap().body else { continue };
        let key = KeyId::parse(record.key.as_deref().unwrap()).unwrap();
        let client = keys.decrypt(record.client.as_deref().unwrap(), &key).unwrap().unwrap();
        assert_eq!(record.device, None);
        told.push(format!("{client}/{}", record.prefix.unwrap()));
    }
    told.sort();
    assert_eq!(told, ["192.0.2.0/24", "2001:db8:1:200::/56"]);
}
