//! What in a response a rule could match: the names that an answer sends a client on to. Pure; decides nothing.

use crate::message::{Malformed, Name, RecordType, ResponseView, Section, u16_at};
use crate::query::{Subject, Through};

/// The most names of one answer that are looked at. An honest answer has a handful; one with more is refused.
const MAX_SUBJECTS: usize = 64;

/// Returns the targets of aliases (CNAME, DNAME) and of service bindings (SVCB, HTTPS) in the answer section, in the
/// order of their records and without repeats.
///
/// # Errors
/// `Malformed` where the data of such a record are no name, or where there are more targets than any answer needs: what
/// cannot be inspected must not pass.
pub fn subjects(response: &ResponseView<'_>) -> Result<Vec<Subject>, Malformed> {
    let mut subjects: Vec<Subject> = Vec::new();
    for record in response.records() {
        let record = record?;
        if record.section != Section::Answer {
            break;
        }
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
        if end > record.end {
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
            (vec![(Section::Additional, RecordType::CNAME, &target[..])], vec![]),
            // A pointer into the question: "example".
            (vec![(Section::Answer, RecordType::CNAME, b"\x01x\xC0\x12")], vec!["cname x.example"]),
        ] {
            assert_eq!(found(&records).unwrap(), expected, "{records:?}");
        }
    }

    #[test]
    fn what_cannot_be_inspected_does_not_pass() {
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\xC0\xFF")]), None, "a pointer to nowhere");
        assert_eq!(found(&[(Section::Answer, RecordType::CNAME, b"\x09target")]), None, "a name beyond its record");
        assert_eq!(found(&[(Section::Answer, RecordType::HTTPS, b"\x00")]), None, "no target");
        let names: Vec<Vec<u8>> = (0..100u8).map(|n| vec![1, n, 0]).collect();
        let records: Vec<_> = names.iter().map(|name| (Section::Answer, RecordType::CNAME, &name[..])).collect();
        assert_eq!(found(&records), None, "a hundred aliases");
    }
}
