//! The access log of Squid in its own format, and so which hosts clients wanted to reach through the proxy:
//! `1700000000.123    200 192.0.2.7 TCP_TUNNEL/200 5000 CONNECT example.com:443 - HIER_DIRECT/192.0.2.1 -`

use std::net::IpAddr;

use super::{Fault, Read, address, plain_name};
use crate::scan::Seen;
use crate::scan::calendar::epoch;

pub(super) fn read(line: &[u8]) -> Read {
    let mut words = line.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let (Some(time), Some(_), Some(client), Some(result), Some(_), Some(method), Some(url)) =
        (words.next(), words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(None);
    };
    let (Some(at), Ok(client), true) = (epoch(time), address(client), result.contains(&b'/')) else { return Ok(None) };
    let host = if method == b"CONNECT" { Some(url) } else { authority(url) };
    // An address is no name, and an error has none either.
    let Some(host) = host.map(without_port).filter(|host| !is_address(host)) else { return Ok(None) };
    match plain_name(host) {
        Ok(name) => Ok(Some(Seen::once(at, client, name))),
        Err(_) => Err(Fault::Line("the host of the address is no domain name")),
    }
}

fn authority(url: &[u8]) -> Option<&[u8]> {
    let rest = &url[memchr::memmem::find(url, b"://")? + 3..];
    let end = rest.iter().position(|octet| b"/?#".contains(octet)).unwrap_or(rest.len());
    // Whoever logs in to a server has a name before the host.
    rest[..end].rsplit(|octet| *octet == b'@').next()
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) => &host[..at],
        _ => host,
    }
}

fn is_address(host: &[u8]) -> bool {
    host.starts_with(b"[") || std::str::from_utf8(host).is_ok_and(|host| host.parse::<IpAddr>().is_ok())
}
