//! What of a period coverage leaves speak for.

use jiff::Timestamp;

use super::value::Coverage;

/// The most stretches without coverage that are listed.
const MAX_HOLES: usize = 50;

type Span = (Timestamp, Timestamp);

/// Takes the stretches that leaves cover, in the order of the leaves, and those that gaps say are lost.
#[derive(Debug, Default)]
pub(super) struct Covering {
    spans: Vec<Span>,
    lost: Vec<Span>,
}

impl Covering {
    pub(super) fn cover(&mut self, (from, until): Span) {
        match self.spans.last_mut() {
            Some(last) if last.1 == from => last.1 = until,
            Some(_) | None => self.spans.push((from, until)),
        }
    }

    pub(super) fn lose(&mut self, span: Span) {
        self.lost.push(span);
    }

    /// Returns what of the period is covered. Time before the first leaf and behind the last is not.
    pub(super) fn of(mut self, (from, to): Span) -> Coverage {
        self.spans.sort_unstable();
        let (mut holes, mut reached) = (Vec::new(), from);
        for (begin, end) in self.spans {
            if begin > reached {
                holes.push((reached, begin.min(to)));
            }
            reached = reached.max(end);
            if reached >= to {
                break;
            }
        }
        holes.push((reached, to));
        holes.extend(self.lost.into_iter().map(|(begin, end)| (begin.max(from), end.min(to))));
        holes.retain(|(begin, end)| begin < end);
        let holes = joined(holes);
        let micros = |span: &Span| i128::from(span.1.as_microsecond()) - i128::from(span.0.as_microsecond());
        let (total, missing) = (micros(&(from, to)), holes.iter().map(micros).sum::<i128>());
        let share = ((total - missing).max(0) * 10_000).checked_div(total).unwrap_or_default();
        let more_holes = holes.len().saturating_sub(MAX_HOLES) as u64;
        Coverage {
            basis_points: u16::try_from(share).unwrap_or_default(),
            holes: longest(holes),
            more_holes,
            missing: u64::try_from((missing + 999_999) / 1_000_000).unwrap_or_default(),
        }
    }
}

/// Returns the longest stretches, in order.
fn longest(mut holes: Vec<Span>) -> Vec<Span> {
    holes.sort_by_key(|(from, until)| (std::cmp::Reverse(until.duration_since(*from)), *from));
    holes.truncate(MAX_HOLES);
    holes.sort_unstable();
    holes
}

/// Joins stretches that overlap or touch.
fn joined(mut stretches: Vec<Span>) -> Vec<Span> {
    stretches.sort_unstable();
    let mut joined: Vec<Span> = Vec::new();
    for (from, until) in stretches {
        match joined.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(until),
            Some(_) | None => joined.push((from, until)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_of_a_period_no_leaf_covers_is_missing() {
        let at = |hour: u32| format!("2026-03-01T{hour:02}:00:00Z").parse::<Timestamp>().unwrap();
        let covered = |spans: &[(u32, u32)], lost: &[(u32, u32)]| {
            let mut covering = Covering::default();
            spans.iter().for_each(|(from, until)| covering.cover((at(*from), at(*until))));
            lost.iter().for_each(|(from, until)| covering.lose((at(*from), at(*until))));
            covering.of((at(4), at(14)))
        };
        for (spans, lost, points, holes) in [
            (&[(0, 6), (6, 20)][..], &[][..], 10_000, &[][..]),
            (&[(5, 8), (8, 9), (10, 20)], &[], 8000, &[(4, 5), (9, 10)]),
            (&[(0, 20)], &[(1, 5), (5, 6), (13, 16)], 7000, &[(4, 6), (13, 14)]),
            (&[(0, 2), (16, 20)], &[], 0, &[(4, 14)]),
            (&[], &[], 0, &[(4, 14)]),
            (&[(6, 20), (0, 6)], &[], 10_000, &[]),
        ] {
            let found = covered(spans, lost);
            let holes: Vec<_> = holes.iter().map(|(from, until)| (at(*from), at(*until))).collect();
            assert_eq!((found.basis_points, found.holes), (points, holes), "{spans:?} {lost:?}");
        }
    }

    #[test]
    fn a_second_is_never_rounded_away() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut covering = Covering::default();
        covering.cover((at(0), at(50_000)));
        covering.cover((at(50_001), at(1_000_000)));
        let found = covering.of((at(0), at(1_000_000)));
        assert_eq!((found.basis_points, found.missing), (9999, 1));
    }
}
