//! Interdict and Unbound forward the same questions to the same NSD, and say the same; after CZ.NIC's respdiff.
//!
//! What is compared: code, flags, question, and the records of each section in any order, with their TTLs. Differences
//! that stay stand in [`EXPLAINED`], each with its reason; one that no longer shows is a fault of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use hickory_proto::op::Message;
use hickory_proto::rr::Record;

use crate::daemon::Setup;
use crate::place;
use crate::rpz::{Peer, start};
use crate::upstream::Upstream;
use crate::wire::{self, Asking, Stream};

const SIGNED: &str = include_str!("zones/signed.example.zone");

/// Types that each name is asked for.
const TYPES: [(&str, u16); 15] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("TYPE65280", 65280),
];

/// What the client says of itself: EDNS with its payload and DO, and the flags of the header.
const MANNERS: [(Option<(u16, bool)>, u16); 6] = [
    (None, 0x0100),
    (Some((1232, false)), 0x0100),
    (Some((1232, true)), 0x0100),
    (Some((4096, true)), 0x0110),
    (Some((512, false)), 0x0120),
    (Some((1232, true)), 0x0120),
];

/// One part in which two answers differ.
#[derive(Debug)]
struct Difference {
    /// `code`, `question`, a flag, a section, or `ttl`.
    part: &'static str,
    /// What only ours says.
    ours: Vec<String>,
    /// What only theirs says.
    theirs: Vec<String>,
}

/// A reason why the two may differ, and which differences it explains.
type Explained = (&'static str, fn(&'static str, &Difference) -> bool);

const EXPLAINED: &[Explained] = &[
    (
        "of answers that a forwarder gave, Unbound leaves out the name servers of the zone, and we pass them on",
        |_, of| {
            let servers = |record: &String| {
                let words: Vec<_> = record.split(' ').collect();
                words[2] == "ns" || words[2] == "rrsig" || words[0].starts_with("ns.")
            };
            ["authority", "additional"].contains(&of.part) && of.theirs.is_empty() && of.ours.iter().all(servers)
        },
    ),
    ("aliases in a circle are passed on as the upstream tells them, and Unbound gives up going round", |kind, of| {
        let failed = of.part == "code" && of.ours == ["No Error"] && of.theirs == ["Server Failure"];
        kind == "loop" && (failed || of.part == "answer" && of.ours.len() == 2 && of.theirs.is_empty())
    }),
    ("what special-use names are denied with is everybody's own choice (RFC 6761, section 6.4)", |kind, of| {
        let own = |records: &[String], server: &str| records.len() == 1 && records[0].contains(server);
        kind == "outside"
            && of.part == "authority"
            && own(&of.ours, "soa invalid.")
            && own(&of.theirs, "soa localhost.")
    }),
    (
        "an alias by DNAME has the TTL of the DNAME record (RFC 6672, section 3.1), which Unbound sets to 0",
        |kind, of| kind == "dname" && of.part == "ttl" && of.theirs.iter().all(|record| record.ends_with(" ttl 0")),
    ),
];

/// The names of one group: its kind, and the name with `#` for the number of the group.
const NAMES: &[(&str, &str)] = &[
    ("host", "a#"),
    ("host", "multi#"),
    ("absent", "absent#"),
    ("absent", "below.absent#"),
    ("absent", "below.a#"),
    ("alias", "c#x0"),
    ("alias", "c#x1"),
    ("alias", "c#x7"),
    ("dead", "dead#"),
    ("alias", "out#"),
    ("loop", "loop"),
    ("dname", "d#"),
    ("dname", "x.d#"),
    ("dname", "absent.d#"),
    ("host", "x.t#"),
    ("wildcard", "any.w#"),
    ("wildcard", "deep.any.w#"),
    ("host", "exact.w#"),
    ("absent", "below.exact.w#"),
    ("wildcard", "any.wc#"),
    ("empty", "w#"),
    ("empty", "ent#"),
    ("empty", "f.ent#"),
    ("host", "e.f.ent#"),
    ("big", "big#"),
    ("service", "h#"),
    ("service", "halias#"),
    ("host", "m#"),
    ("host", "u#"),
    ("delegated", "del#"),
    ("delegated", "host.del#"),
    ("apex", ""),
    ("signed", "www.signed.example."),
    ("signed", "txt.signed.example."),
    ("signed", "absent#.signed.example."),
    ("signed", "signed.example."),
    ("outside", "a#.elsewhere.invalid."),
];

