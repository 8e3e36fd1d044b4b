//! What somebody who wrote an unknown word may have meant.

/// Words longer than this are not compared; no key is near them.
const MAX_WORD: usize = 64;

/// Returns the known word that is nearest to `word`, if any is near.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let near = |known: &str| {
        let known = known.to_ascii_lowercase();
        // Whoever leaves out the unit of `idle_ms`, or writes `server` for `servers`, is near too.
        let part = word.len() >= 3 && (known.starts_with(&word) || word.starts_with(&known));
        let distance = if part { 1 } else { distance(&word, &known) };
        (distance <= word.chars().count().max(3) / 3, distance)
    };
    known
        .filter_map(|known| match near(known) {
            (true, distance) => Some((distance, known)),
            (false, _) => None,
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Returns how many characters must be put in, taken out or changed to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, character) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, known) in other.iter().enumerate() {
            let change = diagonal + usize::from(character != *known);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_near_and_other_words_are_not() {
        const KNOWN: [&str; 4] = ["servers", "timeout_ms", "attempts", "in_flight"];
        for (word, near) in [
            ("server", Some("servers")),
            ("timeout", Some("timeout_ms")),
            ("atempts", Some("attempts")),
            ("In-Flight", Some("in_flight")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, KNOWN.into_iter()), near, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
