//! What the PowerDNS Recursor logs with `quiet=no`, in the structured form of 4.8 and the plain one before it:
//! `… msg="Question" … ts="1700000000.123" … proto="udp" qname="example.com" qtype="A" remote="192.0.2.7:44035"`
//! `Nov 27 04:55:33 2 [1/1] question for 'example.com|A' from 192.0.2.7:44035`

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::{Fault, Read, address, name, record_type};
use crate::query::Transport;
use crate::scan::Seen;
use crate::scan::calendar::{Calendar, Stamp, epoch, stamp};

pub(super) fn read(line: &[u8], calendar: &mut Calendar) -> Read {
    if let Some(at) = memchr::memmem::find(line, b"msg=\"") {
        let asked = [
            &b"Question\""[..],
            b"Question answered from packet cache\"",
            b"TCP question answered from packet cache\"",
        ];
        let said = &line[at + 5..];
        return if asked.iter().any(|asked| said.starts_with(asked)) { structured(line) } else { Ok(None) };
    }
    if memchr::memmem::find(line, b"question answered from packet cache").is_some() {
        return Err(Fault::Line("it was answered from the packet cache, and this form does not tell the name"));
    }
    let Some(at) = memchr::memmem::find(line, b"question for '") else { return Ok(None) };
    let (before, rest) = (&line[..at], &line[at + 14..]);
    let (stamp, _) = stamp(before).ok_or(Fault::TIME)?;
    let end = memchr::memmem::rfind(rest, b"' from ").ok_or(Fault::CUT)?;
    let bar = memchr::memrchr(b'|', &rest[..end]).ok_or(Fault::CUT)?;
    let transport = if before.ends_with(b"TCP ") { Transport::Tcp } else { Transport::Udp };
    let (asked, of) = (name(&rest[..bar])?, record_type(&rest[bar + 1..end]));
    let client = remote(&rest[end + 7..])?;
    let at = calendar.instant(stamp)?;
    Ok(Some(Seen { record_type: of, transport: Some(transport), ..Seen::once(at, client, asked) }))
}

fn structured(line: &[u8]) -> Read {
    let (mut at, mut asked, mut of, mut client, mut transport) = (None, None, None, None, None);
    let mut rest = line;
    while let Some((key, value, behind)) = field(rest) {
        match key {
            b"ts" => at = epoch(&value).map(Stamp::Instant),
            b"qname" => asked = Some(name(&value)?),
            b"qtype" => of = record_type(&value),
            b"remote" => client = Some(remote(&value)?),
            b"proto" if *value == *b"udp" => transport = Some(Transport::Udp),
            b"proto" if *value == *b"tcp" => transport = Some(Transport::Tcp),
            _ => {}
        }
        rest = behind;
    }
    match (at, asked, client) {
        (Some(Stamp::Instant(at)), Some(asked), Some(client)) => {
            Ok(Some(Seen { record_type: of, transport, ..Seen::once(at, client, asked) }))
        }
        (_, None, _) | (_, _, None) => Err(Fault::CUT),
        (_, _, _) => Err(Fault::TIME),
    }
}

/// A key, its value, and what stands behind it.
type Field<'l> = (&'l [u8], Cow<'l, [u8]>, &'l [u8]);

/// Returns the next `key="value"`; inside of a value, quotes and backslashes have a backslash in front.
fn field(line: &[u8]) -> Option<Field<'_>> {
    let equals = memchr::memmem::find(line, b"=\"")?;
    let key = line[..equals].rsplit(|octet| *octet == b' ').next()?;
    let text = &line[equals + 2..];
    let (mut at, mut escaped) = (0, false);
    loop {
        match text.get(at)? {
            b'"' => break,
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    let value = match escaped {
        false => Cow::Borrowed(&text[..at]),
        true => {
            let mut octets = text[..at].iter();
            let mut plain = Vec::new();
            while let Some(octet) = octets.next() {
                plain.push(if *octet == b'\\' { *octets.next()? } else { *octet });
            }
            Cow::Owned(plain)
        }
    };
    Some((key, value, &text[at + 1..]))
}

/// Reads an address with its port or without.
fn remote(text: &[u8]) -> Result<IpAddr, Fault> {
    let with_port = std::str::from_utf8(text).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    with_port.map_or_else(|| address(text), |of| Ok(of.ip()))
}
