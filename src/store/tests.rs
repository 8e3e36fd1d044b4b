//! What the index finds and sums, and that it can be made again from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::ledger::fixtures::{self, AT};
use crate::ledger::{KeyRing, Ledger, Settings};
use crate::policy::{Snapshot, Verdict};

const PROMPT: Duration = Duration::from_secs(20);

struct Data {
    folder: tempfile::TempDir,
    settings: Settings,
    policy: Arc<Snapshot>,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { segment: 2000, ..Settings::new(folder.path()) };
        Self { folder, settings, policy: fixtures::snapshot(1) }
    }

    /// Records look-ups (client, name, instant), each in a group of its own.
    fn record(&self, lookups: &[(&str, &str, &str)]) {
        let ledger = Ledger::open(self.settings.clone(), fixtures::clock()).unwrap();
        let recorder = ledger.recorder();
        for (client, name, at) in lookups {
            recorder.record(fixtures::attempt(&self.policy, client, name, at));
            assert!(ledger.flush(PROMPT));
        }
        ledger.close();
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("index.sqlite")
    }

    fn open(&self) -> Store {
        let mut store = Store::open(&self.index()).unwrap();
        store.catch_up(&self.settings.journal()).unwrap();
        store
    }
}

fn names(store: &Store, filter: &Filter) -> Vec<String> {
    store.attempts(filter).unwrap().into_iter().map(|row| row.record.name.unwrap()).collect()
}

fn total(store: &Store) -> u64 {
    store.sums().unwrap().iter().map(|sum| sum.count).sum()
}

#[test]
fn records_are_found_by_what_they_hold_newest_first() {
    let data = Data::new();
    data.record(&[
        ("192.0.2.7", "upd.vendor.example", "2024-09-01T00:00:00Z"),
        ("192.0.2.7", "a.upd.vendor.example", "2024-10-01T00:00:00Z"),
        ("2001:db8::7", "b.a.upd.vendor.example", "2024-10-02T00:00:00Z"),
        ("192.0.2.8", "a\\.upd.geo.vendor.example", "2024-10-03T00:00:00Z"),
        ("192.0.2.8", "www.vendor.example", "2024-10-03T00:00:00Z"),
    ]);
    let store = data.open();
    let all = ["a\\.upd.geo.vendor.example", "b.a.upd.vendor.example", "a.upd.vendor.example", "upd.vendor.example"];
    assert_eq!(names(&store, &Filter::default()), all);
    let keys = KeyRing::reader(&data.settings.keys);
    let client = |text: &str| Some(ClientFilter::new(text.parse().unwrap(), &keys).unwrap());
    let name = |text: &str| Some(text.parse::<NameFilter>().unwrap());
    let instant = |text: &str| Some(text.parse().unwrap());
    let none = Filter::default;
    for (filter, found) in [
        (Filter { client: client("192.0.2.7"), ..none() }, vec![all[2], all[3]]),
        (Filter { client: client("::ffff:192.0.2.8"), ..none() }, vec![all[0]]),
        (Filter { client: client("192.0.2.9"), ..none() }, vec![]),
        (Filter { name: name("UPD.vendor.example."), ..none() }, vec![all[3]]),
        (Filter { name: name(".upd.vendor.example"), ..none() }, vec![all[1], all[2]]),
        (Filter { name: name("*.upd.vendor.example"), ..none() }, vec![all[1], all[2]]),
        (Filter { name: name("*.vendor.example"), ..none() }, all.to_vec()),
        (Filter { name: name("*.endor.example"), ..none() }, vec![]),
        (Filter { verdict: Some(Verdict::Monitored), ..none() }, vec![all[3]]),
        (Filter { rule: Some("suffix:geo.vendor.example".to_owned()), ..none() }, vec![all[0]]),
        (Filter { order: Some("act-2024".to_owned()), limit: Some(2), ..none() }, vec![all[0], all[1]]),
        (Filter { order: Some("act-2025".to_owned()), ..none() }, vec![]),
        (Filter { verdict: Some(Verdict::Sunk), client: client("192.0.2.7"), ..none() }, vec![all[2]]),
        (Filter { name: name("*.vendor.example"), client: client("192.0.2.8"), ..none() }, vec![all[0]]),
        (Filter { from: instant("2024-10-01T00:00:00Z"), to: instant("2024-10-02T00:00:00Z"), ..none() }, vec![all[2]]),
        (Filter { limit: Some(1), ..none() }, vec![all[0]]),
        (Filter { limit: Some(0), ..none() }, vec![]),
    ] {
        assert_eq!(names(&store, &filter), found, "{filter:?}");
    }
    assert_eq!(total(&store), 5);
    let found = store.attempts(&Filter { limit: Some(1), ..none() }).unwrap().remove(0);
    let leaf = crate::ledger::find(&data.settings.journal(), found.seq).unwrap().unwrap();
    assert_eq!(leaf.body, crate::ledger::Body::Attempt(Box::new(found.record)), "a row holds the whole record");
}

