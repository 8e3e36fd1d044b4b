//! What a file is, by its first octets, or by which format's reader finds queries in its first lines.

use jiff::tz::TimeZone;

use super::text::Reader;
use super::{Format, Settings};

/// How many lines are looked at.
const LINES: usize = 2000;

/// How a database of SQLite begins.
pub(super) const SQLITE: &[u8] = b"SQLite format 3\0";

/// How many queries settle it.
const ENOUGH: usize = 20;

/// Returns the format of a file that begins with `head`, the last line of which may be cut.
pub(super) fn detect(head: &[u8]) -> Option<Format> {
    match head {
        [0xD4, 0xC3, 0xB2, 0xA1, ..]
        | [0xA1, 0xB2, 0xC3, 0xD4, ..]
        | [0x4D, 0x3C, 0xB2, 0xA1, ..]
        | [0xA1, 0xB2, 0x3C, 0x4D, ..] => Some(Format::Pcap),
        [0x0A, 0x0D, 0x0D, 0x0A, ..] => Some(Format::Pcapng),
        [0, 0, 0, 0, _, _, _, _, 0, 0, 0, 2, ..] => Some(Format::Dnstap),
        head if head.starts_with(SQLITE) => Some(Format::PiHole),
        text => by_lines(text),
    }
}

fn by_lines(text: &[u8]) -> Option<Format> {
    // Any year and zone will do to find out whether a line is read at all.
    let settings = Settings { year: Some(2024), zone: Some(TimeZone::UTC), ..Settings::default() };
    let mut best = None;
    for format in Format::ALL {
        let mut reader = Reader::new(format, &settings);
        let mut found = 0;
        for line in text.split(|octet| *octet == b'\n').take(LINES) {
            found += usize::from(matches!(reader.line(line), Ok(Some(_))));
            if found == ENOUGH {
                break;
            }
        }
        if found > best.map_or(0, |(most, _)| most) {
            best = Some((found, format));
        }
    }
    best.map(|(_, format)| format)
}
