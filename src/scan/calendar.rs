//! Instants of text logs. What a log leaves out, its year or its zone, is told by whoever asks and never guessed.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::text::Fault;

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// The time at the beginning of a line, as far as the line tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    Instant(Timestamp),
    /// Without a zone.
    Local(Civil),
    /// Without a year either; its year is 0.
    Yearless(Civil),
}

/// A date and a time of day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Civil {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
}

/// Turns times of one file into instants.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    zone: Option<TimeZone>,
    year: Option<i16>,
    /// The month of the last time without a year.
    month: i8,
    /// The last minute that was looked up in the zone, and when it began.
    minute: Option<(Civil, Timestamp)>,
}

impl Calendar {
    pub(super) const fn new(zone: Option<TimeZone>, year: Option<i16>) -> Self {
        Self { zone, year, month: 0, minute: None }
    }

    /// Returns the instant of a stamp. In the hour that a zone has twice it is the first one.
    pub(super) fn instant(&mut self, stamp: Stamp) -> Result<Timestamp, Fault> {
        match stamp {
            Stamp::Instant(at) => Ok(at),
            Stamp::Local(civil) => self.local(civil),
            Stamp::Yearless(civil) => {
                let year = self.year.ok_or(Fault::NoYear)?;
                // A log goes on in the next year where its months begin anew; a line or two out of order is no new year.
                let year = match (self.month, civil.month) {
                    (7..=12, 1..=6) if self.month - civil.month > 6 => year.saturating_add(1),
                    (1..=6, 7..=12) if civil.month - self.month > 6 => year.saturating_sub(1),
                    (_, _) => year,
                };
                let at = self.local(Civil { year, ..civil })?;
                (self.year, self.month) = (Some(year), civil.month);
                Ok(at)
            }
        }
    }

    fn local(&mut self, civil: Civil) -> Result<Timestamp, Fault> {
        let minute = Civil { second: 0, nanosecond: 0, ..civil };
        let begun = match self.minute {
            Some((known, begun)) if known == minute => begun,
            _ => {
                let zone = self.zone.as_ref().ok_or(Fault::NoZone)?;
                let Civil { year, month, day, hour, minute: of_hour, .. } = civil;
                let time = DateTime::new(year, month, day, hour, of_hour, 0, 0).map_err(|_| Fault::TIME)?;
                let begun = zone.to_ambiguous_timestamp(time).compatible().map_err(|_| Fault::TIME)?;
                self.minute = Some((minute, begun));
                begun
            }
        };
        let rest = SignedDuration::new(i64::from(civil.second), civil.nanosecond);
        begun.checked_add(rest).map_err(|_| Fault::TIME)
    }
}

/// Reads the time at the beginning of a line, in any way that the logs of name servers write it; returns it with the rest.
pub(super) fn stamp(line: &[u8]) -> Option<(Stamp, &[u8])> {
    // The priority of a syslog message, and the version of its format (RFC 5424, section 6.2).
    let line = match line {
        [b'<', rest @ ..] => {
            let (priority, rest) = rest.split_at_checked(rest.iter().take(4).position(|octet| *octet == b'>')? + 1)?;
            let digits = priority.len() > 1 && priority[..priority.len() - 1].iter().all(u8::is_ascii_digit);
            if digits { rest.strip_prefix(b"1 ").unwrap_or(rest) } else { return None }
        }
        line => line,
    };
    match line {
        [b'[', rest @ ..] => {
            let end = rest.iter().take(24).position(|octet| *octet == b']')?;
            epoch(&rest[..end]).map(|at| (Stamp::Instant(at), &rest[end + 1..]))
        }
        [b'A'..=b'Z', ..] => syslog(line),
        [_, _, b'-', ..] => bind(line),
        _ => iso(line),
    }
}

/// Reads seconds since 1970 with any fraction, as `1700000000.123`.
pub(super) fn epoch(text: &[u8]) -> Option<Timestamp> {
    let (seconds, fraction) = match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], nanoseconds(&text[at + 1..])?),
        None => (text, 0),
    };
    Timestamp::new(number(seconds, 12)?, fraction).ok()
}