#[test]
fn nothing_is_put_in_twice_however_many_look() {
    let data = Data::new();
    let lookups = [("192.0.2.7", "upd.vendor.example", AT); 3];
    let mut first = data.open();
    for round in 1..4 {
        data.record(&lookups);
        let mut second = data.open();
        std::thread::scope(|scope| {
            let journal = data.settings.journal();
            scope.spawn(|| first.catch_up(&data.settings.journal()).unwrap());
            second.catch_up(&journal).unwrap();
        });
        assert_eq!((total(&first), total(&second)), (round * 3, round * 3));
    }
    assert_eq!(first.catch_up(&data.settings.journal()).unwrap(), Progress::default());
    assert!(first.rebuild(&data.settings.journal()).unwrap().rebuilt);
    assert_eq!((total(&first), first.attempts(&Filter::default()).unwrap().len()), (9, 9));
}

#[test]
fn a_damaged_index_is_made_again() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 20]);
    drop(data.open());
    let whole = fs::read(data.index()).unwrap();
    for damage in ["garbage", "zeroed pages", "empty"] {
        let mut octets = whole.clone();
        match damage {
            "garbage" => octets = b"this is no database".repeat(1000),
            "zeroed pages" => octets[4096..].fill(0xA5),
            _ => octets.clear(),
        }
        fs::write(data.index(), octets).unwrap();
        let mut store = Store::open(&data.index()).unwrap();
        store.catch_up(&data.settings.journal()).unwrap();
        if store.attempts(&Filter::default()).is_err() {
            // Damage that only searching meets is told, with the remedy.
            store.rebuild(&data.settings.journal()).unwrap();
        }
        assert_eq!(total(&store), 20, "{damage}");
        assert_eq!(store.attempts(&Filter::default()).unwrap().len(), 20, "{damage}");
    }
}

#[test]
fn an_index_of_another_journal_is_made_again() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 3]);
    let mut store = data.open();
    fs::remove_dir_all(data.settings.journal()).unwrap();
    // With the log, numbers would go on.
    fs::remove_dir_all(data.settings.log()).unwrap();
    data.record(&[("192.0.2.7", "geo.vendor.example", AT); 4]);
    assert!(store.catch_up(&data.settings.journal()).unwrap().rebuilt);
    assert_eq!(names(&store, &Filter::default()), ["geo.vendor.example"; 4]);
}

#[test]
fn an_index_that_was_deleted_is_made_again_under_the_running_daemon() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 3]);
    let mut store = data.open();
    remove(&data.index()).unwrap();
    store.catch_up(&data.settings.journal()).unwrap();
    assert_eq!(total(&data.open()), 3);
    assert!(data.index().exists());
}

