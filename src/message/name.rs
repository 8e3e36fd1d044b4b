//! Domain names: one owned, lower-cased wire form that needs no heap.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;

use super::Malformed;
use super::spelling::Capitals;
use super::view::HEADER;

/// The longest name on the wire, its root label included (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// How often a name may be continued elsewhere: it has no more labels.
const MAX_JUMPS: usize = 127;

/// A domain name in uncompressed wire form, ASCII letters in lower case (RFC 4343), root label included.
///
/// Compares, hashes and orders by its octets. `Display` gives presentation form (RFC 1035, section 5.1)
/// without the final dot, printable ASCII only, so that it can stand in a log line.
#[derive(Clone)]
pub struct Name {
    length: u8,
    octets: [u8; MAX_NAME],
}

/// Why a text is not a domain name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("it is empty")]
    Empty,
    #[error("it has an empty label (two dots in a row)")]
    EmptyLabel,
    #[error("a label is longer than 63 octets")]
    LongLabel,
    #[error("it is longer than 255 octets")]
    TooLong,
    #[error("a backslash must be followed by three digits up to 255, or by one other character")]
    Escape,
    #[error("it has a character outside ASCII; write international names as A-labels (xn--…)")]
    NotAscii,
}

impl Name {
    /// Returns the root name.
    pub const fn root() -> Self {
        Self { length: 1, octets: [0; MAX_NAME] }
    }

    /// Returns the name whose uncompressed wire form is exactly `wire`.
    ///
    /// # Errors
    /// `Malformed` where a label is longer than 63 octets, the name longer than 255, or `wire` has another end.
    pub fn from_wire(wire: &[u8]) -> Result<Self, Malformed> {
        let (name, end) = Self::read(wire, 0)?;
        if end == wire.len() && usize::from(name.length) == end { Ok(name) } else { Err(Malformed) }
    }

    /// Reads the name at `at` of a message, following compression pointers backwards only (RFC 1035, section 4.1.4).
    /// Returns it with the offset of the first octet behind it.
    ///
    /// # Errors
    /// `Malformed` where the name leaves the message, is too long, has a reserved label type (RFC 6891, section 5),
    /// or a pointer that does not point before the part that it continues.
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), Malformed> {
        Self::read_from(message, at, |_| true)
    }

    /// Reads the name at `at` of a message, in which nothing stands before it that a pointer could mean, and its capitals.
    ///
    /// # Errors
    /// `Malformed` where the name leaves the message, is too long, or has anything but labels.
    #[inline]
    pub(super) fn read_first(message: &[u8], at: usize) -> Result<(Self, Capitals), Malformed> {
        let rest = message.get(at..).ok_or(Malformed)?;
        let mut end = 0;
        loop {
            match *rest.get(end).ok_or(Malformed)? {
                0 => break,
                length @ 1..=63 => end += 1 + usize::from(length),
                _ => return Err(Malformed),
            }
        }
        let wire = rest.get(..=end).ok_or(Malformed)?;
        let mut name = Self { length: u8::try_from(wire.len()).map_err(|_| Malformed)?, octets: [0; MAX_NAME] };
        let own = name.octets.get_mut(..wire.len()).ok_or(Malformed)?;
        own.copy_from_slice(wire);
        // Length octets are below 'A', so that lower-casing all of it leaves them alone.
        own.make_ascii_lowercase();
        let capitals = if *own == *wire { Capitals::default() } else { Capitals::of(wire) };
        Ok((name, capitals))
    }

    /// Reads a name as [`Name::read`] does, made only of octets of which `may_read` says so; it is told of each label and
    /// of each pointer.
    ///
    /// # Errors
    /// Those of [`Name::read`], and `Malformed` where `may_read` says no.
    pub fn read_from(
        message: &[u8],
        at: usize,
        may_read: impl Fn(Range<usize>) -> bool,
    ) -> Result<(Self, usize), Malformed> {
        let mut name = Self { length: 0, octets: [0; MAX_NAME] };
        let touch = |range| if may_read(range) { Ok(()) } else { Err(Malformed) };
        let end = walk(message, at, touch, |octets| name.push(octets))?;
        Ok((name, end))
    }

    /// Reads a name as [`Name::read`] does, and keeps nothing of it but where it ends.
    ///
    /// # Errors
    /// Those of [`Name::read`].
    pub fn check(message: &[u8], at: usize) -> Result<usize, Malformed> {
        let mut length = 0;
        walk(
            message,
            at,
            |_| Ok(()),
            |octets| {
                length += octets.len();
                if length > MAX_NAME { Err(Malformed) } else { Ok(()) }
            },
        )
    }

    fn push(&mut self, octets: &[u8]) -> Result<(), Malformed> {
        let start = usize::from(self.length);
        let target = self.octets.get_mut(start..start + octets.len()).ok_or(Malformed)?;
        target.copy_from_slice(octets);
        // Length octets are below 'A', so that lower-casing the whole run leaves them alone.
        target.make_ascii_lowercase();
        self.length = u8::try_from(start + octets.len()).map_err(|_| Malformed)?;
        Ok(())
    }

    /// Returns the uncompressed, lower-cased wire form, root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    /// Returns whether this is the root name.
    pub fn is_root(&self) -> bool {
        self.length == 1
    }

    /// Returns the labels from left to right, without the root label.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes().filter_map(|suffix| match suffix {
            [] | [0, ..] => None,
            [length, rest @ ..] => Some(&rest[..usize::from(*length)]),
        })
    }

    /// Returns the wire forms of this name and of each name above it, this one first and the root last.
    pub fn suffixes(&self) -> Suffixes<'_> {
        Suffixes { rest: Some(self.as_wire()) }
    }

    /// Returns how many labels the name has, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.suffixes().count() - 1
    }

    /// Returns the name one label up; the root has none.
    pub fn parent(&self) -> Option<Self> {
        self.suffixes().nth(1).and_then(|wire| Self::from_wire(wire).ok())
    }

    /// Returns whether this name is `ancestor` or below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        self.suffixes().any(|suffix| suffix == ancestor.as_wire())
    }
}

