//! Look-ups by time, in bins of whole days.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::sums::{Class, Sums};
use super::value::{Bin, Mark, Trend};

const DAY: i64 = 86_400_000_000;
/// The most bins that a chart shows.
const MAX_BINS: i64 = 62;
/// A period is never longer: every instant that there is, in days.
const LENGTHS: [i64; 7] = [1, 7, 28, 91, 364, 3_640, 36_400];

/// Bins that are filled by day.
#[derive(Debug)]
pub(super) struct Bins {
    first: i64,
    days: i64,
    sums: Vec<Sums>,
}

impl Bins {
    pub(super) fn new(from: Timestamp, to: Timestamp) -> Self {
        let first = from.as_microsecond().div_euclid(DAY);
        let count = ((to.as_microsecond() - 1).div_euclid(DAY) - first + 1).max(1);
        let fits = |days: &i64| (count + days - 1) / days <= MAX_BINS;
        let days = LENGTHS.into_iter().find(fits).unwrap_or(count);
        let bins = usize::try_from((count + days - 1) / days).unwrap_or(1);
        Self { first, days, sums: vec![Sums::default(); bins] }
    }

    pub(super) fn add(&mut self, day: i64, class: Class, count: u64) {
        let place = usize::try_from((day - self.first).max(0) / self.days).unwrap_or_default();
        let last = self.sums.len() - 1;
        self.sums[place.min(last)].add(class, count);
    }

    pub(super) fn finish(self, marks: Vec<Mark>) -> Trend {
        let (first, days) = (date(self.first), self.days);
        let bin = |(place, sums): (usize, Sums)| {
            let offset = i64::try_from(place).unwrap_or_default() * days;
            Bin { day: first.checked_add(offset.days()).unwrap_or(Date::MAX), sums }
        };
        let bins = self.sums.into_iter().enumerate().map(bin).collect();
        Trend { days: u32::try_from(days).unwrap_or(u32::MAX), bins, marks }
    }
}

fn date(day: i64) -> Date {
    Timestamp::from_second(day * 86_400).map_or(Date::MIN, |at| TimeZone::UTC.to_datetime(at).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_parted_into_bins_that_a_chart_can_show() {
        for (from, to, days, bins) in [
            ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", 1, 1),
            ("2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z", 1, 2),
            ("2026-01-01T00:00:00Z", "2026-03-04T00:00:00Z", 1, 62),
            ("2026-01-01T00:00:00Z", "2026-03-05T00:00:00Z", 7, 9),
            ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 7, 53),
            ("2024-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 28, 40),
            ("0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z", 364 * 1000 / 10, 101),
        ] {
            let of = Bins::new(from.parse().unwrap(), to.parse().unwrap());
            if days < 1000 {
                assert_eq!((of.days, of.sums.len()), (days, bins), "{from} {to}");
            } else {
                assert!(of.sums.len() <= 110, "{from} {to}");
            }
        }
        let mut bins = Bins::new("2026-03-01T12:00:00Z".parse().unwrap(), "2026-03-03T00:00:00Z".parse().unwrap());
        let day = "2026-03-02T00:00:00Z".parse::<Timestamp>().unwrap().as_microsecond() / DAY;
        bins.add(day, Class::Withheld, 3);
        let trend = bins.finish(Vec::new());
        let found: Vec<_> = trend.bins.iter().map(|bin| (bin.day.to_string(), bin.sums.withheld)).collect();
        assert_eq!(found, [("2026-03-01".to_owned(), 0), ("2026-03-02".to_owned(), 3)]);
    }
}
