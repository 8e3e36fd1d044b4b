//! Sets of records and their signatures (RFC 4034, RFC 4035 section 5.3).

use std::cell::LazyCell;

use hickory_net::proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_net::proto::dnssec::{Algorithm, DigestType, PublicKey as _, TrustAnchors, Verifier as _};
use hickory_net::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_net::proto::serialize::binary::{BinEncodable as _, BinEncoder, NameEncoding};

/// How many signatures of one set are looked at.
const MOST_SIGNATURES: usize = 8;

/// How many keys of a zone are kept, and how long one of RSA may be, in octets; with 4096 bits it takes 516.
const MOST_KEYS: usize = 16;
const LONGEST_KEY: usize = 1040;
/// How many DS records with the tag of a key are looked at.
const MOST_DS: usize = 4;

/// The records of one name and type, and what signs them.
#[derive(Debug)]
pub(super) struct RrSet<'a> {
    pub(super) name: &'a Name,
    pub(super) record_type: RecordType,
    pub(super) records: Vec<&'a Record>,
    pub(super) signatures: Vec<&'a RRSIG>,
}

/// The data of a set's records, each once, in canonical form and order.
type Canonical = Vec<Vec<u8>>;

/// The keys of a zone that lead to a trust anchor.
#[derive(Debug, PartialEq)]
pub(super) struct Keys {
    pub(super) zone: Name,
    keys: Vec<(u16, DNSKEY)>,
}

/// A signature that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signed {
    /// For how many seconds the records may be kept at most (RFC 4035, section 5.3.3).
    pub(super) most: u32,
    /// How many labels the name has of which the records are; less than those of the set where a wildcard stands for it.
    pub(super) labels: u8,
}

/// What a proof may still take.
#[derive(Debug)]
pub(super) struct Budget {
    /// How many signatures may be checked.
    pub(super) checks: usize,
    /// How many rounds of hashing there may be (RFC 5155, section 5).
    pub(super) rounds: usize,
    /// Whether it was not enough.
    pub(super) spent: bool,
}

impl Keys {
    /// Returns keys that are believed.
    #[cfg(test)]
    pub(super) fn of(zone: Name, keys: Vec<DNSKEY>) -> Self {
        let tagged = keys.into_iter().map(|key| (key.calculate_key_tag().unwrap(), key));
        Self { zone, keys: tagged.collect() }
    }

    /// Returns about how much memory they take, in octets.
    pub(super) fn size(&self) -> usize {
        self.keys.iter().map(|(_, key)| size_of::<(u16, DNSKEY)>() + key.public_key().public_bytes().len()).sum()
    }
}

impl Budget {
    /// Takes what one signature takes, if that is still there.
    fn take_check(&mut self) -> bool {
        match self.checks.checked_sub(1) {
            Some(left) => self.checks = left,
            None => self.spent = true,
        }
        !self.spent
    }
}

impl<'a> RrSet<'a> {
    /// Returns the records of a name and type, `None` where there are none.
    pub(super) fn find(records: &'a [Record], name: &'a Name, record_type: RecordType) -> Option<Self> {
        let of_name = || records.iter().filter(|record| record.name == *name && record.dns_class == DNSClass::IN);
        let own: Vec<_> = of_name().filter(|record| record.record_type() == record_type).collect();
        let signatures = of_name().filter_map(signature).filter(|of| of.input().type_covered == record_type);
        let signatures = signatures.take(MOST_SIGNATURES).collect();
        (!own.is_empty()).then_some(Self { name, record_type, records: own, signatures })
    }

    /// Returns who signs it, each once.
    pub(super) fn signers(&self) -> Vec<&'a Name> {
        let mut signers: Vec<&Name> = Vec::new();
        for signer in self.signatures.iter().map(|of| &of.input().signer_name) {
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        signers
    }