#[test]
fn the_index_forgets_what_the_journal_has_removed() {
    let data = Data::new();
    let data = Data { settings: Settings { total: 8000, ..data.settings.clone() }, ..data };
    let mut store = data.open();
    for _ in 0..6 {
        data.record(&[("192.0.2.7", "upd.vendor.example", AT); 5]);
        store.catch_up(&data.settings.journal()).unwrap();
    }
    let held = |store: &Store| {
        let records = store.attempts(&Filter::default()).unwrap().len();
        (total(store), records, store.seen(None).unwrap())
    };
    let kept = held(&store);
    assert!(kept.1 < 30 && kept.2[0].records == kept.1 as u64, "{kept:?}");
    assert_eq!(store.verify(&data.settings.journal()).unwrap().differences, []);
    store.rebuild(&data.settings.journal()).unwrap();
    assert_eq!(held(&store), kept);
}

#[test]
fn names_and_clients_go_with_their_last_record() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "a.upd.vendor.example", AT), ("192.0.2.8", "upd.vendor.example", AT)]);
    data.record(&[
        ("192.0.2.8", "upd.vendor.example", AT),
        ("192.0.2.8", "geo.vendor.example", "2024-09-30T00:00:00Z"),
    ]);
    let mut store = data.open();
    let first = store.attempts(&Filter { limit: Some(3), ..Filter::default() }).unwrap()[2].seq;
    let transaction = store.connection.transaction().unwrap();
    schema::forget_before(&transaction, first).unwrap();
    transaction.commit().unwrap();
    let count = |table: &str| -> i64 {
        store.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(["attempts", "names", "clients", "client_rules"].map(count), [3, 2, 1, 2]);
    let seen = store.seen(None).unwrap();
    let expected = (3, 3, AT.parse().unwrap(), "2024-09-30T00:00:00Z".parse().unwrap());
    assert_eq!((seen[0].records, seen[0].count, seen[0].first, seen[0].last), expected);
}

#[test]
fn sums_are_told_by_day_and_clients_by_when_they_were_seen() {
    let data = Data::new();
    data.record(&[
        ("192.0.2.7", "upd.vendor.example", "2024-09-30T23:59:59Z"),
        ("192.0.2.7", "upd.vendor.example", "2024-10-01T00:00:00Z"),
        ("192.0.2.7", "upd.vendor.example", "2024-10-01T23:00:00Z"),
        ("192.0.2.8", "geo.vendor.example", "2024-10-02T00:00:00Z"),
    ]);
    let store = data.open();
    let days = store.sums_by_day("2024-09-30".parse().unwrap(), "2024-10-01".parse().unwrap()).unwrap();
    let all = store.sums_by_day(jiff::civil::Date::MIN, jiff::civil::Date::MAX).unwrap();
    assert_eq!((&all[..days.len()], all.len()), (&days[..], days.len() + 1), "of every day where none is named");
    let days: Vec<_> = days.iter().map(|(day, sum)| (day.to_string(), sum.rule.as_str(), sum.count)).collect();
    let rule = "suffix:upd.vendor.example";
    assert_eq!(days, [("2024-09-30".to_owned(), rule, 1), ("2024-10-01".to_owned(), rule, 2)]);
    let keys = KeyRing::reader(&data.settings.keys);
    let client = ClientFilter::new("192.0.2.7".parse().unwrap(), &keys).unwrap();
    let seen = store.seen(Some(&client)).unwrap();
    let instants: Vec<_> = seen.iter().map(|of| (of.first.to_string(), of.last.to_string(), of.count)).collect();
    let month = |first: &str, last: &str, count| (first.to_owned(), last.to_owned(), count);
    assert_eq!(
        instants,
        [
            month("2024-09-30T23:59:59Z", "2024-09-30T23:59:59Z", 1),
            month("2024-10-01T00:00:00Z", "2024-10-01T23:00:00Z", 2)
        ]
    );
    assert_eq!(store.seen(None).unwrap().len(), 3);
}

