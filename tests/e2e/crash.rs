//! A power cut in the middle of load: what was promised is there, nothing is torn, nothing counts twice.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Setup, program};
use crate::place::{self, rounds};
use crate::scripted::Scripted;
use crate::wire;

/// The records are on disk 200 ms after the answer at the latest; the rest is for a busy machine and disk.
const COMMITTED: Duration = Duration::from_millis(200 + 1300);

/// What became of the look-ups of one name.
#[derive(Debug, Default)]
pub struct Asked {
    pub sent: u64,
    pub answered: Vec<Instant>,
}

pub type Sent = BTreeMap<String, Asked>;

/// Asks for sunk names, a new one every two milliseconds, until told to end. Of more than 2,000 names a minute from one
/// client the records would be put together, as they should in a flood, and could not be told apart.
pub fn load(server: SocketAddr, (label, client): (&str, Ipv4Addr), patience: Duration, ended: &AtomicBool) -> Sent {
    let socket = UdpSocket::bind((client, 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    let start = Instant::now();
    let mut sent = Sent::new();
    let mut buffer = [0; 1500];
    while !ended.load(Ordering::SeqCst) {
        let name = format!("{label}m{}.upd.kaspersky.com", start.elapsed().as_millis() / 2);
        let query = wire::query(&name, wire::A);
        let asked = sent.entry(name).or_default();
        asked.sent += 1;
        if socket.send(&query).is_err() {
            continue;
        }
        let answered = socket.recv(&mut buffer).is_ok_and(|length| length > 12 && buffer[..2] == query[..2]);
        if answered {
            assert_eq!(wire::rcode(&buffer), wire::NXDOMAIN);
            asked.answered.push(Instant::now());
        }
    }
    sent
}

/// How long an answer may take that waits for no disk, on a busy machine.
pub const SOON: Duration = Duration::from_millis(20);

/// As [`load`], by clients that wait for their answers, beside each other.
pub fn patient_load(server: SocketAddr, round: usize, ended: &AtomicBool) -> Sent {
    std::thread::scope(|scope| {
        let client = |number: u8| {
            let (label, address) = (format!("r{round}c{number}"), Ipv4Addr::new(127, 0, 0, 10 + number));
            move || load(server, (&label, address), Duration::from_secs(2), ended)
        };
        let clients: Vec<_> = (0..8_u8).map(|number| scope.spawn(client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// The attempts of all names below `upd.kaspersky.com`, summed up by name.
pub fn recorded(daemon: &Daemon) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for record in daemon.json(&["attempts", "--json", "--limit", "10000000"]) {
        let name = record["name"].as_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let count = record["count"].as_u64().unwrap_or_else(|| panic!("no count in {record}"));
        *sums.entry(name).or_default() += count;
    }
    sums
}

#[test]
fn what_was_answered_before_the_commit_window_survives_a_kill() {
    // So that the cut falls into the writing of the log as well.
    let mut setup = Setup::new().set("ledger.checkpoint_s", 1);
    let mut all = Sent::new();
    let mut promised = BTreeMap::new();
    for round in 0..rounds(5, 200) {
        let daemon = setup.start();
        // Rounds of different length, so that the cut falls at different places of a group.
        let length = Duration::from_millis(2200 + 37 * (round as u64 % 17));
        let ended = Arc::new(AtomicBool::new(false));
        let generator = {
            let (server, ended) = (daemon.dns, ended.clone());
            std::thread::spawn(move || load(server, (&format!("r{round}"), Ipv4Addr::LOCALHOST), SOON, &ended))
        };
        let start = Instant::now();
        place::until(length + place::PATIENCE, "the load to run", || (start.elapsed() >= length).then_some(()));
        let cut = Instant::now();
        setup = daemon.kill();
        assert_intact(&setup.data());
        ended.store(true, Ordering::SeqCst);
        let sent = generator.join().unwrap();
        for (name, asked) in &sent {
            let old = asked.answered.iter().filter(|at| **at + COMMITTED < cut).count();
            promised.insert(name.clone(), old as u64);
        }
        all.extend(sent);
    }
    let number: u64 = promised.values().sum();
    assert!(number > 1000, "only {number} look-ups were answered in time: no load");
    let start = Instant::now();
    let daemon = setup.start();
    assert!(start.elapsed() < place::patient(Duration::from_secs(5)), "it took {:?} to start again", start.elapsed());
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &wire::query("upd.kaspersky.com", wire::A))), wire::NXDOMAIN);
    assert_complete(&daemon, &all, &promised);
    // The index is nothing of its own: made again from the journal, it says the same.
    let before = recorded(&daemon);
    let rebuilt = daemon.command(&["index", "rebuild"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let after = recorded(&daemon);
    for name in all.keys() {
        assert_eq!(before.get(name), after.get(name), "{name} after the index was made again");
    }
    let data = daemon.data();
    let _setup = daemon.stop();
    assert_intact(&data);
    assert!(data.join("ledger/1").exists() && !data.join("ledger/2").exists(), "one log was gone on with");
    assert_eq!(journal_lines(&data), log_entries(&data.join("ledger/1")), "the journal and the log agree");
}

/// In strict mode nothing is given time: what a client has heard is on disk, up to the very kill.
#[test]
fn in_strict_mode_nothing_that_was_answered_is_lost_by_a_kill() {
    let mut setup = Setup::new().set("ledger.durability", "strict");
    let (mut all, mut promised) = (Sent::new(), BTreeMap::new());
    for round in 0..rounds(2, 200) {
        let daemon = setup.start();
        let ended = Arc::new(AtomicBool::new(false));
        let generator = {
            let (server, ended) = (daemon.dns, ended.clone());
            std::thread::spawn(move || patient_load(server, round, &ended))
        };
        let (start, length) = (Instant::now(), Duration::from_millis(500 + 37 * (round as u64 % 17)));
        place::until(length + place::PATIENCE, "the load to run", || (start.elapsed() >= length).then_some(()));
        setup = daemon.kill();
        ended.store(true, Ordering::SeqCst);
        let sent = generator.join().unwrap();
        // Repeats do not wait, once the first is on disk.
        promised.extend(sent.iter().map(|(name, asked)| (name.clone(), asked.answered.len().min(1) as u64)));
        all.extend(sent);
    }
    let number: u64 = promised.values().sum();
    assert!(number > 50, "only {number} look-ups were answered: no load");
    let daemon = setup.start();
    assert_complete(&daemon, &all, &promised);
}

/// Returns an alias of a sunk name for an answer.
fn alias(query: &[u8]) -> Vec<u8> {
    let mut answer = wire::reply(query, wire::NOERROR, &[]);
    let target = wire::name_wire("upd.kaspersky.com");
    answer.extend([0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, u8::try_from(target.len()).unwrap()]);
    answer.extend(target);
    answer[7] = 1;
    answer
}

/// One look-up each, and the kill right behind its answer.
#[test]
fn in_strict_mode_each_way_of_an_answer_waits_for_its_record() {
    let upstream = Scripted::start(|query| vec![alias(query)]);
    let mut setup = Setup::new().set("ledger.durability", "strict").upstreams(&[upstream.address]);
    let names = ["udp.upd.kaspersky.com", "tcp.upd.kaspersky.com", "udp.alias.example", "tcp.alias.example"];
    for name in names {
        let daemon = setup.start();
        let query = wire::query(name, wire::A);
        let answer = match name.starts_with("tcp") {
            true => wire::Stream::open(daemon.dns).ask(&query).unwrap(),
            false => wire::udp(daemon.dns, &query),
        };
        setup = daemon.kill();
        assert_eq!(wire::rcode(&answer), wire::NXDOMAIN, "{name}");
    }
    let daemon = setup.start();
    let sums = recorded(&daemon);
    assert!(names.iter().all(|name| sums.contains_key(*name)), "{sums:?}");
}

/// Whatever was signed is there as it was signed.
pub fn assert_intact(data: &std::path::Path) {
    let output = Command::new(program()).args(["ledger", "verify"]).arg(data).output().unwrap();
    let files = Command::new("find").arg(data).args(["-maxdepth", "3", "-size", "-64k", "-ls"]).output().unwrap();
    let [told, files] = [&output.stdout, &files.stdout].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{told}\n{files}");
}

fn journal_lines(data: &std::path::Path) -> Vec<Vec<u8>> {
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let text: Vec<u8> = files.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    text.split(|octet| *octet == b'\n').filter(|line| line.starts_with(b"{\"")).map(<[u8]>::to_vec).collect()
}

fn log_entries(log: &std::path::Path) -> Vec<Vec<u8>> {
    use interdict::ledger::tree;
    let checkpoint = std::fs::read_to_string(log.join("checkpoint")).unwrap();
    let size: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    let mut entries = Vec::new();
    while (entries.len() as u64) < size {
        let first = entries.len() as u64;
        let path = tree::bundle_path(first / tree::WIDTH, tree::WIDTH.min(size - first));
        let bundle = std::fs::read(log.join(path)).unwrap();
        entries.extend(tree::entries(&bundle).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    entries
}

pub fn assert_complete(daemon: &Daemon, all: &Sent, promised: &BTreeMap<String, u64>) {
    let missing = |sums: &BTreeMap<String, u64>| {
        let missing = promised.iter().filter(|(name, old)| sums.get(*name).copied().unwrap_or_default() < **old);
        missing.map(|(name, old)| format!("{name}: {old}")).collect::<Vec<_>>()
    };
    // The index follows the journal; what is still missing when it has had its time is lost.
    let start = Instant::now();
    let mut sums = recorded(daemon);
    while !missing(&sums).is_empty() && start.elapsed() < place::PATIENCE {
        sums = recorded(daemon);
    }
    assert!(missing(&sums).is_empty(), "these were promised and are lost: {:?}", missing(&sums));
    for (name, count) in sums.iter().filter(|(name, _)| name.starts_with('r')) {
        let asked = all.get(name).unwrap_or_else(|| panic!("{name} was never asked"));
        assert!(*count <= asked.sent, "{name} was asked {} times and counts {count}", asked.sent);
    }
}

#[test]
fn a_torn_last_line_is_told_and_costs_no_record_before_it() {
    let daemon = Setup::new().start();
    wire::udp(daemon.dns, &wire::query("whole.upd.kaspersky.com", wire::A));
    let setup = daemon.stop();
    let journal = newest_journal(&setup.data());
    let mut text = std::fs::read(&journal).unwrap();
    assert!(text.ends_with(b"\n"), "the journal ends in the middle of a line");
    let line = text.split_inclusive(|octet| *octet == b'\n').next_back().unwrap().to_vec();
    text.extend(&line[..line.len() / 2]);
    std::fs::write(&journal, text).unwrap();
    let daemon = setup.start();
    wire::udp(daemon.dns, &wire::query("after.upd.kaspersky.com", wire::A));
    place::until(place::PATIENCE, "the records around the tear", || {
        let sums = recorded(&daemon);
        (sums.get("whole.upd.kaspersky.com") == Some(&1) && sums.get("after.upd.kaspersky.com") == Some(&1))
            .then_some(())
    });
    let told = daemon.told().to_lowercase();
    assert!(["torn", "damaged", "incomplete", "truncat", "cut"].iter().any(|word| told.contains(word)), "{told}");
}

/// The file in the data folder, outside the index, that was written to last and holds lines of JSON.
fn newest_journal(data: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![data.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if std::fs::read(entry.path()).unwrap().starts_with(b"{") {
                files.push((entry.metadata().unwrap().modified().unwrap(), entry.path()));
            }
        }
    }
    files.into_iter().max().expect("a journal in the data folder").1
}
