//! Measures the index: how fast records go in, how large it becomes, how fast the common questions are answered.
//!
//! `cargo bench --bench index -- [RECORDS [FOLDER]]`; one million records in a folder for temporary files without them.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program for developers")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use interdict::ledger::{Body, KeyRing, Leaf, Record, VERSION};
use interdict::policy::Verdict;
use interdict::store::{ClientFilter, Filter, Store};
use jiff::Timestamp;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many leaves go in by one transaction, as when an index is made again.
const BATCH: u64 = 100_000;
/// How many leaves a segment of 16 MiB has.
const SEGMENT: u64 = 27_000;
/// The records are spread over so many days.
const DAYS: i64 = 365;
const CLIENTS: u32 = 10_000;
const NAMES: u32 = 20_000;
const RULES: u32 = 80;
/// How many rules the look-ups of one client match.
const RULES_OF_CLIENT: u32 = 12;
const FIRST: i64 = 1_727_582_400;

fn main() {
    let numbers: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let records: u64 = numbers.first().map_or(1_000_000, |number| number.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let folder = numbers.get(1).map_or(temporary.path(), Path::new);
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join("index.sqlite");
    let clients = clients(&folder.join("keys"));
    if !path.exists() {
        fill(&path, records, &clients);
    }
    let size = std::fs::metadata(&path).unwrap().len();
    println!("{records} records, {} MiB, {:.1} octets a record", size >> 20, size as f64 / records as f64);
    let keys = KeyRing::reader(&folder.join("keys"));
    for (what, ask) in questions(&keys) {
        let mut times = Vec::new();
        let mut rows = 0;
        for round in 0..4 {
            if round == 0 {
                drop_caches(&path);
            }
            let start = Instant::now();
            rows = ask(&Store::open(&path).unwrap());
            times.push(start.elapsed());
        }
        let warm = times[1..].iter().min().unwrap();
        println!("  {what:<44} {rows:>7} rows  cold {:>8.1} ms  warm {:>7.1} ms", millis(times[0]), millis(*warm));
    }
}

/// Asks the kernel to forget the pages of the file; needs no rights that its owner does not have.
fn drop_caches(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    nix::fcntl::posix_fadvise(&file, 0, 0, nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

type Question = (&'static str, Box<dyn Fn(&Store) -> usize>);

fn questions(keys: &KeyRing) -> Vec<Question> {
    let hundred = || Filter { limit: Some(100), ..Filter::default() };
    let client = |number: u32| ClientFilter::new(address(number), keys).unwrap();
    let at = |day: i64| Some(Timestamp::from_second(FIRST + day * 86_400).unwrap());
    let attempts = |what, filter: Filter| -> Question {
        (what, Box::new(move |store: &Store| store.attempts(&filter).unwrap().len()))
    };
    let (busy, seen) = (client(1), client(2));
    let (from, to) = ("2024-01-01".parse().unwrap(), "2026-12-31".parse().unwrap());
    let (one, other) = ("2025-03-01".parse().unwrap(), "2025-03-31".parse().unwrap());
    vec![
        attempts("last 100 of all", hundred()),
        attempts("last 100 of the busiest client", Filter { client: Some(client(0)), ..hundred() }),
        attempts("last 100 of a quiet client", Filter { client: Some(client(CLIENTS - 1)), ..hundred() }),
        attempts(
            "last 100 of a client, one day a year ago",
            Filter { client: Some(busy), from: at(20), to: at(21), ..hundred() },
        ),
        attempts(
            "last 100 of a client, waived",
            Filter { client: Some(client(3)), verdict: Some(Verdict::Waived), ..hundred() },
        ),
        attempts("last 100 of one day", Filter { from: at(100), to: at(101), ..hundred() }),
        attempts("last 100 of a name", Filter { name: Some(name(7).parse().unwrap()), ..hundred() }),
        attempts("last 100 below a domain", Filter { name: Some(".u5.vendor.example".parse().unwrap()), ..hundred() }),
        attempts("last 100 of a rule", Filter { rule: Some(rule(11)), ..hundred() }),
        attempts("last 100 sunk", Filter { verdict: Some(Verdict::Sunk), ..hundred() }),
        attempts("last 100 waived", Filter { verdict: Some(Verdict::Waived), ..hundred() }),
        ("sums by rule and verdict", Box::new(|store| store.sums().unwrap().len())),
        ("sums by day and rule, all days", Box::new(move |store| store.sums_by_day(from, to).unwrap().len())),
        ("sums by day and rule, a month", Box::new(move |store| store.sums_by_day(one, other).unwrap().len())),
        ("first and last seen, one client", Box::new(move |store| store.seen(Some(&seen)).unwrap().len())),
        ("first and last seen, all clients", Box::new(|store| store.seen(None).unwrap().len())),
    ]
}

fn address(number: u32) -> std::net::IpAddr {
    std::net::Ipv4Addr::from(0x0A00_0000 + number).into()
}

fn name(number: u32) -> String {
    format!("h{number}.u{}.vendor.example", number % RULES)
}

fn rule(number: u32) -> String {
    format!("suffix:u{number}.vendor.example")
}

/// Returns each client as it is encrypted in each month, by the month's key.
fn clients(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut keys = KeyRing::open(folder).unwrap();
    let mut months = BTreeMap::new();
    for day in 0..DAYS {
        let at = Timestamp::from_second(FIRST + day * 86_400).unwrap();
        let (_, key) = keys.seal(address(0), at);
        months
            .entry(key.as_str().to_owned())
            .or_insert_with(|| (0..CLIENTS).map(|number| keys.seal(address(number), at).0).collect::<Vec<_>>());
    }
    keys.save().unwrap();
    months
}

fn fill(path: &Path, records: u64, clients: &BTreeMap<String, Vec<String>>) {
    let mut random = SmallRng::seed_from_u64(7);
    let mut store = Store::open(path).unwrap();
    let start = Instant::now();
    for first in (0..records).step_by(BATCH as usize) {
        let leaves = (first..records.min(first + BATCH))
            .map(|seq| (seq / SEGMENT * SEGMENT, leaf(seq, records, &mut random, clients)));
        store.fill(leaves).unwrap();
        if first.is_multiple_of(1_000_000) {
            println!("  {first} after {:.0} s", start.elapsed().as_secs_f64());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("filled in {seconds:.0} s, {:.0} records a second", records as f64 / seconds);
}

/// Few clients, names and rules make most records, as with real ones: of two numbers the smaller.
fn skewed(random: &mut SmallRng, below: u32) -> u32 {
    (0..3).map(|_| random.random_range(0..below)).min().unwrap()
}

fn leaf(seq: u64, records: u64, random: &mut SmallRng, clients: &BTreeMap<String, Vec<String>>) -> Leaf {
    let micros = (seq as i128 * i128::from(DAYS) * 86_400_000_000 / i128::from(records)) as i64;
    let at = Timestamp::from_microsecond(FIRST * 1_000_000 + micros).unwrap();
    let month = at.to_string()[..7].to_owned();
    let client = skewed(random, CLIENTS);
    // A client has a product that asks for a few names again and again.
    let number = (client * 7 + skewed(random, RULES_OF_CLIENT)) % RULES + RULES * skewed(random, NAMES / RULES);
    let verdict = match random.random_range(0..1000) {
        0 => "waived",
        1..50 => "monitored",
        _ => "sunk",
    };
    let record = Record {
        at,
        last: at,
        ends: None,
        raw: at,
        raw_last: at,
        count: 1,
        folded: None,
        client: Some(clients[&month][client as usize].clone()),
        key: Some(month),
        prefix: None,
        group: None,
        identified: None,
        via: None,
        device: None,
        transport: Some("udp".to_owned()),
        name: Some(name(number)),
        r#type: Some(if seq.is_multiple_of(3) { "AAAA" } else { "A" }.to_owned()),
        names: None,
        clients: None,
        verdict: verdict.to_owned(),
        order: "act-2024".to_owned(),
        prohibition: Some("updates".to_owned()),
        waiver: (verdict == "waived").then(|| "W-1".to_owned()),
        rule: rule(number % RULES),
        service: "update".to_owned(),
        confidence: "high".to_owned(),
        threat: false,
        subject: None,
        through: Some("question".to_owned()),
        policy: "00".repeat(32),
        rcode: Some(if verdict == "sunk" { "NXDOMAIN" } else { "NOERROR" }.to_owned()),
        rehearsal: false,
    };
    Leaf { v: VERSION, seq, body: Body::Attempt(Box::new(record)) }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
