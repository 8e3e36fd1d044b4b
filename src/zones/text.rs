//! Reads zone files (RFC 1035, section 5): every record with its line, and every fault. Opens no file.

use hickory_server::proto::rr::{RData, Record};
use hickory_server::proto::serialize::binary::BinDecodable as _;
use hickory_server::proto::serialize::txt::parse_ttl;

use super::lexer::{Entry, Token, entries};
use super::{escaped, hickory};
use crate::message::{Name, RecordType};

/// TTL of records where neither they nor a `$TTL` line say one, in seconds.
const DEFAULT_TTL: u32 = 3600;
/// The longest TTL (RFC 2181, section 8).
const MAX_TTL: u32 = i32::MAX as u32;

/// A record, and where it stands.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) name: Name,
    pub(super) record: Record,
}

/// A line that cannot be read, and why.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) reason: String,
}

/// Reads the text of the zone `origin`: its records, and every fault.
pub(super) fn read(origin: &Name, text: &str) -> (Vec<Line>, Vec<Fault>) {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    each(origin, text, |number, text, found| {
        let found = found.and_then(|TextRecord { name, record_type, ttl, data }| {
            let record = Record::from_rdata(hickory(&name), ttl, from_wire(record_type, &data)?);
            Ok(Line { number, text: text.to_owned(), name, record })
        });
        match found {
            Ok(line) => lines.push(line),
            Err(reason) => faults.push(Fault { number, text: text.to_owned(), reason: escaped(&reason) }),
        }
    });
    (lines, faults)
}

/// A record of a text in the format of zone files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRecord {
    pub name: Name,
    pub record_type: RecordType,
    /// In seconds.
    pub ttl: u32,
    /// The data in wire form, without compression.
    pub data: Vec<u8>,
}

/// Hands over each record of a text in the format of zone files with the number and text of its line, or why the line is
/// none. Directives are followed, and not handed over.
pub fn each<'a>(origin: &Name, text: &'a str, mut take: impl FnMut(usize, &'a str, Result<TextRecord, String>)) {
    let mut state = State { origin: origin.clone(), default_ttl: None, last_ttl: None, owner: None };
    for entry in entries(text) {
        let Entry { line, text, indented, tokens } = entry;
        let found = tokens.map_err(str::to_owned).and_then(|tokens| state.take(indented, &tokens));
        if let Some(found) = found.transpose() {
            take(line, text, found);
        }
    }
}

/// What lines above leave to those below.
struct State {
    origin: Name,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    owner: Option<Name>,
}

impl State {
    /// Takes one entry; gives a record where it is one.
    fn take(&mut self, indented: bool, tokens: &[Token<'_>]) -> Result<Option<TextRecord>, String> {
        let Some(first) = tokens.first() else { return Ok(None) };
        if !indented && first.text.starts_with('$') {
            self.direct(first, &tokens[1..])?;
            return Ok(None);
        }
        let mut rest = tokens;
        if !indented {
            self.owner = Some(self.absolute(first)?);
            rest = &tokens[1..];
        }
        let owner = self.owner.clone().ok_or("the line starts with a blank, and no name stands above it")?;
        let mut own_ttl = None;
        let record_type = loop {
            let (token, after) = rest.split_first().ok_or("it has no record type")?;
            rest = after;
            if token.text.starts_with(|c: char| c.is_ascii_digit()) {
                own_ttl = Some(ttl(token)?);
            } else if ["CH", "HS", "CS"].iter().any(|class| token.text.eq_ignore_ascii_case(class)) {
                return Err("only class IN is served".to_owned());
            } else if !token.text.eq_ignore_ascii_case("IN") {
                break token.text.parse::<RecordType>()?;
            }
        };
        self.last_ttl = own_ttl.or(self.last_ttl);
        let ttl = own_ttl.or(self.default_ttl).or(self.last_ttl).unwrap_or(DEFAULT_TTL);
        let data = self.data(record_type, rest)?;
        Ok(Some(TextRecord { name: owner, record_type, ttl, data }))
    }

    /// Follows a directive (RFC 1035, section 5.1; RFC 2308, section 4).
    fn direct(&mut self, directive: &Token<'_>, rest: &[Token<'_>]) -> Result<(), String> {
        match (directive.text.to_ascii_uppercase().as_str(), rest) {
            ("$ORIGIN", [name]) => self.origin = self.absolute(name)?,
            ("$TTL", [value]) => self.default_ttl = Some(ttl(value)?),
            ("$ORIGIN" | "$TTL", _) => return Err("it takes one value".to_owned()),
            ("$INCLUDE", _) => return Err("$INCLUDE is not supported; write the records here".to_owned()),
            _ => return Err("only $ORIGIN and $TTL are supported".to_owned()),
        }
        Ok(())
    }