#[test]
fn an_index_that_differs_from_the_journal_is_told_with_the_first_number() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 6]);
    let numbers: Vec<i64> =
        data.open().attempts(&Filter::default()).unwrap().iter().rev().map(|row| schema::signed(row.seq)).collect();
    let [first, second, .., last] = numbers[..] else { panic!("{numbers:?}") };
    let journal = data.settings.journal();
    for (damage, expected) in [
        (String::new(), vec![]),
        (
            format!("DELETE FROM attempts WHERE seq = {second}"),
            vec![format!("Missing {{ seq: {second} }}"), "Tallies".into(), "Clients".into()],
        ),
        (
            format!("DELETE FROM attempts WHERE seq = {last}"),
            vec![format!("Missing {{ seq: {last} }}"), "Tallies".into(), "Clients".into()],
        ),
        (format!("UPDATE attempts SET at = at + 1 WHERE seq = {first}"), vec![format!("Changed {{ seq: {first} }}")]),
        (
            format!("UPDATE attempts SET seq = 1000000 WHERE seq = {first}"),
            vec![format!("Missing {{ seq: {first} }}"), "Surplus { seq: 1000000 }".into()],
        ),
        ("UPDATE sums SET count = count + 1".to_owned(), vec!["Days".into()]),
        ("UPDATE days SET count = count + 1".to_owned(), vec!["Sum".into(), "Days".into()]),
        ("DELETE FROM days".to_owned(), vec!["Sum".into(), "Days".into()]),
        ("UPDATE clients SET leaves = leaves + 1".to_owned(), vec!["Clients".into()]),
        ("UPDATE client_spans SET like_id = like_id + 1".to_owned(), vec!["Tallies".into()]),
        ("UPDATE name_days SET leaves = leaves + 1".to_owned(), vec!["Tallies".into()]),
        // What is not there says nothing wrong, and is missed all the same.
        ("DELETE FROM client_spans".to_owned(), vec!["Tallies".into()]),
        ("DELETE FROM name_days".to_owned(), vec!["Tallies".into()]),
        ("DELETE FROM sums".to_owned(), vec!["Days".into()]),
        ("UPDATE clients SET leaves = 0".to_owned(), vec!["Clients".into()]),
    ] {
        let mut store = data.open();
        store.rebuild(&journal).unwrap();
        store.connection.execute_batch(&damage).unwrap();
        let Agreement { records, damaged, faults, differences, .. } = store.verify(&journal).unwrap();
        assert_eq!((records, damaged, faults), (6, 0, expected.len() as u64), "{damage}");
        let told: Vec<String> = differences.iter().map(|difference| format!("{difference:?}")).collect();
        assert!(told.iter().zip(&expected).all(|(told, expected)| told.starts_with(expected)), "{damage}: {told:?}");
    }
}

#[test]
fn the_follower_keeps_up_and_stops() {
    let data = Data::new();
    let follower = follow(data.settings.journal(), data.index()).unwrap();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 3]);
    let deadline = Instant::now() + PROMPT;
    let reader = Store::open(&data.index()).unwrap();
    while total(&reader) < 3 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    data.record(&[("192.0.2.7", "www.vendor.example", AT); 2]);
    follower.stop();
    let sums: BTreeMap<_, _> =
        reader.sums().unwrap().into_iter().map(|sum| ((sum.source, sum.verdict), sum.count)).collect();
    let expected = [((SumSource::Recorded, "sunk".to_owned()), 3), ((SumSource::Counted, "noted".to_owned()), 2)];
    assert_eq!(sums, BTreeMap::from(expected));
}

#[test]
fn damage_in_the_journal_is_told_and_the_rest_is_indexed() {
    let data = Data::new();
    data.record(&[("192.0.2.7", "upd.vendor.example", AT); 12]);
    let first = crate::ledger::segment_path(&data.settings.journal(), 0);
    let text = fs::read_to_string(&first).unwrap();
    fs::write(&first, text.replacen("\"kind\":\"attempt\"", "\"kind\":\"attempt\0", 1)).unwrap();
    let mut store = Store::open(&data.index()).unwrap();
    let progress = store.catch_up(&data.settings.journal()).unwrap();
    assert_eq!((progress.faults, total(&store)), (2, 11), "the line, and the leaf that is missing");
    assert_eq!(fs::metadata(data.index()).unwrap().mode() & 0o777, 0o600);
}
