//! Messages over TCP, put together again from the segments of a capture, within bounds.
//!
//! Only what clients send is looked at. A stream is read from its SYN on; one that had begun before the capture, or of which
//! segments are missing for good, is not understood, and its segments are counted as unread.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

/// How many streams are followed at once.
const MAX_STREAMS: usize = 4096;

/// How many octets of one stream wait: a message, or segments that came before their turn.
const MAX_WAITING: usize = 16 << 10;

/// What a segment counts for that waits, besides its octets, so that a flood of small ones takes no more room than large ones.
const OVERHEAD: usize = 128;

/// A stream that no segment has come of while so many came of others is given up where room is needed.
const IDLE: u64 = 65_536;

const WITHIN: &str = "the stream ends in the middle of a message";

const SYN: u8 = 0x02;
const RST_OR_FIN: u8 = 0x05;

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) from: (IpAddr, u16),
    pub(super) to: (IpAddr, u16),
}

impl Flow {
    fn key(self) -> (SocketAddr, SocketAddr) {
        (self.from.into(), self.to.into())
    }
}

#[derive(Debug)]
struct Stream {
    /// The number of its SYN.
    start: u32,
    /// The number of the octet that comes next.
    next: u32,
    /// The beginning of a message.
    begun: Vec<u8>,
    /// Segments that came before their turn, by how far ahead of `next` they begin.
    ahead: BTreeMap<u32, Vec<u8>>,
    last: u64,
}

/// The streams of one capture.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
    segments: u64,
    swept: u64,
}

impl Streams {
    /// Takes a segment, and gives the messages that are whole by it to `each`. Returns whether there were any.
    pub(super) fn segment(
        &mut self,
        flow: Flow,
        (sequence, flags): (u32, u8),
        data: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<bool, &'static str> {
        self.segments += 1;
        let key = flow.key();
        if flags & SYN != 0 {
            let again = self.streams.get(&key).is_some_and(|stream| stream.start == sequence);
            if again {
                // Sent or captured once more.
                return if data.is_empty() {
                    Ok(false)
                } else {
                    self.data(key, sequence.wrapping_add(1), data, &mut each)
                };
            }
            self.make_room();
            if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&key) {
                return Err("more streams at once than are followed");
            }
            let next = sequence.wrapping_add(1);
            let (begun, ahead, last) = (Vec::new(), BTreeMap::new(), self.segments);
            let old = self.streams.insert(key, Stream { start: sequence, next, begun, ahead, last });
            // TCP Fast Open (RFC 7413) has data here.
            let read = if data.is_empty() { Ok(false) } else { self.data(key, next, data, &mut each) };
            return match (read, old.is_some_and(|old| old.is_within())) {
                (Ok(false), true) => Err(WITHIN),
                (read, _) => read,
            };
        }
        let read = if data.is_empty() { Ok(false) } else { self.data(key, sequence, data, &mut each) };
        let cut = flags & RST_OR_FIN != 0 && self.streams.remove(&key).is_some_and(|stream| stream.is_within());
        match (read, cut) {
            (Ok(false), true) => Err(WITHIN),
            (read, _) => read,
        }
    }

    /// Returns how many streams have not come to the end of a message.
    pub(super) fn within(&self) -> usize {
        self.streams.values().filter(|stream| stream.is_within()).count()
    }

    fn data(
        &mut self,
        key: (SocketAddr, SocketAddr),
        sequence: u32,
        data: &[u8],
        each: &mut impl FnMut(&[u8]),
    ) -> Result<bool, &'static str> {
        let now = self.segments;
        let Some(stream) = self.streams.get_mut(&key) else {
            return Err("the stream began before the capture, or segments of it are missing");
        };
        stream.last = now;
        let read = stream.take(sequence, data, each);
        if read.is_err() {
            self.streams.remove(&key);
        }
        read
    }

    /// Gives up streams of which nothing comes any more, where there are too many; not for each segment anew.
    fn make_room(&mut self) {
        if self.streams.len() >= MAX_STREAMS && self.segments - self.swept > MAX_STREAMS as u64 {
            self.swept = self.segments;
            self.streams.retain(|_, stream| self.segments - stream.last < IDLE);
        }
    }
}

impl Stream {
    /// Returns whether a message has begun and not ended.
    fn is_within(&self) -> bool {
        !self.begun.is_empty() || !self.ahead.is_empty()
    }

