//! The words of reports: one table a language. A language without a word does not compile.

mod de;
mod devices;
mod en;
mod past;

pub use past::{Past, Phrase};

/// Every word that a report may use. `{0}` and so on stand for what is filled in.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) lang: &'static str,
    pub(super) title: &'static str,
    pub(super) period: &'static str,
    pub(super) scope_order: &'static str,
    pub(super) scope_group: &'static str,
    pub(super) summary: &'static str,
    pub(super) lead: &'static str,
    pub(super) lead_none: &'static str,
    pub(super) tile_attempted: &'static str,
    pub(super) tile_withheld: &'static str,
    pub(super) tile_through: &'static str,
    pub(super) tile_devices: &'static str,
    pub(super) tile_coverage: &'static str,
    pub(super) tile_integrity: &'static str,
    pub(super) devices_note: &'static str,
    pub(super) unrecorded_note: &'static str,
    pub(super) threats_note: &'static str,
    pub(super) orders: &'static str,
    pub(super) order_unknown: &'static str,
    pub(super) order_line: &'static str,
    pub(super) prohibitions: &'static str,
    pub(super) applied: &'static str,
    pub(super) running: &'static str,
    pub(super) nodes: &'static str,
    pub(super) nodes_note: &'static str,
    pub(super) policies: &'static str,
    pub(super) services: &'static str,
    pub(super) services_note: &'static str,
    pub(super) services_chart: &'static str,
    pub(super) trend: &'static str,
    pub(super) trend_chart: &'static str,
    pub(super) trend_chart_day: &'static str,
    pub(super) trend_mark: &'static str,
    pub(super) around: &'static str,
    pub(super) around_note: &'static str,
    pub(super) through: &'static str,
    pub(super) why_waived: &'static str,
    pub(super) why_pending: &'static str,
    pub(super) why_watched: &'static str,
    pub(super) why_kept: &'static str,
    pub(super) why_early: &'static str,
    pub(super) why_other: &'static str,
    pub(super) waivers: &'static str,
    pub(super) blind: &'static str,
    pub(super) blind_silence: &'static str,
    pub(super) blind_ways: &'static str,
    pub(super) blind_requesters: &'static str,
    pub(super) blind_forged: &'static str,
    pub(super) blind_unlogged: &'static str,
    pub(super) blind_names: &'static str,
    pub(super) details: &'static str,
    pub(super) by_device: &'static str,
    pub(super) by_name: &'static str,
    pub(super) more_rows: &'static str,
    pub(super) more_plain: &'static str,
    pub(super) more_holes: &'static str,
    pub(super) changes: &'static str,
    pub(super) holes: &'static str,
    pub(super) gaps: &'static str,
    pub(super) facts: &'static str,
    pub(super) facts_note: &'static str,
    pub(super) protected: &'static str,
    pub(super) foot: &'static str,
    pub(super) foot_use: &'static str,
    pub(super) foot_law: &'static str,
    pub(super) foot_duty: &'static str,
    pub(super) foot_no_duty: &'static str,
    pub(super) foot_again: &'static str,
    pub(super) col_order: &'static str,
    pub(super) col_prohibition: &'static str,
    pub(super) col_from: &'static str,
    pub(super) col_until: &'static str,
    pub(super) col_basis: &'static str,
    pub(super) col_verified: &'static str,
    pub(super) col_services: &'static str,
    pub(super) col_service: &'static str,
    pub(super) col_group: &'static str,
    pub(super) col_phase: &'static str,
    pub(super) col_demand: &'static str,
    pub(super) col_node: &'static str,
    pub(super) col_checkpoint: &'static str,
    pub(super) col_integrity: &'static str,
    pub(super) col_key: &'static str,
    pub(super) col_anchored: &'static str,
    pub(super) col_coverage: &'static str,
    pub(super) col_clock: &'static str,
    pub(super) col_queries: &'static str,
    pub(super) col_attempted: &'static str,
    pub(super) col_digest: &'static str,
    pub(super) col_withheld: &'static str,
    pub(super) col_through: &'static str,
    pub(super) col_kept: &'static str,
    pub(super) col_other: &'static str,
    pub(super) col_devices: &'static str,
    pub(super) col_day: &'static str,
    pub(super) col_instant: &'static str,
    pub(super) col_side: &'static str,
    pub(super) col_why: &'static str,
    pub(super) col_lookups: &'static str,
    pub(super) col_waiver: &'static str,
    pub(super) col_reason: &'static str,
    pub(super) col_approver: &'static str,
    pub(super) col_ticket: &'static str,
    pub(super) col_device: &'static str,
    pub(super) col_told: &'static str,
    pub(super) col_first: &'static str,
    pub(super) col_last: &'static str,
    pub(super) col_name: &'static str,
    pub(super) col_confidence: &'static str,
    pub(super) col_act: &'static str,
    pub(super) col_done: &'static str,
    pub(super) col_by: &'static str,
    pub(super) col_what: &'static str,
    pub(super) col_count: &'static str,
    pub(super) col_found: &'static str,
    pub(super) col_fact: &'static str,
    pub(super) col_record: &'static str,
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    pub(super) begins: &'static str,
    pub(super) ends: &'static str,
    pub(super) yes: &'static str,
    pub(super) refused: &'static str,
    pub(super) none: &'static str,
    pub(super) unknown: &'static str,
    pub(super) open_end: &'static str,
    pub(super) not_verified: &'static str,
    pub(super) intact: &'static str,
    pub(super) incomplete: &'static str,
    pub(super) tampered: &'static str,
    pub(super) key_given: &'static str,
    pub(super) key_beside: &'static str,
    pub(super) anchored_to: &'static str,
    pub(super) anchored_none: &'static str,
    pub(super) told_of: &'static str,
    pub(super) unread_note: &'static str,
    pub(super) fault_note: &'static str,
    pub(super) phase_enforce: &'static str,
    pub(super) phase_monitor: &'static str,
    pub(super) phase_monitor_until: &'static str,
    pub(super) phase_off: &'static str,
    pub(super) demand_own: &'static str,
    pub(super) demand_binding: &'static str,
    pub(super) kind_hardware: &'static str,
    pub(super) kind_address: &'static str,
    pub(super) kind_network: &'static str,
    pub(super) kind_anonymous: &'static str,
    pub(super) several_names: &'static str,
    pub(super) by_next: &'static str,
    pub(super) next_note: &'static str,
    pub(super) col_role: &'static str,
    pub(super) col_state: &'static str,
    pub(super) col_silent: &'static str,
    pub(super) col_confirmed: &'static str,
    pub(super) col_next: &'static str,
    pub(super) confirmed_at: &'static str,
    pub(super) seen_again: &'static str,
    pub(super) no_contact: &'static str,
    pub(super) role_endpoint: &'static str,
    pub(super) role_many: &'static str,
    pub(super) role_white_label: &'static str,
    pub(super) role_download: &'static str,
    pub(super) role_visitor: &'static str,
    pub(super) role_leak: &'static str,
    pub(super) role_administrator: &'static str,
    pub(super) role_unclear: &'static str,
    pub(super) sure_high: &'static str,
    pub(super) sure_medium: &'static str,
    pub(super) sure_low: &'static str,
    pub(super) state_active: &'static str,
    pub(super) state_quiet: &'static str,
    pub(super) state_removed: &'static str,
    pub(super) state_waived: &'static str,
    pub(super) step_remove: &'static str,
    pub(super) step_find_others: &'static str,
    pub(super) step_ask_maker: &'static str,
    pub(super) step_ask_who: &'static str,
    pub(super) step_look: &'static str,
    pub(super) step_look_again: &'static str,
    pub(super) step_ask_approver: &'static str,
    pub(super) step_nothing: &'static str,
    pub(super) decimal: &'static str,
    pub(super) thousands: &'static str,
}
/// The languages that a report can be in.
pub const LANGUAGES: [&str; 2] = ["en", "de"];

