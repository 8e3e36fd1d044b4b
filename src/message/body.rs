//! What stands behind the question of a response, in the form in which it is kept.

use super::view::u32_at;
use super::{Class, HEADER, Malformed, Name, RecordType, flag};

/// What an upstream or a local zone answered: everything behind the question, without the OPT record.
///
/// Compression pointers in `octets` count from the start of a message whose question is the one that was asked, so that
/// the octets can be put behind any spelling of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// AA, AD and the response code, as the header has them; other bits are 0.
    pub flags: u16,
    /// Records in the answer, authority and additional sections.
    pub counts: [u16; 3],
    pub octets: Box<[u8]>,
    /// Where the TTLs stand in `octets`, ascending.
    pub ttls: Box<[u16]>,
    /// Where the minimum fields of SOA records in the authority section stand in `octets` (RFC 2308, section 4).
    pub minimums: Box<[u16]>,
    /// How long the answer may be kept, in seconds; 0 where it must not be.
    pub lifetime: u32,
    /// The data of an extended error that came with it (RFC 8914, section 2).
    pub extended_error: Option<Box<[u8]>>,
}

impl Body {
    /// Returns the TTL of the record whose TTL stands at `offset`.
    pub fn ttl_at(&self, offset: u16) -> u32 {
        u32_at(&self.octets, usize::from(offset)).unwrap_or_default()
    }

    /// Lessens the TTLs, and how long the answer may be kept, by so many seconds.
    pub fn grow_older(&mut self, seconds: u32) {
        for at in &self.ttls {
            let at = usize::from(*at);
            let ttl = u32_at(&self.octets, at).unwrap_or_default().saturating_sub(seconds);
            if let Some(place) = self.octets.get_mut(at..at + 4) {
                place.copy_from_slice(&ttl.to_be_bytes());
            }
        }
        self.lifetime = self.lifetime.saturating_sub(seconds);
    }

    /// Returns the records behind this question as master files have them (RFC 1035, section 5.1), with the TTLs that they had
    /// when they came. Off the path of any query.
    ///
    /// # Errors
    /// Where a record of a known type has data that such a record cannot have.
    pub fn lines(&self, name: &Name, record_type: RecordType, class: Class) -> Result<Vec<String>, Malformed> {
        let mut message = Vec::with_capacity(HEADER + name.as_wire().len() + 4 + self.octets.len());
        for field in [0, flag::RESPONSE, 1, self.counts[0], self.counts[1], self.counts[2]] {
            message.extend_from_slice(&field.to_be_bytes());
        }
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&record_type.0.to_be_bytes());
        message.extend_from_slice(&class.0.to_be_bytes());
        message.extend_from_slice(&self.octets);
        let message = hickory_proto::op::Message::from_vec(&message).map_err(|_| Malformed)?;
        let records = message.answers.iter().chain(&message.authorities).chain(&message.additionals);
        Ok(records.map(ToString::to_string).collect())
    }
}
