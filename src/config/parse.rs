//! Texts to addresses, networks, names and instants, with what would be right where they are none.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use crate::client::Hardware;
use crate::fetch::{NoKey, PublicKey, Url, read_digest};
use crate::message::Name;
use crate::query::NamePattern;
use crate::resolve::{Endpoint, Protocol, Secure};

const DNS_PORT: u16 = 53;

/// What is wrong with a text, and what would be right.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) remedy: String,
}

fn wrong<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), remedy: remedy.into() })
}

/// Reads with `parse` unless the text is empty.
pub(super) fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Result<Option<T>, Wrong> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// Accepts a text of so many octets in one line.
pub(super) fn text(text: &str, least: usize, most: usize) -> Result<&str, Wrong> {
    if text.chars().any(char::is_control) {
        return wrong("it has control characters", "write it in one line of visible characters");
    }
    if text.trim().len() < least {
        return wrong("it is empty", "write something, or leave it out");
    }
    if text.len() > most {
        return wrong(format!("it is longer than {most} octets"), "shorten it");
    }
    Ok(text)
}

/// Reads an address with its port to listen on.
pub(super) fn listener(text: &str) -> Result<SocketAddr, Wrong> {
    const REMEDY: &str = "write address and port, such as \"127.0.0.1:5300\" or \"[::1]:5300\"";
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) if bare_address(text).is_some() => wrong("the port is missing", REMEDY),
        Err(_) => wrong("not an address with a port", REMEDY),
    }
}

/// Reads the address of a DNS server, port 53 where none is given.
pub(super) fn server(text: &str) -> Result<SocketAddr, Wrong> {
    const REMEDY: &str =
        "write \"address\", \"address:port\" or \"[v6]:port\", such as \"10.0.0.1\" or \"[fd00::1]:53\"";
    let address = text.parse().ok().or_else(|| bare_address(text).map(|address| SocketAddr::new(address, DNS_PORT)));
    match address {
        None => wrong("not the address of a server", REMEDY),
        Some(address) if address.port() == 0 => wrong("nothing can be sent to port 0", REMEDY),
        Some(address) if address.ip().is_unspecified() => wrong("the unspecified address is not a server", REMEDY),
        Some(address) if address.ip().is_multicast() => wrong("a multicast address is not a server", REMEDY),
        Some(address) => Ok(address),
    }
}

/// Reads where an upstream is: as [`server`] does, or the URL of one that is spoken to encrypted.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    const REMEDY: &str =
        "write it as \"tls://192.0.2.1#dns.example\", \"https://dns.example/dns-query#192.0.2.1\" or \"quic://…\"";
    let Some((scheme, _)) = text.split_once("://") else { return server(text).map(Endpoint::Plain) };
    let known = [Protocol::Tls, Protocol::Https, Protocol::Quic].into_iter();
    let Some(protocol) = known.into_iter().find(|of| of.scheme() == scheme) else {
        return wrong("neither tls:// nor https:// nor quic://", REMEDY);
    };
    let Ok(url) = Url::parse(text) else { return wrong("not a URL", REMEDY) };
    let (host, own) = match url.host_str() {
        Some(host) if !host.is_empty() => (host, bare_address(host)),
        _ => return wrong("a URL without a host", REMEDY),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return wrong("a URL with a user, a password or a query", "leave them out");
    }
    let path = match (protocol, url.path()) {
        (Protocol::Https, "" | "/") => "/dns-query",
        (Protocol::Https, path) => path,
        (Protocol::Tls | Protocol::Quic, "" | "/") => "",
        (Protocol::Tls | Protocol::Quic, _) => return wrong("only https has a path", "leave it out"),
    };
    let (name, address) = match (own, url.fragment()) {
        (Some(own), None) => (own.to_string(), Some(own)),
        (Some(own), Some(name)) => match host_name(name)? {
            name if name.parse::<IpAddr>().is_ok() => return wrong("two addresses, and no name", REMEDY),
            name => (name, Some(own)),
        },
        (None, None) => (host_name(host)?, None),
        (None, Some(address)) => (host_name(host)?, Some(ip(address)?)),
    };
    if url.port() == Some(0) || address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
        return wrong("nobody can be there", REMEDY);
    }
    let port = url.port().unwrap_or(protocol.port());
    Ok(Endpoint::Secure(Secure { protocol, name, address, port, path: path.to_owned() }))
}

