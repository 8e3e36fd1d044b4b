//! From what was written to values that hold to the bounds of their key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::nearest::nearest;
use super::node::{Faults, Node, Place, Raw, Word, quote, read_default};
use super::parse::{self, Wrong};
use super::spec::{Key, Kind, list};
use super::types::{ControlSocket, HostRecord};
use crate::client::Hardware;
use crate::fetch::{PublicKey, Url};
use crate::message::Name;
use crate::query::NamePattern;
use crate::resolve::{Endpoint, MAX_SERVERS};

/// A value that holds to the bounds of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Switch(bool),
    Socket(ControlSocket),
    Number(u64),
    Numbers(Vec<u64>),
    Word(&'static str),
    Text(String),
    Listener(Option<SocketAddr>),
    Addresses(Vec<SocketAddr>),
    Endpoints(Vec<Endpoint>),
    Networks(Vec<IpNet>),
    V4(Option<Ipv4Addr>),
    V6(Option<Ipv6Addr>),
    Ips(Vec<IpAddr>),
    Hardware(Option<Hardware>),
    Hardwares(Vec<Hardware>),
    Instant(Option<Timestamp>),
    Name(Box<Name>),
    Url(Option<Url>),
    Digest(Option<[u8; 32]>),
    PublicKey(Option<PublicKey>),
    Names(Vec<Name>),
    Patterns(Vec<NamePattern>),
    Texts(Vec<String>),
    Hosts(Vec<HostRecord>),
    Rows(Vec<Row>),
}

/// One table of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) values: BTreeMap<&'static str, Value>,
}

/// Reads `node` as the value of the key that people know as `name`; `None` where that cannot be, and faults say why.
pub(super) fn read(kind: &Kind, name: &str, node: &Node, faults: &mut Faults) -> Option<Value> {
    let mut reader = Reader { name, faults };
    match *kind {
        Kind::Switch => match node.raw {
            Raw::Switch(on) => Some(Value::Switch(on)),
            _ => reader.wrong(node, "neither true nor false", "write true or false"),
        },
        Kind::SwitchOrPath => match &node.raw {
            Raw::Switch(true) => Some(Value::Socket(ControlSocket::InDataFolder)),
            Raw::Switch(false) => Some(Value::Socket(ControlSocket::Off)),
            Raw::Text(text) => reader
                .parsed(node, parse::text(text, 1, 4096))
                .map(|path| Value::Socket(ControlSocket::At(path.into()))),
            _ => reader.wrong(node, "neither true nor false nor a path", "write true, false or a path between quotes"),
        },
        Kind::Number { least, most } => reader.number(node, least, most).map(Value::Number),
        Kind::Numbers { least, most } => reader.numbers(node, least, most).map(Value::Numbers),
        Kind::Word(words) => {
            let found = node.text().and_then(|text| words.iter().find(|word| **word == text));
            let remedy = || format!("write one of {}", list(words));
            found.map(|word| Value::Word(word)).or_else(|| reader.wrong(node, "not a word that it takes", remedy()))
        }
        Kind::Text { least, most } => {
            reader.text(node, |text| parse::text(text, least, most)).map(|text| Value::Text(text.to_owned()))
        }
        Kind::Lines => reader.text(node, |text| Ok(text.to_owned())).map(Value::Text),
        Kind::Listener => reader.text(node, |text| parse::optional(text, parse::listener)).map(Value::Listener),
        Kind::Listeners => reader
            // Port 0 means any free port, a different one each time.
            .items(node, 1, parse::listener, |address| address.port() == 0)
            .map(Value::Addresses),
        Kind::Servers { least } => reader.items(node, least, parse::server, |_| false).map(Value::Addresses),
        Kind::Upstreams { least } => match reader.items(node, least, parse::endpoint, |_| false)? {
            servers if servers.len() > MAX_SERVERS => {
                reader.wrong(node, format!("more than {MAX_SERVERS} servers"), "list those that are to be asked")
            }
            servers => Some(Value::Endpoints(servers)),
        },
        Kind::Networks { least } => reader.items(node, least, parse::network, |_| false).map(Value::Networks),
        Kind::V4 => reader.text(node, |text| parse::optional(text, parse::v4)).map(Value::V4),
        Kind::V6 => reader.text(node, |text| parse::optional(text, parse::v6)).map(Value::V6),
        Kind::Ips => reader.items(node, 0, parse::ip, |_| false).map(Value::Ips),
        Kind::Hardware => reader.text(node, |text| parse::optional(text, parse::hardware)).map(Value::Hardware),
        Kind::Hardwares => reader.items(node, 0, parse::hardware, |_| false).map(Value::Hardwares),
        Kind::Instant => match &node.raw {
            // TOML has instants of its own, which are written without quotes.
            Raw::Datetime(text) => reader.parsed(node, parse::instant(text)).map(|at| Value::Instant(Some(at))),
            _ => reader.text(node, |text| parse::optional(text, parse::instant)).map(Value::Instant),
        },
        Kind::Name => reader.text(node, parse::name).map(|name| Value::Name(Box::new(name))),
        Kind::Url => reader.text(node, |text| parse::optional(text, parse::url)).map(Value::Url),
        Kind::Digest => reader.text(node, |text| parse::optional(text, parse::digest)).map(Value::Digest),
        Kind::PublicKey => reader.text(node, |text| parse::optional(text, parse::public_key)).map(Value::PublicKey),
        Kind::Names => reader.items(node, 0, parse::name, |_| false).map(Value::Names),
        Kind::Patterns => reader.items(node, 0, parse::pattern, |_| false).map(Value::Patterns),
        Kind::Id => reader.text(node, parse::id).map(|text| Value::Text(text.to_owned())),
        Kind::HostNames => reader.items(node, 0, parse::host_name, |_| false).map(Value::Texts),
        Kind::Hosts => {
            let hosts = reader.items(node, 0, parse::host, |_| false)?;
            Some(Value::Hosts(hosts.into_iter().map(|(name, addresses)| HostRecord { name, addresses }).collect()))
        }
        Kind::Texts => {
            reader.items(node, 0, |text| parse::text(text, 1, 4096).map(str::to_owned), |_| false).map(Value::Texts)
        }
        Kind::Tables { keys, example } => reader.rows(node, keys, example).map(Value::Rows),
    }
}

