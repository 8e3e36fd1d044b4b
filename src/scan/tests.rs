//! Samples of each format, and what is made of them when they are cut, changed or made up.

use std::io::{Cursor, Write as _};
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::account::Sink;
use super::window::Window;
use super::{Account, Format, Seen, Settings, detect, input};

const BIND: &str = "27-Nov-2026 04:55:33.123 queries: info: client @0x7f8e 192.0.2.7#49152 (example.com): query: UPD.example.com IN A +E(0)K (192.0.2.53)\n\
    27-Nov-2026 04:55:34.123 client 2001:db8::7%2#49152 (a\\032b.example): view inside: query: a\\032b.example IN HTTPS -T (192.0.2.53)\n\
    27-Nov-2026 04:55:34.200 client @0x7f8e 192.0.2.7#49152 (x): query: version.bind CH TXT + (192.0.2.53)\n\
    27-Nov-2026 04:55:34.200 general: info: running\n\
    27-Nov-2026 04:55:34.200 client 192.0.2.7#4 (x): query: cut.exa27-Nov-2026 04:55:33.123 client 192.0.2.7#4 (x): query: x IN A + (192.0.2.53)\n";
const UNBOUND: &str = "[1795755333] unbound[3889:0] notice: init module 0: iterator\n\
    [1795755333] unbound[3889:0] info: 192.0.2.7 upd.example.com. A IN\n\
    [1795755333] unbound[3889:0] info: 192.0.2.7 upd.example.com. A IN NOERROR 0.000000 0 45\n\
    Nov 27 04:55:34 resolver unbound: [3889:0] info: 2001:db8::7 a?b.example. HTTPS IN\n";
const DNSMASQ: &str = "Nov 27 04:55:33 dnsmasq[3895]: query[A] upd.example.com from 192.0.2.7\n\
    Nov 27 04:55:33 dnsmasq[3895]: forwarded upd.example.com to 192.0.2.53\n\
    Nov 27 04:55:34 dnsmasq[3895]: 12 2001:db8::7/4000 query[type=65] a b from c.example from 2001:db8::7\n\
    Nov 27 04:55:34 dnsmasq[3895]: query[AAAA] <name unprintable> from 192.0.2.7\n";
const POWERDNS: &str = "Nov 27 04:55:33 msg=\"Question\" subsystem=\"syncres\" level=\"0\" prio=\"Info\" tid=\"2\" ts=\"1795755333.123\" ecs=\"\" mtid=\"1\" proto=\"udp\" qname=\"upd.example.com\" qtype=\"A\" remote=\"192.0.2.7:44035\"\n\
    Nov 27 04:55:33 msg=\"Answer\" subsystem=\"syncres\" ts=\"1795755333.123\" qname=\"upd.example.com\" qtype=\"A\" remote=\"192.0.2.7:44035\"\n\
    Nov 27 04:55:34 msg=\"Question\" ts=\"1795755334.123\" proto=\"tcp\" qname=\"a\\\\032b\\\".example\" qtype=\"HTTPS\" remote=\"[2001:db8::7]:44035\"\n\
    Nov 27 04:55:35 2 [1/1] TCP question for 'upd.example.com|AAAA' from 192.0.2.7:44035\n";
const ZEEK: &str = "#separator \\x09\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\ttrans_id\trtt\tquery\tqclass\tqclass_name\tqtype\tqtype_name\n\
    1795755333.123\tC1\t192.0.2.7\t4000\t192.0.2.53\t53\tudp\t7\t0.1\tupd.example.com\t1\tC_INTERNET\t1\tA\n\
    1795755334.123\tC2\t2001:db8::7\t4000\t192.0.2.53\t53\ttcp\t7\t-\ta\\x09b.example\t1\tC_INTERNET\t65\tHTTPS\n\
    1795755334.123\tC2\t2001:db8::7\t4000\t192.0.2.53\t53\ttcp\t7\t-\t-\t-\t-\t-\t-\n";
