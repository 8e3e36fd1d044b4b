//! Measures the index of lists beside a hash map and a finite state transducer, in one run on the same names.
//!
//! `cargo bench --bench lists -- [NAMES…]`; without numbers, one million and ten million names.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program for developers")]

use std::hint::black_box;
use std::time::Duration;

use interdict::lists::index::{Index, Key};
use interdict::lists::{self, Format};
use interdict::message::Name;
use nix::time::{ClockId, clock_gettime};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many names are asked for in one round.
const QUERIES: usize = 500_000;
const ROUNDS: usize = 5;
type Map = hashbrown::HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let numbers = if numbers.is_empty() { vec![1_000_000, 10_000_000] } else { numbers };
    println!("{QUERIES} names a round, {ROUNDS} rounds, the quickest counts; ns a name, octets a listed name");
    for number in numbers {
        run(number);
    }
}

fn run(number: usize) {
    let mut random = SmallRng::seed_from_u64(7);
    let listed: Vec<Box<[u8]>> = (0..number).map(|_| name(&mut random, 0)).collect();
    let mean = listed.iter().map(|wire| wire.len() - 1).sum::<usize>() as f64 / number as f64;
    println!("\n{number} names, {mean:.1} octets in the mean");
    let hits: Vec<Name> = (0..QUERIES)
        .map(|index| {
            let wire = &listed[random.random_range(0..number)];
            // Half of them below the listed name.
            let wire = if index % 2 == 0 { wire.to_vec() } else { [b"\x03www", &wire[..]].concat() };
            Name::from_wire(&wire).unwrap()
        })
        .collect();
    let misses: Vec<Name> = (0..QUERIES)
        .map(|index| {
            let wire = name(&mut random, 1);
            let wire = if index % 2 == 0 { wire.to_vec() } else { [b"\x03www", &wire[..]].concat() };
            Name::from_wire(&wire).unwrap()
        })
        .collect();

    let text: String = listed.iter().map(|wire| format!("{}\n", Name::from_wire(wire).unwrap())).collect();
    let mut octets = Vec::new();
    let built = time(|| {
        let mut gathered = lists::parse(Format::Suffixes, &text);
        octets = lists::compile(&mut gathered, ([0; 32], Format::Suffixes), || Key(rand::random())).unwrap();
    });
    drop(text);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    std::fs::write(&path, &octets).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    drop(octets);
    let opened = (0..ROUNDS).map(|_| time(|| drop(Index::map(&std::fs::File::open(&path).unwrap()).unwrap()))).min();
    let index = Index::map(&std::fs::File::open(&path).unwrap()).unwrap();
    let ask = |name: &Name| index.find(name, |hit| Some(hit.payload)).is_some();
    row(
        "index",
        measure(&hits, ask, true),
        measure(&misses, ask, false),
        index.octets().len() as f64 / index.len() as f64,
    );
    println!("  from text in {:.2} s, mapped and verified in {:.1} ms", built.as_secs_f64(), millis(opened.unwrap()));
    drop(index);

    let mut map = Map::default();
    let built = time(|| map.extend(listed.iter().zip(0..).map(|(wire, index)| (wire.clone(), index & 7))));
    let ask = |name: &Name| name.suffixes().any(|wire| map.contains_key(wire));
    // A slot and its tag, and what the allocator takes for a name.
    let heap: usize = listed.iter().map(|wire| (wire.len() + 8).next_multiple_of(16).max(32)).sum();
    let octets = (map.capacity() as f64 * 8.0 / 7.0 * 25.0 + heap as f64) / map.len() as f64;
    row("hashbrown", measure(&hits, ask, true), measure(&misses, ask, false), octets);
    println!("  built in {:.2} s", built.as_secs_f64());
    drop(map);
    transducer(&listed, &hits, &misses);
}

fn transducer(listed: &[Box<[u8]>], hits: &[Name], misses: &[Name]) {
    let mut octets = Vec::new();
    let built = time(|| {
        let mut keys: Vec<Vec<u8>> = listed.iter().map(|wire| reversed(wire)).collect();
        keys.sort_unstable();
        keys.dedup();
        octets = keys
            .iter()
            .zip(0..)
            .fold(fst::MapBuilder::memory(), |mut builder, (key, index)| {
                builder.insert(key, index & 7).unwrap();
                builder
            })
            .into_inner()
            .unwrap();
    });
    let map = fst::Map::new(octets).unwrap();
    let ask = |name: &Name| walk(map.as_fst(), &reversed(name.as_wire()));
    let octets = map.as_fst().as_bytes().len() as f64 / map.len() as f64;
    row("fst", measure(hits, ask, true), measure(misses, ask, false), octets);
    println!("  built in {:.2} s", built.as_secs_f64());
}

/// Returns the labels from right to left, each behind a dot.
fn reversed(wire: &[u8]) -> Vec<u8> {
    let name = Name::from_wire(wire).unwrap();
    let labels: Vec<&[u8]> = name.labels().collect();
    labels.iter().rev().flat_map(|label| [b".", *label].concat()).collect()
}

/// Returns whether the transducer has a key that is `key`, or that `key` continues with a dot.
fn walk(of: &fst::raw::Fst<Vec<u8>>, key: &[u8]) -> bool {
    let mut node = of.root();
    for octet in key {
        if *octet == b'.' && node.is_final() {
            return true;
        }
        let Some(index) = node.find_input(*octet) else { return false };
        node = of.node(node.transition(index).addr);
    }
    node.is_final()
}

fn measure(names: &[Name], ask: impl Fn(&Name) -> bool, expected: bool) -> f64 {
    let mut found = 0;
    let quickest =
        (0..ROUNDS).map(|_| time(|| found = names.iter().filter(|name| black_box(ask(black_box(name)))).count())).min();
    let share = found as f64 / names.len() as f64;
    assert!((share - f64::from(u8::from(expected))).abs() < 0.01, "{share} of the names were found");
    quickest.unwrap().as_nanos() as f64 / names.len() as f64
}

fn row(structure: &str, hit: f64, miss: f64, octets: f64) {
    println!("  {structure:<10} listed {hit:6.1}  not listed {miss:6.1}  octets {octets:5.1}");
}

/// Returns the processor's time, so that what else the machine does counts less.
fn time(work: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let start = now();
    work();
    now() - start
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Makes a name as lists have them: one to three labels of pronounceable rubbish and a top-level domain. `salt` keeps two
/// sets of names apart.
fn name(random: &mut SmallRng, salt: u8) -> Box<[u8]> {
    const TOP: &[&[u8]] = &[b"com", b"net", b"org", b"info", b"de", b"ru", b"top", b"xyz", b"online", b"co"];
    let mut wire = Vec::with_capacity(32);
    if random.random_ratio(1, 3) {
        label(random, 3..8, salt, &mut wire);
    }
    label(random, 8..20, salt, &mut wire);
    let top = TOP[random.random_range(0..TOP.len())];
    wire.push(top.len() as u8);
    wire.extend_from_slice(top);
    wire.push(0);
    wire.into()
}

fn label(random: &mut SmallRng, length: std::ops::Range<usize>, salt: u8, wire: &mut Vec<u8>) {
    let length = random.random_range(length);
    wire.push(length as u8);
    for place in 0..length {
        let letters: &[u8] = if place % 2 == usize::from(salt) { b"bcdfghklmnprstvwz" } else { b"aeiou0123" };
        wire.push(letters[random.random_range(0..letters.len())]);
    }
}
