//! Response policy zones (draft-vixie-dnsop-dns-rpz-00): a policy written as a zone, with triggers for names and actions for
//! data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::gather::{Gathered, Networks};
use super::super::index::Scope;
use super::super::rule::{Action, Alias, Choice, Local, LocalRecord};
use crate::message::{Name, RecordType};
use crate::zones::{TextRecord, each_record};

pub(super) use crate::zones::TextRecord as Record;

/// Types that mean the policy zone itself, or that no answer of ours can hold (section 3 of the draft).
const NO_LOCAL: &[RecordType] = &[RecordType::NS, RecordType::SOA, RecordType::DNAME];

pub(super) fn parse(text: &str, gathered: &mut Gathered) {
    // Most such zones are written relative to an origin that only a server's configuration knows; then the root will do.
    let mut apex: Option<Name> = None;
    each_record(&Name::root(), text, |line, text, record| {
        let taken = record.and_then(|record| match (&apex, record.record_type) {
            (None, RecordType::SOA) => {
                apex = Some(record.name);
                Ok(())
            }
            (None, _) => Err("the first record of a policy zone is its SOA".to_owned()),
            (Some(apex), RecordType::SOA | RecordType::NS) if *apex == record.name => Ok(()),
            (Some(apex), _) => take(record, apex, gathered),
        });
        if let Err(reason) = taken {
            gathered.refuse(line, text, reason);
        }
    });
}

/// What a record of the zone is about.
enum Trigger {
    Name(Box<Name>, Scope),
    Client(IpNet),
    Answer(IpNet),
}

fn take(record: TextRecord, apex: &Name, gathered: &mut Gathered) -> Result<(), String> {
    let trigger = trigger_of(&record.name, apex)?;
    let TextRecord { name: _, record_type, ttl, data } = record;
    if NO_LOCAL.contains(&record_type) {
        return Err(format!("a policy zone has no {record_type} records but those of its own name"));
    }
    if u16::try_from(data.len()).is_err() {
        return Err("the data are longer than 65535 octets".to_owned());
    }
    let alias = alias_of(record_type, &data, ttl);
    let action = alias.as_ref().map(|alias| action_of(alias, &trigger)).transpose()?.flatten();
    match (trigger, action, alias) {
        (Trigger::Name(name, scope), Some(action), _) => gathered.rule(&name, scope, Choice::plain(action)),
        (Trigger::Name(name, scope), None, Some(alias)) => gathered.alias(&name, scope, alias),
        (Trigger::Name(name, scope), None, None) => {
            gathered.record(&name, scope, LocalRecord { record_type: record_type.0, ttl, data })
        }
        (Trigger::Client(network), action, alias) => {
            let record = LocalRecord { record_type: record_type.0, ttl, data };
            add_network(&mut gathered.clients, network, action, alias, record)
        }
        (Trigger::Answer(network), action, alias) => {
            let record = LocalRecord { record_type: record_type.0, ttl, data };
            add_network(&mut gathered.answers, network, action, alias, record)
        }
    }
}

/// Says what of an address; records of one network come one by one.
fn add_network(
    networks: &mut Networks,
    network: IpNet,
    action: Option<Action>,
    alias: Option<Alias>,
    record: LocalRecord,
) -> Result<(), String> {
    let local = |records, alias| Action::Local(Box::new(Local { records, alias }));
    let action = match (action, alias) {
        (Some(action), _) => action,
        (None, Some(alias)) => local(Vec::new(), Some(alias)),
        (None, None) => local(vec![record], None),
    };
    match (networks.get_mut(&network).map(|choice| &mut choice.action), action) {
        (None, action) => drop(networks.insert(network, Choice::plain(action))),
        (Some(Action::Local(known)), Action::Local(more)) if known.alias.is_none() && more.alias.is_none() => {
            known.records.extend(more.records);
        }
        (Some(known), action) if *known == action => {}
        (Some(_), _) => return Err("something else was said of this network before".to_owned()),
    }
    Ok(())
}

/// Reads the owner of a record (sections 4.1 to 4.3 of the draft).
fn trigger_of(owner: &Name, apex: &Name) -> Result<Trigger, String> {
    if !owner.is_at_or_below(apex) {
        return Err(format!("{owner} does not belong to the zone {apex}"));
    }
    let own = owner.label_count() - apex.label_count();
    let labels: Vec<&[u8]> = owner.labels().take(own).collect();
    match labels.split_last() {
        None => Err("the zone's own name has an SOA and NS records only".to_owned()),
        Some((&b"rpz-client-ip", network)) => Ok(Trigger::Client(network_of(network)?)),
        Some((&b"rpz-ip", network)) => Ok(Trigger::Answer(network_of(network)?)),
        Some((&(b"rpz-nsdname" | b"rpz-nsip"), _)) => {
            Err("triggers on name servers need a resolver that asks them itself; this one forwards".to_owned())
        }
        Some((last, _)) if last.starts_with(b"rpz-") => Err("a trigger of this kind is not known".to_owned()),
        Some(_) => {
            let (scope, labels) = match labels.split_first() {
                Some((&b"*", rest)) => (Scope::Below, rest),
                // As in any zone, a name that exists is not below a wildcard above it, nor is what is below it.
                _ => (Scope::Node, &labels[..]),
            };
            Ok(Trigger::Name(Box::new(name_of(labels)?), scope))
        }
    }
}

