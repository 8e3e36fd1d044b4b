//! A response with the owners of its records read, and the way from its question to its data followed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::data::{hints, leads_on, names_at, parameters};
use crate::message::{Class, HEADER, Malformed, Name, Record, RecordType, ResponseView, Section};
use crate::query::{Place, Subject, Target, Through};

/// The most names that may lie between a question and its data. Resolvers follow a dozen or two; one answer with more is
/// refused.
const MAX_CHAIN: usize = 64;

/// A response that was read.
pub(super) struct Examined<'a> {
    reader: Reader<'a>,
    /// Every record but OPT, with its owner.
    pub(super) records: Vec<(Record, Name)>,
    pub(super) chain: Chain,
}

/// The names behind a question.
pub(super) struct Chain {
    /// In the order in which a client comes to them.
    pub(super) subjects: Vec<Subject>,
    /// The last of those names, or the question: the data hang on it.
    last: Name,
    /// Those names and the question.
    names: HashSet<Name>,
    /// Owners of the DNAME records that were used.
    used: HashSet<Name>,
}

impl<'a> Examined<'a> {
    /// Reads all owners, and follows the aliases of the answer section.
    ///
    /// # Errors
    /// `Malformed` where a name cannot be read, or is another one in each response.
    pub(super) fn of(response: &ResponseView<'a>) -> Result<Self, Malformed> {
        let reader = Reader { wire: response.wire(), changed: changed(response)? };
        let (question, _) = reader.name(HEADER)?;
        let mut records = Vec::new();
        for record in response.records() {
            let record = record?;
            if record.record_type != RecordType::OPT {
                let (owner, _) = reader.name(record.start)?;
                records.push((record, owner));
            }
        }
        let chain = Chain::of(question, &records, &reader)?;
        Ok(Self { reader, records, chain })
    }

    /// Returns what a record leads a client to, the chain left out.
    ///
    /// # Errors
    /// `Malformed` where the data do not fit the type: what cannot be inspected must not pass.
    pub(super) fn subjects_of(&self, record: &Record, owner: &Name) -> Result<Vec<Subject>, Malformed> {
        let place = if record.section == Section::Answer { Place::Answer } else { Place::Aside };
        let mut subjects = Vec::new();
        let behind_chain = *owner == self.chain.last;
        let mut add = |target, through, place| {
            // An alias from one name of the chain to another is the chain, and no second way to that name.
            let is_chain = through == Through::Cname
                && self.chain.names.contains(owner)
                && matches!(&target, Target::Name(name) if self.chain.names.contains(name));
            subjects.push(Subject { target, through, place, behind_chain: behind_chain || is_chain });
        };
        if self.chain.is_strange(record, owner) {
            add(Target::Name(owner.clone()), Through::Owner, place);
        }
        match (record.record_type, record.section) {
            // Name servers in a referral, or beside an answer, are for resolvers; no client follows them.
            (RecordType::NS, Section::Authority | Section::Additional) => {}
            (RecordType::DNAME, _) if self.chain.used.contains(owner) => {}
            (of, _) => {
                if let Some(through) = leads_on(of) {
                    let (target, _) = self.reader.target(record)?;
                    // A target of "." is the owner itself, or nothing (RFC 9460, section 2.5; RFC 3403, section 4.1).
                    if !target.is_root() {
                        add(Target::Name(target), through, place);
                    }
                }
            }
        }
        if let Some(address) = self.reader.address(record)? {
            add(Target::Address(address), Through::Address, place);
        }
        for address in self.reader.hints(record)? {
            add(Target::Address(address), Through::Hint, Place::Aside);
        }
        Ok(subjects)
    }
}

