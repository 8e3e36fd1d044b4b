//! What rules ask of facts, and the reading of conditions.

use std::fmt;

use super::facts::Facts;
use super::kind::Kind;

/// One thing that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Lookups(Option<Kind>),
    Days(Option<Kind>),
    Daily(Option<Kind>),
    Share(Option<Kind>),
    Span,
    Rhythm,
    Regularity,
    Hours,
    Presence,
    Many,
}

impl Measure {
    /// Reads a measure as the table of rules writes it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let plain = match text {
            "span" => Some(Self::Span),
            "rhythm" => Some(Self::Rhythm),
            "regularity" => Some(Self::Regularity),
            "hours" => Some(Self::Hours),
            "presence" => Some(Self::Presence),
            "many" => Some(Self::Many),
            _ => None,
        };
        plain.or_else(|| {
            let (what, kind) = text.split_once('.')?;
            let kind = if kind == "all" { None } else { Some(Kind::of(kind)?) };
            match what {
                "lookups" => Some(Self::Lookups(kind)),
                "days" => Some(Self::Days(kind)),
                "daily" => Some(Self::Daily(kind)),
                "share" => Some(Self::Share(kind)),
                _ => None,
            }
        })
    }

    /// Returns the value; none where it cannot be told.
    pub(super) fn of(self, facts: &Facts) -> Option<u64> {
        Some(match self {
            Self::Lookups(kind) => facts.lookups(kind),
            Self::Days(kind) => facts.days(kind),
            Self::Daily(kind) => facts.lookups(kind).checked_div(facts.days(kind)).unwrap_or_default(),
            Self::Share(kind) => {
                let share = u128::from(facts.lookups(kind)) * 100;
                let share = share.checked_div(u128::from(facts.lookups(None))).unwrap_or_default();
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            Self::Span => facts.span(),
            Self::Rhythm => facts.rhythm()?.hours.into(),
            Self::Regularity => facts.rhythm()?.regularity.into(),
            Self::Hours => facts.seen().hours_of_day().into(),
            Self::Presence => facts.seen().presence().into(),
            Self::Many => facts.many.into(),
        })
    }
}

/// A sum of measures that has to be at least, at most or just a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    sum: Vec<Measure>,
    operator: Operator,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Just,
}

/// A condition that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoCondition(String);

impl fmt::Display for NoCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no condition: write MEASURE [+ MEASURE] >=|<=|== NUMBER", self.0)
    }
}

impl Condition {
    pub(super) fn read(text: &str) -> Result<Self, NoCondition> {
        let read = || {
            let operators = [(">=", Operator::AtLeast), ("<=", Operator::AtMost), ("==", Operator::Just)];
            let (sides, operator) =
                operators.into_iter().find_map(|(sign, operator)| Some((text.split_once(sign)?, operator)))?;
            let sum = sides.0.split('+').map(|part| Measure::read(part.trim())).collect::<Option<Vec<_>>>()?;
            Some(Self { sum, operator, number: sides.1.trim().parse().ok()? })
        };
        read().ok_or_else(|| NoCondition(text.to_owned()))
    }

    /// Returns whether it holds; what cannot be told never does.
    pub(super) fn holds(&self, facts: &Facts) -> bool {
        let add = |sum: u64, measure: &Measure| Some(sum.saturating_add(measure.of(facts)?));
        let Some(sum) = self.sum.iter().try_fold(0, add) else { return false };
        match self.operator {
            Operator::AtLeast => sum >= self.number,
            Operator::AtMost => sum <= self.number,
            Operator::Just => sum == self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_hold_by_their_numbers() {
        let mut facts = Facts::default();
        facts.add(Kind::Update, 10, 1, 0b1);
        facts.add(Kind::Update, 20, 2, 0b1);
        facts.add(Kind::Web, 10, 2, 0b10);
        facts.add(Kind::Around, 1000, 9, 0b100);
        for (text, holds) in [
            ("lookups.update >= 30", true),
            ("lookups.update>=31", false),
            ("lookups.all == 40", true),
            ("lookups.around >= 1000", true),
            ("days.update == 2", true),
            ("days.all == 2", true),
            ("daily.update == 15", true),
            ("share.update + share.web == 100", true),
            ("share.web <= 25", true),
            ("share.leak == 0", true),
            ("span <= 2", true),
            ("hours == 2", true),
            ("presence == 6", true),
            ("many == 0", true),
            ("rhythm <= 1000", false),
            ("regularity <= 1000", false),
        ] {
            assert_eq!(Condition::read(text).unwrap().holds(&facts), holds, "{text}");
        }
        for text in ["", "days.update", "days >= 1", "days.nothing >= 1", "span >= x", "span > 1", "span + >= 1"] {
            assert!(Condition::read(text).is_err(), "{text}");
        }
    }
}
