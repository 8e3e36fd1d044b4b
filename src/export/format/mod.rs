//! How events are written: one text each without a line feed, or octets of dnstap.

mod cef;
pub(super) mod dnstap;
mod ecs;
mod ocsf;
pub(super) mod otlp;
pub(super) mod syslog;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::Value;

use super::event::{Event, Origin};

/// How a record is written as a text in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The leaf itself in JSON, with its log.
    Json,
    /// The Common Event Format of ArcSight.
    Cef,
    /// The Elastic Common Schema in JSON.
    Ecs,
    /// The Open Cybersecurity Schema Framework in JSON.
    Ocsf,
}

/// How records are written to a file without a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Text(Text),
    /// A request of OTLP a line, as OpenTelemetry's file exporter writes them.
    Otlp,
    /// dnstap in Frame Streams.
    Dnstap,
}

impl Text {
    /// The words for it.
    pub const WORDS: &'static [&'static str] = &["json", "cef", "ecs", "ocsf"];

    /// Returns the event as one line of text, without the line feed.
    pub(super) fn write(self, event: &Event, origin: &Origin) -> String {
        match self {
            Self::Json => json_line(&Value::Object(event.value(origin))),
            Self::Cef => cef::write(event, origin),
            Self::Ecs => json_line(&ecs::write(event, origin)),
            Self::Ocsf => json_line(&ocsf::write(event, origin)),
        }
    }
}

impl FromStr for Text {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "json" => Ok(Self::Json),
            "cef" => Ok(Self::Cef),
            "ecs" => Ok(Self::Ecs),
            "ocsf" => Ok(Self::Ocsf),
            _ => Err(()),
        }
    }
}

impl Encoding {
    /// The words for it.
    pub const WORDS: &'static [&'static str] = &["json", "cef", "ecs", "ocsf", "otlp", "dnstap"];
}

impl FromStr for Encoding {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "otlp" => Ok(Self::Otlp),
            "dnstap" => Ok(Self::Dnstap),
            text => text.parse().map(Self::Text),
        }
    }
}

/// Writes JSON in ASCII: whatever a terminal or a reader of lines would obey is an escape then.
pub(super) fn json_line(value: &Value) -> String {
    let text = value.to_string();
    if text.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
        return text;
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            line.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(line, "\\u{unit:04x}");
        }
    }
    line
}

/// Puts `value` in where there is one.
pub(super) fn put(object: &mut serde_json::Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

/// Returns the number of a response code (RFC 6895, section 2.3) by its mnemonic; `None` for one that is not known here.
pub(super) fn rcode(mnemonic: &str) -> Option<u16> {
    const NAMES: [&str; 12] = [
        "NOERROR",
        "FORMERR",
        "SERVFAIL",
        "NXDOMAIN",
        "NOTIMP",
        "REFUSED",
        "YXDOMAIN",
        "YXRRSET",
        "NXRRSET",
        "NOTAUTH",
        "NOTZONE",
        "DSOTYPENI",
    ];
    let known = NAMES.iter().position(|name| *name == mnemonic).and_then(|at| u16::try_from(at).ok());
    known.or_else(|| mnemonic.strip_prefix("RCODE")?.parse().ok())
}
