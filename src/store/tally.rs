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

/// By what records are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// By client, and by rule but for its words and its confidence: the rule of a tally stands for all that differ in those alone.
    Client,
    /// By name and rule.
    Name,
}

/// Records of one day that have everything in common that is told here. Numbers are those of the index, and differ between
/// two indexes of the same journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Days in UTC since 1970.
    pub day: i64,
    pub rule: i64,
    /// A client or a name; none where look-ups of all clients, or of several names, were put together.
    pub whose: Option<i64>,
    /// None for the default group, and where look-ups of several groups were put together.
    pub group: Option<i64>,
    pub folded: Option<Folded>,
    /// How many look-ups.
    pub count: u64,
    /// Microseconds since 1970.
    pub first: i64,
    pub last: i64,
    /// The hours of the day in which records begin, as bits from the lowest on; only by client.
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

pub(super) fn tally(connection: &Connection, of: Slice, by: By, take: &mut dyn FnMut(Tally)) -> rusqlite::Result<()> {
    let (from, to) = (of.from.as_microsecond(), of.to.as_microsecond());
    if from >= to {
        return Ok(());
    }
    let parted = parted(connection, of)?;
    let sql = match by {
        By::Client => {
            "SELECT day, like_id, client_id, group_id, folded, count, first, last, hours FROM client_days \
             WHERE day BETWEEN ?1 AND ?2"
        }
        By::Name => {
            "SELECT day, rule_id, name_id, group_id, folded, count, first, last, 0 FROM name_days \
             WHERE day BETWEEN ?1 AND ?2"
        }
    };
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
        one_by_one(connection, of, (day, by), take)?;
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

fn one_by_one(
    connection: &Connection,
    of: Slice,
    (day, by): (i64, By),
    take: &mut dyn FnMut(Tally),
) -> rusqlite::Result<()> {
    let from = (day * DAY).max(of.from.as_microsecond());
    let to = ((day + 1) * DAY).min(of.to.as_microsecond());
    let hour = DAY / 24;
    let bounds = "SELECT min(first_seq), max(last_seq) FROM hours WHERE hour BETWEEN ?1 AND ?2";
    let bounds = connection.query_row(bounds, [from.div_euclid(hour), (to - 1).div_euclid(hour)], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let (Some(first), Some(last)) = bounds else { return Ok(()) };
    let whose = match by {
        By::Client => "client_id",
        By::Name => "name_id",
    };
    let sql = format!(
        "SELECT ?5, rule_id, coalesce({whose}, 0), coalesce(group_id, 0), \
         CASE folded WHEN 'network' THEN 1 WHEN 'rule' THEN 2 WHEN 'counter' THEN 3 ELSE 0 END, \
         count, at, at + last, 1 << (at / 3600000000 % 24) FROM attempts NOT INDEXED JOIN manners ON manners.id = manner_id \
         WHERE seq BETWEEN ?1 AND ?2 AND at >= ?3 AND at < ?4"
    );
    let mut select = connection.prepare(&sql)?;
    let (first, last) = (first.max(signed(of.first)), last.min(signed(of.last)));
    let mut rows = select.query([first, last, from, to, day])?;
    while let Some(row) = rows.next()? {
        take(read(row, day)?);
    }
    Ok(())
}

fn read(row: &SqlRow<'_>, day: i64) -> rusqlite::Result<Tally> {
    let some = |column| row.get::<_, i64>(column).map(|id| (id != 0).then_some(id));
    let folded: i64 = row.get(4)?;
    Ok(Tally {
        day,
        rule: row.get(1)?,
        whose: some(2)?,
        group: some(3)?,
        folded: usize::try_from(folded).ok().and_then(|of| *FOLDED.get(of)?),
        count: unsigned(row.get(5)?),
        first: row.get(6)?,
        last: row.get(7)?,
        hours: row.get(8)?,
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
    // Most often none came behind `last`, and no place of the index of records has to be looked at for each rule.
    let sql = "SELECT CASE WHEN newest <= ?2 THEN newest ELSE ( \
                   SELECT max((SELECT max(seq) FROM attempts WHERE client_id = ?1 AND rule_id = of.rule_id AND seq <= ?2)) \
                   FROM client_rules AS of WHERE of.client_id = ?1) END \
               FROM clients WHERE id = ?1";
    let row = params![client, signed(last)];
    connection.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional().map(Option::flatten)
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

/// Returns how many rules have other sums in tallies, by client or by name, than by their records, or stand in one of them only.
pub(super) fn unlike(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "WITH own AS MATERIALIZED (SELECT rule_id, count(*) AS leaves, sum(count) AS count FROM attempts GROUP BY rule_id),
        alike (id, leaves, count) AS MATERIALIZED
            (SELECT like_id, sum(leaves), sum(count) FROM own JOIN rules ON rules.id = rule_id GROUP BY like_id),
        by_client AS MATERIALIZED (SELECT like_id AS id, sum(leaves), sum(count) FROM client_days GROUP BY like_id),
        by_name AS MATERIALIZED (SELECT rule_id AS id, sum(leaves), sum(count) FROM name_days GROUP BY rule_id)
        SELECT count(DISTINCT id) FROM (
            SELECT id FROM (SELECT * FROM by_client EXCEPT SELECT * FROM alike) UNION ALL
            SELECT id FROM (SELECT * FROM alike EXCEPT SELECT * FROM by_client) UNION ALL
            SELECT id FROM (SELECT * FROM by_name EXCEPT SELECT * FROM own) UNION ALL
            SELECT rule_id FROM (SELECT * FROM own EXCEPT SELECT * FROM by_name))";
    connection.query_row(sql, [], |row| row.get(0)).map(unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Body, Record, VERSION};
    use crate::store::{Store, schema};

    const START: i64 = 1_727_740_800_000_000;
    const GROUPS: [&str; 2] = ["kiosks", "guests"];

    /// Numbers that look like chance, and are the same in each run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }
    }

    fn record(dice: &mut Dice, at: i64) -> Record {
        let folded = FOLDED[usize::try_from(dice.roll(12).saturating_sub(8)).unwrap()];
        let last = at + i64::try_from(dice.roll(60_000_000)).unwrap();
        let (at, last) = (Timestamp::from_microsecond(at).unwrap(), Timestamp::from_microsecond(last).unwrap());
        let some = |is: bool, text: String| is.then_some(text);
        let verdict = ["sunk", "waived", "monitored"][usize::try_from(dice.roll(3)).unwrap()];
        Record {
            at,
            last,
            ends: None,
            raw: at,
            raw_last: last,
            count: 1 + dice.roll(5),
            folded,
            client: some(dice.roll(9) > 0, format!("10.0.0.{}", dice.roll(6))),
            key: None,
            prefix: None,
            group: some(dice.roll(3) > 0, GROUPS[usize::try_from(dice.roll(2)).unwrap()].to_owned()),
            identified: None,
            via: None,
            device: None,
            transport: None,
            name: some(dice.roll(9) > 0, format!("s{}.vendor.example", dice.roll(7))),
            r#type: None,
            names: None,
            clients: None,
            verdict: verdict.to_owned(),
            order: format!("act-{}", dice.roll(2)),
            prohibition: some(dice.roll(2) > 0, "updates".to_owned()),
            waiver: some(verdict == "waived", format!("W-{}", dice.roll(2))),
            rule: format!("suffix:r{}.vendor.example", dice.roll(4)),
            service: ["update", "web"][usize::try_from(dice.roll(2)).unwrap()].to_owned(),
            confidence: ["high", "low"][usize::try_from(dice.roll(2)).unwrap()].to_owned(),
            threat: dice.roll(8) == 0,
            subject: None,
            through: None,
            policy: String::new(),
            rcode: None,
            rehearsal: false,
        }
    }

    /// By day, rule, client or name, group and what look-ups were put together by: count, first, last and hours.
    type Sums = BTreeMap<(i64, Ruled, Option<String>, Option<String>, Option<Folded>), (u64, i64, i64, u32)>;

    fn add(sums: &mut Sums, by: By, tally: Tally, (mut ruled, whose, group): (Ruled, Option<String>, Option<String>)) {
        if by == By::Client {
            (ruled.rule, ruled.confidence) = Default::default();
        }
        let key = (tally.day, ruled, whose, group, tally.folded);
        let sum = sums.entry(key).or_insert((0, i64::MAX, i64::MIN, 0));
        let hours = if by == By::Client { tally.hours } else { 0 };
        *sum = (sum.0 + tally.count, sum.1.min(tally.first), sum.2.max(tally.last), sum.3 | hours);
    }

    fn read_plainly(leaves: &[Leaf], of: Slice, by: By) -> Sums {
        let mut sums = Sums::new();
        for leaf in leaves.iter().filter(|leaf| (of.first..=of.last).contains(&leaf.seq)) {
            let Body::Attempt(record) = &leaf.body else { continue };
            let Record { at, last, count, folded, client, name, group, .. } = record.as_ref().clone();
            if of.from <= at && at < of.to {
                let Record { order, service, rule, verdict, prohibition, waiver, confidence, threat, .. } =
                    record.as_ref().clone();
                let ruled = Ruled { order, service, rule, verdict, prohibition, waiver, confidence, threat };
                let (first, last) = (at.as_microsecond(), last.as_microsecond());
                let hours = 1 << first.rem_euclid(DAY).div_euclid(DAY / 24);
                let tally =
                    Tally { day: day_of(at), rule: 0, whose: None, group: None, folded, count, first, last, hours };
                add(&mut sums, by, tally, (ruled, if by == By::Client { client } else { name }, group));
            }
        }
        sums
    }

    fn read_tallies(store: &Store, of: Slice, by: By) -> Sums {
        let rules = store.rules().unwrap();
        let groups: Vec<_> = GROUPS.iter().map(|name| (store.group(name).unwrap(), (*name).to_owned())).collect();
        let mut found = Vec::new();
        store.tally(of, by, |tally| found.push(tally)).unwrap();
        let mut sums = Sums::new();
        for tally in found {
            let whose = tally.whose.map(|id| match by {
                By::Client => store.client(id).unwrap().unwrap().client,
                By::Name => store.name(id).unwrap().unwrap(),
            });
            let group = tally.group.map(|id| groups.iter().find(|(of, _)| *of == Some(id)).unwrap().1.clone());
            add(&mut sums, by, tally, (rules[&tally.rule].clone(), whose, group));
        }
        sums
    }

    fn leaves(records: u64, days: i64) -> Vec<Leaf> {
        let mut dice = Dice(1);
        let step = days * DAY / signed(records);
        let mut leaf = |seq| {
            let record = record(&mut dice, START + signed(seq) * step);
            Leaf { v: VERSION, seq, body: Body::Attempt(Box::new(record)) }
        };
        (0..records).map(&mut leaf).collect()
    }

    fn filled(leaves: &[Leaf]) -> Store {
        let mut store = Store::temporary().unwrap();
        for batch in leaves.chunks(400) {
            store.fill(batch.iter().cloned().map(|leaf| (0, leaf))).unwrap();
        }
        store
    }

    #[test]
    fn the_newest_record_of_a_client_is_found_up_to_any_number() {
        let leaves = leaves(1000, 2);
        let store = filled(&leaves);
        for id in 1..=6 {
            let client = store.client(id).unwrap().unwrap().client;
            for last in [0, 17, 500, 998, 999, 5000] {
                let is_of = |leaf: &&Leaf| match &leaf.body {
                    Body::Attempt(record) => leaf.seq <= last && record.client.as_deref() == Some(&*client),
                    _ => false,
                };
                let plain = leaves.iter().rev().find(is_of).map(|leaf| signed(leaf.seq));
                assert_eq!(newest(&store.connection, id, last).unwrap(), plain, "{client} up to {last}");
            }
        }
        assert_eq!(newest(&store.connection, 7, 5000).unwrap(), None, "there is no such client");
    }

    #[test]
    fn tallies_say_what_a_plain_reading_of_the_records_says() {
        const RECORDS: u64 = 3000;
        let leaves = leaves(RECORDS, 5);
        let store = filled(&leaves);
        let at = |micros: i64| Timestamp::from_microsecond(START + micros).unwrap();
        let all = Slice { from: at(0), to: at(5 * DAY), first: 0, last: RECORDS };
        let slices = [
            all,
            Slice { from: at(DAY), to: at(3 * DAY), ..all },
            Slice { from: at(DAY / 3), to: at(4 * DAY + DAY / 7), ..all },
            Slice { from: at(2 * DAY + DAY / 5), to: at(2 * DAY + DAY / 2), ..all },
            Slice { first: 333, last: 2222, ..all },
        ];
        let compare = |store: &Store, leaves: &[Leaf], of: Slice| {
            for by in [By::Client, By::Name] {
                let plain = read_plainly(leaves, of, by);
                assert!(plain.len() > 50, "{of:?}");
                assert_eq!(read_tallies(store, of, by), plain, "{of:?} {by:?}");
            }
        };
        slices.into_iter().for_each(|of| compare(&store, &leaves, of));
        assert_eq!(unlike(&store.connection).unwrap(), 0);
        // Days that lose some of their records to the age limit are added up again.
        schema::forget_before(&store.connection, 700).unwrap();
        slices.into_iter().for_each(|of| compare(&store, &leaves[700..], of));
        assert_eq!(unlike(&store.connection).unwrap(), 0);
        let rows = |table| {
            let sql = format!("SELECT count(*) FROM {table}");
            store.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert!(rows("client_days") < rows("attempts"), "rules that a report need not tell apart are added up");
    }
}
