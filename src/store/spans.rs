//! Tallies by client: what one client did of one kind on the days of a span of 32, packed into one row. A year is read by
//! rows, and a row for each day would be read fifteen times as often.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, ffi, params};

use super::fill::{DAY, Seen};
use super::schema::{signed, unsigned};

/// A span is so many bits of the number of a day: 32 days.
const BITS: u32 = 5;
const MASK: i64 = (1 << BITS) - 1;

/// What records are added up by: span, client, rule, group and what look-ups were put together by, as numbers of the index. 0
/// stands for none.
pub(super) type Key = (i64, i64, i64, i64, i64);

/// What records of one day come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    /// Days in UTC since 1970.
    pub(super) day: i64,
    /// The hours of the day in which records begin, as bits from the lowest on.
    pub(super) hours: u32,
    pub(super) seen: Seen,
}

/// Returns the span that a day belongs to.
pub(super) const fn span_of(day: i64) -> i64 {
    day >> BITS
}

/// Adds days of one span to those of a row. Each is there once at most.
pub(super) fn add(connection: &Connection, key: Key, days: &[Day]) -> rusqlite::Result<()> {
    let (span, client, like, group, folded) = key;
    let find = "SELECT days FROM client_spans \
                WHERE span = ?1 AND client_id = ?2 AND like_id = ?3 AND group_id = ?4 AND folded = ?5";
    let mut find = connection.prepare_cached(find)?;
    let row = params![span, client, like, group, folded];
    let known = find.query_row(row, |row| unpacked(span, row.get_ref(0)?)).optional()?;
    let mut all: BTreeMap<i64, Day> = known.into_iter().flatten().map(|day| (day.day, day)).collect();
    for day in days {
        all.entry(day.day)
            .and_modify(|known| {
                known.hours |= day.hours;
                known.seen.join(day.seen);
            })
            .or_insert(*day);
    }
    write(connection, key, all.values())
}

