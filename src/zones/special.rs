//! The zones that every resolver serves itself, so that private names and addresses never leak.

use std::net::{IpAddr, Ipv6Addr};

use crate::message::Name;

/// The records that a zone made here starts with (RFC 6303, section 3).
const HEAD: &str = "@ 3600 IN SOA localhost. nobody.invalid. 1 3600 1200 604800 3600\n@ 3600 IN NS localhost.\n";

/// Reverse zones of addresses that mean nothing outside their network: RFC 6303, section 4; RFC 7793 for 100.64/10.
const REVERSE: &[&str] = &[
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "127.in-addr.arpa",
    "254.169.in-addr.arpa",
    "168.192.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
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

/// Returns the text that a zone without records of its own has.
pub(super) const fn head() -> &'static str {
    HEAD
}

/// Returns every special-use zone with its text.
pub(super) fn zones() -> Vec<(Name, String)> {
    let empty = |origin: &&str| (parse(origin), HEAD.to_owned());
    let mut zones: Vec<_> = REVERSE.iter().chain(NAMES).map(empty).collect();
    zones.extend((16..32).map(|octet| (parse(&format!("{octet}.172.in-addr.arpa")), HEAD.to_owned())));
    zones.extend((64..128).map(|octet| (parse(&format!("{octet}.100.in-addr.arpa")), HEAD.to_owned())));
    // RFC 6761, section 6.3: localhost and everything below it.
    let loopback = ["@", "*"].map(|name| format!("{name} 3600 IN A 127.0.0.1\n{name} 3600 IN AAAA ::1\n"));
    zones.push((parse("localhost"), format!("{HEAD}{}", loopback.concat())));
    // RFC 9462, section 6.4: no encrypted resolver is designated, and the name exists.
    zones.push((parse("resolver.arpa"), format!("{HEAD}_dns 3600 IN TXT \"no encrypted resolver is designated\"\n")));
    for (origin, text) in &mut zones {
        if *origin == parse("127.in-addr.arpa") {
            text.push_str("1.0.0 3600 IN PTR localhost.\n");
        }
    }
    for (address, target) in [(Ipv6Addr::LOCALHOST, "localhost."), (Ipv6Addr::UNSPECIFIED, "")] {
        let pointer = if target.is_empty() { String::new() } else { format!("@ 3600 IN PTR {target}\n") };
        zones.push((reverse(address.into()), format!("{HEAD}{pointer}")));
    }
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
