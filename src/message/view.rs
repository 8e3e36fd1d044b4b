//! Reading messages in place: the query of a stub resolver, and the response of an upstream.

use ipnet::IpNet;

use super::{Capitals, Class, EXTENDED_ERROR, MAX_EXTENDED_ERROR, Malformed, Name, RecordType, subnet};

/// Octets of the header (RFC 1035, section 4.1.1).
pub const HEADER: usize = 12;

/// Bits of the third and fourth octet of the header.
pub mod flag {
    pub const RESPONSE: u16 = 0x8000;
    pub const AUTHORITATIVE: u16 = 0x0400;
    pub const TRUNCATED: u16 = 0x0200;
    pub const RECURSION_DESIRED: u16 = 0x0100;
    pub const RECURSION_AVAILABLE: u16 = 0x0080;
    pub const AUTHENTIC_DATA: u16 = 0x0020;
    pub const CHECKING_DISABLED: u16 = 0x0010;
    pub const OPCODE: u16 = 0x7800;
    pub const RCODE: u16 = 0x000F;
}

/// A well-formed query: one question of opcode QUERY, and at most one OPT record.
#[derive(Debug, Clone)]
pub struct QueryView {
    pub id: u16,
    pub flags: u16,
    pub name: Name,
    /// The name as the stub spelled it, which the answer repeats.
    pub capitals: Capitals,
    pub record_type: RecordType,
    pub class: Class,
    pub opt: Option<Opt>,
}

/// The OPT pseudo-record of a query (RFC 6891, section 6.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// For whom the sender says that it asks (RFC 7871); malformed too where it says so twice.
    pub subnet: Option<Result<IpNet, Malformed>>,
}

/// What keeps a packet from being a query that can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Shorter than a header, or a response: answering it could start a loop between two servers.
    Unanswerable,
    /// An opcode other than QUERY.
    Opcode { id: u16, flags: u16 },
    /// Breaks the format, or asks more or less than one question (RFC 9619).
    Malformed { id: u16, flags: u16 },
}

impl QueryView {
    /// Reads a packet from a stub resolver.
    ///
    /// # Errors
    /// Says how a packet that is not a well-formed query is to be treated.
    #[inline]
    pub fn read(wire: &[u8]) -> Result<Self, Unusable> {
        let (Some(id), Some(flags)) = (u16_at(wire, 0), u16_at(wire, 2)) else { return Err(Unusable::Unanswerable) };
        if wire.len() < HEADER || flags & flag::RESPONSE != 0 {
            return Err(Unusable::Unanswerable);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Unusable::Opcode { id, flags });
        }
        Self::read_body(wire, id, flags).map_err(|Malformed| Unusable::Malformed { id, flags })
    }

    #[inline]
    fn read_body(wire: &[u8], id: u16, flags: u16) -> Result<Self, Malformed> {
        if [4, 6, 8].map(|at| u16_at(wire, at)) != [Some(1), Some(0), Some(0)] {
            return Err(Malformed);
        }
        let (name, capitals) = Name::read_first(wire, HEADER)?;
        let name_end = HEADER + name.as_wire().len();
        let record_type = RecordType(u16_at(wire, name_end).ok_or(Malformed)?);
        let class = Class(u16_at(wire, name_end + 2).ok_or(Malformed)?);
        let mut opt = None;
        let mut position = name_end + 4;
        for _ in 0..u16_at(wire, 10).ok_or(Malformed)? {
            let record = Record::read(wire, position, Section::Additional)?;
            position = record.end;
            if record.record_type == RecordType::OPT {
                let owner_is_root = wire.get(record.start) == Some(&0);
                if opt.is_some() || !owner_is_root {
                    return Err(Malformed);
                }
                let subnet = client_subnet(&wire[record.data..record.end])?;
                opt = Some(Opt {
                    payload: record.class.0,
                    version: record.ttl.to_be_bytes()[1],
                    dnssec_ok: record.ttl & 0x8000 != 0,
                    subnet,
                });
            }
        }
        if position != wire.len() {
            return Err(Malformed);
        }
        Ok(Self { id, flags, name, capitals, record_type, class, opt })
    }
}

