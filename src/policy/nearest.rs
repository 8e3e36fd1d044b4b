//! How near a name comes to an entry that does not match it, for people who wonder.

use super::pattern::Pattern;
use crate::message::Name;

/// How far `name` is from matching `listed`, and why it does not match; `None` where it is not near.
pub(super) fn distance(listed: &Name, pattern: &Pattern, name: &Name) -> Option<(usize, &'static str)> {
    let covers_below = matches!(pattern, Pattern::Suffix(_));
    if !covers_below && name.is_at_or_below(listed) {
        let labels = name.label_count() - listed.label_count();
        return Some((labels, "the entry does not cover names below it"));
    }
    let (listed_wire, name_wire) = (listed.as_wire(), name.as_wire());
    let stem = &listed_wire[..listed_wire.len() - 1];
    if name_wire.windows(stem.len()).any(|window| window == stem) {
        return Some((4, "the listed name stands in front of another domain"));
    }
    if listed.is_at_or_below(name) {
        let labels = listed.label_count() - name.label_count();
        return Some((4 + labels, "the entry lies below the name, and covers nothing above itself"));
    }
    let edits = edits(&listed_wire[..listed_wire.len() - 1], &name_wire[..name_wire.len() - 1]);
    let near = listed_wire.len() / 3;
    (edits <= near).then_some((8 + edits, "the names look alike but are different labels"))
}

/// Levenshtein distance of two octet strings.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
