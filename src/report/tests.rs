//! Reports over leaves that were made for them: figures, formats, and that nothing a client can write leads astray.

use std::net::IpAddr;

use super::*;
use crate::ledger::fixtures;
use crate::ledger::{
    Act, Body, Changed, Coverage, CoverageEvent, Folded, Gap, GapReason, Leaf, Record, RuleCount, VERSION as LEAF,
};
use crate::store::{Seen, Store};
use jiff::{Timestamp, ToSpan as _};
use std::collections::BTreeMap;

const DIGEST: &str = "00";
/// Names that try to be markup, formulas, terminal escapes, or another name.
pub(super) const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>.upd.vendor.example",
    "=HYPERLINK(\"https://x.example\",\"y\").upd.vendor.example",
    "\"><img src=x onerror=y>.upd.vendor.example",
    "@SUM(A1:A9).upd.vendor.example",
    "a\u{202e}elpmaxe\u{200b}.upd.vendor.example",
    "\u{1b}[2J\r\n\t,\";.upd.vendor.example",
    "]]></sheetData>&amp;&#0;.upd.vendor.example",
    "(\\) Tj ET endstream \u{1f600} \u{430}.upd.vendor.example",
];

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Leaves under construction.
pub(super) struct Leaves(Vec<Leaf>);

impl Leaves {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, body: Body) {
        self.0.push(Leaf { v: LEAF, seq: self.0.len() as u64, body });
    }

    pub(super) fn record(&mut self, client: &str, name: &str, verdict: &str, at: Timestamp, count: u64) {
        self.push(Body::Attempt(Box::new(record(client, name, verdict, at, count))));
    }

    fn record_as(&mut self, change: impl FnOnce(&mut Record)) {
        let mut of = record("192.0.2.1", "upd.vendor.example", "sunk", at("2024-10-05T00:00:00Z"), 1);
        change(&mut of);
        self.push(Body::Attempt(Box::new(of)));
    }

    pub(super) fn cover(&mut self, from: Timestamp, to: Timestamp) {
        let counted = vec![count("noted", "web", 3)];
        self.push(Body::Coverage(Box::new(Coverage {
            at: to,
            raw: to,
            event: CoverageEvent::Minute,
            from,
            ends: None,
            lasted_ms: None,
            queries: BTreeMap::from([("pass".to_owned(), 100)]),
            withheld: BTreeMap::new(),
            recorded: BTreeMap::new(),
            counted,
            threats: vec![],
            overflowed: 0,
            leaves: 1,
            policies: vec![DIGEST.to_owned()],
            clock: Some("synchronised".to_owned()),
            rehearsal: false,
        })));
    }

    fn gap(&mut self, from: Timestamp, until: Timestamp) {
        self.push(Body::Gap(Box::new(Gap {
            at: until,
            raw: until,
            reason: GapReason::Unwritten,
            from: Some(from),
            until: Some(until),
            count: Some(5),
            rules: vec![count("sunk", "update", 5)],
            changes: 0,
            first_seq: None,
            last_seq: None,
            found: "no space left on device".to_owned(),
            rehearsal: false,
        })));
    }

    fn change(&mut self, at: Timestamp, why: &str) {
        self.push(Body::Change(Box::new(Changed {
            at,
            raw: at,
            act: Act::Waiver,
            accepted: true,
            by: "uid 1000 (ops)".to_owned(),
            why: why.to_owned(),
            what: None,
            policy: None,
            first_seq: None,
            last_seq: None,
            rotation: None,
            client: None,
            device: None,
            key: None,
            rehearsal: false,
        })));
    }

    pub(super) fn index(self) -> (Store, u64) {
        let last = self.0.len() as u64 - 1;
        let mut store = Store::temporary().unwrap();
        store.fill(self.0.into_iter().map(|leaf| (0, leaf))).unwrap();
        (store, last)
    }
}

