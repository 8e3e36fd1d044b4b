//! Names that are answered here: host records and zones of the configuration, and the names that must never be asked of
//! anyone else (RFC 6303, RFC 6761). The only user of hickory-server's catalog.

mod lexer;
mod special;
mod text;
mod zone;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::rdata::PTR;
use hickory_server::proto::rr::{LowerName, Name as HickoryName, RData, Record};
use hickory_server::proto::serialize::binary::{BinEncodable as _, BinEncoder};
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{Catalog, MessageResponse};

use crate::message::{Name, RecordType, Writer, flag};
use crate::query::Question;
pub use text::{TextRecord, each as each_record};
use zone::Zone;

/// TTL of host records, in seconds. Short, since an address that is changed in the configuration should be seen soon.
const HOST_TTL: u32 = 300;
/// How many aliases in a row are followed from zone to zone.
const MAX_ALIASES: usize = 16;

/// What the zones are made from.
#[derive(Debug, Clone, Default)]
pub struct ZonesSpec {
    /// Names with their addresses; each address also gets its reverse record.
    pub hosts: Vec<(Name, Vec<IpAddr>)>,
    /// Origins with the text of a zone file (RFC 1035, section 5).
    pub zones: Vec<(Name, String)>,
    /// Whether special-use names and the reverse zones of private addresses are answered here.
    pub special_use: bool,
}

/// Why a zone cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    #[error("zone {origin}, line {line} `{text}`: {reason}")]
    Line { origin: Name, line: usize, text: String, reason: String },
    #[error("zone {origin}: {reason}")]
    Zone { origin: Name, reason: String },
    #[error("zone {origin} stands twice")]
    Twice { origin: Name },
    #[error("host {host}: {reason}")]
    Host { host: Name, reason: String },
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the question cannot be read back")]
    Question,
    #[error("the catalog wrote no answer")]
    Silent,
    #[error("the answer cannot be written")]
    Unwritable,
}

/// The zones that are served.
pub struct Zones {
    origins: HashSet<Name, foldhash::fast::RandomState>,
    catalog: Catalog,
}

