//! File and environment, key by key, to the settings.

mod client;
mod upstream;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::check::check;
use super::nearest::nearest;
use super::node::{Faults, Node, Place, Raw, Word, quote, read_default, read_file, read_variable};
use super::places::Places;
use super::setting::Setting;
use super::spec::{Key, Section, Spec};
use super::types::{
    Admin, AnswerConfig, CacheConfig, Config, ControlConfig, DaemonConfig, LedgerConfig, Listen, LogConfig,
    PolicyConfig, RebindingConfig, WaysRound, ZoneText, ZonesConfig,
};
use super::value::{Row, Value, read, unknown};
use crate::client::Group;
use crate::feed::Fault;
use crate::ledger::{Durability, Fail};
use crate::listen::limit::Rate;
use crate::message::Name;
use crate::observe::Format;
use crate::policy::{Apply, Demand, Mode, Operator, OperatorTreatment, Phase, Removal, Sink, TreatmentChoice};

const PREFIX: &str = "INTERDICT_";
const MIB: u64 = 1024 * 1024;

impl Config {
    /// Returns the settings where nobody sets any.
    ///
    /// # Panics
    /// Never: a test loads them.
    pub fn default_values() -> Self {
        Self::load(None, []).expect("the defaults hold to their own bounds, which a test shows")
    }

    /// Returns the defaults, under what the file says, under what variables of the environment say.
    ///
    /// Variables are `INTERDICT_<SECTION>__<KEY>` and `INTERDICT_DATA_DIR`; others are ignored where their name has
    /// no `__` and is not like that one. A faulty value of the file is told even where a variable replaces it. Values of variables are TOML where that is what the key takes, else plain text, and lists may be separated by commas.
    ///
    /// # Errors
    /// Every fault of the file, of the variables, and every contradiction between keys.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let shown = path.map(|path| path.display().to_string()).unwrap_or_default();
        let mut faults = Faults::default();
        let mut settings = Settings::defaults(&mut faults);
        if let Some(path) = path {
            let entries = read_file(path, &mut faults);
            settings.take_file(&entries, &mut faults);
        }
        let environment: BTreeMap<_, _> = environment.into_iter().collect();
        for (name, text) in &environment {
            settings.take_variable(name, text, &mut faults);
        }
        // Where a line could not be read, keys may only seem to contradict each other.
        if !faults.is_partial() {
            check(&settings, &mut faults);
        }
        let faults = faults.finish(&shown);
        if faults.is_empty() { Ok(settings.build(shown)) } else { Err(faults) }
    }
}

/// What was set.
#[derive(Debug)]
pub(super) struct Settings {
    /// Values by section and key, each with the place where it was set. What is faulty is not there.
    values: BTreeMap<(&'static str, &'static str), (Place, Value)>,
    places: Places,
}

impl Settings {
    fn defaults(faults: &mut Faults) -> Self {
        let mut settings = Self { values: BTreeMap::new(), places: Places::default() };
        for section in Spec::SECTIONS {
            for key in section.keys {
                if let Some(node) = key.default_toml().as_deref().and_then(read_default) {
                    settings.set(section, key, &node, faults);
                }
            }
        }
        settings
    }

    fn set(&mut self, section: &'static Section, key: &'static Key, node: &Node, faults: &mut Faults) {
        let name = full_name(section, key);
        match read(&key.kind, &name, node, faults) {
            Some(value) => drop(self.values.insert((section.name, key.name), (node.place.clone(), value))),
            // The default must not contradict what somebody meant to write.
            None => drop(self.values.remove(&(section.name, key.name))),
        }
        self.places.note(name, node);
    }

    fn take_file(&mut self, entries: &[(Word, Node)], faults: &mut Faults) {
        for (word, node) in entries {
            if let Some((section, key)) = find("", &word.text) {
                self.set(section, key, node, faults);
                continue;
            }
            match (Spec::SECTIONS.iter().find(|section| section.name == word.text), &node.raw) {
                (None, _) => unknown_at_the_top(word, node, faults),
                (Some(section), Raw::Table(entries)) => self.take_section(section, entries, faults),
                (Some(section), _) => {
                    let text = format!("`{}` is {}: not a section", section.name, node.shown);
                    faults.push(&node.place, text, format!("write [{}] and its keys in the lines below", section.name));
                }
            }
        }
    }

