//! Taking records and service parameters out of an answer that holds without them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::data::{hints, key, names_at, parameters};
use super::examined::Examined;
use crate::message::{
    Body, HEADER, Malformed, Name, Record, RecordType, ResponseView, Section, Spelling, Writer, flag, u16_at,
};
use crate::query::{Place, Question, Subject, Target, Through};

/// What becomes of a record.
enum Fate {
    Kept,
    Dropped,
    /// Its data are these.
    Changed(Vec<u8>),
}

/// Returns `body` without the records and hints beside the answer whose subject `is_sunk`.
///
/// # Errors
/// `Malformed` where a record cannot be written anew, or the answer would be too long for a message.
pub fn without(body: &Body, question: &Question, is_sunk: impl Fn(&Subject) -> bool) -> Result<Body, Malformed> {
    rebuilt(body, question, |examined, wire, record, owner| {
        let mut sunk = Vec::new();
        examined.subjects_of((record, owner), &mut sunk)?;
        // Hints can say the same address thousands of times; each is decided once.
        let mut seen = HashSet::new();
        sunk.retain(|of| of.place == Place::Aside && seen.insert(of.target.clone()) && is_sunk(of));
        if sunk.is_empty() {
            return Ok(Fate::Kept);
        }
        if sunk.iter().any(|subject| subject.through != Through::Hint) {
            return Ok(Fate::Dropped);
        }
        let sunk: HashSet<Target> = sunk.into_iter().map(|subject| subject.target).collect();
        let is_sunk = |address| sunk.contains(&Target::Address(address));
        let is_out = |key, value: &[u8]| hints(key, value).is_ok_and(|found| found.into_iter().any(is_sunk));
        Ok(without_parameters(wire, record, is_out)?.map_or(Fate::Kept, Fate::Changed))
    })
}

/// Returns `body` without the keys for Encrypted ClientHello; `None` where it has none.
///
/// # Errors
/// Those of [`without`].
pub fn without_ech(body: &Body, question: &Question) -> Result<Option<Body>, Malformed> {
    let wire = message(body, question);
    let is_binding = |record: &Record| matches!(record.record_type, RecordType::SVCB | RecordType::HTTPS);
    if !ResponseView::read(&wire)?.records().filter_map(Result::ok).any(|record| is_binding(&record)) {
        return Ok(None);
    }
    let mut found = false;
    let body = rebuilt(body, question, |_, wire, record, _| {
        let changed = match is_binding(record) {
            true => without_parameters(wire, record, |of, _| of == key::ECH)?,
            false => None,
        };
        found |= changed.is_some();
        Ok(changed.map_or(Fate::Kept, Fate::Changed))
    })?;
    Ok(found.then_some(body))
}

/// Returns the data of a service binding without the parameters that are `out`, which are no longer mandatory then
/// either (RFC 9460, section 8); `None` where none is out.
fn without_parameters(
    wire: &[u8],
    record: &Record,
    out: impl Fn(u16, &[u8]) -> bool,
) -> Result<Option<Vec<u8>>, Malformed> {
    let (at, _) = names_at(wire, record)?.ok_or(Malformed)?;
    let (target, end) = Spelling::read(wire, at)?;
    let all = parameters(wire.get(end..record.end).ok_or(Malformed)?)?;
    let removed: BTreeSet<u16> = all.iter().filter(|(key, value)| out(*key, value)).map(|(key, _)| *key).collect();
    if removed.is_empty() {
        return Ok(None);
    }
    let mut data = wire[record.data..at].to_vec();
    data.extend_from_slice(target.as_wire());
    for (key, value) in all.into_iter().filter(|(key, _)| !removed.contains(key)) {
        let mandatory: Vec<u8> = match key {
            key::MANDATORY => {
                let keys = value.chunks(2).filter(|key| !u16_at(key, 0).is_some_and(|key| removed.contains(&key)));
                keys.flatten().copied().collect()
            }
            _ => Vec::new(),
        };
        let value = if key == key::MANDATORY { &mandatory } else { value };
        // An empty list of mandatory keys would be malformed.
        if key != key::MANDATORY || !value.is_empty() {
            data.extend_from_slice(&key.to_be_bytes());
            data.extend_from_slice(&u16::try_from(value.len()).map_err(|_| Malformed)?.to_be_bytes());
            data.extend_from_slice(value);
        }
    }
    Ok(Some(data))
}

