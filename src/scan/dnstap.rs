//! dnstap (dnstap.info) in Frame Streams, as name servers write it to files. Of all messages those count that clients sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::Seen;
use super::account::Sink;
use super::window::Window;
use crate::message::{Class, HEADER, Name, RecordType, u16_at};
use crate::query::Transport;

/// The longest frame that is believed: two messages with all that is said of them.
const MAX_FRAME: usize = 1 << 20;

/// How much is looked at to find out whether queries or only responses are logged.
const HEAD: usize = 256 << 10;

/// Types of control frames.
const START: u32 = 2;

/// The values of `Message.Type`.
const CLIENT_QUERY: u64 = 5;
const CLIENT_RESPONSE: u64 = 6;

/// Reads frames to the end. Where a server logs nothing but responses, each stands for its query.
pub(super) fn read(window: &mut Window, sink: &mut Sink<'_>) -> io::Result<()> {
    let wanted = wanted(window.need(HEAD)?);
    loop {
        let have = window.need(8)?;
        if have.is_empty() || sink.is_stopped() {
            return Ok(());
        }
        let cut = || io::Error::other("the stream is cut in the middle of a frame");
        let length = length(have, 0).ok_or_else(cut)?;
        let (control, head) = if length == 0 { (true, 8) } else { (false, 4) };
        let length = if control { self::length(have, 4).ok_or_else(cut)? } else { length };
        if length > MAX_FRAME {
            return Err(io::Error::other(format!("a frame is said to have {length} octets, which none has")));
        }
        let frame = window.need(head + length)?.get(head..head + length).ok_or_else(cut)?;
        if control {
            let kind = frame.first_chunk().map(|kind| u32::from_be_bytes(*kind));
            let content = frame.windows(22).any(|part| part == b"protobuf:dnstap.Dnstap");
            match kind {
                Some(START) if !content => {
                    return Err(io::Error::other("the stream carries something else than dnstap"));
                }
                // Another stream may follow, where files were put one behind the other.
                _ => {}
            }
        } else {
            sink.begin();
            match message(frame, wanted) {
                Ok(Some(seen)) => sink.take(&seen),
                Ok(None) => sink.other(),
                Err(why) => sink.unread(why),
            }
        }
        window.consume(head + length);
        window.fruitful();
    }
}

fn length(octets: &[u8], at: usize) -> Option<usize> {
    octets.get(at..)?.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
}

/// Returns which messages stand for queries: those of queries, where there are any at the beginning.
fn wanted(head: &[u8]) -> u64 {
    let mut rest = head;
    while let Some(length) = length(rest, 0) {
        let behind = if length == 0 {
            self::length(rest, 4).and_then(|length| length.checked_add(8))
        } else {
            let frame = rest.get(4..).and_then(|rest| rest.get(..length));
            if frame.and_then(|frame| number(field(frame, 14)?, 1)) == Some(CLIENT_QUERY) {
                return CLIENT_QUERY;
            }
            length.checked_add(4)
        };
        rest = behind.and_then(|behind| rest.get(behind..)).unwrap_or_default();
    }
    CLIENT_RESPONSE
}

fn message(frame: &[u8], wanted: u64) -> Result<Option<Seen>, &'static str> {
    const CUT: &str = "the frame is cut or damaged";
    let of = field(frame, 14).ok_or(CUT)?;
    if number(of, 1).ok_or(CUT)? != wanted {
        return Ok(None);
    }
    let (seconds, nanoseconds) = match (number(of, 8), number(of, 12)) {
        (Some(seconds), _) => (seconds, number(of, 9)),
        (None, Some(seconds)) => (seconds, number(of, 13)),
        (None, None) => return Err("the time is not told"),
    };
    let parts = i64::try_from(seconds).ok().zip(i32::try_from(nanoseconds.unwrap_or_default()).ok());
    let at = parts.and_then(|(seconds, nano)| Timestamp::new(seconds, nano).ok()).ok_or("the time is none")?;
    let client: IpAddr = match field(of, 4) {
        Some(octets) if octets.len() == 4 => Ipv4Addr::from(<[u8; 4]>::try_from(octets).map_err(|_| CUT)?).into(),
        Some(octets) => Ipv6Addr::from(<[u8; 16]>::try_from(octets).map_err(|_| "the client is no address")?).into(),
        None => Ipv4Addr::UNSPECIFIED.into(),
    };
    let wire = field(of, 10).or_else(|| field(of, 14)).ok_or("the message is not told")?;
    let question = || {
        let (name, end) = Name::read(wire, HEADER).ok().filter(|_| u16_at(wire, 4) == Some(1))?;
        Some((name, RecordType(u16_at(wire, end)?), Class(u16_at(wire, end + 2)?)))
    };
    let (name, record_type, class) = question().ok_or("the message has no question")?;
    let opcode = u16_at(wire, 2).unwrap_or_default() & crate::message::flag::OPCODE;
    if class != Class::IN || opcode != 0 {
        return Ok(None);
    }
    let transport = match number(of, 3) {
        Some(1) => Some(Transport::Udp),
        Some(2) => Some(Transport::Tcp),
        _ => None,
    };
    Ok(Some(Seen { record_type: Some(record_type), transport, ..Seen::once(at, client, name) }))
}

/// A field of a message of Protocol Buffers.
enum Field<'m> {
    Number(u64),
    Octets(&'m [u8]),
}

/// Returns the value of the octets or message field with this number, the last one where there are several.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields(message)
        .filter_map(|(of, field)| match field {
            Field::Octets(octets) if of == number => Some(octets),
            Field::Octets(_) | Field::Number(_) => None,
        })
        .last()
}

fn number(message: &[u8], number: u64) -> Option<u64> {
    Fields(message)
        .filter_map(|(of, field)| match field {
            Field::Number(value) if of == number => Some(value),
            Field::Octets(_) | Field::Number(_) => None,
        })
        .last()
}

/// The fields of a message, up to the first that is damaged.
struct Fields<'m>(&'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = (u64, Field<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = varint(self.0)?;
        let (field, rest) = match key & 7 {
            0 => varint(rest).map(|(value, rest)| (Field::Number(value), rest))?,
            1 => rest.split_first_chunk().map(|(value, rest)| (Field::Number(u64::from_le_bytes(*value)), rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (octets, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Field::Octets(octets), rest)
            }
            5 => rest
                .split_first_chunk()
                .map(|(value, rest)| (Field::Number(u32::from_le_bytes(*value).into()), rest))?,
            _ => return None,
        };
        self.0 = rest;
        Some((key >> 3, field))
    }
}

fn varint(octets: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, octet) in octets.iter().take(10).enumerate() {
        value |= u64::from(octet & 0x7F) << (7 * at).min(63);
        if octet & 0x80 == 0 {
            return Some((value, &octets[at + 1..]));
        }
    }
    None
}