/// Reads an address without a port; brackets around one of IPv6 do no harm.
fn bare_address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Reads a network in prefix notation; an address alone is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let network: IpNet = match (text.parse(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (Err(_), Ok(address)) => address.into(),
        (Err(_), Err(_)) => return wrong("not a network", "write it as \"10.0.0.0/8\" or \"fd00::/8\""),
    };
    if network.addr() != network.network() {
        let remedy = format!("write \"{}\", or the address alone", network.trunc());
        return wrong("the address has bits outside its prefix", remedy);
    }
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
            // Clients are known by the address that is meant, so that another network would be the same one.
            Some(v4) => {
                let remedy = format!("write \"{v4}/{}\"", mapped.prefix_len() - 96);
                wrong("it is a network of IPv4 written as one of IPv6", remedy)
            }
            None => Ok(network),
        },
        IpNet::V4(_) | IpNet::V6(_) => Ok(network),
    }
}

pub(super) fn v4(text: &str) -> Result<Ipv4Addr, Wrong> {
    text.parse().or_else(|_| wrong("not an IPv4 address", "write it as \"192.0.2.1\""))
}

pub(super) fn v6(text: &str) -> Result<Ipv6Addr, Wrong> {
    text.parse().or_else(|_| wrong("not an IPv6 address", "write it as \"2001:db8::1\""))
}

/// Reads an address, one of IPv4 as such however it is written.
pub(super) fn ip(text: &str) -> Result<IpAddr, Wrong> {
    let address = text.parse().map(|address: IpAddr| address.to_canonical());
    address.or_else(|_| wrong("not an address", "write it as \"192.0.2.1\" or \"2001:db8::1\""))
}

/// Reads the hardware address of a device.
pub(super) fn hardware(text: &str) -> Result<Hardware, Wrong> {
    text.parse().or_else(|_| wrong("not a hardware address", "write it as \"00:00:5e:00:53:01\""))
}

/// Reads a name, or `*.NAME` for all names below it.
pub(super) fn pattern(text: &str) -> Result<NamePattern, Wrong> {
    text.parse().or_else(|error| {
        wrong(format!("not a domain name: {error}"), "write a name such as \"laptop-7\", or \"*.lab.example\"")
    })
}

/// Accepts lower-case letters, digits and hyphens.
pub(super) fn id(text: &str) -> Result<&str, Wrong> {
    let fits = text.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    match fits && (1..=64).contains(&text.len()) {
        true => Ok(text),
        false => wrong("not an id", "write 1 to 64 lower-case letters, digits and hyphens, such as \"sales-2\""),
    }
}

/// Reads an instant with its offset from UTC (RFC 3339).
pub(super) fn instant(text: &str) -> Result<Timestamp, Wrong> {
    text.parse().or_else(|_| {
        wrong(
            "not an instant with its offset from UTC",
            "write it as \"2026-12-31T00:00:00-05:00\", or with Z at the end for UTC",
        )
    })
}

pub(super) fn name(text: &str) -> Result<Name, Wrong> {
    text.parse().or_else(|error| not_a_name(&error))
}

/// Reads a URL from which something is fetched. Others' secrets do not belong into a configuration that many read.
pub(super) fn url(text: &str) -> Result<Url, Wrong> {
    const REMEDY: &str = "write it as \"https://lists.example/ads.txt\"";
    let Ok(url) = Url::parse(text) else { return wrong("not a URL", REMEDY) };
    match url.scheme() {
        _ if url.host().is_none() => wrong("a URL without a host", REMEDY),
        _ if !url.username().is_empty() || url.password().is_some() => {
            wrong("a URL with a user or a password", "leave them out")
        }
        "https" | "http" => Ok(url),
        _ => wrong("neither https nor http", REMEDY),
    }
}

/// Reads a SHA-256.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Wrong> {
    read_digest(text).map_or_else(|| wrong("not a SHA-256", "write its 64 hexadecimal digits, as `sha256sum` does"), Ok)
}