/// Gives `push` the labels of the name at `at`, each with its length octet and the root label last, following pointers, and
/// `touch` where the labels and pointers stand. Returns the offset of the first octet behind the name.
pub(super) fn walk(
    message: &[u8],
    at: usize,
    touch: impl Fn(Range<usize>) -> Result<(), Malformed>,
    mut push: impl FnMut(&[u8]) -> Result<(), Malformed>,
) -> Result<usize, Malformed> {
    let mut position = at;
    let mut floor = at;
    let mut jumps = 0;
    let mut end = None;
    loop {
        let length = *message.get(position).ok_or(Malformed)?;
        match length {
            0 => {
                touch(position..position + 1)?;
                push(&[0])?;
                return Ok(end.unwrap_or(position + 1));
            }
            1..=63 => {
                let next = position + 1 + usize::from(length);
                touch(position..next)?;
                push(message.get(position..next).ok_or(Malformed)?)?;
                position = next;
            }
            0xC0..=0xFF => {
                let low = *message.get(position + 1).ok_or(Malformed)?;
                touch(position..position + 2)?;
                end.get_or_insert(position + 2);
                position = usize::from(u16::from_be_bytes([length & 0x3F, low]));
                // Each jump goes below everything read so far, so that no chain can loop or grow long. None goes into
                // the header: its id is another in each response, and so would be the name.
                jumps += 1;
                if position >= floor || position < HEADER || jumps > MAX_JUMPS {
                    return Err(Malformed);
                }
                floor = position;
            }
            64..=0xBF => return Err(Malformed),
        }
    }
}

/// The wire forms of a name and of each name above it.
#[derive(Debug)]
pub struct Suffixes<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Suffixes<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let current = self.rest?;
        let length = usize::from(*current.first()?);
        self.rest = if length == 0 { None } else { current.get(length + 1..) };
        Some(current)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.as_wire()
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_wire().cmp(other.as_wire())
    }
}

impl FromStr for Name {
    type Err = NameError;

