//! Asking upstreams one question: a state machine without I/O. Whoever drives it sends what it says and tells it what
//! came back; it takes only answers that belong to what was asked (RFC 5452, section 9), in the spelling in which it was
//! asked (draft-vixie-dnsext-dns0x20).
//!
//! What nobody must be able to guess it takes from `dice`, 64 unpredictable bits for each message: 16 are its id, and 48
//! say which letters of the name are capitals.

use std::time::{Duration, Instant};

use super::upstream::Picks;
use crate::message::{HEADER, ResponseView, Writer, flag, u16_at};
use crate::query::{MAX_PAYLOAD, Question};

/// The length of an OPT record without options, in octets.
const OPT: usize = 11;
/// The head of a padding option (RFC 7830), with the length left open.
const PADDING: [u8; 4] = [0, 12, 0, 0];
/// What the length of encrypted queries is a multiple of, in octets (RFC 8467, section 4.1).
const BLOCK: usize = 128;

/// How often the time for a server is doubled at most.
const MAX_DOUBLINGS: usize = 10;

/// What the driver does next; servers are told by their places in their group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send [`Exchange::message`] in a datagram from a fresh port.
    Datagram(usize),
    /// Send [`Exchange::message`] over a connection.
    Stream(usize),
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
    /// It has to be asked for in another way.
    Next(Action),
    /// The upstream cannot or will not, which ends this try.
    Refused(Action),
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
    /// The upstream answered, and that does not hold.
    Bogus,
}

/// An exchange that got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub failure: Failure,
    /// The data of the extended error that came with the last SERVFAIL (RFC 8914, section 2), such as why an upstream
    /// holds a signature for bogus.
    pub extended_error: Option<Box<[u8]>>,
}

/// A try whose time is up, and whose answer is taken all the same: a server that has to find an answer itself takes far longer
/// than for most of what it says, and the next try only asks for it once more.
#[derive(Debug)]
pub struct Past {
    pub(super) server: usize,
    pub(super) begun: Instant,
    /// How long it might have taken.
    pub(super) waits: Duration,
    sent: Box<[u8]>,
}

/// How many of them are kept, each with its port: the first, and the one before the present.
pub(super) const MOST_PAST: usize = 2;

/// One question on its way to one upstream after the other.
#[derive(Debug)]
pub struct Exchange {
    question: Question,
    dnssec_ok: bool,
    checking_disabled: bool,
    servers: Picks,
    /// Tries made so far; each takes the next server in turn.
    tries: usize,
    /// How long one try may take at most.
    timeout: Duration,
    /// How long the present one may take.
    waits: Duration,
    /// What is left of the time that all tries may take.
    left: Duration,
    id: u16,
    edns: bool,
    streaming: bool,
    /// Whether the answer came in another spelling before, so that the upstream may be one that keeps none.
    folds: bool,
    message: Vec<u8>,
    failure: Failure,
    extended_error: Option<Box<[u8]>>,
    /// Whether what the server says of its own validation is not believed.
    distrusts: bool,
}

impl Exchange {
    /// Prepares to ask `servers`, in this order and over again, for at most `tries` times `timeout`. A try that ends by
    /// itself counts as a whole `timeout`, so that there are never more than `tries` of those.
    pub fn new(
        question: Question,
        (dnssec_ok, checking_disabled): (bool, bool),
        servers: Picks,
        (tries, timeout): (usize, Duration),
    ) -> Self {
        Self {
            question,
            dnssec_ok,
            checking_disabled,
            servers,
            tries: 0,
            timeout,
            waits: Duration::ZERO,
            left: timeout * u32::try_from(tries).unwrap_or(u32::MAX),
            id: 0,
            edns: true,
            streaming: false,
            folds: false,
            message: Vec::with_capacity(512),
            failure: Failure::Unreachable,
            extended_error: None,
            distrusts: false,
        }
    }

    /// Takes the AD bit out of an answer where so: whoever validates believes nobody else who says that he did (RFC 6840, section
    /// 5.8).
    #[must_use]
    pub fn distrusting(self, distrusts: bool) -> Self {
        Self { distrusts, ..self }
    }

    /// Starts the next try.
    pub fn next(&mut self, dice: u64) -> Action {
        // The next try would take as long as the last one, at least.
        let is_over = self.left.is_zero() || self.left < self.waits;
        let server = match self.servers.turn(self.tries) {
            Some(server) if !is_over => server,
            Some(_) | None => return Action::Fail(self.failure),
        };
        self.tries += 1;
        self.waits = self.timeout;
        self.edns = true;
        self.streaming = self.servers.is_secure(server);
        self.write(dice);
        if self.streaming { Action::Stream(server) } else { Action::Datagram(server) }
    }