const SQUID: &str = "1795755333.123    200 192.0.2.7 TCP_TUNNEL/200 5000 CONNECT upd.example.com:443 - HIER_DIRECT/192.0.2.1 -\n\
    1795755334.123    200 2001:db8::7 TCP_MISS/200 5000 GET http://user@www.example:8080/x?y - HIER_DIRECT/192.0.2.1 text/html\n\
    1795755334.123    200 2001:db8::7 TCP_MISS/200 5000 GET http://192.0.2.1/ - HIER_DIRECT/192.0.2.1 text/html\n\
    1795755334.123    200 2001:db8::7 NONE/400 5000 GET error:invalid-request - HIER_NONE/- text/html\n";
const SURICATA: &str = r#"{"timestamp":"2026-11-27T04:55:33.123000+0000","event_type":"dns","src_ip":"192.0.2.7","proto":"UDP","dns":{"type":"query","id":7,"rrname":"upd.example.com","rrtype":"A"}}
{"timestamp":"2026-11-27T04:55:33.123000+0000","event_type":"dns","src_ip":"192.0.2.53","proto":"UDP","dns":{"type":"answer","id":7,"rrname":"upd.example.com","rrtype":"A"}}
"#;
const ADGUARD: &str = r#"{"T":"2026-11-27T05:55:33.123+01:00","QH":"upd.example.com","QT":"A","QC":"IN","CP":"doh","IP":"192.0.2.7"}
"#;
const INTERDICT: &str = include_str!("../../tests/data/export/plain.json");

/// Each format with a sample, how many queries are in it, and how many of its lines tell none though they should.
const SAMPLES: [(Format, &str, u64, u64); 9] = [
    (Format::Bind, BIND, 2, 1),
    (Format::Unbound, UNBOUND, 2, 0),
    (Format::Dnsmasq, DNSMASQ, 2, 1),
    (Format::PowerDns, POWERDNS, 3, 0),
    (Format::Zeek, ZEEK, 2, 0),
    (Format::Squid, SQUID, 2, 0),
    (Format::Suricata, SURICATA, 1, 0),
    (Format::AdGuard, ADGUARD, 1, 0),
    (Format::Interdict, INTERDICT, 4, 0),
];

fn settings() -> Settings {
    Settings { year: Some(2026), zone: Some(TimeZone::UTC), ..Settings::default() }
}

fn read(format: Format, octets: Vec<u8>, settings: &Settings) -> (Account, Vec<Seen>) {
    let mut seen = Vec::new();
    let mut each = |of: &Seen, _| {
        seen.push(of.clone());
        true
    };
    let mut sink = Sink::new(&mut each);
    let mut window = Window::new(crate::unpack::stream(Cursor::new(octets)).unwrap(), Arc::default());
    if let Err(error) = input::read(&mut window, format, settings, &mut sink) {
        sink.end(error.to_string());
    }
    let account = sink.account;
    (account, seen)
}

/// A little-endian capture of raw IP with these packets, all at one time.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = vec![0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];
    for packet in packets {
        octets.extend(1_795_755_333u32.to_le_bytes());
        octets.extend(123_000u32.to_le_bytes());
        octets.extend((packet.len() as u32).to_le_bytes());
        octets.extend((packet.len() as u32).to_le_bytes());
        octets.extend(packet);
    }
    octets
}

/// The same in blocks, with nanoseconds.
fn blocks(packets: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (12 + body.len().next_multiple_of(4)) as u32;
        let mut octets = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        octets.extend(body);
        octets.resize(length as usize - 4, 0);
        octets.extend(length.to_le_bytes());
        octets
    };
    let mut octets = block(0x0A0D_0D0A, &[0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    octets.extend(block(1, &[101, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]));
    for packet in packets {
        let units = 1_795_755_333_123_000_000u64;
        let mut body = [0u32, (units >> 32) as u32, units as u32, packet.len() as u32, packet.len() as u32]
            .map(u32::to_le_bytes)
            .concat();
        body.extend(packet);
        octets.extend(block(6, &body));
    }
    octets
}

/// A datagram over IPv4 with a query for a name.
fn datagram(labels: &[&str]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    let length = (message.len() + 8) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((length + 20).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 7, 192, 0, 2, 53, 0x90, 0, 0, 53]);
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    packet
}

