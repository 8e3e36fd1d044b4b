//! A response with the owners of its records read, and the way from its question to its data followed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use super::data::{hints, leads_on, names_at, parameters};
use crate::message::{Class, HEADER, Malformed, Name, Record, RecordType, ResponseView, Section, u16_at};
use crate::query::{Place, Subject, Target, Through};

/// The most names that may lie between a question and its data. Resolvers follow a dozen or two; one answer with more is
/// refused.
const MAX_CHAIN: usize = 64;

/// How many owners are looked for among those that were read, to be read once. Behind that many, they are read again.
const MAX_OWNERS: usize = 16;
/// How many names most answers have at most; room for more costs the allocator much more.
pub(super) const FEW_NAMES: usize = 3;

/// A response that was read.
pub(super) struct Examined<'a> {
    reader: Reader<'a>,
    /// The question, then owners of records.
    names: Vec<Name>,
    /// Every record but OPT, with the place of its owner in `names`.
    records: Vec<(Record, usize)>,
    pub(super) chain: Chain,
}

/// The names behind a question.
#[derive(Default)]
pub(super) struct Chain {
    /// In the order in which a client comes to them.
    pub(super) subjects: Vec<Subject>,
    /// Those names without the question, in that order; on the last of them the data hang.
    names: Vec<Name>,
    /// Owners of the DNAME records that were used.
    used: Vec<Name>,
}

impl<'a> Examined<'a> {
    /// Reads all owners, and follows the aliases of the answer section.
    ///
    /// # Errors
    /// `Malformed` where a name cannot be read, or is another one in each response.
    pub(super) fn of(response: &ResponseView<'a>) -> Result<Self, Malformed> {
        let mut records = Vec::with_capacity(response.record_count());
        let mut volatile = Vec::with_capacity(response.record_count() + 1);
        let mut has_aliases = false;
        for record in response.records() {
            let record = record?;
            let Record { section, record_type, ttl_at, end, .. } = record;
            volatile.push(ttl_at..ttl_at + 4);
            if section == Section::Authority && record_type == RecordType::SOA {
                volatile.push(end.saturating_sub(4)..end);
            }
            has_aliases |= section == Section::Answer && matches!(record_type, RecordType::CNAME | RecordType::DNAME);
            if record_type != RecordType::OPT {
                records.push((record, 0));
            }
        }
        let reader = Reader { wire: response.wire(), question_end: response.question_end(), volatile };
        let mut names = Vec::with_capacity(FEW_NAMES);
        names.push(reader.name(HEADER)?.0);
        // Where the names of `names` stand, by the place to which a pointer to them leads.
        let mut places = Vec::with_capacity(FEW_NAMES);
        places.push((HEADER, 0));
        for (record, owner) in &mut records {
            let place = match u16_at(response.wire(), record.start) {
                Some(pointer @ 0xC000..) => usize::from(pointer & 0x3FFF),
                _ => record.start,
            };
            if let Some((_, known)) = places.iter().find(|(of, _)| *of == place) {
                *owner = *known;
                continue;
            }
            *owner = names.len();
            names.push(reader.name(record.start)?.0);
            if places.len() < MAX_OWNERS {
                places.push((place, *owner));
            }
        }
        let mut examined = Self { reader, names, records, chain: Chain::default() };
        if has_aliases {
            examined.chain = Chain::of(&examined)?;
        }
        Ok(examined)
    }

    /// Returns every record but OPT, with its owner.
    pub(super) fn records(&self) -> impl ExactSizeIterator<Item = (&Record, &Name)> {
        self.records.iter().map(|(record, owner)| (record, &self.names[*owner]))
    }

    /// Returns the name on which the data hang.
    fn last(&self) -> &Name {
        self.chain.names.last().unwrap_or(&self.names[0])
    }

    /// Returns whether this is the question or a name of the chain.
    fn is_asked(&self, name: &Name) -> bool {
        self.names[0] == *name || self.chain.names.contains(name)
    }

    /// Returns whether a record is of a name that nobody asked for. Signatures and denials go with other records, and
    /// what a zone says of itself lies at or above a name that was asked for.
    fn is_strange(&self, record: &Record, owner: &Name) -> bool {
        match record.record_type {
            RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3 => false,
            RecordType::SOA | RecordType::NS | RecordType::DS | RecordType::DNSKEY | RecordType::DNAME => {
                let mut asked = std::iter::once(&self.names[0]).chain(&self.chain.names);
                !asked.any(|name| name.is_at_or_below(owner))
            }
            _ => !self.is_asked(owner),
        }
    }

    /// Adds what a record leads a client to, the chain left out, to `subjects`.
    ///
    /// # Errors
    /// `Malformed` where the data do not fit the type: what cannot be inspected must not pass.
    pub(super) fn subjects_of(
        &self,
        (record, owner): (&Record, &Name),
        subjects: &mut Vec<Subject>,
    ) -> Result<(), Malformed> {
        let place = if record.section == Section::Answer { Place::Answer } else { Place::Aside };
        let behind_chain = owner == self.last();
        let mut add = |target, through, place| {
            // An alias from one name of the chain to another is the chain, and no second way to that name.
            let is_chain = through == Through::Cname
                && self.is_asked(owner)
                && matches!(&target, Target::Name(name) if self.is_asked(name));
            subjects.push(Subject { target, through, place, behind_chain: behind_chain || is_chain });
        };
        if self.is_strange(record, owner) {
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
        Ok(())
    }
}

impl Chain {
    /// Follows the aliases of the answer section from the question on, wherever in it they stand.
    fn of(examined: &Examined<'_>) -> Result<Self, Malformed> {
        let mut aliases: HashMap<&Name, Name> = HashMap::new();
        let mut subtrees: Vec<(&Name, Name)> = Vec::new();
        let answers = examined.records().filter(|(record, _)| record.section == Section::Answer);
        for (record, owner) in answers {
            match record.record_type {
                RecordType::CNAME => drop(aliases.entry(owner).or_insert(examined.reader.target(record)?.0)),
                RecordType::DNAME => subtrees.push((owner, examined.reader.target(record)?.0)),
                _ => {}
            }
        }
        let question = &examined.names[0];
        let mut chain = Self::default();
        let mut current = question.clone();
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
            let goes_on = next.filter(|next| next != question && !chain.names.contains(next));
            let Some(next) = goes_on else { return Ok(chain) };
            let (target, place) = (Target::Name(next.clone()), Place::Chain);
            chain.subjects.push(Subject { target, through, place, behind_chain: true });
            chain.names.push(next.clone());
            current = next;
        }
        Err(Malformed)
    }
}

/// Reads names and addresses of one message.
struct Reader<'a> {
    wire: &'a [u8],
    question_end: usize,
    /// What differs between the responses made of the message besides its header, in order: the TTLs.
    volatile: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    /// Reads the name at `at`. A name made of octets that are other ones in each response would be another name for
    /// each client.
    fn name(&self, at: usize) -> Result<(Name, usize), Malformed> {
        let is_steady = |read: Range<usize>| {
            let first = || self.volatile.partition_point(|of| of.end <= read.start);
            read.end <= self.question_end || self.volatile.get(first()).is_none_or(|of| of.start >= read.end)
        };
        Name::read_from(self.wire, at, is_steady)
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
