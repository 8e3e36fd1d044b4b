//! The forwarder against upstreams that answer by hand, over real sockets of the loopback device.

use std::collections::BTreeSet;

use std::net::SocketAddr;

use super::*;
use crate::clock::{SystemClock, monotonic};
use crate::message::{Class, HEADER, QueryView, RecordType, ResponseCode, Writer, flag};
use crate::query::{Peer, Transport};
use crate::resolve::{Condition, Lifetimes, Servers, Strategy};

const PATIENCE: Duration = Duration::from_secs(10);

struct Stage {
    resolver: Resolver,
    forwarder: Forwarder<u16>,
    upstreams: Vec<UdpSocket>,
    group: Group,
    asking: Asking,
}

impl Stage {
    fn new(upstreams: usize, timeout: Duration) -> Self {
        let open = |_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let upstreams: Vec<UdpSocket> = (0..upstreams).map(open).collect();
        let addresses: Vec<_> = upstreams.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let group = Servers::plain(&addresses, monotonic());
        let resolver = Resolver::new(Arc::new(SystemClock), Arc::default());
        let forwarder = Forwarder::new(&resolver).unwrap();
        let lifetimes = Lifetimes { most: 3600, most_negative: 60, failure: 5 };
        Self {
            resolver,
            forwarder,
            upstreams,
            group,
            asking: Asking { timeout, tries: 3, lifetimes, stale: Duration::ZERO, prefetch: false },
        }
    }

    fn racing(upstreams: usize, timeout: Duration) -> Self {
        let stage = Self::new(upstreams, timeout);
        let group = Group::new(stage.group.servers().to_vec(), Strategy::Race);
        let stage = Self { group, ..stage };
        stage.measured();
        stage
    }

    /// Has the servers asked in their order.
    fn measured(&self) {
        let times = 1..;
        self.group.servers().iter().zip(times).for_each(|(server, time)| server.measured(time, monotonic()));
    }

    /// Goes on until nothing is under way.
    fn until_idle(&mut self) {
        let begun = monotonic();
        while !self.forwarder.is_idle() {
            assert!(monotonic().duration_since(begun) < PATIENCE, "{:?}", self.forwarder);
            self.forwarder.wait(Duration::from_millis(20), monotonic()).unwrap();
            self.forwarder.advance(monotonic());
        }
    }

    fn tallies(&self) -> Vec<[u64; 4]> {
        self.group.servers().iter().map(|server| server.tally().map(|(_, count)| count)).collect()
    }

    /// Asks for `name`; `number` waits for the answer.
    fn ask(&mut self, name: &str, number: u16) -> Result<(), u16> {
        self.forwarder.ask(&query(name), (&self.group, 1, &self.asking), number, monotonic())
    }

    /// Goes on until something came of a question.
    fn done(&mut self) -> Vec<Done<u16>> {
        let begun = monotonic();
        while monotonic().duration_since(begun) < PATIENCE {
            self.forwarder.advance(monotonic());
            let done: Vec<_> = self.forwarder.done().collect();
            if !done.is_empty() {
                return done;
            }
            self.forwarder.wait(Duration::from_millis(20), monotonic()).unwrap();
        }
        panic!("nothing came of any question");
    }

