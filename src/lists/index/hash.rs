//! The keyed hash of a name and of every name above it, in one pass over its labels.

/// The key of one index: nobody who chooses names knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u64; 4]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whoever reads a log could choose names that fall together.
        f.write_str("Key(…)")
    }
}

/// The hash of the labels read so far, from the right.
#[derive(Clone, Copy)]
pub(super) struct Chain<'k> {
    key: &'k Key,
    state: u64,
}

impl<'k> Chain<'k> {
    /// Starts at the root.
    pub(super) const fn new(key: &'k Key) -> Self {
        Self { key, state: key.0[0] }
    }

    /// Adds a label with its length octet in front: at least two octets.
    pub(super) fn push(&mut self, label: &[u8]) {
        let multiplier = self.key.0[1] | 1;
        let mut rest = label;
        while let Some((word, after)) = rest.split_first_chunk::<8>()
            && !after.is_empty()
        {
            self.state = fold(self.state ^ u64::from_le_bytes(*word), multiplier);
            rest = after;
        }
        self.state = fold(self.state ^ last_word(label, rest), multiplier);
    }

    /// Returns the hash of the name that the labels so far make.
    pub(super) fn hash(&self) -> u64 {
        fold(self.state ^ self.key.0[2], self.key.0[3] | 1)
    }
}

/// Returns the last up to eight octets of a label as a word. Where the label has more, some were taken before; the label
/// begins with its length, so that two labels never give the same words.
fn last_word(label: &[u8], rest: &[u8]) -> u64 {
    if let Some(word) = label.last_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32,
        _ => rest.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)),
    }
}

/// Multiplies to 128 bits and folds the halves.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn hash(labels: &[&[u8]]) -> u64 {
        let key = Key([0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xA24B_AED4_963E_E407]);
        let mut chain = Chain::new(&key);
        for label in labels {
            chain.push(label);
        }
        chain.hash()
    }

    #[test]
    fn labels_of_every_length_are_told_apart_by_every_octet() {
        let mut seen = HashSet::new();
        let mut count = 0;
        for length in 1..=63u8 {
            for changed in 0..=length {
                let mut label = vec![b'a'; usize::from(length) + 1];
                label[0] = length;
                if changed > 0 {
                    label[usize::from(changed)] = b'b';
                }
                count += 1;
                seen.insert(hash(&[&label]));
            }
        }
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn where_labels_are_cut_counts() {
        assert_ne!(hash(&[b"\x01a", b"\x01b"]), hash(&[b"\x02ab"]));
        assert_ne!(hash(&[b"\x01a", b"\x01b"]), hash(&[b"\x01b", b"\x01a"]));
    }
}
