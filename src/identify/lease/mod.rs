//! Lease files of DHCP servers: which device, of which name, has an address until when.
//!
//! What they hold is chosen by clients in part, and a server may be writing while we read. So nothing in them is an error:
//! what is not understood is counted with its line, and the rest is used.

mod dhcpd;
mod dnsmasq;
mod kea;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::client::{Hardware, MAX_DEVICES};
use crate::message::Name;

/// The most leases that are kept of one file, ended ones included.
const MAX_LEASES: usize = 2 * MAX_DEVICES;

/// A lease file, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseFile {
    pub path: PathBuf,
    /// `None` where the content tells it.
    pub format: Option<Format>,
}

/// How a lease file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// dnsmasq: a lease a line, written anew as a whole.
    Dnsmasq,
    /// ISC dhcpd: blocks, of which the last for an address counts.
    Dhcpd,
    /// Kea's memfile: CSV with a header, of which the last line for an address counts.
    Kea,
}

impl LeaseFile {
    /// Reads `PATH` or `FORMAT:PATH`.
    pub fn of(text: &str) -> Self {
        let (format, path) = match text.split_once(':') {
            Some(("dnsmasq", path)) => (Some(Format::Dnsmasq), path),
            Some(("dhcpd", path)) => (Some(Format::Dhcpd), path),
            Some(("kea", path)) => (Some(Format::Kea), path),
            Some(_) | None => (None, text),
        };
        Self { path: PathBuf::from(path), format }
    }
}

impl Format {
    /// Tells the format by the first line that is neither empty nor a comment.
    pub(super) fn of(text: &str) -> Self {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let first = first.unwrap_or_default();
        let number = |word: &str| word.bytes().all(|octet| octet.is_ascii_digit());
        match first.split([' ', ',']).next().unwrap_or_default() {
            "address" if first.contains(',') => Self::Kea,
            "duid" => Self::Dnsmasq,
            word if number(word) => Self::Dnsmasq,
            _ => Self::Dhcpd,
        }
    }
}

/// An address that a server has given to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) hardware: Option<Hardware>,
    pub(super) name: Option<Name>,
    /// When it ends; `None` for never.
    pub(super) until: Option<Timestamp>,
}

/// What a lease file says.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) by_address: BTreeMap<IpAddr, Lease>,
    /// How many lines are not understood, and the first of them, counted from 1.
    pub(super) not_understood: usize,
    pub(super) first_line: Option<usize>,
    /// Leases that found no place.
    pub(super) left_out: usize,
}

impl Leases {
    /// Reads a text in this format. A last line or block without an end is left out: it is still being written.
    pub(super) fn read(&mut self, format: Format, text: &str) {
        match format {
            Format::Dnsmasq => dnsmasq::read(text, self),
            Format::Dhcpd => dhcpd::read(text, self),
            Format::Kea => kea::read(text, self),
        }
    }

    fn fault(&mut self, line: usize) {
        self.not_understood += 1;
        self.first_line.get_or_insert(line);
    }

    /// Takes a lease; what was said of the address before counts no more.
    fn give(&mut self, address: IpAddr, lease: Lease) {
        let address = address.to_canonical();
        if self.by_address.len() >= MAX_LEASES && !self.by_address.contains_key(&address) {
            self.left_out += 1;
        } else {
            self.by_address.insert(address, lease);
        }
    }

    fn take_back(&mut self, address: IpAddr) {
        self.by_address.remove(&address.to_canonical());
    }
}

/// Returns the lines that have an end, each with its number from 1.
fn whole_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.enumerate().map(|(at, line)| (at + 1, line.trim_end_matches('\r')))
}

/// Returns the name of a host, as clients tell theirs: letters, digits, hyphens and underscores.
fn host_name(text: &str) -> Option<Name> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    text.bytes().all(fits).then(|| text.parse().ok()).flatten().filter(|name: &Name| !name.is_root())
}

/// Returns the instant that is so many seconds after 1970.
fn epoch(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}
