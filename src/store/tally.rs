//! What reports ask of the index: records of a period by day, added up by what tells them apart, up to one leaf of the
//! journal. Whole days come from tallies; of the days at both ends, records are looked at one by one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use super::fill::{DAY, FOLDED, day_of};
use super::query::{Seen, Sum, seen_of, sum};
use super::schema::{signed, unsigned};
use crate::ledger::{Folded, Leaf};

/// Which records are asked for: look-ups whose first is at `from <= at < to`, in leaves from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub from: Timestamp,
    pub to: Timestamp,
    pub first: u64,
    pub last: u64,
}

/// Records of one day that have everything in common that is told here. Numbers are those of the index, and differ between
/// two indexes of the same journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Days in UTC since 1970.
    pub day: i64,
    pub rule: i64,
    /// None where look-ups of all clients were put together.
    pub client: Option<i64>,
    /// None where look-ups of several names were put together.
    pub name: Option<i64>,
    /// None for the default group, and where look-ups of several groups were put together.
    pub group: Option<i64>,
    pub folded: Option<Folded>,
    /// How many look-ups.
    pub count: u64,
    /// Microseconds since 1970.
    pub first: i64,
    pub last: i64,
    /// The hours of the day in which records begin, as bits from the lowest on.
    pub hours: u32,
}

/// What records of one rule have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ruled {
    pub order: String,
    pub service: String,
    pub rule: String,
    pub verdict: String,
    pub prohibition: Option<String>,
    pub waiver: Option<String>,
    pub confidence: String,
    pub threat: bool,
}

/// How a client came to be known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manner {
    pub identified: Option<String>,
    /// Who told the address, where it was not the client itself.
    pub via: Option<String>,
    /// None for the default group.
    pub group: Option<String>,
}

/// One coverage leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub seq: u64,
    pub at: Timestamp,
    /// The time that it speaks for, by the clock that was trusted; none where that is not known.
    pub span: Option<(Timestamp, Timestamp)>,
    /// How far the system clock was trusted.
    pub clock: Option<String>,
    /// The digests of the policies that were in use.
    pub policies: Vec<String>,
    pub queries: u64,
}

pub(super) fn tally(connection: &Connection, of: Slice, take: &mut dyn FnMut(Tally)) -> rusqlite::Result<()> {
    let (from, to) = (of.from.as_microsecond(), of.to.as_microsecond());
    if from >= to {
        return Ok(());
    }
    let parted = parted(connection, of)?;
    let sql = "SELECT day, rule_id, client_id, name_id, group_id, folded, count, first, last, hours FROM tallies \
               WHERE day BETWEEN ?1 AND ?2";
    let mut select = connection.prepare(sql)?;
    let mut next = day_of(of.from);
    let mut whole = |from: i64, to: i64, take: &mut dyn FnMut(Tally)| {
        let mut rows = select.query([from, to])?;
        while let Some(row) = rows.next()? {
            take(read(row, row.get(0)?)?);
        }
        Ok::<_, rusqlite::Error>(())
    };
    for day in parted {
        whole(next, day - 1, take)?;
        one_by_one(connection, of, day, take)?;
        next = day + 1;
    }
    whole(next, (to - 1).div_euclid(DAY), take)
}

/// Returns the days of which not every record is asked for.
fn parted(connection: &Connection, of: Slice) -> rusqlite::Result<BTreeSet<i64>> {
    let (from, to) = (of.from.as_microsecond(), of.to.as_microsecond());
    let (first, last) = (from.div_euclid(DAY), (to - 1).div_euclid(DAY));
    let sql = format!(
        "SELECT DISTINCT at / {DAY} FROM attempts WHERE seq < ?1 \
         UNION SELECT DISTINCT at / {DAY} FROM attempts WHERE seq > ?2"
    );
    let mut select = connection.prepare(&sql)?;
    let days = select.query_map([signed(of.first), signed(of.last)], |row| row.get(0))?;
    let mut parted: BTreeSet<i64> = days.collect::<rusqlite::Result<_>>()?;
    parted.retain(|day| (first..=last).contains(day));
    parted.extend((from.rem_euclid(DAY) != 0).then_some(first));
    parted.extend((to.rem_euclid(DAY) != 0).then_some(last));
    Ok(parted)
}

