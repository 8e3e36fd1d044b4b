//! What is wrong with a file, told so that it can be mended and cannot forge what a terminal shows.

use std::fmt;

/// The longest piece of a file that a fault quotes, in characters.
const MAX_QUOTE: usize = 80;

/// One fault of a catalogue, an order or of how they were chosen.
///
/// `Display` gives `path:line: what is wrong; what would be right`, with control and invisible characters escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as people know it: its path, or `shipped:NAME`.
    pub path: String,
    /// Counted from 1; none where the fault has no single place.
    pub line: Option<usize>,
    pub text: String,
    /// What would be right.
    pub remedy: String,
    /// Which of the operator's choices is at fault, where that is none of the file at `path`.
    pub choice: Option<Box<Choice>>,
}

/// A choice of the operator, as whoever reads the configuration can find it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// An item among the catalogues that are chosen.
    Catalogue(String),
    /// An item among the orders that are chosen.
    Order(String),
    /// A file of waivers.
    Waivers(String),
    /// The waiver with this id.
    Waiver(String),
    /// How services of an order are treated; all of them where neither service nor prohibition is told.
    Treatment { order: String, service: Option<String>, prohibition: Option<String> },
    /// How an order applies, to all groups or to one.
    Apply { order: String, group: Option<String> },
}

impl Fault {
    /// Returns a fault of the file `path` that has no single place in it.
    pub(super) fn of(path: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, text: text.into(), remedy: remedy.into(), choice: None }
    }

    /// Says what is wrong at a place, as a fault does; the text holds what would be right.
    pub fn told(path: &str, line: Option<usize>, text: &str) -> String {
        struct Told<'a>(&'a str, Option<usize>, &'a str);
        impl fmt::Display for Told<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                place(f, self.0, self.1)?;
                escape(f, self.2)
            }
        }
        Told(path, line, text).to_string()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.path, self.line)?;
        escape(f, &self.text)?;
        f.write_str("; ")?;
        escape(f, &self.remedy)
    }
}

fn place(f: &mut fmt::Formatter<'_>, path: &str, line: Option<usize>) -> fmt::Result {
    escape(f, path)?;
    if let Some(line) = line {
        write!(f, ":{line}")?;
    }
    f.write_str(": ")
}

/// Writes `text` with every character escaped that a terminal would obey or not show.
fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => f.write_char(character)?,
            other => write!(f, "{}", other.escape_debug())?,
        }
    }
    Ok(())
}

/// Returns the first line of `text` between backquotes, cut where it is long.
pub(super) fn quote(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim_end();
    match line.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("`{}…`", &line[..end]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let fault = Fault {
            path: "a\u{1b}[2J.toml".to_owned(),
            line: Some(3),
            text: quote("x\u{7}\u{202e}\u{9b}y\nsecond line"),
            remedy: "say \"y\"".to_owned(),
            choice: None,
        };
        assert_eq!(fault.to_string(), r#"a\u{1b}[2J.toml:3: `x\u{7}\u{202e}\u{9b}y`; say "y""#);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(quote(&"é".repeat(500)).chars().count(), MAX_QUOTE + 3);
    }
}
