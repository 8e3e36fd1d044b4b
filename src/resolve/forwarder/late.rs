//! Tries whose time is up, and whose answers are taken all the same: a server that has to find an answer itself takes far longer
//! than for most of what it says, and the next try only asks for it once more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::ports::{Flight, Ports};
use super::{Forwarder, Question};
use crate::resolve::upstream::Tried;

/// How many of them a question keeps, each with a port: the first, and the one before the present.
const MOST: usize = 2;

/// A try that may still be answered.
pub(super) struct Past {
    port: usize,
    flight: Flight,
    server: usize,
    begun: Instant,
    sent: Box<[u8]>,
}

impl<W> Question<W> {
    /// Gives the ports of past tries back.
    pub(super) fn land_past(&self, ports: &mut Ports) {
        self.past.iter().for_each(|past| ports.land(past.port, past.flight));
    }

    /// Returns the try that a message answers, where that is a past one and it is a good answer.
    fn late(&self, flight: Flight, message: &[u8]) -> Option<&Past> {
        let past = self.past.iter().find(|past| past.flight == flight)?;
        let is_answer = || self.exchange.is_late_answer(&past.sent, message);
        catch_unwind(AssertUnwindSafe(is_answer)).unwrap_or(false).then_some(past)
    }
}

impl<W> Forwarder<W> {
    /// Lets a try go on beside the next one.
    pub(super) fn let_go_on(&mut self, flight: Flight) {
        let Some(question) = self.questions.get_mut(flight.place).and_then(Option::as_mut) else { return };
        let Some(server) = question.exchange.server() else { return self.ports.land(question.port, flight) };
        let (port, begun, sent) = (question.port, question.begun, question.exchange.message().into());
        let before = if question.past.len() == MOST { question.past.pop() } else { None };
        question.past.push(Past { port, flight, server, begun, sent });
        if let Some(Past { port, flight, .. }) = before {
            self.ports.land(port, flight);
        }
    }

    /// Ends a past try that nothing can come of.
    pub(super) fn end_past(&mut self, flight: Flight) {
        let Some(question) = self.questions.get_mut(flight.place).and_then(Option::as_mut) else { return };
        if let Some(at) = question.past.iter().position(|past| past.flight == flight) {
            let Past { port, .. } = question.past.remove(at);
            self.ports.land(port, flight);
        }
    }

    /// Takes what came to a past try, the message at this place of the room.
    pub(super) fn arrive_late(&mut self, flight: Flight, at: usize, now: Instant) {
        let Some(question) = self.questions.get(flight.place).and_then(Option::as_ref) else { return };
        let octets = self.room[at].octets();
        let Some(past) = question.late(flight, octets) else { return };
        let took = now.saturating_duration_since(past.begun);
        question.group.answered(past.server, Tried::Answered, took, now);
        self.metrics.observe_upstream_latency(took);
        self.ports.land(question.port, Flight { place: flight.place, attempt: question.attempt });
        self.answered(flight.place, octets.to_vec());
    }
}
