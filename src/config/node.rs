//! Values as they were written, each with its place, whether they come from a file or from a variable.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::spec::Kind;
use crate::feed::Fault;

/// The most faults that are told; a file with more is not the file that was meant.
const MAX_FAULTS: usize = 1000;
/// The largest file that is read, in octets.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// The longest piece that a fault quotes, in characters.
const MAX_QUOTE: usize = 80;
/// The place of what stands in the program; no path and no variable has this name.
const DEFAULT: &str = "";

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of the file, or the name of the variable.
    source: Arc<str>,
    /// Counted from 1; none in a variable.
    line: Option<usize>,
}

impl Place {
    pub(super) fn of(source: &str) -> Self {
        Self { source: source.into(), line: None }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) const fn line(&self) -> Option<usize> {
        self.line
    }

    /// Returns whether this is nowhere in particular, because nobody set the key.
    pub(super) fn is_default(&self) -> bool {
        &*self.source == DEFAULT
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Lines that are not TOML. What else is wrong there follows from that, and is not told.
    broken: BTreeSet<usize>,
    list: Vec<Fault>,
    left_out: usize,
}

impl Faults {
    pub(super) fn push(&mut self, place: &Place, text: impl Into<String>, remedy: impl Into<String>) {
        if !place.line.is_some_and(|line| self.broken.contains(&line)) {
            self.add(place, text.into(), remedy.into());
        }
    }

    fn add(&mut self, place: &Place, text: String, remedy: String) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(Fault { path: place.source.to_string(), line: place.line, text, remedy, choice: None });
        } else {
            self.left_out += 1;
        }
    }

    fn push_syntax(&mut self, place: &Place, text: String, remedy: &str) {
        // One slip of the pen makes several syntax errors in its line, of which the first says most.
        if place.line.is_none_or(|line| self.broken.insert(line)) {
            self.add(place, text, remedy.to_owned());
        }
    }

    /// Returns whether some line could not be read, so that a key may only seem to be missing.
    pub(super) fn is_partial(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Returns the faults by line, those of variables after those of the file; none where all is well.
    pub(super) fn finish(mut self, file: &str) -> Vec<Fault> {
        self.list.sort_by(|one, other| {
            let rank = |fault: &Fault| (fault.path != file, fault.line);
            rank(one).cmp(&rank(other)).then_with(|| one.path.cmp(&other.path))
        });
        if self.left_out > 0 {
            let text = format!("{} further faults are not listed", self.left_out);
            let remedy = "mend these first".to_owned();
            self.list.push(Fault { path: file.to_owned(), line: None, text, remedy, choice: None });
        }
        self.list
    }
}

/// A value as it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) raw: Raw,
    /// The source of the value, fit to be quoted.
    pub(super) shown: String,
    pub(super) place: Place,
    /// Where the first line of a text of several lines stands, as long as each of its lines is one of the source.
    pub(super) first_line: Option<usize>,
}

/// What was written.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Text(String),
    /// None where it is too large even for this.
    Integer(Option<i128>),
    Switch(bool),
    /// A date, a time or both, as TOML has them.
    Datetime(String),
    List(Vec<Node>),
    Table(Vec<(Word, Node)>),
    /// A fraction, which no key takes.
    Other,
}

/// A key as it was written.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) place: Place,
}

/// Reads a file; what cannot be read of it becomes faults, and the rest is returned.
pub(super) fn read_file(path: &Path, faults: &mut Faults) -> Vec<(Word, Node)> {
    let shown = path.display().to_string();
    match read_text(path, &shown, faults) {
        Some(text) => Source::new(&shown, &text).read(faults),
        None => Vec::new(),
    }
}

fn read_text(path: &Path, shown: &str, faults: &mut Faults) -> Option<String> {
    let place = Place::of(shown);
    let read = || {
        // Opening a pipe or a device may block for ever or never end.
        if !std::fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        let mut octets = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut octets)?;
        Ok(octets)
    };
    let octets = match read() {
        Ok(octets) => octets,
        Err(error) => {
            faults.push(&place, format!("the file cannot be read: {error}"), "give a file that is there and readable");
            return None;
        }
    };
    if octets.len() as u64 > MAX_FILE {
        faults.push(&place, "the file is larger than 4 MiB", "give the configuration; lists of names are catalogues");
        return None;
    }
    String::from_utf8(octets)
        .map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
            let place = Place { line: Some(line), ..place };
            faults.push(&place, "the file is not UTF-8 text", "save it as UTF-8");
        })
        .ok()
}

