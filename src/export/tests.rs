//! An export over the life of a journal: caught up, interrupted, overtaken by retention, and beside another journal.

use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use super::*;
use crate::ledger::fixtures::{AT, attempt, clock, snapshot};
use crate::ledger::{Ledger, Settings};

const PROMPT: Duration = Duration::from_secs(20);

/// A ledger in small segments, with what exports from it need.
struct Place {
    folder: tempfile::TempDir,
    settings: Settings,
    ledger: Arc<Ledger>,
    asked: Mutex<u32>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { segment: 3000, total: 60_000, ..Settings::new(folder.path().join("data")) };
        let ledger = Arc::new(Ledger::open(settings.clone(), clock()).unwrap());
        Self { folder, settings, ledger, asked: Mutex::new(0) }
    }

    /// Records so many look-ups, each a leaf.
    fn record(&self, lookups: u32) {
        let policy = snapshot(1);
        let recorder = self.ledger.recorder();
        for _ in 0..lookups {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            recorder.record(attempt(&policy, "192.0.2.7", &format!("n{asked}.upd.vendor.example"), AT));
            if asked.is_multiple_of(10) {
                assert!(self.ledger.flush(PROMPT));
            }
        }
        assert!(self.ledger.flush(PROMPT));
    }

    fn source(&self) -> Source {
        let durable = Arc::clone(&self.ledger);
        Source {
            journal: self.settings.journal(),
            keys: self.settings.keys.clone(),
            positions: self.folder.path().join("exports"),
            durable: Arc::new(move || durable.health().leaves),
            log: Arc::new(|| Some("log.example/1".to_owned())),
        }
    }

    fn flow(&self, to: To, begin: Begin) -> Flow {
        self.flow_of(to, begin, Clients::Encrypted).0
    }

    fn flow_of(&self, to: To, begin: Begin, clients: Clients) -> (Flow, Arc<Status>) {
        let (name, text) = ("siem".to_owned(), Text::Json);
        let receiver = Receiver { name, to, text, clients, begin, ca: None, authorization: None };
        let status = Arc::new(Status::new("siem", Metrics::new().export("siem")));
        (Flow::new(receiver, self.source(), Arc::clone(&status)), status)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("out.json")
    }

    /// Exports to the file until nothing is left.
    fn catch_up(&self, begin: Begin) {
        let mut flow = self.flow(To::File(self.file()), begin);
        while flow.round(true).is_zero() {}
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn each_leaf_is_exported_once_where_nothing_fails_also_over_restarts() {
    let place = Place::new();
    for lookups in [3, 0, 17] {
        place.record(lookups);
        place.catch_up(Begin::Oldest);
        let leaves = place.ledger.health().leaves;
        assert_eq!(numbers(&lines(&place.file())), (0..leaves).collect::<Vec<_>>());
    }
}

#[test]
fn a_key_that_is_damaged_holds_up_no_record_and_is_told() {
    let place = Place::new();
    place.record(5);
    let (mut flow, status) = place.flow_of(To::File(place.file()), Begin::Oldest, Clients::Plain);
    while flow.round(true).is_zero() {}
    let clear = lines(&place.file());
    assert!(clear.iter().any(|line| line["address"] == "192.0.2.7"), "{clear:?}");
    assert_eq!(status.report().unreadable, None);
    let keys = crate::ledger::KeyRing::reader(&place.settings.keys).ids().unwrap();
    let key = place.settings.keys.join(format!("{}.key", keys[0]));
    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, "damaged").unwrap();
    place.record(5);
    while flow.round(true).is_zero() {}
    let all = lines(&place.file());
    assert_eq!(numbers(&all), (0..place.ledger.health().leaves).collect::<Vec<_>>());
    let sealed: Vec<_> = all[clear.len()..].iter().filter(|line| line["kind"] == "attempt").collect();
    assert_eq!(sealed.len(), 5);
    assert!(sealed.iter().all(|line| line["address"] == Value::Null && line["client"].is_string()), "{sealed:?}");
    assert!(status.report().unreadable.is_some_and(|why| why.contains("is not a key")));
    std::fs::write(&key, whole).unwrap();
    place.record(1);
    while flow.round(true).is_zero() {}
    assert_eq!(status.report().unreadable, None);
}

#[test]
fn what_the_journal_removed_before_is_told_with_its_numbers() {
    let place = Place::new();
    place.record(5);
    place.catch_up(Begin::Oldest);
    let before = place.ledger.health().leaves;
    place.record(300);
    let oldest = crate::ledger::segments(&place.settings.journal()).unwrap()[0];
    assert!(oldest > before, "retention has removed nothing that was not exported: {oldest}");
    place.catch_up(Begin::Oldest);
    let lines = lines(&place.file());
    let later = &lines[usize::try_from(before).unwrap()..];
    let (first, rest) = later.split_first().unwrap();
    assert_eq!(
        [&first["kind"], &first["first_seq"], &first["last_seq"], &first["count"]],
        [&Value::from("missed"), &before.into(), &(oldest - 1).into(), &(oldest - before).into(),]
    );
    assert_eq!(numbers(rest), (oldest..place.ledger.health().leaves).collect::<Vec<_>>());
}

