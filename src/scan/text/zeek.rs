//! `dns.log` of Zeek in its own form: tab-separated columns, named by a line `#fields`.

use super::{Fault, Read, address, plain_name, record_type};
use crate::scan::Seen;
use crate::scan::calendar::epoch;
use crate::scan::text::transport;

/// Where the columns stand that are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Columns {
    time: usize,
    client: usize,
    query: usize,
    record_type: Option<usize>,
    protocol: Option<usize>,
}

impl Columns {
    fn named(line: &[u8]) -> Option<Self> {
        let names: Vec<&[u8]> = line.strip_prefix(b"#fields\t")?.split(|octet| *octet == b'\t').collect();
        let place = |name: &[u8]| names.iter().position(|of| *of == name);
        Some(Self {
            time: place(b"ts")?,
            client: place(b"id.orig_h")?,
            query: place(b"query")?,
            record_type: place(b"qtype_name"),
            protocol: place(b"proto"),
        })
    }
}

pub(super) fn read(line: &[u8], columns: &mut Option<Columns>) -> Read {
    if line.starts_with(b"#") {
        if line.starts_with(b"#fields") {
            *columns = Columns::named(line);
        }
        return Ok(None);
    }
    let Some(of) = columns else { return Ok(None) };
    // Zeek has some two dozen columns; no line needs to be taken apart any further.
    let mut cells = [&b""[..]; 64];
    line.split(|octet| *octet == b'\t').zip(&mut cells).for_each(|(cell, place)| *place = cell);
    let cell = |at: usize| cells.get(at).copied().unwrap_or_default();
    let query = cell(of.query);
    if query == b"-" {
        return Ok(None);
    }
    let at = epoch(cell(of.time)).ok_or(Fault::TIME)?;
    let client = address(cell(of.client))?;
    let name = plain_name(&unescaped(query))?;
    Ok(Some(Seen {
        record_type: of.record_type.and_then(|at| record_type(cell(at))),
        transport: of.protocol.and_then(|at| transport(cell(at))),
        ..Seen::once(at, client, name)
    }))
}

/// Octets that would break the columns are written `\x09`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match rest {
            [b'\\', b'x', high, low, tail @ ..] if let (Some(high), Some(low)) = (digit(high), digit(low)) => {
                plain.push(high << 4 | low);
                rest = tail;
            }
            _ => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}
