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

/// How many names are known at once, and for how long at most.
const MOST_KEPT: usize = 16_384;
const LONGEST: Duration = Duration::from_secs(3600);

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

/// What is known of names.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Name, (Instant, Begins)>>);

impl Kept {
    fn get(&self, name: &Name, now: Instant) -> Option<Begins> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|(until, _)| now < *until).map(|(_, begins)| begins.clone())
    }

    fn put(&self, name: &Name, begins: &Begins, until: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            // What is asked for again comes again.
            kept.clear();
        }
        kept.insert(name.clone(), (until, begins.clone()));
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
    /// Whether what is kept may be taken, and whether it was.
    pub(super) takes_kept: bool,
    pub(super) took_kept: bool,
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
            Begins::Unsigned | Begins::Nothing | Begins::Absent => return Err(Fault::Bogus),
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
        if let Some(begins) = self.takes_kept.then(|| self.kept.get(name, now)).flatten() {
            self.took_kept = true;
            return Ok(begins);
        }
        let (begins, most) = match above {
            None => self.root(name).await?,
            Some(above) => self.below(name, above).await?,
        };
        self.kept.put(name, &begins, now + Duration::from_secs(most.into()).min(LONGEST));
        Ok(begins)
    }

    async fn root(&mut self, name: &Name) -> Result<(Begins, u32), Fault> {
        let (message, most) = self.ask(name, Type::DNSKEY).await?;
        let set = RrSet::find(&message.answers, name, Type::DNSKEY).ok_or(Fault::Bogus)?;
        let (keys, signed) = root_keys(&set, self.anchors, self.now, &mut self.checks).ok_or(Fault::Bogus)?;
        Ok((Begins::Zone(Arc::new(keys)), most.min(signed.most)))
    }

    async fn below(&mut self, name: &Name, above: &Arc<Keys>) -> Result<(Begins, u32), Fault> {
        let (message, most) = self.ask(name, Type::DS).await?;
        let Some(set) = RrSet::find(&message.answers, name, Type::DS) else {
            return self.without_ds(name, above, &message, most);
        };
        let signed = set.verified(above, self.now, &mut self.checks).filter(|of| of.labels == name.num_labels());
        let signed = signed.ok_or(Fault::Bogus)?;
        let told = usable(&set);
        if told.is_empty() {
            // Nobody here can tell whether its signatures hold (RFC 4035, section 5.2).
            return Ok((Begins::Unsigned, most.min(signed.most)));
        }
        let (message, of_keys) = self.ask(name, Type::DNSKEY).await?;
        let set = RrSet::find(&message.answers, name, Type::DNSKEY).ok_or(Fault::Bogus)?;
        let (keys, by) = zone_keys(&set, &told, self.now, &mut self.checks).ok_or(Fault::Bogus)?;
        Ok((Begins::Zone(Arc::new(keys)), most.min(signed.most).min(of_keys).min(by.most)))
    }

    /// Says what begins at a name that has no DS records.
    fn without_ds(&mut self, name: &Name, above: &Keys, message: &Message, most: u32) -> Result<(Begins, u32), Fault> {
        let denial = Denial::of(&message.authorities, above, self.now, &mut self.checks);
        // An alias is no zone (RFC 2181, section 10.1), nor is any name below one (RFC 6672, section 2.4).
        let owners = (labels_of(&above.zone)..labels_of(name)).map(|labels| name.trim_to(labels));
        let owners: Vec<Name> = owners.collect();
        let alias = RrSet::find(&message.answers, name, Type::CNAME);
        let above_it = owners.iter().find_map(|owner| RrSet::find(&message.answers, owner, Type::DNAME));
        for set in [alias, above_it].into_iter().flatten() {
            let Some(Signed { most: by, labels }) = set.verified(above, self.now, &mut self.checks) else { continue };
            let expanded = labels < set.name.num_labels();
            if !expanded
                || set.record_type != Type::DNAME && denial.proves_wildcard(set.name, labels) != Proven::Nothing
            {
                return Ok((Begins::Nothing, most.min(by)));
            }
        }
        let most = most.min(denial.most.unwrap_or(0));
        let cut = denial.cut(name);
        self.checks.rounds = denial.rounds();
        match cut {
            Cut::Unsigned => Ok((Begins::Unsigned, most)),
            Cut::None => Ok((Begins::Nothing, most)),
            Cut::Absent => Ok((Begins::Absent, most)),
            Cut::Unproven => Err(Fault::Bogus),
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
            self.checks.rounds = denial.rounds();
            self.authentic.extend(denial.signed);
            self.authentic.insert((set.name.clone(), set.record_type), most);
            return match proven {
                Proven::Nothing => Err(Fault::Bogus),
                proven => Ok(Some(proven)),
            };
        }
        self.unsigned(set.name, asked).await
    }

    /// Returns the same of an answer that there is no such name, or nothing of the type where it `exists`.
    pub(super) async fn absence(
        &mut self,
        (name, record_type, exists): (&Name, Type, bool),
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
                let proven = denial.proves(name, record_type, exists);
                self.checks.rounds = denial.rounds();
                self.authentic.extend(denial.signed);
                self.authentic.insert((zone.clone(), Type::SOA), signed.most);
                if proven != Proven::Nothing {
                    return Ok(Some(proven));
                }
            }
        }
        self.unsigned(name, record_type).await
    }

    /// Says what to hold of what nothing has proven.
    async fn unsigned(&mut self, name: &Name, record_type: Type) -> Result<Option<Proven>, Fault> {
        // It may hold all the same.
        if self.checks.spent {
            return Err(Fault::Missing);
        }
        // DS records belong to the zone above.
        let of = if record_type == Type::DS { name.base_name() } else { name.clone() };
        match self.state(&of).await? {
            State::Unsigned => Ok(None),
            State::Signed(_) => Err(Fault::Bogus),
        }
    }
}
