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
}

impl Fault {
    /// Returns a fault of the file `path` that has no single place in it.
    pub(super) fn of(path: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, text: text.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, &self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        escape(f, &self.text)?;
        f.write_str("; ")?;
        escape(f, &self.remedy)
    }
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
        };
        assert_eq!(fault.to_string(), r#"a\u{1b}[2J.toml:3: `x\u{7}\u{202e}\u{9b}y`; say "y""#);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(quote(&"é".repeat(500)).chars().count(), MAX_QUOTE + 3);
    }
}