    /// The message to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Returns how long the present try may take to a server that is given so much time, which is twice as much each time that
    /// the server is asked again; without this call, it may take as long as any try.
    pub fn wait(&mut self, patience: Duration) -> Duration {
        let round = self.tries.saturating_sub(1).checked_div(self.servers.len()).unwrap_or(0).min(MAX_DOUBLINGS);
        self.waits = patience.saturating_mul(1 << round).min(self.timeout);
        self.waits
    }

    /// Returns how long a try may take at most.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the server of the present try.
    pub fn server(&self) -> Option<usize> {
        self.servers.turn(self.tries.checked_sub(1)?)
    }

    /// Returns the id of [`Exchange::message`].
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// Writes the message of the present try again with another id and spelling, before it is sent.
    pub fn reroll(&mut self, dice: u64) {
        self.write(dice);
    }

    /// Takes a message that came from the address that was asked. `dice` are for what is sent next, if anything is.
    pub fn on_message(&mut self, wire: &[u8], dice: u64) -> Verdict {
        let (Some(head), Some(server)) = (Head::read(wire), self.server()) else { return Verdict::Ignore };
        let Question { name, record_type, class } = &self.question;
        let of_ours = head.id == self.id && head.flags & (flag::RESPONSE | flag::OPCODE) == flag::RESPONSE;
        let code = head.flags & flag::RCODE;
        // Some servers say that they cannot or will not with a header alone; the socket takes them from nobody else.
        let header_alone = wire.len() == HEADER && head.questions == 0 && matches!(code, 1 | 2 | 4 | 5);
        if of_ours && header_alone {
            return self.unable(code, server, dice);
        }
        if !of_ours || !ResponseView::asked(wire, name, *record_type, *class) {
            return Verdict::Ignore;
        }
        // Either somebody forges answers who has guessed all but the capitals, or the upstream keeps none. Over a connection
        // nobody else can answer.
        let spelled = HEADER..HEADER + name.as_wire().len();
        if !self.streaming && !self.folds && wire[spelled.clone()] != self.message[spelled] {
            self.folds = true;
            self.streaming = true;
            self.write(dice);
            return Verdict::Next(Action::Stream(server));
        }
        // What is truncated may end inside a record, so that it is looked at before the records are.
        if head.flags & flag::TRUNCATED != 0 {
            if self.streaming {
                return Verdict::Refused(self.fail(Failure::Refused, dice));
            }
            self.streaming = true;
            self.write(dice);
            return Verdict::Next(Action::Stream(server));
        }
        let Ok(response) = ResponseView::read(wire) else { return Verdict::Ignore };
        match response.response_code() {
            code @ (1 | 4 | 16) if self.edns => self.unable(code, server, dice),
            // SERVFAIL, NOTIMP, REFUSED, NOTAUTH and what needs more than the header: another upstream may do better.
            2 | 4 | 5 | 9 | 16.. => {
                self.extended_error = response.extended_error().or(self.extended_error.take());
                Verdict::Refused(self.fail(Failure::Refused, dice))
            }
            _ => Verdict::Answer,
        }
    }

    /// Returns the present try, which left at `begun`, to be kept beside the next one.
    pub fn past(&self, begun: Instant) -> Option<Past> {
        Some(Past { server: self.server()?, begun, waits: self.waits, sent: self.message.as_slice().into() })
    }

    /// Returns whether a message is a good answer to a try before the present one, in the spelling of that.
    pub fn is_late_answer(&self, Past { sent, .. }: &Past, wire: &[u8]) -> bool {
        let Question { name, record_type, class } = &self.question;
        let (Some(head), Some(id)) = (Head::read(wire), u16_at(sent, 0)) else { return false };
        let is_whole = head.flags & (flag::RESPONSE | flag::OPCODE | flag::TRUNCATED) == flag::RESPONSE;
        let spelled = HEADER..HEADER + name.as_wire().len();
        head.id == id
            && is_whole
            && ResponseView::asked(wire, name, *record_type, *class)
            && wire.get(spelled.clone()) == sent.get(spelled)
            && ResponseView::read(wire).is_ok_and(|response| matches!(response.response_code(), 0 | 3))
    }

