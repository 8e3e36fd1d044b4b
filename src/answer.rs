//! From an outcome to a response. The only place that chooses response codes, extended errors, TTLs and synthetic records.

use crate::lists;
use crate::message::{
    Body, Class, EXTENDED_ERROR, HEADER, Name, Owner, RecordType, ResponseCode, Section, Unusable, Writer, flag,
};
use crate::policy::{Demand, Sink};
use crate::query::{MAX_PAYLOAD, Query};

mod listed;

pub use listed::alias_of;
use listed::write_listed;

/// Codes of extended errors (RFC 8914, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum InfoCode {
    /// None of the others (section 4.1).
    Other = 0,
    /// Kept past its lifetime, since no upstream answers (section 4.4).
    StaleAnswer = 3,
    /// Blocked because the operator chose to (section 4.16).
    Blocked = 15,
    /// Blocked because someone other than the operator requires it (section 4.17).
    Censored = 16,
    /// As [`Self::StaleAnswer`], of a name that did not exist (section 4.20).
    StaleNxdomainAnswer = 19,
    /// The server does not recurse for this query (section 4.21).
    NotAuthoritative = 20,
    /// Not supported (section 4.22).
    NotSupported = 21,
    /// No upstream answered, or none was willing to (section 4.23).
    NoReachableAuthority = 22,
    /// The network kept every upstream out of reach (section 4.24).
    NetworkError = 23,
    /// The data that an upstream holds are not valid (section 4.25).
    InvalidData = 24,
}

/// How the operator wants responses to look.
#[derive(Debug, Clone)]
pub struct Style {
    /// How a sunk name is answered where nothing else is set for the order and the client's group.
    pub sink: Sink,
    /// TTL of what is said of a sunk name, in seconds.
    pub sink_ttl: u32,
    /// The longest response over UDP, in octets, which those are told who speak EDNS; 512 at least.
    pub max_payload: u16,
    /// What CHAOS `version.bind` is answered with; refused where empty.
    pub version: String,
}

impl Default for Style {
    fn default() -> Self {
        Self { sink: Sink::default(), sink_ttl: 60, max_payload: MAX_PAYLOAD, version: String::new() }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The network kept every upstream out of reach.
    Unreachable,
    /// No upstream answered in time.
    Silent,
    /// No upstream could or would answer.
    Unwilling,
    /// Too many queries are waiting for upstreams.
    Busy,
    /// The answer could not be inspected.
    Suspicious,
    /// The disk takes no records, and the operator wants no answer without.
    Unrecorded,
}

impl Trouble {
    const fn words(self) -> (InfoCode, &'static str) {
        match self {
            Self::Unreachable => (InfoCode::NetworkError, "no upstream could be reached"),
            Self::Silent => (InfoCode::NoReachableAuthority, "no upstream answered in time"),
            Self::Unwilling => (InfoCode::NoReachableAuthority, "no upstream would answer"),
            Self::Busy => (InfoCode::Other, "too many queries under way"),
            Self::Suspicious => (InfoCode::InvalidData, "the upstream's answer is malformed"),
            Self::Unrecorded => (InfoCode::Other, "the look-up could not be recorded"),
        }
    }