/// Reads a public key of minisign.
pub(super) fn public_key(text: &str) -> Result<PublicKey, Wrong> {
    let remedy = "write the second line of its `.pub` file, which begins with \"RW\"";
    text.parse().or_else(|NoKey| wrong("not a public key of minisign", remedy))
}

fn not_a_name<T>(error: &dyn Display) -> Result<T, Wrong> {
    wrong(format!("not a domain name: {error}"), "write a name such as \"corp.example\"")
}

/// Reads a name as a Host header has it, without port; letters become lower case, a final dot is left out.
pub(super) fn host_name(text: &str) -> Result<String, Wrong> {
    name(text)?;
    if !text.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
        return wrong("not the name of a host", "write letters, digits, hyphens and dots, and no port");
    }
    Ok(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
}

/// Reads a name and its addresses.
pub(super) fn host(text: &str) -> Result<(Name, Vec<IpAddr>), Wrong> {
    const REMEDY: &str = "write the name, then its addresses, such as \"printer.corp.example 10.0.0.9 fd00::9\"";
    let mut words = text.split_whitespace();
    let Some(first) = words.next() else { return wrong("it is empty", REMEDY) };
    if first.parse::<IpAddr>().is_ok() {
        return wrong("the address stands before the name", REMEDY);
    }
    let name = name(first)?;
    let mut addresses = Vec::new();
    for word in words {
        match word.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => return wrong(format!("{} is not an address", super::node::quote(word)), REMEDY),
        }
    }
    if addresses.is_empty() { wrong("the name has no address", REMEDY) } else { Ok((name, addresses)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_asked_at_port_53_unless_said_otherwise() {
        for (text, address) in [
            ("10.0.0.1", "10.0.0.1:53"),
            ("10.0.0.1:5353", "10.0.0.1:5353"),
            ("fd00::1", "[fd00::1]:53"),
            ("[fd00::1]", "[fd00::1]:53"),
            ("[fd00::1]:5353", "[fd00::1]:5353"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), address, "{text}");
        }
        for text in ["", "dns.example", "10.0.0.1:0", "10.0.0.1:99999", "224.0.0.251", "[10.0.0.1]:53"] {
            assert!(server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_encrypted_server_is_told_by_name_by_address_or_by_both() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1:53"),
            ("tls://9.9.9.9#dns.quad9.net", "tls://dns.quad9.net:853#9.9.9.9"),
            ("tls://dns.quad9.net:8853#9.9.9.9", "tls://dns.quad9.net:8853#9.9.9.9"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:853"),
            ("https://DNS.example", "https://dns.example:443/dns-query"),
            ("https://dns.example:8443/q/7#2001:db8::1", "https://dns.example:8443/q/7#2001:db8::1"),
            ("quic://192.0.2.1:8853", "quic://192.0.2.1:8853"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), shown, "{text}");
            assert_eq!(endpoint(shown).unwrap(), endpoint(text).unwrap(), "{shown}");
        }
        for text in [
            "udp://192.0.2.1",
            "tls://",
            "tls://192.0.2.1/path",
            "https://user:secret@dns.example/",
            "https://dns.example/dns-query?key=1",
            "tls://dns.example#other.example",
            "tls://192.0.2.1#192.0.2.1.",
            "tls://a..b",
            "quic://192.0.2.1:0",
            "tls://0.0.0.0",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_has_no_bits_outside_its_prefix() {
        assert_eq!(network("10.0.0.9").unwrap().to_string(), "10.0.0.9/32");
        assert_eq!(network("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert!(network("10.0.0.1/8").unwrap_err().remedy.contains("10.0.0.0/8"));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_host_is_a_name_and_at_least_one_address() {
        assert_eq!(host(" a.example  10.0.0.1 ::1 ").unwrap().1.len(), 2);
        for text in ["", "a.example", "10.0.0.1 a.example", "a..example 10.0.0.1", "a.example 10.0.0.1:53"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_without_offset_is_none() {
        assert!(instant("2026-12-31T00:00:00-05:00").is_ok());
        assert!(instant("2026-12-31T00:00:00Z").is_ok());
        assert!(instant("2026-12-31T00:00:00").is_err());
        assert!(instant("2026-12-31").is_err());
    }
}