fn name_of(labels: &[&[u8]]) -> Result<Name, String> {
    let mut wire = Vec::new();
    for label in labels {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    Name::from_wire(&wire).map_err(|_| "the name is too long".to_owned())
}

/// Returns the action that an alias stands for (section 5 of the draft), or `None` where it is local data.
fn action_of(alias: &Alias, trigger: &Trigger) -> Result<Option<Action>, String> {
    let target = &alias.target;
    if target.is_root() {
        return Ok(Some(if alias.prepend { Action::Nodata } else { Action::Nxdomain }));
    }
    // The first way to let a name pass, from before there was a word for it.
    if let Trigger::Name(name, Scope::Node) = trigger
        && !alias.prepend
        && **name == *target
    {
        return Ok(Some(Action::Pass));
    }
    if target.label_count() > 1 {
        return Ok(None);
    }
    match target.labels().next().unwrap_or_default() {
        b"rpz-passthru" => Ok(Some(Action::Pass)),
        b"rpz-drop" => Ok(Some(Action::Drop)),
        b"rpz-tcp-only" => Ok(Some(Action::TcpOnly)),
        label if label.starts_with(b"rpz-") => Err(format!("the action {target} is not known")),
        _ => Ok(None),
    }
}

/// Returns the alias that the data of a CNAME record are, its wildcard told apart.
pub(super) fn alias_of(record_type: RecordType, data: &[u8], ttl: u32) -> Option<Alias> {
    if record_type != RecordType::CNAME {
        return None;
    }
    match data.strip_prefix(b"\x01*") {
        Some(rest) => Name::from_wire(rest).ok().map(|target| Alias { ttl, target, prepend: true }),
        None => Name::from_wire(data).ok().map(|target| Alias { ttl, target, prepend: false }),
    }
}

/// Reads one record as zone files write it, its name absolute with or without the final dot.
pub(super) fn single_record(text: &str) -> Result<TextRecord, String> {
    let mut found = None;
    each_record(&Name::root(), text, |_, _, record| match &mut found {
        None => found = Some(record),
        Some(_) => found = Some(Err("one record is expected".to_owned())),
    });
    found.unwrap_or_else(|| Err("a record is expected: NAME TYPE DATA".to_owned()))
}

fn network_of(labels: &[&[u8]]) -> Result<IpNet, String> {
    let labels: Option<Vec<&str>> = labels.iter().map(|label| std::str::from_utf8(label).ok()).collect();
    network_of_labels(&labels.unwrap_or_default())
}

/// Reads a network from the labels before `rpz-ip` or `rpz-client-ip` (section 4.1.1 of the draft): the length of its
/// prefix, then the parts of the address from the last to the first.
///
/// # Errors
/// Where they are no network, or bits stand behind the prefix.
pub fn network_of_labels(labels: &[&str]) -> Result<IpNet, String> {
    const SHAPE: &str = "write a network as 24.0.2.0.192 for 192.0.2.0/24, or 48.zz.db8.2001 for 2001:db8::/48";
    let (prefix, parts) = labels.split_first().ok_or(SHAPE)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let prefix: u8 = prefix.parse().ok().filter(|_| digits(prefix)).ok_or(SHAPE)?;
    let address: IpAddr = match parts {
        [d, c, b, a] if [a, b, c, d].into_iter().all(|part| digits(part)) => {
            format!("{a}.{b}.{c}.{d}").parse::<Ipv4Addr>().map_err(|_| SHAPE)?.into()
        }
        parts => v6_of(parts).ok_or(SHAPE)?.into(),
    };
    let network = IpNet::new(address, prefix).map_err(|_| "the prefix is longer than the address")?;
    match network.trunc().addr() == network.addr() {
        true => Ok(network),
        false => Err(format!("bits stand behind the prefix: {network} should be {}", network.trunc())),
    }
}

/// Reads the words of an IPv6 address from the last to the first, with `zz` in place of a run of zeros.
fn v6_of(parts: &[&str]) -> Option<Ipv6Addr> {
    let zeros = 9usize.checked_sub(parts.len())?;
    let mut words = Vec::with_capacity(8);
    for part in parts {
        match *part {
            "zz" => words.extend(std::iter::repeat_n(0, zeros)),
            hex if (1..=4).contains(&hex.len()) && !hex.starts_with('+') => {
                words.push(u16::from_str_radix(hex, 16).ok()?)
            }
            _ => return None,
        }
    }
    words.reverse();
    Some(Ipv6Addr::from(<[u16; 8]>::try_from(words).ok()?))
}

/// Writes a network as the labels that stand before `rpz-ip` or `rpz-client-ip`.
pub fn network_to_labels(network: &IpNet) -> String {
    let prefix = network.prefix_len();
    match network.addr() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{prefix}.{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let words: Vec<String> = v6.segments().iter().rev().map(|word| format!("{word:x}")).collect();
            format!("{prefix}.{}", words.join("."))
        }
    }
}