    /// Returns what is kept so that the trouble is not sought again at once (RFC 9520, section 3.2). `extended_error`
    /// is what an upstream said of it, which tells more than we know.
    pub fn kept(self, lifetime: u32, extended_error: Option<&[u8]>) -> Body {
        let (info, text) = self.words();
        let own = || [&(info as u16).to_be_bytes(), text.as_bytes()].concat().into();
        Body {
            flags: ResponseCode::SERV_FAIL.0,
            counts: [0; 3],
            octets: Box::default(),
            ttls: Box::default(),
            minimums: Box::default(),
            lifetime,
            extended_error: Some(extended_error.map_or_else(own, Box::from)),
        }
    }
}

/// What became of a query.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Withheld.
    Sunk {
        /// Owner of the synthetic SOA: the name of the question or one above it.
        owner: &'a Name,
        /// Where the act is published.
        citation: &'a str,
        demand: Demand,
        /// As [`Style::sink`] where none is set.
        sink: Option<Sink>,
        /// Whether NXDOMAIN would say too much: of a name below that is not withheld (RFC 8020), or of other types of the
        /// name itself (RFC 2308, section 2.1).
        name_exists: bool,
        /// Seconds until the name may be freed.
        left: Option<u32>,
    },
    /// Answered as a list of the operator says.
    Listed {
        list: &'a str,
        action: &'a lists::Action,
        /// The names that aliases lead to from the question, the last of which is meant; none for the question itself.
        behind: &'a [Name],
        /// Seconds until another decision may be due.
        left: Option<u32>,
    },
    /// To be asked again over TCP.
    Truncated,
    /// Answered by an upstream, the cache or a local zone.
    Found {
        body: &'a Body,
        /// Seconds that the answer was kept; `None` where it is past its lifetime.
        age: Option<u32>,
        /// Seconds until another decision may be due.
        left: Option<u32>,
    },
    /// Withheld, since it tells a private address of a name that must have none.
    Private {
        /// Seconds until another decision may be due.
        left: Option<u32>,
    },
    /// Without an answer.
    Trouble(Trouble),
    /// Asked without recursion for what is neither local nor kept.
    NotRecursive,
    /// ANY (RFC 8482, section 4.2).
    MinimalAny {
        /// Seconds until another decision may be due.
        left: Option<u32>,
    },
    /// CHAOS `version.bind` and its like.
    Version,
    /// A class or type that is not served.
    Refused,
    /// A type that stands for no record.
    Meaningless,
    /// A type that this server does not implement.
    NotImplemented,
    /// An EDNS version above 0 (RFC 6891, section 6.1.3).
    BadVersion,
}

/// Returns the extended error of a withheld name.
///
/// The operator's own choice is "Blocked"; "Censored" is for an operator who is bound (RFC 8914, sections 4.16, 4.17).
pub const fn info_code(demand: Demand) -> InfoCode {
    match demand {
        Demand::Own => InfoCode::Blocked,
        Demand::External => InfoCode::Censored,
    }
}

/// Returns the response code that a sunk name gets.
pub const fn sunk_code(sink: Sink, name_exists: bool) -> ResponseCode {
    match sink {
        Sink::Nxdomain if name_exists => ResponseCode::NO_ERROR,
        Sink::Nxdomain => ResponseCode::NX_DOMAIN,
        Sink::Nodata | Sink::Address { .. } => ResponseCode::NO_ERROR,
        Sink::Refused => ResponseCode::REFUSED,
    }
}

/// Returns the words that go with the extended error of a withheld name, before the citation.
const fn blocked_text(demand: Demand) -> &'static str {
    match demand {
        Demand::Own => "blocked by this network's policy; ref ",
        Demand::External => "blocked by an order that binds this network; ref ",
    }
}

