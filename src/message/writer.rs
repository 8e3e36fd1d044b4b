//! Building messages in a buffer that is used again and again.

use super::view::{HEADER, flag};
use super::{Class, Name, RecordType, Section};

/// The owner of a record that is written.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// The name that stands at this offset of the message, by a pointer to it; below 2^14.
    At(usize),
    Name(&'a Name),
}

impl Owner<'_> {
    /// The name of the question.
    pub const QUESTION: Self = Self::At(HEADER);
}

/// Writes one message into a buffer. Sections are written in their order.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Starts a message with this id and these flags in `out`, whose old content is dropped.
    pub fn new(out: &'a mut Vec<u8>, id: u16, flags: u16) -> Self {
        out.clear();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        Self { out }
    }

    /// Writes the question; `name` is a wire form in any case.
    pub fn question(&mut self, name: &[u8], record_type: RecordType, class: Class) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(&record_type.0.to_be_bytes());
        self.out.extend_from_slice(&class.0.to_be_bytes());
        self.count(4);
    }

    /// Writes a record whose data are `data`.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (record_type, class): (RecordType, Class),
        ttl: u32,
        data: &[&[u8]],
    ) {
        match owner {
            Owner::At(offset) => self.out.extend_from_slice(&[0xC0 | (offset >> 8) as u8, offset as u8]),
            Owner::Name(name) => self.out.extend_from_slice(name.as_wire()),
        }
        self.out.extend_from_slice(&record_type.0.to_be_bytes());
        self.out.extend_from_slice(&class.0.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length = data.iter().map(|part| part.len()).sum::<usize>();
        self.out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        for part in data {
            self.out.extend_from_slice(part);
        }
        self.count(match section {
            Section::Answer => 6,
            Section::Authority => 8,
            Section::Additional => 10,
        });
    }

    /// Writes an OPT record (RFC 6891, section 6.1.2): `high` are the upper bits of the response code, `options` whole
    /// options with code and length.
    pub fn opt(&mut self, payload: u16, high: u8, dnssec_ok: bool, options: &[&[u8]]) {
        let ttl = u32::from_be_bytes([high, 0, if dnssec_ok { 0x80 } else { 0 }, 0]);
        let class = Class(payload);
        self.record(Section::Additional, Owner::Name(&Name::root()), (RecordType::OPT, class), ttl, options);
    }

    /// Returns the message so far, for writing that has no method here.
    pub fn octets(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Sets a count of the header directly.
    pub fn set_counts(&mut self, answer: u16, authority: u16, additional: u16) {
        self.out[6..8].copy_from_slice(&answer.to_be_bytes());
        self.out[8..10].copy_from_slice(&authority.to_be_bytes());
        self.out[10..12].copy_from_slice(&additional.to_be_bytes());
    }

    /// Cuts a finished message behind its question and marks it as truncated (RFC 2181, section 9).
    pub fn truncated(out: &mut Vec<u8>, question_end: usize) {
        out.truncate(question_end);
        out[2] |= (flag::TRUNCATED >> 8) as u8;
        out[6..12].fill(0);
    }

    /// Returns the length so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Returns whether nothing is written; a message has a header from its start.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn count(&mut self, at: usize) {
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]).saturating_add(1);
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
}