fn one_by_one(connection: &Connection, of: Slice, day: i64, take: &mut dyn FnMut(Tally)) -> rusqlite::Result<()> {
    let from = (day * DAY).max(of.from.as_microsecond());
    let to = ((day + 1) * DAY).min(of.to.as_microsecond());
    let hour = DAY / 24;
    let bounds = "SELECT min(first_seq), max(last_seq) FROM hours WHERE hour BETWEEN ?1 AND ?2";
    let bounds = connection.query_row(bounds, [from.div_euclid(hour), (to - 1).div_euclid(hour)], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let (Some(first), Some(last)) = bounds else { return Ok(()) };
    let sql = "SELECT ?5, rule_id, coalesce(client_id, 0), coalesce(name_id, 0), coalesce(group_id, 0), \
               CASE folded WHEN 'network' THEN 1 WHEN 'rule' THEN 2 WHEN 'counter' THEN 3 ELSE 0 END, \
               count, at, at + last, 1 << (at / 3600000000 % 24) FROM attempts NOT INDEXED JOIN manners ON manners.id = manner_id \
               WHERE seq BETWEEN ?1 AND ?2 AND at >= ?3 AND at < ?4";
    let mut select = connection.prepare(sql)?;
    let (first, last) = (first.max(signed(of.first)), last.min(signed(of.last)));
    let mut rows = select.query([first, last, from, to, day])?;
    while let Some(row) = rows.next()? {
        take(read(row, day)?);
    }
    Ok(())
}

fn read(row: &SqlRow<'_>, day: i64) -> rusqlite::Result<Tally> {
    let some = |column| row.get::<_, i64>(column).map(|id| (id != 0).then_some(id));
    let folded: i64 = row.get(5)?;
    Ok(Tally {
        day,
        rule: row.get(1)?,
        client: some(2)?,
        name: some(3)?,
        group: some(4)?,
        folded: usize::try_from(folded).ok().and_then(|of| *FOLDED.get(of)?),
        count: unsigned(row.get(6)?),
        first: row.get(7)?,
        last: row.get(8)?,
        hours: row.get(9)?,
    })
}

pub(super) fn rules(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, Ruled>> {
    let sql = "SELECT id, order_id, service, rule, verdict, prohibition, waiver, confidence, threat FROM rules";
    let read = |row: &SqlRow<'_>| {
        let ruled = Ruled {
            order: row.get(1)?,
            service: row.get(2)?,
            rule: row.get(3)?,
            verdict: row.get(4)?,
            prohibition: row.get(5)?,
            waiver: row.get(6)?,
            confidence: row.get(7)?,
            threat: row.get(8)?,
        };
        Ok((row.get(0)?, ruled))
    };
    connection.prepare(sql)?.query_map([], read)?.collect()
}

pub(super) fn client(connection: &Connection, id: i64) -> rusqlite::Result<Option<Seen>> {
    let sql = "SELECT client, key, prefix, device, leaves, count, coalesce(first, 0), coalesce(last, 0) FROM clients WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], seen_of).optional()
}

pub(super) fn name(connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached("SELECT name FROM names WHERE id = ?1")?.query_row([id], |row| row.get(0)).optional()
}

pub(super) fn group(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT id FROM texts WHERE text = ?1", [name], |row| row.get(0)).optional()
}

/// Hands over what coverage leaves and gaps say of look-ups that are only counted, with the day that they say it of.
pub(super) fn counted(connection: &Connection, of: Slice, take: &mut dyn FnMut(i64, Sum)) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT at / {DAY}, source, order_id, rule, service, verdict, sum(count) FROM counted \
         JOIN summed ON summed.id = summed_id \
         WHERE seq BETWEEN ?1 AND ?2 AND at >= ?3 AND at < ?4 GROUP BY at / {DAY}, summed_id"
    );
    let mut select = connection.prepare(&sql)?;
    let slice = [signed(of.first), signed(of.last), of.from.as_microsecond(), of.to.as_microsecond()];
    let mut rows = select.query(slice)?;
    while let Some(row) = rows.next()? {
        take(row.get(0)?, sum(row, 1)?);
    }
    Ok(())
}