/// Walks the options of an OPT record (RFC 6891, section 6.1.2) to the client subnet; others are passed over.
fn client_subnet(mut options: &[u8]) -> Result<Option<Result<IpNet, Malformed>>, Malformed> {
    let mut found = None;
    while !options.is_empty() {
        let length = usize::from(u16_at(options, 2).ok_or(Malformed)?);
        let data = options.get(4..4 + length).ok_or(Malformed)?;
        if u16_at(options, 0) == Some(subnet::CLIENT_SUBNET) {
            found = Some(if found.is_none() { subnet::read(data) } else { Err(Malformed) });
        }
        options = &options[4 + length..];
    }
    Ok(found)
}

/// Where a record stands (RFC 1035, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// The place of one resource record in its message; offsets count from the start of the message.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    pub section: Section,
    pub start: usize,
    pub record_type: RecordType,
    pub class: Class,
    /// Where the TTL stands.
    pub ttl_at: usize,
    pub ttl: u32,
    /// Where the data begin.
    pub data: usize,
    /// Where the record ends.
    pub end: usize,
}

impl Record {
    /// Reads the record that starts at `start`.
    ///
    /// # Errors
    /// `Malformed` where it leaves the message.
    pub fn read(wire: &[u8], start: usize, section: Section) -> Result<Self, Malformed> {
        let fixed = skip_name(wire, start)?;
        let record_type = RecordType(u16_at(wire, fixed).ok_or(Malformed)?);
        let class = Class(u16_at(wire, fixed + 2).ok_or(Malformed)?);
        let ttl = u32_at(wire, fixed + 4).ok_or(Malformed)?;
        let data = fixed + 10;
        let end = data + usize::from(u16_at(wire, fixed + 8).ok_or(Malformed)?);
        if end > wire.len() {
            return Err(Malformed);
        }
        Ok(Self { section, start, record_type, class, ttl_at: fixed + 4, ttl, data, end })
    }
}

/// A response that is whole: its question and every record lie inside it.
#[derive(Debug, Clone, Copy)]
pub struct ResponseView<'a> {
    wire: &'a [u8],
    question_end: usize,
    /// Where the last record ends.
    end: usize,
    opt: Option<Record>,
    is_opt_last: bool,
}

impl<'a> ResponseView<'a> {
    /// Reads a message with one question.
    ///
    /// # Errors
    /// `Malformed` where it is not a response, has another count of questions, or a record leaves the message.
    pub fn read(wire: &'a [u8]) -> Result<Self, Malformed> {
        let flags = u16_at(wire, 2).ok_or(Malformed)?;
        if flags & flag::RESPONSE == 0 || u16_at(wire, 4) != Some(1) {
            return Err(Malformed);
        }
        let question_end = skip_name(wire, HEADER)? + 4;
        let mut view = Self { wire, question_end, end: question_end, opt: None, is_opt_last: true };
        for record in view.records() {
            let record = record?;
            view.end = record.end;
            view.is_opt_last &= view.opt.is_none() || record.record_type == RecordType::OPT;
            if record.record_type == RecordType::OPT {
                view.opt.get_or_insert(record);
            }
        }
        if view.end > wire.len() { Err(Malformed) } else { Ok(view) }
    }

    pub fn id(&self) -> u16 {
        u16_at(self.wire, 0).unwrap_or_default()
    }

    pub fn flags(&self) -> u16 {
        u16_at(self.wire, 2).unwrap_or_default()
    }

    /// Returns the response code, with the high bits of an OPT record (RFC 6891, section 6.1.3).
    pub fn response_code(&self) -> u16 {
        let high = self.opt().map_or(0, |opt| u16::from(opt.ttl.to_be_bytes()[0]));
        high << 4 | self.flags() & flag::RCODE
    }

