//! Asks upstreams over UDP in the event loop of one worker, without a task and without another thread.
//!
//! Drives the same exchanges as the tasks do. What needs a connection is handed back, to be driven by a task; what somebody
//! else asks already is left to a task that waits for it.

mod late;
mod ports;
mod race;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::drive::{self, dice};
use super::exchange::{Action, Exchange, Failed, Failure, Verdict};
use super::under_way::{Berth, Lead, Taken, UnderWay};
use super::upstream::{Group, Picks, Tried};
use super::{Asking, Resolved, Resolver, resolved};
use crate::cache::Key;
use crate::datagram::{self, BATCH, Incoming, Letter, Wait};
use crate::message::u16_at;
use crate::observe::{Dropped, Metrics, UpstreamEvent};
use crate::query::Query;
use late::Late;
use ports::{Flight, Ports};
use race::Race;

/// Questions that one worker asks. `W` is what waits for an answer.
pub struct Forwarder<W> {
    /// Another number for each forwarder of the process.
    worker: u64,
    under_way: Arc<UnderWay>,
    metrics: Arc<Metrics>,
    questions: Vec<Option<Question<W>>>,
    /// Places of `questions` that are empty.
    free: Vec<usize>,
    /// Goes up with each try, so that one that is over is not taken for another at its place.
    tries: u64,
    /// When each try ends: those that may take equally long together, in the order of their beginnings.
    deadlines: Vec<(Duration, VecDeque<(Instant, Flight)>)>,
    ports: Ports,
    room: Box<[Incoming]>,
    /// What leaves with the next call, all of it through one port.
    letters: Box<[Letter]>,
    leaving: Vec<Flight>,
    through: usize,
    /// Tries that the network refused.
    refused: Vec<Flight>,
    done: Vec<Done<W>>,
}

/// One question with everybody who waits for its answer.
struct Question<W> {
    exchange: Exchange,
    group: Group,
    /// Those who wait. Nobody does at the rival, nor once that has answered.
    asked: Option<Asked<W>>,
    race: Race,
    /// The present try; 0 where there is none.
    attempt: u64,
    port: usize,
    begun: Instant,
    past: Vec<Late>,
}

/// Who waits for a question, and what is told once it is answered.
struct Asked<W> {
    lead: Lead,
    generation: u32,
    asking: Asking,
    first: W,
    others: Vec<W>,
}

/// An answer, or that there is none, for all who wait for it.
pub struct Answered<W> {
    pub resolved: Arc<Resolved>,
    /// The generation of the routes by which it was found.
    pub generation: u32,
    first: W,
    others: Vec<W>,
}

impl<W> Answered<W> {
    /// Returns who waits.
    pub fn waiting(&self) -> impl Iterator<Item = &W> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<W> Asked<W> {
    fn answered(self, resolved: Resolved) -> Answered<W> {
        let Self { lead, generation, asking: _, first, others } = self;
        let resolved = Arc::new(resolved);
        lead.tell(&resolved);
        Answered { resolved, generation, first, others }
    }
}

/// What came of a question.
pub enum Done<W> {
    Answered(Answered<W>),
    /// It needs a connection: a task is to go on with it.
    Streams(Box<Streamed<W>>),
}

/// A question that a task goes on with.
pub struct Streamed<W> {
    exchange: Exchange,
    action: Action,
    group: Group,
    asked: Asked<W>,
    metrics: Arc<Metrics>,
}

impl<W> Streamed<W> {
    /// Asks until there is an answer or every try has failed.
    pub async fn drive(self) -> Answered<W> {
        let Self { mut exchange, action, group, asked, metrics } = self;
        let driven = drive::drive(&mut exchange, action, &group, &metrics).await;
        let resolved = resolved(driven, &exchange, asked.asking.lifetimes);
        asked.answered(resolved)
    }
}

impl<W> Forwarder<W> {
    /// Returns a forwarder that asks nothing yet, and shares with `resolver` what is under way.
    ///
    /// # Errors
    /// Where the system gives no descriptor.
    pub fn new(resolver: &Resolver) -> io::Result<Self> {
        static WORKERS: AtomicU64 = AtomicU64::new(0);
        Ok(Self {
            worker: WORKERS.fetch_add(1, Ordering::Relaxed),
            under_way: Arc::clone(&resolver.under_way),
            metrics: Arc::clone(&resolver.metrics),
            questions: Vec::new(),
            free: Vec::new(),
            tries: 0,
            deadlines: Vec::new(),
            ports: Ports::new()?,
            room: Incoming::batch(),
            letters: (0..BATCH).map(|_| Letter::new()).collect(),
            leaving: Vec::with_capacity(BATCH),
            through: 0,
            refused: Vec::new(),
            done: Vec::new(),
        })
    }