/// Hands over coverage leaves in the order of their numbers.
pub(super) fn covers(
    connection: &Connection,
    first: u64,
    last: u64,
    take: &mut dyn FnMut(Cover),
) -> rusqlite::Result<()> {
    let sql = "SELECT seq, at, covered_from, covered_until, clocks.text, policies.text, queries FROM covers \
               LEFT JOIN texts AS clocks ON clocks.id = clock_id JOIN texts AS policies ON policies.id = policies_id \
               WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([signed(first), signed(last)])?;
    while let Some(row) = rows.next()? {
        let instant =
            |column| row.get::<_, Option<i64>>(column).map(|of| of.and_then(|of| Timestamp::from_microsecond(of).ok()));
        take(Cover {
            seq: unsigned(row.get(0)?),
            at: instant(1)?.unwrap_or_default(),
            span: instant(2)?.zip(instant(3)?),
            clock: row.get(4)?,
            policies: row.get::<_, String>(5)?.split_whitespace().map(str::to_owned).collect(),
            queries: unsigned(row.get(6)?),
        });
    }
    Ok(())
}

/// Hands over changes and gaps in the order of their numbers. One that cannot be read is passed over; its text is what this
/// program wrote.
pub(super) fn told(connection: &Connection, first: u64, last: u64, take: &mut dyn FnMut(Leaf)) -> rusqlite::Result<()> {
    let mut select = connection.prepare("SELECT text FROM told WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")?;
    let mut rows = select.query(params![signed(first), signed(last)])?;
    while let Some(row) = rows.next()? {
        if let Ok(leaf) = serde_json::from_str(&row.get::<_, String>(0)?) {
            take(leaf);
        }
    }
    Ok(())
}

/// Returns the number of the newest record of a client, up to a number.
pub(super) fn newest(connection: &Connection, client: i64, last: u64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max((SELECT max(seq) FROM attempts WHERE client_id = ?1 AND rule_id = of.rule_id AND seq <= ?2)) \
               FROM client_rules AS of WHERE of.client_id = ?1";
    connection.prepare_cached(sql)?.query_row(params![client, signed(last)], |row| row.get(0))
}

/// Returns how a record's client was identified, who told of it, and its group.
pub(super) fn manner(connection: &Connection, seq: i64) -> rusqlite::Result<Manner> {
    let sql = "SELECT identified, via, text FROM attempts JOIN manners ON manners.id = manner_id \
               LEFT JOIN texts ON texts.id = group_id WHERE seq = ?1";
    connection
        .prepare_cached(sql)?
        .query_row([seq], |row| Ok(Manner { identified: row.get(0)?, via: row.get(1)?, group: row.get(2)? }))
}

/// Returns the end of the time that coverage leaves tell of before an instant.
pub(super) fn covered_until(connection: &Connection, of: Slice) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT max(at) FROM covers WHERE seq BETWEEN ?1 AND ?2 AND at < ?3";
    let row = [signed(of.first), signed(of.last), of.to.as_microsecond()];
    let at: Option<i64> = connection.query_row(sql, row, |row| row.get(0))?;
    Ok(at.and_then(|at| Timestamp::from_microsecond(at).ok()))
}

/// Returns how many rules have other sums in tallies than by their records.
pub(super) fn unlike(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM (
        SELECT rule_id, sum(leaves), sum(count) FROM tallies GROUP BY rule_id
        EXCEPT
        SELECT rule_id, count(*), sum(count) FROM attempts GROUP BY rule_id)";
    connection.query_row(sql, [], |row| row.get(0)).map(unsigned)
}
