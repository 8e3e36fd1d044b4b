//! The EDNS option by which a server tells over TCP how long a connection may be silent (RFC 7828).

use std::time::Duration;

use super::RecordType;
use super::view::{HEADER, Record, ResponseView, Section, skip_name, u16_at};

/// The code of the option.
const TCP_KEEPALIVE: u16 = 11;

/// Returns whether a query has the option, which has to be empty there (section 3.2.1).
pub fn asks_keepalive(query: &[u8]) -> bool {
    find(query).is_some_and(|mut options| {
        while let (Some(code), Some(length)) = (u16_at(options, 0), u16_at(options, 2)) {
            if code == TCP_KEEPALIVE {
                return length == 0;
            }
            let Some(rest) = options.get(4 + usize::from(length)..) else { return false };
            options = rest;
        }
        false
    })
}

/// Returns the options of a query whose first record is the OPT record.
fn find(query: &[u8]) -> Option<&[u8]> {
    if [4, 6, 8].map(|at| u16_at(query, at)) != [Some(1), Some(0), Some(0)] || u16_at(query, 10)? == 0 {
        return None;
    }
    let record = Record::read(query, skip_name(query, HEADER).ok()? + 4, Section::Additional).ok()?;
    (record.record_type == RecordType::OPT).then(|| &query[record.data..record.end])
}

/// Adds to a response that ends with its OPT record how long the connection may be silent, in steps of a tenth of a second.
/// Another response stays as it is.
pub fn tell_keepalive(response: &mut Vec<u8>, idle: Duration) {
    let opt = ResponseView::read(response).ok().and_then(|view| view.opt());
    let Some(opt) = opt.filter(|opt| opt.end == response.len()) else { return };
    let length = opt.end - opt.data + OPTION;
    if response.len() + OPTION > usize::from(u16::MAX) {
        return;
    }
    let tenths = u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX);
    response[opt.data - 2..opt.data].copy_from_slice(&(length as u16).to_be_bytes());
    for word in [TCP_KEEPALIVE, 2, tenths] {
        response.extend_from_slice(&word.to_be_bytes());
    }
}

/// Octets of the option in a response.
const OPTION: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Class, Name, Writer, flag};
    use super::*;

    fn message(flags: u16, options: Option<&[&[u8]]>) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut writer = Writer::new(&mut wire, 7, flags);
        writer.question("www.example".parse::<Name>().unwrap().as_wire(), RecordType::A, Class::IN);
        if let Some(options) = options {
            writer.opt(1232, 0, false, options);
        }
        wire
    }

    #[test]
    fn the_option_is_found_among_others_where_it_is_empty() {
        let nsid: &[u8] = &[0, 3, 0, 0];
        let asked: &[u8] = &[0, 11, 0, 0];
        for (options, asks, what) in [
            (None, false, "no OPT"),
            (Some(&[][..]), false, "no option"),
            (Some(&[asked][..]), true, "alone"),
            (Some(&[nsid, asked][..]), true, "behind another"),
            (Some(&[nsid][..]), false, "another"),
            (Some(&[&[0, 11, 0, 2, 0, 9][..]][..]), false, "with a time, which only servers tell"),
            (Some(&[&[0, 3, 0, 9][..], asked][..]), false, "behind one that is longer than the record"),
        ] {
            assert_eq!(asks_keepalive(&message(0, options)), asks, "{what}");
        }
    }

    #[test]
    fn the_time_is_told_in_tenths_of_a_second() {
        let mut response = message(flag::RESPONSE, Some(&[&[0, 15, 0, 2, 0, 15]]));
        tell_keepalive(&mut response, Duration::from_millis(12_345));
        let view = ResponseView::read(&response).unwrap();
        assert_eq!(view.option(TCP_KEEPALIVE), Some(&123_u16.to_be_bytes()[..]));
        assert_eq!(view.option(15), Some(&[0, 15][..]));
        assert_eq!(view.opt().unwrap().end, response.len());
        let plain = message(flag::RESPONSE, None);
        let mut same = plain.clone();
        tell_keepalive(&mut same, Duration::from_secs(1));
        assert_eq!(same, plain, "who speaks no EDNS is told nothing");
    }

    proptest! {
        #[test]
        fn any_octets_are_looked_at(mut wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = asks_keepalive(&wire);
            let length = wire.len();
            tell_keepalive(&mut wire, Duration::from_secs(1));
            prop_assert!(wire.len() == length || wire.len() == length + OPTION);
        }
    }
}
