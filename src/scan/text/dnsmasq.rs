//! `log-queries` of dnsmasq, and so Pi-hole's log, to a file or to syslog:
//! `Nov 27 04:55:33 dnsmasq[3895]: query[A] example.com from 192.0.2.7`
//!
//! With `log-queries=extra` a number and the client stand before `query`. Names that cannot be printed are not told.

use super::{Fault, Read, address, plain_name, record_type};
use crate::message::RecordType;
use crate::scan::Seen;
use crate::scan::calendar::{Calendar, stamp};

const FROM: &[u8] = b" from ";

pub(super) fn read(line: &[u8], calendar: &mut Calendar) -> Read {
    let Some(at) = memchr::memmem::find(line, b"dnsmasq") else { return Ok(None) };
    let (before, rest) = line.split_at(at);
    let Some((_, said)) = split(rest, b": ") else { return Ok(None) };
    // With `extra`, two words come first: a number, and the client with its port.
    let mut words = said.splitn(3, |octet| *octet == b' ');
    let query = match (words.next(), words.next(), words.next()) {
        (Some(number), Some(_), Some(rest)) if number.iter().all(u8::is_ascii_digit) => rest,
        _ => said,
    };
    let Some(query) = query.strip_prefix(b"query[") else { return Ok(None) };
    let (of, query) = split(query, b"] ").ok_or(Fault::CUT)?;
    let from = memchr::memmem::rfind(query, FROM).ok_or(Fault::CUT)?;
    let (asked, client) = (&query[..from], address(&query[from + FROM.len()..])?);
    if asked == b"<name unprintable>" {
        return Err(Fault::Line("dnsmasq did not tell the name, which cannot be printed"));
    }
    let (stamp, _) = stamp(before).ok_or(Fault::TIME)?;
    let of = match of.strip_prefix(b"type=") {
        Some(number) => std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).map(RecordType),
        None => record_type(of),
    };
    let asked = plain_name(asked)?;
    let at = calendar.instant(stamp)?;
    Ok(Some(Seen { record_type: of, ..Seen::once(at, client, asked) }))
}

fn split<'l>(line: &'l [u8], mark: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = memchr::memmem::find(line, mark)?;
    Some((&line[..at], &line[at + mark.len()..]))
}
