//! What is known of one device: sums by kind of service, and when it was seen. As large for ten look-ups as for a million.

use super::days::{Days, Rhythm};
use super::kind::Kind;

/// What is known of the look-ups of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// A few at most.
    contacts: Vec<(Kind, Contact)>,
    /// All kinds but ways round.
    seen: Days,
    updates: Days,
    /// The first and the last day (since 1970), of all kinds but ways round.
    span: Option<(i64, i64)>,
    /// Whether it is a network.
    pub many: bool,
}

/// Look-ups of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Contact {
    lookups: u64,
    /// Days as bits, by their remainder of 128: exact for four months.
    days: u128,
}

impl Facts {
    /// Adds look-ups of a day (since 1970, in UTC), in these hours as bits from the lowest on.
    pub fn add(&mut self, kind: Kind, lookups: u64, day: i64, hours: u32) {
        let contact = self.contact_mut(kind);
        contact.lookups = contact.lookups.saturating_add(lookups);
        contact.days |= 1 << day.rem_euclid(128);
        if kind == Kind::Around {
            return;
        }
        let span = self.span.get_or_insert((day, day));
        *span = (span.0.min(day), span.1.max(day));
        self.seen.add(day, hours);
        if kind == Kind::Update {
            self.updates.add(day, hours);
        }
    }

    /// Adds what another resolver, or another month, has seen of the same device.
    pub fn merge(&mut self, other: &Self) {
        let Self { contacts, seen, updates, span, many } = other;
        for (kind, of) in contacts {
            let contact = self.contact_mut(*kind);
            contact.lookups = contact.lookups.saturating_add(of.lookups);
            contact.days |= of.days;
        }
        self.seen.merge(seen);
        self.updates.merge(updates);
        self.span = match (self.span, *span) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.many |= many;
    }

    fn contact_mut(&mut self, kind: Kind) -> &mut Contact {
        let place = self.contacts.iter().position(|(of, _)| *of == kind).unwrap_or_else(|| {
            self.contacts.push((kind, Contact::default()));
            self.contacts.len() - 1
        });
        &mut self.contacts[place].1
    }

    fn contacts(&self, kind: Option<Kind>) -> impl Iterator<Item = &Contact> {
        let wanted = move |of: Kind| kind.map_or(of != Kind::Around, |kind| kind == of);
        self.contacts.iter().filter(move |(of, _)| wanted(*of)).map(|(_, contact)| contact)
    }

    /// Returns the look-ups of a kind, or of all but ways round.
    pub fn lookups(&self, kind: Option<Kind>) -> u64 {
        self.contacts(kind).fold(0, |sum, contact| sum.saturating_add(contact.lookups))
    }

    /// Returns on how many days there were any; 128 at most.
    pub fn days(&self, kind: Option<Kind>) -> u64 {
        self.contacts(kind).fold(0_u128, |days, contact| days | contact.days).count_ones().into()
    }

    /// Returns how many days there are from the first to the last.
    pub fn span(&self) -> u64 {
        self.span.map_or(0, |(first, last)| (last - first).unsigned_abs() + 1)
    }

    /// Returns how regular updates are.
    pub fn rhythm(&self) -> Option<Rhythm> {
        self.updates.rhythm()
    }

    pub(super) fn seen(&self) -> &Days {
        &self.seen
    }
}