impl Zones {
    /// Builds every zone.
    ///
    /// # Errors
    /// Every fault, not only the first.
    pub fn build(spec: &ZonesSpec) -> Result<Self, Vec<ZoneError>> {
        let mut faults = Vec::new();
        let mut zones: BTreeMap<Name, Zone> = BTreeMap::new();
        for (origin, text) in &spec.zones {
            if zones.contains_key(origin) {
                faults.push(ZoneError::Twice { origin: origin.clone() });
                continue;
            }
            let zone = read(origin, text, &mut faults);
            zones.insert(origin.clone(), zone);
        }
        if spec.special_use {
            let configured: Vec<Name> = zones.keys().filter(|origin| !origin.is_root()).cloned().collect();
            for (origin, zone) in special::zones() {
                // Whoever configures 10.in-addr.arpa or in-addr.arpa wants to have it, not what is made here.
                if !configured.iter().any(|zone| origin.is_at_or_below(zone)) {
                    zones.insert(origin, zone);
                }
            }
        }
        add_hosts(&spec.hosts, &mut zones, &mut faults);
        for (origin, zone) in &zones {
            let told = faults.iter().any(|fault| matches!(fault, ZoneError::Line { origin: of, .. } if of == origin));
            // A zone whose SOA could not be read need not be told that it has none.
            if let Some(reason) = zone.fault().filter(|_| !told) {
                faults.push(ZoneError::Zone { origin: origin.clone(), reason });
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let origins = zones.keys().cloned().collect();
        let mut catalog = Catalog::new();
        for (origin, zone) in zones {
            catalog.upsert(lower(&origin), vec![Arc::new(zone)]);
        }
        Ok(Self { origins, catalog })
    }

    /// Returns the longest zone origin at or above `name`. Allocates nothing.
    pub fn origin_of(&self, name: &Name) -> Option<&Name> {
        name.suffixes().find_map(|wire| self.origins.get(wire))
    }

    /// Returns the origin of the zone that answers `question`: as `origin_of`, but DS records of a zone's own name belong
    /// to the zone above (RFC 4035, section 3.1.4.1). A stub resolver that validates needs the proof from there that a
    /// zone is unsigned; only the origin itself is asked of others.
    pub fn origin_for(&self, question: &Question) -> Option<&Name> {
        let origin = self.origin_of(&question.name)?;
        if question.record_type != zone::DS || *origin != question.name {
            return Some(origin);
        }
        origin.suffixes().skip(1).find_map(|wire| self.origins.get(wire))
    }

    /// Answers from the zones: a whole message without an OPT record. A name in none of them is REFUSED.
    ///
    /// Aliases are followed from zone to zone as far as `is_ours` says, and the response code is that of the last name (RFC 6604, section 2.1).
    /// One that leads out of all zones ends the answer; see `leads_out`.
    ///
    /// # Errors
    /// Where the catalog writes no answer; that is a fault of the program, not of the question.
    pub async fn answer(
        &self,
        question: &Question,
        is_ours: impl Fn(&Question) -> bool,
    ) -> Result<Vec<u8>, AnswerError> {
        let wire = self.ask(question).await?;
        let mut message = Message::from_vec(&wire).map_err(|_| AnswerError::Unwritable)?;
        let mut seen = vec![question.name.clone()];
        let mut followed = false;
        while let Some(target) = open_alias(&message, question) {
            let further = Question { name: target.clone(), ..question.clone() };
            if !is_ours(&further) || seen.contains(&target) || seen.len() > MAX_ALIASES {
                break;
            }
            let next = self.ask(&further).await?;
            let next = Message::from_vec(&next).map_err(|_| AnswerError::Unwritable)?;
            message.metadata.response_code = next.metadata.response_code;
            message.answers.extend(next.answers);
            message.authorities = next.authorities;
            seen.push(target);
            followed = true;
        }
        if followed { message.to_vec().map_err(|_| AnswerError::Unwritable) } else { Ok(wire) }
    }

    /// Returns the question that is left where the aliases of an answer from `answer` end at a name that is not ours.
    pub fn leads_out(
        &self,
        question: &Question,
        answer: &[u8],
        is_ours: impl Fn(&Question) -> bool,
    ) -> Option<Question> {
        let message = Message::from_vec(answer).ok()?;
        let name = open_alias(&message, question)?;
        Some(Question { name, ..question.clone() }).filter(|further| !is_ours(further))
    }

    async fn ask(&self, question: &Question) -> Result<Vec<u8>, AnswerError> {
        let mut wire = Vec::new();
        let mut writer = Writer::new(&mut wire, 0, flag::RECURSION_DESIRED);
        writer.question(question.name.as_wire(), question.record_type, question.class);
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // TCP, since nothing is to be truncated here.
        let request = Request::from_bytes(wire, nobody, Protocol::Tcp).map_err(|_| AnswerError::Question)?;
        let capture = Capture::default();
        self.catalog.handle_request::<_, TokioTime>(&request, capture.clone()).await;
        let mut written = capture.message.lock().expect("no holder of this lock panics");
        written.take().ok_or(AnswerError::Silent)
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zones").field("origins", &self.origins.len()).finish()
    }
}

/// Reads the text of a zone, and adds what is wrong with it to `faults`.
fn read(origin: &Name, text: &str, faults: &mut Vec<ZoneError>) -> Zone {
    let mut zone = Zone::new(origin);
    let (lines, mut unread) = text::read(origin, text);
    for text::Line { number, text, name, record } in lines {
        if let Err(reason) = zone.add(&name, record) {
            unread.push(text::Fault { number, text, reason });
        }
    }
    unread.sort_by_key(|fault| fault.number);
    faults.extend(unread.into_iter().map(|text::Fault { number, text, reason }| {
        let text = escaped(&text.trim().chars().take(80).collect::<String>());
        ZoneError::Line { origin: origin.clone(), line: number, text, reason }
    }));
    zone
}

/// Adds the addresses of hosts and their reverse records, each to the deepest zone that its name is in. A name in none
/// becomes a zone of its own, so that nothing beside it is answered here.
fn add_hosts(hosts: &[(Name, Vec<IpAddr>)], zones: &mut BTreeMap<Name, Zone>, faults: &mut Vec<ZoneError>) {
    let mut records: Vec<(Name, &Name, RData)> = Vec::new();
    for (host, addresses) in hosts {
        for address in addresses {
            let forward = match address {
                IpAddr::V4(v4) => RData::A((*v4).into()),
                IpAddr::V6(v6) => RData::AAAA((*v6).into()),
            };
            records.push((host.clone(), host, forward));
            records.push((special::reverse(*address), host, RData::PTR(PTR(hickory(host)))));
        }
    }
    // Names above come first, so that one that gets a zone of its own has those below in it.
    records.sort_by_key(|(name, _, _)| name.label_count());
    for (name, host, data) in records {
        let above = name.suffixes().find(|wire| zones.contains_key(*wire));
        let origin = above.and_then(|wire| Name::from_wire(wire).ok()).unwrap_or_else(|| name.clone());
        let zone = zones.entry(origin).or_insert_with_key(special::empty);
        if let Err(reason) = zone.add(&name, Record::from_rdata(hickory(&name), HOST_TTL, data)) {
            faults.push(ZoneError::Host { host: host.clone(), reason });
        }
    }
}

/// Returns the target of an alias that an answer ends with, though another type was asked for.
fn open_alias(message: &Message, question: &Question) -> Option<Name> {
    let asked = matches!(question.record_type, RecordType::CNAME | RecordType::ANY);
    if asked || message.metadata.response_code != ResponseCode::NoError {
        return None;
    }
    let RData::CNAME(target) = &message.answers.last()?.data else { return None };
    Name::from_wire(&target.0.to_bytes().ok()?).ok()
}

/// Text of others, fit for a terminal.
fn escaped(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

fn hickory(name: &Name) -> HickoryName {
    HickoryName::from_labels(name.labels()).expect("a name of ours has labels and a length that names may have")
}

fn lower(name: &Name) -> LowerName {
    LowerName::new(&hickory(name))
}

/// Takes the message that the catalog would send.
#[derive(Clone, Default)]
struct Capture {
    message: Arc<Mutex<Option<Vec<u8>>>>,
}

#[async_trait::async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut message = Vec::with_capacity(512);
        let info = response.destructive_emit(&mut BinEncoder::new(&mut message))?;
        *self.message.lock().expect("no holder of this lock panics") = Some(message);
        Ok(info)
    }
}

#[cfg(test)]
mod tests;