    /// Returns whether a message, of which only the beginning has to be whole, has one question: `name`, in any case, of
    /// this type and class.
    pub fn asked(wire: &[u8], name: &Name, record_type: RecordType, class: Class) -> bool {
        let at = HEADER + name.as_wire().len();
        u16_at(wire, 4) == Some(1)
            && wire.get(HEADER..at).is_some_and(|asked| asked.eq_ignore_ascii_case(name.as_wire()))
            && u16_at(wire, at) == Some(record_type.0)
            && u16_at(wire, at + 2) == Some(class.0)
    }

    /// Returns the type that was asked for.
    pub fn record_type(&self) -> RecordType {
        RecordType(u16_at(self.wire, self.question_end - 4).unwrap_or_default())
    }

    pub const fn wire(&self) -> &'a [u8] {
        self.wire
    }

    /// Returns the offset of the first octet behind the question.
    pub const fn question_end(&self) -> usize {
        self.question_end
    }

    /// Returns how many records there are.
    pub fn record_count(&self) -> usize {
        [6, 8, 10].iter().map(|at| usize::from(u16_at(self.wire, *at).unwrap_or_default())).sum()
    }

    /// Returns the offset of the first octet behind the last record.
    pub const fn end(&self) -> usize {
        self.end
    }

    /// Returns whether no other record stands behind an OPT record.
    pub const fn is_opt_last(&self) -> bool {
        self.is_opt_last
    }

    /// Returns the records of all sections in order.
    pub fn records(&self) -> Records<'a> {
        let count = |at| u16_at(self.wire, at).unwrap_or_default();
        Records { wire: self.wire, position: self.question_end, left: [count(6), count(8), count(10)], failed: false }
    }

    /// Returns the OPT record, if there is one.
    pub const fn opt(&self) -> Option<Record> {
        self.opt
    }

    /// Returns the data of the first extended error that is well formed, its text cut to a sentence (RFC 8914, section 2).
    pub fn extended_error(&self) -> Option<Box<[u8]>> {
        let data = self.option(EXTENDED_ERROR).filter(|data| data.len() >= 2)?;
        let (code, text) = data.split_at(2);
        let text = std::str::from_utf8(text).unwrap_or_default();
        let text = &text[..text.floor_char_boundary(MAX_EXTENDED_ERROR - 2)];
        Some([code, text.as_bytes()].concat().into())
    }

    /// Returns the data of the first option with this code.
    pub fn option(&self, code: u16) -> Option<&'a [u8]> {
        let opt = self.opt()?;
        let mut options = self.wire.get(opt.data..opt.end)?;
        while let (Some(found), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
            let data = options.get(4..4 + usize::from(length))?;
            if found == code {
                return Some(data);
            }
            options = &options[4 + usize::from(length)..];
        }
        None
    }
}

/// The records of a message.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    wire: &'a [u8],
    position: usize,
    left: [u16; 3],
    failed: bool,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (at, section) = [Section::Answer, Section::Authority, Section::Additional]
            .into_iter()
            .enumerate()
            .find(|(at, _)| self.left[*at] > 0)?;
        self.left[at] -= 1;
        let record = Record::read(self.wire, self.position, section);
        match &record {
            Ok(record) => self.position = record.end,
            Err(Malformed) => self.failed = true,
        }
        Some(record)
    }
}

/// Builds a message anew without its OPT record, for messages in which other records stand behind it.
///
/// # Errors
/// `Malformed` where a record's data do not fit its type.
pub fn without_opt(wire: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut message = hickory_proto::op::Message::from_vec(wire).map_err(|_| Malformed)?;
    message.edns = None;
    message.to_vec().map_err(|_| Malformed)
}

/// Puts the answer of `rest` behind that of `first`, whose last alias leads to the question of `rest`. The response code
/// and the authority section are those of the last name (RFC 6604, section 2.1); what is said of both is not said with
/// authority.
///
/// # Errors
/// `Malformed` where a record's data do not fit its type.
pub fn continued(first: &[u8], rest: &[u8]) -> Result<Vec<u8>, Malformed> {
    let read = |wire| hickory_proto::op::Message::from_vec(wire).map_err(|_| Malformed);
    let (mut message, rest) = (read(first)?, read(rest)?);
    message.metadata.response_code = rest.metadata.response_code;
    message.metadata.authoritative = false;
    message.answers.extend(rest.answers);
    message.authorities = rest.authorities;
    message.to_vec().map_err(|_| Malformed)
}

