//! Where the values of a configuration stand, for faults that show only when they are put to use.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::node::{Node, Place, Raw};
use super::types::Config;
use crate::feed::{Choice, Fault};

/// The place of each value, by keys such as `upstream.servers`, `upstream.servers[0]` and `upstream.zone[0].servers`.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The configuration file; empty where there is none.
    file: String,
    by_key: BTreeMap<String, Spot>,
}

#[derive(Debug, Clone)]
struct Spot {
    place: Place,
    /// The text that is written there, where it is one.
    text: Option<String>,
    first_line: Option<usize>,
}

/// Where a value stands changes nothing of what it means.
impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Notes where the value of `key` stands, and all that is in it.
    pub(super) fn note(&mut self, key: String, node: &Node) {
        if node.place.is_default() {
            return;
        }
        self.forget(&key);
        self.note_each(key, node);
    }

    fn note_each(&mut self, key: String, node: &Node) {
        let mut text = None;
        match &node.raw {
            Raw::Text(of) => text = Some(of.clone()),
            Raw::List(items) => {
                items.iter().enumerate().for_each(|(place, item)| self.note_each(format!("{key}[{place}]"), item));
            }
            Raw::Table(entries) => {
                entries.iter().for_each(|(word, node)| self.note_each(format!("{key}.{}", word.text), node));
            }
            Raw::Integer(_) | Raw::Switch(_) | Raw::Datetime(_) | Raw::Other => {}
        }
        self.by_key.insert(key, Spot { place: node.place.clone(), text, first_line: node.first_line });
    }

    /// A variable takes the place of all that the file says of a key.
    fn forget(&mut self, key: &str) {
        let is_of = |of: &str| of.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']));
        self.by_key.retain(|of, _| !is_of(of));
    }

    pub(super) fn of(self, file: String) -> Self {
        Self { file, ..self }
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.by_key.get(key)?.text.as_deref()
    }

    /// Returns the keys of the tables or items of `list`, in order.
    fn items(&self, list: &str) -> impl Iterator<Item = String> {
        (0..).map(move |place| format!("{list}[{place}]")).take_while(|key| self.by_key.contains_key(key))
    }

    /// Returns the keys of the items of `list` that are this text.
    fn saying(&self, list: &str, text: &str) -> Vec<String> {
        self.items(list).filter(|key| self.text(key) == Some(text)).collect()
    }

    /// Returns the keys of the tables of `list` in which each of these keys is one of these texts.
    fn tables(&self, list: &str, having: &[(&str, &str)]) -> Vec<String> {
        let has = |key: &str, (own, text): &(&str, &str)| self.text(&format!("{key}.{own}")) == Some(*text);
        self.items(list).filter(|key| having.iter().all(|of| has(key, of))).collect()
    }

    /// Returns the keys at which a choice is written.
    fn written(&self, choice: &Choice) -> Vec<String> {
        match choice {
            Choice::Catalogue(item) => {
                let own = "ways_round.catalogue";
                let chosen = self.saying("policy.catalogues", item).into_iter();
                chosen.chain((self.text(own) == Some(item)).then(|| own.to_owned())).collect()
            }
            Choice::Order(item) => self.saying("policy.orders", item),
            Choice::Waivers(file) => self.saying("policy.waivers", file),
            // Told by the file of the waiver.
            Choice::Waiver(_) => Vec::new(),
            Choice::Treatment { order, service, prohibition } => {
                let service = service.as_deref().map(|of| ("service", of));
                let prohibition = prohibition.as_deref().map(|of| ("prohibition", of));
                let having: Vec<_> =
                    std::iter::once(("order", order.as_str())).chain(service).chain(prohibition).collect();
                self.tables("policy.treatment", &having)
            }
            Choice::Apply { order, group: None } => self.tables("policy.apply", &[("order", order)]),
            Choice::Apply { order, group: Some(group) } => {
                let tables = self.tables("policy.apply", &[("order", order)]).into_iter();
                tables.flat_map(|key| self.saying(&format!("{key}.groups"), group)).collect()
            }
        }
    }

    /// Returns where a key is set: by itself, or else what it is part of; the file where nobody sets it.
    fn spot(&self, key: &str) -> (String, Option<usize>) {
        let above = std::iter::successors(Some(key), |key| key.rfind(['[', '.']).map(|end| &key[..end]));
        match above.filter_map(|key| self.by_key.get(key)).next() {
            Some(Spot { place, .. }) => (place.source().to_owned(), place.line()),
            None if self.file.is_empty() => ("configuration".to_owned(), None),
            None => (self.file.clone(), None),
        }
    }
}

impl Config {
    /// Says what is wrong with the value of `key`, with the place where it is set.
    pub fn told(&self, key: &str, text: impl Display) -> String {
        let (path, line) = self.places.spot(key);
        Fault::told(&path, line, &text.to_string())
    }

    /// Returns where the value of `key` is set, if anybody sets it: file and line, or a variable.
    pub fn place(&self, key: &str) -> Option<String> {
        let above = std::iter::successors(Some(key), |key| key.rfind('[').map(|end| &key[..end]));
        let Spot { place, .. } = above.filter_map(|key| self.places.by_key.get(key)).next()?;
        let line = place.line().map(|line| format!(":{line}")).unwrap_or_default();
        Some(format!("{}{line}", place.source()))
    }

    /// As [`Config::told`], of the line with this number of a text; counted from 1.
    pub fn told_of_line(&self, key: &str, number: usize, text: impl Display) -> String {
        match self.places.by_key.get(key) {
            Some(Spot { place, first_line: Some(first), .. }) => {
                Fault::told(place.source(), Some(first + number - 1), &text.to_string())
            }
            Some(_) | None => self.told(key, format!("line {number}: {text}")),
        }
    }

    /// Returns the faults with the place of the choice that is at fault, where it is the configuration's: each place once.
    pub fn located(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let mut located: Vec<Fault> = Vec::new();
        for fault in faults {
            for fault in self.each_place(fault) {
                if !located.contains(&fault) {
                    located.push(fault);
                }
            }
        }
        located
    }

    fn each_place(&self, fault: Fault) -> Vec<Fault> {
        let Some(choice) = fault.choice.as_deref() else { return vec![fault] };
        let keys = self.places.written(choice);
        if keys.is_empty() {
            return vec![fault];
        }
        let text = match choice {
            Choice::Catalogue(_) | Choice::Order(_) | Choice::Waivers(_) => format!("{}: {}", fault.path, fault.text),
            Choice::Treatment { .. } | Choice::Apply { .. } | Choice::Waiver(_) => fault.text.clone(),
        };
        let at = |key: &String| {
            let (path, line) = self.places.spot(key);
            Fault { path, line, text: text.clone(), ..fault.clone() }
        };
        keys.iter().map(at).collect()
    }
}
