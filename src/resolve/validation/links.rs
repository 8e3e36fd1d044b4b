//! An answer taken apart into what it says of one name each: an alias and what it leads to, up to the last name and what there
//! is of it, or that there is nothing.

use std::collections::HashSet;

use hickory_net::proto::dnssec::Proof;
use hickory_net::proto::dnssec::rdata::{DNSSECRData, RRSIG};
use hickory_net::proto::op::{Message, Query, ResponseCode};
use hickory_net::proto::rr::{Name, RData, Record, RecordType as Type};
use hickory_net::proto::serialize::binary::{BinDecodable as _, BinDecoder};

/// How many aliases in a row are followed.
const MOST: usize = 16;

/// What is said of one name, as a server that knows no other name would say it.
pub(super) struct Link {
    pub(super) query: Query,
    pub(super) message: Message,
}

/// Takes an answer apart. `None` where it goes round in circles, or asks nothing.
pub(super) fn links(message: &Message) -> Option<Vec<Link>> {
    let asked = message.queries.first()?;
    let mut links = Vec::new();
    let mut seen = HashSet::new();
    let mut name = asked.name.clone();
    while let Some(target) = alias(message, &name, asked.query_type) {
        if links.len() == MOST || !seen.insert(name.to_lowercase()) {
            return None;
        }
        let is_above = |of: &Record| covers(of) == Type::DNAME && of.name != name && of.name.zone_of(&name);
        let is_own = |of: &Record| covers(of) == Type::CNAME && of.name == name;
        links.push(link(message, (&name, asked), |of| is_own(of) || is_above(of), true));
        name = target;
    }
    let is_own = |of: &Record| {
        let wanted = covers(of) == asked.query_type || asked.query_type == of.record_type();
        of.name == name && (wanted || asked.query_type == Type::ANY)
    };
    let positive = message.answers.iter().any(|of| is_own(of) && of.record_type() == asked.query_type);
    links.push(link(message, (&name, asked), is_own, positive));
    Some(links)
}

/// Returns what an alias of the name leads to.
fn alias(message: &Message, name: &Name, asked: Type) -> Option<Name> {
    if matches!(asked, Type::CNAME | Type::ANY | Type::RRSIG) {
        return None;
    }
    message.answers.iter().filter(|record| record.name == *name).find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    })
}

fn link(message: &Message, (name, asked): (&Name, &Query), is_own: impl Fn(&Record) -> bool, positive: bool) -> Link {
    let mut query = asked.clone();
    query.name = name.clone();
    let mut said = Message::response(0, message.op_code);
    said.metadata.response_code = if positive { ResponseCode::NoError } else { message.response_code };
    said.add_query(query.clone());
    said.answers = message.answers.iter().filter(|of| is_own(of)).cloned().collect();
    let proves = |of: &&Record| matches!(covers(of), Type::NSEC | Type::NSEC3);
    let denies = |of: &&Record| proves(of) || covers(of) == Type::SOA;
    let authorities = message.authorities.iter();
    said.authorities = match positive {
        // That no other name is nearer is proven for what a wildcard stands for alone (RFC 4035, section 5.3.4).
        true if said.answers.iter().any(is_by_wildcard) => authorities.filter(proves).cloned().collect(),
        true => Vec::new(),
        false => authorities.filter(denies).cloned().collect(),
    };
    Link { query, message: said }
}

/// Returns the type of a record, or that of those which it signs.
fn covers(record: &Record) -> Type {
    signature(record).map_or_else(|| record.record_type(), |of| of.input().type_covered)
}

/// Returns what a record signs, where it is a signature.
pub(super) fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

fn is_by_wildcard(record: &Record) -> bool {
    signature(record).is_some_and(|of| of.input().num_labels < record.name.num_labels())
}

impl Link {
    /// Returns whether signatures themselves are asked for, which nothing signs.
    pub(super) fn asks_for_signatures(&self) -> bool {
        matches!(self.query.query_type, Type::RRSIG | Type::ANY)
    }

    /// Returns whether a record is the alias that a server makes of a DNAME, and does not sign (RFC 6672, section 5.3.1).
    pub(super) fn is_by_dname(&self, record: &Record, proven: &Message) -> bool {
        let RData::CNAME(target) = &record.data else { return false };
        proven.answers.iter().filter(|of| of.proof == Proof::Secure).any(|of| match &of.data {
            RData::Unknown { code: Type::DNAME, rdata } => {
                let above = of.name != record.name && of.name.zone_of(&record.name);
                let kept = usize::from(record.name.num_labels().saturating_sub(of.name.num_labels()));
                let labels = record.name.iter().take(kept);
                let to = Name::read(&mut BinDecoder::new(&rdata.anything)).ok();
                let made = to.and_then(|to| Name::from_labels(labels).ok()?.append_domain(&to).ok());
                above && made.is_some_and(|name| name == target.0)
            }
            _ => false,
        })
    }

    /// Returns from when to when each signature is valid, as serial numbers of seconds.
    pub(super) fn validity(&self) -> impl Iterator<Item = (u32, u32)> {
        let signatures = self.message.all_sections().filter_map(signature);
        signatures.map(|of| (of.input().sig_inception.get(), of.input().sig_expiration.get()))
    }
}

/// Writes an answer as it goes on: with AD where all of it is proven, and then without what is not, and with signatures and
/// proofs only for who wants them (RFC 4035, section 3.2.1). `None` where it cannot be written.
pub(super) fn written(mut message: Message, secure: bool, dnssec_ok: bool) -> Option<Vec<u8>> {
    let asked = message.queries.first()?.query_type;
    message.metadata.authentic_data = secure;
    if secure {
        let links = links(&message)?;
        message.answers.retain(|of| links.iter().any(|link| link.message.answers.contains(of)));
        message.authorities.retain(|of| links.iter().any(|link| link.message.authorities.contains(of)));
        message.additionals.clear();
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
    message.to_vec().ok()
}
