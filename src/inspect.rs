//! What in a response a rule could match: the names that an answer sends a client on to. Pure; decides nothing.

use crate::message::{HEADER, Malformed, Name, Record, RecordType, ResponseView, Section, u16_at};
use crate::query::{Subject, Through};

/// The most names of one answer that are looked at. An honest answer has a handful; one with more is refused.
const MAX_SUBJECTS: usize = 64;

/// Returns the targets of aliases (CNAME, DNAME) and of service bindings (SVCB, HTTPS), in the order of their records and
/// without repeats. All sections count: resolvers put the rest of a chain of service bindings into the additional one
/// (RFC 9460, section 4.2), and clients use it.
///
/// # Errors
/// `Malformed` where the data of such a record are no name, or where there are more targets than any answer needs: what
/// cannot be inspected must not pass.
pub fn subjects(response: &ResponseView<'_>) -> Result<Vec<Subject>, Malformed> {
    let mut subjects: Vec<Subject> = Vec::new();
    let changed = changed(response)?;
    for record in response.records() {
        let record = record?;
        let (through, at) = match record.record_type {
            RecordType::CNAME => (Through::Cname, record.data),
            RecordType::DNAME => (Through::Dname, record.data),
            // The priority stands before the target (RFC 9460, section 2.2).
            RecordType::SVCB | RecordType::HTTPS => {
                u16_at(&response.wire()[..record.end], record.data).ok_or(Malformed)?;
                (Through::Svcb, record.data + 2)
            }
            _ => continue,
        };
        let (name, end) = Name::read(response.wire(), at)?;
        // A name made of octets that are other ones in each response would be another name for each client.
        let (again, _) = Name::read(&changed, at)?;
        if end > record.end || again != name {
            return Err(Malformed);
        }
        // A target of "." is the owner itself, which is the question or an alias target (RFC 9460, section 2.5).
        if name.is_root() || subjects.iter().any(|known| known.name == name) {
            continue;
        }
        if subjects.len() == MAX_SUBJECTS {
            return Err(Malformed);
        }
        subjects.push(Subject { name, through });
    }
    Ok(subjects)
}

/// Returns the message with every octet changed that differs between the responses made of it: the header, and the TTLs.
fn changed(response: &ResponseView<'_>) -> Result<Vec<u8>, Malformed> {
    let mut wire = response.wire().to_vec();
    wire[..HEADER].iter_mut().for_each(|octet| *octet ^= 0xFF);
    for record in response.records() {
        let Record { section, record_type, ttl_at, end, .. } = record?;
        wire[ttl_at..ttl_at + 4].iter_mut().for_each(|octet| *octet ^= 0xFF);
        if section == Section::Authority && record_type == RecordType::SOA {
            wire[end.saturating_sub(4)..end].iter_mut().for_each(|octet| *octet ^= 0xFF);
        }
    }
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Class, Owner, Writer, flag};

    fn response(records: &[(Section, RecordType, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, 1, flag::RESPONSE);
        writer.question(b"\x05alias\x07example\x00", RecordType::A, Class::IN);
        for (section, record_type, data) in records {
            writer.record(*section, Owner::QUESTION, (*record_type, Class::IN), 60, &[data]);
        }
        out
    }

    fn found(records: &[(Section, RecordType, &[u8])]) -> Option<Vec<String>> {
        let wire = response(records);
        let subjects = subjects(&ResponseView::read(&wire).unwrap()).ok()?;
        Some(subjects.iter().map(|of| format!("{} {}", of.through, of.name)).collect())
    }

    #[test]
    fn aliases_and_service_targets_are_subjects() {
        let target = b"\x06Target\x04test\x00";
        for (records, expected) in [
            (vec![(Section::Answer, RecordType::CNAME, &target[..])], vec!["cname target.test"]),
            (vec![(Section::Answer, RecordType::DNAME, &target[..])], vec!["dname target.test"]),
            (vec![(Section::Answer, RecordType::HTTPS, b"\x00\x01\x06target\x04test\x00")], vec!["svcb target.test"]),
            (vec![(Section::Answer, RecordType::HTTPS, b"\x00\x01\x00")], vec![]),
            (vec![(Section::Answer, RecordType::A, b"\x7f\x00\x00\x01")], vec![]),
            (vec![(Section::Additional, RecordType::CNAME, &target[..])], vec!["cname target.test"]),
            (
                vec![(Section::Additional, RecordType::HTTPS, b"\x00\x01\x06target\x04test\x00")],
                vec!["svcb target.test"],
            ),
            // A pointer into the question: "example".
            (vec![(Section::Answer, RecordType::CNAME, b"\x01x\xC0\x12")], vec!["cname x.example"]),
        ] {
            assert_eq!(found(&records).unwrap(), expected, "{records:?}");
        }
    }

    #[test]
    fn what_cannot_be_inspected_does_not_pass() {
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\xC0\xFF")]), None, "a pointer to nowhere");
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\x01x\xC0\x0B")]), None, "a pointer into the header");
        // The TTL of the record, 60, ends with the octets 0 and 60: a root label for some, and not for others.
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\x01x\xC0\x26")]), None, "a pointer into a TTL");
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\x09target")]), None, "a name beyond its record");
        assert_eq!(found(&[(Section::Answer, RecordType::HTTPS, b"\x00")]), None, "no target");
        let names: Vec<Vec<u8>> = (0..100u8).map(|n| vec![1, n, 0]).collect();
        let records: Vec<_> = names.iter().map(|name| (Section::Answer, RecordType::CNAME, &name[..])).collect();
        assert_eq!(found(&records), None, "a hundred aliases");
    }
}
