//! The shipped catalogue under the shipped order: what the evidence asks for, name by name and instant by instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use interdict::client::Client;
use interdict::feed::{self, Selection};
use interdict::message::Name;
use interdict::policy::{Confidence, Decision, Entry, Matching, Operator, Pattern, Removal, Snapshot, Verdict};
use jiff::Timestamp;
use proptest::prelude::*;

#[path = "catalogue/orders.rs"]
mod orders;

const ROWS: &str = include_str!("data/kaspersky-domains.tsv");
const NOT_SHIPPED: &str = include_str!("data/not-shipped.tsv");
const NEVER: &str = include_str!("data/never-match.txt");

/// The first instant: 2024-07-20T00:00:00-04:00.
const A: i64 = 1_721_448_000;
/// The second instant: 2024-09-29T00:00:00-04:00.
const B: i64 = 1_727_582_400;
/// Long before, around the first instant, around the second.
const FIVE: [i64; 5] = [1_577_836_800, A - 1, A, B - 1, B];

static SHIPPED: LazyLock<Snapshot> = LazyLock::new(|| shipped(Operator::default()));

fn shipped(operator: Operator) -> Snapshot {
    feed::load(&Selection::default(), operator, 1).expect("what the program carries has no fault").snapshot
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("tests name instants that exist")
}

fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn decide_by(snapshot: &Snapshot, name: &Name, second: i64) -> Decision {
    snapshot.decide(name, &Client::at(IpAddr::V4(Ipv4Addr::LOCALHOST)), at(second))
}

fn verdict(name: &Name, second: i64) -> Verdict {
    decide_by(&SHIPPED, name, second).verdict
}

/// Every name that the entry writes out, samples of its globs, and a name below where it covers those.
fn samples(entry: &Entry) -> Vec<Name> {
    let mut names = entry.pattern.names().to_vec();
    if !entry.pattern.globs().is_empty() {
        names.extend(["", "a", "x1-y"].map(|run| name(&entry.text.replace('*', run))));
    }
    if let Pattern::Suffix(apex) = &entry.pattern {
        names.push(name(&format!("a-name-that-nobody-listed.{apex}")));
        names.push(name(&format!("a.b.{apex}")));
    }
    names
}

fn entries() -> impl Iterator<Item = (&'static Entry, &'static str)> {
    (0..SHIPPED.entry_count()).map(|number| (SHIPPED.entry(number), SHIPPED.service_of(number).id.as_str()))
}

/// Returns the columns of each row behind the header.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().skip(1).map(|row| row.split('\t').collect())
}

/// What an `action` of the evidence allows at the five instants.
fn allowed(action: &str) -> [&'static [Verdict]; 5] {
    use Verdict::{Exempt, Kept, Monitored, Noted, Protected, Sunk};
    match action {
        "block@2024-07-20" => [&[Monitored], &[Monitored], &[Sunk], &[Sunk], &[Sunk]],
        "block@2024-09-29" => [&[Monitored], &[Monitored], &[Monitored], &[Monitored], &[Sunk]],
        "never-block" => [&[Protected, Exempt]; 5],
        "keep-for-removal" => [&[Kept]; 5],
        "admin-choice" => [&[Noted, Kept]; 5],
        "log-only" => [&[Noted]; 5],
        other => panic!("`{other}` is not an action of a row that may ship"),
    }
}