impl Node {
    fn text(&self) -> Option<&str> {
        if let Raw::Text(text) = &self.raw { Some(text) } else { None }
    }
}

struct Reader<'r> {
    name: &'r str,
    faults: &'r mut Faults,
}

impl Reader<'_> {
    fn wrong<T>(&mut self, node: &Node, what: impl Display, remedy: impl Into<String>) -> Option<T> {
        self.faults.push(&node.place, format!("`{}` is {}: {what}", self.name, node.shown), remedy);
        None
    }

    fn number(&mut self, node: &Node, least: u64, most: u64) -> Option<u64> {
        let remedy = format!("write a whole number from {least} to {most}");
        let Raw::Integer(number) = node.raw else { return self.wrong(node, "not a whole number", remedy) };
        let within = number.and_then(|number| u64::try_from(number).ok()).filter(|it| (least..=most).contains(it));
        within.or_else(|| self.wrong(node, "out of range", remedy))
    }

    fn numbers(&mut self, node: &Node, least: u64, most: u64) -> Option<Vec<u64>> {
        let Raw::List(items) = &node.raw else {
            return self.wrong(node, "not a list", "write it as a list of whole numbers: [30, 7]");
        };
        let read: Vec<_> = items.iter().map(|item| self.number(item, least, most)).collect();
        let numbers: Vec<_> = read.into_iter().collect::<Option<_>>()?;
        let distinct: BTreeSet<_> = numbers.iter().collect();
        match distinct.len() == numbers.len() {
            true => Some(numbers),
            false => self.wrong(node, "a list with a number twice", "write each once"),
        }
    }

    fn text<'n, T>(&mut self, node: &'n Node, parse: impl FnOnce(&'n str) -> Result<T, Wrong>) -> Option<T> {
        let Some(text) = node.text() else {
            return self.wrong(node, "not a text", "write it between quotes, as one text");
        };
        self.parsed(node, parse(text))
    }

    fn parsed<T>(&mut self, node: &Node, parsed: Result<T, Wrong>) -> Option<T> {
        parsed.map_err(|Wrong { what, remedy }| self.wrong::<()>(node, what, remedy)).ok()
    }

    /// Reads a list of at least `least` items, each of them once unless `may_repeat` says otherwise.
    fn items<'n, T: Ord + Clone>(
        &mut self,
        node: &'n Node,
        least: usize,
        parse: impl Fn(&'n str) -> Result<T, Wrong>,
        may_repeat: impl Fn(&T) -> bool,
    ) -> Option<Vec<T>> {
        let Raw::List(items) = &node.raw else {
            return self.wrong(node, "not a list", "write it as a list of texts: [\"…\", \"…\"]");
        };
        if items.len() < least {
            return self.wrong(node, "an empty list", format!("list at least {least}"));
        }
        let mut read = Vec::with_capacity(items.len());
        let mut seen = BTreeSet::new();
        let mut complete = true;
        for item in items {
            match self.text(item, &parse) {
                None => complete = false,
                Some(value) if may_repeat(&value) || seen.insert(value.clone()) => read.push(value),
                Some(_) => {
                    complete = false;
                    self.faults.push(
                        &item.place,
                        format!("`{}` lists {} twice", self.name, item.shown),
                        "list it once",
                    );
                }
            }
        }
        complete.then_some(read)
    }

    fn rows(&mut self, node: &Node, keys: &'static [Key], example: &[&str]) -> Option<Vec<Row>> {
        let remedy = || format!("write tables such as {}", example.join(" ⏎ "));
        let Raw::List(items) = &node.raw else { return self.wrong(node, "not a list of tables", remedy()) };
        let mut rows = Some(Vec::new());
        for item in items {
            let row = match &item.raw {
                Raw::Table(entries) => self.row(&item.place, entries, keys),
                _ => self.wrong(item, "not a table", remedy()),
            };
            // The others are read too, for their faults.
            rows = rows.zip(row).map(|(mut rows, row)| {
                rows.push(row);
                rows
            });
        }
        rows
    }

    fn row(&mut self, place: &Place, entries: &[(Word, Node)], keys: &'static [Key]) -> Option<Row> {
        let mut values = BTreeMap::new();
        let mut complete = true;
        for (word, _) in entries.iter().filter(|(word, _)| keys.iter().all(|key| key.name != word.text)) {
            complete = false;
            unknown(word, self.name, keys.iter().map(|key| key.name), self.faults);
        }
        for key in keys {
            let name = format!("{}.{}", self.name, key.name);
            let value = match entries.iter().find(|(word, _)| word.text == key.name) {
                Some((_, node)) => read(&key.kind, &name, node, self.faults),
                None => match key.default_toml().as_deref().and_then(read_default) {
                    Some(default) => read(&key.kind, &name, &default, self.faults),
                    None => {
                        // A key may only seem to be missing where a line is not TOML.
                        if !self.faults.is_partial() {
                            let text = format!("this `{}` has no `{}`", self.name, key.name);
                            self.faults.push(place, text, format!("add `{} = …`", key.name));
                        }
                        None
                    }
                },
            };
            match value {
                Some(value) => drop(values.insert(key.name, value)),
                None => complete = false,
            }
        }
        complete.then(|| Row { place: place.clone(), values })
    }
}

/// Notes that `word` is not one of the `known` keys of `of`.
pub(super) fn unknown(word: &Word, of: &str, known: impl Iterator<Item = &'static str> + Clone, faults: &mut Faults) {
    let remedy = match nearest(&word.text, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys are {}", known.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")),
    };
    faults.push(&word.place, format!("{} is not a key of `{of}`", quote(&word.text)), remedy);
}