/// Writes the response to `query` into `out` and returns its code. Allocates nothing where `out` has room.
pub fn respond(query: &Query, outcome: &Outcome<'_>, style: &Style, out: &mut Vec<u8>) -> ResponseCode {
    let mut writer = Writer::new(out, query.id, 0);
    let name = query.question.name.as_wire();
    writer.question(name, query.question.record_type, query.question.class);
    query.capitals.put_on(&mut writer.octets()[HEADER..HEADER + name.len()]);
    let question_end = writer.len();
    let (code, error) = match outcome {
        Outcome::Sunk { owner, citation, demand, sink, name_exists, left } => {
            let ttl = cut(style.sink_ttl, *left);
            let code = write_sunk(&mut writer, query, (owner, ttl, *name_exists), sink.unwrap_or(style.sink));
            let error = ExtendedError { info: info_code(*demand), text: [blocked_text(*demand), citation] };
            (code, Some(error))
        }
        Outcome::Private { left } => {
            let ttl = cut(style.sink_ttl, *left);
            let code = write_sunk(&mut writer, query, (&query.question.name, ttl, true), Sink::Nodata);
            (code, Some(ExtendedError { info: InfoCode::Blocked, text: ["private address", ""] }))
        }
        Outcome::Found { body, age, left } => {
            let code = ResponseCode(body.flags & flag::RCODE);
            let stale = age.is_none().then(|| stale_info(code).to_be_bytes());
            let error = stale.as_ref().map_or(body.extended_error.as_deref(), |stale| Some(stale));
            let room = query.limit(style.max_payload).saturating_sub(question_end + opt_length(query, None));
            let with_error = |length: usize| length + opt_length(query, error) - opt_length(query, None) <= room;
            let left_out = body.octets.len() > room;
            if left_out {
                writer.octets()[2] |= (flag::TRUNCATED >> 8) as u8;
            } else {
                found(&mut writer, query, body, (*age, *left));
            }
            // An extended error is worth no second round over TCP: where it does not fit, it is left out.
            let fits = with_error(if left_out { 0 } else { body.octets.len() });
            // What was proven may not be so any more (RFC 4035, section 5.3.3).
            let flags = if age.is_some() { body.flags } else { body.flags & !flag::AUTHENTIC_DATA };
            return finish(writer, (query, style), code, flags, Passed(error.filter(|_| fits)));
        }
        Outcome::Listed { list, action, behind, left } => {
            let (code, withheld) = write_listed(&mut writer, query, (action, behind, *left), style);
            let (info, text) = listed::INFO;
            (code, withheld.then_some(ExtendedError { info, text: [text, list] }))
        }
        Outcome::Truncated => {
            writer.octets()[2] |= (flag::TRUNCATED >> 8) as u8;
            (ResponseCode::NO_ERROR, None)
        }
        Outcome::Trouble(trouble) => {
            let (info, text) = trouble.words();
            (ResponseCode::SERV_FAIL, Some(ExtendedError { info, text: [text, ""] }))
        }
        Outcome::NotRecursive => {
            let text = ["this server forwards only with RD set", ""];
            (ResponseCode::REFUSED, Some(ExtendedError { info: InfoCode::NotAuthoritative, text }))
        }
        Outcome::MinimalAny { left } => {
            let class = (RecordType::HINFO, query.question.class);
            writer.record(Section::Answer, Owner::QUESTION, class, cut(3600, *left), &[b"\x07RFC8482\x00"]);
            (ResponseCode::NO_ERROR, None)
        }
        Outcome::Version if style.version.is_empty() => (ResponseCode::REFUSED, None),
        Outcome::Version => {
            let text = &style.version.as_bytes()[..style.version.len().min(255)];
            let class = (RecordType::TXT, query.question.class);
            writer.record(Section::Answer, Owner::QUESTION, class, 0, &[&[text.len() as u8], text]);
            (ResponseCode::NO_ERROR, None)
        }
        Outcome::Refused => (ResponseCode::REFUSED, None),
        Outcome::Meaningless => (ResponseCode::FORM_ERR, None),
        Outcome::NotImplemented => (ResponseCode::NOT_IMP, None),
        Outcome::BadVersion => (ResponseCode::BAD_VERS, None),
    };
    finish(writer, (query, style), code, 0, error);
    if out.len() > query.limit(style.max_payload) {
        // Only a synthetic SOA can be too long, for a client that takes 512 octets.
        Writer::truncated(out, question_end);
    }
    code
}

/// An extended error of our own; its text is the two parts one after the other.
struct ExtendedError<'a> {
    info: InfoCode,
    text: [&'a str; 2],
}

/// An extended error that came with an answer, as it came.
struct Passed<'a>(Option<&'a [u8]>);

