//! What is proven of names that do not exist, where the library proves too little or too much.

use hickory_net::proto::dnssec::Proof;
use hickory_net::proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_net::proto::op::Message;
use hickory_net::proto::rr::{Name, RData, Record};

use super::links::{Link, signature};

/// Above how many iterations a hash proves nothing (RFC 9276, section 3.2); the library says so too.
const MOST_ITERATIONS: u16 = 100;

/// Returns whether a wildcard may stand for the name of this link: no other name is nearer to it (RFC 4035, section 5.3.4).
/// The library asks for a proof that there is no wildcard right above the name as well, even where that very wildcard is what
/// the answer was made of.
pub(super) fn is_by_wildcard(link: &Link, proven: &Message) -> bool {
    let name = &link.query.name;
    let secure = |record: &&Record| record.proof == Proof::Secure;
    let labels = proven.answers.iter().filter(secure).filter_map(signature).map(|of| of.input().num_labels);
    let Some(labels) = labels.min().filter(|labels| *labels < name.num_labels()) else { return false };
    // The nearest name below where the wildcard is: where that does not exist, nothing below it does.
    let next_closer = name.trim_to(usize::from(labels) + 1);
    let is_held = proven.answers.iter().all(|record| record.proof == Proof::Secure || signature(record).is_some());
    is_held
        && proven
            .authorities
            .iter()
            .filter(secure)
            .any(|of| nsec(of).is_some_and(|nsec| covers((&of.name, nsec), &next_closer)))
}

fn nsec(record: &Record) -> Option<&NSEC> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => Some(nsec),
        _ => None,
    }
}

/// Returns whether an NSEC record denies a name and all below it.
fn covers((owner, nsec): (&Name, &NSEC), name: &Name) -> bool {
    let next = nsec.next_domain_name();
    // What stands above a delegation says nothing of what is below it (RFC 6840, section 4.1).
    let is_of_parent = nsec.is_ancestor_delegation() && owner.zone_of(name);
    let is_last = next <= owner && next.zone_of(name);
    !is_of_parent && owner < name && (name < next || is_last) && !name.zone_of(next)
}

/// Returns whether names may exist all the same that nothing signs, since a zone leaves out delegations to unsigned ones
/// (RFC 5155, section 9.2).
pub(super) fn is_opted_out(name: &Name, proven: &Message) -> bool {
    let secure = proven.authorities.iter().filter(|record| record.proof == Proof::Secure);
    let hashed: Vec<(&Name, &NSEC3)> = secure.filter_map(|of| Some((&of.name, nsec3(of)?))).collect();
    let is_of =
        |(owner, nsec3): &(&Name, &NSEC3)| nsec3.iterations() <= MOST_ITERATIONS && is_hash_of(owner, nsec3, name);
    hashed.iter().any(|(_, nsec3)| nsec3.opt_out()) && !hashed.iter().any(is_of)
}

fn nsec3(record: &Record) -> Option<&NSEC3> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => Some(nsec3),
        _ => None,
    }
}

fn is_hash_of(owner: &Name, nsec3: &NSEC3, name: &Name) -> bool {
    let told = owner.iter().next().and_then(|label| data_encoding::BASE32_DNSSEC.decode(label).ok());
    let hash = nsec3.hash_algorithm().hash(nsec3.salt(), name, nsec3.iterations());
    hash.is_ok_and(|hash| told.as_deref() == Some(hash.as_ref()))
}