    /// Takes the capitals of ours out of an answer: out of its question, and out of owners that repeat the question whole. An AD
    /// bit that is not believed goes with them.
    pub fn respell(&self, message: &mut [u8]) {
        if let Some(flags) = message.get_mut(3).filter(|_| self.distrusts) {
            let [_, authentic] = flag::AUTHENTIC_DATA.to_be_bytes();
            *flags &= !authentic;
        }
        let name = self.question.name.as_wire();
        let Ok(response) = ResponseView::read(message) else { return };
        let starts = response.records().filter_map(Result::ok).map(|record| record.start);
        let starts: Vec<usize> = starts.filter(|start| message[*start] & 0xC0 == 0).collect();
        for start in std::iter::once(HEADER).chain(starts) {
            if let Some(owner) = message.get_mut(start..start + name.len()).filter(|of| of.eq_ignore_ascii_case(name)) {
                owner.copy_from_slice(name);
            }
        }
    }

    /// Says what to tell of an exchange that failed with `failure`.
    pub fn failed(&mut self, failure: Failure) -> Failed {
        Failed { failure, extended_error: self.extended_error.take() }
    }

    /// Ends the present try without an answer.
    pub fn fail(&mut self, failure: Failure, dice: u64) -> Action {
        self.failure = self.failure.max(failure);
        let spent = if failure == Failure::TimedOut { self.waits } else { self.timeout };
        self.left = self.left.saturating_sub(spent);
        self.next(dice)
    }

    /// Goes on after a server said that it cannot: with FORMERR, NOTIMP or BADVERS it may know no EDNS (RFC 6891,
    /// section 7), and is asked without.
    fn unable(&mut self, code: u16, server: usize, dice: u64) -> Verdict {
        if !self.edns || !matches!(code, 1 | 4 | 16) {
            return Verdict::Refused(self.fail(Failure::Refused, dice));
        }
        self.edns = false;
        self.write(dice);
        Verdict::Next(if self.streaming { Action::Stream(server) } else { Action::Datagram(server) })
    }

    fn write(&mut self, dice: u64) {
        self.id = dice as u16;
        // AD is always asked for: whether the stub may see it is decided when it is answered (RFC 6840, section 5.7).
        let mut flags = flag::RECURSION_DESIRED | flag::AUTHENTIC_DATA;
        flags |= if self.checking_disabled { flag::CHECKING_DISABLED } else { 0 };
        let padded = self.server().is_some_and(|server| self.servers.is_secure(server));
        let mut writer = Writer::new(&mut self.message, self.id, flags);
        writer.question(self.question.name.as_wire(), self.question.record_type, self.question.class);
        if self.edns {
            match padded {
                true => {
                    let length = writer.octets().len() + OPT + PADDING.len();
                    let octets = &[0; BLOCK][..length.next_multiple_of(BLOCK) - length];
                    let [_, _, high, low] = (octets.len() as u32).to_be_bytes();
                    writer.opt(MAX_PAYLOAD, 0, self.dnssec_ok, &[&[PADDING[0], PADDING[1], high, low], octets]);
                }
                false => writer.opt(MAX_PAYLOAD, 0, self.dnssec_ok, &[]),
            }
        }
        if !self.folds {
            spell(&mut self.message[HEADER..HEADER + self.question.name.as_wire().len()], dice >> 16);
        }
    }
}