/// Something that an OPT record can end with.
trait Trailer {
    fn write(&self, writer: &mut Writer<'_>, payload: u16, high: u8, dnssec_ok: bool);
}

impl Trailer for Option<ExtendedError<'_>> {
    fn write(&self, writer: &mut Writer<'_>, payload: u16, high: u8, dnssec_ok: bool) {
        let Some(ExtendedError { info, text: [first, second] }) = self else {
            return writer.opt(payload, high, dnssec_ok, &[]);
        };
        let length = (2 + first.len() + second.len()) as u16;
        let parts: [&[u8]; 5] = [
            &EXTENDED_ERROR.to_be_bytes(),
            &length.to_be_bytes(),
            &(*info as u16).to_be_bytes(),
            first.as_bytes(),
            second.as_bytes(),
        ];
        writer.opt(payload, high, dnssec_ok, &parts);
    }
}

impl Trailer for Passed<'_> {
    fn write(&self, writer: &mut Writer<'_>, payload: u16, high: u8, dnssec_ok: bool) {
        match self.0 {
            Some(data) => {
                let length = (data.len() as u16).to_be_bytes();
                writer.opt(payload, high, dnssec_ok, &[&EXTENDED_ERROR.to_be_bytes(), &length, data]);
            }
            None => writer.opt(payload, high, dnssec_ok, &[]),
        }
    }
}

/// Octets that the OPT record of the response to `query` will take.
fn opt_length(query: &Query, extended_error: Option<&[u8]>) -> usize {
    match query.edns {
        Some(_) => 11 + extended_error.map_or(0, |data| 4 + data.len()),
        None => 0,
    }
}

/// Writes the OPT record and the header. Of `flags`, AA and AD are taken.
fn finish(
    mut writer: Writer<'_>,
    (query, style): (&Query, &Style),
    code: ResponseCode,
    flags: u16,
    trailer: impl Trailer,
) -> ResponseCode {
    if let Some(edns) = query.edns {
        trailer.write(&mut writer, style.max_payload, (code.0 >> 4) as u8, edns.dnssec_ok);
    }
    let mut header = flag::RESPONSE | flag::RECURSION_AVAILABLE | code.0 & flag::RCODE | flags & flag::AUTHORITATIVE;
    header |= if query.recursion_desired { flag::RECURSION_DESIRED } else { 0 };
    header |= if query.checking_disabled { flag::CHECKING_DISABLED } else { 0 };
    // AD only for those who say that they understand it (RFC 6840, section 5.8).
    if query.authentic_data || query.dnssec_ok() {
        header |= flags & flag::AUTHENTIC_DATA;
    }
    let out = writer.octets();
    out[2] |= (header >> 8) as u8;
    out[3] = header as u8;
    code
}

/// Writes what is said of a sunk name; all record types alike.
fn write_sunk(
    writer: &mut Writer<'_>,
    query: &Query,
    (owner, ttl, open): (&Name, u32, bool),
    sink: Sink,
) -> ResponseCode {
    let code = sunk_code(sink, open);
    let class = query.question.class;
    match (sink, query.question.record_type) {
        (Sink::Refused, _) => return code,
        (Sink::Address { v4: Some(v4), .. }, RecordType::A) => {
            writer.record(Section::Answer, Owner::QUESTION, (RecordType::A, class), ttl, &[&v4.octets()]);
            return code;
        }
        (Sink::Address { v6: Some(v6), .. }, RecordType::AAAA) => {
            writer.record(Section::Answer, Owner::QUESTION, (RecordType::AAAA, class), ttl, &[&v6.octets()]);
            return code;
        }
        (Sink::Nxdomain | Sink::Nodata | Sink::Address { .. }, _) => {}
    }
    let data: [&[u8]; 3] = [SOA_NAMES, SOA_TIMES, &ttl.to_be_bytes()];
    let owner = match query.question.name.is_at_or_below(owner) {
        true => Owner::At(HEADER + query.question.name.as_wire().len() - owner.as_wire().len()),
        false => Owner::Name(owner),
    };
    writer.record(Section::Authority, owner, (RecordType::SOA, class), ttl, &data);
    code
}

/// `interdict.invalid. nobody.invalid.`: names that cannot exist (RFC 6761, section 6.4).
const SOA_NAMES: &[u8] = b"\x09interdict\x07invalid\x00\x06nobody\x07invalid\x00";
/// Serial 1, refresh 1 hour, retry 10 minutes, expire 1 day; the minimum follows.
const SOA_TIMES: &[u8] = &[0, 0, 0, 1, 0, 0, 0x0E, 0x10, 0, 0, 0x02, 0x58, 0, 1, 0x51, 0x80];

