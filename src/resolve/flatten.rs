//! From an upstream's message to an answer that can be kept.

use crate::message::{Body, Malformed, Name, RecordType, ResponseView, Section, flag, u32_at, without_opt};

/// Bounds on how long answers are kept, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of any answer; TTLs above it are lessened.
    pub most: u32,
    /// Of NXDOMAIN and NODATA (RFC 2308, section 5).
    pub most_negative: u32,
    /// Of the finding that no upstream answers (RFC 9520, section 3.2).
    pub failure: u32,
}

/// Takes a message apart: everything behind the question but the OPT record, with the TTLs' places.
///
/// # Errors
/// `Malformed` where a record leaves the message, or belongs to no name that can be read.
pub fn flatten(response: &ResponseView<'_>, lifetimes: Lifetimes) -> Result<Body, Malformed> {
    let extended_error = response.extended_error();
    let wire = response.wire();
    if !response.is_opt_last() {
        // Pointers behind the OPT record may mean what would move: the message is built anew.
        let anew = without_opt(wire)?;
        return Ok(Body { extended_error, ..flatten(&ResponseView::read(&anew)?, lifetimes)? });
    }
    let (start, end) = (response.question_end(), response.opt().map_or(response.end(), |opt| opt.start));
    let mut body = Body {
        flags: response.flags() & (flag::AUTHORITATIVE | flag::AUTHENTIC_DATA | flag::RCODE),
        counts: [0; 3],
        octets: wire.get(start..end).ok_or(Malformed)?.into(),
        ttls: Box::default(),
        minimums: Box::default(),
        lifetime: 0,
        extended_error,
    };
    let asked = response.record_type();
    let mut is_answered = false;
    let mut ttls = Vec::with_capacity(response.record_count());
    let mut minimums = Vec::new();
    let mut shortest = lifetimes.most;
    let mut negative = None;
    for record in response.records() {
        let record = record?;
        if record.record_type == RecordType::OPT {
            continue;
        }
        // A stub must be able to read what is passed on.
        Name::check(wire, record.start)?;
        body.counts[record.section as usize] += 1;
        // Without a record of the type that was asked for it is NODATA, with or without aliases (RFC 2308, section 2.2).
        is_answered |= record.section == Section::Answer && (record.record_type == asked || asked == RecordType::ANY);
        let at = record.ttl_at - start;
        let ttl = effective(record.ttl).min(lifetimes.most);
        body.octets[at..at + 4].copy_from_slice(&ttl.to_be_bytes());
        ttls.push(u16::try_from(at).map_err(|_| Malformed)?);
        shortest = shortest.min(ttl);
        if record.section == Section::Authority && record.record_type == RecordType::SOA {
            // The minimum is the last of the five numbers that the data end with (RFC 1035, section 3.3.13).
            let minimum_at = record.end.checked_sub(4).filter(|at| *at >= record.data + 2).ok_or(Malformed)?;
            let minimum = effective(u32_at(wire, minimum_at).ok_or(Malformed)?);
            minimums.push(u16::try_from(minimum_at - start).map_err(|_| Malformed)?);
            let lifetime = ttl.min(minimum).min(lifetimes.most_negative);
            negative = Some((at, lifetime));
        }
    }
    body.ttls = ttls.into();
    body.minimums = minimums.into();
    body.lifetime = match (body.flags & flag::RCODE, is_answered, negative) {
        (0, true, _) => shortest,
        // The SOA of a negative answer counts down from what it may be kept for (RFC 2308, sections 3 and 5).
        (0 | 3, _, Some((at, lifetime))) => {
            body.octets[at..at + 4].copy_from_slice(&lifetime.to_be_bytes());
            lifetime.min(shortest)
        }
        // Without an SOA it must not be kept (RFC 2308, section 5).
        _ => 0,
    };
    Ok(body)
}

