//! The zones that every resolver serves itself, so that private names and addresses never leak.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text;
use super::zone::Zone;
use crate::message::Name;

/// The records that a zone made here starts with (RFC 6303, section 3), but with a shorter time for denials, since hosts
/// are added to these zones by the configuration.
const HEAD: &str = "@ 10800 SOA @ nobody.invalid. 1 3600 1200 604800 900\n@ 10800 NS @\n";

/// Reverse zones of addresses that mean nothing outside their network: RFC 6303, section 4; RFC 7793 for 100.64/10.
const REVERSE: &[&str] = &[
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "254.169.in-addr.arpa",
    "168.192.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
];

/// Names that do not exist in the public DNS: RFC 6761 (test, invalid), RFC 6762 (local), RFC 7686 (onion), RFC 8375
/// (home.arpa).
const NAMES: &[&str] = &["test", "invalid", "local", "onion", "home.arpa"];

/// Returns a zone that denies every name below its own.
pub(super) fn empty(origin: &Name) -> Zone {
    with(origin, "")
}

/// Returns an empty zone with further records.
fn with(origin: &Name, records: &str) -> Zone {
    let mut zone = Zone::new(origin);
    let (lines, faults) = text::read(origin, &format!("{HEAD}{records}"));
    debug_assert!(faults.is_empty(), "{faults:?}");
    for line in lines {
        zone.add(&line.name, line.record).expect("the records of this file stand in their zones");
    }
    zone
}

/// Returns every special-use zone.
pub(super) fn zones() -> Vec<(Name, Zone)> {
    let private = (16..32).map(|octet| format!("{octet}.172.in-addr.arpa"));
    let shared = (64..128).map(|octet| format!("{octet}.100.in-addr.arpa"));
    let fixed = REVERSE.iter().chain(NAMES).map(|origin| (*origin).to_owned());
    let denying = fixed.chain(private).chain(shared).map(|origin| (parse(&origin), ""));
    let others = [
        // RFC 6761, section 6.3: everything below it is this machine, too.
        (parse("localhost"), "@ A 127.0.0.1\n@ AAAA ::1\n* A 127.0.0.1\n* AAAA ::1\n"),
        (parse("127.in-addr.arpa"), "1.0.0 PTR localhost.\n"),
        (reverse(Ipv6Addr::LOCALHOST.into()), "@ PTR localhost.\n"),
        (reverse(Ipv6Addr::UNSPECIFIED.into()), ""),
        // RFC 6303, section 4.2.
        (reverse(Ipv4Addr::BROADCAST.into()), ""),
    ];
    let zones = denying.chain(others).map(|(origin, records)| {
        let zone = with(&origin, records);
        (origin, zone)
    });
    let mut zones: Vec<_> = zones.collect();
    // RFC 9462, section 6.4: no encrypted resolver is designated, and every name exists.
    let mut designated = empty(&parse("resolver.arpa"));
    designated.let_everything_exist();
    zones.push((parse("resolver.arpa"), designated));
    zones
}

/// Returns the name that the reverse record of an address hangs on (RFC 1035, section 3.5; RFC 3596, section 2.5).
pub(super) fn reverse(address: IpAddr) -> Name {
    parse(&match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 0xF, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    })
}

fn parse(name: &str) -> Name {
    name.parse().expect("the names of this file are names")
}