    /// Returns how a signature by these keys holds at `now`, in seconds since 1970 as a serial number.
    pub(super) fn verified(&self, keys: &Keys, now: u32, budget: &mut Budget) -> Option<Signed> {
        let canonical = LazyCell::new(|| self.canonical());
        self.signatures.iter().find_map(|signature| {
            let by: Vec<&DNSKEY> = self.may_be_by(signature, keys, now).collect();
            if by.is_empty() {
                return None;
            }
            self.holds(signature, (&by, canonical.as_ref()?), now, budget)
        })
    }

    /// Returns the keys by which a signature may be that speaks of this set at `now`.
    fn may_be_by<'k>(&self, signature: &RRSIG, keys: &'k Keys, now: u32) -> impl Iterator<Item = &'k DNSKEY> {
        let input = signature.input();
        let (start, end) = (input.sig_inception.get(), input.sig_expiration.get());
        let is_valid = !is_after(start, now) && !is_after(now, end);
        let is_ours = input.signer_name == keys.zone && keys.zone.zone_of(self.name);
        let has_labels = (keys.zone.num_labels()..=self.name.num_labels()).contains(&input.num_labels);
        let (tag, algorithm) = (input.key_tag, input.algorithm);
        let own = keys.keys.iter().filter(move |(of, key)| *of == tag && key.public_key().algorithm() == algorithm);
        own.map(|(_, key)| key).filter(move |_| is_valid && is_ours && has_labels)
    }

    fn holds(
        &self,
        signature: &RRSIG,
        (by, canonical): (&[&DNSKEY], &Canonical),
        now: u32,
        budget: &mut Budget,
    ) -> Option<Signed> {
        let input = signature.input();
        let signed = self.signed_octets(signature, canonical)?;
        let is_by = |key: &&&DNSKEY| budget.take_check() && key.verify(&signed, signature.sig()).is_ok();
        by.iter().find(is_by)?;
        let shortest = self.records.iter().map(|record| record.ttl).min()?;
        let most = shortest.min(input.original_ttl).min(input.sig_expiration.get().wrapping_sub(now));
        Some(Signed { most, labels: input.num_labels })
    }

    fn canonical(&self) -> Option<Canonical> {
        let mut all: Canonical = self.records.iter().map(|record| data(record)).collect::<Option<_>>()?;
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// Returns the one record of which a set is, which may stand there more than once.
    pub(super) fn only(&self) -> Option<&'a Record> {
        let (first, others) = self.records.split_first()?;
        others.iter().all(|of| of.data == first.data).then_some(*first)
    }

    /// Returns what a signature is made over (RFC 4034, section 3.1.8.1), the records in canonical form and order (section 6).
    fn signed_octets(&self, signature: &RRSIG, canonical_data: &Canonical) -> Option<Vec<u8>> {
        let input = signature.input();
        let owner = match input.num_labels < self.name.num_labels() {
            true => {
                Name::from_labels([&b"*"[..]]).ok()?.append_domain(&self.name.trim_to(input.num_labels.into())).ok()?
            }
            false => self.name.clone(),
        };
        let mut octets = canonical(|encoder| input.emit(encoder))?;
        let head = [
            &lower(&owner)?[..],
            &u16::from(self.record_type).to_be_bytes(),
            &u16::from(DNSClass::IN).to_be_bytes(),
            &input.original_ttl.to_be_bytes(),
        ]
        .concat();
        for data in canonical_data {
            octets.extend_from_slice(&head);
            octets.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
            octets.extend_from_slice(data);
        }
        Some(octets)
    }
}

/// Returns how many labels a name has, a first `*` counted; the field of a signature does not count it.
pub(super) fn labels_of(name: &Name) -> usize {
    name.iter().count()
}

/// Returns the data of a record in canonical form.
fn data(record: &Record) -> Option<Vec<u8>> {
    let mut octets = canonical(|encoder| record.data.emit(encoder))?;
    // The library does not know the names in these (RFC 4034, section 6.2); lengths of labels lie below the letters.
    let names_from = match (&record.data, u16::from(record.record_type())) {
        // RP and DNAME.
        (RData::Unknown { .. }, 17 | 39) => 0,
        // AFSDB, RT, PX and KX, behind a number.
        (RData::Unknown { .. }, 18 | 21 | 26 | 36) => 2,
        _ => return Some(octets),
    };
    octets.get_mut(names_from..)?.make_ascii_lowercase();
    Some(octets)
}

