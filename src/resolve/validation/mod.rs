//! DNSSEC validation (RFC 4033 to 4035) of what upstreams answer, where the operator wants it.
//!
//! An answer is asked for with its signatures and with CD set, so that it comes whatever an upstream holds of it. It is taken apart
//! into what it says of one name each ([`links`]), and each of these is proven by the keys of one zone ([`rrset`], [`denial`]),
//! which are found from the root down ([`zones`]). Of cryptography, and of reading records, nothing is ours.

mod denial;
mod links;
mod rrset;
#[cfg(test)]
mod signed;
mod zones;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_net::proto::dnssec::TrustAnchors;
use hickory_net::proto::op::ResponseCode;
use hickory_net::proto::rr::{Name as HickoryName, RecordType as Type};
use hickory_net::proto::serialize::binary::{BinDecodable as _, BinDecoder};

use super::exchange::{Failed, Failure};
use super::upstream::Group;
use super::{Asking, Resolved, Resolver, taken_apart};
use crate::message::{Class, Name};
use crate::observe::UpstreamEvent;
use crate::query::{Edns, MAX_PAYLOAD, Query, Question};
use denial::Proven;
use links::{Link, links};
use rrset::{Budget, RrSet};
use zones::{Authentic, Fault, Kept, Proof};

/// How many questions to upstreams the proof of one answer may take, and how many signatures may be checked for it. A chain of
/// sixteen zones takes 32 of both. What wants more is not proven.
const MOST_QUESTIONS: usize = 64;
const MOST_CHECKS: usize = 128;
/// How many rounds of hashing the proof of one answer may take.
const MOST_ROUNDS: usize = 10_000;

/// How answers are validated. Keeps which zones there are, and their keys.
pub struct Validation {
    anchors: Anchors,
    /// Zones of which nothing is proven (RFC 7646).
    except: Vec<Name>,
    kept: Kept,
}

/// What is held of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// All of it is signed by keys that lead to a trust anchor.
    Secure,
    /// A zone that leads to it is proven to sign nothing.
    Insecure,
    /// It should be signed, and is not, or not so.
    Bogus,
    /// What its proof needs could not be had.
    Unknown,
}

/// An extended error (RFC 8914, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Bogus = 6,
    Expired = 7,
    NotYetValid = 8,
    SignaturesMissing = 10,
}

impl Why {
    const fn words(self) -> &'static str {
        match self {
            Self::Bogus => "DNSSEC validation failed",
            Self::Expired => "DNSSEC signatures have expired",
            Self::NotYetValid => "DNSSEC signatures are not valid yet",
            Self::SignaturesMissing => "DNSSEC signatures are missing",
        }
    }
}

/// Whose keys are believed without proof.
pub type Anchors = Arc<TrustAnchors>;

/// Reads trust anchors: DNSKEY records in the presentation of a zone file.
///
/// # Errors
/// Why there is none of the root in `text`.
pub fn trust_anchors(text: &str) -> Result<Anchors, String> {
    let anchors: TrustAnchors = text.parse().map_err(|error| format!("it cannot be read: {error}"))?;
    if anchors.is_empty() {
        return Err("it has no DNSKEY record of the root zone".to_owned());
    }
    Ok(Arc::new(anchors))
}

/// What is held of a whole answer.
struct Held {
    standing: Standing,
    authentic: Authentic,
    /// Whether something was taken that was asked for a while before.
    took_kept: bool,
    /// Whether the name exists, though the answer says that it does not.
    exists: bool,
}

impl Validation {
    /// Returns one that has proven nothing yet. `anchors` are those of the root as published by IANA where there are none.
    pub fn new(anchors: Option<Anchors>, except: Vec<Name>) -> Self {
        Self { anchors: anchors.unwrap_or_default(), except, kept: Kept::default() }
    }

    /// Returns whether answers to this query are validated: it does not say that the stub does so for itself.
    pub fn covers(&self, query: &Query) -> bool {
        !query.checking_disabled && query.question.class == Class::IN && !self.excepts(&query.question.name)
    }

    fn excepts(&self, name: &Name) -> bool {
        self.except.iter().any(|zone| name.is_at_or_below(zone))
    }

