//! From a captured frame to the datagram or segment in it: links, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::u16_at;

/// What IP carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// The identification of an IPv4 packet; 0 for IPv6, which has none.
    pub(super) identification: u16,
    /// The number of the protocol: 6 is TCP, 17 UDP.
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
}

/// Why a frame leads to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// It carries no IP.
    Other,
    /// It is damaged, or of a kind that is not read.
    Unread(&'static str),
}

const CUT: Nothing = Nothing::Unread("the packet is cut");
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86DD;

/// Returns what a frame of this link type carries (the registry of libpcap's LINKTYPE values).
pub(super) fn carried(link: u32, frame: &[u8]) -> Result<Carried<'_>, Nothing> {
    match link {
        // Ethernet.
        1 => ethernet(frame.get(12..).ok_or(CUT)?),
        // Loopback of BSD: the address family, in the order of octets of the host that captured.
        0 | 108 => match frame.get(..4).ok_or(CUT)? {
            [2, 0, 0, 0] | [0, 0, 0, 2] => ipv4(&frame[4..]),
            [24 | 28 | 30, 0, 0, 0] | [0, 0, 0, 24 | 28 | 30] => ipv6(&frame[4..]),
            _ => Err(Nothing::Other),
        },
        // Raw IP, by either number.
        12 | 14 | 101 | 228 | 229 => match frame.first().ok_or(CUT)? >> 4 {
            4 => ipv4(frame),
            6 => ipv6(frame),
            _ => Err(Nothing::Unread("neither IPv4 nor IPv6")),
        },
        // Linux cooked, of both versions.
        113 => by_type(u16_at(frame, 14).ok_or(CUT)?, &frame[16..]),
        276 => by_type(u16_at(frame, 0).ok_or(CUT)?, frame.get(20..).ok_or(CUT)?),
        _ => Err(Nothing::Unread("the link is of a kind that is not read")),
    }
}

/// Reads a frame from its EtherType on, behind any tags of VLANs (IEEE 802.1Q).
fn ethernet(mut frame: &[u8]) -> Result<Carried<'_>, Nothing> {
    for _ in 0..4 {
        match u16_at(frame, 0).ok_or(CUT)? {
            0x8100 | 0x88A8 | 0x9100 => frame = frame.get(4..).ok_or(CUT)?,
            kind => return by_type(kind, &frame[2..]),
        }
    }
    Err(Nothing::Unread("more than four tags of VLANs"))
}

fn by_type(kind: u16, packet: &[u8]) -> Result<Carried<'_>, Nothing> {
    match kind {
        IPV4 => ipv4(packet),
        IPV6 => ipv6(packet),
        0x8100 | 0x88A8 => ethernet(packet.get(2..).ok_or(CUT)?),
        // PPPoE (RFC 2516, section 4), and in it the protocol of PPP.
        0x8864 => match u16_at(packet, 6).ok_or(CUT)? {
            0x0021 => ipv4(&packet[8..]),
            0x0057 => ipv6(&packet[8..]),
            _ => Err(Nothing::Other),
        },
        _ => Err(Nothing::Other),
    }
}

/// RFC 791, section 3.1.
fn ipv4(packet: &[u8]) -> Result<Carried<'_>, Nothing> {
    let header = packet.get(..20).ok_or(CUT)?;
    let length = usize::from(header[0] & 0x0F) * 4;
    let total = usize::from(u16_at(header, 2).ok_or(CUT)?);
    if header[0] >> 4 != 4 || length < 20 {
        return Err(Nothing::Unread("the IP header is damaged"));
    }
    // A length of 0 is that of a packet which the network card cuts up (segmentation offload).
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    let payload = packet.get(length..end).ok_or(CUT)?;
    let address = |at: usize| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]).into();
    let identification = u16_at(header, 4).ok_or(CUT)?;
    let carried = Carried { from: address(12), to: address(16), identification, protocol: header[9], payload };
    match u16_at(header, 6).ok_or(CUT)? & 0x3FFF {
        0 => Ok(carried),
        _ if matches!(carried.protocol, 6 | 17) => Err(Nothing::Unread("a fragment")),
        _ => Err(Nothing::Other),
    }
}