#[test]
fn what_was_not_taken_comes_again_and_a_failure_is_told_once() {
    let place = Place::new();
    place.record(5);
    // Nobody listens there.
    let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let mut flow = place.flow(To::parse("syslog-tcp", &socket.to_string()).unwrap(), Begin::Oldest);
    for _ in 0..3 {
        assert!(!flow.round(false).is_zero());
    }
    place.catch_up(Begin::Oldest);
    assert_eq!(numbers(&lines(&place.file())), (0..place.ledger.health().leaves).collect::<Vec<_>>());
}

#[test]
fn another_journal_in_the_same_folder_is_exported_from_its_beginning() {
    let mut place = Place::new();
    place.record(12);
    place.catch_up(Begin::Oldest);
    let before = lines(&place.file()).len();
    place.ledger.close();
    std::fs::remove_dir_all(&place.settings.folder).unwrap();
    place.ledger = Arc::new(Ledger::open(place.settings.clone(), clock()).unwrap());
    place.record(12);
    place.catch_up(Begin::Oldest);
    let leaves = place.ledger.health().leaves;
    assert_eq!(numbers(&lines(&place.file())[before..]), (0..leaves).collect::<Vec<_>>());
}

#[test]
fn an_export_that_begins_now_leaves_out_what_was_before() {
    let place = Place::new();
    place.record(5);
    place.catch_up(Begin::Now);
    let before = place.ledger.health().leaves;
    assert_eq!(lines(&place.file()), Vec::<Value>::new());
    place.record(3);
    place.catch_up(Begin::Now);
    assert_eq!(numbers(&lines(&place.file())), (before..place.ledger.health().leaves).collect::<Vec<_>>());
}

#[test]
fn an_export_that_begins_now_keeps_where_that_was_though_its_receiver_takes_nothing() {
    let place = Place::new();
    place.record(5);
    let leaves = place.ledger.health().leaves;
    let mut flow = place.flow(To::File(place.folder.path().join("missing/out.json")), Begin::Now);
    // The journal is further than what is known to be durable.
    flow.source.durable = Arc::new(move || leaves - 2);
    flow.round(false);
    place.catch_up(Begin::Now);
    assert_eq!(numbers(&lines(&place.file())), (leaves - 2..leaves).collect::<Vec<_>>());
}

/// Answers requests as long as any come: with 413 where there are more than `most` lines. Returns where, and those it took.
fn small_receiver(most: usize) -> (String, Arc<Mutex<String>>) {
    use std::io::{BufRead as _, Read as _, Write as _};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(String::new()));
    let of = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = std::io::BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).unwrap() > 2 {
                length = line.strip_prefix("Content-Length: ").map_or(length, |of| of.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let body = String::from_utf8(body).unwrap();
            let fits = body.lines().count() <= most;
            if fits {
                of.lock().unwrap().push_str(&body);
            }
            let status = if fits { "204 No Content" } else { "413 Content Too Large" };
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    (url, taken)
}

#[test]
fn a_receiver_that_wants_less_at_a_time_gets_smaller_requests() {
    let place = Place::new();
    place.record(30);
    let (url, taken) = small_receiver(7);
    let mut flow = place.flow(To::parse("http", &url).unwrap(), Begin::Oldest);
    while flow.round(true).is_zero() {}
    let taken: Vec<Value> = taken.lock().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(numbers(&taken), (0..place.ledger.health().leaves).collect::<Vec<_>>());
}

#[test]
fn a_period_is_written_without_a_daemon_and_its_end_can_be_gone_on_from() {
    let place = Place::new();
    place.record(30);
    let (origin, mut keys) = (Origin::here(None), crate::ledger::KeyRing::reader(&place.settings.keys));
    let mut write = |period, encoding| {
        let mut out = Vec::new();
        let wanted = (period, encoding, Clients::Plain);
        let done = once(&place.settings.journal(), &mut keys, &origin, wanted, &mut out).unwrap();
        (done, out)
    };
    let json = Encoding::Text(Text::Json);
    let (all, text) = write(Period::default(), json);
    assert!(all.events > 30 && String::from_utf8(text).unwrap().contains("\"address\":\"192.0.2.7\""));
    let (rest, _) = write(Period { after: Some(20), ..Period::default() }, json);
    assert_eq!((rest.events, rest.last), (all.events - 21, all.last));
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(write(Period { to: at("2024-09-29T00:00:00Z"), ..Period::default() }, json).0.events, 0);
    assert_eq!(write(Period { from: at("2024-09-30T00:00:00Z"), ..Period::default() }, json).0.events, 0);
    // Two frames a look-up, between those that begin and end.
    let (_, frames) = write(Period::default(), Encoding::Dnstap);
    let (mut at, mut count) = (0, 0);
    while at < frames.len() {
        let length = u32::from_be_bytes(frames[at..at + 4].try_into().unwrap()) as usize;
        let control = length == 0;
        let length =
            if control { 4 + u32::from_be_bytes(frames[at + 4..at + 8].try_into().unwrap()) as usize } else { length };
        count += usize::from(!control);
        at += 4 + length;
    }
    assert_eq!((at, count), (frames.len(), 60));
}