    /// Asks for what `query` asks for, and for whatever proves the answer.
    pub(super) fn resolve<'a>(
        &'a self,
        resolver: &'a Resolver,
        query: &'a Query,
        of: (&'a Group, u32),
        asking: &'a Asking,
    ) -> Pin<Box<dyn Future<Output = Resolved> + Send + 'a>> {
        // In a box, since what it asks for comes from where it was called.
        Box::pin(self.resolved(resolver, query, of, asking))
    }

    async fn resolved(&self, resolver: &Resolver, query: &Query, of: (&Group, u32), asking: &Asking) -> Resolved {
        let edns = Some(Edns { payload: MAX_PAYLOAD, dnssec_ok: true });
        let signed = Query { checking_disabled: true, edns, ..query.clone() };
        let found = resolver.joined(&signed, of, asking).await;
        let wire = match &*found {
            Resolved::Found { message, .. } => message,
            Resolved::Failed(failed) => return Resolved::Failed(failed.clone()),
        };
        let failed = |failure| Resolved::Failed(Failed { failure, extended_error: None });
        let now = resolver.clock.read().at.as_second();
        let proof = |takes_kept| Proof {
            resolver,
            query: &signed,
            group: of,
            asking,
            anchors: &self.anchors,
            kept: &self.kept,
            takes_kept,
            took_kept: false,
            exists: false,
            // Serial numbers wrap (RFC 4034, section 3.1.5).
            now: u32::try_from(now.rem_euclid(1 << 32)).unwrap_or_default(),
            questions: MOST_QUESTIONS,
            checks: Budget { checks: MOST_CHECKS, rounds: MOST_ROUNDS, spent: false },
            authentic: Authentic::new(),
        };
        let whole = asking.timeout * u32::try_from(asking.tries).unwrap_or(u32::MAX);
        let Some(message) = links::read(wire) else {
            // It cannot be proven; where nothing is signed, nothing has to be.
            return match tokio::time::timeout(whole, is_unsigned(&query.question, &mut proof(true))).await {
                Ok(Ok(true)) => resolver.forward(query, of.0, asking).await,
                Ok(Ok(false) | Err(Fault::Bogus)) => failed(Failure::Bogus),
                Ok(Err(Fault::Missing)) | Err(_) => failed(Failure::TimedOut),
            };
        };
        let is_answer = matches!(message.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        let Some(links) = links(&message).filter(|_| is_answer) else { return failed(Failure::Refused) };
        let mut held = self.hold_within(whole, &links, proof(true)).await;
        if held.standing == Standing::Bogus && held.took_kept {
            // A zone may have other keys since those were asked for that it was held against.
            held = self.hold_within(whole, &links, proof(false)).await;
        }
        match held.standing {
            Standing::Secure | Standing::Insecure => {
                let secure = held.standing == Standing::Secure;
                match links::written(message, &held.authentic, (secure, held.exists), query.dnssec_ok()) {
                    Some(message) => taken_apart(message, false, asking.lifetimes),
                    None => failed(Failure::Refused),
                }
            }
            Standing::Bogus => {
                resolver.metrics.count_upstream(UpstreamEvent::Bogus);
                let why = why(&links, now);
                let told = [&(why as u16).to_be_bytes(), why.words().as_bytes()].concat();
                Resolved::Failed(Failed { failure: Failure::Bogus, extended_error: Some(told.into()) })
            }
            Standing::Unknown => failed(Failure::TimedOut),
        }
    }

    async fn hold_within(&self, whole: Duration, links: &[Link], proof: Proof<'_>) -> Held {
        let (standing, authentic) = (Standing::Unknown, Authentic::new());
        let unknown = |_| Held { standing, authentic, took_kept: false, exists: false };
        tokio::time::timeout(whole, self.hold(links, proof)).await.unwrap_or_else(unknown)
    }

    /// Proves one link after the other; the least of them is what is held of all.
    async fn hold(&self, links: &[Link], mut proof: Proof<'_>) -> Held {
        let mut standing = Standing::Secure;
        for link in links {
            let is_excepted = rrset::lower(&link.name)
                .and_then(|wire| Name::from_wire(&wire).ok())
                .is_some_and(|name| self.excepts(&name));
            let held = if is_excepted { Ok(None) } else { prove(link, &mut proof).await };
            standing = standing.max(match held {
                Ok(Some(Proven::Absent)) => Standing::Secure,
                Ok(Some(Proven::Unsigned | Proven::Nothing) | None) => Standing::Insecure,
                Err(Fault::Bogus) => Standing::Bogus,
                Err(Fault::Missing) => Standing::Unknown,
            });
            if standing >= Standing::Bogus {
                break;
            }
        }
        let Proof { authentic, took_kept, exists, .. } = proof;
        Held { standing, authentic, took_kept, exists }
    }
}