#[test]
fn the_order_does_with_each_row_of_the_evidence_what_its_action_says() {
    let not_shipped: BTreeSet<_> = rows(NOT_SHIPPED).map(|columns| columns[0]).collect();
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for columns in rows(ROWS) {
        let [domain, matching, _, confidence, action] = columns[..] else { panic!("{columns:?}") };
        if not_shipped.contains(domain) {
            continue;
        }
        let entry = entries().find(|(entry, _)| entry.text == domain);
        let Some((entry, _)) = entry else {
            faults.push(format!("{columns:?} is in no entry"));
            continue;
        };
        seen.insert(domain);
        if (entry.pattern.matching().as_str(), entry.confidence.as_str()) != (matching, confidence) {
            faults.push(format!("{columns:?} is {} and {}", entry.pattern.matching(), entry.confidence));
        }
        for (second, allowed) in FIVE.into_iter().zip(allowed(action)) {
            for name in samples(entry) {
                let verdict = verdict(&name, second);
                if !allowed.contains(&verdict) {
                    faults.push(format!("{columns:?}: {name} is {verdict} at {}", at(second)));
                }
            }
        }
    }
    let unknown = entries().filter(|(entry, _)| !seen.contains(entry.text.as_str()));
    faults.extend(unknown.map(|(entry, _)| format!("{} is in no row of the evidence", entry.text)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_not_shipped_is_in_the_evidence_has_a_reason_and_matches_nothing() {
    let domains: BTreeSet<_> = rows(ROWS).map(|columns| columns[0]).collect();
    for columns in rows(NOT_SHIPPED) {
        let [domain, reason] = columns[..] else { panic!("{columns:?}") };
        assert!(domains.contains(domain), "{domain} is not in the evidence");
        assert!(!reason.is_empty(), "{domain}");
        let matching = if domain.contains(['{', '*']) { Matching::Pattern } else { Matching::Exact };
        let suffixes = ["com", "net", "de"].map(str::to_owned);
        match Pattern::parse(domain, matching, &suffixes) {
            Ok(pattern) => {
                for (name, second) in pattern.names().iter().flat_map(|name| FIVE.map(|second| (name, second))) {
                    assert_eq!(verdict(name, second), Verdict::Pass, "{name} at {}", at(second));
                }
            }
            Err(error) => assert_eq!(domain, "*kaspersky*", "{error}"),
        }
    }
}

/// What the shipped order makes of each service at the five instants: `.` noted, `p` protected, `x` exempt, `k` kept,
/// `m` monitored, `S` sunk.
const BY_SERVICE: [(&str, &str); 36] = [
    ("update", "mmmmS"),
    ("download", "mmmmS"),
    ("ksn", "mmmmS"),
    ("telemetry", "mmmmS"),
    ("activation", "mmmmS"),
    ("managed", "mmmmS"),
    ("parental", "mmmmS"),
    ("push", "mmmmS"),
    ("store", "mmSSS"),
    ("partner", "....."),
    ("file-share", "....."),
    ("oem", "....."),
    ("console", "kkkkk"),
    ("identity", "kkkkk"),
    ("support", "kkkkk"),
    ("removal", "kkkkk"),
    ("pki", "kkkkk"),
    ("threat-intelligence", "ppppp"),
    ("training", "ppppp"),
    ("publications", "ppppp"),
    ("consulting", "ppppp"),
    ("sinkhole", "xxxxx"),
    ("look-alike", "xxxxx"),
    ("name-servers", "xxxxx"),
    ("mail", "xxxxx"),
    ("successor", "xxxxx"),
    ("tenant", "xxxxx"),
    ("web", "....."),
    ("web-assets", "....."),
    ("web-analytics", "....."),
    ("short-link", "....."),
    ("local-interception", "....."),
    ("time-probe", "....."),
    ("legacy-publications", "....."),
    ("unidentified", "....."),
    ("unverified", "....."),
];

const fn letter(verdict: Verdict) -> char {
    match verdict {
        Verdict::Pass => '-',
        Verdict::Noted => '.',
        Verdict::Exempt => 'x',
        Verdict::Protected => 'p',
        Verdict::Kept => 'k',
        Verdict::Monitored => 'm',
        Verdict::Waived => 'w',
        Verdict::Sunk => 'S',
    }
}

#[test]
fn every_entry_is_decided_by_its_service_at_five_instants() {
    let expected = BTreeMap::from(BY_SERVICE);
    let mut unused: BTreeSet<_> = expected.keys().copied().collect();
    for (entry, service) in entries() {
        unused.remove(service);
        for name in samples(entry) {
            let told: String = FIVE.iter().map(|second| letter(verdict(&name, *second))).collect();
            assert_eq!(told, expected[service], "{name} of {service}, entry {}", entry.text);
        }
    }
    assert!(unused.is_empty(), "no entry belongs to {unused:?}");
}

#[test]
fn an_answer_never_outlives_the_instant_that_changes_it() {
    for (text, changes) in [
        ("dnl-01.geo.kaspersky.com", [Some(B), Some(B), Some(B), Some(B), None]),
        ("store.kaspersky.fr", [Some(A), Some(A), None, None, None]),
        ("opentip.kaspersky.com", [None; 5]),
        ("my.kaspersky.com", [None; 5]),
        ("www.example.com", [None; 5]),
    ] {
        for (second, until) in FIVE.into_iter().zip(changes) {
            assert_eq!(decide_by(&SHIPPED, &name(text), second).until, until.map(at), "{text} at {}", at(second));
        }
    }
    assert_eq!(SHIPPED.next_instant(at(0)), Some(at(A)));
    assert_eq!(SHIPPED.next_instant(at(A)), Some(at(B)));
    assert_eq!(SHIPPED.next_instant(at(B)), None);
}

#[test]
fn what_is_kept_for_removal_is_given_up_when_removal_is_over() {
    let end = at(B + 1000);
    let after = |removal, text: &str, second| {
        let snapshot = shipped(Operator { removal, ..Operator::default() });
        decide_by(&snapshot, &name(text), second).verdict
    };
    for (text, running, finished) in [
        ("media.kaspersky.com", Verdict::Kept, Verdict::Noted),
        ("support.kaspersky.de", Verdict::Kept, Verdict::Noted),
        ("crl.kaspersky.com", Verdict::Kept, Verdict::Noted),
        ("my.kaspersky.com", Verdict::Kept, Verdict::Sunk),
        ("a.ksc.kaspersky.com", Verdict::Kept, Verdict::Sunk),
    ] {
        assert_eq!(after(Removal::Running, text, B + 1000), running, "{text}");
        assert_eq!(after(Removal::Until(end), text, B + 999), running, "{text}");
        assert_eq!(after(Removal::Until(end), text, B + 1000), finished, "{text}");
        assert_eq!(after(Removal::Finished, text, B), finished, "{text}");
    }
    assert_eq!(after(Removal::Finished, "my.kaspersky.com", B - 1), Verdict::Monitored);
}

#[test]
fn contacts_with_consoles_are_recorded_and_signs_of_a_threat_are_marked() {
    for (text, recorded, threat) in [
        ("my.kaspersky.com", true, false),
        ("s405.cloud.kaspersky.com", true, false),
        ("support.kaspersky.com", false, false),
        ("upd.kaspersky.com", true, false),
        ("sinkhole.kaspersky.com", false, true),
        ("wsus.kasperskyantivirus.net", false, true),
        ("mx12.kaspersky-labs.com", false, false),
        ("www.kaspersky.com", false, false),
    ] {
        let found = decide_by(&SHIPPED, &name(text), B).deciding.expect(text);
        assert_eq!((found.recorded, found.threat), (recorded, threat), "{text}");
    }
}

#[test]
fn names_that_only_look_like_it_never_match() {
    let names: BTreeSet<_> = NEVER.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(names.len() >= 200, "only {}", names.len());
    for (text, second) in names.iter().flat_map(|text| FIVE.map(|second| (text, second))) {
        let decision = decide_by(&SHIPPED, &name(text), second);
        let by = decision.deciding.map(|found| SHIPPED.entry(found.entry).text.as_str());
        assert_eq!(decision, Decision::PASS, "{text} at {} by {by:?}", at(second));
    }
}

#[test]
fn only_what_the_act_itself_leaves_lawful_cites_it() {
    for order in &SHIPPED.inputs().orders {
        for protected in &order.protected {
            assert!(protected.basis.starts_with(&order.citation), "{:?}", protected.services);
        }
        for prohibition in &order.prohibitions {
            assert!(prohibition.basis.starts_with(&order.citation), "{}", prohibition.id);
        }
        let reasons = (order.exempt.iter().map(|of| &of.reason))
            .chain(order.kept.iter().map(|of| &of.reason))
            .chain(order.noted.iter().map(|of| &of.reason));
        for reason in reasons {
            assert!(!reason.contains(" FR ") && !reason.contains("CFR"), "{reason}");
        }
        assert_eq!(order.rules, ["15 CFR part 7", "15 CFR part 791"]);
    }
}

#[test]
fn a_low_confidence_stands_for_a_name_that_few_have_seen() {
    for (entry, service) in entries() {
        assert!(!entry.evidence.is_empty(), "{}", entry.text);
        let from_memory = entry.evidence.iter().all(|source| source.contains("from memory"));
        assert!(!from_memory || entry.confidence == Confidence::Low, "{} of {service}", entry.text);
    }
}

/// One of many spellings of a name: any letter in either case, any octet escaped, with or without the final dot.
fn spell(name: &Name, choices: &[u8], dot: bool) -> String {
    let mut choices = choices.iter().copied().cycle();
    let mut text = String::new();
    for (position, label) in name.labels().enumerate() {
        if position > 0 {
            text.push('.');
        }
        for octet in label {
            let upper = octet.to_ascii_uppercase();
            match choices.next().unwrap_or_default() % 6 {
                0 => text.push_str(&format!("\\{octet:03}")),
                1 => text.push_str(&format!("\\{upper:03}")),
                2 if !octet.is_ascii_digit() => text.extend(['\\', char::from(*octet)]),
                3 if !octet.is_ascii_digit() => text.extend(['\\', char::from(upper)]),
                2 | 4 => text.push(char::from(upper)),
                _ => text.push(char::from(*octet)),
            }
        }
    }
    if dot {
        text.push('.');
    }
    text
}

fn all_samples() -> Vec<(Name, &'static str)> {
    entries().flat_map(|(entry, service)| samples(entry).into_iter().map(move |name| (name, service))).collect()
}

proptest! {
    /// A protected or exempt name is never sunk by that order, at any instant, in any spelling; nor does any spelling
    /// let a prohibited name through.
    #[test]
    fn no_spelling_and_no_instant_changes_what_a_service_gets(
        pick in any::<proptest::sample::Index>(),
        choices in proptest::collection::vec(any::<u8>(), 1..40),
        dot in any::<bool>(),
        second in prop_oneof![-2_000_000_000i64..20_000_000_000, A - 2..A + 2, B - 2..B + 2],
    ) {
        static SAMPLES: LazyLock<Vec<(Name, &str)>> = LazyLock::new(all_samples);
        let (listed, service) = pick.get(&SAMPLES);
        let spelling = spell(listed, &choices, dot);
        let period = match second { ..A => 1, A..B => 2, B.. => 4 };
        let expected = BTreeMap::from(BY_SERVICE)[service].chars().nth(period);
        let told = letter(verdict(&name(&spelling), second));
        prop_assert_eq!(Some(told), expected, "{} for {} at {}", spelling, listed, at(second));
    }
}
