//! Names that are answered here: host records and zones of the configuration, and the names that must never be asked of
//! anyone else (RFC 6303, RFC 6761). The only user of hickory-server's catalog.

mod special;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::rr::{LowerName, Name as HickoryName, Record};
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, MessageResponse, ZoneType};

use crate::message::{Name, Writer, flag};
use crate::query::Question;

/// TTL of host records and of the zones that are made here, in seconds.
const TTL: u32 = 3600;
/// The longest zone text in which the faulty line is looked for.
const MAX_SEARCHED_LINES: usize = 2000;

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
    #[error("zone {origin}: $INCLUDE is not supported; write the records here")]
    Include { origin: Name },
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("the question cannot be read back")]
    Question,
    #[error("the catalog wrote no answer")]
    Silent,
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
    /// Every zone that cannot be served, not only the first.
    pub fn build(spec: &ZonesSpec) -> Result<Self, Vec<ZoneError>> {
        let mut errors = Vec::new();
        let mut texts: BTreeMap<Name, String> = BTreeMap::new();
        for (origin, text) in &spec.zones {
            if text.to_ascii_lowercase().contains("$include") {
                // The parser would read any file of this machine into the zone.
                errors.push(ZoneError::Include { origin: origin.clone() });
            }
            if texts.insert(origin.clone(), format!("{text}\n")).is_some() {
                errors.push(ZoneError::Twice { origin: origin.clone() });
            }
        }
        if spec.special_use {
            for (origin, text) in special::zones() {
                texts.entry(origin).or_insert(text);
            }
        }
        for (name, addresses) in &spec.hosts {
            for address in addresses {
                let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                text_for(&mut texts, name).push_str(&format!("{name}. {TTL} IN {kind} {address}\n"));
                let reverse = special::reverse(*address);
                text_for(&mut texts, &reverse).push_str(&format!("{reverse}. {TTL} IN PTR {name}.\n"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut catalog = Catalog::new();
        for (origin, text) in &texts {
            match handler(origin, text) {
                Ok(handler) => catalog.upsert(lower(origin), vec![Arc::new(handler)]),
                Err(reason) => errors.push(fault(origin, text, reason)),
            }
        }
        if errors.is_empty() { Ok(Self { origins: texts.into_keys().collect(), catalog }) } else { Err(errors) }
    }

    /// Returns the longest zone origin at or above `name`. Allocates nothing.
    pub fn origin_of(&self, name: &Name) -> Option<&Name> {
        name.suffixes().find_map(|wire| self.origins.get(wire))
    }

    /// Answers from the zones: a whole message without an OPT record. A name in none of them is REFUSED.
    ///
    /// # Errors
    /// Where the catalog writes no answer; that is a fault of the program, not of the question.
    pub async fn answer(&self, question: &Question) -> Result<Vec<u8>, AnswerError> {
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

/// Returns the text of the zone that has `name`, a new one of that name where there is none.
fn text_for<'a>(texts: &'a mut BTreeMap<Name, String>, name: &Name) -> &'a mut String {
    let origin = std::iter::successors(Some(name.clone()), Name::parent).find(|origin| texts.contains_key(origin));
    texts.entry(origin.unwrap_or_else(|| name.clone())).or_insert_with(|| special::head().to_owned())
}

fn handler(origin: &Name, text: &str) -> Result<InMemoryZoneHandler, String> {
    let (_, records) =
        Parser::new(text, None, Some(hickory(origin))).parse().map_err(|error| escaped(&error.to_string()))?;
    if let Some(outside) = records.keys().find(|key| !lower(origin).zone_of(&key.name)) {
        return Err(escaped(&format!("{} does not belong to the zone", outside.name)));
    }
    InMemoryZoneHandler::new(hickory(origin), records, ZoneType::Primary, AxfrPolicy::Deny)
        .map_err(|reason| escaped(&reason))
}

/// Finds the line that a zone fails at: the one behind the longest part from the start that can be parsed.
fn fault(origin: &Name, text: &str, reason: String) -> ZoneError {
    let lines: Vec<&str> = text.lines().collect();
    let parses = |count: &usize| {
        let part = lines[..*count].join("\n") + "\n";
        Parser::new(part, None, Some(hickory(origin))).parse().is_ok()
    };
    let good = (lines.len() <= MAX_SEARCHED_LINES && !parses(&lines.len()))
        .then(|| (0..lines.len()).rev().find(parses))
        .flatten();
    match good.and_then(|good| Some((good, lines.get(good)?))) {
        Some((good, line)) => {
            let text = escaped(&line.chars().take(80).collect::<String>());
            ZoneError::Line { origin: origin.clone(), line: good + 1, text, reason }
        }
        None => ZoneError::Zone { origin: origin.clone(), reason },
    }
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
