//! What commands write: through one locked writer, and never what a terminal would obey.

use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output, locked for the length of a command.
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Shows a text with every character escaped that a terminal would obey or not show.
pub(super) fn plain(text: &str) -> Plain<'_> {
    Plain(text)
}

/// See [`plain`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\'' | '\\' => f.write_char(character)?,
                other => write!(f, "{}", other.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned)] }
    }

    pub(super) fn push(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| plain(&cell).to_string()));
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; N] = std::array::from_fn(width);
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes a line of CSV (RFC 4180), every cell quoted and none a formula.
pub(super) fn write_csv<'a>(out: &mut dyn Write, cells: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    let cells: Vec<_> = cells.into_iter().map(csv_cell).collect();
    write!(out, "{}\r\n", cells.join(","))
}

/// Spreadsheets take a cell that begins with one of these for a formula, quoted or not; the apostrophe makes it text.
fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_of_csv_is_a_formula_or_ends_its_quotes() {
        for (text, cell) in [
            ("upd.kaspersky.com", "\"upd.kaspersky.com\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("a\",=1,\"", "\"a\"\",=1,\"\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(csv_cell(text), cell, "{text:?}");
        }
        let mut out = Vec::new();
        write_csv(&mut out, ["a", "=b"]).unwrap();
        assert_eq!(out, b"\"a\",\"'=b\"\r\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(plain("a\u{1b}[2J\u{202e}\n\"é\"").to_string(), "a\\u{1b}[2J\\u{202e}\\n\"é\"");
    }

    #[test]
    fn columns_of_a_table_are_aligned() {
        let mut table = Table::new(["A", "LONG"]);
        table.push(["wide\n".to_owned(), "x".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A       LONG\nwide\\n  x\n");
    }
}
