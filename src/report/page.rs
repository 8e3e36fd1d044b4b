//! A report as a page that no format knows of: headings, texts, tables and drawings, in the words of one language.

use super::chart::Drawing;
use super::texts::Phrase;

/// What is shown, from top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    pub(super) lang: &'static str,
    pub(super) title: String,
    pub(super) subtitle: String,
    /// The basis as one word; stands in the file without being shown in every format.
    pub(super) made_from: String,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Heading(String),
    Text(String),
    /// Something that must not be overlooked.
    Notice(String),
    List(Vec<String>),
    /// Figures at a glance: each with what it is.
    Figures(Vec<(String, String)>),
    Table(Table),
    Chart {
        title: String,
        drawing: Drawing,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Text(String),
    Number(u64),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Phrase> for Cell {
    fn from(text: Phrase) -> Self {
        Self::Text(text.as_str().to_owned())
    }
}

impl Table {
    /// Returns whether a column holds numbers only.
    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| matches!(cell, Cell::Number(_)))
    }
}

/// Returns a text in which nothing is hidden and nothing is obeyed: control characters, marks of direction and what has no
/// width are written out.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => shown.push(character),
            other if !is_hidden(other) => shown.push(other),
            other => shown.extend(other.escape_unicode()),
        }
    }
    shown
}

fn is_hidden(character: char) -> bool {
    // Letters of Hangul that are blank.
    let is_blank = matches!(character, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    is_blank || (character != ' ' && character.escape_debug().count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_hidden() {
        for (text, shown) in [
            ("upd.vendor.example", "upd.vendor.example"),
            ("Ä „quoted“ – 'x' \\ \"y\"", "Ä „quoted“ – 'x' \\ \"y\""),
            ("a\u{202e}b\u{200b}c\u{2066}", "a\\u{202e}b\\u{200b}c\\u{2066}"),
            ("a\nb\tc\u{1b}[0m\u{0}", "a\\u{a}b\\u{9}c\\u{1b}[0m\\u{0}"),
            ("\u{feff}x\u{ad}", "\\u{feff}x\\u{ad}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
