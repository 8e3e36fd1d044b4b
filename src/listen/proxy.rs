//! The PROXY protocol, version 2: what a proxy says in front of a datagram or connection about who asks. The form is that
//! of HAProxy's `doc/proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::u16_at;

/// What every header begins with. No query does: as a DNS message it is one of another opcode.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Octets up to the addresses.
pub(super) const FIXED: usize = 16;

/// A header that keeps to its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Octets of the header; what the client sent stands behind it.
    pub(super) length: usize,
    /// Who asks; `None` where the proxy asks for itself, or says nothing of it.
    pub(super) source: Option<IpAddr>,
}

/// Returns the length of the header that starts so, of which [`FIXED`] octets have to be there.
pub(super) fn length(wire: &[u8]) -> Option<usize> {
    let begins = wire.starts_with(SIGNATURE);
    begins.then(|| u16_at(wire, 14)).flatten().map(|rest| FIXED + usize::from(rest))
}

/// Reads the header at the start of `wire`; `None` where there is none or it is broken.
pub(super) fn read(wire: &[u8]) -> Option<Header> {
    let length = length(wire)?;
    let body = wire.get(FIXED..length)?;
    let (version, command) = (wire[12] >> 4, wire[12] & 0x0F);
    let (family, transport) = (wire[13] >> 4, wire[13] & 0x0F);
    if version != 2 || transport > 2 {
        return None;
    }
    let (source, addresses) = match family {
        // Neither an address of IP, and so nobody whom we could identify.
        0 => (None, 0),
        3 => (None, 216),
        1 => (body.first_chunk().map(|octets| IpAddr::V4(Ipv4Addr::from_octets(*octets))), 12),
        2 => (body.first_chunk().map(|octets| IpAddr::V6(Ipv6Addr::from_octets(*octets))), 36),
        _ => return None,
    };
    match command {
        // LOCAL: the proxy asks for itself, to see whether we are there. What it says besides has to be passed over.
        0 => Some(Header { length, source: None }),
        1 if family == 0 => Some(Header { length, source: None }),
        1 => fields_are_whole(body.get(addresses..)?).then_some(Header { length, source }),
        _ => None,
    }
}

/// Walks the further fields behind the addresses, each with its length (section 2.2), and heeds none of them.
fn fields_are_whole(mut fields: &[u8]) -> bool {
    while !fields.is_empty() {
        let Some(rest) = u16_at(fields, 1).and_then(|length| fields.get(3 + usize::from(length)..)) else {
            return false;
        };
        fields = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, body].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 7, 192, 0, 2, 53, 0x9C, 0x40, 0, 53];

    /// Section 2.2 of the specification.
    #[test]
    fn what_a_header_says_of_who_asks() {
        let v6 = [[0x20; 16].as_slice(), &[0; 16], &[0; 4]].concat();
        let with = |fields: &[u8]| [V4, fields].concat();
        for (command, family, body, source, what) in [
            (0x21, 0x12, V4.to_vec(), Some(Some("192.0.2.7")), "PROXY, UDP over IPv4"),
            (0x21, 0x11, V4.to_vec(), Some(Some("192.0.2.7")), "PROXY, TCP over IPv4"),
            (0x21, 0x22, v6.clone(), Some(Some("2020:2020:2020:2020:2020:2020:2020:2020")), "PROXY over IPv6"),
            (0x21, 0x12, with(&[4, 0, 2, 9, 9, 5, 0, 0]), Some(Some("192.0.2.7")), "fields behind it"),
            (0x20, 0x12, V4.to_vec(), Some(None), "LOCAL"),
            (0x20, 0x00, vec![], Some(None), "LOCAL without addresses"),
            (0x21, 0x00, vec![1, 2, 3], Some(None), "no address family"),
            (0x21, 0x31, vec![0; 216], Some(None), "a Unix socket"),
            (0x21, 0x12, V4[..11].to_vec(), None, "half an address"),
            (0x21, 0x22, v6[..35].to_vec(), None, "half an address of IPv6"),
            (0x21, 0x12, with(&[4, 0, 3, 9, 9]), None, "half a field"),
            (0x21, 0x12, with(&[4, 0]), None, "half the head of a field"),
            (0x11, 0x12, V4.to_vec(), None, "version 1"),
            (0x22, 0x12, V4.to_vec(), None, "an unknown command"),
            (0x21, 0x42, V4.to_vec(), None, "an unknown family"),
            (0x21, 0x13, V4.to_vec(), None, "an unknown transport"),
        ] {
            let mut wire = header(command, family, &body);
            let length = wire.len();
            wire.extend_from_slice(b"query");
            let found = read(&wire);
            assert_eq!(
                found.map(|header| header.source.map(|of| of.to_string())),
                source.map(|of| of.map(str::to_owned)),
                "{what}"
            );
            assert!(found.is_none_or(|header| header.length == length), "{what}");
            assert_eq!(read(&wire[..length - 1]), None, "{what}, cut");
        }
        assert_eq!(read(b""), None);
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(
            command in any::<u8>(), family in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..400_usize,
        ) {
            let wire = header(command, family, &body);
            let wire = &wire[..cut.min(wire.len())];
            if let Some(header) = read(wire) {
                prop_assert!(header.length <= wire.len());
            }
            let _ = read(&body);
        }
    }
}