impl Chain {
    /// Follows the aliases of the answer section from `question` on, wherever in it they stand.
    fn of(question: Name, records: &[(Record, Name)], reader: &Reader<'_>) -> Result<Self, Malformed> {
        let mut aliases: HashMap<&Name, Name> = HashMap::new();
        let mut subtrees: Vec<(&Name, Name)> = Vec::new();
        let answers = records.iter().filter(|(record, _)| record.section == Section::Answer);
        for (record, owner) in answers {
            match record.record_type {
                RecordType::CNAME => drop(aliases.entry(owner).or_insert(reader.target(record)?.0)),
                RecordType::DNAME => subtrees.push((owner, reader.target(record)?.0)),
                _ => {}
            }
        }
        let (names, last) = (HashSet::from([question.clone()]), question.clone());
        let mut chain = Self { subjects: Vec::new(), last, names, used: HashSet::new() };
        let mut current = question;
        for _ in 0..=MAX_CHAIN {
            let above = subtrees.iter().find(|(owner, _)| current != **owner && current.is_at_or_below(owner));
            chain.used.extend(above.map(|(owner, _)| (*owner).clone()));
            let substituted = above.and_then(|(owner, target)| moved(&current, owner, target));
            let next = aliases.get(&current).or(substituted.as_ref()).cloned();
            let through = if substituted == next { Through::Dname } else { Through::Cname };
            if let Some(other) = substituted.filter(|other| next.as_ref() != Some(other)) {
                // A client follows the CNAME record; where the DNAME record leads is looked at as well.
                let target = Target::Name(other);
                let (through, place) = (Through::Dname, Place::Answer);
                chain.subjects.push(Subject { target, through, place, behind_chain: false });
            }
            let Some(next) = next.filter(|next| !chain.names.contains(next)) else { return Ok(chain) };
            let (target, place) = (Target::Name(next.clone()), Place::Chain);
            chain.subjects.push(Subject { target, through, place, behind_chain: true });
            chain.names.insert(next.clone());
            chain.last = next.clone();
            current = next;
        }
        Err(Malformed)
    }

    /// Returns whether a record is of a name that nobody asked for. Signatures and denials go with other records, and
    /// what a zone says of itself lies at or above a name that was asked for.
    fn is_strange(&self, record: &Record, owner: &Name) -> bool {
        match record.record_type {
            RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 => false,
            RecordType::SOA | RecordType::NS | RecordType::DS | RecordType::DNSKEY | RecordType::DNAME => {
                !self.names.iter().any(|name| name.is_at_or_below(owner))
            }
            _ => !self.names.contains(owner),
        }
    }
}

/// Reads names and addresses of one message.
struct Reader<'a> {
    wire: &'a [u8],
    /// The message with every octet changed that differs between the responses made of it.
    changed: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads the name at `at`. A name made of octets that are other ones in each response would be another name for
    /// each client.
    fn name(&self, at: usize) -> Result<(Name, usize), Malformed> {
        let read = Name::read(self.wire, at)?;
        if Name::read(&self.changed, at)? == read { Ok(read) } else { Err(Malformed) }
    }

    /// Returns the first name in a record's data, and where it ends.
    fn target(&self, record: &Record) -> Result<(Name, usize), Malformed> {
        let (at, _) = names_at(self.wire, record)?.ok_or(Malformed)?;
        let (name, end) = self.name(at)?;
        if end > record.end { Err(Malformed) } else { Ok((name, end)) }
    }

    fn address(&self, record: &Record) -> Result<Option<IpAddr>, Malformed> {
        let data = self.data(record, record.data);
        let address = match record.record_type {
            RecordType::A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
            RecordType::AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
            _ => return Ok(None),
        };
        if address.is_none() && record.class == Class::IN { Err(Malformed) } else { Ok(address) }
    }

    fn hints(&self, record: &Record) -> Result<Vec<IpAddr>, Malformed> {
        if !matches!(record.record_type, RecordType::SVCB | RecordType::HTTPS) {
            return Ok(Vec::new());
        }
        let (_, end) = self.target(record)?;
        let mut found = Vec::new();
        for (key, value) in parameters(self.data(record, end))? {
            found.extend(hints(key, value)?);
        }
        Ok(found)
    }

    fn data(&self, record: &Record, from: usize) -> &'a [u8] {
        &self.wire[from..record.end]
    }
}

/// Returns where a name below `owner` is moved to by a DNAME record (RFC 6672, section 2.2); `None` where the name would
/// be too long.
fn moved(name: &Name, owner: &Name, target: &Name) -> Option<Name> {
    let (wire, suffix) = (name.as_wire(), owner.as_wire().len());
    let prefix = wire.get(..wire.len() - suffix)?;
    Name::from_wire(&[prefix, target.as_wire()].concat()).ok()
}

/// Returns the message with every octet changed that differs between the responses made of it: the header, and the TTLs.
fn changed(response: &ResponseView<'_>) -> Result<Vec<u8>, Malformed> {
    let mut wire = response.wire().to_vec();
    wire[..HEADER].iter_mut().for_each(|octet| *octet ^= 0xFF);
    for record in response.records() {
        let Record { section, record_type, ttl_at, end, .. } = record?;
        wire[ttl_at..ttl_at + 4].iter_mut().for_each(|octet| *octet ^= 0xFF);
        if section == Section::Authority && record_type == RecordType::SOA {
            wire[end.saturating_sub(4)..end].iter_mut().for_each(|octet| *octet ^= 0xFF);
        }
    }
    Ok(wire)
}
