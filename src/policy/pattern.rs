//! How an entry matches names: exactly, with all names below, or by a pattern of bounded size.

use std::fmt;

use ipnet::IpNet;

use super::networks::{NetworkError, parse_network};
use crate::message::{MAX_LABEL, Name, NameError};

/// The most names that one pattern may stand for.
const MAX_EXPANSIONS: usize = 10_000;
/// The most octets that a pattern may take while it is written out; 10,000 of the longest names take less.
const MAX_WRITTEN: usize = 16 * 1024 * 1024;

/// The kind of matching, as files write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// The name alone.
    Exact,
    /// The name and all names below it.
    Suffix,
    /// The names that the pattern stands for; none below them.
    Pattern,
    /// The addresses of a network, where an answer tells them.
    Network,
}

impl Matching {
    /// Returns the word that files and records use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Suffix => "suffix",
            Self::Pattern => "pattern",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How specific a match is: an exact one before a pattern before the longest suffix; for addresses, the longest prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Specificity {
    /// By a network whose prefix has this many bits.
    Network(u8),
    /// By a suffix of this many labels.
    Suffix(usize),
    Pattern,
    Exact,
}

/// A parsed name or pattern of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Exact(Name),
    Suffix(Name),
    /// `names` are the alternatives written out, `globs` those that still have a `*` inside a label.
    Pattern {
        names: Vec<Name>,
        globs: Vec<Glob>,
    },
    /// Never covers a name.
    Network(IpNet),
}

/// Names of a fixed number of labels, where `*` inside a label stands for any run of octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    labels: Box<[Box<[u8]>]>,
    tail: Name,
}

/// Why a text is not a name or pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("`*` and `{{…}}` need match = \"pattern\"")]
    NotAPattern,
    #[error("it would cover a whole top-level domain; name at least two labels behind any `*`")]
    TooWide,
    #[error("a brace is not closed, or not opened")]
    Brace,
    #[error("`{0}` is not a range of numbers such as 00..19")]
    Range(String),
    #[error("it stands for more than 10000 names, or is too long")]
    TooMany,
    #[error("a final `.*` needs `public_suffixes` in the catalogue")]
    NoPublicSuffixes,
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Pattern {
    /// Reads the `text` of an entry. A final `.*` of a pattern stands for each of `public_suffixes`.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str, matching: Matching, public_suffixes: &[String]) -> Result<Self, PatternError> {
        match matching {
            Matching::Exact => Ok(Self::Exact(plain(text)?)),
            Matching::Suffix => {
                let name = plain(text)?;
                if name.label_count() < 2 { Err(PatternError::TooWide) } else { Ok(Self::Suffix(name)) }
            }
            Matching::Pattern => {
                let mut names = Vec::new();
                let mut globs = Vec::new();
                for text in expand(text, public_suffixes)? {
                    if text.contains('*') { globs.push(Glob::parse(&text)?) } else { names.push(plain(&text)?) }
                }
                Ok(Self::Pattern { names, globs })
            }
            Matching::Network => Ok(Self::Network(parse_network(text)?)),
        }
    }

    /// Returns how the entry matches.
    pub const fn matching(&self) -> Matching {
        match self {
            Self::Exact(_) => Matching::Exact,
            Self::Suffix(_) => Matching::Suffix,
            Self::Pattern { .. } => Matching::Pattern,
            Self::Network(_) => Matching::Network,
        }
    }

    /// Returns the names that the entry writes out: its own, or the alternatives of its pattern.
    pub fn names(&self) -> &[Name] {
        match self {
            Self::Exact(name) | Self::Suffix(name) => std::slice::from_ref(name),
            Self::Pattern { names, .. } => names,
            Self::Network(_) => &[],
        }
    }

    /// Returns the names that the entry writes out, and a sample for each of its globs.
    pub fn samples(&self) -> impl Iterator<Item = Name> {
        self.names().iter().cloned().chain(self.globs().iter().map(Glob::sample))
    }

    /// Returns the name below which every name matches too.
    pub const fn covers_below(&self) -> Option<&Name> {
        match self {
            Self::Suffix(name) => Some(name),
            Self::Exact(_) | Self::Pattern { .. } | Self::Network(_) => None,
        }
    }

    /// Returns the globs of a pattern.
    pub fn globs(&self) -> &[Glob] {
        match self {
            Self::Exact(_) | Self::Suffix(_) | Self::Network(_) => &[],
            Self::Pattern { globs, .. } => globs,
        }
    }
}

