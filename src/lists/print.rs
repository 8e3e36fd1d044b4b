//! From rules to the text of a list, in each format that can say them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::index::Scope;
use super::parse::{Format, OWN, TURNS, is_null, network_to_labels};
use super::rule::{Action, Alias, Choice, Condition, LOCAL_TTL, Local, LocalRecord};
use crate::message::{Name, RecordType};

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    Name(Box<Name>, Scope),
    /// A network of clients.
    Client(IpNet),
    /// A network that an address of the answer is in.
    Answer(IpNet),
}

/// Returns what stands before all rules of a format, with its line feed.
pub const fn heading(format: Format) -> &'static str {
    match format {
        Format::Rpz => "$TTL 300\n@ SOA localhost. nobody.invalid. 1 3600 600 86400 300\n@ NS localhost.\n",
        Format::Unbound => "server:\n",
        Format::Hosts | Format::Domains | Format::Suffixes | Format::Adblock | Format::Dnsmasq => "",
    }
}

/// Writes a rule as lines of a format, each with its line feed; `None` where the format cannot say it. Whatever is written is read
/// as the same rule; two rules for names one above the other mean the same in another format only where that one goes by
/// the longest too.
pub fn print(format: Format, trigger: &Trigger, choice: &Choice) -> Option<String> {
    match (format, trigger) {
        (Format::Rpz, trigger) => rpz(trigger, choice),
        (_, Trigger::Client(_) | Trigger::Answer(_)) => None,
        // The root stands for everything; only formats with a word for it can say so.
        (Format::Unbound, Trigger::Name(name, scope)) => unbound(name, *scope, choice),
        (_, Trigger::Name(name, _)) if name.is_root() => None,
        (Format::Adblock, Trigger::Name(name, scope)) => adblock(name, *scope, choice),
        (Format::Dnsmasq, Trigger::Name(name, scope)) => dnsmasq(name, *scope, choice),
        (Format::Hosts, Trigger::Name(name, scope)) => hosts(name, *scope, choice),
        (Format::Domains, Trigger::Name(name, scope)) => match (scope, *choice == Choice::plain(Action::Block)) {
            (Scope::Exact, true) => Some(format!("{}\n", written(name))),
            (Scope::Below, true) => Some(format!("*.{}\n", written(name))),
            (Scope::Both, true) => Some(format!("{0}\n*.{0}\n", written(name))),
            (Scope::Node, _) | (_, false) => None,
        },
        (Format::Suffixes, Trigger::Name(name, scope)) => {
            let says = *scope == Scope::Both && *choice == Choice::plain(Action::Block);
            says.then(|| format!("{}\n", written(name)))
        }
    }
}

/// Returns the rules by which another format says what this one says: what is withheld there is answered with NXDOMAIN, and what
/// has no word for a name with all below it gets two rules.
pub fn translate(format: Format, trigger: Trigger, choice: &Choice) -> Vec<(Trigger, Choice)> {
    let Trigger::Name(name, scope) = trigger else { return vec![(trigger, choice.clone())] };
    let Choice { action, turn: _, condition } = choice.clone();
    let is_record = matches!(action, Action::Local(_)) && action != Action::null();
    let (action, turn) = match (format, action) {
        (Format::Rpz, Action::Block) => (Action::Nxdomain, 0),
        (Format::Unbound | Format::Hosts | Format::Domains | Format::Suffixes | Format::Dnsmasq, Action::Nxdomain) => {
            (Action::Block, u8::from(format == Format::Unbound))
        }
        (Format::Unbound, action) => (action, u8::from(!is_record)),
        (Format::Adblock, Action::Nxdomain | Action::Block) => (Action::Block, TURNS[0][0]),
        (Format::Adblock, Action::Pass) => (Action::Pass, TURNS[0][1]),
        (_, action) => (action, 0),
    };
    let scopes: &[Scope] = match (format, scope) {
        (Format::Rpz, Scope::Both) => &[Scope::Node, Scope::Below],
        (Format::Rpz, Scope::Exact | Scope::Node) => &[Scope::Node],
        (_, Scope::Node | Scope::Exact) => &[Scope::Exact],
        (_, Scope::Below) => &[Scope::Below],
        (_, Scope::Both) => &[Scope::Both],
    };
    let rule = |scope: &Scope| {
        let choice = Choice { action: action.clone(), turn, condition: condition.clone() };
        (Trigger::Name(name.clone(), *scope), choice)
    };
    scopes.iter().map(rule).collect()
}