/// Makes capitals of the letters of a lower-case name whose bit is set, from the lowest of 48 on and over again.
fn spell(name: &mut [u8], bits: u64) {
    // Lengths of labels lie below the letters.
    for (place, letter) in name.iter_mut().filter(|octet| octet.is_ascii_lowercase()).enumerate() {
        if bits >> (place % 48) & 1 == 1 {
            letter.make_ascii_uppercase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, RecordType};

    const FIRST: usize = 0;
    const SECOND: usize = 1;

    fn exchange() -> Exchange {
        let question = Question { name: "a.example".parse().unwrap(), record_type: RecordType::A, class: Class::IN };
        let servers = [FIRST, SECOND].into_iter().collect();
        Exchange::new(question, (true, false), servers, (3, Duration::from_millis(1500)))
    }

    fn response(id: u16, flags: u16, name: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out, id, flag::RESPONSE | flags).question(name, RecordType::A, Class::IN);
        out
    }

    const NAME: &[u8] = b"\x01a\x07example\x00";

    #[test]
    fn only_the_answer_to_what_was_asked_is_taken() {
        let mut exchange = exchange();
        assert_eq!(exchange.next(7), Action::Datagram(FIRST));
        let mut no_response = response(7, 0, NAME);
        no_response[2] &= 0x7F;
        for (wire, verdict, what) in [
            (response(8, 0, NAME), Verdict::Ignore, "another id"),
            (response(7, 0, b"\x01b\x07example\x00"), Verdict::Ignore, "another name"),
            (response(7, 0x2000, NAME), Verdict::Ignore, "another opcode"),
            (no_response, Verdict::Ignore, "a query"),
            (vec![0; 5], Verdict::Ignore, "a stump"),
            (response(7, 3, NAME), Verdict::Answer, "NXDOMAIN"),
        ] {
            assert_eq!(exchange.on_message(&wire, 9), verdict, "{what}");
        }
    }

    #[test]
    fn an_answer_in_another_spelling_is_asked_for_over_a_stream_and_then_in_lower_case() {
        let mut of = exchange();
        of.next(0b1010 << 16 | 7);
        assert_eq!(of.message()[HEADER..HEADER + NAME.len()], *b"\x01a\x07ExAmple\x00");
        let lower = response(7, 0, NAME);
        assert_eq!(of.on_message(&lower, 0b1 << 16 | 8), Verdict::Next(Action::Stream(FIRST)));
        assert_eq!(of.on_message(&response(8, 0, NAME), 9), Verdict::Answer, "nobody else answers on a stream");
        let mut of = exchange();
        of.next(u64::MAX);
        assert_eq!(of.on_message(&response(0xFFFF, 0, b"\x01A\x07EXAMPLE\x00"), 9), Verdict::Answer);
        of.next(u64::MAX);
        of.on_message(&response(0xFFFF, 0, NAME), 8);
        assert_eq!(of.fail(Failure::Unreachable, u64::MAX), Action::Datagram(FIRST));
        assert_eq!(of.message()[HEADER..HEADER + NAME.len()], *NAME, "an upstream that keeps no spelling answers too");
        assert_eq!(of.on_message(&response(0xFFFF, 0, b"\x01A\x07example\x00"), 9), Verdict::Answer);
    }

    #[test]
    fn an_answer_is_kept_without_the_capitals_that_were_asked_with() {
        let exchange = exchange();
        let upper = b"\x01A\x07EXAMPLE\x00";
        let mut wire = response(7, 0, upper);
        for (owner, data) in [(upper, [192, 0, 2, 1]), (b"\x01B\x07EXAMPLE\x00", [192, 0, 2, 2])] {
            wire.extend_from_slice(owner);
            wire.extend_from_slice(b"\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04");
            wire.extend_from_slice(&data);
            wire[7] += 1;
        }
        exchange.respell(&mut wire);
        let owners: Vec<&[u8]> = [12, 27, 52].map(|at| &wire[at..at + 11]).into();
        assert_eq!(owners, [NAME, NAME, b"\x01B\x07EXAMPLE\x00"], "names of others are theirs to spell");
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
        assert_eq!(of.on_message(&header(7, 1), 8), Verdict::Next(Action::Datagram(FIRST)));
        assert_eq!(of.message()[10..12], [0, 0], "without EDNS now");
        assert_eq!(of.on_message(&header(8, 5), 9), Verdict::Refused(Action::Datagram(SECOND)));
        let mut cut = response(9, flag::TRUNCATED, NAME);
        cut[7] = 1;
        cut.extend_from_slice(b"\xC0\x0C\x00");
        assert_eq!(of.on_message(&cut, 10), Verdict::Next(Action::Stream(SECOND)));
    }

    #[test]
    fn a_refusing_upstream_is_followed_by_the_next() {
        for code in [2, 5, 9] {
            let mut exchange = exchange();
            exchange.next(7);
            let verdict = exchange.on_message(&response(7, code, NAME), 8);
            assert_eq!(verdict, Verdict::Refused(Action::Datagram(SECOND)), "{code}");
            assert_eq!(exchange.fail(Failure::TimedOut, 9), Action::Datagram(FIRST));
            assert_eq!(exchange.fail(Failure::TimedOut, 9), Action::Fail(Failure::Refused), "{code}");
        }
    }

    #[test]
    fn truncation_leads_to_a_stream_and_an_old_server_to_a_query_without_edns() {
        let mut exchange = exchange();
        exchange.next(7);
        let truncated = response(7, flag::TRUNCATED, NAME);
        assert_eq!(exchange.on_message(&truncated, 8), Verdict::Next(Action::Stream(FIRST)));
        assert_eq!(exchange.on_message(&response(8, 1, NAME), 9), Verdict::Next(Action::Stream(FIRST)));
        assert_eq!(exchange.message()[10..12], [0, 0], "no OPT record");
        assert_eq!(exchange.on_message(&response(9, 1, NAME), 10), Verdict::Answer, "FORMERR without EDNS stands");
    }
}