fn plain(text: &str) -> Result<Name, PatternError> {
    if text.contains(['*', '{', '}']) {
        return Err(PatternError::NotAPattern);
    }
    Ok(text.parse()?)
}

/// Writes out the braces and the final `.*`, leftmost first.
fn expand(text: &str, public_suffixes: &[String]) -> Result<Vec<String>, PatternError> {
    let mut texts = Written::default();
    match text.strip_suffix(".*") {
        Some(_) if public_suffixes.is_empty() => return Err(PatternError::NoPublicSuffixes),
        Some(stem) => public_suffixes.iter().try_for_each(|suffix| texts.push(format!("{stem}.{suffix}")))?,
        None => texts.push(text.to_owned())?,
    }
    while texts.texts.iter().any(|text| text.contains(['{', '}'])) {
        let mut next = Written::default();
        for text in &texts.texts {
            let Some((before, rest)) = text.split_once('{') else { return Err(PatternError::Brace) };
            let Some((inside, after)) = rest.split_once('}') else { return Err(PatternError::Brace) };
            if before.contains('}') || inside.contains('{') {
                return Err(PatternError::Brace);
            }
            for alternative in alternatives(inside)? {
                next.push(format!("{before}{alternative}{after}"))?;
            }
        }
        texts = next;
    }
    Ok(texts.texts)
}

/// Texts that may not grow without bound: a short pattern can stand for more than any memory holds.
#[derive(Default)]
struct Written {
    texts: Vec<String>,
    octets: usize,
}

impl Written {
    fn push(&mut self, text: String) -> Result<(), PatternError> {
        self.octets += text.len();
        if self.texts.len() == MAX_EXPANSIONS || self.octets > MAX_WRITTEN {
            return Err(PatternError::TooMany);
        }
        self.texts.push(text);
        Ok(())
    }
}

/// Reads the inside of a brace: `a,b,c`, or a range `00..19` whose numbers are padded to the width of its start.
fn alternatives(inside: &str) -> Result<Vec<String>, PatternError> {
    let Some((first, last)) = inside.split_once("..") else {
        return Ok(inside.split(',').map(str::to_owned).collect());
    };
    let fault = || PatternError::Range(inside.to_owned());
    let number = |text: &str| match text.len() <= MAX_LABEL && text.bytes().all(|octet| octet.is_ascii_digit()) {
        true => text.parse::<u32>().map_err(|_| fault()),
        false => Err(fault()),
    };
    let (from, to) = (number(first)?, number(last)?);
    if from > to {
        return Err(fault());
    }
    if usize::try_from(to - from).map_or(true, |span| span >= MAX_EXPANSIONS) {
        return Err(PatternError::TooMany);
    }
    Ok((from..=to).map(|number| format!("{number:0width$}", width = first.len())).collect())
}

impl Glob {
    fn parse(text: &str) -> Result<Self, PatternError> {
        // A star is an ordinary octet of a name, so that the name parser checks lengths and escapes here too.
        let name: Name = text.parse()?;
        let tail = name.suffixes().find(|suffix| !suffix.contains(&b'*')).expect("the root has no star");
        let tail = Name::from_wire(tail).expect("a suffix of a name is a name");
        if tail.label_count() < 2 {
            return Err(PatternError::TooWide);
        }
        Ok(Self { labels: name.labels().map(Box::from).collect(), tail })
    }

    /// Returns the labels behind the last one with a `*`.
    pub fn tail(&self) -> &Name {
        &self.tail
    }

    /// Returns one of the names that the glob stands for: the one whose stars are stars, which nobody uses.
    pub fn sample(&self) -> Name {
        let mut wire = Vec::new();
        for label in &self.labels {
            wire.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
            wire.extend_from_slice(label);
        }
        wire.push(0);
        Name::from_wire(&wire).expect("the glob was read as a name")
    }