/// The TTL of what is past its lifetime, in seconds (RFC 8767, section 4).
const STALE_TTL: u32 = 30;

const fn stale_info(code: ResponseCode) -> u16 {
    match code {
        ResponseCode::NX_DOMAIN => InfoCode::StaleNxdomainAnswer as u16,
        _ => InfoCode::StaleAnswer as u16,
    }
}

/// Writes the records of `body` with their TTLs lessened by `age` and cut to `left`.
fn found(writer: &mut Writer<'_>, query: &Query, body: &Body, (age, left): (Option<u32>, Option<u32>)) {
    let start = writer.len();
    let [answers, authority, additional] = body.counts;
    let out = writer.octets();
    out.extend_from_slice(&body.octets);
    let mut patch = |offset: u16, value: u32| {
        let at = start + usize::from(offset);
        if let Some(field) = out.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    };
    for offset in &body.ttls {
        let ttl = body.ttl_at(*offset);
        patch(*offset, cut(age.map_or(ttl.min(STALE_TTL), |age| ttl.saturating_sub(age)), left));
    }
    // Who validates would find the signature of a changed SOA wrong; its TTL, which no signature covers, bounds how long a
    // negative answer is kept all the same (RFC 2308, section 5).
    for offset in body.minimums.iter().filter(|_| left.is_some() && !query.dnssec_ok()) {
        patch(*offset, cut(body.ttl_at(*offset), left));
    }
    writer.set_counts(answers, authority, additional);
}

fn cut(ttl: u32, left: Option<u32>) -> u32 {
    left.map_or(ttl, |left| ttl.min(left))
}

/// Writes the response to a packet that is no query, if it gets one. Says nothing but the header: what stands behind
/// it could not be read.
pub fn respond_to_unusable(unusable: Unusable, out: &mut Vec<u8>) -> Option<ResponseCode> {
    let (id, flags, code) = match unusable {
        Unusable::Unanswerable => return None,
        Unusable::Opcode { id, flags } => (id, flags, ResponseCode::NOT_IMP),
        Unusable::Malformed { id, flags } => (id, flags, ResponseCode::FORM_ERR),
    };
    let kept = flags & (flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED);
    Writer::new(out, id, flag::RESPONSE | kept | code.0);
    debug_assert_eq!(out.len(), HEADER);
    Some(code)
}

/// Returns the outcome of a question that needs neither policy nor an answer, if it has one.
pub fn immediate(query: &Query, edns_version: u8) -> Option<Outcome<'static>> {
    if edns_version > 0 {
        return Some(Outcome::BadVersion);
    }
    match (query.question.class, query.question.record_type) {
        (Class::CH, RecordType::TXT | RecordType::ANY) if asks_for_version(&query.question.name) => {
            Some(Outcome::Version)
        }
        (Class::IN, RecordType(0) | RecordType::OPT | RecordType::NXNAME) => Some(Outcome::Meaningless),
        (Class::IN, RecordType::MAILA | RecordType::MAILB) => Some(Outcome::NotImplemented),
        (Class::IN, RecordType::AXFR | RecordType::IXFR | RecordType::TSIG | RecordType::TKEY) => {
            Some(Outcome::Refused)
        }
        (Class::IN, _) => None,
        _ => Some(Outcome::Refused),
    }
}

/// Returns whether `name` must never be denied: names for the discovery of resolvers exist, and have data or none
/// (RFC 9462, section 6.4).
pub fn exists_by_definition(name: &Name) -> bool {
    name.suffixes().any(|suffix| suffix == b"\x08resolver\x04arpa\x00")
}

fn asks_for_version(name: &Name) -> bool {
    matches!(name.as_wire(), b"\x07version\x04bind\x00" | b"\x07version\x06server\x00")
}

#[cfg(test)]
mod tests;