fn count(verdict: &str, service: &str, count: u64) -> RuleCount {
    let (order, rule) = ("act-2024".to_owned(), "suffix:x.vendor.example".to_owned());
    RuleCount { order, rule, service: service.to_owned(), verdict: verdict.to_owned(), count }
}

fn record(client: &str, name: &str, verdict: &str, at: Timestamp, count: u64) -> Record {
    let service = if verdict == "kept" { "console" } else { "update" };
    Record {
        at,
        last: at,
        ends: None,
        raw: at,
        raw_last: at,
        count,
        folded: None,
        client: Some(client.to_owned()),
        key: Some("2024-10".to_owned()),
        prefix: None,
        group: None,
        identified: None,
        via: None,
        device: None,
        transport: None,
        name: Some(name.to_owned()),
        r#type: Some("A".to_owned()),
        names: None,
        clients: None,
        verdict: verdict.to_owned(),
        order: "act-2024".to_owned(),
        prohibition: (verdict != "kept").then(|| "updates".to_owned()),
        waiver: (verdict == "waived").then(|| "W-1".to_owned()),
        rule: format!("suffix:{service}.vendor.example"),
        service: service.to_owned(),
        confidence: "high".to_owned(),
        threat: false,
        subject: None,
        through: None,
        policy: DIGEST.to_owned(),
        rcode: None,
        rehearsal: false,
    }
}

pub(super) fn basis(from: &str, to: &str, format: Format, last: u64) -> Basis {
    let node = NodeBasis { first: 0, last, logs: vec![], keys: vec![], anchor: None, verified: true };
    Basis {
        version: VERSION,
        format,
        lang: "en".to_owned(),
        from: at(from),
        to: at(to),
        order: None,
        group: None,
        duty: None,
        nodes: vec![node],
    }
}

/// What tests take for the key ring: addresses stand in records as they are, and those of 198.51.100.0/24 are forgotten.
fn reveal(seen: &Seen) -> Revealed {
    let address = seen.client.parse::<IpAddr>().ok().map(|address| match seen.prefix {
        Some(prefix) => format!("{address}/{prefix}"),
        None => address.to_string(),
    });
    Revealed { hardware: seen.device.clone(), address: address.filter(|text| !text.starts_with("198.51.100.")) }
}

pub(super) fn report(stores: &[&Store], basis: Basis) -> Report {
    let snapshot = std::sync::Arc::into_inner(fixtures::snapshot(1)).unwrap();
    let policies = [(DIGEST.to_owned(), snapshot)];
    let mut gatherer = Gatherer::new(basis.clone(), &policies);
    for (place, store) in stores.iter().enumerate() {
        let node =
            Node { name: format!("log.example/{place}"), integrity: Some("intact".to_owned()), ..Node::default() };
        let mut reveal = |seen: &Seen| Ok(reveal(seen));
        gatherer.add(Source { store, basis: &basis.nodes[0], node, reveal: &mut reveal }).unwrap();
    }
    gatherer.finish()
}