    fn take_section(&mut self, section: &'static Section, entries: &[(Word, Node)], faults: &mut Faults) {
        for (word, node) in entries {
            match (section.keys.iter().find(|key| key.name == word.text), &node.raw) {
                (Some(key), _) => self.set(section, key, node, faults),
                (None, Raw::Table(entries)) if let Some(below) = section.below(&word.text) => {
                    self.take_section(below, entries, faults);
                }
                (None, _) => unknown_key(section, word, faults),
            }
        }
    }

    fn take_variable(&mut self, name: &str, text: &str, faults: &mut Faults) {
        let Some(rest) = name.strip_prefix(PREFIX) else { return };
        let (section, key) = match rest.split_once("__") {
            Some(parts) => parts,
            None if rest == "DATA_DIR" => ("", rest),
            // A misspelt one would be passed over in silence. Others are for scripts, or for nobody.
            None if nearest(rest, ["DATA_DIR"].into_iter()).is_some() || lacks_underscore(name) => ("", rest),
            None => return,
        };
        let found = find(&section.to_ascii_lowercase(), &key.to_ascii_lowercase())
            .filter(|(section, key)| variable(section, key) == name);
        match found {
            Some((section, key)) => self.set(section, key, &read_variable(name, text, &key.kind), faults),
            None => {
                let names: Vec<_> = keys().map(|(section, key)| variable(section, key)).collect();
                let known = names.iter().map(|name| &name[PREFIX.len()..]);
                let remedy = match nearest(rest, known) {
                    Some(near) => format!("did you mean {PREFIX}{near}?"),
                    None => "unset it, or see config/interdict.toml for every key".to_owned(),
                };
                faults.push(&Place::of(name), "this variable sets no key", remedy);
            }
        }
    }

    /// Returns the value of a key with its place, unless it is faulty.
    pub(super) fn get(&self, section: &'static str, key: &'static str) -> Option<(&Place, &Value)> {
        self.values.get(&(section, key)).map(|(place, value)| (place, value))
    }

    /// Takes out a value that is there because there was no fault.
    pub(super) fn take<T: Setting>(&mut self, section: &'static str, key: &'static str) -> T {
        let value = self.values.remove(&(section, key)).map(|(_, value)| value);
        value.and_then(T::of).expect("a test holds the settings against the table of keys")
    }

