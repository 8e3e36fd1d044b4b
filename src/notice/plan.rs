//! Which notices stand at an instant, and which come next. Pure.

use std::collections::BTreeMap;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// The instant at which a prohibition begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub order: String,
    pub prohibition: String,
    pub at: Timestamp,
    /// When it ends, where that is set.
    pub until: Option<Timestamp>,
}

impl Mark {
    /// Returns the name of it in what is kept; another one where the instant is another.
    pub fn key(&self) -> String {
        format!("{}/{}@{:.0}", self.order, self.prohibition, self.at)
    }
}

/// The day of the week and the hour of it (UTC) at which a digest is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekly {
    pub day: Weekday,
    pub hour: i8,
}

/// Why a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// So many days before the instant, at least one.
    Before(u16),
    Start,
    Digest,
    /// Somebody wants to see whether notices arrive.
    Test,
}

impl Kind {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before(_) => "before",
            Self::Start => "start",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }
}

/// A notice to be sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// No two have the same.
    pub id: String,
    pub kind: Kind,
    pub due: Timestamp,
    /// What it is about; none for a digest, which is about all.
    pub mark: Option<Mark>,
}

impl Notice {
    /// Returns by what a receiver knows that it has a notice already: the same for each try of one notice by one way from one
    /// resolver, and for nothing else.
    pub fn delivery(&self, node: &str, channel: &str) -> String {
        // No name of a log, identifier or way has a line end.
        hex::encode(&Sha256::digest([node, &self.id, channel].join("\n"))[..16])
    }
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Those that stand: of each instant the one that fell due last, and the last digest. Earlier ones are replaced by them.
    pub standing: Vec<Notice>,
    /// Those that fall due later, the next one of each instant and the next digest; the first comes first.
    pub next: Vec<Notice>,
}

/// Since when notices are sent at all, and since when each instant is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) since: Timestamp,
    pub(super) marks: &'a BTreeMap<String, Timestamp>,
}

/// Returns what stands at `at`, whether it was sent or not. An instant that was past when it became known has no notice: the
/// digest tells of it.
pub fn plan(marks: &[Mark], days: &[u16], digest: Option<Weekly>, known: &super::Kept, at: Timestamp) -> Plan {
    let Known { since, marks: first } = known.known(at);
    let mut plan = Plan::default();
    for mark in marks {
        let is_over = mark.until.is_some_and(|until| until <= at);
        let was_past = first.get(&mark.key()).copied().unwrap_or(at) >= mark.at;
        if is_over || was_past {
            continue;
        }
        let mut notices: Vec<_> = days.iter().filter_map(|days| before(mark, *days)).collect();
        notices.sort_by_key(|notice| notice.due);
        let later = notices.iter().position(|notice| notice.due > at).unwrap_or(notices.len());
        plan.next.extend(notices.get(later).cloned());
        plan.standing.extend(later.checked_sub(1).and_then(|place| notices.get(place)).cloned());
    }
    if let Some(digest) = digest {
        let (last, next) = around(digest, at);
        plan.standing.extend(last.filter(|last| *last > since).map(digest_at));
        plan.next.extend(next.map(digest_at));
    }
    plan.next.sort_by(|one, other| (one.due, &one.id).cmp(&(other.due, &other.id)));
    plan
}

fn before(mark: &Mark, days: u16) -> Option<Notice> {
    let due = mark.at.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).ok()?;
    let kind = if days == 0 { Kind::Start } else { Kind::Before(days) };
    Some(Notice { id: format!("{}-{days}d", mark.key()), kind, due, mark: Some(mark.clone()) })
}

fn digest_at(due: Timestamp) -> Notice {
    let day = due.strftime("%Y-%m-%d");
    Notice { id: format!("digest@{day}"), kind: Kind::Digest, due, mark: None }
}

/// Returns the last instant of a digest up to `at`, and the next one.
fn around(Weekly { day, hour }: Weekly, at: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let today = TimeZone::UTC.to_datetime(at).date();
    let back = i64::from(day.until(today.weekday()));
    let of = |days: i64| {
        let day = today.checked_add(SignedDuration::from_hours(24 * days)).ok()?;
        TimeZone::UTC.to_timestamp(day.to_datetime(Time::new(hour, 0, 0, 0).ok()?)).ok()
    };
    let days = [-back - 7, -back, 7 - back].map(of);
    let last = days.iter().rev().flatten().find(|of| **of <= at).copied();
    let next = days.iter().flatten().find(|of| **of > at).copied();
    (last, next)
}