fn write<'a>(connection: &Connection, key: Key, days: impl Iterator<Item = &'a Day>) -> rusqlite::Result<()> {
    let (span, client, like, group, folded) = key;
    let mut write = connection.prepare_cached("INSERT OR REPLACE INTO client_spans VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    write.execute(params![span, client, like, group, folded, pack(days)])?;
    Ok(())
}

/// Hands over the days of a range that are not left out, with what they are of.
pub(super) fn each(
    connection: &Connection,
    range: &RangeInclusive<i64>,
    left_out: &BTreeSet<i64>,
    mut take: impl FnMut(Key, Day),
) -> rusqlite::Result<()> {
    let sql = "SELECT span, client_id, like_id, group_id, folded, days FROM client_spans WHERE span BETWEEN ?1 AND ?2";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([span_of(*range.start()), span_of(*range.end())])?;
    let (mut of, mut wanted) = (None, 0);
    while let Some(row) = rows.next()? {
        let key: Key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        if of != Some(key.0) {
            (of, wanted) = (Some(key.0), bits(key.0, range, left_out));
        }
        unpack(key.0, row.get_ref(5)?, |day| {
            if wanted & (1 << (day.day & MASK)) != 0 {
                take(key, day);
            }
        })?;
    }
    Ok(())
}

/// Returns the days of a span that lie in a range and are not left out, as bits.
fn bits(span: i64, range: &RangeInclusive<i64>, left_out: &BTreeSet<i64>) -> u32 {
    let days = (0..=MASK).map(|place| ((span << BITS) + place, 1 << place));
    days.filter(|(day, _)| range.contains(day) && !left_out.contains(day)).fold(0, |bits, (_, bit)| bits | bit)
}

/// Takes days out of all rows.
pub(super) fn remove(connection: &Connection, days: &BTreeSet<i64>) -> rusqlite::Result<()> {
    for span in days.iter().map(|day| span_of(*day)).collect::<BTreeSet<_>>() {
        let mut rows: BTreeMap<Key, Vec<Day>> = BTreeMap::new();
        let whole = (span << BITS)..=((span << BITS) + MASK);
        each(connection, &whole, days, |key, day| rows.entry(key).or_default().push(day))?;
        connection.execute("DELETE FROM client_spans WHERE span = ?1", [span])?;
        for (key, days) in rows {
            write(connection, key, days.iter())?;
        }
    }
    Ok(())
}

/// Returns how many records and look-ups there are of each rule.
pub(super) fn sums(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, (i64, i64)>> {
    let mut sums: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    each(connection, &(i64::MIN..=i64::MAX), &BTreeSet::new(), |(_, _, like, _, _), Day { seen, .. }| {
        let sum = sums.entry(like).or_default();
        *sum = (sum.0.saturating_add(seen.leaves), sum.1.saturating_add(signed(seen.count)));
    })?;
    Ok(sums)
}

/// Writes days one behind the other, each as six numbers of as many octets as they need: day of the span, hours, records,
/// look-ups, first from the beginning of the day, last from the first.
fn pack<'a>(days: impl Iterator<Item = &'a Day>) -> Vec<u8> {
    let mut octets = Vec::new();
    for Day { day, hours, seen: Seen { leaves, count, first, last } } in days {
        put(&mut octets, unsigned(day & MASK));
        put(&mut octets, u64::from(*hours));
        put(&mut octets, unsigned(*leaves));
        put(&mut octets, *count);
        put(&mut octets, first.wrapping_sub(day.wrapping_mul(DAY)).cast_unsigned());
        let lasted = last.wrapping_sub(*first);
        // Small for what lies a little before, too, as a damaged record may have it.
        put(&mut octets, ((lasted << 1) ^ (lasted >> 63)).cast_unsigned());
    }
    octets
}

fn put(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

fn number(octets: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (octet, rest) = octets.split_first()?;
        *octets = rest;
        number |= u64::from(octet & 0x7f).checked_shl(shift)?;
        if octet & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

fn one(span: i64, octets: &mut &[u8]) -> Option<Day> {
    let place = i64::try_from(number(octets)?).ok().filter(|place| *place <= MASK)?;
    let day = (span << BITS) + place;
    let hours = u32::try_from(number(octets)?).ok()?;
    let (leaves, count) = (signed(number(octets)?), number(octets)?);
    let first = number(octets)?.cast_signed().wrapping_add(day.wrapping_mul(DAY));
    let lasted = number(octets)?;
    let last = first.wrapping_add((lasted >> 1).cast_signed() ^ (lasted & 1).cast_signed().wrapping_neg());
    Some(Day { day, hours, seen: Seen { leaves, count, first, last } })
}

fn unpack(span: i64, packed: ValueRef<'_>, mut take: impl FnMut(Day)) -> rusqlite::Result<()> {
    let mut octets = packed.as_blob()?;
    while !octets.is_empty() {
        take(one(span, &mut octets).ok_or_else(damaged)?);
    }
    Ok(())
}

fn unpacked(span: i64, packed: ValueRef<'_>) -> rusqlite::Result<Vec<Day>> {
    let mut days = Vec::new();
    unpack(span, packed, |day| days.push(day))?;
    Ok(days)
}

/// A file that holds this is made again, like one that SQLite itself cannot read.
fn damaged() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_CORRUPT),
        Some("no days are packed like this".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(span: i64) -> impl Strategy<Value = Day> {
        let numbers = (0..=MASK, 0_u32..1 << 24, 1..i64::MAX, any::<u64>(), 0..DAY, any::<i64>());
        numbers.prop_map(move |(place, hours, leaves, count, first, last)| {
            let day = (span << BITS) + place;
            Day { day, hours, seen: Seen { leaves, count, first: day * DAY + first, last } }
        })
    }

    proptest! {
        #[test]
        fn packed_days_are_the_same_days(
            (span, days) in (-20_000_i64..200_000).prop_flat_map(|span| (Just(span), prop::collection::vec(day(span), 0..40))),
        ) {
            let packed = pack(days.iter());
            prop_assert_eq!(unpacked(span, ValueRef::Blob(&packed)).unwrap(), days);
        }

        #[test]
        fn any_octets_are_days_or_damage(span in any::<i64>(), octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let days = unpacked(span, ValueRef::Blob(&octets));
            prop_assert!(days.is_err() || octets.is_empty() || !days.unwrap().is_empty());
        }
    }

    #[test]
    fn octets_that_are_cut_off_are_damage() {
        let day = Day { day: 33, hours: 5, seen: Seen { leaves: 2, count: 3, first: 33 * DAY, last: 33 * DAY + 300 } };
        let packed = pack([day].iter());
        for length in 1..packed.len() {
            let found = unpacked(1, ValueRef::Blob(&packed[..length]));
            assert!(found.is_err_and(|error| super::super::is_damage(&error)), "{length}");
        }
    }
}
