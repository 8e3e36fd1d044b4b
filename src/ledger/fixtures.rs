//! What tests of the ledger and of the index hand over.

use std::sync::Arc;

use super::Attempt;
use crate::client::Client;
use crate::clock::{Clock as _, ManualClock};
use crate::message::{Name, RecordType};
use crate::policy::{
    Catalogue, Confidence, Entry, Exempt, Exemption, Inputs, Kept, Matching, Noted, Order, Pattern, Prohibition,
    Service, Snapshot, Then, Validity, Verdict, Verification,
};
use crate::query::{Through, Transport};

/// An instant at which the prohibition is in force.
pub(crate) const AT: &str = "2024-09-29T04:00:01Z";

/// A small policy: updates are sunk from an instant on, consoles kept and recorded, support kept, a look-alike a threat.
pub(crate) fn snapshot(number: u64) -> Arc<Snapshot> {
    let services = ["update", "console", "support", "web", "look-alike"];
    let entry = |text: &str, service| Entry {
        text: text.to_owned(),
        pattern: Pattern::parse(text, Matching::Suffix, &[]).unwrap(),
        service,
        confidence: Confidence::High,
        evidence: Vec::new(),
        note: None,
    };
    let date = "2024-06-24".parse().unwrap();
    let kept = |service: &str, record| Kept {
        services: vec![service.to_owned()],
        reason: "removal".to_owned(),
        record,
        until: None,
        then: Then::Noted,
    };
    let catalogue = Catalogue {
        id: "vendor".to_owned(),
        vendor: "Vendor".to_owned(),
        title: "Names".to_owned(),
        revised: date,
        example: None,
        services: services.map(|id| Service { id: id.to_owned(), title: id.to_owned() }).to_vec(),
        entries: vec![
            entry("upd.vendor.example", 0),
            entry("geo.vendor.example", 0),
            entry("console.vendor.example", 1),
            entry("support.vendor.example", 2),
            entry("www.vendor.example", 3),
            entry("vendor-update.example", 4),
        ],
    };
    let order = Order {
        id: "act-2024".to_owned(),
        title: "Act".to_owned(),
        issuer: "Issuer".to_owned(),
        citation: "1 X 2".to_owned(),
        rules: Vec::new(),
        catalogue: "vendor".to_owned(),
        published: date,
        sources: Vec::new(),
        facts: Vec::new(),
        prohibitions: vec![Prohibition {
            id: "updates".to_owned(),
            title: "Updates".to_owned(),
            validity: Validity::new("2024-09-29T04:00:00Z".parse().unwrap(), None).unwrap(),
            basis: "1 X 2".to_owned(),
            verification: Verification::Primary,
            services: vec!["update".to_owned()],
        }],
        protected: Vec::new(),
        exempt: vec![Exempt {
            services: vec!["look-alike".to_owned()],
            reason: "not the vendor's".to_owned(),
            exemption: Exemption::LookAlike,
            threat: true,
        }],
        kept: vec![kept("console", true), kept("support", false)],
        noted: vec![Noted { services: vec!["web".to_owned()], reason: "visits".to_owned() }],
    };
    let inputs = Inputs { catalogues: vec![catalogue], orders: vec![order], ..Inputs::default() };
    let digest = [u8::try_from(number).unwrap(); 32];
    Arc::new(Snapshot::compile(number, digest, inputs).unwrap())
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(AT.parse().unwrap()))
}

/// Returns what a worker hands over for this look-up; panics where no rule matches.
pub(crate) fn attempt(snapshot: &Arc<Snapshot>, client: &str, name: &str, at: &str) -> Attempt {
    let client = Client::at(client.parse().unwrap());
    let name: Name = name.parse().unwrap();
    let reading = ManualClock::new(at.parse().unwrap()).read();
    let matched = snapshot.decide(&name, &client, reading.at).deciding.unwrap();
    Attempt {
        reading,
        client,
        transport: Transport::Udp,
        name,
        record_type: RecordType::A,
        subject: None,
        through: Through::Question,
        matched,
        rcode: if matched.verdict == Verdict::Sunk { 3 } else { 0 },
        snapshot: Arc::clone(snapshot),
    }
}
