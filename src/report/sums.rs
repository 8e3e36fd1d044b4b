//! Sums of look-ups by what became of them.

use serde::Serialize;

/// What became of a look-up, as far as a report may claim it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Prohibited and withheld.
    Withheld,
    /// Prohibited, and let through by a waiver.
    Waived,
    /// Let through because the prohibition was not in force yet; the order was published.
    Pending,
    /// Let through although the prohibition was in force, because the operator only monitored.
    Watched,
    /// Let through before the order was published, or by an order whose dates are not known: nothing is claimed of it.
    Early,
    /// Let through because it is needed while products are removed.
    Kept,
    /// Not prohibited.
    Other,
}

/// How many look-ups became what. What is attempted contact with a prohibited service is the sum of the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sums {
    pub withheld: u64,
    pub waived: u64,
    /// Monitored, published and not yet in force.
    pub pending: u64,
    /// Monitored by the operator's choice, though in force.
    pub watched: u64,
    /// Monitored before publication, or undated.
    pub early: u64,
    pub kept: u64,
    /// Not prohibited.
    pub other: u64,
}

impl Sums {
    pub(super) fn of(class: Class, count: u64) -> Self {
        let mut sums = Self::default();
        *sums.field(class) = count;
        sums
    }

    fn field(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Withheld => &mut self.withheld,
            Class::Waived => &mut self.waived,
            Class::Pending => &mut self.pending,
            Class::Watched => &mut self.watched,
            Class::Early => &mut self.early,
            Class::Kept => &mut self.kept,
            Class::Other => &mut self.other,
        }
    }

    pub(super) fn add(&mut self, class: Class, count: u64) {
        let field = self.field(class);
        *field = field.saturating_add(count);
    }

    pub(super) fn add_all(&mut self, other: Self) {
        let Self { withheld, waived, pending, watched, early, kept, other: rest } = other;
        self.add(Class::Withheld, withheld);
        self.add(Class::Waived, waived);
        self.add(Class::Pending, pending);
        self.add(Class::Watched, watched);
        self.add(Class::Early, early);
        self.add(Class::Kept, kept);
        self.add(Class::Other, rest);
    }

    /// Returns how many look-ups were attempted contact with a prohibited service.
    pub fn attempted(&self) -> u64 {
        let Self { withheld, waived, pending, watched, early: _, kept: _, other: _ } = self;
        [waived, pending, watched].into_iter().fold(*withheld, |sum, count| sum.saturating_add(*count))
    }

    /// Returns how many of those were let through.
    pub fn let_through(&self) -> u64 {
        self.attempted().saturating_sub(self.withheld)
    }
}
