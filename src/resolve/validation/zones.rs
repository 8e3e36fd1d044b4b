//! Which zones lead to a name, from the root down, and the keys of each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_net::proto::dnssec::TrustAnchors;
use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{Name, Record, RecordType as Type};

use super::denial::{Cut, Denial, Proven};
use super::links;
use super::rrset::{Budget, Keys, RrSet, Signed, labels_of, root_keys, usable, zone_keys};
use crate::clock;
use crate::message::{self, RecordType};
use crate::query::{Query, Question};
use crate::resolve::{Asking, Group, Resolved, Resolver};

/// How many names are known at once, how many octets that takes, and for how long they are known at most.
const MOST_KEPT: usize = 16_384;
const MOST_OCTETS: usize = 16 << 20;
const LONGEST: Duration = Duration::from_secs(3600);
/// How much a name takes besides its keys, about.
const OF_NAME: usize = 256;
/// What was asked for so lately is not asked for anew because something does not hold by it.
const NEW: Duration = Duration::from_secs(2);

/// What begins at a name.
#[derive(Debug, Clone)]
pub(super) enum Begins {
    Zone(Arc<Keys>),
    /// A zone that nothing signs, nor any below it.
    Unsigned,
    Nothing,
    /// Nothing, nor at any name below: there is no such name.
    Absent,
}

/// The zone that a name belongs to.
#[derive(Debug, Clone)]
pub(super) enum State {
    Signed(Arc<Keys>),
    Unsigned,
}

/// Why it is not known what to hold of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// What should be signed is not, or not so.
    Bogus,
    /// No upstream answered, or it would take too many questions.
    Missing,
}

impl Begins {
    fn size(&self) -> usize {
        match self {
            Self::Zone(keys) => OF_NAME + keys.size(),
            Self::Unsigned | Self::Nothing | Self::Absent => OF_NAME,
        }
    }
}

/// What is known of names.
#[derive(Default)]
pub(super) struct Kept(Mutex<Names>);

#[derive(Default)]
struct Names {
    by_name: HashMap<Name, Known>,
    octets: usize,
}

/// What begins at a name, since when that is known, and until when.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) begins: Begins,
}

impl Kept {
    /// Returns how many names are known, and about how many octets that takes.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let kept = self.0.lock().unwrap();
        (kept.by_name.len(), kept.octets)
    }

    pub(super) fn get(&self, name: &Name, now: Instant) -> Option<Known> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_name.get(name).filter(|known| now < known.until).cloned()
    }

    pub(super) fn put(&self, name: &Name, known: Known) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Names { by_name, octets } = &mut *kept;
        let size = known.begins.size();
        if by_name.len() >= MOST_KEPT || *octets + size > MOST_OCTETS {
            by_name.retain(|_, of| known.since < of.until);
            *octets = by_name.values().map(|of| of.begins.size()).sum();
            if by_name.len() > MOST_KEPT / 2 || *octets > MOST_OCTETS / 2 {
                // What is asked for again comes again.
                by_name.clear();
                *octets = 0;
            }
        }
        *octets += size;
        if let Some(before) = by_name.insert(name.clone(), known) {
            *octets = octets.saturating_sub(before.begins.size());
        }
    }
}

/// Names and types that are proven, each with the seconds that it may be kept at most.
pub(super) type Authentic = HashMap<(Name, Type), u32>;

/// One proof: what it may ask, and what it goes by.
pub(super) struct Proof<'a> {
    pub(super) resolver: &'a Resolver,
    /// Whose answer is to be proven; further questions are asked as it was.
    pub(super) query: &'a Query,
    pub(super) group: (&'a Group, u32),
    pub(super) asking: &'a Asking,
    pub(super) anchors: &'a TrustAnchors,
    pub(super) kept: &'a Kept,
    /// Since when what is kept has to be known that may be taken, and whether something was that is not new.
    pub(super) known_since: Option<Instant>,
    pub(super) took_kept: bool,
    /// Whether what is proven is that there is nothing of the type, though the answer says that there is no such name.
    pub(super) exists: bool,
    /// Seconds since 1970 by the clock that policy goes by, as a serial number.
    pub(super) now: u32,
    /// How many questions may still be asked, and how many signatures checked.
    pub(super) questions: usize,
    pub(super) checks: Budget,
    /// The names and types that are proven, each with the seconds that it may be kept at most (RFC 4035, section 5.3.3).
    pub(super) authentic: Authentic,
}

