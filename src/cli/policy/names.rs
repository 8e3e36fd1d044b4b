//! Names that people give: one a line, of any number, read in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::output::plain;
use crate::message::Name;

/// The longest line that is kept, in octets: a name whose every octet is escaped takes a fourfold of 255.
const MAX_LINE: usize = 2048;
/// How many faulty lines are told; further ones are only counted.
const TOLD: usize = 20;

/// Hands each name in `path` to `take`; `-` is standard input. What stands behind `#` is left out. Returns how many names
/// there were, and how many lines hold none; those are told on standard error.
pub(super) fn each(path: &Path, take: &mut dyn FnMut(Name)) -> anyhow::Result<(u64, u64)> {
    let shown = path.display().to_string();
    let unreadable = || format!("cannot read names from {shown}");
    let read = match path == Path::new("-") {
        true => read(&mut io::stdin().lock(), &shown, take),
        false => read(&mut BufReader::new(File::open(path).with_context(unreadable)?), &shown, take),
    };
    read.with_context(unreadable)
}

fn read(lines: &mut dyn BufRead, shown: &str, take: &mut dyn FnMut(Name)) -> io::Result<(u64, u64)> {
    let (mut names, mut faulty) = (0, 0);
    let (mut line, mut number) = (Vec::new(), 0u64);
    while let Some(whole) = next_line(lines, &mut line)? {
        number += 1;
        let text = String::from_utf8_lossy(&line);
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() && whole {
            continue;
        }
        let name = match whole {
            true => text.parse::<Name>().map_err(|error| error.to_string()),
            false => Err(format!("it is longer than {MAX_LINE} octets")),
        };
        match name {
            Ok(name) => {
                names += 1;
                take(name);
            }
            Err(error) => {
                faulty += 1;
                if faulty <= TOLD as u64 {
                    let start: String = text.chars().take(80).collect();
                    let told =
                        format!("{shown}:{number}: `{start}` is not a domain name: {error}; the line is left out");
                    // Nobody is left to tell where standard error is closed.
                    let _ = writeln!(io::stderr(), "{}", plain(&told));
                }
            }
        }
    }
    if faulty > TOLD as u64 {
        let _ = writeln!(io::stderr(), "{}: {faulty} lines in all are no names", plain(shown));
    }
    Ok((names, faulty))
}

/// Reads a line into `line`, as much of it as is kept. Returns whether that is all of it; `None` at the end.
fn next_line(lines: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut length = 0usize;
    loop {
        let available = match lines.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok((length > 0).then_some(length <= MAX_LINE));
        }
        let end = available.iter().position(|octet| *octet == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
        length = length.saturating_add(part.len());
        let used = part.len() + usize::from(end.is_some());
        lines.consume(used);
        if end.is_some() {
            return Ok(Some(length <= MAX_LINE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_a_line_each_and_faulty_lines_are_counted() {
        let long = "x".repeat(3 * MAX_LINE);
        let text = format!(
            "# a comment\nUpd.Vendor.Example.\r\n\n  b.example # behind\n{long}\na..b\n\u{e9}.example\nlast.example"
        );
        let mut names = Vec::new();
        // A reader with a buffer of one octet has every line in pieces.
        let mut lines = BufReader::with_capacity(1, text.as_bytes());
        let counted = read(&mut lines, "names", &mut |name| names.push(name.to_string())).unwrap();
        assert_eq!(counted, (3, 3));
        assert_eq!(names, ["upd.vendor.example", "b.example", "last.example"]);
        assert_eq!(read(&mut &b""[..], "names", &mut |_| panic!("there is none")).unwrap(), (0, 0));
    }
}
