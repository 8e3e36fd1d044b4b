//! Sources as text: which module a file is of, and what of it is code that users get.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of `src/`.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) module: String,
    pub(super) text: String,
    /// The text with comments and literals blanked, and all test code; as long as `text`.
    pub(super) code: String,
    /// Where in `text` test code stands.
    pub(super) tests: Vec<Range<usize>>,
}

impl Source {
    pub(super) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// How deep below the crate's root the module of this file is.
    pub(super) fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        parts.trim_end_matches("/mod").split('/').count()
    }
}

/// Reads every file of `src/`, those that hold only tests with their code blanked.
pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths.iter().map(|path| read(root, path)).collect();
    assert!(sources.len() > 20, "only {} files were found in src/", sources.len());
    let test_files: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        if std::iter::successors(Some(stem), |stem| stem.rsplit_once('/').map(|(above, _)| above))
            .any(|stem| test_files.contains(stem))
        {
            source.tests = std::iter::once(0..source.text.len()).collect();
            source.code = blank(&source.code, &source.tests);
        }
    }
    sources
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let module = path.trim_start_matches("src/").split('/').next().unwrap().trim_end_matches(".rs").to_owned();
    let code = blank(&text, &outside_code(&text));
    let tests = test_items(&code);
    // Test modules in files of their own are declared inside what is blanked here; `test_modules` looks at `text`.
    Source { code: blank(&code, &tests), path, module, text, tests }
}

/// Returns `text` with `ranges` as blanks; ends of lines stay, so that lines keep their numbers.
pub(super) fn blank(text: &str, ranges: &[Range<usize>]) -> String {
    let mut octets = text.as_bytes().to_vec();
    for octet in ranges.iter().flat_map(Clone::clone) {
        if octets[octet] != b'\n' {
            octets[octet] = b' ';
        }
    }
    String::from_utf8(octets).expect("whole characters are blanked")
}

/// Returns where comments, strings and characters stand.
pub(super) fn outside_code(text: &str) -> Vec<Range<usize>> {
    let octets = text.as_bytes();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < octets.len() {
        let end = match octets[at] {
            b'/' if text[at..].starts_with("//") => text[at..].find('\n').map_or(text.len(), |length| at + length),
            b'/' if text[at..].starts_with("/*") => end_of_block_comment(text, at),
            b'"' => end_of_string(octets, at),
            b'r' if !is_word(octets, at.wrapping_sub(1)) || octets[at - 1] == b'b' || octets[at - 1] == b'c' => {
                match end_of_raw_string(text, at) {
                    Some(end) => end,
                    None => at,
                }
            }
            b'\'' => end_of_character(text, at),
            _ => at,
        };
        if end > at {
            ranges.push(at..end);
            at = end;
        } else {
            at += 1;
        }
    }
    ranges
}

fn is_word(octets: &[u8], at: usize) -> bool {
    octets.get(at).is_some_and(|octet| octet.is_ascii_alphanumeric() || *octet == b'_')
}

fn end_of_block_comment(text: &str, start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn end_of_string(octets: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < octets.len() {
        match octets[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    octets.len()
}

fn end_of_raw_string(text: &str, start: usize) -> Option<usize> {
    let hashes = text[start + 1..].bytes().take_while(|octet| *octet == b'#').count();
    let body = start + 1 + hashes;
    if text.as_bytes().get(body) != Some(&b'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    Some(text[body + 1..].find(&close).map_or(text.len(), |length| body + 1 + length + close.len()))
}

/// Returns the end of a character literal; a lifetime is code, and ends where it starts.
fn end_of_character(text: &str, start: usize) -> usize {
    let rest = &text[start + 1..];
    let mut characters = rest.char_indices();
    match characters.next() {
        Some((_, '\\')) => rest[2..].find('\'').map_or(text.len(), |length| start + 1 + 2 + length + 1),
        Some(_) => match characters.next() {
            Some((length, '\'')) => start + 1 + length + 1,
            _ => start,
        },
        None => start,
    }
}

const TEST: &str = "#[cfg(test)]";

/// Returns where items under `#[cfg(test)]` stand, their attributes included.
pub(super) fn test_items(code: &str) -> Vec<Range<usize>> {
    if code.contains("#![cfg(test)]") {
        return std::iter::once(0..code.len()).collect();
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices(TEST) {
        if ranges.last().is_none_or(|last| start >= last.end) {
            ranges.push(start..end_of_item(code, start + TEST.len()));
        }
    }
    ranges
}

/// Returns the end of the item at `start`: behind its block, or its semicolon where it has none.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0usize;
    let mut attribute = false;
    for (at, octet) in code.bytes().enumerate().skip(start) {
        match octet {
            b'#' if depth == 0 => attribute = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return at,
            b')' | b']' => {
                depth -= 1;
                attribute &= depth > 0;
            }
            b'}' => {
                depth -= 1;
                let more = code[at + 1..].trim_start().starts_with([';', ',', '.', '?']);
                if depth == 0 && !attribute && !more {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Returns the files, without `.rs`, that a file declares as modules under `#[cfg(test)]`.
pub(super) fn test_modules(source: &Source) -> Vec<String> {
    let bare = blank(&source.text, &outside_code(&source.text));
    let stem = source.path.trim_end_matches(".rs");
    let folder = if source.depth() == 1 && ["src/lib", "src/main"].contains(&stem) {
        "src"
    } else {
        stem.trim_end_matches("/mod")
    };
    let declared = test_items(&bare).into_iter().filter_map(|item| {
        let item = bare[item].trim_end();
        let name = item.strip_suffix(';')?.rsplit_once(char::is_whitespace)?;
        name.0.trim_end().ends_with("mod").then(|| format!("{folder}/{}", name.1))
    });
    declared.collect()
}

/// Returns the modules that a piece of code names through `crate::` or, in the program, `interdict::`.
pub(super) fn used(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for root in ["crate", "interdict"] {
        for at in words(code, root) {
            let Some(path) = code[at + root.len()..].trim_start().strip_prefix("::") else { continue };
            let path = path.trim_start();
            match path.strip_prefix('{') {
                None => used.push((at, first_word(path))),
                Some(group) => used.extend(members(group).into_iter().map(|member| (at, first_word(member)))),
            }
        }
    }
    used.retain(|(_, name)| !name.is_empty() && name != "self");
    used
}

/// Returns the members of a group of imports, of which `group` starts behind the opening brace.
fn members(group: &str) -> Vec<&str> {
    let (mut members, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, octet) in group.bytes().enumerate() {
        match octet {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                members.push(&group[start..at]);
                break;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members
}

pub(super) fn first_word(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns where `word` stands as a whole word.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let octets = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !is_word(octets, at.wrapping_sub(1)) && !is_word(octets, at + word.len()))
}
