//! Reads one TOML file key by key, and collects every fault on the way instead of stopping at the first.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::fault::{Fault, quote};

/// The most faults of one file that are told; a file with more is not the file that was meant.
const MAX_FAULTS: usize = 1000;
/// The longest identifier of a catalogue, order, service or prohibition, in octets.
const MAX_ID: usize = 64;

/// A file that is being read, with the faults found so far.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    path: &'a str,
    text: &'a str,
    /// Offset of the first octet of each line.
    lines: Vec<usize>,
    /// Lines that are not TOML. What else is wrong there follows from that, and is not told.
    broken: BTreeSet<usize>,
    faults: Vec<Fault>,
    left_out: usize,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, lines, broken: BTreeSet::new(), faults: Vec::new(), left_out: 0 }
    }

    /// Reads the TOML; what cannot be read becomes faults, and the rest is returned.
    pub(super) fn parse(&mut self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let line = self.line(error.span().map_or(self.text.len(), |span| span.start));
            // One slip of the pen makes several syntax errors in its line, of which the first says most.
            if self.broken.insert(line) {
                let start = self.lines.get(line - 1).copied().unwrap_or_default();
                let source = self.text[start..].lines().next().unwrap_or_default();
                let text = format!("this is not TOML: {}, in {}", error.message(), quote(source));
                self.push(Some(line), text, "mend the syntax of this line (toml.io)");
            }
        }
        table
    }

    /// Returns the line, counted from 1, of the octet at `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// Notes a fault of the text at `span`.
    pub(super) fn fault(&mut self, span: &Range<usize>, text: impl Into<String>, remedy: impl Into<String>) {
        let line = self.line(span.start);
        if !self.broken.contains(&line) {
            self.push(Some(line), text, remedy);
        }
    }

    fn missing(&mut self, of: &Keys<'_, '_>, key: &str, remedy: &str) {
        // A key may only seem to be missing where a line is not TOML.
        if self.broken.is_empty() {
            self.fault(&of.span, format!("{} has no `{key}`", of.title), remedy);
        }
    }

    fn push(&mut self, line: Option<usize>, text: impl Into<String>, remedy: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let (text, remedy) = (text.into(), remedy.into());
            self.faults.push(Fault { path: self.path.to_owned(), line, text, remedy, choice: None });
        } else {
            self.left_out += 1;
        }
    }

    fn source(&self, span: &Range<usize>) -> String {
        quote(self.text.get(span.clone()).unwrap_or_default())
    }

    /// Returns a fault that lies at `place`.
    pub(super) fn at(&self, place: Option<&Text>, text: impl Into<String>, remedy: impl Into<String>) -> Fault {
        Fault { line: place.map(|place| self.line(place.span.start)), ..Fault::of(self.path, text, remedy) }
    }

    /// Returns the faults found so far, by line.
    pub(super) fn take_faults(&mut self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.sort_by_key(|fault| fault.line);
        if self.left_out > 0 {
            let text = format!("{} further faults are not listed", self.left_out);
            faults.push(Fault::of(self.path, text, "mend these first"));
        }
        faults
    }
}

/// A text with its place in the file.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A table of a file whose keys are asked for one by one. What was never asked for is unknown; see [`Keys::finish`].
#[derive(Debug)]
pub(super) struct Keys<'t, 'a> {
    table: &'t DeTable<'a>,
    pub(super) span: Range<usize>,
    /// How people know the table, such as `[[entry]]`.
    title: &'static str,
    known: Vec<&'static str>,
}

impl<'t, 'a> Keys<'t, 'a> {
    pub(super) fn new(table: &'t DeTable<'a>, span: Range<usize>, title: &'static str) -> Self {
        Self { table, span, title, known: Vec::new() }
    }