    /// Returns whether the glob stands for `name`.
    pub fn matches(&self, name: &Name) -> bool {
        let mut labels = name.labels();
        self.labels.iter().all(|glob| labels.next().is_some_and(|label| label_matches(glob, label)))
            && labels.next().is_none()
    }
}

/// Matches one label against a glob with any number of stars, without recursion: on a mismatch the last star takes
/// one octet more. Labels are at most 63 octets, so that the product of both lengths bounds the work.
fn label_matches(glob: &[u8], label: &[u8]) -> bool {
    let (mut g, mut l) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while l < label.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, l));
            g += 1;
        } else if glob.get(g) == Some(&label[l]) {
            g += 1;
            l += 1;
        } else if let Some((star_g, star_l)) = star {
            star = Some((star_g, star_l + 1));
            g = star_g + 1;
            l = star_l + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let suffixes = ["com".to_owned(), "co.uk".to_owned()];
        let pattern = Pattern::parse(text, Matching::Pattern, &suffixes).unwrap();
        pattern.names().iter().map(Name::to_string).collect()
    }

    #[test]
    fn braces_and_public_suffixes_are_written_out() {
        assert_eq!(
            names("s{08..11}.upd.example.com"),
            ["s08.upd.example.com", "s09.upd.example.com", "s10.upd.example.com", "s11.upd.example.com"]
        );
        assert_eq!(names("{a,b}.x{1..2}.org"), ["a.x1.org", "a.x2.org", "b.x1.org", "b.x2.org"]);
        assert_eq!(names("list.{com,com.br}"), ["list.com", "list.com.br"]);
        assert_eq!(names("{t,u}.example.*"), ["t.example.com", "u.example.com", "t.example.co.uk", "u.example.co.uk"]);
    }

    #[test]
    fn a_star_stays_inside_its_label() {
        let pattern = Pattern::parse("ksn-*-geo.example.com", Matching::Pattern, &[]).unwrap();
        let glob = &pattern.globs()[0];
        for (name, expected) in [
            ("ksn-a-geo.example.com", true),
            ("KSN-a-b-geo.example.com", true),
            ("ksn--geo.example.com", true),
            ("ksn-a.b-geo.example.com", false),
            ("x.ksn-a-geo.example.com", false),
            ("ksn-a-geo.example.com.evil.org", false),
            ("ksn-a-geox.example.com", false),
            ("ksn-geo.example.com", false),
        ] {
            assert_eq!(glob.matches(&name.parse().unwrap()), expected, "{name}");
        }
        assert!(glob.matches(&glob.sample()));
    }

    #[test]
    fn what_is_too_wide_or_malformed_is_refused() {
        for (text, matching) in [
            ("com", Matching::Suffix),
            ("*kaspersky*", Matching::Pattern),
            ("a.*.com", Matching::Pattern),
            ("{a,b.com", Matching::Pattern),
            ("a}.com", Matching::Pattern),
            ("{9..1}.example.com", Matching::Pattern),
            ("{1..99999}.example.com", Matching::Pattern),
            ("{+1..+3}.example.com", Matching::Pattern),
            ("{1..100}{1..100}{1..100}{1..100}{1..100}.example.com", Matching::Pattern),
            ("shop.example.*", Matching::Pattern),
            ("*.example.com", Matching::Exact),
            ("a..com", Matching::Exact),
        ] {
            assert!(Pattern::parse(text, matching, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_short_text_cannot_take_all_memory() {
        let zeros = "0".repeat(70_000);
        let commas = format!("{{{}}}.example.com", ",".repeat(1_000_000));
        let long = format!("{{1..10000}}{}.example.com", "x".repeat(1_000_000));
        for text in [format!("{{{zeros}..{zeros}1}}.example.com"), commas, long] {
            assert!(Pattern::parse(&text, Matching::Pattern, &[]).is_err());
        }
        let suffixes: Vec<_> = (0..20_000).map(|number| format!("x{number}")).collect();
        assert_eq!(Pattern::parse("a.*", Matching::Pattern, &suffixes), Err(PatternError::TooMany));
    }
}