    fn build(mut self, file: String) -> Config {
        let places = std::mem::take(&mut self.places).of(file);
        let take = &mut self;
        let millis = |take: &mut Self, section, key| Duration::from_millis(take.take(section, key));
        let mib = |take: &mut Self, section, key| take.take::<u64>(section, key) * MIB;
        let client = take.client();
        let data_dir = PathBuf::from(take.take::<String>("", "data_dir"));
        let fetch = take.fetch();
        Config {
            data_dir: data_dir.clone(),
            listen: Listen {
                dns: take.take("listen", "dns"),
                allow: take.take("listen", "allow"),
                workers: take.take("listen", "workers"),
                proxy_from: take.take("listen", "proxy_from"),
                ecs_from: take.take("listen", "ecs_from"),
                tcp_connections: take.take("listen", "tcp_connections"),
                tcp_connections_per_client: take.take("listen", "tcp_connections_per_client"),
                tcp_in_flight: take.take("listen", "tcp_in_flight"),
                tcp_idle: millis(take, "listen", "tcp_idle_ms"),
            },
            limit: Rate {
                queries_per_second: NonZeroU32::new(take.take("limit", "queries_per_second")),
                burst: take.take("limit", "burst"),
                ipv4_prefix: take.take("limit", "ipv4_prefix"),
                ipv6_prefix: take.take("limit", "ipv6_prefix"),
                exempt: take.take("limit", "exempt"),
                slip: take.take("limit", "slip"),
            },
            admin: Admin { listen: take.take("admin", "listen"), hosts: take.take("admin", "hosts") },
            control: ControlConfig {
                listen: take.take("control", "listen"),
                four_eyes: take.take("control", "four_eyes"),
                monitor_only_max_minutes: take.take("control", "monitor_only_max_minutes"),
                waiver_max_days: take.take("control", "waiver_max_days"),
            },
            upstream: upstream::upstream(take),
            cache: CacheConfig {
                size: mib(take, "cache", "size_mib"),
                max_ttl: take.take("cache", "max_ttl"),
                negative_max_ttl: take.take("cache", "negative_max_ttl"),
                failure_ttl: take.take("cache", "failure_ttl"),
                stale_max_ttl: take.take("cache", "stale_max_ttl"),
                prefetch: take.take("cache", "prefetch"),
                save: take.take("cache", "save"),
            },
            zones: ZonesConfig {
                hosts: take.take("zones", "hosts"),
                zone: take.rows("zones", "zone", |row| ZoneText {
                    origin: *row.take::<Box<Name>>("origin"),
                    text: row.take("text"),
                }),
                special_use: take.take("zones", "special_use"),
            },
            client: client.clone(),
            policy: PolicyConfig {
                catalogues: take.take("policy", "catalogues"),
                orders: take.take("policy", "orders"),
                waivers: take.take("policy", "waivers"),
                fetch: take.fetched_policy(&data_dir),
                operator: take.operator(&client.groups),
                shadow: Some(take.take::<String>("policy", "shadow"))
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from),
            },
            ways_round: WaysRound {
                canary: take.take("ways_round", "canary"),
                relay: take.take("ways_round", "relay"),
                discovery: take.take("ways_round", "discovery"),
                public_resolvers: take.take("ways_round", "public_resolvers"),
                ech: take.take("ways_round", "ech"),
                catalogue: take.take("ways_round", "catalogue"),
            },
            rebinding: RebindingConfig {
                protect: take.take("rebinding", "protect"),
                allow: take.take("rebinding", "allow"),
            },
            lists: take.lists(&data_dir, &fetch),
            fetch,
            answer: AnswerConfig {
                sink: take.sink(),
                sink_ttl: take.take("answer", "sink_ttl"),
                max_payload: take.take("answer", "max_udp_payload"),
                version: take.take("answer", "version"),
            },
            ledger: LedgerConfig {
                commit: millis(take, "ledger", "commit_ms"),
                durability: match take.take("ledger", "durability") {
                    "strict" => Durability::Strict,
                    _ => Durability::Normal,
                },
                fail: if take.take::<&str>("ledger", "fail") == "servfail" { Fail::Servfail } else { Fail::Answer },
                segment_size: mib(take, "ledger", "segment_mib"),
                max_size: mib(take, "ledger", "max_mib"),
                keep_days: take.take("ledger", "keep_days"),
                networks_only: take.take::<&str>("ledger", "clients") == "network",
                store_noted: take.take("ledger", "store_noted"),
                leaves_per_minute: take.take("ledger", "leaves_per_minute"),
                origin: Some(take.take("ledger", "origin")).filter(|name: &String| !name.is_empty()),
                checkpoint: Duration::from_secs(take.take("ledger", "checkpoint_s")),
                publish: take.publish(),
                witnesses: take.witnesses(),
            },
            export: take.receivers(),
            notice: take.notice(),
            daemon: DaemonConfig {
                sandbox: take.take("daemon", "sandbox"),
                reload_on_change: take.take("daemon", "reload_on_change"),
            },
            log: LogConfig {
                level: take.take::<&str>("log", "level").to_owned(),
                format: match take.take::<&str>("log", "format") {
                    "json" => Format::Json,
                    "journal" => Format::Journal,
                    _ => Format::Text,
                },
            },
            places,
        }
    }

    pub(super) fn rows<T>(&mut self, section: &'static str, key: &'static str, of: impl Fn(&mut Row) -> T) -> Vec<T> {
        self.take::<Vec<Row>>(section, key).iter_mut().map(of).collect()
    }

    fn operator(&mut self, groups: &[Group]) -> Operator {
        let finished = self.take::<&str>("policy", "removal") == "finished";
        let until: Option<Timestamp> = self.take("policy", "removal_until");
        Operator {
            mode: if self.take::<&str>("policy", "mode") == "monitor" { Mode::Monitor } else { Mode::Enforce },
            demand: if self.take::<&str>("policy", "applies") == "binding" { Demand::External } else { Demand::Own },
            removal: match until {
                Some(until) => Removal::Until(until),
                None if finished => Removal::Finished,
                None => Removal::Running,
            },
            treatments: self.rows("policy", "treatment", |row| OperatorTreatment {
                order: row.take("order"),
                service: row.take("service"),
                choice: match row.take("treatment") {
                    "exempt" => TreatmentChoice::Exempt,
                    "kept" => TreatmentChoice::Kept,
                    "prohibited" => TreatmentChoice::Prohibited(row.take("prohibition")),
                    _ => TreatmentChoice::Noted,
                },
            }),
            groups: groups.to_vec(),
            applies: self.rows("policy", "apply", apply),
            waivers: Vec::new(),
        }
    }

    fn sink(&mut self) -> Sink {
        let (v4, v6) = (self.take("answer", "sink_v4"), self.take("answer", "sink_v6"));
        match self.take("answer", "sink") {
            "nodata" => Sink::Nodata,
            "refused" => Sink::Refused,
            "address" => Sink::Address { v4, v6 },
            _ => Sink::Nxdomain,
        }
    }
}

