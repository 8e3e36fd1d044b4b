//! Asking upstreams one question: a state machine without I/O. Whoever drives it sends what it says and tells it what
//! came back; it takes only answers that belong to what was asked (RFC 5452, section 9).

use std::net::SocketAddr;

use crate::message::{HEADER, ResponseView, Writer, flag, u16_at};
use crate::query::{MAX_PAYLOAD, Question};

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send [`Exchange::message`] in a datagram from a fresh port.
    Datagram(SocketAddr),
    /// Send [`Exchange::message`] over a connection.
    Stream(SocketAddr),
    /// Give up: every try failed.
    Fail(Failure),
}

/// What a message from an upstream means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the answer.
    Answer,
    /// It does not belong to what was asked: go on waiting until the time is up, as if it had never come.
    Ignore,
    /// It ends this try.
    Next(Action),
}

/// The start of a message.
struct Head {
    id: u16,
    flags: u16,
    questions: u16,
}

impl Head {
    fn read(wire: &[u8]) -> Option<Self> {
        let whole = wire.len() >= HEADER;
        whole.then_some(Self { id: u16_at(wire, 0)?, flags: u16_at(wire, 2)?, questions: u16_at(wire, 4)? })
    }
}

/// Why no answer was had; the worst that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The network said that the upstream cannot be reached.
    Unreachable,
    /// The upstream gave no usable answer in time.
    TimedOut,
    /// The upstream answered that it cannot or will not.
    Refused,
}

/// An exchange that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub failure: Failure,
    /// The data of the extended error that came with the last SERVFAIL (RFC 8914, section 2), such as why an upstream
    /// holds a signature for bogus.
    pub extended_error: Option<Box<[u8]>>,
}

/// One question on its way to one upstream after the other.
#[derive(Debug)]
pub struct Exchange {
    question: Question,
    dnssec_ok: bool,
    checking_disabled: bool,
    servers: Vec<SocketAddr>,
    /// Tries made so far; each takes the next server in turn.
    tries: usize,
    most_tries: usize,
    id: u16,
    edns: bool,
    streaming: bool,
    message: Vec<u8>,
    failure: Failure,
    extended_error: Option<Box<[u8]>>,
}

impl Exchange {
    /// Prepares to ask `servers`, in this order and at most `most_tries` times in all.
    pub fn new(
        question: Question,
        dnssec_ok: bool,
        checking_disabled: bool,
        servers: Vec<SocketAddr>,
        most_tries: usize,
    ) -> Self {
        Self {
            question,
            dnssec_ok,
            checking_disabled,
            servers,
            tries: 0,
            most_tries,
            id: 0,
            edns: true,
            streaming: false,
            message: Vec::with_capacity(512),
            failure: Failure::Unreachable,
            extended_error: None,
        }
    }

    /// Starts the next try with the message id `id`, which nobody must be able to guess.
    pub fn next(&mut self, id: u16) -> Action {
        if self.servers.is_empty() || self.tries >= self.most_tries {
            return Action::Fail(self.failure);
        }
        let server = self.servers[self.tries % self.servers.len()];
        self.tries += 1;
        self.edns = true;
        self.streaming = false;
        self.write(id);
        Action::Datagram(server)
    }

    /// The message to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Returns the server of the present try.
    pub fn server(&self) -> Option<SocketAddr> {
        self.servers.get((self.tries.checked_sub(1)?) % self.servers.len()).copied()
    }

    /// Takes a message that came from the address that was asked. `id` is for what is sent next, if anything is.
    pub fn on_message(&mut self, wire: &[u8], id: u16) -> Verdict {
        let (Some(head), Some(server)) = (Head::read(wire), self.server()) else { return Verdict::Ignore };
        let Question { name, record_type, class } = &self.question;
        let of_ours = head.id == self.id && head.flags & (flag::RESPONSE | flag::OPCODE) == flag::RESPONSE;
        let code = head.flags & flag::RCODE;
        // Some servers say that they cannot or will not with a header alone; the socket takes them from nobody else.
        let header_alone = wire.len() == HEADER && head.questions == 0 && matches!(code, 1 | 2 | 4 | 5);
        if of_ours && header_alone {
            return Verdict::Next(self.unable(code, server, id));
        }
        if !of_ours || !ResponseView::asked(wire, name, *record_type, *class) {
            return Verdict::Ignore;
        }
        // What is truncated may end inside a record, so that it is looked at before the records are.
        if head.flags & flag::TRUNCATED != 0 {
            if self.streaming {
                return Verdict::Next(self.fail(Failure::Refused, id));
            }
            self.streaming = true;
            self.write(id);
            return Verdict::Next(Action::Stream(server));
        }
        let Ok(response) = ResponseView::read(wire) else { return Verdict::Ignore };
        match response.response_code() {
            code @ (1 | 4 | 16) if self.edns => Verdict::Next(self.unable(code, server, id)),
            // SERVFAIL, NOTIMP, REFUSED, NOTAUTH and what needs more than the header: another upstream may do better.
            2 | 4 | 5 | 9 | 16.. => {
                self.extended_error = response.extended_error().or(self.extended_error.take());
                Verdict::Next(self.fail(Failure::Refused, id))
            }
            _ => Verdict::Answer,
        }
    }

    /// Says what to tell of an exchange that failed with `failure`.
    pub fn failed(&mut self, failure: Failure) -> Failed {
        Failed { failure, extended_error: self.extended_error.take() }
    }

