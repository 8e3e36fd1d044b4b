//! What holds between the path and its neighbours.

use std::sync::Arc;
use std::time::Duration;

use super::{Lists, Pipeline, Recent, State, Step};
use crate::answer::Style;
use crate::cache::Cache;
use crate::client::{Clients, Identification, Source};
use crate::clock::{Clock, ManualClock, monotonic};
use crate::feed::{self, Selection};
use crate::inspect::Guards;
use crate::ledger::{self, Durability, Fail, Ledger};
use crate::message::{Class, Name, RecordType, ResponseCode, Writer, flag};
use crate::observe::{IDENTIFICATIONS, Metrics, TRANSPORTS, VERDICTS};
use crate::policy::{Operator, Verdict};
use crate::query::{Peer, Transport};
use crate::resolve::{Asking, Lifetimes, Routes, Servers, View};
use crate::zones::{Zones, ZonesSpec};

/// Counters go by place, since looking for a word would take longer than counting it.
#[test]
fn each_counter_has_the_word_of_what_is_counted() {
    assert_eq!([Transport::Udp, Transport::Tcp].map(|of| TRANSPORTS[of as usize]), ["udp", "tcp"]);
    for verdict in Verdict::ALL {
        assert_eq!(VERDICTS[verdict as usize], verdict.as_str());
    }
    let of_sources = Source::ALL.into_iter().flat_map(|of| [Identification::Device(of), Identification::Name(of)]);
    let all = of_sources.chain([Identification::Nothing, Identification::Network]);
    let places: Vec<_> = all.map(|of| (of.place(), of.as_str())).collect();
    for (place, word) in &places {
        assert_eq!(IDENTIFICATIONS.get(*place).unwrap_or(word), word);
    }
    assert!((0..IDENTIFICATIONS.len()).all(|of| places.iter().filter(|(place, _)| *place == of).count() == 1));
}

/// A path without lists or an upstream that answers, by the shipped policy.
fn path(clock: &Arc<dyn Clock>, ledger: &Ledger) -> Pipeline {
    let snapshot = Arc::new(feed::load(&Selection::default(), Operator::default(), 1).unwrap().snapshot);
    ledger.install(&snapshot);
    let zones = Zones::build(&ZonesSpec { hosts: Vec::new(), zones: Vec::new(), special_use: true }).unwrap();
    let group = Servers::plain(&["127.0.0.1:9".parse().unwrap()], monotonic());
    let default = View { title: String::new(), group, generation: 0 };
    let lifetimes = Lifetimes { most: 604_800, most_negative: 3600, failure: 5 };
    let (timeout, stale) = (Duration::from_secs(5), Duration::from_secs(60));
    let state = State {
        snapshot,
        shadow: None,
        clients: Arc::new(Clients::new(Vec::new(), false)),
        routes: Arc::new(Routes { zones, forward: Vec::new(), default, views: Vec::new() }),
        asking: Asking { timeout, tries: 2, lifetimes, stale, prefetch: true },
        style: Style::default(),
        guards: Guards::default(),
        lists: Arc::new(Lists::default()),
        probes: Arc::default(),
    };
    Pipeline::new(state, Cache::new(1 << 20), Arc::clone(clock), Arc::new(Metrics::new()))
}

fn query(name: &str) -> Vec<u8> {
    let (mut wire, name) = (Vec::new(), name.parse::<Name>().unwrap());
    Writer::new(&mut wire, 7, flag::RECURSION_DESIRED).question(name.as_wire(), RecordType::A, Class::IN);
    wire
}

/// Where too many answers wait for the disk, a sunk name is SERVFAIL for the moment, and NXDOMAIN once there is room.
#[test]
fn what_was_said_in_place_of_an_answer_is_not_said_again() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    for (fail, meanwhile) in [(Fail::Servfail, ResponseCode::SERV_FAIL), (Fail::Answer, ResponseCode::NX_DOMAIN)] {
        let folder = folder.path().join(format!("{fail:?}"));
        let settings = ledger::Settings { durability: Durability::Strict, fail, ..ledger::Settings::new(folder) };
        let ledger = Ledger::open(settings, Arc::clone(&clock)).unwrap();
        let (pipeline, recorder) = (path(&clock, &ledger), ledger.recorder());
        let peer = Peer::direct("192.0.2.7:40000".parse().unwrap(), None);
        let (mut recent, mut out) = (Recent::of_one(1), Vec::new());
        let mut ask = |name: &str| {
            let (packet, moment) = (query(name), pipeline.moment());
            recent.turn(&pipeline, &moment);
            if pipeline.repeat(&packet, &peer, &moment, (&mut recent, &recorder), &mut out) {
                return (Step::Answer, out[3] & 15);
            }
            let step = pipeline.begin(&packet, (peer, Transport::Udp), &moment, &recorder, &mut out);
            if let Step::Repeatable(repeat) = step {
                recent.note(&packet, &out, (repeat, &peer), &moment);
            }
            (step, out[3] & 15)
        };
        // Nobody waits for these, so that their places stay taken.
        let mut waiting = Vec::new();
        let code = loop {
            let name = format!("n{}.upd.kaspersky.com", waiting.len());
            match ask(&name) {
                (Step::Commit(query, ticket), _) => waiting.push((query, ticket)),
                (_, code) => break code,
            }
        };
        assert_eq!(u16::from(code), meanwhile.0, "{fail:?}");
        let last = format!("n{}.upd.kaspersky.com", waiting.len());
        drop(waiting);
        let (step, code) = ask(&last);
        assert!(matches!(step, Step::Commit(..)), "{fail:?}: {step:?}");
        assert_eq!(u16::from(code), ResponseCode::NX_DOMAIN.0, "{fail:?}");
    }
}