/// A stream of one query in dnstap, as a server writes it.
fn tap(kind: u8) -> Vec<u8> {
    let query = &datagram(&["upd", "example", "com"])[28..];
    let mut message = vec![0x08, kind, 0x10, 1, 0x18, 1, 0x22, 4, 192, 0, 2, 7, 0x40];
    message.extend((0..5).map(|at| (1_795_755_333u64 >> (7 * at)) as u8 & 0x7F | if at < 4 { 0x80 } else { 0 }));
    message.push(0x4D);
    message.extend(123_000_000u32.to_le_bytes());
    message.extend([0x52, query.len() as u8]);
    message.extend(query);
    let mut outer = vec![0x72, message.len() as u8];
    outer.extend(message);
    outer.extend([0x78, 1]);
    let mut octets = vec![0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 22];
    octets.extend(b"protobuf:dnstap.Dnstap");
    octets.extend((outer.len() as u32).to_be_bytes());
    octets.extend(outer);
    octets.extend([0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
    octets
}

fn all() -> Vec<(Format, Vec<u8>, u64, u64)> {
    let packets = [datagram(&["upd", "example", "com"]), datagram(&["www", "example"])];
    let texts =
        SAMPLES.iter().map(|(format, text, queries, unread)| (*format, text.as_bytes().to_vec(), *queries, *unread));
    let binary = [
        (Format::Pcap, capture(&packets), 2, 0),
        (Format::Pcapng, blocks(&packets), 2, 0),
        (Format::Dnstap, tap(5), 1, 0),
    ];
    texts.chain(binary).collect()
}

#[test]
fn each_format_is_known_by_its_content_and_read_plain_and_packed() {
    for (format, octets, queries, unread) in all() {
        assert_eq!(detect::detect(&octets), Some(format));
        let (account, seen) = read(format, octets.clone(), &settings());
        assert_eq!((account.queries, account.unread.count), (queries, unread), "{format:?}: {account:?}");
        assert_eq!(account.ended, None, "{format:?}");
        if format != Format::Interdict {
            assert_eq!(seen[0].name.to_string(), "upd.example.com", "{format:?}");
            assert_eq!(seen[0].client.to_string(), "192.0.2.7", "{format:?}");
            assert_eq!(seen[0].at.as_second(), 1_795_755_333, "{format:?}");
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&octets).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&octets[..], ruzstd::encoding::CompressionLevel::Fastest);
        for packed in [encoder.finish().unwrap(), zstd] {
            assert_eq!(read(format, packed, &settings()), (account.clone(), seen.clone()), "{format:?}");
        }
    }
    for nothing in ["", "hello\nworld\n", "{}\n{\"a\":1}\n", "\u{0}\u{0}\u{0}"] {
        assert_eq!(detect::detect(nothing.as_bytes()), None, "{nothing}");
    }
}

#[test]
fn our_own_exports_tell_the_same_in_each_form() {
    let (_, json) = read(Format::Interdict, INTERDICT.into(), &settings());
    assert_eq!((json.len(), json[0].count, json[1].count), (2, 3, 1));
    for text in [include_str!("../../tests/data/export/plain.ecs"), include_str!("../../tests/data/export/plain.ocsf")]
    {
        let (account, seen) = read(Format::Interdict, text.into(), &settings());
        assert_eq!(account.unread.count, 0, "{account:?}");
        assert_eq!(detect::detect(text.as_bytes()), Some(Format::Interdict));
        let what = |of: &Seen| (of.client, of.name.clone(), of.record_type, of.count, of.at.as_millisecond());
        assert_eq!(seen.iter().map(what).collect::<Vec<_>>(), json.iter().map(what).collect::<Vec<_>>());
    }
}

#[test]
fn responses_in_dnstap_count_where_no_queries_are_logged() {
    let count = |octets| read(Format::Dnstap, octets, &settings()).1.len();
    assert_eq!([5, 6, 1, 3].map(|kind| count(tap(kind))), [1, 1, 0, 0]);
    let (begin, response, end) = (42, tap(6), 12);
    let both = [&tap(5)[..tap(5).len() - end], &response[begin..]].concat();
    assert_eq!(count(both), 1, "the query, and not its response once more");
}

#[test]
fn names_are_what_was_asked_for_and_no_more() {
    let second = |format, text: &str| {
        let (_, seen) = read(format, text.as_bytes().to_vec(), &settings());
        (seen[1].name.to_string(), seen[1].client.to_string())
    };
    for (format, text, name) in [
        (Format::Bind, BIND, "a\\032b.example"),
        (Format::Unbound, UNBOUND, "a?b.example"),
        (Format::Dnsmasq, DNSMASQ, "a\\032b\\032from\\032c.example"),
        (Format::PowerDns, POWERDNS, "a\\032b\\\".example"),
        (Format::Zeek, ZEEK, "a\\009b.example"),
        (Format::Squid, SQUID, "www.example"),
    ] {
        assert_eq!(second(format, text), (name.to_owned(), "2001:db8::7".to_owned()), "{format:?}");
    }
}

#[test]
fn neither_zone_nor_year_is_guessed() {
    for (format, text, word) in [(Format::Bind, BIND, "--zone"), (Format::Dnsmasq, DNSMASQ, "--year")] {
        let (account, seen) = read(format, text.as_bytes().to_vec(), &Settings::default());
        assert!(seen.is_empty());
        assert!(account.ended.is_some_and(|ended| ended.place == 1 && ended.why.contains(word)), "{format:?}");
    }
}

#[test]
fn what_is_cut_is_read_as_far_as_it_goes_and_told() {
    for (format, octets, ..) in all() {
        let (whole, seen) = read(format, octets.clone(), &settings());
        for length in 0..octets.len() {
            let (account, found) = read(format, octets[..length].to_vec(), &settings());
            assert!(found.len() <= seen.len(), "{format:?} cut to {length}");
            let lines = format.unit() == "line";
            let cut = account.ended.is_some() || account.units < whole.units || length + 12 >= octets.len();
            assert!(lines || cut, "{format:?} cut to {length}: {account:?}");
        }
    }
}

#[test]
fn lengths_that_lie_do_no_harm() {
    let packet = datagram(&["upd", "example", "com"]);
    let whole = capture(std::slice::from_ref(&packet));
    for (at, value, what) in [
        (24 + 8, 0xFFFF_FFFFu32, "a packet of 4 GiB"),
        (24 + 8, 300 << 10, "a packet that is longer than captures hold"),
        (24 + 8, packet.len() as u32 + 1, "a packet that is longer than the file"),
    ] {
        let mut octets = whole.clone();
        octets[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let (account, seen) = read(Format::Pcap, octets, &settings());
        assert!(seen.is_empty() && account.ended.is_some(), "{what}");
    }
    for (at, value, why) in [
        (24, 200, "tells a wrong length"),
        (24, 0, "tells a wrong length"),
        (0, 0x4F, "cut"),
        (0, 0x41, "damaged"),
        (6, 0x20, "fragment"),
        (7, 1, "fragment"),
        (28 + 12, 64, "no well-formed query"),
        (28 + 4, 9, "no well-formed query"),
    ] {
        let mut packet = packet.clone();
        if at == 24 {
            packet[24..26].copy_from_slice(&(value as u16).to_be_bytes());
        } else {
            packet[at] = value as u8;
        }
        let (account, seen) = read(Format::Pcap, capture(&[packet]), &settings());
        let told = account.unread.first.first().map_or("", |(_, why)| why);
        assert!(seen.is_empty() && told.contains(why), "octet {at} as {value}: {account:?}");
    }
}

#[test]
fn a_bomb_of_gzip_comes_to_an_end() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(BIND.as_bytes()).unwrap();
    let block = vec![0; 1 << 20];
    for _ in 0..66 {
        encoder.write_all(&block).unwrap();
    }
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 100_000, "{}", packed.len());
    let (account, seen) = read(Format::Bind, packed, &settings());
    assert_eq!(seen.len(), 2);
    assert!(account.ended.is_some_and(|ended| ended.why.contains("64 MiB")));
}