/// RFC 8200, sections 3 and 4.
fn ipv6(packet: &[u8]) -> Result<Carried<'_>, Nothing> {
    let header = packet.get(..40).ok_or(CUT)?;
    if header[0] >> 4 != 6 {
        return Err(Nothing::Unread("the IP header is damaged"));
    }
    let length = usize::from(u16_at(header, 4).ok_or(CUT)?);
    let mut payload = &packet[40..];
    if length > 0 {
        payload = &payload[..length.min(payload.len())];
    }
    let address = |at: usize| {
        let octets: [u8; 16] = header[at..at + 16].try_into().unwrap_or_default();
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let mut protocol = header[6];
    for _ in 0..8 {
        match protocol {
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => {
                let (next, length) = (*payload.first().ok_or(CUT)?, *payload.get(1).ok_or(CUT)?);
                payload = payload.get(8 + usize::from(length) * 8..).ok_or(CUT)?;
                protocol = next;
            }
            44 => {
                let next = *payload.first().ok_or(CUT)?;
                if u16_at(payload, 2).ok_or(CUT)? & 0xFFF9 != 0 {
                    return Err(if matches!(next, 6 | 17) { Nothing::Unread("a fragment") } else { Nothing::Other });
                }
                payload = payload.get(8..).ok_or(CUT)?;
                protocol = next;
            }
            // An authentication header (RFC 4302, section 2.2) counts in units of four octets.
            51 => {
                let (next, length) = (*payload.first().ok_or(CUT)?, *payload.get(1).ok_or(CUT)?);
                payload = payload.get(8 + usize::from(length) * 4..).ok_or(CUT)?;
                protocol = next;
            }
            protocol => {
                return Ok(Carried { from: address(8), to: address(24), identification: 0, protocol, payload });
            }
        }
    }
    Err(Nothing::Unread("more than eight extension headers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = b"\x45\0\0\x18\0\0\0\0\x40\x11\0\0\xC0\0\x02\x07\xC0\0\x02\x35data";
    const MAC: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02";

    fn v6(headers: &[u8], first: u8) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, (headers.len() + 4) as u8, first, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        [&packet, headers, b"data"].concat()
    }

    #[test]
    fn links_of_all_kinds_lead_to_the_same_packet() {
        let frame = |parts: &[&[u8]]| parts.concat();
        let expected = carried(101, V4).unwrap();
        assert_eq!((expected.from.to_string(), expected.payload), ("192.0.2.7".to_owned(), &b"data"[..]));
        for (link, frame, what) in [
            (1, frame(&[MAC, b"\x08\0", V4]), "Ethernet"),
            (1, frame(&[MAC, b"\x81\0\0\x07\x08\0", V4]), "with a tag"),
            (1, frame(&[MAC, b"\x88\xA8\0\x07\x81\0\0\x08\x08\0", V4]), "with two tags"),
            (1, frame(&[MAC, b"\x08\0", V4, b"padding"]), "with padding"),
            (1, frame(&[MAC, b"\x88\x64\x11\0\0\x01\0\x1A\0\x21", V4]), "PPPoE"),
            (113, frame(&[&[0; 14], b"\x08\0", V4]), "Linux cooked"),
            (276, frame(&[b"\x08\0", &[0; 18], V4]), "Linux cooked, version 2"),
            (0, frame(&[b"\x02\0\0\0", V4]), "loopback"),
            (108, frame(&[b"\0\0\0\x02", V4]), "loopback of OpenBSD"),
            (228, V4.to_vec(), "raw IPv4"),
        ] {
            assert_eq!(carried(link, &frame), Ok(expected), "{what}");
            for length in 0..frame.len().min(40) {
                // Whatever is cut off, nothing breaks.
                let _ = carried(link, &frame[..length]);
            }
        }
        assert_eq!(carried(1, &frame(&[MAC, b"\x08\x06arp"])), Err(Nothing::Other));
        assert!(matches!(carried(147, V4), Err(Nothing::Unread(_))));
    }

    #[test]
    fn extension_headers_are_passed_over_and_fragments_are_not_read() {
        for (headers, first) in [
            (&b""[..], 17),
            (b"\x11\0\0\0\0\0\0\0", 0),
            (b"\x3C\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0", 43),
            (b"\x11\0\0\0\0\0\0\x01", 44),
            (b"\x11\x04\0\0\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0", 51),
        ] {
            let packet = v6(headers, first);
            let found = carried(229, &packet).unwrap();
            assert_eq!((found.protocol, found.payload), (17, &b"data"[..]), "{headers:?}");
        }
        assert_eq!(carried(229, &v6(b"\x11\0\0\x01\0\0\0\x01", 44)), Err(Nothing::Unread("a fragment")));
        let circle = b"\0\0\0\0\0\0\0\0".repeat(9);
        assert!(matches!(carried(229, &v6(&circle, 0)), Err(Nothing::Unread(_))));
    }
}