/// `27-Nov-2026 04:55:33.123`, as BIND writes it.
fn bind(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (date, rest) = line.split_at_checked(12)?;
    let (b'-', b'-', b' ') = (date[2], date[6], date[11]) else { return None };
    let civil = Civil {
        year: i16::try_from(number(&date[7..11], 4)?).ok()?,
        month: month(&date[3..6])?,
        day: two(&date[..2])?,
        ..Civil::default()
    };
    let (civil, rest) = time(civil, rest)?;
    Some((Stamp::Local(civil), rest))
}

/// `Nov 27 04:55:33`, as syslog writes it (RFC 3164, section 4.1.2).
fn syslog(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (date, rest) = line.split_at_checked(7)?;
    let (b' ', b' ') = (date[3], date[6]) else { return None };
    let day = match &date[4..6] {
        [b' ', day @ b'1'..=b'9'] => i8::try_from(day - b'0').ok()?,
        day => two(day)?,
    };
    let (civil, rest) = time(Civil { month: month(&date[..3])?, day, ..Civil::default() }, rest)?;
    Some((Stamp::Yearless(civil), rest))
}

/// ISO 8601 with or without a zone; an offset may lack its colon.
pub(super) fn iso(line: &[u8]) -> Option<(Stamp, &[u8])> {
    let (date, rest) = line.split_at_checked(11)?;
    let (b'-', b'-', b'T' | b' ') = (date[4], date[7], date[10]) else { return None };
    let civil = Civil {
        year: i16::try_from(number(&date[..4], 4)?).ok()?,
        month: two(&date[5..7])?,
        day: two(&date[8..10])?,
        ..Civil::default()
    };
    let (civil, rest) = time(civil, rest)?;
    let (offset, rest) = match rest {
        [b'Z' | b'z', rest @ ..] => (0, rest),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, rest) = rest.split_at_checked(2)?;
            let rest = rest.strip_prefix(b":").unwrap_or(rest);
            let (minutes, rest) = rest.split_at_checked(2)?;
            let offset = i64::from(two(hours)?) * 3600 + i64::from(two(minutes)?) * 60;
            (if *sign == b'-' { -offset } else { offset }, rest)
        }
        rest => return Some((Stamp::Local(civil), rest)),
    };
    let date = Date::new(civil.year, civil.month, civil.day).ok()?;
    let days = date.duration_since(Date::new(1970, 1, 1).ok()?).as_secs();
    let seconds = i64::from(civil.hour) * 3600 + i64::from(civil.minute) * 60 + i64::from(civil.second);
    let at = Timestamp::new(days + seconds - offset, civil.nanosecond).ok()?;
    Some((Stamp::Instant(at), rest))
}

/// Reads `04:55:33` with any fraction.
fn time(date: Civil, text: &[u8]) -> Option<(Civil, &[u8])> {
    let (time, rest) = text.split_at_checked(8)?;
    let (b':', b':') = (time[2], time[5]) else { return None };
    let (fraction, rest) = match rest {
        [b'.' | b',', rest @ ..] => {
            let (digits, rest) = rest.split_at(rest.iter().take_while(|octet| octet.is_ascii_digit()).count());
            (nanoseconds(digits)?, rest)
        }
        rest => (0, rest),
    };
    let (hour, minute, second) = (two(&time[..2])?, two(&time[3..5])?, two(&time[6..])?);
    // The second 60 is a leap second (ISO 8601).
    let fits = hour < 24 && minute < 60 && second <= 60;
    fits.then_some((Civil { hour, minute, second, nanosecond: fraction, ..date }, rest))
}

fn month(text: &[u8]) -> Option<i8> {
    MONTHS.iter().position(|name| *name == text).and_then(|at| i8::try_from(at + 1).ok())
}

fn two(text: &[u8]) -> Option<i8> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => i8::try_from((a - b'0') * 10 + (b - b'0')).ok(),
        _ => None,
    }
}

