//! Catalogue files.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::fault::quote;
use super::sheet::{Keys, Sheet, Text};
use crate::message::Name;
use crate::policy::{Catalogue, Confidence, Entry, Matching, Pattern, Service};

/// The most names that all patterns of one catalogue may stand for together. A name takes some 300 octets of memory,
/// and a file of a few lines must not be able to take all of it.
const MAX_NAMES: usize = 250_000;

const MATCHINGS: [(&str, Matching); 3] =
    [("exact", Matching::Exact), ("suffix", Matching::Suffix), ("pattern", Matching::Pattern)];
const CONFIDENCES: [(&str, Confidence); 3] =
    [("high", Confidence::High), ("medium", Confidence::Medium), ("low", Confidence::Low)];

/// A catalogue file as far as it could be read.
#[derive(Debug)]
pub(super) struct ReadCatalogue {
    pub(super) id: Option<Text>,
    pub(super) services: Vec<Service>,
    /// None where the file has faults.
    pub(super) catalogue: Option<Catalogue>,
}

pub(super) fn read(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>) -> ReadCatalogue {
    let id = keys.id(sheet, "id");
    let vendor = keys.text(sheet, "vendor");
    let title = keys.text(sheet, "title");
    let revised = keys.date(sheet, "revised");
    let public_suffixes = keys.optional_texts(sheet, "public_suffixes");
    check_suffixes(sheet, &public_suffixes);
    let public_suffixes: Vec<_> = public_suffixes.into_iter().map(|suffix| suffix.text).collect();
    let services: Vec<_> = keys.titles(sheet, "services").unwrap_or_default();
    let services: Vec<_> = services.into_iter().map(|(id, title)| Service { id, title: title.text }).collect();
    let tables = keys.tables(sheet, "entry", "[[entry]]");
    if tables.is_empty() {
        sheet.fault(&keys.span, "the catalogue has no `[[entry]]`", "add at least one entry");
    }
    let mut seen = BTreeMap::new();
    let mut names = 0;
    let mut entries = Vec::new();
    for mut table in tables {
        let entry = read_entry(sheet, &mut table, &services, &public_suffixes, &mut seen);
        let span = table.span.clone();
        table.finish(sheet);
        let Some(entry) = entry else { continue };
        names += entry.pattern.names().len() + entry.pattern.globs().len();
        if names > MAX_NAMES {
            let text = format!("with this entry the catalogue stands for more than {MAX_NAMES} names");
            sheet.fault(&span, text, "use suffixes, or `*`, instead of long ranges");
            break;
        }
        entries.push(entry);
    }
    let catalogue = match (&id, vendor, title, revised) {
        (Some(id), Some(vendor), Some(title), Some(revised)) => Some(Catalogue {
            id: id.text.clone(),
            vendor: vendor.text,
            title: title.text,
            revised,
            services: services.clone(),
            entries,
        }),
        _ => None,
    };
    ReadCatalogue { id, services, catalogue }
}

fn check_suffixes(sheet: &mut Sheet<'_>, suffixes: &[Text]) {
    for suffix in suffixes {
        let remedy = "write a public suffix such as \"com\" or \"co.uk\"";
        let quoted = quote(&suffix.text);
        match suffix.text.parse::<Name>() {
            _ if suffix.text.contains(['*', '{', '}']) => {
                sheet.fault(&suffix.span, format!("{quoted} is not a public suffix"), remedy);
            }
            Ok(name) if name.is_root() => sheet.fault(&suffix.span, format!("{quoted} is the root"), remedy),
            Ok(_) => {}
            Err(error) => sheet.fault(&suffix.span, format!("{quoted} is not a domain name: {error}"), remedy),
        }
    }
}

fn read_entry(
    sheet: &mut Sheet<'_>,
    table: &mut Keys<'_, '_>,
    services: &[Service],
    public_suffixes: &[String],
    seen: &mut BTreeMap<(String, &'static str), usize>,
) -> Option<Entry> {
    let text = table.text(sheet, "name");
    let matching = table.word(sheet, "match", &MATCHINGS);
    let service = table.text(sheet, "service").and_then(|service| find_service(sheet, &service, services));
    let confidence = table.word(sheet, "confidence", &CONFIDENCES);
    let evidence = table.texts(sheet, "evidence");
    let note = table.optional_text(sheet, "note");
    let (text, matching) = (text?, matching?);
    let pattern = match Pattern::parse(&text.text, matching, public_suffixes) {
        Ok(pattern) => pattern,
        Err(error) => {
            let what = format!("{} is not a name or pattern: {error}", quote(&text.text));
            sheet.fault(&text.span, what, "see blocklists/README.md on how entries match");
            return None;
        }
    };
    check_host(sheet, &text, &pattern);
    check_reach(sheet, &text, &pattern, public_suffixes);
    let key = (spelling(&text.text, &pattern), matching.as_str());
    if let Some(first) = seen.insert(key, sheet.line(text.span.start)) {
        let what = format!("{} is listed twice, first in line {first}", quote(&text.text));
        sheet.fault(&text.span, what, "keep one of the two");
    }
    let evidence = evidence?.into_iter().map(|source| source.text).collect();
    let (service, confidence) = (service?, confidence?);
    Some(Entry { text: text.text, pattern, service, confidence, evidence, note: note.map(|note| note.text) })
}

fn find_service(sheet: &mut Sheet<'_>, service: &Text, services: &[Service]) -> Option<usize> {
    let found = services.iter().position(|of| of.id == service.text);
    if found.is_none() {
        let known: Vec<_> = services.iter().map(|service| service.id.as_str()).collect();
        let what = format!("{} is not in `[services]`", quote(&service.text));
        sheet.fault(&service.span, what, format!("the services are {}", known.join(", ")));
    }
    found
}

/// The DNS allows any octet in a name, but an address, a URL or a blank in a catalogue is a slip that would never match.
fn check_host(sheet: &mut Sheet<'_>, text: &Text, pattern: &Pattern) {
    let quoted = quote(&text.text);
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.*{},".contains(&octet);
    if !text.text.bytes().all(is_host) {
        let remedy = "write the name alone, in letters, digits, hyphens and underscores";
        sheet.fault(&text.span, format!("{quoted} is not the name of a host or zone"), remedy);
    } else if text.text.parse::<IpAddr>().is_ok() {
        sheet.fault(&text.span, format!("{quoted} is an address"), "write a name");
    } else if pattern.names().iter().any(Name::is_root) {
        sheet.fault(&text.span, format!("{quoted} is the root"), "write a name below it");
    }
}

/// A catalogue that knows `co.uk` as a public suffix must not claim all of it.
fn check_reach(sheet: &mut Sheet<'_>, text: &Text, pattern: &Pattern, public_suffixes: &[String]) {
    let is_public =
        |name: &Name| public_suffixes.iter().any(|suffix| suffix.parse::<Name>().is_ok_and(|suffix| suffix == *name));
    let claimed = match pattern {
        Pattern::Suffix(name) => is_public(name),
        Pattern::Exact(_) => false,
        Pattern::Pattern { globs, .. } => globs.iter().any(|glob| is_public(glob.tail())),
    };
    if claimed {
        let what = format!("{} would cover a whole public suffix", quote(&text.text));
        sheet.fault(&text.span, what, "name at least one label in front of it");
    }
}

/// Returns one spelling for all spellings of the same name or pattern.
fn spelling(text: &str, pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(name) | Pattern::Suffix(name) => name.to_string(),
        Pattern::Pattern { .. } => text.to_ascii_lowercase(),
    }
}
