//! From packets to queries: UDP, and TCP through `stream`.

use jiff::Timestamp;

use super::Seen;
use super::account::Sink;
use super::link::{Carried, Nothing, carried};
use super::stream::{Flow, Streams};
use super::twice::Twice;
use crate::message::{Class, HEADER, Name, QueryView, RecordType, Unusable, flag, u16_at};
use crate::query::Transport;

const MALFORMED: &str = "the message is no well-formed query";

/// A packet as a capture holds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'f> {
    /// The type of its link.
    pub(super) link: u32,
    pub(super) octets: &'f [u8],
    /// Whether the capture holds less of it than there was (`tcpdump -s`).
    pub(super) cut: bool,
}

/// Reads packets of one capture.
pub(super) struct Packets<'s> {
    ports: &'s [u16],
    streams: Streams,
    twice: Twice,
}

impl<'s> Packets<'s> {
    pub(super) fn new(ports: &'s [u16]) -> Self {
        Self { ports, streams: Streams::default(), twice: Twice::default() }
    }

    /// Reads one packet.
    pub(super) fn packet(&mut self, frame: Frame<'_>, at: Timestamp, sink: &mut Sink<'_>) {
        let of = match carried(frame.link, frame.octets) {
            Ok(of) => of,
            Err(Nothing::Other) => return sink.other(),
            Err(Nothing::Unread(why)) => return sink.unread(why),
        };
        match of.protocol {
            17 => self.datagram(&of, frame.cut, at, sink),
            6 => self.segment(&of, at, sink),
            _ => sink.other(),
        }
    }

    /// Ends the capture: tells of streams that it ends within.
    pub(super) fn end(&self, sink: &mut Sink<'_>) {
        (0..self.streams.within()).for_each(|_| sink.unread("the capture ends in the middle of a message over TCP"));
    }

    /// RFC 768.
    fn datagram(&mut self, of: &Carried<'_>, cut: bool, at: Timestamp, sink: &mut Sink<'_>) {
        let Some((to, length)) = u16_at(of.payload, 2).zip(u16_at(of.payload, 4)) else {
            return sink.unread("the packet is cut");
        };
        if !self.ports.contains(&to) {
            return sink.other();
        }
        if self.twice.has(of, at) {
            return sink.twice();
        }
        match of.payload.get(8..usize::from(length)) {
            Some(message) => query(message, of, (at, Transport::Udp), sink),
            // What is cut off may be more than the question.
            None if cut => match of.payload.get(8..).and_then(question) {
                Some((name, record_type)) => sink.take(&Seen {
                    record_type: Some(record_type),
                    transport: Some(Transport::Udp),
                    ..Seen::once(at, of.from, name)
                }),
                None => sink.unread("the packet is cut"),
            },
            None => sink.unread("the packet tells a wrong length"),
        }
    }

    /// RFC 9293, section 3.1.
    fn segment(&mut self, of: &Carried<'_>, at: Timestamp, sink: &mut Sink<'_>) {
        let header = of.payload;
        let (Some(from), Some(to), Some([.., offset, flags])) =
            (u16_at(header, 0), u16_at(header, 2), header.get(..14))
        else {
            return sink.unread("the packet is cut");
        };
        if !self.ports.contains(&to) {
            return sink.other();
        }
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let Some(data) = header.get(usize::from(offset >> 4) * 4..).filter(|_| offset >> 4 >= 5) else {
            return sink.unread("the packet is cut, or tells a wrong length");
        };
        let flow = Flow { from: (of.from, from), to: (of.to, to) };
        let read = self.streams.segment(flow, (sequence, *flags), data, |message| {
            query(message, of, (at, Transport::Tcp), sink);
        });
        match read {
            Ok(true) => {}
            Ok(false) => sink.other(),
            Err(why) => sink.unread(why),
        }
    }
}

/// Returns what a query asks of which no more than the question may be there.
fn question(message: &[u8]) -> Option<(Name, RecordType)> {
    let (flags, questions) = (u16_at(message, 2)?, u16_at(message, 4)?);
    let (name, end) = Name::read(message, HEADER).ok()?;
    let (record_type, class) = (RecordType(u16_at(message, end)?), Class(u16_at(message, end + 2)?));
    let asks = flags & (flag::RESPONSE | flag::OPCODE) == 0 && questions == 1 && class == Class::IN;
    asks.then_some((name, record_type))
}

/// Takes a message for a query, as a resolver does that gets it.
pub(super) fn query(message: &[u8], of: &Carried<'_>, (at, transport): (Timestamp, Transport), sink: &mut Sink<'_>) {
    match QueryView::read(message) {
        Ok(view) if view.class == Class::IN => sink.take(&Seen {
            record_type: Some(view.record_type),
            transport: Some(transport),
            ..Seen::once(at, of.from, view.name)
        }),
        Ok(_) | Err(Unusable::Opcode { .. }) => sink.other(),
        Err(Unusable::Unanswerable) if u16_at(message, 2).is_some_and(|flags| flags & flag::RESPONSE != 0) => {
            sink.other();
        }
        Err(Unusable::Unanswerable | Unusable::Malformed { .. }) => sink.unread(MALFORMED),
    }
}
