//! The lines of Unbound's configuration by which names are withheld or given records.

use std::collections::BTreeMap;

use super::super::gather::Gathered;
use super::super::index::Scope;
use super::super::rule::{Action, Choice, LocalRecord};
use super::rpz;
use crate::message::Name;

/// How the names of a zone are answered that have no record of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// As if the zone were not there.
    Open,
    /// With the records of the zone's own name.
    Redirected,
    /// With this.
    Closed(Closed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Nxdomain,
    Nodata,
    Null,
    Refused,
    Drop,
    Pass,
}

pub(super) fn parse(text: &str, gathered: &mut Gathered) {
    let mut zones: BTreeMap<Name, Rest> = BTreeMap::new();
    let mut data: Vec<(usize, &str)> = Vec::new();
    super::each_line(text, gathered, |line, _| {
        let line = comment_cut(line);
        if line.is_empty() || line == "server:" {
            return Ok(());
        }
        let (key, value) = line.split_once(':').ok_or("only local-zone: and local-data: are lists")?;
        match key.trim() {
            "local-zone" => {
                let (name, rest) = zone(value.trim())?;
                zones.insert(name, rest);
                Ok(())
            }
            // Read below, when all zones are known.
            "local-data" => Ok(()),
            other => Err(format!("`{other}:` is no line of a list; local-zone: and local-data: are")),
        }
    });
    for (index, line) in text.lines().enumerate() {
        let line = comment_cut(line.trim());
        if let Some(value) = line.strip_prefix("local-data:") {
            data.push((index + 1, value.trim()));
        }
    }
    for (line, value) in data {
        if let Err(reason) = record(value, &zones, gathered) {
            gathered.refuse(line, value, reason);
        }
    }
    for (name, rest) in &zones {
        let action = match rest {
            Rest::Open | Rest::Redirected => continue,
            Rest::Closed(Closed::Nxdomain) => Action::Block,
            Rest::Closed(Closed::Nodata) => Action::Nodata,
            Rest::Closed(Closed::Null) => Action::null(),
            Rest::Closed(Closed::Refused) => Action::Refused,
            Rest::Closed(Closed::Drop) => Action::Drop,
            Rest::Closed(Closed::Pass) => Action::Pass,
        };
        // Behind the records: a name that has some is answered with them, as the zone's own is.
        if let Err(reason) = gathered.rule(name, Scope::Both, Choice { turn: 1, ..Choice::plain(action) }) {
            gathered.refuse(0, "", reason);
        }
    }
}

fn comment_cut(line: &str) -> &str {
    let mut quoted = None;
    for (at, octet) in line.bytes().enumerate() {
        match (octet, quoted) {
            (b'#', None) => return line[..at].trim_end(),
            (b'"' | b'\'', None) => quoted = Some(octet),
            (octet, Some(quote)) if octet == quote => quoted = None,
            _ => {}
        }
    }
    line
}

/// Reads `"NAME" TYPE`.
fn zone(value: &str) -> Result<(Name, Rest), String> {
    const SHAPE: &str = "a name and a type must follow: local-zone: \"NAME\" always_nxdomain";
    let (name, kind) = value.rsplit_once([' ', '\t']).ok_or(SHAPE)?;
    let name = name.trim().trim_matches(['"', '\'']);
    let rest = match kind.trim_matches(['"', '\'']) {
        "always_nxdomain" | "static" => Rest::Closed(Closed::Nxdomain),
        "always_nodata" => Rest::Closed(Closed::Nodata),
        "always_null" => Rest::Closed(Closed::Null),
        "refuse" | "always_refuse" => Rest::Closed(Closed::Refused),
        "deny" | "always_deny" => Rest::Closed(Closed::Drop),
        "always_transparent" => Rest::Closed(Closed::Pass),
        "transparent" | "typetransparent" => Rest::Open,
        "redirect" => Rest::Redirected,
        other => return Err(format!("the type `{other}` is not supported")),
    };
    match name {
        "." => Ok((Name::root(), rest)),
        name => Ok((super::name(name)?, rest)),
    }
}

/// Reads `"NAME [TTL] [IN] TYPE DATA"`, as in a zone file.
fn record(value: &str, zones: &BTreeMap<Name, Rest>, gathered: &mut Gathered) -> Result<(), String> {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let text = quoted('"').or_else(|| quoted('\'')).ok_or("the record must stand in quotes")?;
    let rpz::Record { name, record_type, ttl, data } = rpz::single_record(text)?;
    let zone = name.suffixes().find_map(|wire| zones.get(wire).map(|rest| (wire == name.as_wire(), *rest)));
    let scope = match zone {
        Some((true, Rest::Redirected)) => Scope::Both,
        Some((false, Rest::Redirected)) => return Err("in a redirected zone only its own name has records".to_owned()),
        Some((_, Rest::Closed(closed)))
            if closed != Closed::Nxdomain && closed != Closed::Refused && closed != Closed::Drop =>
        {
            return Err("its zone is of a type that takes no records".to_owned());
        }
        Some((_, Rest::Open | Rest::Closed(_))) | None => Scope::Exact,
    };
    match rpz::alias_of(record_type, &data, ttl) {
        Some(alias) => gathered.alias(&name, scope, alias),
        None => gathered.record(&name, scope, LocalRecord { record_type: record_type.0, ttl, data }),
    }
}