    fn answered(&mut self) -> Answered<u16> {
        match self.done().pop() {
            Some(Done::Answered(answered)) => answered,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the next query at an upstream, with who sent it.
    fn taken(&mut self, upstream: usize) -> (Vec<u8>, SocketAddr) {
        self.forwarder.flush();
        let mut wire = [0; 512];
        let (length, from) = self.upstreams[upstream].recv_from(&mut wire).unwrap();
        (wire[..length].to_vec(), from)
    }

    fn answer(&self, upstream: usize, (query, from): &(Vec<u8>, SocketAddr), code: u8) {
        self.upstreams[upstream].send_to(&response(query, code), from).unwrap();
    }
}

fn query(name: &str) -> Query {
    let mut wire = Vec::new();
    let name: crate::message::Name = name.parse().unwrap();
    Writer::new(&mut wire, 7, 0).question(name.as_wire(), RecordType::A, Class::IN);
    let QueryView { name, capitals, .. } = QueryView::read(&wire).unwrap();
    Query {
        question: crate::query::Question { name, record_type: RecordType::A, class: Class::IN },
        capitals,
        peer: Peer::direct("127.0.0.1:9".parse().unwrap(), None),
        transport: Transport::Udp,
        id: 7,
        recursion_desired: true,
        authentic_data: false,
        checking_disabled: false,
        edns: None,
    }
}

/// The query as a response without records.
fn response(query: &[u8], code: u8) -> Vec<u8> {
    let mut response = query[..query.len() - 11].to_vec();
    response[2] |= (flag::RESPONSE >> 8) as u8;
    response[3] = code;
    response[11] = 0;
    response
}

fn is_found(answered: &Answered<u16>) -> bool {
    matches!(*answered.resolved, Resolved::Found { .. })
}

#[test]
fn one_answer_is_for_all_who_wait_and_nobody_asks_twice() {
    let mut stage = Stage::new(1, PATIENCE);
    for number in 0..3 {
        stage.ask("a.example", number).unwrap();
    }
    assert_eq!(stage.resolver.under_way.len(), 1);
    // Another worker leaves it to a task to wait.
    let mut other = Forwarder::new(&stage.resolver).unwrap();
    assert_eq!(other.ask(&query("a.example"), (&stage.group, 1, &stage.asking), 9, monotonic()), Err(9));
    let asked = stage.taken(0);
    stage.answer(0, &asked, 3);
    let answered = stage.answered();
    assert!(is_found(&answered));
    assert_eq!(answered.waiting().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(stage.forwarder.is_idle() && stage.resolver.under_way.len() == 0);
}

/// RFC 5452, sections 4 and 9.
#[test]
fn a_forged_answer_is_as_if_it_had_never_come() {
    let mut stage = Stage::new(1, PATIENCE);
    stage.ask("a.example", 1).unwrap();
    let asked = stage.taken(0);
    let mut other_id = response(&asked.0, 0);
    other_id[0] ^= 0x80;
    let mut other_name = response(&asked.0, 0);
    other_name[HEADER + 1] = b'b';
    for forged in [other_id, other_name, vec![0; 5], Vec::new()] {
        stage.upstreams[0].send_to(&forged, asked.1).unwrap();
    }
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&response(&asked.0, 0), asked.1).unwrap();
    // What came before it was taken once this is taken.
    stage.answer(0, &asked, 3);
    let answered = stage.answered();
    let Resolved::Found { body, .. } = &*answered.resolved else { panic!("{answered:?}") };
    assert_eq!(ResponseCode(body.flags & flag::RCODE), ResponseCode::NX_DOMAIN);
}

#[test]
fn ports_ids_and_spellings_differ() {
    let mut stage = Stage::new(1, PATIENCE);
    let (mut ports, mut ids, mut spellings) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..320 {
        stage.ask(&format!("n{number}.a-rather-long-name.example"), number).unwrap();
        let asked = stage.taken(0);
        ports.insert(asked.1.port());
        ids.insert(asked.0[..2].to_vec());
        spellings.insert(asked.0[17..30].to_vec());
        stage.answer(0, &asked, 0);
        assert!(is_found(&stage.answered()));
    }
    assert!(ports.len() > 300, "{} ports for 320 queries", ports.len());
    assert!(ids.len() > 300 && spellings.len() > 250, "{} ids, {} spellings", ids.len(), spellings.len());
    assert_eq!(stage.forwarder.ports.len(), 0, "ports are given back");
}

#[test]
fn the_next_upstream_is_asked_where_one_is_silent_refuses_or_is_not_there() {
    let mut stage = Stage::new(3, Duration::from_millis(100));
    // Nobody is at the second: the system says so.
    let gone = stage.upstreams.remove(1);
    drop(gone);
    stage.ask("a.example", 1).unwrap();
    let silent = stage.taken(0);
    let begun = monotonic();
    stage.forwarder.advance(begun + Duration::from_millis(100));
    let mut wire = [0; 512];
    while stage.upstreams[1].set_nonblocking(true).is_ok() {
        if let Ok((length, from)) = stage.upstreams[1].recv_from(&mut wire) {
            stage.answer(1, &(wire[..length].to_vec(), from), 3);
            break;
        }
        assert!(monotonic().duration_since(begun) < PATIENCE);
        stage.forwarder.wait(Duration::from_millis(5), monotonic()).unwrap();
        stage.forwarder.advance(monotonic());
    }
    assert!(is_found(&stage.answered()));
    // An answer to a try that is over belongs to nothing any more.
    stage.answer(0, &silent, 0);
    assert!(stage.forwarder.is_idle());
}

#[test]
fn an_answer_to_a_try_before_is_taken_in_its_own_spelling_alone() {
    let mut stage = Stage::new(1, PATIENCE);
    stage.measured();
    stage.ask("a.example", 1).unwrap();
    let mut tries = vec![stage.taken(0)];
    for number in 1..4 {
        let begun = monotonic();
        while stage.forwarder.tries == number {
            assert!(monotonic().duration_since(begun) < PATIENCE);
            stage.forwarder.wait(Duration::from_millis(5), monotonic()).unwrap();
            stage.forwarder.advance(monotonic());
        }
        tries.push(stage.taken(0));
    }
    assert_eq!(stage.forwarder.ports.len(), 3, "the first, the one before the present, and that");
    let (first, from) = &tries[0];
    let mut other = response(first, 0);
    other[HEADER + 1] ^= 0x20;
    let mut cut = response(first, 0);
    cut[2] |= (flag::TRUNCATED >> 8) as u8;
    let [mut of_another, refused] = [response(first, 0), response(first, 5)];
    of_another[..2].copy_from_slice(&tries[3].0[..2]);
    for wire in [other, cut, of_another, refused, response(&tries[1].0, 0)] {
        stage.upstreams[0].send_to(&wire, from).unwrap();
    }
    stage.forwarder.wait(Duration::from_millis(5), monotonic()).unwrap();
    stage.forwarder.advance(monotonic());
    assert_eq!(stage.forwarder.done().count(), 0);
    stage.answer(0, &tries[0], 0);
    assert!(is_found(&stage.answered()));
    assert!(stage.forwarder.is_idle() && stage.resolver.under_way.len() == 0);
    assert_eq!(stage.forwarder.ports.len(), 0);
}

#[test]
fn where_every_try_fails_it_is_said_and_nothing_is_left() {
    let mut stage = Stage::new(1, PATIENCE);
    stage.ask("a.example", 1).unwrap();
    for _ in 0..3 {
        let asked = stage.taken(0);
        stage.answer(0, &asked, 5);
        stage.forwarder.wait(PATIENCE, monotonic()).unwrap();
        stage.forwarder.advance(monotonic());
    }
    let answered = stage.answered();
    assert!(matches!(&*answered.resolved, Resolved::Failed(failed) if failed.failure == Failure::Refused));
    assert!(stage.forwarder.is_idle() && stage.resolver.under_way.len() == 0);
    assert_eq!(stage.forwarder.ports.len(), 0);
}

#[test]
fn a_truncated_answer_is_handed_to_a_task_which_others_then_wait_for() {
    let mut stage = Stage::new(1, PATIENCE);
    stage.ask("a.example", 1).unwrap();
    let asked = stage.taken(0);
    let mut cut = response(&asked.0, 0);
    cut[2] |= (flag::TRUNCATED >> 8) as u8;
    stage.upstreams[0].send_to(&cut, asked.1).unwrap();
    let done = stage.done();
    assert!(matches!(done.as_slice(), [Done::Streams(_)]), "{done:?}");
    assert!(stage.forwarder.is_idle());
    assert_eq!(stage.ask("a.example", 2), Err(2), "the task asks it");
    // Should the task be dropped, the next in line asks.
    drop(done);
    assert_eq!(stage.ask("a.example", 3), Ok(()));
}

/// Two servers at once, the second of which answers first.
#[test]
fn the_first_good_answer_of_two_counts_and_the_other_server_is_not_blamed() {
    let mut stage = Stage::racing(2, PATIENCE);
    stage.ask("a.example", 1).unwrap();
    stage.ask("a.example", 2).unwrap();
    let (late, first) = (stage.taken(0), stage.taken(1));
    stage.answer(1, &first, 3);
    let answered = stage.answered();
    assert!(is_found(&answered));
    assert_eq!(answered.waiting().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(stage.resolver.under_way.len(), 0);
    // The same question may be asked again while the other try goes on.
    stage.ask("a.example", 3).unwrap();
    let again = (stage.taken(0), stage.taken(1));
    stage.answer(0, &late, 3);
    stage.answer(0, &again.0, 3);
    assert!(is_found(&stage.answered()));
    stage.answer(1, &again.1, 3);
    stage.until_idle();
    assert_eq!(stage.tallies(), [[2, 0, 0, 0], [2, 0, 0, 0]]);
    assert_eq!(stage.forwarder.ports.len(), 0);
}

#[test]
fn where_one_of_two_refuses_the_other_counts_and_where_both_do_it_is_said_once() {
    let mut stage = Stage::racing(2, PATIENCE);
    stage.ask("a.example", 1).unwrap();
    let asked = [stage.taken(0), stage.taken(1)];
    stage.answer(1, &asked[1], 2);
    stage.answer(0, &asked[0], 3);
    assert!(is_found(&stage.answered()));
    stage.measured();
    stage.ask("b.example", 1).unwrap();
    let asked = [stage.taken(0), stage.taken(1)];
    stage.answer(0, &asked[0], 2);
    // The first goes on to the next in turn, which is the other again.
    stage.forwarder.wait(PATIENCE, monotonic()).unwrap();
    stage.forwarder.advance(monotonic());
    let next = stage.taken(1);
    stage.answer(1, &asked[1], 2);
    stage.answer(1, &next, 5);
    assert!(!is_found(&stage.answered()));
    assert!(stage.forwarder.is_idle() && stage.resolver.under_way.len() == 0);
}

#[test]
fn a_server_that_only_ever_loses_is_found_to_be_silent() {
    let mut stage = Stage::racing(2, Duration::from_millis(100));
    // Each try is given half of the time that a server may be silent.
    for (name, condition) in [("a.example", Condition::Well), ("b.example", Condition::Silent)] {
        stage.ask(name, 1).unwrap();
        stage.taken(0);
        let asked = stage.taken(1);
        stage.answer(1, &asked, 3);
        assert!(is_found(&stage.answered()));
        stage.until_idle();
        assert_eq!(stage.group.servers()[0].condition(), condition);
    }
    assert_eq!(stage.tallies(), [[0, 0, 2, 0], [2, 0, 0, 0]]);
    stage.ask("c.example", 2).unwrap();
    let asked = stage.taken(1);
    stage.answer(1, &asked, 3);
    assert!(is_found(&stage.answered()));
}