/// The same capture, of which each packet was cut to `most` octets.
fn cut(packets: &[Vec<u8>], most: usize) -> Vec<u8> {
    let mut octets = capture(&[])[..24].to_vec();
    for packet in packets {
        let one = capture(&[packet[..most.min(packet.len())].to_vec()]);
        octets.extend(&one[24..36]);
        octets.extend((packet.len() as u32).to_le_bytes());
        octets.extend(&one[40..]);
    }
    octets
}

#[test]
fn a_packet_that_is_cut_behind_its_question_is_read() {
    let mut packet = datagram(&["upd", "example", "com"]);
    let question = packet.len();
    // Something behind the question, as EDNS is.
    packet.extend([0; 11]);
    let length = (packet.len() - 20) as u16;
    packet[24..26].copy_from_slice(&length.to_be_bytes());
    packet[2..4].copy_from_slice(&(length + 20).to_be_bytes());
    packet[39] = 1;
    for (most, queries) in [(question, 1), (question + 5, 1), (question - 1, 0), (30, 0)] {
        let (account, seen) = read(Format::Pcap, cut(std::slice::from_ref(&packet), most), &settings());
        assert_eq!((seen.len(), account.unread.count), (queries, 1 - queries as u64), "{most}: {account:?}");
    }
    packet[30] = 0x80;
    let (account, seen) = read(Format::Pcap, cut(&[packet], question), &settings());
    assert_eq!((seen.len(), account.unread.count), (0, 1), "a response: {account:?}");
}