fn zone(groups: usize) -> String {
    let mut text = String::from(
        "$ORIGIN diff.example.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\n@ TXT \"apex\"\n@ MX 10 a0\n\
         ns A 192.0.2.53\nloop CNAME loop1\nloop1 CNAME loop\n",
    );
    for number in 0..groups {
        let (high, low) = (number / 250, number % 250);
        let ttl = [30, 300, 3600, 86_400, 604_800][number % 5];
        let mut line = |line: String| writeln!(text, "{line}").unwrap();
        line(format!("a{number} {ttl} A 10.{high}.{low}.1\na{number} {ttl} AAAA 2001:db8:{high:x}:{low:x}::1"));
        line(format!("a{number} {ttl} TXT \"host {number}\" \"second\""));
        for address in 0..5 {
            line(format!("multi{number} A 10.{high}.{low}.{address}\nmulti{number} AAAA 2001:db8::{low:x}:{address}"));
        }
        for link in 0..8 {
            let target = if link == 7 { format!("a{number}") } else { format!("c{number}x{}", link + 1) };
            line(format!("c{number}x{link} {} CNAME {target}", 60 * (link + 1)));
        }
        line(format!("dead{number} CNAME nothing{number}\nout{number} CNAME www.signed.example."));
        line(format!("d{number} DNAME t{number}\nx.t{number} A 10.{high}.{low}.2\nx.t{number} TXT \"below\""));
        line(format!(
            "*.w{number} A 10.{high}.{low}.3\n*.w{number} MX 5 a{number}\nexact.w{number} A 10.{high}.{low}.4"
        ));
        line(format!("*.wc{number} CNAME a{number}\ne.f.ent{number} A 10.{high}.{low}.5"));
        for text in 0..20 {
            line(format!("big{number} TXT \"{}{text}\"", "long text of a large record ".repeat(7)));
        }
        for part in 10..70 {
            line(format!("big{number} A 10.{high}.{low}.{part}\nbig{number} AAAA 2001:db8::{low:x}:{part}"));
            line(format!("big{number} MX {part} a{number}\nbig{number} SRV 0 {part} 443 a{number}"));
            line(format!(
                "big{number} TYPE65280 \\# 20 {}\nbig{number} PTR target{part}",
                format!("{part:02}").repeat(20)
            ));
        }
        line(format!(
            "h{number} HTTPS 1 . alpn=h2,h3 ipv4hint=10.{high}.{low}.6 port=8443\nh{number} SVCB 1 a{number} alpn=dot"
        ));
        line(format!("halias{number} HTTPS 0 a{number}\nh{number} A 10.{high}.{low}.6"));
        line(format!("m{number} MX 10 a{number}\nm{number} MX 20 multi{number}\nm{number} SRV 0 5 443 a{number}"));
        line(format!("m{number} NAPTR 10 10 \"S\" \"SIP+D2U\" \"\" _sip._udp\nm{number} PTR a{number}"));
        line(format!("u{number} TYPE65280 \\# 4 0102{:04x}\nu{number} TXT \"unknown beside it\"", number % 65_536));
        line(format!("del{number} NS ns.del{number}\nns.del{number} A 192.0.2.54\ndel{number} NS a{number}"));
    }
    text
}