/// Reads the value of the variable `name` for a key of this kind: as TOML where it is such, else as plain text.
pub(super) fn read_variable(name: &str, text: &str, kind: &Kind) -> Node {
    let place = Place::of(name);
    if let Ok(value) = DeValue::parse(text) {
        let node = Source { place: place.clone(), text, lines: Vec::new() }.node(&value);
        if kind.takes(&node.raw) {
            return node;
        }
    }
    let plain = |text: &str| Node {
        raw: Raw::Text(text.to_owned()),
        shown: quote(text),
        place: place.clone(),
        first_line: None,
    };
    if kind.is_list() {
        let items = text.split(',').map(str::trim);
        // A comma at the end, and nothing at all, leave no empty item behind.
        let items = items.filter(|item| !item.is_empty()).map(plain).collect();
        return Node { raw: Raw::List(items), ..plain(text) };
    }
    plain(text)
}

/// Reads the default of a key, which stands in the program.
pub(super) fn read_default(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(Source { place: Place::of(DEFAULT), text, lines: Vec::new() }.node(&value))
}

impl Kind {
    /// Returns whether a value for this kind may be written like this.
    fn takes(&self, raw: &Raw) -> bool {
        match self {
            Self::Switch => matches!(raw, Raw::Switch(_)),
            Self::SwitchOrPath => matches!(raw, Raw::Switch(_) | Raw::Text(_)),
            Self::Number { .. } => matches!(raw, Raw::Integer(_)),
            Self::Instant => matches!(raw, Raw::Text(_) | Raw::Datetime(_)),
            Self::Word(_)
            | Self::Text { .. }
            | Self::Lines
            | Self::Listener
            | Self::V4
            | Self::V6
            | Self::Hardware
            | Self::Name
            | Self::Url
            | Self::Digest
            | Self::PublicKey
            | Self::Id => matches!(raw, Raw::Text(_)),
            Self::Listeners
            | Self::Servers { .. }
            | Self::Upstreams { .. }
            | Self::Networks { .. }
            | Self::Names
            | Self::Ips
            | Self::Hardwares
            | Self::Patterns
            | Self::HostNames
            | Self::Hosts
            | Self::Texts
            | Self::Numbers { .. }
            | Self::Tables { .. } => matches!(raw, Raw::List(_)),
        }
    }

    /// Returns whether values are lists of texts.
    const fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Listeners
                | Self::Servers { .. }
                | Self::Upstreams { .. }
                | Self::Networks { .. }
                | Self::Names
                | Self::Ips
                | Self::Hardwares
                | Self::Patterns
                | Self::HostNames
                | Self::Hosts
                | Self::Texts
        )
    }
}

/// A text of TOML with its lines.
struct Source<'a> {
    place: Place,
    text: &'a str,
    /// Offset of the first octet of each line; empty for a variable.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(path: &str, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { place: Place::of(path), text, lines }
    }

    fn read(&self, faults: &mut Faults) -> Vec<(Word, Node)> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let place = self.at(error.span().map_or(self.text.len(), |span| span.start));
            let start = place.line.and_then(|line| self.lines.get(line - 1)).copied().unwrap_or_default();
            let line = self.text[start..].lines().next().unwrap_or_default();
            let text = format!("this is not TOML: {}, in {}", error.message(), quote(line));
            faults.push_syntax(&place, text, "mend the syntax of this line (toml.io)");
        }
        self.table(table.get_ref())
    }

    fn at(&self, offset: usize) -> Place {
        let line = (!self.lines.is_empty()).then(|| self.lines.partition_point(|start| *start <= offset));
        Place { line, ..self.place.clone() }
    }

    fn table(&self, table: &DeTable<'_>) -> Vec<(Word, Node)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let word = |text: &str, at: usize| Word { text: text.to_owned(), place: self.at(at) };
        entries.into_iter().map(|(key, value)| (word(key.get_ref(), key.span().start), self.node(value))).collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let raw = match value.get_ref() {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => Raw::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok()),
            DeValue::Float(_) => Raw::Other,
            DeValue::Boolean(on) => Raw::Switch(*on),
            DeValue::Datetime(datetime) => Raw::Datetime(datetime.to_string()),
            DeValue::Array(items) => Raw::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Raw::Table(self.table(table)),
        };
        let span = value.span();
        let (source, place) = (self.text.get(span.clone()).unwrap_or_default(), self.at(span.start));
        Node { raw, shown: quote(source), first_line: place.line.and_then(|line| first_line(source, line)), place }
    }
}

/// Returns in which line a text of several lines begins, whose `source` begins in `line`.
fn first_line(source: &str, line: usize) -> Option<usize> {
    let (text, is_plain) = match source.strip_prefix("'''") {
        Some(text) => (text, true),
        // A line break may be taken back there, or written as an escape.
        None => (source.strip_prefix("\"\"\"")?, !source.contains('\\')),
    };
    // TOML passes over a line break that comes first.
    let begins_below = text.starts_with('\n') || text.starts_with("\r\n");
    is_plain.then_some(line + usize::from(begins_below))
}

/// Returns the first line of `text` between backquotes, cut where it is long.
pub(super) fn quote(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    match line.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None => format!("`{line}`"),
    }
}
