//! Order files.

use std::ops::Range;

use super::fault::quote;
use super::sheet::{Keys, Sheet, Text};
use crate::policy::{
    Exempt, Exemption, Fact, Kept, Noted, Order, Prohibition, Protected, Source, Then, Validity, Verification,
};

const VERIFICATIONS: [(&str, Verification); 4] = [
    ("primary", Verification::Primary),
    ("secondary", Verification::Secondary),
    ("inferred", Verification::Inferred),
    ("unverified", Verification::Unverified),
];
const EXEMPTIONS: [(&str, Exemption); 3] = [
    ("not-covered", Exemption::NotCovered),
    ("operational", Exemption::Operational),
    ("look-alike", Exemption::LookAlike),
];

/// An order file as far as it could be read.
#[derive(Debug)]
pub(super) struct ReadOrder {
    pub(super) id: Option<Text>,
    pub(super) version: Option<u64>,
    pub(super) catalogue: Option<Text>,
    /// Every service that the file names, with its place.
    pub(super) services: Vec<Text>,
    /// None where the file has faults.
    pub(super) order: Option<Order>,
}

pub(super) fn read(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>) -> ReadOrder {
    let id = keys.id(sheet, "id");
    let version = keys.optional_version(sheet);
    let title = keys.text(sheet, "title");
    let issuer = keys.text(sheet, "issuer");
    let citation = keys.text(sheet, "citation");
    let rules = keys.optional_texts(sheet, "rules").into_iter().map(|rule| rule.text).collect();
    let catalogue = keys.text(sheet, "catalogue");
    let published = keys.date(sheet, "published");
    let sources = each(sheet, keys, "source", "[[source]]", read_source);
    let facts = each(sheet, keys, "fact", "[[fact]]", read_fact);
    let mut services = Vec::new();
    let prohibitions = read_prohibitions(sheet, keys, &mut services);
    let protected = each(sheet, keys, "protected", "[[protected]]", |sheet, table| {
        let (services, reason) = group(sheet, table, &mut services);
        let basis = table.text(sheet, "basis");
        let verification = table.word(sheet, "verification", &VERIFICATIONS);
        Some(Protected { services: services?, reason: reason?, basis: basis?.text, verification: verification? })
    });
    let exempt = each(sheet, keys, "exempt", "[[exempt]]", |sheet, table| {
        let (services, reason) = group(sheet, table, &mut services);
        let exemption = table.word(sheet, "why", &EXEMPTIONS);
        let threat = table.switch(sheet, "threat");
        Some(Exempt { services: services?, reason: reason?, exemption: exemption?, threat })
    });
    let kept = each(sheet, keys, "kept", "[[kept]]", |sheet, table| {
        let (services, reason) = group(sheet, table, &mut services);
        let record = table.switch(sheet, "record");
        let until = table.optional_instant(sheet, "until");
        let then = table.text(sheet, "then").and_then(|then| read_then(sheet, &then, &prohibitions));
        Some(Kept { services: services?, reason: reason?, record, until, then: then? })
    });
    let noted = each(sheet, keys, "noted", "[[noted]]", |sheet, table| {
        let (services, reason) = group(sheet, table, &mut services);
        Some(Noted { services: services?, reason: reason? })
    });
    let order = match (&id, title, issuer, citation, &catalogue, published) {
        (Some(id), Some(title), Some(issuer), Some(citation), Some(catalogue), Some(published)) => Some(Order {
            id: id.text.clone(),
            title: title.text,
            issuer: issuer.text,
            citation: citation.text,
            rules,
            catalogue: catalogue.text.clone(),
            published,
            sources,
            facts,
            prohibitions: prohibitions.into_iter().filter_map(|(_, prohibition)| prohibition).collect(),
            protected,
            exempt,
            kept,
            noted,
        }),
        _ => None,
    };
    ReadOrder { id, version, catalogue, services, order }
}