fn unbound(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let address = place::socket();
    let text = format!(
        "server:\n interface: {}@{}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{}\"\n use-syslog: no\n\
         \x20module-config: \"iterator\"\n do-not-query-localhost: no\n access-control: 127.0.0.0/8 allow\n\
         \x20minimal-responses: no\n qname-minimisation: no\n rrset-roundrobin: no\n num-threads: 1\n\
         \x20max-udp-size: 1232\n edns-buffer-size: 1232\n harden-below-nxdomain: no\n prefetch: no\n ip-ratelimit: 0\n\
         remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: {}@{}\n",
        address.ip(),
        address.port(),
        folder.display(),
        upstream.ip(),
        upstream.port()
    );
    std::fs::write(folder.join("unbound.conf"), text).unwrap();
    (start("unbound", &["-d", "-c", "unbound.conf"], folder, address), address)
}

/// What a server says to one question.
struct Said {
    code: String,
    flags: BTreeSet<&'static str>,
    question: String,
    /// Records with their TTLs, by section.
    sections: [BTreeMap<String, u32>; 3],
    /// Octets of the first answer.
    first: usize,
}

impl Said {
    fn read(wire: &[u8]) -> Self {
        let message = wire::parse(wire);
        let header = u16::from_be_bytes([wire[2], wire[3]]);
        let bits = [("aa", 0x0400), ("tc", 0x0200), ("rd", 0x0100), ("ra", 0x0080), ("ad", 0x0020), ("cd", 0x0010)];
        let record = |record: &Record| {
            let text = format!("{} {} {} {}", record.name, record.dns_class, record.record_type(), record.data);
            (text.to_ascii_lowercase(), record.ttl)
        };
        let section = |records: &[Record]| records.iter().map(record).collect();
        let Message { ref answers, ref authorities, ref additionals, .. } = message;
        let mut flags: BTreeSet<_> = bits.iter().filter(|(_, bit)| header & bit != 0).map(|(name, _)| *name).collect();
        if let Some(edns) = &message.edns {
            flags.insert("edns");
            if edns.flags().dnssec_ok {
                flags.insert("do");
            }
        }
        Self {
            code: message.metadata.response_code.to_string(),
            flags,
            question: message.queries.iter().map(ToString::to_string).collect(),
            sections: [section(answers), section(authorities), section(additionals)],
            first: wire.len(),
        }
    }

    /// Tells the parts in which the two differ, with what each says; TTLs where they do by more than `age` seconds.
    fn differences(&self, theirs: &Self, age: u32) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut tell = |part, ours: Vec<String>, theirs: Vec<String>| found.push(Difference { part, ours, theirs });
        for (part, ours, theirs) in [("code", &self.code, &theirs.code), ("question", &self.question, &theirs.question)]
        {
            if ours != theirs {
                tell(part, vec![ours.clone()], vec![theirs.clone()]);
            }
        }
        for flag in self.flags.symmetric_difference(&theirs.flags) {
            let said = |said: &Self| said.flags.iter().map(ToString::to_string).collect();
            tell(flag, said(self), said(theirs));
        }
        for (place, part) in ["answer", "authority", "additional"].into_iter().enumerate() {
            let (ours, theirs) = (&self.sections[place], &theirs.sections[place]);
            let only = |one: &BTreeMap<String, u32>, other: &BTreeMap<String, u32>| {
                one.keys().filter(|record| !other.contains_key(*record)).cloned().collect::<Vec<_>>()
            };
            let (more, less) = (only(ours, theirs), only(theirs, ours));
            if !more.is_empty() || !less.is_empty() {
                tell(part, more, less);
            }
            for (record, ttl) in ours {
                // Unbound keeps a set of records once for all answers that have it, and so from earlier on.
                if let Some(of_theirs) = theirs.get(record).filter(|of_theirs| ttl.abs_diff(**of_theirs) > age) {
                    tell("ttl", vec![format!("{record} ttl {ttl}")], vec![format!("{record} ttl {of_theirs}")]);
                }
            }
        }
        found
    }
}

/// By how many seconds TTLs may differ, besides the time since the first question.
const AGE: u64 = 3;

