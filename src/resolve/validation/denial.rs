//! That there is no such name, or nothing of the type that was asked for: what NSEC (RFC 4035, section 5.4) and NSEC3 records
//! (RFC 5155, section 8) of one zone prove.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use hickory_net::proto::dnssec::rdata::{DNSSECRData, NSEC, NSEC3};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};

use super::rrset::{Budget, Keys, RrSet, Signed, labels_of};

/// Above how many iterations a hash proves nothing (RFC 9276, section 3.2); as many as Unbound takes.
const MOST_ITERATIONS: u16 = 150;
/// How many records of one answer are looked at.
const MOST_RECORDS: usize = 32;

/// What is proven of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proven {
    /// That there is no such name, or nothing of the type.
    Absent,
    /// The same of all that is signed; what is not may exist all the same (RFC 5155, section 9.2).
    Unsigned,
    /// Nothing.
    Nothing,
}

/// Whether a zone begins at a name, by what says that it has no DS records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// One that nothing signs.
    Unsigned,
    /// None: the name belongs to the zone.
    None,
    /// None, nor at any name below: there is no such name.
    Absent,
    /// That is not proven.
    Unproven,
}

/// The records of one zone that deny, each with a signature that holds.
pub(super) struct Denial<'a> {
    zone: &'a Name,
    nsec: Vec<(&'a Name, &'a NSEC)>,
    nsec3: Vec<(Vec<u8>, &'a NSEC3)>,
    /// The names and types of all that is signed here, each with the seconds that it may be kept at most.
    pub(super) signed: Vec<((Name, RecordType), u32)>,
    /// Whether hashes take so long that they prove nothing.
    too_slow: bool,
    /// For how many seconds the proof may be kept at most.
    pub(super) most: Option<u32>,
    hashes: RefCell<HashMap<Name, Vec<u8>>>,
    /// How many rounds of hashing may still follow, and whether they were not enough.
    rounds: Cell<usize>,
    spent: Cell<bool>,
}