/// Returns a name as every format reads it: what names of hosts do not have is escaped, and so is what would be taken for
/// an address, or for a name that systems have in their own hosts files.
fn written(name: &Name) -> String {
    let mut text = String::new();
    for label in name.labels() {
        for octet in label {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(*octet)),
                _ => escape(*octet, &mut text),
            }
        }
        text.push('.');
    }
    text.pop();
    let last = text.rsplit('.').next().unwrap_or_default();
    if OWN.contains(&text.as_str()) || !text.starts_with('\\') && last.bytes().all(|octet| octet.is_ascii_digit()) {
        let rest = text.split_off(1);
        let first = std::mem::take(&mut text);
        first.bytes().for_each(|octet| escape(octet, &mut text));
        text.push_str(&rest);
    }
    text
}

fn escape(octet: u8, text: &mut String) {
    write!(text, "\\{octet:03}").expect("a text takes whatever is written to it");
}

/// Returns the addresses that a choice gives, where it gives nothing else and says it as lists without TTLs do.
fn addresses(choice: &Choice) -> Option<Vec<IpAddr>> {
    let Choice { action: Action::Local(local), turn: 0, condition } = choice else { return None };
    let Local { records, alias: None } = &**local else { return None };
    let address = |record: &LocalRecord| match (RecordType(record.record_type), record.ttl) {
        (RecordType::A, LOCAL_TTL) => {
            <[u8; 4]>::try_from(&record.data[..]).ok().map(|octets| Ipv4Addr::from(octets).into())
        }
        (RecordType::AAAA, LOCAL_TTL) => {
            <[u8; 16]>::try_from(&record.data[..]).ok().map(|octets| Ipv6Addr::from(octets).into())
        }
        _ => None,
    };
    let addresses: Option<Vec<IpAddr>> = records.iter().map(address).collect();
    addresses.filter(|all| condition.is_empty() && !all.is_empty() && !all.iter().any(|address| is_null(*address)))
}

fn hosts(name: &Name, scope: Scope, choice: &Choice) -> Option<String> {
    let name = written(name);
    match (scope, *choice == Choice::plain(Action::Block)) {
        (Scope::Exact, true) => Some(format!("0.0.0.0 {name}\n")),
        (Scope::Exact, false) => Some(addresses(choice)?.iter().map(|address| format!("{address} {name}\n")).collect()),
        (Scope::Below | Scope::Both | Scope::Node, _) => None,
    }
}

fn dnsmasq(name: &Name, scope: Scope, choice: &Choice) -> Option<String> {
    let name = written(name);
    if scope != Scope::Both || choice.turn != 0 || !choice.condition.is_empty() {
        return None;
    }
    match &choice.action {
        Action::Block => Some(format!("address=/{name}/\n")),
        Action::Pass => Some(format!("server=/{name}/#\n")),
        action if *action == Action::null() => Some(format!("address=/{name}/#\n")),
        Action::Local(_) => {
            Some(addresses(choice)?.iter().map(|address| format!("address=/{name}/{address}\n")).collect())
        }
        Action::Nxdomain | Action::Nodata | Action::Refused | Action::Drop | Action::TcpOnly => None,
    }
}

fn adblock(name: &Name, scope: Scope, choice: &Choice) -> Option<String> {
    let Choice { action, turn, condition } = choice;
    let exception = match action {
        Action::Pass => true,
        Action::Block => false,
        Action::Nxdomain | Action::Nodata | Action::Refused | Action::Drop | Action::TcpOnly | Action::Local(_) => {
            return None;
        }
    };
    let important = TURNS.iter().position(|turns| turns[usize::from(exception)] == *turn)? == 1;
    let name = written(name);
    let pattern = match scope {
        Scope::Both => format!("||{name}^"),
        Scope::Exact => format!("|{name}^"),
        Scope::Below => format!("||*.{name}^"),
        Scope::Node => return None,
    };
    // Taken apart field by field, so that a field added to the condition has to be dealt with here.
    let Condition { types, other_types, clients, other_clients, except } = condition;
    let mut options = Vec::from_iter(important.then(|| "important".to_owned()));
    let mut option = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            options.push(format!("{key}={}", values.join("|")));
        }
    };
    option("denyallow", except.iter().map(written).collect());
    let plain = clients.iter().map(ToString::to_string);
    option("client", plain.chain(other_clients.iter().map(|network| format!("~{network}"))).collect());
    let plain = types.iter().map(|of| RecordType(*of).to_string());
    option("dnstype", plain.chain(other_types.iter().map(|of| format!("~{}", RecordType(*of)))).collect());
    let options = if options.is_empty() { String::new() } else { format!("${}", options.join(",")) };
    Some(format!("{}{pattern}{options}\n", if exception { "@@" } else { "" }))
}