    fn take(&mut self, sequence: u32, data: &[u8], each: &mut impl FnMut(&[u8])) -> Result<bool, &'static str> {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead > u32::MAX / 2 {
            // Sent once more: what is new begins behind what is known.
            let known = self.next.wrapping_sub(sequence) as usize;
            return match data.get(known..) {
                Some(new) if !new.is_empty() => self.append(new, each),
                _ => Ok(false),
            };
        }
        if ahead > 0 {
            let waiting: usize = self.ahead.values().map(|waiting| waiting.len() + OVERHEAD).sum();
            if waiting + data.len() + OVERHEAD > MAX_WAITING {
                return Err("segments of the stream are missing");
            }
            let waiting = self.ahead.entry(sequence).or_default();
            if waiting.len() < data.len() {
                data.clone_into(waiting);
            }
            return Ok(false);
        }
        self.append(data, each)
    }

    /// Takes octets whose turn it is, and then those that have waited for them.
    fn append(&mut self, data: &[u8], each: &mut impl FnMut(&[u8])) -> Result<bool, &'static str> {
        let mut whole = self.messages(data, each)?;
        while let Some((sequence, waiting)) = self.due() {
            let known = self.next.wrapping_sub(sequence) as usize;
            if let Some(new) = waiting.get(known..) {
                whole |= self.messages(new, each)?;
            }
        }
        Ok(whole)
    }

    fn due(&mut self) -> Option<(u32, Vec<u8>)> {
        let next = self.next;
        let sequence = *self.ahead.keys().find(|sequence| next.wrapping_sub(**sequence) < u32::MAX / 2)?;
        self.ahead.remove_entry(&sequence)
    }

    /// Each message has its length in front (RFC 1035, section 4.2.2).
    fn messages(&mut self, data: &[u8], each: &mut impl FnMut(&[u8])) -> Result<bool, &'static str> {
        // A segment has at most 64 KiB, so that this is no more than its length.
        self.next = self.next.wrapping_add(data.len() as u32);
        self.begun.extend_from_slice(data);
        let (mut at, mut whole) = (0, false);
        while let Some([high, low, rest @ ..]) = self.begun.get(at..) {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length > MAX_WAITING {
                return Err("a message over TCP is longer than any query");
            }
            let Some(message) = rest.get(..length) else { break };
            each(message);
            whole = true;
            at += 2 + length;
        }
        self.begun.drain(..at);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FLOW: Flow = Flow {
        from: (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000),
        to: (IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53),
    };

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        messages.iter().flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat()).collect()
    }

    proptest! {
        #[test]
        fn messages_are_whole_however_segments_are_cut_repeated_and_swapped(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
            cuts in prop::collection::vec(1usize..200, 40),
            swaps in prop::collection::vec(any::<bool>(), 40),
            start in any::<u32>(),
        ) {
            let octets = framed(&messages);
            let (mut segments, mut at) = (Vec::new(), 0);
            for cut in cuts.into_iter().cycle() {
                if at == octets.len() { break; }
                let end = (at + cut).min(octets.len());
                segments.push((start.wrapping_add(1 + at as u32), octets[at..end].to_vec()));
                at = end;
            }
            for (place, swap) in swaps.into_iter().enumerate() {
                if swap && place + 1 < segments.len() {
                    segments.swap(place, place + 1);
                    segments.push(segments[place].clone());
                }
            }
            let (mut streams, mut found) = (Streams::default(), Vec::new());
            streams.segment(FLOW, (start, SYN), &[], |_| {}).unwrap();
            for (sequence, data) in segments {
                streams.segment(FLOW, (sequence, 0x10), &data, |message| found.push(message.to_vec())).unwrap();
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn any_segments_stay_within_bounds(
            segments in prop::collection::vec((any::<u32>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..2000)), 0..16),
        ) {
            let mut streams = Streams::default();
            for (sequence, flags, data) in segments {
                let _ = streams.segment(FLOW, (sequence % 9000, flags), &data, |_| {});
                for stream in streams.streams.values() {
                    let ahead: usize = stream.ahead.values().map(|ahead| ahead.len() + OVERHEAD).sum();
                    prop_assert!(ahead <= MAX_WAITING && stream.begun.len() <= MAX_WAITING + 2, "{}", stream.begun.len());
                }
            }
        }
    }

    #[test]
    fn a_flood_of_small_segments_ahead_of_their_turn_is_bounded() {
        let mut streams = Streams::default();
        streams.segment(FLOW, (0, SYN), &[], |_| {}).unwrap();
        let given_up =
            (0..1000u32).position(|number| streams.segment(FLOW, (10 + 2 * number, 0x10), b"x", |_| {}).is_err());
        assert!(given_up.is_some_and(|at| at < MAX_WAITING / OVERHEAD), "{given_up:?}");
    }

    #[test]
    fn a_syn_that_is_captured_twice_begins_nothing_anew() {
        let (mut streams, mut found) = (Streams::default(), 0);
        for (sequence, flags, data) in
            [(7, SYN, &b""[..]), (8, 0x18, b"\0\x03a"), (7, SYN, b""), (8, 0x18, b"\0\x03a"), (11, 0x18, b"bc")]
        {
            streams.segment(FLOW, (sequence, flags), data, |_| found += 1).unwrap();
        }
        assert_eq!((found, streams.within()), (1, 0));
        streams.segment(FLOW, (13, 0x18), b"\0", |_| {}).unwrap();
        assert_eq!(streams.within(), 1);
        let anew = streams.segment(FLOW, (900, SYN), b"", |_| {});
        assert_eq!((anew, streams.within()), (Err(WITHIN), 0));
    }

    #[test]
    fn streams_are_followed_up_to_a_bound() {
        let mut streams = Streams::default();
        for port in 0..10_000u16 {
            let flow = Flow { from: (FLOW.from.0, port), ..FLOW };
            let read = streams.segment(flow, (1, SYN), &[], |_| {});
            assert_eq!(read.is_err(), usize::from(port) >= MAX_STREAMS, "{port}");
        }
        assert_eq!(streams.streams.len(), MAX_STREAMS);
        let late = streams.segment(Flow { from: (FLOW.from.0, 60_000), ..FLOW }, (5, 0x18), b"\x00\x01x", |_| {});
        assert!(late.unwrap_err().contains("before the capture"));
    }
}