/// Asks over UDP, and again over TCP where the answer says so; the flags are those of the first answer.
fn ask(server: SocketAddr, query: &[u8]) -> Said {
    let told = Said::read(&wire::udp(server, query));
    if !told.flags.contains("tc") {
        return told;
    }
    let whole = Said::read(&Stream::open(server).ask(query).unwrap());
    assert!(!whole.flags.contains("tc"), "cut over TCP");
    Said { flags: told.flags, first: told.first, ..whole }
}

/// The question of a number: kind and name, type, and how it is asked.
fn question(number: usize, groups: usize) -> (&'static str, String, &'static str, Asking) {
    // Every combination comes once before one comes twice: the factors have nothing in common with the count.
    let all = NAMES.len() * groups * TYPES.len();
    let place = number.wrapping_mul(1_000_003) % all;
    let (name, rest) = (place % NAMES.len(), place / NAMES.len());
    let ((word, record_type), group) = (TYPES[rest % TYPES.len()], rest / TYPES.len());
    let (kind, name) = NAMES[name];
    let name = name.replace('#', &group.to_string());
    let name = match name.strip_suffix('.') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{name}.diff.example").trim_start_matches('.').to_owned(),
    };
    let (edns, flags) = MANNERS[number % MANNERS.len()];
    let edns = edns.map(|(payload, dnssec_ok)| (0, payload, dnssec_ok));
    let asking = Asking { flags, edns, ..Asking::of(&name, record_type) };
    (kind, name, word, asking)
}

#[test]
fn questions_are_answered_as_unbound_answers_them() {
    needs!("nsd", "unbound");
    let (groups, questions) = (place::rounds(20, 600), place::rounds(2000, 342_000));
    let zone = zone(groups);
    let upstream = Upstream::with(&[("diff.example", &zone), ("signed.example", SIGNED)]);
    let setup = Setup::forwarding_to(&upstream);
    let folder = setup.folder.path().to_owned();
    let daemon = setup.start();
    let (_peer, theirs) = unbound(&folder, upstream.address);
    let (mut faults, mut met, mut large) = (BTreeMap::<_, Vec<String>>::new(), BTreeSet::new(), 0);
    let start = Instant::now();
    for number in 0..questions {
        let (kind, name, word, asking) = question(number, groups);
        let query = asking.to_wire();
        // Every fourth one twice, so that it is a kept answer.
        for _ in 0..1 + usize::from(number % 4 == 0) {
            let (ours, theirs) = (ask(daemon.dns, &query), ask(theirs, &query));
            let limit = asking.edns.map_or(512, |(_, payload, _)| usize::from(payload.clamp(512, 1232)));
            assert!(ours.first <= limit, "{name} {word}: {} octets, where {limit} were asked for", ours.first);
            large += usize::from(ours.flags.contains("tc"));
            for of in ours.differences(&theirs, u32::try_from(AGE + start.elapsed().as_secs()).unwrap()) {
                match EXPLAINED.iter().position(|(_, explains)| explains(kind, &of)) {
                    Some(place) => drop(met.insert(place)),
                    None => {
                        let told = faults.entry((of.part, kind)).or_default();
                        told.push(format!("{name} {word} {:?} {:#x}: {of:?}", asking.edns, asking.flags));
                    }
                }
            }
        }
    }
    let mut text = String::new();
    for ((part, kind), told) in &faults {
        writeln!(text, "{} times {part} of {kind}, such as {}", told.len(), told[0]).unwrap();
    }
    assert!(faults.is_empty(), "differences that nobody explained:\n{text}");
    assert!(large > 10, "only {large} answers were too large for UDP");
    let gone = EXPLAINED.iter().enumerate().filter(|(place, _)| !met.contains(place));
    let gone: Vec<_> = gone.map(|(_, (reason, _))| reason).collect();
    assert!(gone.is_empty(), "these differences are gone, and are to leave the table: {gone:?}");
}