    /// Reads a name: `@` is the origin, and one without a final dot stands below it.
    fn absolute(&self, token: &Token<'_>) -> Result<Name, String> {
        let text = token.text;
        if text == "@" && !token.quoted {
            return Ok(self.origin.clone());
        }
        let read = |text: &str| text.parse::<Name>().map_err(|error| format!("`{text}` is no domain name: {error}"));
        let body = text.trim_end_matches('.');
        let escapes = body.len() - body.trim_end_matches('\\').len();
        if text.ends_with('.') && escapes.is_multiple_of(2) {
            return read(text);
        }
        let relative = read(text)?;
        let wire = relative.as_wire();
        Name::from_wire(&[&wire[..wire.len() - 1], self.origin.as_wire()].concat())
            .map_err(|_| format!("`{text}` is longer than 255 octets with the origin {}", self.origin))
    }

    /// Reads the data of a record, in wire form.
    fn data(&self, record_type: RecordType, tokens: &[Token<'_>]) -> Result<Vec<u8>, String> {
        // RFC 6895, section 3.1: questions and messages have these types, zones do not.
        if matches!(record_type.0, 0 | 41 | 128..=255) {
            return Err(format!("{record_type} is no type of records in a zone"));
        }
        // RFC 4034 and RFC 5155: signatures and what goes with them.
        if matches!(record_type.0, 24 | 25 | 30 | 43 | 46..=48 | 50 | 51 | 59 | 60) {
            return Err(format!("zones are served unsigned, so that {record_type} has no meaning here"));
        }
        if let Some((Token { text: "\\#", quoted: false }, rest)) = tokens.split_first() {
            let wire = generic(rest)?;
            return from_wire(record_type, &wire).map(|_| wire);
        }
        let mut wire = Vec::new();
        match (record_type, tokens) {
            (RecordType::A, [address]) => {
                let address = address.text.parse::<std::net::Ipv4Addr>();
                wire.extend(address.map_err(|_| "an A record holds one IPv4 address")?.octets());
            }
            (RecordType::AAAA, [address]) => {
                let address = address.text.parse::<std::net::Ipv6Addr>();
                wire.extend(address.map_err(|_| "an AAAA record holds one IPv6 address")?.octets());
            }
            (RecordType::CNAME | RecordType::NS | RecordType::PTR | RecordType::DNAME, [target]) => {
                wire.extend_from_slice(self.absolute(target)?.as_wire());
            }
            (RecordType::MX, [preference, host]) => {
                wire.extend(number::<u16>(preference)?.to_be_bytes());
                wire.extend_from_slice(self.absolute(host)?.as_wire());
            }
            (RecordType::SRV, [priority, weight, port, host]) => {
                for part in [priority, weight, port] {
                    wire.extend(number::<u16>(part)?.to_be_bytes());
                }
                wire.extend_from_slice(self.absolute(host)?.as_wire());
            }
            (RecordType::SOA, [server, mailbox, serial, times @ ..]) if times.len() == 4 => {
                wire.extend_from_slice(self.absolute(server)?.as_wire());
                wire.extend_from_slice(self.absolute(mailbox)?.as_wire());
                wire.extend(number::<u32>(serial)?.to_be_bytes());
                for time in times {
                    wire.extend(ttl(time)?.to_be_bytes());
                }
            }
            (RecordType::TXT, [_, ..]) => {
                for string in tokens {
                    let octets = string.octets()?;
                    let length = u8::try_from(octets.len()).map_err(|_| "a text is longer than 255 octets; part it")?;
                    wire.push(length);
                    wire.extend(octets);
                }
            }
            (RecordType::A | RecordType::AAAA | RecordType::CNAME | RecordType::NS | RecordType::PTR, _)
            | (RecordType::DNAME | RecordType::MX | RecordType::SRV | RecordType::SOA | RecordType::TXT, _) => {
                return Err(format!("type {record_type} takes another number of values"));
            }
            _ => return self.by_library(record_type, tokens),
        }
        Ok(wire)
    }

    /// Reads the data of the rarer types with hickory, which takes names in them as they stand.
    fn by_library(&self, record_type: RecordType, tokens: &[Token<'_>]) -> Result<Vec<u8>, String> {
        // The place of the name in SVCB, HTTPS (RFC 9460, section 2.1) and NAPTR (RFC 3403, section 4.1).
        let name = match record_type {
            RecordType::SVCB | RecordType::HTTPS => Some(1),
            RecordType(35) => Some(5),
            _ => None,
        };
        let mut text = String::new();
        for (index, token) in tokens.iter().enumerate() {
            if Some(index) == name {
                let name = self.absolute(token)?;
                text.push_str(&if name.is_root() { ".".to_owned() } else { format!("{name}.") });
            } else if token.quoted {
                text.push_str(&format!("\"{}\"", token.text));
            } else {
                text.push_str(token.text);
            }
            text.push(' ');
        }
        let data = RData::try_from_str(record_type.0.into(), &text).map_err(|error| {
            format!("hickory cannot read this {record_type} record: {error}; RFC 3597's `\\# LENGTH HEX` always works")
        })?;
        // What can be read but not written would make the answer fail later, when nobody looks.
        let mut wire = Vec::new();
        let mut encoder = hickory_server::proto::serialize::binary::BinEncoder::new(&mut wire);
        hickory_server::proto::serialize::binary::BinEncodable::emit(&data, &mut encoder)
            .map_err(|error| format!("the data of this {record_type} record cannot be written: {error}"))?;
        from_wire(record_type, &wire).map(|_| wire)
    }
}

fn ttl(token: &Token<'_>) -> Result<u32, String> {
    let seconds = parse_ttl(token.text).ok().filter(|seconds| *seconds <= MAX_TTL);
    seconds.ok_or_else(|| format!("`{}` is no time such as 3600 or 1h30m, up to 2147483647 seconds", token.text))
}

fn number<T: std::str::FromStr>(token: &Token<'_>) -> Result<T, String> {
    token.text.parse().map_err(|_| format!("`{}` is no number that fits here", token.text))
}

/// Reads data of any type as `LENGTH HEX…` (RFC 3597, section 5).
fn generic(tokens: &[Token<'_>]) -> Result<Vec<u8>, String> {
    let (length, digits) = tokens.split_first().ok_or("a length and hexadecimal digits must follow `\\#`")?;
    let digits: String = digits.iter().map(|token| token.text).collect();
    let bad = || format!("`{}` octets in hexadecimal digits must follow", length.text);
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
        u8::from_str_radix(pair, 16).ok()
    });
    let octets: Vec<u8> = pairs.collect::<Option<_>>().ok_or_else(bad)?;
    if number::<u16>(length)? as usize == octets.len() { Ok(octets) } else { Err(bad()) }
}

/// Makes data from their wire form, without compression.
fn from_wire(record_type: RecordType, data: &[u8]) -> Result<RData, String> {
    let length = u16::try_from(data.len()).map_err(|_| "the data are longer than 65535 octets")?;
    let mut record = vec![0];
    record.extend(record_type.0.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(length.to_be_bytes());
    record.extend_from_slice(data);
    let read = Record::from_bytes(&record).map_err(|_| format!("these are no data of type {record_type}"))?;
    // Data without octets are read as those of an update (RFC 2136), which no answer can hold.
    if matches!(read.data, RData::Update0(_)) {
        return Err(format!("type {record_type} without data"));
    }
    Ok(read.data)
}
