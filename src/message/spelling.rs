//! The letters of a name in the case that somebody chose: answers repeat them, and nothing is decided by them.

use std::fmt;

use super::name::walk;
use super::{MAX_NAME, Malformed};

/// A name in uncompressed wire form, in the case that somebody chose. Answers repeat it; nothing is decided by it.
#[derive(Clone)]
pub struct Spelling {
    length: u8,
    octets: [u8; MAX_NAME],
}

/// Which letters of a name somebody chose to write as capitals. Answers repeat them; nothing is decided by them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capitals([u64; 4]);

impl Capitals {
    /// Notes the capitals of a wire form of at most 256 octets.
    pub(super) fn of(wire: &[u8]) -> Self {
        let mut capitals = Self::default();
        // Length octets are below 'A'.
        for (place, _) in wire.iter().enumerate().filter(|(_, octet)| octet.is_ascii_uppercase()) {
            capitals.0[place >> 6 & 3] |= 1 << (place & 63);
        }
        capitals
    }

    /// Writes a name in lower case with these capitals.
    pub fn put_on(self, name: &mut [u8]) {
        if self == Self::default() {
            return;
        }
        for (place, octet) in name.iter_mut().enumerate() {
            if self.0[place >> 6 & 3] >> (place & 63) & 1 == 1 {
                octet.make_ascii_uppercase();
            }
        }
    }
}

impl Spelling {
    /// Reads the name at `at` of a message as [`super::Name::read`] does, in the case that it is written in.
    ///
    /// # Errors
    /// Those of [`super::Name::read`].
    pub fn read(message: &[u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut spelling = Self { length: 0, octets: [0; MAX_NAME] };
        let end = walk(
            message,
            at,
            |_| Ok(()),
            |octets| {
                let start = usize::from(spelling.length);
                let target = spelling.octets.get_mut(start..start + octets.len()).ok_or(Malformed)?;
                target.copy_from_slice(octets);
                spelling.length = u8::try_from(start + octets.len()).map_err(|_| Malformed)?;
                Ok(())
            },
        )?;
        Ok((spelling, end))
    }

    /// Returns the wire form, root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_wire().escape_ascii().fmt(f)
    }
}
