//! DNSSEC validation (RFC 4033 to 4035) of what upstreams answer, where the operator wants it. Proofs are the library's; which
//! records it is shown, and what becomes of an answer that does not hold, is said here.
//!
//! An answer is asked for with its signatures and with CD set, so that it comes whatever an upstream holds of it, and is taken
//! apart into [`links`]: the library proves one name at a time, and fails what says something of two, such as an alias to a
//! name that does not exist.

mod denial;
mod links;
mod source;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_net::dnssec::DnssecDnsHandle;
use hickory_net::proto::dnssec::{Proof, TrustAnchors};
use hickory_net::proto::op::{DnsRequestOptions, DnsResponse, Message};
use hickory_net::proto::rr::{Record, RecordType as Type};
use hickory_net::xfer::{DnsHandle as _, FirstAnswer as _};
use hickory_net::{DnsError, NetError};

use super::exchange::{Failed, Failure};
use super::upstream::Group;
use super::{Asking, Lifetimes, Resolved, Resolver, taken_apart};
use crate::message::{Class, Name};
use crate::observe::UpstreamEvent;
use crate::query::{Edns, MAX_PAYLOAD, Query};
use links::{Link, links};
use source::{Sought, Source};

/// How many questions to upstreams the proof of one answer may take: a chain of 16 zones, two for each, and what stands beside
/// it. What wants more is not proven.
const MOST_QUESTIONS: usize = 64;

/// How many proofs of record sets the library keeps: those of keys are taken again and again, and stay.
const MOST_PROOFS: usize = 8192;

/// How answers are validated. Keeps what was asked for to prove them.
pub struct Validation {
    prover: DnssecDnsHandle<Source>,
    source: Source,
    /// Zones of which nothing is proven (RFC 7646).
    except: Vec<Name>,
}

/// What is proven of an answer.
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
    // The library counts the keys of the root alone, and any other file would prove nothing of most names.
    let anchors: TrustAnchors = text.parse().map_err(|error| format!("it cannot be read: {error}"))?;
    if anchors.is_empty() {
        return Err("it has no DNSKEY record of the root zone".to_owned());
    }
    Ok(Arc::new(anchors))
}

impl Validation {
    /// Returns one that has proven nothing yet. `anchors` are those of the root as published by IANA where there are none.
    pub fn new(anchors: Option<Anchors>, except: Vec<Name>) -> Self {
        let source = Source::default();
        let prover = DnssecDnsHandle::with_trust_anchor(source.clone(), anchors.unwrap_or_default())
            .validation_cache_size(MOST_PROOFS)
            // A failure is kept by whoever asks, as any other (RFC 9520, section 3.2).
            .negative_validation_ttl(Duration::ZERO..=Duration::ZERO);
        Self { prover, source, except }
    }

    /// Returns whether answers to this query are validated: it does not say that the stub does so for itself.
    pub fn covers(&self, query: &Query) -> bool {
        let name = &query.question.name;
        !query.checking_disabled
            && query.question.class == Class::IN
            && !self.except.iter().any(|zone| name.is_at_or_below(zone))
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

    async fn resolved(
        &self,
        resolver: &Resolver,
        query: &Query,
        (group, generation): (&Group, u32),
        asking: &Asking,
    ) -> Resolved {
        let edns = Some(Edns { payload: MAX_PAYLOAD, dnssec_ok: true });
        let signed = Query { checking_disabled: true, edns, ..query.clone() };
        let found = resolver.joined(&signed, (group, generation), asking).await;
        let wire = match &*found {
            Resolved::Found { message, .. } => message,
            Resolved::Failed(failed) => return Resolved::Failed(failed.clone()),
        };
        let malformed = || Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None });
        let Ok(message) = Message::from_vec(wire) else { return malformed() };
        let Some(links) = links(&message) else { return malformed() };

