//! The hours in which a device was seen, for the newest days, and the rhythm in them.

/// How many days are remembered: the newest on which there was something.
const REMEMBERED: usize = 92;
/// The fewest waits that a rhythm is read from.
const WAITS: usize = 5;
/// The longest wait, in hours, that can be a rhythm.
const LONGEST: u32 = 48;

/// Days with the hours in which something was seen. Takes a fixed amount of memory, however long the time is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Days {
    /// Days since 1970 with their hours as bits, the lowest for the first; in order, and without one twice.
    days: Vec<(i32, u32)>,
}

/// How regular something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The hours between two, in the middle of all waits.
    pub hours: u32,
    /// Percent of the waits that are like it.
    pub regularity: u32,
}

impl Days {
    /// Notes hours of a day, as bits from the lowest on.
    pub fn add(&mut self, day: i64, hours: u32) {
        let day = i32::try_from(day).unwrap_or(i32::MAX);
        match self.days.last().copied() {
            Some((last, known)) if last == day => {
                self.days.pop();
                self.days.push((day, known | hours));
            }
            Some((last, _)) if last > day => match self.days.binary_search_by_key(&day, |(of, _)| *of) {
                Ok(place) => self.days[place].1 |= hours,
                Err(place) => self.days.insert(place, (day, hours)),
            },
            Some(_) | None => self.days.push((day, hours)),
        }
        // Not at each addition, since all that stays is moved.
        if self.days.len() >= 2 * REMEMBERED {
            self.forget();
        }
    }

    /// Adds what another resolver, or another month, has seen of the same device.
    pub fn merge(&mut self, other: &Self) {
        other.days.iter().for_each(|(day, hours)| self.add(i64::from(*day), *hours));
        self.forget();
    }

    fn forget(&mut self) {
        let surplus = self.days.len().saturating_sub(REMEMBERED);
        self.days.drain(..surplus);
    }

    fn newest(&self) -> &[(i32, u32)] {
        &self.days[self.days.len().saturating_sub(REMEMBERED)..]
    }

    /// Returns in how many hours of the day something was ever seen.
    pub fn hours_of_day(&self) -> u32 {
        self.newest().iter().fold(0, |all, (_, hours)| all | hours).count_ones()
    }

    /// Returns in how many percent of the hours of its days something was seen; the first and the last day are left out where
    /// there are others, since they may be cut.
    pub fn presence(&self) -> u32 {
        let days = self.newest();
        let days = if days.len() > 2 { &days[1..days.len() - 1] } else { days };
        let seen: u32 = days.iter().map(|(_, hours)| hours.count_ones()).sum();
        let all = 24 * u32::try_from(days.len()).unwrap_or(u32::MAX / 24);
        (seen * 100).checked_div(all).unwrap_or_default()
    }

    /// Returns the rhythm; none where too little was seen. Waits of more than four times the usual one are those of a machine
    /// that was off, and do not count.
    pub fn rhythm(&self) -> Option<Rhythm> {
        let hour = |(day, hours): (i32, u32)| {
            let start = i64::from(day) * 24;
            (0..24).filter(move |bit| hours & (1 << bit) != 0).map(move |bit| start + bit)
        };
        let seen: Vec<i64> = self.newest().iter().copied().flat_map(hour).collect();
        let wait = |pair: &[i64]| u32::try_from(pair[1] - pair[0]).ok().filter(|wait| *wait <= LONGEST);
        let mut waits: Vec<u32> = seen.windows(2).filter_map(wait).collect();
        waits.sort_unstable();
        let hours = *waits.get(waits.len() / 2)?;
        let on = waits.iter().filter(|wait| **wait <= 4 * hours).count();
        let like = waits.iter().filter(|wait| wait.abs_diff(hours) <= (hours / 4).max(1)).count();
        let regularity = u32::try_from(like * 100 / on.max(1)).unwrap_or_default();
        (on >= WAITS).then_some(Rhythm { hours, regularity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(hours: usize, on: std::ops::Range<usize>, days: i64) -> Days {
        let mut seen = Days::default();
        for day in 0..days {
            let bits = on.clone().step_by(hours).fold(0, |bits, hour| bits | 1 << hour);
            seen.add(20_000 + day, bits);
        }
        seen
    }

    #[test]
    fn a_rhythm_is_read_and_nights_are_not_part_of_it() {
        for (hours, on, found) in [
            (2, 8..18, Some(Rhythm { hours: 2, regularity: 100 })),
            (1, 0..24, Some(Rhythm { hours: 1, regularity: 100 })),
            (24, 9..10, Some(Rhythm { hours: 24, regularity: 100 })),
        ] {
            assert_eq!(every(hours, on.clone(), 10).rhythm(), found, "every {hours} hours in {on:?}");
        }
        assert_eq!(every(2, 8..9, 5).rhythm(), None, "four waits are too few");
        assert_eq!(Days::default().rhythm(), None);
        let mut scattered = Days::default();
        for (day, bits) in [(0, 0b1), (1, 1 << 17), (2, 0b11 << 3), (4, 1 << 22), (5, 1 | 1 << 9), (6, 1 << 20)] {
            scattered.add(day, bits);
        }
        assert!(scattered.rhythm().is_some_and(|rhythm| rhythm.regularity < 60), "{:?}", scattered.rhythm());
    }

    #[test]
    fn memory_is_bounded_and_order_does_not_matter() {
        let (mut forth, mut back) = (Days::default(), Days::default());
        for day in 0..1000 {
            forth.add(day, 1 << (day % 24));
            assert!(forth.days.len() < 2 * REMEMBERED);
        }
        for day in (900..1000).rev() {
            back.add(day, 1 << (day % 24));
            back.add(day, 1 << (day % 24));
        }
        let mut both = back.clone();
        both.merge(&forth);
        forth.merge(&Days::default());
        back.merge(&Days::default());
        assert_eq!((forth.days.len(), &forth, &back), (REMEMBERED, &both, &both));
        assert_eq!((forth.hours_of_day(), forth.presence()), (24, 4));
    }
}
