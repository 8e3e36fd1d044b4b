//! Logs of lines: which of them are queries, and what they say.

mod bind;
mod dnsmasq;
mod json;
mod powerdns;
mod squid;
mod unbound;
mod zeek;

use std::net::IpAddr;

use super::account::Sink;
use super::calendar::Calendar;
use super::window::{Line, Window};
use super::{Format, Seen, Settings};
use crate::message::{Name, RecordType};
use crate::query::Transport;

/// Why a line that ought to be a query tells none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Line(&'static str),
    NoZone,
    NoYear,
}

impl Fault {
    pub(super) const TIME: Self = Self::Line("the time is none");
    pub(super) const NAME: Self = Self::Line("the name is no domain name");
    pub(super) const CLIENT: Self = Self::Line("the client is no address");
    pub(super) const CUT: Self = Self::Line("the line is cut");
}

/// What a line says: nothing where it is no query and is not meant to be one.
pub(super) type Read = Result<Option<Seen>, Fault>;

/// Reads the lines of one log.
pub(super) struct Reader {
    format: Format,
    calendar: Calendar,
    /// What the head of a log of Zeek says of its columns.
    columns: Option<zeek::Columns>,
}

impl Reader {
    pub(super) fn new(format: Format, settings: &Settings) -> Self {
        Self { format, calendar: Calendar::new(settings.zone.clone(), settings.year), columns: None }
    }

    pub(super) fn line(&mut self, line: &[u8]) -> Read {
        match self.format {
            Format::Bind => bind::read(line, &mut self.calendar),
            Format::Unbound => unbound::read(line, &mut self.calendar),
            Format::Dnsmasq => dnsmasq::read(line, &mut self.calendar),
            Format::PowerDns => powerdns::read(line, &mut self.calendar),
            Format::Squid => squid::read(line),
            Format::Zeek if line.starts_with(b"{") => json::zeek(line, &mut self.calendar),
            Format::Zeek => zeek::read(line, &mut self.columns),
            Format::Suricata | Format::AdGuard | Format::Interdict if line.is_empty() => Ok(None),
            Format::Suricata => json::suricata(line, &mut self.calendar),
            Format::AdGuard => json::adguard(line, &mut self.calendar),
            Format::Interdict => json::own(line),
            Format::Pcap | Format::Pcapng | Format::Dnstap | Format::PiHole => Ok(None),
        }
    }
}

/// Reads a log to its end.
pub(super) fn read(
    window: &mut Window,
    format: Format,
    settings: &Settings,
    sink: &mut Sink<'_>,
) -> std::io::Result<()> {
    let mut reader = Reader::new(format, settings);
    while let Some(line) = window.line()? {
        sink.begin();
        let read = match line {
            Line::Whole(line) => reader.line(line),
            // An object of JSON is whole or cannot be read; of any other line a name may be cut into another.
            Line::Last(line) if line.starts_with(b"{") => reader.line(line),
            Line::Last(_) => Err(Fault::Line("the last line has no end, and may be cut")),
            Line::TooLong => Err(Fault::Line("the line is longer than a megabyte")),
        };
        match read {
            Ok(Some(seen)) => {
                window.fruitful();
                sink.take(&seen);
                if sink.is_stopped() {
                    break;
                }
            }
            Ok(None) => sink.other(),
            Err(Fault::Line(why)) => sink.unread(why),
            Err(Fault::NoZone) => {
                sink.end("its times tell no zone: say with --zone which it is, as UTC, +02:00 or Europe/Berlin");
                break;
            }
            Err(Fault::NoYear) => {
                sink.end("its times tell no year: say with --year which that of its first line is");
                break;
            }
        }
    }
    Ok(())
}

/// Reads a name as name servers write it; those that write it without escapes have octets outside ASCII in it.
fn name(text: &[u8]) -> Result<Name, Fault> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Fault::NAME)
}

pub(super) fn address(text: &[u8]) -> Result<IpAddr, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::CLIENT)?;
    // The scope of a link-local address is a matter of the host that wrote it.
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().map_err(|_| Fault::CLIENT)
}

/// Reads a name that is written as it is, without escapes: whatever stands between two dots is a label.
pub(super) fn plain_name(text: &[u8]) -> Result<Name, Fault> {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let mut wire = Vec::with_capacity(text.len() + 2);
    if !text.is_empty() {
        for label in text.split(|octet| *octet == b'.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
            wire.push(length.ok_or(Fault::NAME)?);
            wire.extend_from_slice(label);
        }
    }
    wire.push(0);
    Name::from_wire(&wire).map_err(|_| Fault::NAME)
}

/// Reads a record type; one that has another word in this log is not known, which no decision depends on.
fn record_type(text: &[u8]) -> Option<RecordType> {
    match text {
        b"A" => Some(RecordType::A),
        b"AAAA" => Some(RecordType::AAAA),
        b"HTTPS" => Some(RecordType::HTTPS),
        text => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
    }
}

fn transport(text: &[u8]) -> Option<Transport> {
    match text {
        b"udp" | b"UDP" => Some(Transport::Udp),
        b"tcp" | b"TCP" => Some(Transport::Tcp),
        _ => None,
    }
}