/// Returns whether nothing signs what there is of a name.
async fn is_unsigned(of: &Question, proof: &mut Proof<'_>) -> Result<bool, Fault> {
    let name = HickoryName::read(&mut BinDecoder::new(of.name.as_wire())).map_err(|_| Fault::Bogus)?;
    proof.is_unsigned(&name, of.record_type.0.into()).await
}

/// Proves what is said of one name: `None` where nothing signs it.
async fn prove(link: &Link, proof: &mut Proof<'_>) -> Result<Option<Proven>, Fault> {
    let Link { name, record_type, response_code, answers, authorities, behind } = link;
    let exists = *response_code != ResponseCode::NXDomain;
    if *record_type == Type::RRSIG && exists {
        // Nothing signs signatures.
        return Ok(None);
    }
    if let Some(above) = link.made_of() {
        let set = RrSet::find(answers, above, Type::DNAME).ok_or(Fault::Bogus)?;
        let proven = proof.set((&set, *record_type), authorities).await?;
        let made = RrSet::find(answers, name, Type::CNAME).filter(|made| made.records.len() == 1);
        // There is one that can be made, and it is as good as what it was made of.
        let made = made.ok_or(Fault::Bogus)?;
        if let Some(most) = proof.authentic.get(&(above.clone(), Type::DNAME)).copied() {
            proof.authentic.insert((made.name.clone(), Type::CNAME), most);
        }
        return Ok(proven);
    }
    let own = [*record_type, Type::CNAME].map(|of| RrSet::find(answers, name, of));
    match own.into_iter().flatten().next() {
        Some(set) => proof.set((&set, *record_type), authorities).await,
        None => proof.absence((name, *record_type), (exists, *behind), authorities).await,
    }
}

/// Says as well as can be told from the answer alone why it does not hold.
fn why(links: &[Link], now: i64) -> Why {
    reason(&links.iter().flat_map(Link::validity).collect::<Vec<_>>(), now)
}

/// Says so of signatures that are valid from and to these serial numbers.
fn reason(signatures: &[(u32, u32)], now: i64) -> Why {
    // Serial numbers that wrap (RFC 4034, section 3.1.5).
    let now = u32::try_from(now.rem_euclid(1 << 32)).unwrap_or_default();
    let is_past = |end: u32| now.wrapping_sub(end).cast_signed() > 0;
    match signatures {
        [] => Why::SignaturesMissing,
        of if of.iter().all(|(_, end)| is_past(*end)) => Why::Expired,
        of if of.iter().all(|(start, _)| !is_past(*start) && *start != now) => Why::NotYetValid,
        _ => Why::Bogus,
    }
}

impl fmt::Debug for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validation").field("except", &self.except).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_net::proto::dnssec::PublicKey as _;
    use hickory_net::proto::dnssec::rdata::DNSKEY;

    /// The key tags are those of <https://data.iana.org/root-anchors/root-anchors.xml>.
    #[test]
    fn the_keys_of_the_root_are_those_that_iana_publishes() {
        let anchors = TrustAnchors::default();
        let keys = (0..anchors.len()).map(|place| anchors.get(place).unwrap().clone());
        let tags: Vec<u16> = keys.map(|key| DNSKEY::new(true, true, false, key).calculate_key_tag().unwrap()).collect();
        assert_eq!(tags, [20326, 38696]);
        assert!(anchors.get(0).is_some_and(|key| key.public_bytes().len() > 256));
    }

    #[test]
    fn a_signature_is_past_or_to_come_as_serial_numbers_are() {
        let now: u32 = 1_800_000_000;
        for (start, end, expected) in [
            (now - 10, now + 10, Why::Bogus),
            (now - 20, now - 10, Why::Expired),
            (now + 10, now + 20, Why::NotYetValid),
            // Across the end of the numbers.
            (now, now.wrapping_add(1 << 31).wrapping_sub(1), Why::Bogus),
        ] {
            assert_eq!(reason(&[(start, end)], now.into()), expected, "{start} to {end}");
        }
        assert_eq!(reason(&[], now.into()), Why::SignaturesMissing);
        assert_eq!(reason(&[(now - 20, now - 10), (now - 5, now + 5)], now.into()), Why::Bogus);
    }
}
