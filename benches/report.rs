//! How long a compliance report and the list of devices take over an index of many records, and how much memory:
//! `RECORDS=5000000 DEVICES=2000 INDEX=FILE cargo bench --bench report`. A year in which some devices ask for some names each day:
//! 40 names of three services, under eight rules each. The file is filled where it is not there, and left for the next time, whose
//! memory is then that of reading alone; without `INDEX` there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement tells by printing")]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::path::PathBuf;
use std::time::Instant;

use interdict::ledger::{Body, Leaf, Record, VERSION as LEAF};
use interdict::report::{Basis, Format, Gatherer, Node, NodeBasis, QUIET, Revealed, Source, VERSION};
use interdict::store::{Seen, Store};
use jiff::{Timestamp, ToSpan as _};
use sha2::{Digest as _, Sha256};

const YEAR: i64 = 365 * 86_400;

fn leaf(seq: u64, of: u64, devices: u64) -> Leaf {
    let start: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let second = i64::try_from(u128::from(seq) * u128::from(YEAR.unsigned_abs()) / u128::from(of)).unwrap();
    let at = start.checked_add(second.seconds()).unwrap();
    // Scattered, and the same at each run.
    let random = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (client, name) = (random % devices, (random >> 16) % 40);
    let service = match name {
        0..20 => "update",
        20..32 => "reputation",
        _ => "web",
    };
    let record = Record {
        at,
        last: at,
        ends: None,
        raw: at,
        raw_last: at,
        count: 1 + random % 3,
        folded: None,
        client: Some(format!("10.{}.{}.7", client / 250, client % 250)),
        key: Some(at.strftime("%Y-%m").to_string()),
        prefix: None,
        group: None,
        identified: None,
        via: None,
        device: None,
        transport: Some("udp".to_owned()),
        name: Some(format!("s{name}.r{}.{service}.vendor.example", name % 8)),
        r#type: Some("A".to_owned()),
        names: None,
        clients: None,
        verdict: if name == 7 { "waived" } else { "sunk" }.to_owned(),
        order: "act-2024".to_owned(),
        prohibition: Some("updates".to_owned()),
        waiver: (name == 7).then(|| "W-1".to_owned()),
        rule: format!("suffix:r{}.{service}.vendor.example", name % 8),
        service: service.to_owned(),
        confidence: "high".to_owned(),
        threat: false,
        subject: None,
        through: None,
        policy: "00".repeat(32),
        rcode: Some("NXDOMAIN".to_owned()),
        rehearsal: false,
    };
    Leaf { v: LEAF, seq, body: Body::Attempt(Box::new(record)) }
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    format!("{}; {}", line("VmHWM"), line("VmRSS"))
}

/// Tells whether two runs found the same.
fn digest(octets: &[u8]) -> String {
    hex::encode(&Sha256::digest(octets)[..6])
}

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn basis(from: &str, to: &str, records: u64) -> Basis {
    let node = NodeBasis { first: 0, last: records - 1, logs: vec![], keys: vec![], anchor: None, verified: false };
    Basis {
        version: VERSION,
        format: Format::Html,
        lang: "en".to_owned(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        order: None,
        group: None,
        duty: None,
        nodes: vec![node],
    }
}

fn reveal(seen: &Seen) -> Revealed {
    Revealed { hardware: None, address: Some(seen.client.clone()) }
}

fn index(records: u64, devices: u64) -> Store {
    let file = std::env::var_os("INDEX").map(PathBuf::from);
    let is_there = file.as_ref().is_some_and(|file| file.exists());
    let mut store = file.map_or_else(Store::temporary, |file| Store::open(&file)).unwrap();
    if is_there {
        return store;
    }
    let started = Instant::now();
    for first in (0..records).step_by(100_000) {
        let last = records.min(first + 100_000);
        store.fill((first..last).map(|seq| (0, leaf(seq, records, devices)))).unwrap();
    }
    println!("indexed {records} records in {:.1} s; {}", started.elapsed().as_secs_f64(), resident());
    store
}

fn main() {
    let (records, devices) = (asked("RECORDS", 200_000), asked("DEVICES", 2000));
    let store = index(records, devices);
    for (from, to) in [
        ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2025-01-15T10:00:00Z", "2025-12-20T11:00:00Z"),
        ("2025-06-01T00:00:00Z", "2025-07-01T00:00:00Z"),
    ] {
        let basis = basis(from, to, records);
        let started = Instant::now();
        let mut gatherer = Gatherer::new(basis.clone(), &[]);
        let mut reveal = |seen: &Seen| Ok(reveal(seen));
        let source = Source { store: &store, basis: &basis.nodes[0], node: Node::default(), reveal: &mut reveal };
        gatherer.add(source).unwrap();
        let octets = gatherer.finish().render().unwrap();
        let took = started.elapsed().as_secs_f64();
        println!("{from} to {to}: {took:.2} s, {} octets, {}; {}", octets.len(), digest(&octets), resident());
    }
    let basis = basis("1970-01-01T00:00:00Z", "2025-12-31T12:00:00Z", records);
    let started = Instant::now();
    let mut gatherer = Gatherer::new(basis.clone(), &[]);
    let mut reveal = |seen: &Seen| Ok(reveal(seen));
    let source = Source { store: &store, basis: &basis.nodes[0], node: Node::default(), reveal: &mut reveal };
    gatherer.add_devices(source).unwrap();
    let list = gatherer.devices(QUIET, false);
    let (took, found) = (started.elapsed().as_secs_f64(), list.devices.len());
    let digest = digest(format!("{list:?}").as_bytes());
    println!("{found} devices listed in {took:.2} s, {digest}; {}", resident());
}