    /// Reads presentation form (RFC 1035, section 5.1): `\DDD` and `\X` escapes, the final dot optional, `.` the root.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.as_bytes();
        match text {
            [] => return Err(NameError::Empty),
            b"." => return Ok(Self::root()),
            _ => {}
        }
        let mut name = Self { length: 0, octets: [0; MAX_NAME] };
        let mut label = Vec::with_capacity(MAX_LABEL + 1);
        let mut rest = text;
        while let [first, tail @ ..] = rest {
            rest = tail;
            match first {
                b'.' => name.push_label(&mut label)?,
                b'\\' => match tail {
                    [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                        let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
                        label.push(u8::try_from(value).map_err(|_| NameError::Escape)?);
                        rest = after;
                    }
                    [b'0'..=b'9', ..] | [] => return Err(NameError::Escape),
                    [other, after @ ..] if other.is_ascii() => {
                        label.push(*other);
                        rest = after;
                    }
                    [_, ..] => return Err(NameError::NotAscii),
                },
                other if other.is_ascii() => label.push(*other),
                _ => return Err(NameError::NotAscii),
            }
        }
        if !label.is_empty() {
            name.push_label(&mut label)?;
        }
        name.push(&[0]).map_err(|_| NameError::TooLong)?;
        Ok(name)
    }
}

impl Name {
    fn push_label(&mut self, label: &mut Vec<u8>) -> Result<(), NameError> {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        let length = u8::try_from(label.len()).ok().filter(|length| usize::from(*length) <= MAX_LABEL);
        self.push(&[length.ok_or(NameError::LongLabel)?]).map_err(|_| NameError::TooLong)?;
        self.push(label).map_err(|_| NameError::TooLong)?;
        label.clear();
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        if self.is_root() {
            return f.write_char('.');
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            for octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", char::from(*octet))?,
                    0x21..=0x7E => f.write_char(char::from(*octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn spelling_makes_no_difference() {
        for spelling in ["UPD.Kaspersky.COM", "upd.kaspersky.com.", "\\117pd.kaspersky.com", "u\\pd.kaspersky.com"] {
            assert_eq!(name(spelling), name("upd.kaspersky.com"), "{spelling}");
        }
    }

    #[test]
    fn display_never_carries_control_characters() {
        let hostile = Name::from_wire(b"\x06a\x00\n\x1b.\\\x03com\x00").unwrap();
        assert_eq!(hostile.to_string(), "a\\000\\010\\027\\.\\\\.com");
        assert_eq!(name(&hostile.to_string()), hostile);
    }

    #[test]
    fn faults_are_told_apart() {
        for (text, error) in [
            ("", NameError::Empty),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            ("a\\25", NameError::Escape),
            ("a\\256", NameError::Escape),
            ("\\", NameError::Escape),
            ("ü.example", NameError::NotAscii),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text}");
        }
        assert_eq!("a".repeat(64).parse::<Name>(), Err(NameError::LongLabel));
        assert_eq!("a.".repeat(128).parse::<Name>(), Err(NameError::TooLong));
        assert!("a.".repeat(127).parse::<Name>().is_ok());
    }

    #[test]
    fn pointers_go_backwards_or_nowhere() {
        let message = b"\x01h\x00.........\x03com\x00\x03foo\xC0\x0C\xC0\x17\xC0\x00";
        let (read, end) = Name::read(message, 17).unwrap();
        assert_eq!((read, end), (name("foo.com"), 23));
        assert!(Name::read(message, 23).is_err(), "a pointer to itself");
        assert!(Name::read(message, 25).is_err(), "a pointer into the header");
        assert!(Name::read(b"............\x01a\xC0\x0C", 12).is_err(), "a loop");
        assert!(Name::read(b"\x01a\x40b\x00", 0).is_err(), "a reserved label type");
    }

    #[test]
    fn a_suffix_is_a_run_of_whole_labels() {
        assert!(name("a.kaspersky.com").is_at_or_below(&name("kaspersky.com")));
        assert!(!name("notkaspersky.com").is_at_or_below(&name("kaspersky.com")));
        assert_eq!(name("a.b").labels().collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(name("a.b.c").parent(), Some(name("b.c")));
        assert_eq!(Name::root().parent(), None);
    }

    proptest! {
        #[test]
        fn presentation_form_reads_back(labels in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..10)) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label);
            }
            wire.push(0);
            let read = Name::from_wire(&wire).unwrap();
            prop_assert_eq!(read.to_string().parse::<Name>().unwrap(), read);
        }

        #[test]
        fn any_octets_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..320) {
            let _ = Name::read(&message, at);
        }
    }
}