impl<'a> Denial<'a> {
    /// Takes what the keys of a zone sign.
    pub(super) fn of(authorities: &'a [Record], keys: &'a Keys, now: u32, budget: &mut Budget) -> Self {
        let mut denial = Self {
            zone: &keys.zone,
            nsec: Vec::new(),
            nsec3: Vec::new(),
            signed: Vec::new(),
            too_slow: false,
            most: None,
            hashes: RefCell::default(),
            rounds: Cell::new(budget.rounds),
            spent: Cell::new(false),
        };
        let denies = |of: &&Record| matches!(of.record_type(), RecordType::NSEC | RecordType::NSEC3);
        let mut seen: Vec<(&Name, RecordType)> = Vec::new();
        for record in authorities.iter().filter(denies) {
            let own = (&record.name, record.record_type());
            if seen.contains(&own) {
                continue;
            }
            if seen.len() == MOST_RECORDS {
                break;
            }
            seen.push(own);
            let Some(set) = RrSet::find(authorities, &record.name, record.record_type()) else { continue };
            // What is read is what the signature is over.
            let Some(verified) = set.only() else { continue };
            let signed = set.verified(keys, now, budget);
            // What stands for a wildcard is signed as such: expanded it says nothing (RFC 4035, section 5.4).
            let Some(Signed { most, .. }) = signed.filter(|of| of.labels == record.name.num_labels()) else { continue };
            match &verified.data {
                RData::DNSSEC(DNSSECRData::NSEC(nsec)) => denial.nsec.push((&record.name, nsec)),
                RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) => {
                    let is_below = record.name.base_name() == keys.zone;
                    let hash =
                        record.name.iter().next().and_then(|label| data_encoding::BASE32_DNSSEC.decode(label).ok());
                    let Some(hash) = hash.filter(|_| is_below) else { continue };
                    let is_alike = |(_, of): &(Vec<u8>, &NSEC3)| {
                        of.salt() == nsec3.salt()
                            && of.iterations() == nsec3.iterations()
                            && of.hash_algorithm() == nsec3.hash_algorithm()
                    };
                    if nsec3.iterations() > MOST_ITERATIONS {
                        denial.too_slow = true;
                    } else if denial.nsec3.first().is_none_or(is_alike) {
                        denial.nsec3.push((hash, nsec3));
                    }
                }
                _ => continue,
            }
            denial.signed.push(((record.name.clone(), record.record_type()), most));
            denial.most = Some(denial.most.map_or(most, |before| before.min(most)));
        }
        denial
    }

    /// Says what is proven of a name and type, and which of the two: that there is no such name, or nothing of the type where
    /// it `exists`. Some servers say the one and prove the other: that there is no such name where only names below it exist,
    /// or of one that was made up so that it has no types (RFC 9824); and that there is nothing of the type `behind` an alias
    /// that leads to no name (before RFC 6604).
    pub(super) fn proves(
        &self,
        (name, record_type): (&Name, RecordType),
        (exists, behind): (bool, bool),
    ) -> (Proven, bool) {
        if self.too_slow {
            return (Proven::Unsigned, exists);
        }
        let said = if exists { self.no_data(name, record_type) } else { self.no_name(name) };
        match (said, exists) {
            (Proven::Nothing, true) if behind => (self.no_name(name), true),
            (Proven::Nothing, false) => (self.no_data(name, record_type), true),
            (said, _) => (said, exists),
        }
    }

    fn no_data(&self, name: &Name, record_type: RecordType) -> Proven {
        // Nothing stands above the root.
        let is_root = name.is_root();
        if let Some((_, nsec)) = self.nsec.iter().find(|(owner, _)| *owner == name) {
            return absent(lacks(&|of| nsec.type_set().contains(of), record_type, is_root));
        }
        if let Some(nsec3) = self.matching(name) {
            return absent(lacks(&|of| nsec3.type_set().contains(of), record_type, is_root));
        }
        // Where only names below it exist.
        if self.nsec.iter().any(|(owner, nsec)| {
            *owner < name && is_above(name, nsec.next_domain_name()) && self.speaks_of(owner, nsec, name)
        }) {
            return Proven::Absent;
        }
        // By a wildcard that has nothing of the type.
        if let Some(above) = self.encloser_by_nsec(name) {
            let wildcard = wildcard_at(&above);
            let of = self.nsec.iter().find(|(owner, _)| Some(*owner) == wildcard.as_ref());
            return absent(of.is_some_and(|(_, nsec)| lacks(&|of| nsec.type_set().contains(of), record_type, false)));
        }
        let Some((above, opts_out)) = self.encloser_by_hash(name) else { return Proven::Nothing };
        let wildcard = wildcard_at(&above).and_then(|wildcard| self.matching(&wildcard));
        match wildcard {
            Some(nsec3) if lacks(&|of| nsec3.type_set().contains(of), record_type, false) && !opts_out => {
                Proven::Absent
            }
            // A delegation to what nothing signs has no DS record, and may have no record that says so.
            _ if opts_out => Proven::Unsigned,
            _ => Proven::Nothing,
        }
    }

    fn no_name(&self, name: &Name) -> Proven {
        if let Some(above) = self.encloser_by_nsec(name) {
            let is_covered = |wildcard: Name| self.nsec.iter().any(|(owner, nsec)| self.covers(owner, nsec, &wildcard));
            return absent(wildcard_at(&above).is_some_and(is_covered));
        }
        let Some((above, opts_out)) = self.encloser_by_hash(name) else { return Proven::Nothing };
        let wildcard = wildcard_at(&above).and_then(|wildcard| self.covering(&wildcard));
        match (wildcard, opts_out) {
            (Some(_), false) => Proven::Absent,
            (Some(_), true) => Proven::Unsigned,
            (None, _) => Proven::Nothing,
        }
    }

    /// Says whether a zone begins at a name without DS records.
    pub(super) fn cut(&self, name: &Name) -> Cut {
        if self.too_slow {
            return Cut::Unsigned;
        }
        let by = |contains: &dyn Fn(RecordType) -> bool| match () {
            // A record of the zone itself says nothing of what stands above it.
            () if contains(RecordType::DS) || contains(RecordType::SOA) => Cut::Unproven,
            () if contains(RecordType::NS) => Cut::Unsigned,
            () => Cut::None,
        };
        if let Some((_, nsec)) = self.nsec.iter().find(|(owner, _)| *owner == name) {
            return by(&|of| nsec.type_set().contains(of));
        }
        if let Some(nsec3) = self.matching(name) {
            return by(&|of| nsec3.type_set().contains(of));
        }
        let before = |(owner, nsec): &&(&Name, &NSEC)| *owner < name && self.speaks_of(owner, nsec, name);
        if self.nsec.iter().filter(before).any(|(_, nsec)| is_above(name, nsec.next_domain_name())) {
            return Cut::None;
        }
        if self.nsec.iter().any(|(owner, nsec)| self.covers(owner, nsec, name)) {
            return Cut::Absent;
        }
        // Behind a wildcard nothing is delegated either (RFC 4592, section 4.2).
        match self.encloser_by_hash(name) {
            Some((_, true)) => Cut::Unsigned,
            Some((_, false)) => Cut::Absent,
            None => Cut::Unproven,
        }
    }

    /// Returns whether nothing is nearer to a name than the wildcard that has so many labels behind its first (RFC 4035, section
    /// 5.3.4; RFC 5155, section 8.8), and whether the zone opts out there.
    pub(super) fn proves_wildcard(&self, name: &Name, labels: u8) -> Proven {
        if self.too_slow {
            return Proven::Unsigned;
        }
        let next_closer = name.trim_to(usize::from(labels) + 1);
        if self.nsec.iter().any(|(owner, nsec)| self.covers(owner, nsec, &next_closer)) {
            return Proven::Absent;
        }
        match self.covering(&next_closer) {
            Some(nsec3) if nsec3.opt_out() => Proven::Unsigned,
            Some(_) => Proven::Absent,
            None => Proven::Nothing,
        }
    }

    /// Returns whether an NSEC record may speak of a name: what stands above a delegation or a DNAME says nothing of what is
    /// below (RFC 6840, section 4.1).
    fn speaks_of(&self, owner: &Name, nsec: &NSEC, name: &Name) -> bool {
        let types = nsec.type_set();
        let leads_away =
            types.contains(RecordType::DNAME) || types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
        self.zone.zone_of(name) && !(leads_away && owner.zone_of(name) && owner != name)
    }

    /// Returns whether an NSEC record denies a name and all below it.
    fn covers(&self, owner: &Name, nsec: &NSEC, name: &Name) -> bool {
        let next = nsec.next_domain_name();
        let is_last = next == self.zone && name != self.zone;
        owner < name && (name < next || is_last) && !name.zone_of(next) && self.speaks_of(owner, nsec, name)
    }

    /// Returns the longest name above one that does not exist that does, by the record that denies it.
    fn encloser_by_nsec(&self, name: &Name) -> Option<Name> {
        let (owner, nsec) = self.nsec.iter().find(|(owner, nsec)| self.covers(owner, nsec, name))?;
        let common =
            |of: &Name| (0..=labels_of(name)).rev().map(|labels| name.trim_to(labels)).find(|above| above.zone_of(of));
        let longest = [common(owner), common(nsec.next_domain_name())].into_iter().flatten().max_by_key(labels_of)?;
        self.zone.zone_of(&longest).then_some(longest)
    }

    /// Returns the same by hashes (RFC 5155, section 8.3), and whether the record opts out that denies the name below.
    fn encloser_by_hash(&self, name: &Name) -> Option<(Name, bool)> {
        let above = (labels_of(self.zone)..labels_of(name)).rev().map(|labels| name.trim_to(labels));
        let (encloser, of) =
            above.filter_map(|above| Some((self.matching(&above)?, above))).map(|(of, above)| (above, of)).next()?;
        let types = of.type_set();
        if types.contains(RecordType::DNAME) || types.contains(RecordType::NS) && !types.contains(RecordType::SOA) {
            return None;
        }
        let next_closer = name.trim_to(labels_of(&encloser) + 1);
        let covering = self.covering(&next_closer)?;
        Some((encloser, covering.opt_out()))
    }

    fn matching(&self, name: &Name) -> Option<&'a NSEC3> {
        let hash = self.hash(name)?;
        self.nsec3.iter().find(|(owner, _)| *owner == hash).map(|(_, nsec3)| *nsec3)
    }

    fn covering(&self, name: &Name) -> Option<&'a NSEC3> {
        let hash = self.hash(name)?;
        let covers = |(owner, nsec3): &&(Vec<u8>, &NSEC3)| {
            let next = nsec3.next_hashed_owner_name();
            match &owner[..] < next {
                true => *owner < hash && &hash[..] < next,
                // The last one, whose next is the first.
                false => *owner < hash || &hash[..] < next,
            }
        };
        self.nsec3.iter().find(covers).map(|(_, nsec3)| *nsec3)
    }

    fn hash(&self, name: &Name) -> Option<Vec<u8>> {
        if let Some(hash) = self.hashes.borrow().get(name) {
            return Some(hash.clone());
        }
        let (_, by) = self.nsec3.first()?;
        let Some(left) = self.rounds.get().checked_sub(usize::from(by.iterations()) + 1) else {
            self.spent.set(true);
            return None;
        };
        self.rounds.set(left);
        let hash = by.hash_algorithm().hash(by.salt(), name, by.iterations()).ok()?.as_ref().to_vec();
        self.hashes.borrow_mut().insert(name.clone(), hash.clone());
        Some(hash)
    }

    /// Tells what it took.
    pub(super) fn settle(&self, budget: &mut Budget) {
        budget.rounds = self.rounds.get();
        budget.spent |= self.spent.get();
    }
}

/// Returns whether one name lies above another.
fn is_above(above: &Name, name: &Name) -> bool {
    above != name && above.zone_of(name)
}

const fn absent(is_so: bool) -> Proven {
    if is_so { Proven::Absent } else { Proven::Nothing }
}

/// Returns whether a name whose types `has` tells has nothing of a type, in the zone that is asked for it.
fn lacks(has: &dyn Fn(RecordType) -> bool, record_type: RecordType, is_root: bool) -> bool {
    let of_parent = has(RecordType::NS) && !has(RecordType::SOA);
    let is_its = match record_type {
        // What stands below a delegation says nothing of DS, and what stands above it of nothing else.
        RecordType::DS => !has(RecordType::SOA) || is_root,
        _ => !of_parent,
    };
    !has(record_type) && !has(RecordType::CNAME) && is_its
}

fn wildcard_at(above: &Name) -> Option<Name> {
    Name::from_labels([&b"*"[..]]).ok()?.append_domain(above).ok()
}