#[test]
fn a_packet_that_is_captured_twice_counts_once() {
    let (one, other) = (datagram(&["upd", "example", "com"]), datagram(&["www", "example"]));
    for octets in [capture(&[one.clone(), one.clone(), other.clone()]), blocks(&[one.clone(), other, one])] {
        let (account, seen) = read(detect::detect(&octets).unwrap(), octets, &settings());
        assert_eq!((seen.len(), account.queries, account.twice, account.others), (2, 2, 1, 0));
    }
}

#[test]
fn captures_of_any_order_of_octets_and_unit_of_time_tell_the_same() {
    let packet = datagram(&["upd", "example", "com"]);
    let little = capture(std::slice::from_ref(&packet));
    let mut swapped = little.clone();
    for at in [0..4, 4..6, 6..8, 20..24, 24..28, 28..32, 32..36, 36..40] {
        swapped[at].reverse();
    }
    let mut fine = little.clone();
    fine[..4].copy_from_slice(&[0x4D, 0x3C, 0xB2, 0xA1]);
    fine[28..32].copy_from_slice(&123_000_000u32.to_le_bytes());
    let expected = read(Format::Pcap, little, &settings());
    assert_eq!(expected.1[0].at.to_string(), "2026-11-27T04:55:33.123Z");
    for octets in [swapped, fine] {
        assert_eq!(detect::detect(&octets), Some(Format::Pcap));
        assert_eq!(read(Format::Pcap, octets, &settings()), expected);
    }
}

#[test]
fn an_interface_that_is_not_understood_takes_nothing_from_others() {
    let packet = datagram(&["upd", "example", "com"]);
    let whole = blocks(std::slice::from_ref(&packet));
    let (section, rest) = whole.split_at(28);
    let (interface, packets) = rest.split_at(32);
    // Its unit of time is a finer one than there is.
    let mut strange = interface.to_vec();
    strange[20] = 99;
    let (mut of_second, mut of_first) = (packets.to_vec(), packets.to_vec());
    of_second[8] = 1;
    of_first[8] = 0;
    let octets = [section, &strange, interface, &of_second, &of_first].concat();
    let (account, seen) = read(Format::Pcapng, octets, &settings());
    assert_eq!((seen.len(), seen[0].at.as_second(), account.unread.count), (1, 1_795_755_333, 1), "{account:?}");
}

#[test]
fn streams_of_dnstap_one_behind_the_other_are_all_read() {
    let (_, seen) = read(Format::Dnstap, [tap(5), tap(5)].concat(), &settings());
    assert_eq!(seen.len(), 2);
}

proptest! {
    #[test]
    fn whatever_stands_in_a_file_is_read_to_an_end(
        which in 0usize..12,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        more in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (format, mut octets, ..) = all().swap_remove(which);
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        octets.extend(more);
        let (account, seen) = read(format, octets.clone(), &settings());
        prop_assert!(account.units >= seen.len() as u64 || format == Format::Interdict);
        let sum: u64 = account.unread.reasons.values().sum();
        prop_assert_eq!(sum, account.unread.count);
        detect::detect(&octets);
    }

    #[test]
    fn random_octets_are_no_queries_in_lines(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        for format in Format::ALL {
            read(format, octets.clone(), &settings());
        }
    }
}