/// A TTL with its top bit set counts as 0 (RFC 2181, section 8).
const fn effective(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, Owner, Writer};

    const LIFETIMES: Lifetimes = Lifetimes { most: 86_400, most_negative: 3_600, failure: 5 };
    const SOA: &[u8] = b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x3C";

    fn taken(wire: &[u8], lifetimes: Lifetimes) -> Result<Body, Malformed> {
        flatten(&ResponseView::read(wire)?, lifetimes)
    }

    type Line<'a> = (Section, RecordType, u32, &'a [u8]);

    fn message(code: u16, records: &[Line<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, 1, flag::RESPONSE | code);
        writer.question(b"\x01a\x07example\x00", RecordType::A, Class::IN);
        for (section, record_type, ttl, data) in records {
            let root = Name::root();
            let owner = if *record_type == RecordType::OPT { Owner::Name(&root) } else { Owner::QUESTION };
            writer.record(*section, owner, (*record_type, Class::IN), *ttl, &[data]);
        }
        out
    }

    /// RFC 2181, section 8; RFC 2308, sections 2 and 5.
    #[test]
    fn the_shortest_ttl_bounds_what_is_kept() {
        let a = |ttl| (Section::Answer, RecordType::A, ttl, &[127, 0, 0, 1][..]);
        let cname = |ttl| (Section::Answer, RecordType::CNAME, ttl, &b"\x01b\x00"[..]);
        let soa = |ttl| (Section::Authority, RecordType::SOA, ttl, SOA);
        for (code, records, lifetime, what) in [
            (0, vec![a(300), a(200)], 200, "an answer"),
            (0, vec![cname(30), a(300)], 30, "an alias"),
            (0, vec![a(200_000)], 86_400, "a TTL of more than a day"),
            (0, vec![a(0x8000_0000)], 0, "a negative TTL"),
            (3, vec![soa(900)], 60, "NXDOMAIN by the minimum"),
            (3, vec![soa(30)], 30, "NXDOMAIN by the TTL"),
            (0, vec![soa(900)], 60, "NODATA"),
            (0, vec![cname(20), soa(900)], 20, "NODATA behind an alias"),
            (0, vec![cname(20)], 0, "an alias to nothing"),
            (3, vec![], 0, "NXDOMAIN without an SOA"),
            (2, vec![soa(900)], 0, "a failure"),
        ] {
            assert_eq!(taken(&message(code, &records), LIFETIMES).unwrap().lifetime, lifetime, "{what}");
        }
    }

    #[test]
    fn the_opt_record_is_left_out_wherever_it_stands() {
        let a = (Section::Answer, RecordType::A, 300, &[127, 0, 0, 1][..]);
        let extra = (Section::Additional, RecordType::A, 300, &[127, 0, 0, 2][..]);
        let opt = (Section::Additional, RecordType::OPT, 0, &b"\x00\x0F\x00\x02\x00\x16"[..]);
        let mut expected = taken(&message(0, &[a, extra]), LIFETIMES).unwrap();
        expected.extended_error = Some(Box::from(&b"\x00\x16"[..]));
        assert_eq!(expected.counts, [1, 0, 1]);
        assert_eq!(taken(&message(0, &[a, extra, opt]), LIFETIMES).unwrap(), expected);
        let early = taken(&message(0, &[a, opt, extra]), LIFETIMES);
        assert_eq!(early.map(|body| body.counts), Ok([1, 0, 1]));
    }
    #[test]
    fn a_record_whose_owner_cannot_be_read_does_not_pass() {
        let mut wire = message(0, &[(Section::Answer, RecordType::A, 300, &[127, 0, 0, 1][..])]);
        let owner = wire.len() - 16;
        assert!(taken(&wire, LIFETIMES).is_ok());
        // It points to itself.
        wire[owner + 1] = u8::try_from(owner).unwrap();
        assert_eq!(taken(&wire, LIFETIMES), Err(Malformed));
    }
}
