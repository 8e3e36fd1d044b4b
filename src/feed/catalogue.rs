//! Catalogue files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::fault::quote;
use super::sheet::{Keys, Sheet, Text};
use crate::message::Name;
use crate::policy::{Catalogue, Confidence, Entry, Matching, Pattern, Service};

/// The most names that all patterns of one catalogue may stand for together. A name takes some 300 octets of memory,
/// and a file of a few lines must not be able to take all of it.
const MAX_NAMES: usize = 250_000;

const MATCHINGS: [(&str, Matching); 4] = [
    ("exact", Matching::Exact),
    ("suffix", Matching::Suffix),
    ("pattern", Matching::Pattern),
    ("network", Matching::Network),
];
const CONFIDENCES: [(&str, Confidence); 3] =
    [("high", Confidence::High), ("medium", Confidence::Medium), ("low", Confidence::Low)];

/// A catalogue file as far as it could be read.
#[derive(Debug)]
pub(super) struct ReadCatalogue {
    pub(super) id: Option<Text>,
    pub(super) version: Option<u64>,
    pub(super) services: Vec<Service>,
    /// None where the file has faults.
    pub(super) catalogue: Option<Catalogue>,
}

pub(super) fn read(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>) -> ReadCatalogue {
    let id = keys.id(sheet, "id");
    let version = keys.optional_version(sheet);
    let vendor = keys.text(sheet, "vendor");
    let title = keys.text(sheet, "title");
    let revised = keys.date(sheet, "revised");
    let example = keys.optional_text(sheet, "example").and_then(|text| read_example(sheet, &text));
    let suffixes = keys.optional_texts(sheet, "public_suffixes");
    let titles = keys.titles(sheet, "services").unwrap_or_default();
    let services: Vec<_> = titles.into_iter().map(|(id, title)| Service { id, title: title.text }).collect();
    let mut ground = Ground::new(sheet, &suffixes, &services);
    let tables = keys.tables(sheet, "entry", "[[entry]]");
    if tables.is_empty() {
        sheet.fault(&keys.span, "the catalogue has no `[[entry]]`", "add at least one entry");
    }
    let mut names = 0;
    let mut entries = Vec::new();
    for mut table in tables {
        let entry = read_entry(sheet, &mut table, &mut ground);
        let span = table.span.clone();
        table.finish(sheet);
        let Some(entry) = entry else { continue };
        names += match &entry.pattern {
            Pattern::Network(_) => 1,
            pattern => pattern.names().len() + pattern.globs().len(),
        };
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
            example,
            services: services.clone(),
            entries,
        }),
        _ => None,
    };
    ReadCatalogue { id, version, services, catalogue }
}

fn read_example(sheet: &mut Sheet<'_>, text: &Text) -> Option<Name> {
    let name = text.text.parse();
    if let Err(error) = &name {
        let what = format!("{} is not a domain name: {error}", quote(&text.text));
        sheet.fault(&text.span, what, "write a listed name that people can try");
    }
    name.ok()
}

/// What entries are read against.
struct Ground {
    services: BTreeMap<String, usize>,
    suffixes: Vec<String>,
    suffix_names: BTreeSet<Name>,
    /// Line of each entry so far, by its name and matching.
    lines: BTreeMap<(String, &'static str), usize>,
}

impl Ground {
    /// Faulty suffixes are told and left out, so that patterns do not fail for them again.
    fn new(sheet: &mut Sheet<'_>, suffixes: &[Text], services: &[Service]) -> Self {
        let services = services.iter().enumerate().map(|(at, service)| (service.id.clone(), at)).collect();
        let (suffix_names, lines) = (BTreeSet::new(), BTreeMap::new());
        let mut ground = Self { services, suffixes: Vec::new(), suffix_names, lines };
        for suffix in suffixes {
            let quoted = quote(&suffix.text);
            let fault = match suffix.text.parse::<Name>() {
                Ok(name) if !name.is_root() && suffix.text.bytes().all(|octet| is_host(octet) && octet != b'*') => {
                    ground.suffixes.push(suffix.text.clone());
                    ground.suffix_names.insert(name);
                    continue;
                }
                Ok(_) => format!("{quoted} is not a public suffix"),
                Err(error) => format!("{quoted} is not a domain name: {error}"),
            };
            sheet.fault(&suffix.span, fault, "write a public suffix such as \"com\" or \"co.uk\"");
        }
        ground
    }
}

const fn is_host(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'*')
}