fn unbound(name: &Name, scope: Scope, choice: &Choice) -> Option<String> {
    let name = if name.is_root() { ".".to_owned() } else { written(name) };
    let Choice { action, turn, condition } = choice;
    if !condition.is_empty() {
        return None;
    }
    let kind = match (action, scope, turn) {
        (Action::Local(local), Scope::Exact, 0) => return Some(local_data(&name, local)),
        (Action::Local(local), Scope::Both, 0) => {
            return Some(format!("local-zone: \"{name}\" redirect\n{}", local_data(&name, local)));
        }
        (Action::Block, Scope::Both, 1) => "always_nxdomain",
        (Action::Nodata, Scope::Both, 1) => "always_nodata",
        (Action::Refused, Scope::Both, 1) => "always_refuse",
        (Action::Drop, Scope::Both, 1) => "always_deny",
        (Action::Pass, Scope::Both, 1) => "always_transparent",
        (action, Scope::Both, 1) if *action == Action::null() => "always_null",
        (_, Scope::Exact | Scope::Below | Scope::Both | Scope::Node, _) => return None,
    };
    Some(format!("local-zone: \"{name}\" {kind}\n"))
}

fn local_data(name: &str, local: &Local) -> String {
    records(local).map(|record| format!("local-data: '{name}. {record}'\n")).collect()
}

/// Writes records as zone files have them, but for their owner.
fn records(local: &Local) -> impl Iterator<Item = String> {
    let record = |LocalRecord { record_type, ttl, data }: &LocalRecord| {
        format!("{ttl} IN TYPE{record_type} \\# {} {}", data.len(), hex::encode(data))
    };
    let alias = |Alias { ttl, target, prepend }: &Alias| {
        format!("{ttl} IN CNAME {}{}.", if *prepend { "*." } else { "" }, written(target))
    };
    local.records.iter().map(record).chain(local.alias.iter().map(alias))
}

fn rpz(trigger: &Trigger, choice: &Choice) -> Option<String> {
    let Choice { action, turn: 0, condition } = choice else { return None };
    // Such names are triggers of another kind, and such aliases are actions.
    let is_special = |label: Option<&[u8]>| label.is_some_and(|label| label.starts_with(b"rpz-"));
    if let Trigger::Name(name, _) = trigger
        && (is_special(name.labels().last()) || name.labels().next() == Some(b"*"))
    {
        return None;
    }
    if let Action::Local(local) = action
        && let Some(Alias { target, prepend, .. }) = &local.alias
        && (target.is_root()
            || target.label_count() == 1 && is_special(target.labels().next())
            || !prepend
                && (target.labels().next() == Some(b"*")
                    || *trigger == Trigger::Name(Box::new(target.clone()), Scope::Node)))
    {
        return None;
    }
    let owner = match trigger {
        Trigger::Name(name, Scope::Node) if !name.is_root() => written(name),
        Trigger::Name(name, Scope::Below) if name.is_root() => "*".to_owned(),
        Trigger::Name(name, Scope::Below) => format!("*.{}", written(name)),
        Trigger::Name(_, Scope::Node | Scope::Exact | Scope::Both) => return None,
        Trigger::Client(network) => format!("{}.rpz-client-ip", network_to_labels(network)),
        Trigger::Answer(network) => format!("{}.rpz-ip", network_to_labels(network)),
    };
    let target = match action {
        Action::Pass => "rpz-passthru.",
        Action::Nxdomain => ".",
        Action::Nodata => "*.",
        Action::Drop => "rpz-drop.",
        Action::TcpOnly => "rpz-tcp-only.",
        Action::Local(local) => {
            return condition.is_empty().then(|| records(local).map(|record| format!("{owner} {record}\n")).collect());
        }
        Action::Block | Action::Refused => return None,
    };
    condition.is_empty().then(|| format!("{owner} CNAME {target}\n"))
}

#[cfg(test)]
mod tests;
