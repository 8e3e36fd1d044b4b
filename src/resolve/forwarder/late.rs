//! Tries that go on beside the next one, each at its port.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::ports::{Flight, Ports};
use super::{Forwarder, Question};
use crate::resolve::drive;
use crate::resolve::exchange::{Failure, MOST_PAST, Past};

/// With more ports than that, no try goes on beside the next: descriptors are for what is asked for.
const MOST_PORTS: usize = 4096;

/// A try that may still be answered.
pub(super) struct Late {
    port: usize,
    flight: Flight,
    of: Past,
}

impl<W> Question<W> {
    /// Gives the ports of past tries back.
    pub(super) fn land_past(&self, ports: &mut Ports) {
        self.past.iter().for_each(|past| ports.land(past.port, past.flight));
    }

    /// Returns the try that a message answers, where that is a past one and it is a good answer.
    fn answered_late(&self, flight: Flight, message: &[u8]) -> Option<&Past> {
        let Late { of, .. } = self.past.iter().find(|past| past.flight == flight)?;
        let is_answer = || self.exchange.is_late_answer(of, message);
        catch_unwind(AssertUnwindSafe(is_answer)).unwrap_or(false).then_some(of)
    }
}

impl<W> Forwarder<W> {
    /// Gives the port of the present try back, or lets the try go on beside the next one where nothing but its time is up.
    pub(super) fn leave(&mut self, flight: Flight, failure: Failure) {
        let has_room = self.ports.len() <= MOST_PORTS;
        let Some(question) = self.questions.get_mut(flight.place).and_then(Option::as_mut) else { return };
        let port = question.port;
        let may_go_on = failure == Failure::TimedOut && question.is_wanted() && has_room;
        let over = match question.exchange.past(question.begun).filter(|_| may_go_on) {
            Some(of) => {
                let before = if question.past.len() == MOST_PAST { question.past.pop() } else { None };
                question.past.push(Late { port, flight, of });
                before.map(|past| (past.port, past.flight))
            }
            None => Some((port, flight)),
        };
        if let Some((port, flight)) = over {
            self.ports.land(port, flight);
        }
    }

    /// Ends a past try that nothing can come of.
    pub(super) fn end_past(&mut self, flight: Flight) {
        let Some(question) = self.questions.get_mut(flight.place).and_then(Option::as_mut) else { return };
        if let Some(at) = question.past.iter().position(|past| past.flight == flight) {
            let Late { port, .. } = question.past.remove(at);
            self.ports.land(port, flight);
        }
    }

    /// Takes what came to a past try, the message at this place of the room.
    pub(super) fn arrive_late(&mut self, flight: Flight, at: usize, now: Instant) {
        let Some(question) = self.questions.get(flight.place).and_then(Option::as_ref) else { return };
        let octets = self.room[at].octets();
        let Some(past) = question.answered_late(flight, octets) else { return };
        drive::note_late(&question.group, past, now, &self.metrics);
        self.ports.land(question.port, Flight { place: flight.place, attempt: question.attempt });
        self.answered(flight.place, octets.to_vec());
    }
}