    /// Has [`Forwarder::wait`] wait for queries too.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn watch(&self, listener: &UdpSocket) -> io::Result<()> {
        self.ports.watch(listener)
    }

    /// Takes [`Forwarder::watch`] back.
    pub fn ignore(&self, listener: &UdpSocket) {
        self.ports.ignore(listener);
    }

    /// Returns whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.questions.len() == self.free.len() && self.done.is_empty()
    }

    /// Asks the question of `query`, with its DO and CD bits, or joins those who wait for the same.
    ///
    /// # Errors
    /// Gives `waiting` back where a task is to do it: somebody else asks the same, or the answer is to be validated.
    pub fn ask(
        &mut self,
        query: &Query,
        (group, generation, asking): (&Group, u32, &Asking),
        waiting: W,
        now: Instant,
    ) -> Result<(), W> {
        if group.races() && group.is_secure() {
            // Connections are for tasks.
            return Err(waiting);
        }
        if group.validation(query).is_some() {
            // So are proofs, which take several questions.
            return Err(waiting);
        }
        let place = self.free.last().copied().unwrap_or(self.questions.len());
        let key = Key::new(query, generation);
        let lead = match self.under_way.take(&key, Berth { worker: self.worker, place }) {
            Taken::Elsewhere => return Err(waiting),
            Taken::Own(place) => {
                let question = self.questions.get_mut(place).and_then(Option::as_mut);
                let Some(asked) = question.and_then(|question| question.asked.as_mut()) else { return Err(waiting) };
                asked.others.push(waiting);
                return Ok(());
            }
            Taken::Leads(lead) => lead,
        };
        let asked = Asked { lead, generation, asking: *asking, first: waiting, others: Vec::new() };
        let (order, second) = group.order(now).race(group.races() && asking.tries > 1);
        let first_tries = asking.tries - second.map_or(0, |_| 1);
        let mut exchange = exchange(query, group, order, (first_tries, asking.timeout));
        let action = exchange.next(dice());
        let question = Question {
            exchange,
            group: group.clone(),
            asked: Some(asked),
            race: Race::Alone,
            attempt: 0,
            port: 0,
            begun: now,
            past: Vec::new(),
        };
        let place = self.put(question);
        let rival = second.map(|second| self.put_rival(query, place, second, now));
        self.act(place, action, now);
        if let Some((rival, action)) = rival {
            self.act(rival, action, now);
        }
        Ok(())
    }

    /// Gives a question a place.
    fn put(&mut self, question: Question<W>) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.questions.push(None);
            self.questions.len() - 1
        });
        self.questions[place] = Some(question);
        place
    }

    /// Waits until something came, a try is to end, or `most` is over. Returns whether a query may have come.
    ///
    /// # Errors
    /// As epoll_wait(2) has it.
    pub fn wait(&mut self, most: Duration, now: Instant) -> io::Result<bool> {
        let next = self.deadlines.iter().filter_map(|(_, tries)| tries.front()).map(|(deadline, _)| *deadline).min();
        let until_deadline = next.map(|deadline| deadline.saturating_duration_since(now));
        self.ports.wait(until_deadline.map_or(most, |left| left.min(most)))
    }

    /// Takes what came from upstreams, ends the tries whose time is up, and sends what is to be sent.
    pub fn advance(&mut self, now: Instant) {
        self.ports.settle();
        while let Some(port) = self.ports.next_ready() {
            self.receive(port, now);
            self.ports.settle();
        }
        for class in 0..self.deadlines.len() {
            while let Some((deadline, flight)) = self.deadlines[class].1.front().copied() {
                let is_over = !self.is_present(flight);
                if !is_over && deadline > now {
                    break;
                }
                self.deadlines[class].1.pop_front();
                if !is_over {
                    self.end_try(flight, Failure::TimedOut, now);
                }
            }
        }
        // What is refused is tried elsewhere, and that sent in turn; the number of tries bounds it.
        loop {
            self.flush();
            let Some(flight) = self.refused.pop() else { break };
            if self.is_present(flight) {
                self.end_try(flight, Failure::Unreachable, now);
            }
        }
    }

    /// Returns what came of questions since it was last asked.
    pub fn done(&mut self) -> std::vec::Drain<'_, Done<W>> {
        self.done.drain(..)
    }

    fn is_present(&self, flight: Flight) -> bool {
        let question = self.questions.get(flight.place).and_then(Option::as_ref);
        question.is_some_and(|question| question.attempt == flight.attempt)
    }

    /// Does what the exchange at `place` says, until it waits or is over.
    fn act(&mut self, place: usize, mut action: Action, now: Instant) {
        loop {
            match action {
                Action::Datagram(server) => {
                    self.metrics.count_upstream(UpstreamEvent::Query);
                    if self.depart(place, server, now).is_ok() {
                        return;
                    }
                    action = self.fail(place, server, Failure::Unreachable, now);
                }
                Action::Stream(_) => return self.stream(place, action),
                Action::Fail(failure) => return self.give_up(place, failure),
            }
        }
    }

    /// Leaves the question at `place` to a task.
    fn stream(&mut self, place: usize, action: Action) {
        let Some(question) = self.take(place) else { return };
        let Question { exchange, group, asked, race, .. } = question;
        self.part(race);
        // A rival that would need a connection leaves it to the other, whose answer will be as long.
        if let Some(asked) = asked {
            asked.lead.hand_over();
            let metrics = Arc::clone(&self.metrics);
            self.done.push(Done::Streams(Box::new(Streamed { exchange, action, group, asked, metrics })));
        }
    }

    /// Puts the message of the exchange at `place` among those that leave next.
    fn depart(&mut self, place: usize, server: usize, now: Instant) -> io::Result<()> {
        let Some(question) = self.questions.get(place).and_then(Option::as_ref) else { return Ok(()) };
        let address = question.group.address(server)?;
        if !self.ports.is_open_to(self.through, address) {
            self.flush();
            self.through = self.ports.open(address)?;
        }
        let port = self.through;
        let Some(question) = self.questions.get_mut(place).and_then(Option::as_mut) else { return Ok(()) };
        self.tries += 1;
        let flight = Flight { place, attempt: self.tries };
        (question.attempt, question.port, question.begun) = (self.tries, port, now);
        let exchange = &mut question.exchange;
        while !self.ports.take_off(port, exchange.id(), flight) {
            exchange.reroll(dice());
        }
        let letter = &mut self.letters[self.leaving.len()].message;
        letter.clear();
        letter.extend_from_slice(exchange.message());
        self.leaving.push(flight);
        let wait = exchange.wait(question.group.patience(server));
        let class = self.deadlines.iter().position(|(waits, _)| *waits == wait).unwrap_or_else(|| {
            self.deadlines.push((wait, VecDeque::new()));
            self.deadlines.len() - 1
        });
        self.deadlines[class].1.push_back((now + wait, flight));
        if self.leaving.len() == BATCH {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        if let Some(socket) = self.ports.socket(self.through) {
            let (leaving, refused) = (&self.leaving, &mut self.refused);
            datagram::send(socket, &mut self.letters[..leaving.len()], |at| refused.push(leaving[at]));
        }
        self.ports.close_behind(self.through);
        self.leaving.clear();
    }

    /// Takes what came to a port.
    fn receive(&mut self, port: usize, now: Instant) {
        // What leaves has left before anything is done about its port.
        self.flush();
        let Some(socket) = self.ports.socket(port) else { return };
        match datagram::receive(socket, &mut self.room, Wait::Never) {
            Ok(received) => (0..received).for_each(|at| self.arrive(port, at, now)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                // The network says that nothing sent through here arrives.
                for flight in self.ports.flights(port) {
                    self.end_try(flight, Failure::Unreachable, now);
                }
            }
        }
    }

    /// Takes one datagram; what belongs to nothing that was asked through this port is as if it had never come.
    fn arrive(&mut self, port: usize, at: usize, now: Instant) {
        let octets = self.room[at].octets();
        let Some(flight) = u16_at(octets, 0).and_then(|id| self.ports.flight(port, id)) else { return };
        let Some(question) = self.questions.get_mut(flight.place).and_then(Option::as_mut) else { return };
        if question.attempt != flight.attempt {
            return self.arrive_late(flight, at, now);
        }
        let asked = question.exchange.server();
        // A fault in here must not take the worker out of service; the try goes on until its time is up.
        let verdict = catch_unwind(AssertUnwindSafe(|| question.exchange.on_message(octets, dice())));
        match verdict {
            Err(_) => self.metrics.count_dropped(Dropped::Fault),
            Ok(Verdict::Ignore) => {}
            Ok(Verdict::Next(action)) => {
                self.ports.land(port, flight);
                self.act(flight.place, action, now);
            }
            Ok(Verdict::Refused(action)) => {
                // The exchange has gone on to the next server already.
                question.note(asked, Tried::Refused, now);
                let action = if question.is_wanted() { action } else { Action::Fail(Failure::Refused) };
                self.ports.land(port, flight);
                self.act(flight.place, action, now);
            }
            Ok(Verdict::Answer) => {
                let message = octets.to_vec();
                question.note(asked, Tried::Answered, now);
                self.metrics.observe_upstream_latency(now.saturating_duration_since(question.begun));
                self.ports.land(port, flight);
                self.answered(flight.place, message);
            }
        }
    }

    /// Ends a try that got no answer.
    fn end_try(&mut self, flight: Flight, failure: Failure, now: Instant) {
        if !self.is_present(flight) {
            return self.end_past(flight);
        }
        self.leave(flight, failure);
        let Some(question) = self.questions.get(flight.place).and_then(Option::as_ref) else { return };
        let Some(server) = question.exchange.server() else { return };
        let action = self.fail(flight.place, server, failure, now);
        self.act(flight.place, action, now);
    }

    fn fail(&mut self, place: usize, server: usize, failure: Failure, now: Instant) -> Action {
        let Some(question) = self.questions.get_mut(place).and_then(Option::as_mut) else {
            return Action::Fail(failure);
        };
        let of = (question.begun, question.exchange.timeout());
        drive::note_failure(&question.group, (server, failure), of, now, &self.metrics);
        if question.is_wanted() { question.exchange.fail(failure, dice()) } else { Action::Fail(failure) }
    }

    fn take(&mut self, place: usize) -> Option<Question<W>> {
        let question = self.questions.get_mut(place)?.take()?;
        question.land_past(&mut self.ports);
        self.free.push(place);
        Some(question)
    }

    fn finish(&mut self, exchange: &Exchange, asked: Asked<W>, driven: Result<Vec<u8>, Failed>) {
        let lifetimes = asked.asking.lifetimes;
        let resolved = catch_unwind(AssertUnwindSafe(|| resolved(driven, exchange, lifetimes))).unwrap_or_else(|_| {
            self.metrics.count_dropped(Dropped::Fault);
            Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None })
        });
        self.done.push(Done::Answered(asked.answered(resolved)));
    }
}

/// Prepares to ask servers the question of `query`.
fn exchange(query: &Query, group: &Group, order: Picks, of: (usize, Duration)) -> Exchange {
    let bits = (query.dnssec_ok(), query.checking_disabled);
    Exchange::new(query.question.clone(), bits, order, of).distrusting(group.distrusts())
}

impl<W> fmt::Debug for Forwarder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("under_way", &(self.questions.len() - self.free.len())).finish()
    }
}

impl<W> fmt::Debug for Answered<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answered").field("resolved", &self.resolved).field("waiting", &(1 + self.others.len())).finish()
    }
}

impl<W> fmt::Debug for Streamed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for Done<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answered) => answered.fmt(f),
            Self::Streams(streamed) => streamed.fmt(f),
        }
    }
}
