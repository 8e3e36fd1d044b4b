//! The lease file of dnsmasq: end, hardware address or IAID, address, name or `*`, client identifier.

use super::{Lease, Leases, epoch, host_name, whole_lines};
use crate::client::Hardware;

/// What begins lines that tell of the server, or more of a lease than we ask.
const OTHERS: &[&str] = &["duid", "agent-info", "vendorclass"];

pub(super) fn read(text: &str, leases: &mut Leases) {
    for (number, line) in whole_lines(text) {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let Some(first) = words.first() else { continue };
        if !OTHERS.contains(first) && lease(&words, leases).is_none() {
            leases.fault(number);
        }
    }
}

/// Takes the lease of a line; `None` where part of it is not understood. A broken name makes no broken lease.
fn lease(words: &[&str], leases: &mut Leases) -> Option<()> {
    let [end, identifier, address, name, ..] = words else { return None };
    let address = address.parse().ok()?;
    let until = match *end {
        "0" => None,
        end => Some(epoch(end)?),
    };
    let hardware = match address {
        // Of IPv6 the server knows an identifier that only looks like one (RFC 8415, section 11).
        std::net::IpAddr::V6(_) => None,
        // Other kinds of networks stand before a hyphen.
        std::net::IpAddr::V4(_) if identifier.contains('-') => None,
        std::net::IpAddr::V4(_) => Some(identifier.parse::<Hardware>().ok()?),
    };
    let known = (*name != "*").then(|| host_name(name));
    leases.give(address, Lease { hardware, name: known.clone().flatten(), until });
    (known != Some(None)).then_some(())
}