#[test]
fn figures_are_those_of_the_records() {
    let mut leaves = Leaves::new();
    let (before, from) = (at("2024-09-29T03:59:59Z"), at("2024-09-29T04:00:00Z"));
    leaves.record("192.0.2.1", "upd.vendor.example", "monitored", at("2024-06-01T00:00:00Z"), 1);
    leaves.record("192.0.2.1", "upd.vendor.example", "monitored", before, 2);
    leaves.record("192.0.2.1", "upd.vendor.example", "monitored", from, 4);
    leaves.record("192.0.2.2", "upd.vendor.example", "sunk", from, 8);
    leaves.record("192.0.2.2", "a.upd.vendor.example", "waived", from, 16);
    leaves.record("198.51.100.3", "b.upd.vendor.example", "kept", from, 32);
    leaves.record("198.51.100.3", "b.upd.vendor.example", "sunk", from, 64);
    leaves.record_as(|of| (of.client, of.name, of.folded, of.count) = (None, None, Some(Folded::Rule), 128));
    leaves.record_as(|of| {
        (of.client, of.prefix, of.folded) = (Some("192.0.2.0".to_owned()), Some(24), Some(Folded::Network))
    });
    leaves.record_as(|of| of.device = Some("02:00:00:00:00:07".to_owned()));
    leaves
        .record_as(|of| (of.device, of.client) = (Some("02:00:00:00:00:07".to_owned()), Some("192.0.2.99".to_owned())));
    leaves.record_as(|of| (of.group, of.order) = (Some("lab".to_owned()), "act-2025".to_owned()));
    leaves.gap(at("2024-10-06T00:00:00Z"), at("2024-10-07T00:00:00Z"));
    leaves.change(at("2024-10-06T00:00:00Z"), "W-1");
    leaves.cover(at("2024-06-01T00:00:00Z"), at("2024-10-11T00:00:00Z"));
    leaves.record("192.0.2.1", "upd.vendor.example", "sunk", from, 1000);
    let (store, last) = leaves.index();
    // The last record is behind the checkpoint.
    let whole = basis("2024-06-01T00:00:00Z", "2024-10-12T00:00:00Z", Format::Json, last - 1);
    let found = report(&[&store], whole.clone());
    let sums = found.totals.sums;
    assert_eq!((sums.early, sums.pending, sums.watched), (1, 2, 4));
    assert_eq!((sums.withheld, sums.waived, sums.kept, sums.other), (8 + 64 + 128 + 1 + 1 + 1 + 1 + 5, 16, 32, 3));
    assert_eq!(found.totals.attempted, 2 + 4 + 209 + 16);
    assert_eq!((found.totals.let_through, found.totals.unattributed, found.totals.unrecorded), (22, 128, 5));
    let devices: Vec<_> = found.devices.rows.iter().map(|row| (row.label.as_str(), row.attempted)).collect();
    assert_eq!(devices[1..], [("192.0.2.2", 24), ("192.0.2.1", 7), ("02:00:00:00:00:07", 2), ("192.0.2.0/24", 1)]);
    assert!(devices[0].0.starts_with("anonymous-") && devices[0].1 == 64, "{devices:?}");
    assert_eq!((found.totals.devices, found.totals.networks, found.totals.anonymous), (5, 1, 1));
    assert_eq!((found.waivers[0].id.as_str(), found.waivers[0].lookups, found.waivers[0].devices), ("W-1", 16, 1));
    let sides = &found.around[0];
    assert_eq!((sides.mark.at, sides.before.sums.pending, sides.before.devices), (from, 2, 1));
    assert_eq!((sides.after.sums.attempted(), sides.after.devices), (4 + 8 + 16 + 64 + 128 + 3, 5));
    let coverage = &found.nodes[0].coverage;
    assert_eq!((coverage.basis_points, coverage.missing), (9849, 2 * 86_400), "{coverage:?}");
    assert_eq!((found.changes.rows.len(), found.gaps.rows.len(), found.nodes[0].queries), (1, 1, 100));
    let bins: u64 =
        found.trend.bins.iter().map(|bin| bin.sums.attempted() + bin.sums.early + bin.sums.kept + bin.sums.other).sum();
    assert_eq!(bins, 231 + 1 + 32 + 3);

    let only = |order: Option<&str>, group: Option<&str>| {
        let (order, group) = (order.map(str::to_owned), group.map(str::to_owned));
        report(&[&store], Basis { order, group, ..whole.clone() }).totals.attempted
    };
    assert_eq!((only(Some("act-2025"), None), only(None, Some("lab")), only(None, Some("none"))), (1, 1, 0));
    assert_eq!(only(None, Some("default")), 231 - 5 - 128 - 1 - 1);
    // Two resolvers: devices are joined, and pseudonyms are not.
    let two = report(&[&store, &store], whole);
    assert_eq!((two.totals.attempted, two.totals.devices, two.totals.anonymous), (462, 6, 2));
}

