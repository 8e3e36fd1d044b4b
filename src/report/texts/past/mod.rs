//! The words of pages on what was asked before (`scan`, `simulate`): one table a language.

mod de;
mod en;

use std::fmt;

use super::fill;
use crate::policy::Verdict;

/// A text of the table of a language. Only the tables can make one, so that no other text stands on a page as the program's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Phrase(&'static str);

impl Phrase {
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns the text with values in place of `{0}` and so on.
    pub fn with(self, values: &[&str]) -> String {
        fill(self.0, values)
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Every text that such a page may use. `{0}` and so on stand for what is filled in.
#[derive(Debug)]
pub struct Past {
    pub scan_title: Phrase,
    pub simulate_title: Phrase,
    pub period: Phrase,
    pub no_queries: Phrase,
    pub glance: Phrase,
    pub lead_then: Phrase,
    pub lead_at: Phrase,
    pub lead_change: Phrase,
    pub at_least: Phrase,
    pub tile_queries: Phrase,
    pub tile_contact: Phrase,
    pub tile_withheld: Phrase,
    pub tile_devices: Phrase,
    pub tile_monitored: Phrase,
    pub tile_unread: Phrase,
    /// What becomes of queries.
    pub effect_blocked: Phrase,
    pub effect_lifted: Phrase,
    pub effect_other: Phrase,
    pub not_to_end: Phrase,
    pub only_order: Phrase,
    pub policy: Phrase,
    pub by_verdict: Phrase,
    /// What verdicts mean.
    pub verdict_pass: Phrase,
    pub verdict_noted: Phrase,
    pub verdict_exempt: Phrase,
    pub verdict_protected: Phrase,
    pub verdict_kept: Phrase,
    pub verdict_monitored: Phrase,
    pub verdict_waived: Phrase,
    pub verdict_sunk: Phrase,
    pub services: Phrase,
    pub services_chart: Phrase,
    pub part_withheld: Phrase,
    pub part_through: Phrase,
    pub part_kept: Phrase,
    pub part_blocked: Phrase,
    pub part_lifted: Phrase,
    pub part_other: Phrase,
    pub by_rule: Phrase,
    pub since_when: Phrase,
    pub no_end: Phrase,
    pub trend: Phrase,
    pub trend_own: Phrase,
    pub trend_fixed: Phrase,
    pub trend_hours: Phrase,
    pub trend_days: Phrase,
    pub trend_bins: Phrase,
    pub details: Phrase,
    pub by_device: Phrase,
    pub by_name: Phrase,
    pub by_service: Phrase,
    pub more: Phrase,
    pub compared: Phrase,
    pub changes: Phrase,
    pub side_now: Phrase,
    pub side_then: Phrase,
    pub read: Phrase,
    pub files: Phrase,
    /// What a file is counted in.
    pub unit_packet: Phrase,
    pub unit_frame: Phrase,
    pub unit_row: Phrase,
    pub unit_line: Phrase,
    pub unread: Phrase,
    pub unseen: Phrase,
    /// What no capture and no log shows.
    pub unseen_encrypted: Phrase,
    pub unseen_answers: Phrase,
    pub unseen_installations: Phrase,
    pub unseen_clients: Phrase,
    pub foot: Phrase,
    pub not_told: Phrase,
    pub others: Phrase,
    pub other_names: Phrase,
    pub col_verdict: Phrase,
    pub col_meaning: Phrase,
    pub col_queries: Phrase,
    pub col_first: Phrase,
    pub col_last: Phrase,
    pub col_order: Phrase,
    pub col_service: Phrase,
    pub col_prohibition: Phrase,
    pub col_from: Phrase,
    pub col_until: Phrase,
    pub col_verified: Phrase,
    pub col_device: Phrase,
    pub col_group: Phrase,
    pub col_name: Phrase,
    pub col_effect: Phrase,
    pub col_now: Phrase,
    pub col_then: Phrase,
    pub col_side: Phrase,
    pub col_instant: Phrase,
    pub col_policy: Phrase,
    pub col_file: Phrase,
    pub col_format: Phrase,
    pub col_all: Phrase,
    pub col_others: Phrase,
    pub col_twice: Phrase,
    pub col_unread: Phrase,
    pub col_why: Phrase,
    pub col_often: Phrase,
    pub col_places: Phrase,
}

impl Past {
    /// Returns the words of a language; none where it is not one of [`super::LANGUAGES`].
    pub fn of(lang: &str) -> Option<&'static Self> {
        match lang {
            "en" => Some(&en::PAST),
            "de" => Some(&de::PAST),
            _ => None,
        }
    }

    /// Returns the words for people at a terminal, which are English.
    pub const fn english() -> &'static Self {
        &en::PAST
    }

    /// Returns what a verdict means for a query that is past.
    pub const fn verdict(&self, verdict: Verdict) -> Phrase {
        match verdict {
            Verdict::Pass => self.verdict_pass,
            Verdict::Noted => self.verdict_noted,
            Verdict::Exempt => self.verdict_exempt,
            Verdict::Protected => self.verdict_protected,
            Verdict::Kept => self.verdict_kept,
            Verdict::Monitored => self.verdict_monitored,
            Verdict::Waived => self.verdict_waived,
            Verdict::Sunk => self.verdict_sunk,
        }
    }

    /// Returns what no capture and no log shows.
    pub const fn unseen(&self) -> [Phrase; 4] {
        [self.unseen_encrypted, self.unseen_answers, self.unseen_installations, self.unseen_clients]
    }

    /// Returns what becomes of queries: withheld from then on, no longer withheld, decided otherwise.
    pub const fn effects(&self) -> [Phrase; 3] {
        [self.effect_blocked, self.effect_lifted, self.effect_other]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LANGUAGES, tests::same_fields};
    use super::*;

    #[test]
    fn every_language_fills_in_the_same() {
        for lang in LANGUAGES {
            same_fields(lang, &format!("{:#?}", Past::english()), &format!("{:#?}", Past::of(lang).unwrap()));
        }
        assert!(Past::of("xx").is_none());
    }
}