/// Returns a name as it is hashed and signed.
pub(super) fn lower(name: &Name) -> Option<Vec<u8>> {
    name.to_lowercase().to_bytes().ok()
}

fn canonical<E>(emit: impl FnOnce(&mut BinEncoder<'_>) -> Result<(), E>) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    emit(&mut encoder).ok()?;
    Some(octets)
}

/// Returns whether one serial number comes after another (RFC 1982, section 3.2).
fn is_after(later: u32, earlier: u32) -> bool {
    later.wrapping_sub(earlier).cast_signed() > 0
}

/// Returns what a record signs, where it is a signature.
pub(super) fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

/// Returns the keys that a set of DNSKEY records has, `None` where no key that `trusts` signs it.
fn keys(set: &RrSet<'_>, trusts: impl Fn(&DNSKEY) -> bool, now: u32, budget: &mut Budget) -> Option<(Keys, Signed)> {
    let all: Vec<(u16, DNSKEY)> = set
        .records
        .iter()
        .filter_map(|record| {
            let RData::DNSSEC(DNSSECRData::DNSKEY(key)) = &record.data else { return None };
            let is_key = key.zone_key() && !key.revoke() && is_usable(key);
            is_key.then(|| Some((key.calculate_key_tag().ok()?, key.clone())))?
        })
        .take(MOST_KEYS)
        .collect();
    let trusted = all.iter().filter(|(_, key)| trusts(key)).cloned().collect();
    let signed = set.verified(&Keys { zone: set.name.clone(), keys: trusted }, now, budget)?;
    Some((Keys { zone: set.name.clone(), keys: all }, signed))
}

/// Returns whether a key may sign: its algorithm is known, and it is as long as keys of that are (RFC 6605, section 4; RFC 8080,
/// section 3).
fn is_usable(key: &DNSKEY) -> bool {
    let (algorithm, length) = (key.public_key().algorithm(), key.public_key().public_bytes().len());
    algorithm.is_supported()
        && match algorithm {
            Algorithm::ECDSAP256SHA256 => length == 64,
            Algorithm::ECDSAP384SHA384 => length == 96,
            Algorithm::ED25519 => length == 32,
            _ => length <= LONGEST_KEY,
        }
}

/// Returns the keys of the root.
pub(super) fn root_keys(
    set: &RrSet<'_>,
    anchors: &TrustAnchors,
    now: u32,
    budget: &mut Budget,
) -> Option<(Keys, Signed)> {
    keys(set, |key| anchors.contains(key.public_key()), now, budget)
}

/// Returns the keys of a zone of which these DS records are.
pub(super) fn zone_keys(set: &RrSet<'_>, ds: &[&DS], now: u32, budget: &mut Budget) -> Option<(Keys, Signed)> {
    let is_told = |key: &DNSKEY| {
        let tag = key.calculate_key_tag().ok();
        let own = ds.iter().filter(|ds| Some(ds.key_tag()) == tag && ds.algorithm() == key.public_key().algorithm());
        own.take(MOST_DS).any(|ds| ds.covers(set.name, key).unwrap_or(false))
    };
    keys(set, is_told, now, budget)
}

/// Returns those of the DS records by which keys can be told: with a digest and an algorithm that are known, and without SHA-1
/// where there is better (RFC 4509, section 3).
pub(super) fn usable<'a>(set: &RrSet<'a>) -> Vec<&'a DS> {
    let all = set.records.iter().filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds),
        _ => None,
    });
    let known: Vec<&DS> = all.filter(|ds| ds.algorithm().is_supported() && ds.digest_type().is_supported()).collect();
    let better = known.iter().any(|ds| ds.digest_type() != DigestType::SHA1);
    known.into_iter().filter(|ds| !better || ds.digest_type() != DigestType::SHA1).collect()
}
