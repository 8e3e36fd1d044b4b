//! An answer taken apart into what it says of one name each: an alias and what it leads to, up to the last name and what there
//! is of it, or that there is nothing.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{DNSClass, Name, RData, Record, RecordType as Type};
use hickory_net::proto::serialize::binary::{BinDecodable as _, BinDecoder};

use super::rrset::{labels_of, signature};
use super::zones::Authentic;

/// How many aliases in a row are followed, and how many records there may be above a name that make an alias of it; honest ones
/// are one and its signatures.
const MOST: usize = 16;
const MOST_ABOVE: usize = 16;
/// How many records the authority section has at most; an honest one has a zone's name servers, or up to nine with proofs.
const MOST_AUTHORITIES: usize = 256;
/// Where the header counts the records that stand beside the answer.
const ADDITIONAL_COUNT: Range<usize> = 10..12;
/// The bit of the third octet that says that not all is there.
const TRUNCATED: u8 = 2;

/// What is said of one name, as a server that knows no other name would say it.
pub(super) struct Link {
    pub(super) name: Name,
    pub(super) record_type: Type,
    pub(super) response_code: ResponseCode,
    pub(super) answers: Vec<Record>,
    /// What denies, of all links the same.
    pub(super) authorities: Arc<[Record]>,
    /// Whether an alias led to it.
    pub(super) behind: bool,
}

/// Reads a message without what is of other classes, which nothing here proves. `None` where it has a record that cannot be
/// read, or more of them than there is reason for. What stands beside the answer is left out where that cannot be read.
pub(super) fn read(wire: &[u8]) -> Option<Message> {
    let mut message = Message::from_vec(wire).ok().or_else(|| {
        let mut alone = wire.to_vec();
        alone.get_mut(ADDITIONAL_COUNT)?.fill(0);
        Message::from_vec(&alone).ok()
    })?;
    if message.authorities.len() > MOST_AUTHORITIES {
        return None;
    }
    for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
        section.retain(|of| of.dns_class == DNSClass::IN);
    }
    Some(message)
}

/// Takes an answer apart. `None` where it goes round in circles, or asks nothing.
pub(super) fn links(message: &Message) -> Option<Vec<Link>> {
    let asked = message.queries.first()?;
    // That no other name is nearer has to be proven where a wildcard stands for a name.
    let denies = |of: &&Record| matches!(covers(of), Type::NSEC | Type::NSEC3 | Type::SOA);
    let authorities: Arc<[Record]> = message.authorities.iter().filter(denies).cloned().collect();
    let link = |name: &Name, is_own: &dyn Fn(&Record) -> bool, positive, behind| Link {
        name: name.clone(),
        record_type: asked.query_type,
        response_code: if positive { ResponseCode::NoError } else { message.response_code },
        answers: message.answers.iter().filter(|of| is_own(of)).cloned().collect(),
        authorities: Arc::clone(&authorities),
        behind,
    };
    let mut links = Vec::new();
    let mut seen = HashSet::new();
    let mut name = asked.name.clone();
    while let Some(target) = alias(message, &name, asked.query_type) {
        if links.len() == MOST || !seen.insert(name.to_lowercase()) {
            return None;
        }
        let is_above = |of: &Record| covers(of) == Type::DNAME && of.name != name && of.name.zone_of(&name);
        let is_own = |of: &Record| covers(of) == Type::CNAME && of.name == name;
        if message.answers.iter().filter(|of| is_above(of)).count() > MOST_ABOVE {
            return None;
        }
        let behind = !links.is_empty();
        links.push(link(&name, &|of| is_own(of) || is_above(of), true, behind));
        name = target;
    }
    let is_own = |of: &Record| {
        let wanted = covers(of) == asked.query_type || asked.query_type == of.record_type();
        // Of an alias that is asked for, what it may be made of.
        let above =
            asked.query_type == Type::CNAME && covers(of) == Type::DNAME && of.name != name && of.name.zone_of(&name);
        of.name == name && wanted || above
    };
    let positive = message.answers.iter().any(|of| of.name == name && of.record_type() == asked.query_type);
    let behind = !links.is_empty();
    links.push(link(&name, &is_own, positive, behind));
    Some(links)
}