/// Reads each table `[[key]]` with `read`, and leaves out those with faults.
fn each<T>(
    sheet: &mut Sheet<'_>,
    keys: &mut Keys<'_, '_>,
    key: &'static str,
    title: &'static str,
    mut read: impl FnMut(&mut Sheet<'_>, &mut Keys<'_, '_>) -> Option<T>,
) -> Vec<T> {
    let mut values = Vec::new();
    for mut table in keys.tables(sheet, key, title) {
        values.extend(read(sheet, &mut table));
        table.finish(sheet);
    }
    values
}

fn read_source(sheet: &mut Sheet<'_>, table: &mut Keys<'_, '_>) -> Option<Source> {
    let (title, at, read) = (table.text(sheet, "title"), table.text(sheet, "at"), table.date(sheet, "read"));
    Some(Source { title: title?.text, at: at?.text, read: read? })
}

fn read_fact(sheet: &mut Sheet<'_>, table: &mut Keys<'_, '_>) -> Option<Fact> {
    let (text, verification) = (table.text(sheet, "text"), table.word(sheet, "verification", &VERIFICATIONS));
    Some(Fact { text: text?.text, verification: verification? })
}

/// Returns the services of a table and its reason, and adds the services to those that the file names.
fn group(
    sheet: &mut Sheet<'_>,
    table: &mut Keys<'_, '_>,
    named: &mut Vec<Text>,
) -> (Option<Vec<String>>, Option<String>) {
    let services = read_services(sheet, table, named);
    (services, table.text(sheet, "reason").map(|reason| reason.text))
}

fn read_services(sheet: &mut Sheet<'_>, table: &mut Keys<'_, '_>, named: &mut Vec<Text>) -> Option<Vec<String>> {
    let services = table.texts(sheet, "services")?;
    named.extend(services.iter().cloned());
    Some(services.into_iter().map(|service| service.text).collect())
}

/// A prohibition's identifier stays known where the rest of it has faults, so that `then` may name it.
type Identified = (String, Option<Prohibition>);

fn read_prohibitions(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>, named: &mut Vec<Text>) -> Vec<Identified> {
    let mut prohibitions: Vec<Identified> = Vec::new();
    for mut table in keys.tables(sheet, "prohibition", "[[prohibition]]") {
        let id = table.id(sheet, "id");
        let title = table.text(sheet, "title");
        let validity = read_validity(sheet, &mut table);
        let basis = table.text(sheet, "basis");
        let verification = table.word(sheet, "verification", &VERIFICATIONS);
        let services = read_services(sheet, &mut table, named);
        table.finish(sheet);
        let Some(id) = id else { continue };
        if id.text == NOTED || prohibitions.iter().any(|(earlier, _)| *earlier == id.text) {
            let what = format!("{} is taken as the id of a prohibition", quote(&id.text));
            sheet.fault(&id.span, what, "give each prohibition an id of its own, other than \"noted\"");
        }
        let prohibition = match (title, validity, basis, verification, services) {
            (Some(title), Some(validity), Some(basis), Some(verification), Some(services)) => Some(Prohibition {
                id: id.text.clone(),
                title: title.text,
                validity,
                basis: basis.text,
                verification,
                services,
            }),
            _ => None,
        };
        prohibitions.push((id.text, prohibition));
    }
    prohibitions
}

fn read_validity(sheet: &mut Sheet<'_>, table: &mut Keys<'_, '_>) -> Option<Validity> {
    let from = table.instant(sheet, "from");
    let until = table.optional_instant(sheet, "until");
    let span: Range<usize> = table.span.clone();
    match Validity::new(from?, until) {
        Ok(validity) => Some(validity),
        Err(_) => {
            sheet.fault(&span, "`until` is not after `from`", "let the prohibition end after it begins, or never");
            None
        }
    }
}

/// What `then` says where nothing follows.
const NOTED: &str = "noted";

fn read_then(sheet: &mut Sheet<'_>, then: &Text, prohibitions: &[Identified]) -> Option<Then> {
    if then.text == NOTED {
        return Some(Then::Noted);
    }
    // A position counts only where every prohibition could be read; otherwise the order is not used at all.
    let position = prohibitions.iter().position(|(id, _)| *id == then.text);
    if position.is_none() {
        let ids: Vec<_> = prohibitions.iter().map(|(id, _)| format!("\"{id}\"")).collect();
        let what = format!("{} is not a prohibition of this order", quote(&then.text));
        sheet.fault(&then.span, what, format!("write \"noted\" or one of {}", ids.join(", ")));
    }
    position.map(Then::Prohibited)
}
