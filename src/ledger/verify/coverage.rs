//! What time the leaves of a log cover, as they tell it themselves.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The most stretches of time without coverage that are listed.
const MAX_HOLES: usize = 1000;

/// How far instants of leaves beside each other may be apart where the clock leapt: they were read one after the other.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// What verification needs of a leaf.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) seq: u64,
    kind: String,
    at: Option<String>,
    last: Option<String>,
    from: Option<String>,
    ends: Option<String>,
    lasted_ms: Option<i64>,
    clock: Option<String>,
    until: Option<String>,
    act: Option<String>,
    last_seq: Option<u64>,
    count: Option<u64>,
    accepted: Option<bool>,
    rotation: Option<String>,
}

impl Entry {
    /// Returns the kind of the leaf, if it is one that this program knows.
    pub(super) fn kind(&self) -> &'static str {
        let known = ["attempt", "change", "coverage", "gap"];
        known.into_iter().find(|known| *known == self.kind).unwrap_or("unknown")
    }

    /// Returns the last instant that the leaf tells of.
    pub(super) fn at(&self) -> Option<Timestamp> {
        // While the clock has leapt ahead, `ends` is what is known of the time.
        [&self.ends, &self.last, &self.at].into_iter().find_map(|text| instant(text.as_ref()))
    }

    /// Returns the time that a coverage leaf speaks for where the clock leapt in it: as much as passed since the boot of the
    /// machine, up to the instant that is known. `None` where the clock did not leap, and `Some(None)` where it did and no
    /// leaf tells for how long.
    fn lasted(&self) -> Option<Option<(Timestamp, Timestamp)>> {
        if self.kind != "coverage" {
            return None;
        }
        let Some(lasted) = self.lasted_ms else { return (self.clock.as_deref() == Some("ahead")).then_some(None) };
        let until = instant(self.ends.as_ref()).or_else(|| instant(self.at.as_ref()));
        let span =
            until.and_then(|until| Some((until.checked_sub(SLACK + SignedDuration::from_millis(lasted)).ok()?, until)));
        Some(span)
    }

    /// Returns the number up to which the leaf says that leaves were removed.
    pub(super) fn removed(&self) -> Option<u64> {
        (self.kind == "change" && self.act.as_deref() == Some("removed")).then_some(self.last_seq).flatten()
    }

    /// Returns the note by which the leaf changes the key of the log.
    pub(super) fn rotation(&self) -> Option<&str> {
        let changes = self.kind == "change" && self.act.as_deref() == Some("rotate") && self.accepted == Some(true);
        self.rotation.as_deref().filter(|_| changes)
    }
}

fn instant(text: Option<&String>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// What time is covered, between the first and the last coverage leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Covered {
    /// None where there is no coverage leaf.
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Hundredths of a percent, rounded down: 10000 only where nothing is missing.
    pub basis_points: u16,
    /// The stretches that no leaf covers, in order.
    pub holes: Vec<Hole>,
    /// How many more there are.
    pub more_holes: u64,
    /// How many look-ups were not recorded one by one, because the disk refused them, as gaps tell.
    pub unwritten: u64,
}

/// A stretch of time that no leaf covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hole {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// Takes leaves in, in their order.
#[derive(Debug, Default)]
pub(super) struct Covering {
    /// Stretches that are covered, each as long as leaves follow on each other.
    spans: Vec<(Timestamp, Timestamp)>,
    lost: Vec<(Timestamp, Timestamp)>,
    unwritten: u64,
}