    /// Ends the present try without an answer.
    pub fn fail(&mut self, failure: Failure, id: u16) -> Action {
        self.failure = self.failure.max(failure);
        self.next(id)
    }

    /// Goes on after a server said that it cannot: with FORMERR, NOTIMP or BADVERS it may know no EDNS (RFC 6891,
    /// section 7), and is asked without.
    fn unable(&mut self, code: u16, server: SocketAddr, id: u16) -> Action {
        if !self.edns || !matches!(code, 1 | 4 | 16) {
            return self.fail(Failure::Refused, id);
        }
        self.edns = false;
        self.write(id);
        if self.streaming { Action::Stream(server) } else { Action::Datagram(server) }
    }

    fn write(&mut self, id: u16) {
        self.id = id;
        // AD is always asked for: whether the stub may see it is decided when it is answered (RFC 6840, section 5.7).
        let mut flags = flag::RECURSION_DESIRED | flag::AUTHENTIC_DATA;
        flags |= if self.checking_disabled { flag::CHECKING_DISABLED } else { 0 };
        let mut writer = Writer::new(&mut self.message, id, flags);
        writer.question(self.question.name.as_wire(), self.question.record_type, self.question.class);
        if self.edns {
            writer.opt(MAX_PAYLOAD, 0, self.dnssec_ok, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, RecordType};

    const FIRST: &str = "192.0.2.1:53";
    const SECOND: &str = "192.0.2.2:53";

    fn exchange() -> Exchange {
        let question = Question { name: "a.example".parse().unwrap(), record_type: RecordType::A, class: Class::IN };
        Exchange::new(question, true, false, vec![FIRST.parse().unwrap(), SECOND.parse().unwrap()], 3)
    }

    fn response(id: u16, flags: u16, name: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out, id, flag::RESPONSE | flags).question(name, RecordType::A, Class::IN);
        out
    }

    const NAME: &[u8] = b"\x01A\x07eXample\x00";

    #[test]
    fn only_the_answer_to_what_was_asked_is_taken() {
        let mut exchange = exchange();
        assert_eq!(exchange.next(7), Action::Datagram(FIRST.parse().unwrap()));
        let mut no_response = response(7, 0, NAME);
        no_response[2] &= 0x7F;
        for (wire, verdict, what) in [
            (response(8, 0, NAME), Verdict::Ignore, "another id"),
            (response(7, 0, b"\x01b\x07example\x00"), Verdict::Ignore, "another name"),
            (response(7, 0x2000, NAME), Verdict::Ignore, "another opcode"),
            (no_response, Verdict::Ignore, "a query"),
            (vec![0; 5], Verdict::Ignore, "a stump"),
            (response(7, 3, NAME), Verdict::Answer, "NXDOMAIN in another spelling"),
        ] {
            assert_eq!(exchange.on_message(&wire, 9), verdict, "{what}");
        }
    }

    #[test]
    fn a_header_alone_and_half_a_record_are_understood() {
        let mut of = exchange();
        of.next(7);
        let header = |id: u16, code: u16| {
            let mut out = Vec::new();
            Writer::new(&mut out, id, flag::RESPONSE | code);
            out
        };
        assert_eq!(of.on_message(&header(9, 5), 8), Verdict::Ignore, "another id");
        assert_eq!(of.on_message(&header(7, 0), 8), Verdict::Ignore, "no answer at all");
        assert_eq!(of.on_message(&header(7, 1), 8), Verdict::Next(Action::Datagram(FIRST.parse().unwrap())));
        assert_eq!(of.message()[10..12], [0, 0], "without EDNS now");
        assert_eq!(of.on_message(&header(8, 5), 9), Verdict::Next(Action::Datagram(SECOND.parse().unwrap())));
        let mut cut = response(9, flag::TRUNCATED, NAME);
        cut[7] = 1;
        cut.extend_from_slice(b"\xC0\x0C\x00");
        assert_eq!(of.on_message(&cut, 10), Verdict::Next(Action::Stream(SECOND.parse().unwrap())));
    }

    #[test]
    fn a_refusing_upstream_is_followed_by_the_next() {
        for code in [2, 5, 9] {
            let mut exchange = exchange();
            exchange.next(7);
            let verdict = exchange.on_message(&response(7, code, NAME), 8);
            assert_eq!(verdict, Verdict::Next(Action::Datagram(SECOND.parse().unwrap())), "{code}");
            assert_eq!(exchange.fail(Failure::TimedOut, 9), Action::Datagram(FIRST.parse().unwrap()));
            assert_eq!(exchange.fail(Failure::TimedOut, 9), Action::Fail(Failure::Refused), "{code}");
        }
    }

    #[test]
    fn truncation_leads_to_a_stream_and_an_old_server_to_a_query_without_edns() {
        let mut exchange = exchange();
        exchange.next(7);
        let truncated = response(7, flag::TRUNCATED, NAME);
        assert_eq!(exchange.on_message(&truncated, 8), Verdict::Next(Action::Stream(FIRST.parse().unwrap())));
        assert_eq!(
            exchange.on_message(&response(8, 1, NAME), 9),
            Verdict::Next(Action::Stream(FIRST.parse().unwrap()))
        );
        assert_eq!(exchange.message()[10..12], [0, 0], "no OPT record");
        assert_eq!(exchange.on_message(&response(9, 1, NAME), 10), Verdict::Answer, "FORMERR without EDNS stands");
    }
}