fn read_entry(sheet: &mut Sheet<'_>, table: &mut Keys<'_, '_>, ground: &mut Ground) -> Option<Entry> {
    let text = table.text(sheet, "name");
    let matching = table.word(sheet, "match", &MATCHINGS);
    let service = table.text(sheet, "service").and_then(|service| find_service(sheet, &service, &ground.services));
    let confidence = table.word(sheet, "confidence", &CONFIDENCES);
    let evidence = table.texts(sheet, "evidence");
    let note = table.optional_text(sheet, "note");
    let (text, matching) = (text?, matching?);
    let pattern = match Pattern::parse(&text.text, matching, &ground.suffixes) {
        Ok(pattern) => pattern,
        Err(error) => {
            let kind = if matching == Matching::Network { "network" } else { "name or pattern" };
            let what = format!("{} is not a {kind}: {error}", quote(&text.text));
            sheet.fault(&text.span, what, "see blocklists/README.md on how entries match");
            return None;
        }
    };
    check_host(sheet, &text, &pattern);
    check_reach(sheet, &text, &pattern, &ground.suffix_names);
    let key = (spelling(&text.text, &pattern), matching.as_str());
    if let Some(first) = ground.lines.insert(key, sheet.line(text.span.start)) {
        let what = format!("{} is listed twice, first in line {first}", quote(&text.text));
        sheet.fault(&text.span, what, "keep one of the two");
    }
    let evidence = evidence?.into_iter().map(|source| source.text).collect();
    let (service, confidence) = (service?, confidence?);
    Some(Entry { text: text.text, pattern, service, confidence, evidence, note: note.map(|note| note.text) })
}

fn find_service(sheet: &mut Sheet<'_>, service: &Text, services: &BTreeMap<String, usize>) -> Option<usize> {
    let found = services.get(&service.text).copied();
    if found.is_none() {
        let known: Vec<_> = services.keys().map(String::as_str).collect();
        let what = format!("{} is not in `[services]`", quote(&service.text));
        sheet.fault(&service.span, what, format!("the services are {}", known.join(", ")));
    }
    found
}

/// The DNS allows any octet in a name, but an address, a URL or a blank in a catalogue is a slip that would never match.
fn check_host(sheet: &mut Sheet<'_>, text: &Text, pattern: &Pattern) {
    let quoted = quote(&text.text);
    if matches!(pattern, Pattern::Network(_)) {
        return;
    }
    if !text.text.bytes().all(|octet| is_host(octet) || b"{},".contains(&octet)) {
        let remedy = "write the name alone, in letters, digits, hyphens and underscores";
        sheet.fault(&text.span, format!("{quoted} is not the name of a host or zone"), remedy);
    } else if text.text.parse::<IpAddr>().is_ok() {
        sheet.fault(&text.span, format!("{quoted} is an address"), "write a name, or match = \"network\"");
    } else if pattern.names().iter().any(Name::is_root) {
        sheet.fault(&text.span, format!("{quoted} is the root"), "write a name below it");
    }
}

/// A catalogue that knows `co.uk` as a public suffix must not claim all of it.
fn check_reach(sheet: &mut Sheet<'_>, text: &Text, pattern: &Pattern, public_suffixes: &BTreeSet<Name>) {
    let claimed = match pattern {
        Pattern::Suffix(name) => public_suffixes.contains(name),
        Pattern::Exact(_) | Pattern::Network(_) => false,
        Pattern::Pattern { globs, .. } => globs.iter().any(|glob| public_suffixes.contains(glob.tail())),
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
        Pattern::Network(network) => network.to_string(),
    }
}