#[test]
fn parts_of_a_period_add_up_to_it() {
    let mut leaves = Leaves::new();
    let start = at("2024-10-01T00:00:00Z");
    for place in 0..400_i64 {
        let when = start.checked_add((place * 7919 % 864_000).seconds()).unwrap();
        leaves.record(&format!("192.0.2.{}", place % 5), "upd.vendor.example", "sunk", when, 1);
    }
    let (store, last) = leaves.index();
    let count = |from: &str, to: &str| report(&[&store], basis(from, to, Format::Json, last)).totals.attempted;
    let (first, second, third) = ("2024-10-01T00:00:00Z", "2024-10-03T07:13:09Z", "2024-10-11T00:00:00Z");
    assert_eq!((count(first, third), count(first, second) + count(second, third)), (400, 400));
    assert_eq!(count("2024-10-03T07:13:08Z", second) + count("2024-10-01T00:00:00Z", "2024-10-01T00:00:00.000001Z"), 1);
}

fn hostile(format: Format, lang: &str) -> Report {
    let mut leaves = Leaves::new();
    for (place, name) in HOSTILE.iter().enumerate() {
        let when = at("2024-10-02T00:00:00Z").checked_add((place as i64).hours()).unwrap();
        leaves.record("192.0.2.7", name, "sunk", when, 1);
        leaves.record_as(|of| (of.device, of.service) = (Some((*name).to_owned()), (*name).to_owned()));
        leaves.change(when, name);
    }
    let (store, last) = leaves.index();
    let mut of = basis("2024-10-01T00:00:00Z", "2024-11-01T00:00:00Z", format, last);
    (of.lang, of.duty, of.group) = (lang.to_owned(), Some(HOSTILE.concat()), None);
    report(&[&store], of)
}

