//! The category `queries` of BIND, to a file or to syslog:
//! `27-Nov-2026 04:55:33.123 client @0x7f8e 192.0.2.7#49152 (example.com): query: example.com IN A +E(0)K (192.0.2.53)`

use super::{Fault, Read, address, name, record_type};
use crate::query::Transport;
use crate::scan::Seen;
use crate::scan::calendar::{Calendar, stamp};

const MARK: &[u8] = b": query: ";

pub(super) fn read(line: &[u8], calendar: &mut Calendar) -> Read {
    let Some(at) = memchr::memmem::find(line, MARK) else { return Ok(None) };
    let (before, after) = (&line[..at], &line[at + MARK.len()..]);
    let Some(client) = memchr::memmem::find(before, b"client ").map(|at| &before[at + 7..]) else { return Ok(None) };
    let (stamp, _) = stamp(before).ok_or(Fault::TIME)?;
    let mut words = client.split(|octet| *octet == b' ');
    let mut first = words.next().unwrap_or_default();
    if first.starts_with(b"@") {
        first = words.next().unwrap_or_default();
    }
    let client = address(&first[..memchr::memchr(b'#', first).ok_or(Fault::CLIENT)?])?;
    // Spaces in names are escaped, so that these words are what they seem.
    let mut words = after.split(|octet| *octet == b' ');
    let (Some(asked), Some(class), Some(of)) = (words.next(), words.next(), words.next()) else {
        return Err(Fault::CUT);
    };
    match class {
        b"IN" => {}
        // Another class, as a word or a number.
        [b'A'..=b'Z', rest @ ..] if rest.iter().all(u8::is_ascii_alphanumeric) => return Ok(None),
        _ => return Err(Fault::CUT),
    }
    let flags = words.next().filter(|flags| flags.starts_with(b"+") || flags.starts_with(b"-")).ok_or(Fault::CUT)?;
    let transport = if flags.contains(&b'T') { Transport::Tcp } else { Transport::Udp };
    let (asked, of) = (name(asked)?, record_type(of));
    let at = calendar.instant(stamp)?;
    Ok(Some(Seen { record_type: of, transport: Some(transport), ..Seen::once(at, client, asked) }))
}
