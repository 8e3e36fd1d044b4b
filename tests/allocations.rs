//! What is answered from policy, a list or the cache takes no memory: counted by an allocator of its own, hence a program
//! of its own.

#![allow(clippy::unwrap_used, unsafe_code, reason = "a test; and an allocator that counts is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use interdict::answer::Style;
use interdict::cache::Cache;
use interdict::client::Clients;
use interdict::clock::{Clock, ManualClock, monotonic};
use interdict::feed::{self, Selection};
use interdict::inspect::Guards;
use interdict::ledger::{self, Ledger, Recorder};
use interdict::lists::index::Key;
use interdict::lists::{Bounds, Chain, Dates, Link, Source, check};
use interdict::message::{Class, Name, RecordType, Writer, flag};
use interdict::observe::Metrics;
use interdict::pipeline::{Lists, Moment, Pipeline, Recent, State, Step};
use interdict::policy::Operator;
use interdict::query::{Peer, Transport};
use interdict::resolve::{Asking, Lifetimes, Routes, Servers, View};
use interdict::zones::{Zones, ZonesSpec};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for.
struct Counting;

// SAFETY: all is left to the system's allocator; the count is a plain number of the thread's own, which needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn query(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    let name: Name = name.parse().unwrap();
    let mut writer = Writer::new(&mut wire, 7, flag::RECURSION_DESIRED);
    writer.question(name.as_wire(), RecordType::A, Class::IN);
    writer.opt(1232, 0, false, &[]);
    wire
}

/// An upstream that gives every name an address.
fn upstream() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let of_thread = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut wire = [0; 512];
        while let Ok((length, from)) = of_thread.recv_from(&mut wire) {
            let mut answer = wire[..length - 11].to_vec();
            answer[2] |= 0x80;
            (answer[7], answer[11]) = (1, 0);
            answer.extend_from_slice(b"\xC0\x0C\x00\x01\x00\x01\x00\x00\x01\x2C\x00\x04\xC0\x00\x02\x07");
            of_thread.send_to(&answer, from).unwrap();
        }
    });
    socket
}

/// A list of one name.
fn lists(folder: &Path) -> Lists {
    let path = folder.join("list");
    std::fs::write(&path, "listed.example\n").unwrap();
    let source = Source { name: "list".to_owned(), path, format: None, bounds: Bounds::default(), most: 1 << 20 };
    let (list, _) = check(&source, folder, || Key([7; 4])).unwrap();
    let link = Link { name: "list".to_owned(), list: Arc::new(list), dates: Dates::default(), action: None };
    Lists { chain: Chain::new(1, vec![link]), counters: Vec::new() }
}

/// The path of a query with the shipped policy and a list.
struct Stage {
    pipeline: Pipeline,
    recorder: Recorder,
    _ledger: Ledger,
    _folder: tempfile::TempDir,
    _upstream: UdpSocket,
}

impl Stage {
    fn set() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let upstream = upstream();
        let snapshot = Arc::new(feed::load(&Selection::default(), Operator::default(), 1).unwrap().snapshot);
        let zones = ZonesSpec { hosts: Vec::new(), zones: Vec::new(), special_use: true };
        let group = Servers::plain(&[upstream.local_addr().unwrap()], monotonic());
        let routes = Routes {
            zones: Zones::build(&zones).unwrap(),
            forward: Vec::new(),
            default: View { title: String::new(), group, generation: 0 },
            views: Vec::new(),
        };
        let lifetimes = Lifetimes { most: 604_800, most_negative: 3600, failure: 5 };
        let ledger = Ledger::open(ledger::Settings::new(folder.path()), Arc::clone(&clock)).unwrap();
        ledger.install(&snapshot);
        let recorder = ledger.recorder();
        let state = State {
            snapshot,
            shadow: None,
            clients: Arc::new(Clients::new(Vec::new(), false)),
            routes: Arc::new(routes),
            asking: Asking {
                timeout: Duration::from_secs(5),
                tries: 2,
                lifetimes,
                stale: Duration::from_secs(60),
                prefetch: true,
            },
            style: Style::default(),
            guards: Guards::default(),
            lists: Arc::new(lists(folder.path())),
            probes: Arc::default(),
        };
        let pipeline = Pipeline::new(state, Cache::new(1 << 20), clock, Arc::new(Metrics::new()));
        Self { pipeline, recorder, _ledger: ledger, _folder: folder, _upstream: upstream }
    }

    fn begin(&self, packet: &[u8], moment: &Moment, out: &mut Vec<u8>) -> Step {
        let peer = Peer::direct("192.0.2.7:40000".parse().unwrap(), None);
        self.pipeline.begin(packet, (peer, Transport::Udp), moment, &self.recorder, out)
    }
}

#[test]
fn an_answer_from_policy_a_list_or_the_cache_takes_no_memory() {
    let stage = Stage::set();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut out = Vec::with_capacity(4096);
    let cached = query("cached.example");
    let Step::Forward(first) = stage.begin(&cached, &stage.pipeline.moment(), &mut out) else { panic!("it is kept") };
    runtime.block_on(stage.pipeline.complete(&first, &stage.recorder, &mut out));
    assert_eq!(stage.pipeline.cache().len(), 1);
    let taken = COUNT.with(Cell::get);
    drop(vec![0_u8; 100]);
    assert_eq!(COUNT.with(Cell::get), taken + 1, "this test counts");
    let mut recent = Recent::of_one(1);
    // What is counted for one client takes a place when it is noted.
    for (name, code, noted) in [("cached.example", 0, 0), ("dnl-01.geo.kaspersky.com", 3, 2), ("listed.example", 3, 0)]
    {
        let packet = query(name);
        let moment = stage.pipeline.moment();
        let before = COUNT.with(Cell::get);
        for _ in 0..100 {
            assert!(matches!(stage.begin(&packet, &moment, &mut out), Step::Answer | Step::Repeatable(_)), "{name}");
        }
        assert_eq!(COUNT.with(Cell::get), before, "{name} takes memory");
        assert_eq!(out[3] & 15, code, "{name}");

        // Nor does an answer that is given again, which is the same.
        let answer = out.clone();
        let peer = Peer::direct("192.0.2.7:40000".parse().unwrap(), None);
        recent.turn(&stage.pipeline, &moment);
        let before = COUNT.with(Cell::get);
        if let Step::Repeatable(repeat) = stage.begin(&packet, &moment, &mut out) {
            recent.note(&packet, &out, (repeat, &peer), &moment);
        }
        for _ in 0..20 {
            let given = (&mut recent, &stage.recorder);
            assert!(stage.pipeline.repeat(&packet, &peer, &moment, given, &mut out), "{name}");
        }
        assert_eq!(COUNT.with(Cell::get), before + noted, "{name} takes memory where it is repeated");
        assert_eq!(out, answer, "{name}");
    }

    // What was kept under another policy is decided again for each who asks: it may be otherwise for the next.
    let snapshot = Arc::new(feed::load(&Selection::default(), Operator::default(), 2).unwrap().snapshot);
    let state = State::clone(&stage.pipeline.moment().state);
    stage.pipeline.install(State { snapshot, ..state });
    let step = stage.begin(&cached, &stage.pipeline.moment(), &mut out);
    assert!(matches!(step, Step::Answer), "{step:?}");
}