fn apply(row: &mut Row) -> Apply {
    let until = row.take("monitor_until");
    Apply {
        order: row.take("order"),
        groups: row.take("groups"),
        phase: match row.take("phase") {
            "monitor" => Phase::Monitor { until },
            "off" => Phase::Off,
            _ => Phase::Enforce,
        },
        demand: match row.take("applies") {
            "policy" => Some(Demand::Own),
            "binding" => Some(Demand::External),
            _ => None,
        },
        sink: match row.take("sink") {
            "nxdomain" => Some(Sink::Nxdomain),
            "nodata" => Some(Sink::Nodata),
            "refused" => Some(Sink::Refused),
            _ => None,
        },
    }
}

fn keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    Spec::SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

fn find(section: &str, key: &str) -> Option<(&'static Section, &'static Key)> {
    keys().find(|(of, known)| of.name.replace('.', "_") == section && known.name == key)
}

fn full_name(section: &Section, key: &Key) -> String {
    if section.name.is_empty() { key.name.to_owned() } else { format!("{}.{}", section.name, key.name) }
}

/// Returns the name of the variable that sets a key.
fn variable(section: &Section, key: &Key) -> String {
    let separator = if section.name.is_empty() { "" } else { "__" };
    format!("{PREFIX}{}{separator}{}", section.name.replace('.', "_"), key.name).to_ascii_uppercase()
}

fn unknown_key(section: &'static Section, word: &Word, faults: &mut Faults) {
    match keys().find(|(_, key)| key.name == word.text) {
        Some((of, key)) => misplaced(word, of, key, faults),
        None => unknown(word, section.name, section.keys.iter().map(|key| key.name), faults),
    }
}

fn unknown_at_the_top(word: &Word, node: &Node, faults: &mut Faults) {
    if let Raw::Table(_) = node.raw {
        let names = Spec::SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty());
        let remedy = match nearest(&word.text, names.clone()) {
            Some(near) => format!("did you mean [{near}]?"),
            None => format!("the sections are {}", names.collect::<Vec<_>>().join(", ")),
        };
        faults.push(&word.place, format!("{} is not a section", quote(&word.text)), remedy);
        return;
    }
    match keys().find(|(_, key)| key.name == word.text) {
        Some((of, key)) => misplaced(word, of, key, faults),
        None => {
            let text = format!("{} is not a key above all sections", quote(&word.text));
            let remedy = match nearest(&word.text, keys().map(|(_, key)| key.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "the only such key is `data_dir`; put others below the [section] that they belong to".to_owned()
                }
            };
            faults.push(&word.place, text, remedy);
        }
    }
}

fn misplaced(word: &Word, section: &Section, key: &Key, faults: &mut Faults) {
    let remedy = match section.name {
        "" => "write it above all sections".to_owned(),
        name => format!("write it below [{name}]"),
    };
    faults.push(&word.place, format!("`{}` does not belong here", key.name), remedy);
}

/// Returns whether a variable would set a key if it had two underscores where it has one.
fn lacks_underscore(name: &str) -> bool {
    keys().any(|(section, key)| variable(section, key).replace("__", "_") == name)
}