    fn find(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Returns the value of a key that must be there.
    fn require(&mut self, sheet: &mut Sheet<'_>, key: &'static str, example: &str) -> Option<&'t Spanned<DeValue<'a>>> {
        let found = self.find(key);
        if found.is_none() {
            sheet.missing(self, key, &format!("add `{key} = {example}`"));
        }
        found
    }

    /// Returns the text of a key that must be there.
    pub(super) fn text(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Text> {
        let value = self.require(sheet, key, "\"…\"")?;
        read_text(sheet, key, value)
    }

    /// Returns the text of a key that may be absent.
    pub(super) fn optional_text(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Text> {
        self.find(key).and_then(|value| read_text(sheet, key, value))
    }

    /// Returns the identifier under a key that must be there.
    pub(super) fn id(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Text> {
        let id = self.text(sheet, key)?;
        check_id(sheet, &id.text, &id.span).then_some(id)
    }

    /// Returns the list of texts under a key that must be there and not empty.
    pub(super) fn texts(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Vec<Text>> {
        let value = self.require(sheet, key, "[\"…\"]")?;
        let texts = read_texts(sheet, key, value)?;
        if value.get_ref().as_array().is_some_and(|items| items.is_empty()) {
            sheet.fault(&value.span(), format!("`{key}` is an empty list"), "list at least one");
        }
        Some(texts)
    }

    /// Returns the list of texts under a key that may be absent.
    pub(super) fn optional_texts(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Vec<Text> {
        self.find(key).and_then(|value| read_texts(sheet, key, value)).unwrap_or_default()
    }

    /// Returns the day under a key that must be there.
    pub(super) fn date(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Date> {
        const EXAMPLE: &str = "2024-06-24";
        let value = self.require(sheet, key, EXAMPLE)?;
        let day = match value.get_ref() {
            DeValue::Datetime(Datetime { date: Some(day), time: None, offset: None }) => day,
            _ => return wrong(sheet, key, value, "a day", EXAMPLE),
        };
        let read = match (i16::try_from(day.year), i8::try_from(day.month), i8::try_from(day.day)) {
            (Ok(year), Ok(month), Ok(day)) => Date::new(year, month, day).ok(),
            _ => None,
        };
        read.or_else(|| wrong(sheet, key, value, "a day", EXAMPLE))
    }

    /// Returns the instant under a key that must be there.
    pub(super) fn instant(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Timestamp> {
        let value = self.require(sheet, key, INSTANT)?;
        read_instant(sheet, key, value)
    }

    /// Returns the instant under a key that may be absent.
    pub(super) fn optional_instant(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Timestamp> {
        self.find(key).and_then(|value| read_instant(sheet, key, value))
    }

    /// Returns the switch under a key; one that is absent is off.
    pub(super) fn switch(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> bool {
        match self.find(key) {
            None => false,
            Some(value) => match value.get_ref() {
                DeValue::Boolean(on) => *on,
                _ => wrong(sheet, key, value, "a switch", "true or false").unwrap_or_default(),
            },
        }
    }

    /// Returns the whole number under a key that must be there.
    pub(super) fn number(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<(i64, Range<usize>)> {
        let value = self.require(sheet, key, example)?;
        let number = value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        match number {
            Some(number) => Some((number, value.span())),
            None => wrong(sheet, key, value, "a whole number", example),
        }
    }

    /// Returns the version of a file, which tells later ones from earlier ones; files need none.
    pub(super) fn optional_version(&mut self, sheet: &mut Sheet<'_>) -> Option<u64> {
        let (key, example) = ("version", "3");
        let value = self.find(key)?;
        let number = value.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        number.or_else(|| wrong(sheet, key, value, "a whole number", example))
    }

    /// Returns what the word under a key stands for; the key must be there.
    pub(super) fn word<T: Copy>(&mut self, sheet: &mut Sheet<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let listed = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let Some(value) = self.find(key) else {
            sheet.missing(self, key, &format!("add `{key}`, one of {}", listed()));
            return None;
        };
        let found = value.get_ref().as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let text = format!("`{key}` is {}", sheet.source(&value.span()));
            sheet.fault(&value.span(), text, format!("write one of {}", listed()));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Returns the tables `[[key]]`; none where there are none.
    pub(super) fn tables(
        &mut self,
        sheet: &mut Sheet<'_>,
        key: &'static str,
        title: &'static str,
    ) -> Vec<Keys<'t, 'a>> {
        let Some(value) = self.find(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            wrong::<()>(sheet, key, value, "a list of tables", title);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => tables.push(Keys::new(table, item.span(), title)),
                None => wrong(sheet, key, item, "a table", title).unwrap_or_default(),
            }
        }
        tables
    }

    /// Returns the identifiers and texts of a table `[key]` that must be there, in the order of the file.
    pub(super) fn titles(&mut self, sheet: &mut Sheet<'_>, key: &'static str) -> Option<Vec<(String, Text)>> {
        let value = self.require(sheet, key, "{ ID = \"…\" }")?;
        let Some(table) = value.get_ref().as_table() else { return wrong(sheet, key, value, "a table", "[services]") };
        let mut titles: Vec<_> = table.iter().collect();
        titles.sort_by_key(|(id, _)| id.span().start);
        let mut read = Vec::new();
        for (id, title) in titles {
            check_id(sheet, id.get_ref(), &id.span());
            // Kept even where the title is wrong, so that entries may refer to it without a second fault.
            let text = read_text(sheet, key, title).unwrap_or_else(|| Text { text: String::new(), span: title.span() });
            read.push((id.get_ref().to_string(), Text { span: id.span(), ..text }));
        }
        Some(read)
    }

    /// Notes every key that was never asked for.
    pub(super) fn finish(self, sheet: &mut Sheet<'_>) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
            let text = format!("{} is not a key of {}", quote(key.get_ref()), self.title);
            sheet.fault(&key.span(), text, format!("the keys are {}", known.join(", ")));
        }
    }
}

const INSTANT: &str = "2024-07-20T00:00:00-04:00";

fn read_instant(sheet: &mut Sheet<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Timestamp> {
    let DeValue::Datetime(datetime) = value.get_ref() else { return wrong(sheet, key, value, "an instant", INSTANT) };
    if datetime.date.is_none() || datetime.time.is_none() || datetime.offset.is_none() {
        return wrong(sheet, key, value, "an instant with its offset from UTC", INSTANT);
    }
    datetime.to_string().parse().ok().or_else(|| wrong(sheet, key, value, "an instant", INSTANT))
}

fn read_text(sheet: &mut Sheet<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Text> {
    let Some(text) = value.get_ref().as_str() else { return wrong(sheet, key, value, "a text", "\"…\"") };
    if text.trim().is_empty() {
        sheet.fault(&value.span(), format!("`{key}` is empty"), "write something, or leave the key out");
        return None;
    }
    // These texts go to terminals, records and reports, none of which a file may forge.
    if !is_visible(text) {
        let fault = format!("`{key}` holds control or invisible characters: {}", sheet.source(&value.span()));
        sheet.fault(&value.span(), fault, "write it in one line of visible characters");
        return None;
    }
    Some(Text { text: text.to_owned(), span: value.span() })
}

/// Returns whether a text holds no character that a terminal would obey, or that hides or turns what stands beside it.
pub fn is_visible(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || is_invisible(character))
}

/// Returns whether a character changes the direction of writing or takes no room (Unicode, category Cf, as far as it
/// can hide or turn what stands beside it).
const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn read_texts(sheet: &mut Sheet<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Vec<Text>> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong(sheet, key, value, "a list of texts", "[\"…\"]");
    };
    let mut texts: Vec<Text> = Vec::new();
    let mut seen = BTreeSet::new();
    for item in items {
        let Some(text) = read_text(sheet, key, item) else { continue };
        if seen.insert(text.text.clone()) {
            texts.push(text);
        } else {
            sheet.fault(&text.span, format!("`{key}` lists {} twice", quote(&text.text)), "list it once");
        }
    }
    Some(texts)
}

/// Identifiers stand in records, metrics, configuration and on the command line.
fn check_id(sheet: &mut Sheet<'_>, id: &str, span: &Range<usize>) -> bool {
    let good = id.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.len() <= MAX_ID;
    if !good {
        let remedy = "use at most 64 lower-case letters, digits and hyphens, a letter or digit first";
        sheet.fault(span, format!("{} is not an identifier", quote(id)), remedy);
    }
    good
}

fn wrong<T>(sheet: &mut Sheet<'_>, key: &str, value: &Spanned<DeValue<'_>>, what: &str, example: &str) -> Option<T> {
    let text = format!("`{key}` is {}, not {what}", sheet.source(&value.span()));
    sheet.fault(&value.span(), text, format!("write it as {example}"));
    None
}