/// Returns what an alias of the name leads to.
fn alias(message: &Message, name: &Name, asked: Type) -> Option<Name> {
    if matches!(asked, Type::CNAME | Type::RRSIG) {
        return None;
    }
    message.answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    })
}

/// Returns the type of a record, or that of those which it signs.
fn covers(record: &Record) -> Type {
    signature(record).map_or_else(|| record.record_type(), |of| of.input().type_covered)
}

impl Link {
    /// Returns the name above, where this alias was made of a DNAME there, and is not signed for that (RFC 6672, section 5.3.1).
    pub(super) fn made_of(&self) -> Option<&Name> {
        let name = &self.name;
        let target = self.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *name => Some(&target.0),
            _ => None,
        })?;
        self.answers.iter().find_map(|of| {
            let RData::Unknown { code: Type::DNAME, rdata } = &of.data else { return None };
            let kept = labels_of(name).checked_sub(labels_of(&of.name))?;
            let to = Name::read(&mut BinDecoder::new(&rdata.anything)).ok()?;
            let made = Name::from_labels(name.iter().take(kept)).ok()?.append_domain(&to).ok()?;
            (kept > 0 && made == *target).then_some(&of.name)
        })
    }

    /// Returns from when to when each signature is valid, as serial numbers of seconds.
    pub(super) fn validity(&self) -> impl Iterator<Item = (u32, u32)> {
        let signatures = self.answers.iter().chain(&*self.authorities).filter_map(signature);
        signatures.map(|of| (of.input().sig_inception.get(), of.input().sig_expiration.get()))
    }
}

/// Writes an answer as it goes on: with AD where it is proven, and then without all that is not `authentic`; with TTLs as
/// signatures leave them; and with signatures and proofs only for who wants them (RFC 4035, section 3.2.1). That there is no such
/// name is not said where the name `exists`. `None` where it cannot be written.
pub(super) fn written(
    mut message: Message,
    authentic: &Authentic,
    (proven, exists): (bool, bool),
    dnssec_ok: bool,
) -> Option<Vec<u8>> {
    let asked = message.queries.first()?.query_type;
    message.metadata.authentic_data = proven;
    let links = links(&message)?;
    // An answer that there is something is proven as such, whatever its code says.
    message.metadata.response_code = if exists { ResponseCode::NoError } else { links.last()?.response_code };
    message.metadata.truncation = false;
    let own = |of: &Record| (of.name.clone(), covers(of));
    let whole = |of: &Record| (of.name.clone(), covers(of), of.record_type());
    let said: HashSet<_> = links.iter().flat_map(|link| &link.answers).map(whole).collect();
    // What leads nowhere from the question is nobody's answer.
    message.answers.retain(|of| said.contains(&whole(of)));
    if proven {
        let answers: HashSet<_> = message.answers.iter().map(own).collect();
        let is_proven = |of: &Record| authentic.contains_key(&own(of));
        message.answers.retain(is_proven);
        // What is proven of an answer is not proven of what stands elsewhere.
        message.authorities.retain(|of| is_proven(of) && !answers.contains(&own(of)));
        message.additionals.clear();
    }
    for record in message.answers.iter_mut().chain(&mut message.authorities) {
        if let Some(most) = authentic.get(&own(record)) {
            record.ttl = record.ttl.min(*most);
        }
    }
    if !dnssec_ok {
        let stays = |of: &Record| {
            let own = of.record_type();
            own == asked || !matches!(own, Type::RRSIG | Type::NSEC | Type::NSEC3)
        };
        message.answers.retain(stays);
        message.authorities.retain(stays);
        message.additionals.retain(stays);
    }
    // Nothing is taken for whole of which a part found no room.
    message.to_vec().ok().filter(|octets| octets.get(2).is_some_and(|flags| flags & TRUNCATED == 0))
}
