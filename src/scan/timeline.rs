//! Counts over time, in bounded memory: where there are many bins, they become wider.

use std::collections::BTreeMap;

use jiff::Timestamp;

const HOUR: i64 = 3600;

/// How many hours a bin may have: one, a day, a week and so on. Each is a multiple of the one before, so that bins can be joined; of the
/// widest, there are 21 in all the time that there is.
const WIDTHS: [u32; 8] = [1, 24, 7 * 24, 28 * 24, 364 * 24, 3640 * 24, 36_400 * 24, 364_000 * 24];

/// How many bins are kept.
const MAX_BINS: usize = 8192;

/// The most bins that are shown.
const MAX_SHOWN: i64 = 62;

/// Counts of three kinds by time.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The place in [`WIDTHS`].
    width: usize,
    bins: BTreeMap<i64, [u64; 3]>,
}

/// Bins of one width with nothing left out between them: the first instant of each, and what was counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Bins {
    pub hours: u32,
    pub bins: Vec<(Timestamp, [u64; 3])>,
}

fn seconds(width: usize) -> i64 {
    WIDTHS.get(width).map_or(i64::MAX, |hours| i64::from(*hours) * HOUR)
}

impl Timeline {
    /// Counts what was of one of the three kinds.
    pub fn add(&mut self, kind: usize, at: Timestamp, count: u64) {
        let bin = at.as_second().div_euclid(seconds(self.width));
        if let Some(sum) = self.bins.entry(bin).or_default().get_mut(kind) {
            *sum = sum.saturating_add(count);
        }
        while self.bins.len() > MAX_BINS && self.width + 1 < WIDTHS.len() {
            self.widen();
        }
    }

    fn widen(&mut self) {
        let (from, to) = (seconds(self.width), seconds(self.width + 1));
        self.width += 1;
        for (bin, counts) in std::mem::take(&mut self.bins) {
            let joined = self.bins.entry((bin * from).div_euclid(to)).or_default();
            joined.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        }
    }

    /// Returns the counts of the time from `first` to `last`, in as many bins as can be shown: by hour where that is less than three days.
    pub fn bins(mut self, first: Timestamp, last: Timestamp) -> Bins {
        let place = |at: Timestamp, width: usize| at.as_second().div_euclid(seconds(width));
        while place(last, self.width) - place(first, self.width) >= MAX_SHOWN && self.width + 1 < WIDTHS.len() {
            self.widen();
        }
        let begin = |bin: i64| Timestamp::from_second(bin * seconds(self.width)).unwrap_or(Timestamp::MIN);
        let shown = place(first, self.width)..=place(last, self.width);
        let bins = shown.map(|bin| (begin(bin), self.bins.get(&bin).copied().unwrap_or_default())).collect();
        Bins { hours: WIDTHS[self.width], bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn bins_are_as_wide_as_the_time_is_long_and_nothing_is_lost() {
        for (first, last, hours, bins) in [
            ("2026-03-01T10:59:59Z", "2026-03-01T10:59:59Z", 1, 1),
            ("2026-03-01T10:59:59Z", "2026-03-01T11:00:00Z", 1, 2),
            ("2026-03-01T00:00:00Z", "2026-03-03T13:00:00Z", 1, 62),
            ("2026-03-01T00:00:00Z", "2026-03-03T14:00:00Z", 24, 3),
            ("2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z", 7 * 24, 14),
            ("2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 364 * 24, 7),
        ] {
            let mut of = Timeline::default();
            of.add(0, at(first), 2);
            of.add(2, at(last), 3);
            let found = of.bins(at(first), at(last));
            assert_eq!((found.hours, found.bins.len()), (hours, bins), "{first} {last}");
            assert!(found.bins[0].0 <= at(first) && found.bins.last().unwrap().0 <= at(last), "{found:?}");
            assert_eq!((found.bins[0].1[0], found.bins.last().unwrap().1[2]), (2, 3), "{found:?}");
        }
    }

    #[test]
    fn a_flood_of_instants_is_joined_and_every_sum_stays_exact() {
        let mut of = Timeline::default();
        let span = Timestamp::MAX.as_second() / 50_000 - Timestamp::MIN.as_second() / 50_000;
        for number in 0..50_000 {
            let at = Timestamp::from_second(Timestamp::MIN.as_second() + number * span).unwrap();
            of.add((number % 3) as usize, at, 1);
            assert!(of.bins.len() <= MAX_BINS);
        }
        let found = of.bins(Timestamp::MIN, Timestamp::MAX);
        assert_eq!(found.bins.iter().flat_map(|(_, counts)| counts).sum::<u64>(), 50_000);
        assert!(found.bins.len() <= 62, "{}", found.bins.len());
    }
}
