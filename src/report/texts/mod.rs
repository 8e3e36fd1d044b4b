//! The words of reports: one table a language. A language without a word does not compile.

mod de;
mod en;

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

    #[cfg(test)]
    fn all(&self) -> Vec<(&'static str, &'static str)> {
        vec![
            ("title", self.title),
            ("period", self.period),
            ("scope_order", self.scope_order),
            ("scope_group", self.scope_group),
            ("summary", self.summary),
            ("lead", self.lead),
            ("lead_none", self.lead_none),
            ("tile_attempted", self.tile_attempted),
            ("tile_withheld", self.tile_withheld),
            ("tile_through", self.tile_through),
            ("tile_devices", self.tile_devices),
            ("tile_coverage", self.tile_coverage),
            ("tile_integrity", self.tile_integrity),
            ("devices_note", self.devices_note),
            ("unrecorded_note", self.unrecorded_note),
            ("threats_note", self.threats_note),
            ("orders", self.orders),
            ("order_unknown", self.order_unknown),
            ("order_line", self.order_line),
            ("prohibitions", self.prohibitions),
            ("applied", self.applied),
            ("running", self.running),
            ("nodes", self.nodes),
            ("nodes_note", self.nodes_note),
            ("policies", self.policies),
            ("services", self.services),
            ("services_note", self.services_note),
            ("services_chart", self.services_chart),
            ("trend", self.trend),
            ("trend_chart", self.trend_chart),
            ("trend_chart_day", self.trend_chart_day),
            ("trend_mark", self.trend_mark),
            ("around", self.around),
            ("around_note", self.around_note),
            ("through", self.through),
            ("why_waived", self.why_waived),
            ("why_pending", self.why_pending),
            ("why_watched", self.why_watched),
            ("why_kept", self.why_kept),
            ("why_early", self.why_early),
            ("why_other", self.why_other),
            ("waivers", self.waivers),
            ("blind", self.blind),
            ("blind_silence", self.blind_silence),
            ("blind_ways", self.blind_ways),
            ("blind_requesters", self.blind_requesters),
            ("blind_forged", self.blind_forged),
            ("blind_unlogged", self.blind_unlogged),
            ("blind_names", self.blind_names),
            ("details", self.details),
            ("by_device", self.by_device),
            ("by_name", self.by_name),
            ("more_rows", self.more_rows),
            ("more_plain", self.more_plain),
            ("more_holes", self.more_holes),
            ("changes", self.changes),
            ("holes", self.holes),
            ("gaps", self.gaps),
            ("facts", self.facts),
            ("facts_note", self.facts_note),
            ("protected", self.protected),
            ("foot", self.foot),
            ("foot_use", self.foot_use),
            ("foot_law", self.foot_law),
            ("foot_duty", self.foot_duty),
            ("foot_no_duty", self.foot_no_duty),
            ("foot_again", self.foot_again),
            ("col_order", self.col_order),
            ("col_prohibition", self.col_prohibition),
            ("col_from", self.col_from),
            ("col_until", self.col_until),
            ("col_basis", self.col_basis),
            ("col_verified", self.col_verified),
            ("col_services", self.col_services),
            ("col_service", self.col_service),
            ("col_group", self.col_group),
            ("col_phase", self.col_phase),
            ("col_demand", self.col_demand),
            ("col_node", self.col_node),
            ("col_checkpoint", self.col_checkpoint),
            ("col_integrity", self.col_integrity),
            ("col_key", self.col_key),
            ("col_anchored", self.col_anchored),
            ("col_coverage", self.col_coverage),
            ("col_clock", self.col_clock),
            ("col_queries", self.col_queries),
            ("col_attempted", self.col_attempted),
            ("col_digest", self.col_digest),
            ("col_withheld", self.col_withheld),
            ("col_through", self.col_through),
            ("col_kept", self.col_kept),
            ("col_other", self.col_other),
            ("col_devices", self.col_devices),
            ("col_day", self.col_day),
            ("col_instant", self.col_instant),
            ("col_side", self.col_side),
            ("col_why", self.col_why),
            ("col_lookups", self.col_lookups),
            ("col_waiver", self.col_waiver),
            ("col_reason", self.col_reason),
            ("col_approver", self.col_approver),
            ("col_ticket", self.col_ticket),
            ("col_device", self.col_device),
            ("col_told", self.col_told),
            ("col_first", self.col_first),
            ("col_last", self.col_last),
            ("col_name", self.col_name),
            ("col_confidence", self.col_confidence),
            ("col_act", self.col_act),
            ("col_done", self.col_done),
            ("col_by", self.col_by),
            ("col_what", self.col_what),
            ("col_count", self.col_count),
            ("col_found", self.col_found),
            ("col_fact", self.col_fact),
            ("col_record", self.col_record),
            ("before", self.before),
            ("after", self.after),
            ("begins", self.begins),
            ("ends", self.ends),
            ("yes", self.yes),
            ("refused", self.refused),
            ("none", self.none),
            ("unknown", self.unknown),
            ("open_end", self.open_end),
            ("not_verified", self.not_verified),
            ("intact", self.intact),
            ("incomplete", self.incomplete),
            ("tampered", self.tampered),
            ("key_given", self.key_given),
            ("key_beside", self.key_beside),
            ("anchored_to", self.anchored_to),
            ("anchored_none", self.anchored_none),
            ("told_of", self.told_of),
            ("unread_note", self.unread_note),
            ("fault_note", self.fault_note),
            ("phase_enforce", self.phase_enforce),
            ("phase_monitor", self.phase_monitor),
            ("phase_monitor_until", self.phase_monitor_until),
            ("phase_off", self.phase_off),
            ("demand_own", self.demand_own),
            ("demand_binding", self.demand_binding),
            ("kind_hardware", self.kind_hardware),
            ("kind_address", self.kind_address),
            ("kind_network", self.kind_network),
            ("kind_anonymous", self.kind_anonymous),
            ("several_names", self.several_names),
            ("decimal", self.decimal),
            ("thousands", self.thousands),
        ]
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
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned()).collect();
            places.sort();
            places
        };
        let english = Texts::of("en").unwrap().all();
        for lang in LANGUAGES {
            let texts = Texts::of(lang).unwrap();
            assert_eq!(texts.lang, lang);
            for ((key, one), (_, other)) in english.iter().zip(texts.all()) {
                assert_eq!(places(one), places(other), "{lang}: {key}");
                assert!(!other.is_empty(), "{lang}: {key}");
                assert!(!other.to_lowercase().contains("violat"), "{lang}: {key}");
            }
        }
        assert!(Texts::of("xx").is_none());
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