#[test]
fn no_name_is_markup_or_hides_anything_in_html() {
    for lang in LANGUAGES {
        let html = String::from_utf8(hostile(Format::Html, lang).render().unwrap()).unwrap();
        for wrong in ["<script", "<img", "onerror=y>", "\u{202e}", "\u{200b}", "\u{1b}", "\r"] {
            assert!(!html.contains(wrong), "{wrong:?}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("a\\u{202e}elpmaxe"), "{html}");
        for elsewhere in ["href=", "src=", "url(", "@import", "http:"] {
            let found = html.find(elsewhere).map(|at| &html[at.saturating_sub(40)..]);
            assert!(found.is_none_or(|text| text.contains("&lt;img src=")), "{elsewhere}: {found:?}");
        }
        assert_eq!(
            html.matches('<').count(),
            html.matches('>').count(),
            "every tag is closed, and nothing else is one"
        );
    }
}

#[test]
fn no_cell_of_csv_is_a_formula_and_json_is_read_back() {
    let csv = String::from_utf8(hostile(Format::Csv, "en").render().unwrap()).unwrap();
    assert!(
        !csv.contains("\"=") && !csv.contains("\"@") && !csv.contains('\u{1b}') && !csv.contains('\u{202e}'),
        "{csv}"
    );
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    let cells = lines[0].matches("\",\"").count();
    assert!(lines.iter().all(|line| line.starts_with('"') && line.ends_with('"') && !line.contains('\n')));
    assert!(lines.iter().all(|line| line.matches("\",\"").count() >= cells), "every line has as many cells");
    let json: serde_json::Value = serde_json::from_slice(&hostile(Format::Json, "en").render().unwrap()).unwrap();
    let names: Vec<_> =
        json["names"]["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(HOSTILE.iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn no_cell_of_a_workbook_is_a_formula_or_a_link_and_pdf_does_nothing() {
    use std::io::Read as _;
    let book = hostile(Format::Xlsx, "en").render().unwrap();
    let mut archive = zip_archive::ZipArchive::new(std::io::Cursor::new(&book)).unwrap();
    let mut all = String::new();
    for place in 0..archive.len() {
        archive.by_index(place).unwrap().read_to_string(&mut all).unwrap();
    }
    for wrong in ["<f>", "<f ", "<hyperlink>", "<hyperlink ", "<script", "<externalLink", "\u{202e}", "\u{1b}"] {
        assert!(!all.contains(wrong), "{wrong:?}");
    }
    assert!(all.contains("&lt;script&gt;alert(1)") && all.contains("=HYPERLINK("), "texts stay what they are");
    assert!(!all.contains("TargetMode=\"External\""));
    let pdf = hostile(Format::Pdf, "en").render().unwrap();
    let text = String::from_utf8_lossy(&pdf);
    for wrong in ["/JavaScript", "/JS", "/URI", "/Action", "/OpenAction", "/AA", "/Launch", "/CreationDate"] {
        assert!(!text.contains(wrong), "{wrong}");
    }
    // What would end a text is escaped in it, so that there are as many ends of streams as pages.
    let pages = text.matches("/Type /Page\n").count();
    assert!(pages > 1 && text.matches("\nendstream").count() == pages, "{pages}");
}

#[test]
fn the_same_records_give_the_same_octets_and_name_what_they_come_from() {
    for format in Format::ALL {
        let (one, other) = (hostile(format, "de"), hostile(format, "de"));
        let octets = one.render().unwrap();
        assert_eq!(octets, other.render().unwrap(), "{format:?}");
        assert_eq!(Basis::find(&octets), Some(one.basis.clone()), "{format:?}");
    }
}

#[test]
fn long_lists_are_cut_and_their_sums_stay_exact() {
    let mut leaves = Leaves::new();
    for place in 0..1000_u32 {
        let (client, name) = (format!("10.0.{}.{}", place / 250, place % 250), format!("n{place}.upd.vendor.example"));
        leaves.record(&client, &name, "sunk", at("2024-10-02T00:00:00Z"), u64::from(place) + 1);
    }
    let (store, last) = leaves.index();
    let found = report(&[&store], basis("2024-10-01T00:00:00Z", "2024-11-01T00:00:00Z", Format::Json, last));
    assert_eq!((found.totals.attempted, found.totals.devices), (500_500, 1000));
    assert_eq!((found.devices.rows.len(), found.devices.more, found.names.more), (200, 800, 800));
    let listed: u64 = found.devices.rows.iter().map(|row| row.attempted).sum();
    assert_eq!(listed + found.devices.more_sums.attempted(), 500_500);
    assert_eq!(found.devices.rows[0].label, "10.0.3.249");
}

/// Writes a page of every form to look at, where a folder is named.
#[test]
fn a_report_of_a_year_is_drawn() {
    let mut leaves = Leaves::new();
    let start = at("2024-06-01T00:00:00Z");
    for day in 0..200_i64 {
        let when = start.checked_add((day * 24 + 9).hours()).unwrap();
        let verdict = if when < at("2024-09-29T04:00:00Z") { "monitored" } else { "sunk" };
        for client in 0..(40 - (day / 8).min(35)) {
            let client = format!("10.1.0.{client}");
            leaves.record(
                &client,
                &format!("s{}.upd.vendor.example", day % 7),
                verdict,
                when,
                20 + (day as u64 * 37) % 29,
            );
            if day % 5 == 0 {
                leaves.record(&client, "console.vendor.example", "kept", when, 9);
                leaves.record(&client, "upd.vendor.example", "waived", when, 12);
            }
        }
        leaves.cover(when.checked_sub(9.hours()).unwrap(), when.checked_add(15.hours()).unwrap());
    }
    leaves.gap(at("2024-10-06T00:00:00Z"), at("2024-10-07T00:00:00Z"));
    leaves.change(at("2024-10-06T00:00:00Z"), "W-1 for the removal of the old agent");
    let (store, last) = leaves.index();
    for format in Format::ALL {
        let of = basis("2024-06-01T00:00:00Z", "2024-12-18T00:00:00Z", format, last);
        let octets = report(&[&store], of).render().unwrap();
        assert!(octets.len() > 10_000, "{format:?}");
        if let Some(folder) = std::env::var_os("INTERDICT_LOOK") {
            std::fs::write(std::path::Path::new(&folder).join(format!("report.{}", format.as_str())), octets).unwrap();
        }
    }
}