impl Proof<'_> {
    /// Returns the zone that a name belongs to, or the first unsigned one on the way there.
    pub(super) async fn state(&mut self, name: &Name) -> Result<State, Fault> {
        let mut keys = match self.begins(&Name::root(), None).await? {
            Begins::Zone(keys) => keys,
            Begins::Unsigned | Begins::Nothing | Begins::Absent => return Err(self.fault()),
        };
        for labels in 1..=labels_of(name) {
            match self.begins(&name.trim_to(labels), Some(&keys)).await? {
                Begins::Zone(further) => keys = further,
                Begins::Unsigned => return Ok(State::Unsigned),
                Begins::Nothing => {}
                Begins::Absent => break,
            }
        }
        Ok(State::Signed(keys))
    }

    /// Returns what begins at a name of the zone that has these keys; without any, it is the root.
    async fn begins(&mut self, name: &Name, above: Option<&Arc<Keys>>) -> Result<Begins, Fault> {
        let now = clock::monotonic();
        let is_fit = |of: &Known| self.known_since.is_none_or(|least| of.since >= least);
        if let Some(Known { since, begins, .. }) = self.kept.get(name, now).filter(is_fit) {
            self.took_kept |= now.saturating_duration_since(since) > NEW;
            return Ok(begins);
        }
        let (begins, most) = match above {
            None => self.root(name).await?,
            Some(above) => self.below(name, above).await?,
        };
        let until = now + Duration::from_secs(most.into()).min(LONGEST);
        self.kept.put(name, Known { since: now, until, begins: begins.clone() });
        Ok(begins)
    }

    /// Says why something does not hold: it may hold all the same where it would take too much to tell.
    fn fault(&self) -> Fault {
        if self.checks.spent { Fault::Missing } else { Fault::Bogus }
    }

    async fn root(&mut self, name: &Name) -> Result<(Begins, u32), Fault> {
        let (message, most) = self.ask(name, Type::DNSKEY).await?;
        let set = RrSet::find(&message.answers, name, Type::DNSKEY).ok_or(Fault::Bogus)?;
        let keys = root_keys(&set, self.anchors, self.now, &mut self.checks);
        let (keys, signed) = keys.ok_or_else(|| self.fault())?;
        Ok((Begins::Zone(Arc::new(keys)), most.min(signed.most)))
    }

    async fn below(&mut self, name: &Name, above: &Arc<Keys>) -> Result<(Begins, u32), Fault> {
        let (message, most) = self.ask(name, Type::DS).await?;
        let Some(set) = RrSet::find(&message.answers, name, Type::DS) else {
            return self.without_ds(name, above, &message, most);
        };
        let signed = set.verified(above, self.now, &mut self.checks).filter(|of| of.labels == name.num_labels());
        let signed = signed.ok_or_else(|| self.fault())?;
        let told = usable(&set);
        if told.is_empty() {
            // Nobody here can tell whether its signatures hold (RFC 4035, section 5.2).
            return Ok((Begins::Unsigned, most.min(signed.most)));
        }
        let (message, of_keys) = self.ask(name, Type::DNSKEY).await?;
        let set = RrSet::find(&message.answers, name, Type::DNSKEY).ok_or(Fault::Bogus)?;
        let keys = zone_keys(&set, &told, self.now, &mut self.checks);
        let (keys, by) = keys.ok_or_else(|| self.fault())?;
        Ok((Begins::Zone(Arc::new(keys)), most.min(signed.most).min(of_keys).min(by.most)))
    }

    /// Says what begins at a name that has no DS records.
    fn without_ds(&mut self, name: &Name, above: &Keys, message: &Message, most: u32) -> Result<(Begins, u32), Fault> {
        let denial = Denial::of(&message.authorities, above, self.now, &mut self.checks);
        // An alias is no zone (RFC 2181, section 10.1), nor is any name below one (RFC 6672, section 2.4).
        let leads_away = |of: &&Record| {
            let is_above = of.name != *name && of.name.zone_of(name) && above.zone.zone_of(&of.name);
            of.record_type() == Type::DNAME && is_above
        };
        let highest = message.answers.iter().filter(leads_away).min_by_key(|of| labels_of(&of.name));
        let alias = RrSet::find(&message.answers, name, Type::CNAME);
        let above_it = highest.and_then(|of| RrSet::find(&message.answers, &of.name, Type::DNAME));
        for set in [alias, above_it].into_iter().flatten() {
            let Some(Signed { most: by, labels }) = set.verified(above, self.now, &mut self.checks) else { continue };
            let expanded = labels < set.name.num_labels();
            if !expanded
                || set.record_type != Type::DNAME && denial.proves_wildcard(set.name, labels) != Proven::Nothing
            {
                denial.settle(&mut self.checks);
                return Ok((Begins::Nothing, most.min(by)));
            }
        }
        let most = most.min(denial.most.unwrap_or(0));
        let cut = denial.cut(name);
        denial.settle(&mut self.checks);
        match cut {
            Cut::Unsigned => Ok((Begins::Unsigned, most)),
            Cut::None => Ok((Begins::Nothing, most)),
            Cut::Absent => Ok((Begins::Absent, most)),
            Cut::Unproven => Err(self.fault()),
        }
    }

    /// Asks upstreams; returns with the answer for how many seconds it may be kept.
    async fn ask(&mut self, name: &Name, record_type: Type) -> Result<(Message, u32), Fault> {
        self.questions = self.questions.checked_sub(1).ok_or(Fault::Missing)?;
        let name =
            super::rrset::lower(name).and_then(|wire| message::Name::from_wire(&wire).ok()).ok_or(Fault::Bogus)?;
        let question = Question { name, record_type: RecordType(record_type.into()), ..self.query.question.clone() };
        let asked = Query { question, ..self.query.clone() };
        match &*self.resolver.joined(&asked, self.group, self.asking).await {
            Resolved::Found { message, body, .. } => {
                let message = links::read(message).ok_or(Fault::Bogus)?;
                match message.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => Ok((message, body.lifetime)),
                    _ => Err(Fault::Missing),
                }
            }
            Resolved::Failed(_) => Err(Fault::Missing),
        }
    }

    /// Returns how a set holds, that is an answer to a question for the type `asked`; `authorities` are what came with it.
    pub(super) async fn set(
        &mut self,
        (set, asked): (&RrSet<'_>, Type),
        authorities: &[Record],
    ) -> Result<Option<Proven>, Fault> {
        for signer in set.signers() {
            // What a zone says of itself is no word of the one above it.
            let is_of_parent = set.record_type != Type::DS || *signer != *set.name || signer.is_root();
            if !signer.zone_of(set.name) || !is_of_parent {
                continue;
            }
            let keys = match self.state(signer).await? {
                State::Signed(keys) if keys.zone == *signer => keys,
                State::Signed(_) => continue,
                State::Unsigned => return Ok(None),
            };
            let Some(Signed { most, labels }) = set.verified(&keys, self.now, &mut self.checks) else { continue };
            if labels != set.name.num_labels() && set.record_type == Type::DNAME {
                // A wildcard leads nobody elsewhere (RFC 4592, section 4.4).
                return Err(Fault::Bogus);
            }
            if labels == set.name.num_labels() {
                self.authentic.insert((set.name.clone(), set.record_type), most);
                return Ok(Some(Proven::Absent));
            }
            let denial = Denial::of(authorities, &keys, self.now, &mut self.checks);
            let proven = denial.proves_wildcard(set.name, labels);
            denial.settle(&mut self.checks);
            self.authentic.extend(denial.signed);
            self.authentic.insert((set.name.clone(), set.record_type), most);
            return match proven {
                Proven::Nothing => Err(self.fault()),
                proven => Ok(Some(proven)),
            };
        }
        self.unsigned(set.name, asked).await
    }

    /// Returns the same of an answer that there is no such name, or nothing of the type where it `exists`; `behind` an alias
    /// where that led to the name.
    pub(super) async fn absence(
        &mut self,
        (name, record_type): (&Name, Type),
        (exists, behind): (bool, bool),
        authorities: &[Record],
    ) -> Result<Option<Proven>, Fault> {
        let soa = authorities.iter().filter(|of| of.record_type() == Type::SOA && of.name.zone_of(name));
        let zone = soa.map(|of| &of.name).max_by_key(|zone| zone.num_labels());
        if let Some(zone) = zone.filter(|zone| record_type != Type::DS || **zone != *name || zone.is_root()) {
            let keys = match self.state(zone).await? {
                State::Unsigned => return Ok(None),
                State::Signed(keys) => keys,
            };
            let soa = RrSet::find(authorities, zone, Type::SOA).filter(|_| keys.zone == *zone);
            let signed = soa.and_then(|set| set.verified(&keys, self.now, &mut self.checks));
            if let Some(signed) = signed {
                let denial = Denial::of(authorities, &keys, self.now, &mut self.checks);
                let (proven, is_there) = denial.proves((name, record_type), (exists, behind));
                denial.settle(&mut self.checks);
                self.authentic.extend(denial.signed);
                self.authentic.insert((zone.clone(), Type::SOA), signed.most);
                if proven != Proven::Nothing {
                    self.exists |= is_there && !exists;
                    return Ok(Some(proven));
                }
            }
        }
        self.unsigned(name, record_type).await
    }

    /// Says what to hold of what nothing has proven.
    async fn unsigned(&mut self, name: &Name, record_type: Type) -> Result<Option<Proven>, Fault> {
        if self.checks.spent {
            return Err(Fault::Missing);
        }
        if self.is_unsigned(name, record_type).await? { Ok(None) } else { Err(self.fault()) }
    }

    /// Returns whether nothing signs what there is of a name and type.
    pub(super) async fn is_unsigned(&mut self, name: &Name, record_type: Type) -> Result<bool, Fault> {
        // DS records belong to the zone above.
        let of = if record_type == Type::DS { name.base_name() } else { name.clone() };
        Ok(matches!(self.state(&of).await?, State::Unsigned))
    }
}