/// Reads a number of at most `most` digits.
fn number(text: &[u8], most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    fits.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Reads the digits behind the point; what is finer than a nanosecond is cut.
fn nanoseconds(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nine = (0..9).map(|at| i32::from(digits.get(at).unwrap_or(&b'0') - b'0'));
    Some(nine.fold(0, |number, digit| number * 10 + digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, zone: Option<&str>, year: Option<i16>) -> Result<String, Fault> {
        let zone = zone.map(|zone| TimeZone::get(zone).unwrap());
        let (stamp, _) = stamp(line.as_bytes()).ok_or(Fault::TIME)?;
        Calendar::new(zone, year).instant(stamp).map(|at| at.to_string())
    }

    #[test]
    fn times_are_read_as_servers_write_them() {
        for (line, zone, year, at) in [
            ("27-Nov-2026 04:55:33.123 x", Some("UTC"), None, "2026-11-27T04:55:33.123Z"),
            ("27-Nov-2026 04:55:33.123 x", Some("America/New_York"), None, "2026-11-27T09:55:33.123Z"),
            ("27-Jul-2026 04:55:33.123 x", Some("America/New_York"), None, "2026-07-27T08:55:33.123Z"),
            ("[1700000000] unbound", None, None, "2023-11-14T22:13:20Z"),
            ("Nov  7 04:55:33 dnsmasq", Some("UTC"), Some(2025), "2025-11-07T04:55:33Z"),
            ("<30>Nov 27 04:55:33 host", Some("UTC"), Some(2025), "2025-11-27T04:55:33Z"),
            ("<30>1 2026-11-27T04:55:33.5+01:00 host", None, None, "2026-11-27T03:55:33.5Z"),
            ("2026-11-27T04:55:33.500-0500 host", None, None, "2026-11-27T09:55:33.5Z"),
            ("2026-11-27 04:55:33Z host", None, None, "2026-11-27T04:55:33Z"),
            ("2026-11-27T04:55:33 host", Some("UTC"), None, "2026-11-27T04:55:33Z"),
        ] {
            assert_eq!(read(line, zone, year).as_deref(), Ok(at), "{line}");
        }
    }

    #[test]
    fn neither_year_nor_zone_is_guessed() {
        assert_eq!(read("Nov 27 04:55:33 x", Some("UTC"), None), Err(Fault::NoYear));
        assert_eq!(read("Nov 27 04:55:33 x", None, Some(2025)), Err(Fault::NoZone));
        assert_eq!(read("27-Nov-2026 04:55:33.123 x", None, None), Err(Fault::NoZone));
        for line in [
            "",
            "Nov",
            "Feb 30 04:55:33 x",
            "Nov 27 24:55:33 x",
            "[17x] y",
            "<>Nov 27 04:55:33",
            "ü-Nov-2026 0",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(read(line, Some("UTC"), Some(2025)), Err(Fault::TIME), "{line}");
        }
    }

    #[test]
    fn the_year_goes_on_at_its_end_and_not_for_a_line_out_of_order() {
        let mut calendar = Calendar::new(Some(TimeZone::UTC), Some(2024));
        for (line, at) in [
            ("Dec 31 23:59:59 x", "2024-12-31T23:59:59Z"),
            ("Jan  1 00:00:00 x", "2025-01-01T00:00:00Z"),
            ("Dec 31 23:59:59 x", "2024-12-31T23:59:59Z"),
            ("Jan  1 00:00:01 x", "2025-01-01T00:00:01Z"),
            ("Feb  1 00:00:00 x", "2025-02-01T00:00:00Z"),
        ] {
            let (stamp, _) = stamp(line.as_bytes()).unwrap();
            assert_eq!(calendar.instant(stamp).unwrap().to_string(), at, "{line}");
        }
        let (leap, _) = stamp(b"Feb 29 00:00:00 x").unwrap();
        assert_eq!(calendar.instant(leap), Err(Fault::TIME), "2025 has none");
    }
}
