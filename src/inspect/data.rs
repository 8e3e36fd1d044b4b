//! Where names stand in the data of records, and what parameters of service bindings say.

use std::net::IpAddr;

use crate::message::{Malformed, Record, RecordType, u16_at};
use crate::query::Through;

/// Keys of service parameters (RFC 9460, section 14.3.2).
pub(super) mod key {
    pub(in crate::inspect) const MANDATORY: u16 = 0;
    pub(in crate::inspect) const IPV4_HINT: u16 = 4;
    /// Encrypted ClientHello (RFC 9848).
    pub(in crate::inspect) const ECH: u16 = 5;
    pub(in crate::inspect) const IPV6_HINT: u16 = 6;
}

/// Returns through what data of this type lead a client on to the name in them.
pub(super) const fn leads_on(record_type: RecordType) -> Option<Through> {
    Some(match record_type {
        RecordType::CNAME => Through::Cname,
        RecordType::DNAME => Through::Dname,
        RecordType::SVCB | RecordType::HTTPS => Through::Svcb,
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX => Through::Mx,
        RecordType::SRV => Through::Srv,
        RecordType::NS => Through::Ns,
        RecordType::NAPTR => Through::Naptr,
        _ => return None,
    })
}

/// Returns where the names in a record's data begin, from the start of the message, and how many there are one after the
/// other; none where the type has no names, or none that anybody may compress (RFC 3597, section 4).
///
/// # Errors
/// `Malformed` where the data end before.
pub(super) fn names_at(wire: &[u8], record: &Record) -> Result<Option<(usize, usize)>, Malformed> {
    let (before, names) = match record.record_type {
        RecordType::NS
        | RecordType::MD
        | RecordType::MF
        | RecordType::CNAME
        | RecordType::MB
        | RecordType::MG
        | RecordType::MR
        | RecordType::PTR
        | RecordType::NXT
        | RecordType::DNAME
        | RecordType::NSEC => (0, 1),
        RecordType::SOA | RecordType::MINFO | RecordType::RP => (0, 2),
        RecordType::MX | RecordType::AFSDB | RecordType::RT | RecordType::KX | RecordType::SVCB | RecordType::HTTPS => {
            (2, 1)
        }
        RecordType::PX => (2, 2),
        RecordType::SRV => (6, 1),
        RecordType::SIG | RecordType::RRSIG => (18, 1),
        RecordType::NAPTR => {
            // Order and preference, then flags, services and a regular expression (RFC 3403, section 4.1).
            let mut at = record.data + 4;
            for _ in 0..3 {
                at += 1 + usize::from(*wire.get(at).ok_or(Malformed)?);
            }
            (at - record.data, 1)
        }
        _ => return Ok(None),
    };
    let at = record.data + before;
    if at < record.end { Ok(Some((at, names))) } else { Err(Malformed) }
}

/// Returns the service parameters in `octets`: key and value.
///
/// # Errors
/// `Malformed` where one of them is cut off.
pub(super) fn parameters(mut octets: &[u8]) -> Result<Vec<(u16, &[u8])>, Malformed> {
    let mut parameters = Vec::new();
    while !octets.is_empty() {
        let key = u16_at(octets, 0).ok_or(Malformed)?;
        let end = 4 + usize::from(u16_at(octets, 2).ok_or(Malformed)?);
        parameters.push((key, octets.get(4..end).ok_or(Malformed)?));
        octets = octets.get(end..).ok_or(Malformed)?;
    }
    Ok(parameters)
}

/// Returns the addresses in the value of a service parameter; none where it is no hint.
///
/// # Errors
/// `Malformed` where the value is no list of addresses (RFC 9460, section 7.3).
pub(super) fn hints(key: u16, value: &[u8]) -> Result<Vec<IpAddr>, Malformed> {
    let (four, six) = (value.as_chunks::<4>(), value.as_chunks::<16>());
    match key {
        key::IPV4_HINT if four.1.is_empty() => Ok(four.0.iter().map(|octets| IpAddr::from(*octets)).collect()),
        key::IPV6_HINT if six.1.is_empty() => Ok(six.0.iter().map(|octets| IpAddr::from(*octets)).collect()),
        key::IPV4_HINT | key::IPV6_HINT => Err(Malformed),
        _ => Ok(Vec::new()),
    }
}
