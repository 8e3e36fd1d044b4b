//! `log-queries` of Unbound, to a file or to syslog, with `log-tag-queryreply` or without:
//! `[1700000000] unbound[3889:0] info: 192.0.2.7 example.com. A IN`
//!
//! Octets of a name that are no letters, digits or hyphens stand there as `?`. What `log-replies` adds is passed over.

use super::{Fault, Read, address, name, record_type};
use crate::scan::Seen;
use crate::scan::calendar::{Calendar, stamp};

pub(super) fn read(line: &[u8], calendar: &mut Calendar) -> Read {
    let Some(at) = memchr::memmem::find(line, b"unbound") else { return Ok(None) };
    let (before, rest) = line.split_at(at);
    let mark =
        [&b" info: "[..], b" query: "].into_iter().find_map(|mark| Some((mark, memchr::memmem::find(rest, mark)?)));
    let Some((mark, at)) = mark else { return Ok(None) };
    let mut words = rest[at + mark.len()..].split(|octet| *octet == b' ');
    let (Some(client), Some(asked), Some(of), Some(b"IN"), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(None);
    };
    // Lines of other matters may have four words too.
    let Ok(client) = address(client) else { return Ok(None) };
    let (stamp, _) = stamp(before).ok_or(Fault::TIME)?;
    let asked = name(asked)?;
    let at = calendar.instant(stamp)?;
    Ok(Some(Seen { record_type: record_type(of), ..Seen::once(at, client, asked) }))
}