impl Covering {
    pub(super) fn take(&mut self, entry: &Entry) {
        let (from, until, at) = match entry.lasted() {
            Some(Some((from, at))) => (Some(from), None, Some(at)),
            // Nothing tells how much of it has passed.
            Some(None) => return,
            None => (instant(entry.from.as_ref()), instant(entry.until.as_ref()), instant(entry.at.as_ref())),
        };
        match entry.kind() {
            // One that goes back in time says nothing; the time before it is covered, or not, by others.
            "coverage" => match (from, at, self.spans.last_mut()) {
                (Some(from), Some(at), Some(last)) if from <= at && last.1 == from => last.1 = at,
                (Some(from), Some(at), _) if from <= at => self.spans.push((from, at)),
                _ => {}
            },
            "gap" => {
                self.unwritten = self.unwritten.saturating_add(entry.count.unwrap_or_default());
                if let (Some(from), Some(until)) = (from, until)
                    && from < until
                {
                    self.lost.push((from, until));
                }
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> Covered {
        self.spans.sort_unstable();
        self.lost.sort_unstable();
        let (Some(first), Some(end)) = (self.spans.first(), self.spans.iter().map(|span| span.1).max()) else {
            return Covered { unwritten: self.unwritten, ..Covered::default() };
        };
        let (start, mut reached) = (first.0, first.0);
        let mut holes = Vec::new();
        for (from, until) in &self.spans {
            if *from > reached {
                holes.push((reached, *from));
            }
            reached = reached.max(*until);
        }
        holes.extend(self.lost.iter().map(|(from, until)| ((*from).max(start), (*until).min(end))));
        holes.retain(|(from, until)| from < until);
        let holes = joined(holes);
        let micros =
            |(from, until): (Timestamp, Timestamp)| until.as_microsecond().saturating_sub(from.as_microsecond());
        let total = i128::from(micros((start, end)));
        let missing: i128 = holes.iter().map(|hole| i128::from(micros(*hole))).sum();
        let share = ((total - missing).max(0) * 10_000).checked_div(total);
        // A run of no length has nothing that could be missing.
        let basis_points = share.map_or(10_000, |share| u16::try_from(share).unwrap_or(10_000));
        let more_holes = holes.len().saturating_sub(MAX_HOLES) as u64;
        Covered {
            from: Some(start),
            until: Some(end),
            basis_points,
            holes: holes.into_iter().take(MAX_HOLES).map(|(from, until)| Hole { from, until }).collect(),
            more_holes,
            unwritten: self.unwritten,
        }
    }
}

/// Joins stretches that overlap or touch.
fn joined(mut stretches: Vec<(Timestamp, Timestamp)>) -> Vec<(Timestamp, Timestamp)> {
    stretches.sort_unstable();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
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

    fn covered(leaves: &[(&str, &str, &str)]) -> Covered {
        let mut covering = Covering::default();
        for (kind, from, until) in leaves {
            let instant = |time: &str| format!("2024-09-29T{time}Z");
            let ends = if *kind == "gap" { "until" } else { "at" };
            let text =
                serde_json::json!({"seq": 1, "kind": kind, "from": instant(from), ends: instant(until), "count": 4});
            covering.take(&serde_json::from_value(text).unwrap());
        }
        covering.finish()
    }

    fn holes(covered: &Covered) -> Vec<String> {
        covered.holes.iter().map(|hole| format!("{}-{}", hole.from.strftime("%T"), hole.until.strftime("%T"))).collect()
    }

    #[test]
    fn what_no_leaf_speaks_of_is_a_hole() {
        let whole = covered(&[
            ("coverage", "00:00:00", "00:00:00"),
            ("coverage", "00:00:00", "01:00:00"),
            ("coverage", "01:00:00", "10:00:00"),
        ]);
        assert_eq!((whole.basis_points, holes(&whole)), (10_000, vec![]));
        let parted = covered(&[
            ("coverage", "00:00:00", "01:00:00"),
            ("coverage", "02:00:00", "02:00:00"),
            ("coverage", "02:00:00", "10:00:00"),
            ("gap", "03:00:00", "03:30:00"),
            ("gap", "03:10:00", "04:00:00"),
            ("gap", "09:59:00", "12:00:00"),
        ]);
        assert_eq!(holes(&parted), ["01:00:00-02:00:00", "03:00:00-04:00:00", "09:59:00-10:00:00"]);
        assert_eq!((parted.basis_points, parted.unwritten), (7983, 12));
    }

    #[test]
    fn a_leap_of_the_clock_covers_no_more_than_the_time_that_passed() {
        let leaf = |text: &str| serde_json::from_str::<Entry>(text).unwrap();
        let mut covering = Covering::default();
        covering
            .take(&leaf(r#"{"seq":1,"kind":"coverage","from":"2026-01-01T00:00:00Z","at":"2026-01-01T00:01:00Z"}"#));
        covering.take(&leaf(
            r#"{"seq":2,"kind":"coverage","from":"2026-01-01T00:01:00Z","at":"2060-01-01T00:00:00Z",
                "ends":"2026-01-01T00:02:00Z","lasted_ms":60000,"clock":"ahead"}"#,
        ));
        // The daemon did not run for an hour, and the clock is right again.
        covering.take(&leaf(
            r#"{"seq":3,"kind":"coverage","from":"2060-01-01T00:00:00Z","at":"2026-01-01T01:03:00Z","lasted_ms":60000}"#,
        ));
        // From a program that did not tell how much had passed.
        covering.take(&leaf(
            r#"{"seq":4,"kind":"coverage","from":"2026-01-01T01:03:00Z","at":"2061-01-01T00:00:00Z","clock":"ahead"}"#,
        ));
        let found = covering.finish();
        assert_eq!(holes(&found), ["00:02:00-01:01:59"]);
        assert_eq!(found.until, Some("2026-01-01T01:03:00Z".parse().unwrap()));
    }

    #[test]
    fn a_second_without_coverage_is_never_rounded_away() {
        let almost = covered(&[("coverage", "00:00:00", "11:00:00"), ("coverage", "11:00:01", "23:00:00")]);
        assert_eq!(almost.basis_points, 9999);
        assert_eq!(covered(&[]), Covered::default());
        assert_eq!(covered(&[("coverage", "03:00:00", "02:00:00")]), Covered::default());
        assert_eq!(covered(&[("coverage", "03:00:00", "03:00:00")]).basis_points, 10_000);
    }
}