/// Writes `body` anew with what `decide` makes of each record. Names are written out, so that none leads into what is
/// gone; sets of records that were changed lose their signatures, and the answer its claim to be authentic.
fn rebuilt(
    body: &Body,
    question: &Question,
    mut decide: impl FnMut(&Examined<'_>, &[u8], &Record, &Name) -> Result<Fate, Malformed>,
) -> Result<Body, Malformed> {
    let wire = message(body, question);
    let response = ResponseView::read(&wire)?;
    let examined = Examined::of(&response)?;
    let mut fates = Vec::with_capacity(examined.records().len());
    let mut changed = BTreeSet::new();
    for (record, owner) in examined.records() {
        let fate = decide(&examined, &wire, record, owner)?;
        if !matches!(fate, Fate::Kept) {
            changed.insert((record.section, owner, record.record_type.0));
        }
        fates.push(fate);
    }
    if changed.is_empty() {
        return Ok(body.clone());
    }
    let mut anew = Anew::new(&wire[..response.question_end()], &question.name);
    for ((record, owner), fate) in examined.records().zip(fates) {
        let covered = u16_at(&wire[..record.end], record.data).unwrap_or_default();
        let is_signature = record.record_type == RecordType::RRSIG;
        match fate {
            Fate::Kept if is_signature && changed.contains(&(record.section, owner, covered)) => {}
            Fate::Kept => anew.record(&wire, record, owner, &data(&wire, record)?)?,
            Fate::Changed(data) => anew.record(&wire, record, owner, &data)?,
            Fate::Dropped => {}
        }
    }
    Ok(anew.finish(body))
}

/// Returns a whole message with `body`, in which its pointers are right.
fn message(body: &Body, question: &Question) -> Vec<u8> {
    let mut wire = Vec::with_capacity(HEADER + question.name.as_wire().len() + 4 + body.octets.len());
    let mut writer = Writer::new(&mut wire, 0, flag::RESPONSE);
    writer.question(question.name.as_wire(), question.record_type, question.class);
    writer.octets().extend_from_slice(&body.octets);
    let [answers, authority, additional] = body.counts;
    writer.set_counts(answers, authority, additional);
    wire
}

/// Returns a record's data with the names in it written out.
fn data(wire: &[u8], record: &Record) -> Result<Vec<u8>, Malformed> {
    let Some((mut at, names)) = names_at(wire, record)? else { return Ok(wire[record.data..record.end].to_vec()) };
    let mut data = wire[record.data..at].to_vec();
    for _ in 0..names {
        let (name, end) = Spelling::read(wire, at)?;
        data.extend_from_slice(name.as_wire());
        at = end;
    }
    data.extend_from_slice(wire.get(at..record.end).ok_or(Malformed)?);
    Ok(data)
}

/// A body under construction.
struct Anew {
    wire: Vec<u8>,
    start: usize,
    counts: [u16; 3],
    ttls: Vec<u16>,
    minimums: Vec<u16>,
    /// Where owners stand, to be pointed to.
    owners: HashMap<Name, usize>,
}

impl Anew {
    fn new(head: &[u8], question: &Name) -> Self {
        let owners = HashMap::from([(question.clone(), HEADER)]);
        let (counts, ttls, minimums) = ([0; 3], Vec::new(), Vec::new());
        Self { wire: head.to_vec(), start: head.len(), counts, ttls, minimums, owners }
    }

    fn record(&mut self, wire: &[u8], record: &Record, owner: &Name, data: &[u8]) -> Result<(), Malformed> {
        let here = self.wire.len();
        match self.owners.get(owner) {
            Some(at) => {
                let pointer = u16::try_from(*at).map_err(|_| Malformed)? | 0xC000;
                self.wire.extend_from_slice(&pointer.to_be_bytes());
            }
            None => {
                self.wire.extend_from_slice(Spelling::read(wire, record.start)?.0.as_wire());
                if here < 0x4000 {
                    self.owners.insert(owner.clone(), here);
                }
            }
        }
        let within = |at: usize| u16::try_from(at - self.start).map_err(|_| Malformed);
        self.ttls.push(within(self.wire.len() + 4)?);
        self.wire.extend_from_slice(&record.record_type.0.to_be_bytes());
        self.wire.extend_from_slice(&record.class.0.to_be_bytes());
        self.wire.extend_from_slice(&record.ttl.to_be_bytes());
        self.wire.extend_from_slice(&u16::try_from(data.len()).map_err(|_| Malformed)?.to_be_bytes());
        self.wire.extend_from_slice(data);
        if record.section == Section::Authority && record.record_type == RecordType::SOA {
            self.minimums.push(within(self.wire.len().checked_sub(4).ok_or(Malformed)?)?);
        }
        self.counts[record.section as usize] += 1;
        // OPT and what else a response gets need some room behind it.
        if self.wire.len() + 512 > usize::from(u16::MAX) { Err(Malformed) } else { Ok(()) }
    }

    fn finish(self, body: &Body) -> Body {
        Body {
            flags: body.flags & !flag::AUTHENTIC_DATA,
            counts: self.counts,
            octets: self.wire[self.start..].into(),
            ttls: self.ttls.into(),
            minimums: self.minimums.into(),
            lifetime: body.lifetime,
            extended_error: body.extended_error.clone(),
        }
    }
}