        let sought = |kept| Sought {
            resolver: resolver.clone(),
            query: signed.clone(),
            group: group.clone(),
            generation,
            asking: *asking,
            now: resolver.clock.read().at.as_second(),
            left: AtomicUsize::new(MOST_QUESTIONS),
            takes_kept: kept,
            took_kept: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        };
        let whole = asking.timeout * u32::try_from(asking.tries).unwrap_or(u32::MAX);
        let mut proven = self.prove(&links, sought(true), whole).await;
        if proven.standing == Standing::Bogus && proven.again {
            // A zone may have other keys since those were asked for that it was held against.
            proven = self.prove(&links, sought(false), whole).await;
        }
        match proven.standing {
            Standing::Secure | Standing::Insecure => {
                let secure = proven.standing == Standing::Secure;
                let lifetimes = cut(asking.lifetimes, secure.then_some(proven.most).flatten());
                match links::written(message, secure, query.dnssec_ok()) {
                    Some(message) => taken_apart(message, false, lifetimes),
                    None => malformed(),
                }
            }
            Standing::Bogus => {
                resolver.metrics.count_upstream(UpstreamEvent::Bogus);
                let why = why(&links, resolver.clock.read().at.as_second());
                let told = [&(why as u16).to_be_bytes(), why.words().as_bytes()].concat();
                Resolved::Failed(Failed { failure: Failure::Refused, extended_error: Some(told.into()) })
            }
            Standing::Unknown => Resolved::Failed(Failed { failure: Failure::TimedOut, extended_error: None }),
        }
    }

    /// Proves one link after the other, all of them within `whole`.
    async fn prove(&self, links: &[Link], sought: Sought, whole: Duration) -> Proven {
        let mut proven = Proven { standing: Standing::Secure, most: None, again: false };
        let sought = Arc::new(sought);
        let each = async {
            for link in links {
                let (standing, most) = self.prove_one(link, &sought).await;
                proven.standing = proven.standing.max(standing);
                proven.most = [proven.most, most].into_iter().flatten().min();
                if proven.standing >= Standing::Bogus {
                    break;
                }
            }
        };
        if tokio::time::timeout(whole, each).await.is_err() {
            proven.standing = Standing::Unknown;
        }
        let failed = sought.failed.load(Ordering::Relaxed);
        if proven.standing == Standing::Bogus && failed {
            proven.standing = Standing::Unknown;
        }
        proven.again = sought.took_kept.load(Ordering::Relaxed);
        proven
    }

    /// Proves what is said of one name. Returns with it the shortest time that its signatures leave to a record, in seconds,
    /// where that is less than its TTL.
    async fn prove_one(&self, link: &Link, sought: &Arc<Sought>) -> (Standing, Option<u32>) {
        let Ok(answer) = DnsResponse::from_message(link.message.clone()) else { return (Standing::Bogus, None) };
        let options = options();
        let proven = self.source.with(answer, Arc::clone(sought), async {
            self.prover.lookup(link.query.clone(), options).first_answer().await
        });
        match proven.await {
            Ok(response) => (standing(link, &response), shortened(link, &response)),
            Err(NetError::Dns(DnsError::Nsec { response, .. })) if denial::is_by_wildcard(link, &response) => {
                (Standing::Secure, shortened(link, &response))
            }
            Err(NetError::Dns(DnsError::Nsec { proof: Proof::Insecure, .. })) => (Standing::Insecure, None),
            Err(_) => (Standing::Bogus, None),
        }
    }
}

/// What is proven of a whole answer.
struct Proven {
    standing: Standing,
    most: Option<u32>,
    /// Whether something was taken that was asked for before.
    again: bool,
}

fn options() -> DnsRequestOptions {
    let mut options = DnsRequestOptions::default();
    options.use_edns = true;
    options.edns_set_dnssec_ok = true;
    options
}

/// Returns what the proofs of the records come to.
fn standing(link: &Link, proven: &Message) -> Standing {
    let is_said = |record: &&Record| record.record_type() != Type::RRSIG;
    let of = |record: &Record| match record.proof {
        _ if link.is_by_dname(record, proven) => Standing::Secure,
        Proof::Secure => Standing::Secure,
        Proof::Insecure => Standing::Insecure,
        Proof::Bogus | Proof::Indeterminate => Standing::Bogus,
    };
    if link.asks_for_signatures() {
        return Standing::Insecure;
    }
    let opted_out = denial::is_opted_out(&link.query.name, proven);
    let least = if opted_out { Standing::Insecure } else { Standing::Secure };
    if proven.answers.iter().any(|record| is_said(&record)) {
        return proven.answers.iter().filter(is_said).map(of).max().unwrap_or(Standing::Bogus).max(least);
    }
    // That there is nothing is said by a zone at or above the name; of that zone, whoever says nothing says nothing signed.
    let authorities = proven.authorities.iter().filter(is_said);
    let aside = |record: &Record| record.proof == Proof::Insecure && !record.name.zone_of(link.query.name());
    let standings = authorities.map(|record| if aside(record) { Standing::Bogus } else { of(record) });
    standings.max().unwrap_or(Standing::Insecure).max(least)
}

/// Returns the shortest time that signatures leave to a record, where it is less than the TTL that it came with.
fn shortened(link: &Link, proven: &Message) -> Option<u32> {
    let came = |record: &Record| {
        let own = link.message.all_sections().filter(|own| own.record_type() == record.record_type());
        own.filter(|own| own.name == record.name).map(|own| own.ttl).min()
    };
    let proven = proven.all_sections().filter(|record| record.proof == Proof::Secure);
    proven.filter(|record| came(record).is_some_and(|ttl| record.ttl < ttl)).map(|record| record.ttl).min()
}

/// Bounds how long an answer is kept by what its signatures leave of it (RFC 4035, section 5.3.3).
fn cut(lifetimes: Lifetimes, most: Option<u32>) -> Lifetimes {
    let Some(most) = most else { return lifetimes };
    Lifetimes {
        most: lifetimes.most.min(most),
        most_negative: lifetimes.most_negative.min(most),
        failure: lifetimes.failure,
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