/// Returns the offset of the first octet behind the name at `at`, without following pointers.
pub(super) fn skip_name(wire: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut position = at;
    loop {
        match *wire.get(position).ok_or(Malformed)? {
            0 => return Ok(position + 1),
            length @ 1..=63 => position += 1 + usize::from(length),
            0xC0..=0xFF if position + 1 < wire.len() => return Ok(position + 2),
            _ => return Err(Malformed),
        }
    }
}

/// Reads a 16-bit number in network order.
pub fn u16_at(wire: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(wire.get(at..at + 2)?.try_into().ok()?))
}

/// Reads a 32-bit number in network order.
pub fn u32_at(wire: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(wire.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(counts: [u16; 4], body: &[u8]) -> Vec<u8> {
        let mut wire = vec![0x12, 0x34, 0x01, 0x00];
        wire.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        wire.extend_from_slice(body);
        wire
    }

    const QUESTION: &[u8] = b"\x03Www\x07eXample\x00\x00\x01\x00\x01";

    #[test]
    fn a_query_keeps_its_spelling() {
        let view = QueryView::read(&query([1, 0, 0, 0], QUESTION)).unwrap();
        assert_eq!(view.name.to_string(), "www.example");
        let mut wire = view.name.as_wire().to_vec();
        view.capitals.put_on(&mut wire);
        assert_eq!(wire, b"\x03Www\x07eXample\x00");
        assert_eq!((view.id, view.record_type, view.class, view.opt), (0x1234, RecordType::A, Class::IN, None));
    }

    /// RFC 6891, sections 6.1.1 and 6.1.2; RFC 9619.
    #[test]
    fn what_breaks_the_format_is_told_apart() {
        let opt = b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00";
        let with = |parts: &[&[u8]]| parts.concat();
        for (counts, body, fine, what) in [
            ([1, 0, 0, 1], with(&[QUESTION, opt]), true, "one OPT"),
            ([1, 0, 0, 2], with(&[QUESTION, opt, opt]), false, "two OPT"),
            ([2, 0, 0, 0], with(&[QUESTION, QUESTION]), false, "two questions"),
            ([0, 0, 0, 0], vec![], false, "no question"),
            ([1, 1, 0, 0], with(&[QUESTION, opt]), false, "a record in the answer section"),
            ([1, 0, 0, 0], with(&[QUESTION, b"\x00"]), false, "octets behind the end"),
            (
                [1, 0, 0, 1],
                with(&[QUESTION, b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x03\x00\x0A\x00"]),
                false,
                "half an option",
            ),
            (
                [1, 0, 0, 1],
                with(&[QUESTION, b"\x01a\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"]),
                false,
                "OPT below a name",
            ),
            ([1, 0, 0, 0], b"\xC0\x00\x00\x01\x00\x01".to_vec(), false, "a pointer for a name"),
        ] {
            assert_eq!(QueryView::read(&query(counts, &body)).is_ok(), fine, "{what}");
        }
    }

    #[test]
    fn responses_and_stumps_are_unanswerable() {
        let mut response = query([1, 0, 0, 0], QUESTION);
        response[2] |= 0x80;
        assert_eq!(QueryView::read(&response).unwrap_err(), Unusable::Unanswerable);
        assert_eq!(QueryView::read(&response[..11]).unwrap_err(), Unusable::Unanswerable);
        let mut notify = query([1, 0, 0, 0], QUESTION);
        notify[2] = 0x20;
        assert!(matches!(QueryView::read(&notify), Err(Unusable::Opcode { id: 0x1234, .. })));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(wire in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = QueryView::read(&wire);
            if let Ok(view) = ResponseView::read(&wire) {
                let _ = (view.response_code(), view.option(15), view.records().count());
            }
        }
    }
}
