//! The formats that lists come in. Every line is understood or refused; none is passed over.

mod adblock;
mod detect;
mod dnsmasq;
mod domains;
mod hosts;
mod rpz;
mod unbound;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::gather::Gathered;
use crate::message::{MAX_LABEL, MAX_NAME, Name};

pub(super) use adblock::TURNS;
pub use detect::detect;
pub(super) use hosts::{OWN, is_null};
pub use rpz::{network_of_labels, network_to_labels};

/// How the text of a list is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// `ADDRESS NAME…`, as in `/etc/hosts`: each name itself.
    Hosts,
    /// A name a line: that name itself; `*.NAME` for those below it.
    Domains,
    /// A name a line, with or without `*.` in front: that name and all below it.
    Suffixes,
    /// The part of the syntax of ad blockers that is about names.
    Adblock,
    /// `address=`, `server=` and `local=` of dnsmasq.
    Dnsmasq,
    /// `local-zone:` and `local-data:` of Unbound.
    Unbound,
    /// A response policy zone.
    Rpz,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Hosts, Self::Domains, Self::Suffixes, Self::Adblock, Self::Dnsmasq, Self::Unbound, Self::Rpz];

    /// Returns the word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Domains => "domains",
            Self::Suffixes => "suffixes",
            Self::Adblock => "adblock",
            Self::Dnsmasq => "dnsmasq",
            Self::Unbound => "unbound",
            Self::Rpz => "rpz",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| format!("the formats are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Reads the text of a list.
pub fn parse(format: Format, text: &str) -> Gathered {
    let mut gathered = Gathered::default();
    let text = text.trim_start_matches('\u{feff}');
    match format {
        Format::Hosts => each_line(text, &mut gathered, hosts::line),
        Format::Domains => domains::parse(text, domains::Meaning::AsWritten, &mut gathered),
        Format::Suffixes => domains::parse(text, domains::Meaning::WithAllBelow, &mut gathered),
        Format::Adblock => each_line(text, &mut gathered, adblock::line),
        Format::Dnsmasq => each_line(text, &mut gathered, dnsmasq::line),
        Format::Unbound => unbound::parse(text, &mut gathered),
        Format::Rpz => rpz::parse(text, &mut gathered),
    }
    if let Err(reason) = gathered.settle() {
        gathered.refuse(0, "", reason);
    }
    gathered
}

/// Reads line by line; a line that `read` does not understand is refused with its reason.
fn each_line(text: &str, gathered: &mut Gathered, mut read: impl FnMut(&str, &mut Gathered) -> Result<(), String>) {
    for (index, line) in text.lines().enumerate() {
        if let Err(reason) = read(line.trim(), gathered) {
            gathered.refuse(index + 1, line, reason);
        }
    }
}

/// Reads a name as lists write it.
fn name(text: &str) -> Result<Name, String> {
    if let Some(name) = plain_name(text.as_bytes()) {
        return Ok(name);
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("an address stands where a name should".to_owned());
    }
    // What is no name of a host is more often a slip, or another format, than a name.
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'\\' => drop(octets.next()),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {}
            0x80.. => return Err("it has a character outside ASCII; write A-labels (xn--…)".to_owned()),
            _ => {
                return Err(
                    "it is no domain name: write a character that names of hosts do not have as \\DDD".to_owned()
                );
            }
        }
    }
    text.parse().map_err(|error| format!("it is no domain name: {error}"))
}

/// Reads a name without escapes and empty labels, which nearly all are, in a fraction of the time; `None` where it is
/// anything else.
fn plain_name(text: &[u8]) -> Option<Name> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let mut wire = [0; MAX_NAME];
    wire.get_mut(1..=text.len()).filter(|_| text.len() <= MAX_NAME - 2)?.copy_from_slice(text);
    let mut start = 0;
    let mut digits = true;
    for (at, octet) in text.iter().enumerate() {
        match octet {
            b'.' => {
                wire[start] = label_length(at - start)?;
                start = at + 1;
                digits = true;
            }
            b'0'..=b'9' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => digits = false,
            _ => return None,
        }
    }
    // A last label of digits makes it an address, or something like one.
    wire[start] = label_length(text.len() - start).filter(|_| !digits)?;
    Name::from_wire(&wire[..text.len() + 2]).ok()
}

fn label_length(length: usize) -> Option<u8> {
    u8::try_from(length).ok().filter(|length| (1..=MAX_LABEL).contains(&usize::from(*length)))
}

#[cfg(test)]
mod tests;