impl Texts {
    /// Returns the words of a language; none where it is not one of [`LANGUAGES`].
    pub(in crate::report) fn of(lang: &str) -> Option<&'static Self> {
        match lang {
            "en" => Some(&en::TEXTS),
            "de" => Some(&de::TEXTS),
            _ => None,
        }
    }

    /// Returns a number with its digits in groups of three.
    pub(super) fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push_str(self.thousands);
            }
            text.push(digit);
        }
        text
    }

    /// Returns hundredths of a percent as a percentage.
    pub(super) fn percent(&self, basis_points: u16) -> String {
        format!("{}{}{:02} %", basis_points / 100, self.decimal, basis_points % 100)
    }
}

/// Fills values in.
pub(super) fn fill(text: &str, values: &[&str]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let (place, behind) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(place.parse::<usize>().ok().and_then(|place| values.get(place)).unwrap_or(&"?"));
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_fills_in_the_same() {
        for lang in LANGUAGES {
            assert_eq!(Texts::of(lang).unwrap().lang, lang);
            let shown = |lang: &str| format!("{:#?}", Texts::of(lang).unwrap());
            same_fields(lang, &shown("en"), &shown(lang));
        }
        assert!(Texts::of("xx").is_none());
    }

    /// Holds the table of a language, as it is shown with each field on a line of its own, against that of English.
    pub(super) fn same_fields(lang: &str, english: &str, other: &str) {
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned()).collect();
            places.sort();
            places
        };
        let fields = |shown: &str| -> Vec<(String, String)> {
            let fields = shown.lines().filter_map(|line| line.trim().split_once(": "));
            fields.map(|(key, text)| (key.to_owned(), text.to_owned())).collect()
        };
        let (english, other) = (fields(english), fields(other));
        assert!(english.len() > 80 && english.len() == other.len(), "{}", english.len());
        for ((key, one), (other_key, other)) in english.iter().zip(other) {
            assert_eq!((key, places(one)), (&other_key, places(&other)), "{lang}: {key}");
            assert!(other.len() > 3, "{lang}: {key}");
            assert!(!other.to_lowercase().contains("violat"), "{lang}: {key}");
        }
    }

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        assert_eq!(fill("a {1} b {0}", &["{1}", "x"]), "a x b {1}");
        assert_eq!(fill("{7}", &["x"]), "?");
        let english = Texts::of("en").unwrap();
        assert_eq!(
            [0, 7, 999, 1000, 1_234_567].map(|number| english.number(number)),
            ["0", "7", "999", "1,000", "1,234,567"]
        );
        assert_eq!([10_000, 9999, 5].map(|points| english.percent(points)), ["100.00 %", "99.99 %", "0.05 %"]);
    }
}
