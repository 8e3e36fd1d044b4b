//! How leaves get into the tables. Sums are kept in memory while a transaction fills it, and go in with it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, ToSql, params};

use super::schema::signed;
use super::spans::{self, Day, span_of};
use crate::ledger::{Body, Coverage, Folded, Leaf, Record, RuleCount};
use crate::message::Name;

const HOUR: i64 = 3_600_000_000;
/// Microseconds of a day.
pub(super) const DAY: i64 = 24 * HOUR;
/// The numbers that tallies have for what look-ups were put together by.
pub(super) const FOLDED: [Option<Folded>; 4] = [None, Some(Folded::Network), Some(Folded::Rule), Some(Folded::Counter)];

/// Puts leaves into the tables; what it knows holds for one transaction.
#[derive(Debug, Default)]
pub(super) struct Filler {
    /// With the first that is like it.
    rules: HashMap<Rule, (i64, i64)>,
    manners: HashMap<Manner, i64>,
    clients: HashMap<Client, i64>,
    texts: HashMap<String, i64>,
    names: HashMap<String, i64>,
    summed: HashMap<Summed, i64>,
    sums: BTreeMap<(i64, i64, i64), u64>,
    /// With the number of the newest record.
    seen: BTreeMap<i64, (Seen, i64)>,
    client_rules: BTreeMap<(i64, i64), (i64, u64)>,
    hours: BTreeMap<i64, (i64, i64)>,
    /// By day within what a row of theirs is of; with the hours of the day, as bits.
    client_days: BTreeMap<(spans::Key, i64), (Seen, u32)>,
    name_days: BTreeMap<TallyKey, Seen>,
}

/// Day, rule, name, group and what look-ups were put together by.
type TallyKey = (i64, i64, i64, i64, i64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Rule {
    order: String,
    prohibition: Option<String>,
    waiver: Option<String>,
    rule: String,
    service: String,
    confidence: String,
    verdict: String,
    threat: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Manner {
    folded: Option<&'static str>,
    identified: Option<String>,
    via: Option<String>,
    transport: Option<String>,
    record_type: Option<String>,
    through: Option<String>,
    rcode: Option<String>,
    rehearsal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    client: String,
    key: Option<String>,
    prefix: Option<u8>,
    device: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Summed {
    source: &'static str,
    order: String,
    rule: String,
    service: String,
    verdict: String,
}

/// What is added to the sums of a client, or to a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) leaves: i64,
    pub(super) count: u64,
    /// Microseconds since 1970.
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Seen {
    fn add(&mut self, count: u64, at: i64, last: i64) {
        (self.leaves, self.count) = (self.leaves + 1, self.count.saturating_add(count));
        (self.first, self.last) = (self.first.min(at), self.last.max(last));
    }

    /// Adds what other records come to.
    pub(super) fn join(&mut self, other: Self) {
        let Self { leaves, count, first, last } = other;
        (self.leaves, self.count) = (self.leaves.saturating_add(leaves), self.count.saturating_add(count));
        (self.first, self.last) = (self.first.min(first), self.last.max(last));
    }
}

/// The leaf that sums come from, and the instant that they are of.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    seq: i64,
    at: Timestamp,
}

impl Filler {
    /// Takes a leaf of the segment that begins with the leaf `segment`.
    pub(super) fn insert(&mut self, connection: &Connection, segment: u64, leaf: &Leaf) -> rusqlite::Result<()> {
        match &leaf.body {
            Body::Attempt(record) => {
                self.insert_attempt(connection, signed(leaf.seq), record)?;
                let Record { order, rule, service, verdict, count, .. } = record.as_ref();
                let source = if record.threat { "threat" } else { "recorded" };
                self.add(connection, (segment, record.at), source, [order, rule, service, verdict], *count)?;
                Ok(())
            }
            Body::Coverage(of) => {
                self.cover(connection, signed(leaf.seq), of)?;
                let place = Place { segment, seq: signed(leaf.seq), at: of.at };
                self.add_all(connection, place, "counted", &of.counted)?;
                self.add_all(connection, place, "threat", &of.threats)
            }
            Body::Gap(gap) => {
                tell(connection, leaf)?;
                let place = Place { segment, seq: signed(leaf.seq), at: gap.from.unwrap_or(gap.at) };
                self.add_all(connection, place, "missed", &gap.rules)
            }
            Body::Change(_) => tell(connection, leaf),
            Body::Unknown => Ok(()),
        }
    }

    fn insert_attempt(&mut self, connection: &Connection, seq: i64, record: &Record) -> rusqlite::Result<()> {
        let (rule, like) = self.rule(connection, record)?;
        let manner = self.manner(connection, record)?;
        let client = self.client(connection, record)?;
        let policy = text(connection, &mut self.texts, &record.policy)?;
        let group = record.group.as_ref().map(|group| text(connection, &mut self.texts, group)).transpose()?;
        let name = record.name.as_ref().map(|name| self.name(connection, name)).transpose()?;
        let micros = Timestamp::as_microsecond;
        let (at, last, raw) = (micros(record.at), micros(record.last), micros(record.raw));
        let mut insert = connection.prepare_cached(
            "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?;
        insert.execute(params![
            seq,
            at,
            last - at,
            raw - at,
            micros(record.raw_last) - raw,
            signed(record.count),
            rule,
            policy,
            manner,
            client,
            name,
            group,
            record.subject,
            record.names.map(signed),
            record.clients.map(signed),
            record.ends.map(|ends| micros(ends) - at),
        ])?;
        let (count, nothing) = (record.count, Seen { leaves: 0, count: 0, first: at, last });
        let folded = FOLDED.iter().position(|of| *of == record.folded).and_then(|of| i64::try_from(of).ok());
        let of = |id: Option<i64>| id.unwrap_or_default();
        let (day, group, folded) = (at.div_euclid(DAY), of(group), of(folded));
        let key = ((span_of(day), of(client), like, group, folded), day);
        let (tally, hours) = self.client_days.entry(key).or_insert((nothing, 0));
        tally.add(count, at, last);
        *hours |= 1 << at.rem_euclid(DAY).div_euclid(HOUR);
        let key = (day, rule, of(name), group, folded);
        self.name_days.entry(key).or_insert(nothing).add(count, at, last);
        if let Some(client) = client {
            let (seen, newest) = self.seen.entry(client).or_insert((nothing, seq));
            seen.add(count, at, last);
            *newest = (*newest).max(seq);
            let (leaves, sum) = self.client_rules.entry((client, rule)).or_default();
            (*leaves, *sum) = (*leaves + 1, sum.saturating_add(count));
        }
        for hour in [at.div_euclid(HOUR), last.div_euclid(HOUR)] {
            let (first, last) = self.hours.entry(hour).or_insert((seq, seq));
            (*first, *last) = ((*first).min(seq), (*last).max(seq));
        }
        Ok(())
    }

    /// Puts in the sums of what was taken. Nothing of a transaction is whole before.
    pub(super) fn finish(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO sums VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        let mut days: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        for ((segment, day, summed), count) in std::mem::take(&mut self.sums) {
            add.execute(params![segment, day, summed, signed(count)])?;
            let sum = days.entry((day, summed)).or_default();
            *sum = sum.saturating_add(count);
        }
        let mut add = connection.prepare_cached(
            "INSERT INTO days VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((day, summed), count) in days {
            add.execute(params![day, summed, signed(count)])?;
        }
        let mut add = connection.prepare_cached(
            "UPDATE clients SET leaves = leaves + ?2, count = count + ?3, first = min(coalesce(first, ?4), ?4), \
             last = max(coalesce(last, ?5), ?5), newest = max(newest, ?6) WHERE id = ?1",
        )?;
        for (client, (of, newest)) in std::mem::take(&mut self.seen) {
            let Seen { leaves, count, first, last } = of;
            add.execute(params![client, leaves, signed(count), first, last, newest])?;
        }
        let mut add = connection.prepare_cached(
            "INSERT INTO client_rules VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET \
             leaves = leaves + excluded.leaves, count = count + excluded.count",
        )?;
        for ((client, rule), (leaves, count)) in std::mem::take(&mut self.client_rules) {
            add.execute(params![client, rule, leaves, signed(count)])?;
        }
        let mut add = connection.prepare_cached(
            "INSERT INTO hours VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET \
             first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq)",
        )?;
        for (hour, (first, last)) in std::mem::take(&mut self.hours) {
            add.execute(params![hour, first, last])?;
        }
        self.finish_days(connection)
    }

    fn finish_days(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        const SUMMED: &str = "leaves = leaves + excluded.leaves, count = count + excluded.count, \
                              first = min(first, excluded.first), last = max(last, excluded.last)";
        let days: Vec<_> = std::mem::take(&mut self.client_days).into_iter().collect();
        for row in days.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let days: Vec<_> =
                row.iter().map(|((_, day), (seen, hours))| Day { day: *day, hours: *hours, seen: *seen }).collect();
            spans::add(connection, row[0].0.0, &days)?;
        }
        let mut add = connection.prepare_cached(&format!(
            "INSERT INTO name_days VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET {SUMMED}"
        ))?;
        for ((day, rule, name, group, folded), of) in std::mem::take(&mut self.name_days) {
            let Seen { leaves, count, first, last } = of;
            add.execute(params![day, rule, name, group, folded, leaves, signed(count), first, last])?;
        }
        Ok(())
    }

    fn cover(&mut self, connection: &Connection, seq: i64, of: &Coverage) -> rusqlite::Result<()> {
        let clock = of.clock.as_ref().map(|clock| text(connection, &mut self.texts, clock)).transpose()?;
        let policies = text(connection, &mut self.texts, &of.policies.join(" "))?;
        let span = covered(of);
        let queries = of.queries.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        connection.prepare_cached("INSERT INTO covers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
            seq,
            of.at.as_microsecond(),
            span.map(|(from, _)| from.as_microsecond()),
            span.map(|(_, until)| until.as_microsecond()),
            clock,
            policies,
            signed(queries),
        ])?;
        Ok(())
    }

    /// Forgets what it knows of the tables, which another process may have made again or a rollback undone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Returns the numbers of a record's rule and of the first that is like it.
    fn rule(&mut self, connection: &Connection, record: &Record) -> rusqlite::Result<(i64, i64)> {
        let Record { order, prohibition, waiver, rule, service, confidence, verdict, threat, .. } = record.clone();
        let key = Rule { order, prohibition, waiver, rule, service, confidence, verdict, threat };
        intern(
            &mut self.rules,
            key,
            |Rule { order, prohibition, waiver, rule, service, confidence, verdict, threat }| {
                let row = params![order, prohibition, waiver, rule, service, confidence, verdict, threat];
                let find = "SELECT id, like_id FROM rules WHERE order_id = ?1 AND prohibition IS ?2 AND waiver IS ?3 \
                            AND rule = ?4 AND service = ?5 AND confidence = ?6 AND verdict = ?7 AND threat = ?8";
                let both = |row: &SqlRow<'_>| Ok((row.get(0)?, row.get(1)?));
                if let Some(found) = connection.prepare_cached(find)?.query_row(row, both).optional()? {
                    return Ok(found);
                }
                let add = "INSERT INTO rules SELECT new, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce((
                               SELECT like_id FROM rules WHERE order_id = ?1 AND prohibition IS ?2 AND waiver IS ?3 \
                               AND service = ?5 AND verdict = ?7 AND threat = ?8 LIMIT 1), new) \
                           FROM (SELECT coalesce(max(id), 0) + 1 AS new FROM rules) RETURNING id, like_id";
                connection.prepare_cached(add)?.query_row(row, both)
            },
        )
    }

    fn manner(&mut self, connection: &Connection, record: &Record) -> rusqlite::Result<i64> {
        let Record { identified, via, transport, r#type, through, rcode, rehearsal, .. } = record.clone();
        let folded = record.folded.map(Folded::as_str);
        let key = Manner { folded, identified, via, transport, record_type: r#type, through, rcode, rehearsal };
        intern(
            &mut self.manners,
            key,
            |Manner { folded, identified, via, transport, record_type, through, rcode, rehearsal }| {
                let row = params![folded, identified, via, transport, record_type, through, rcode, rehearsal];
                find_or_add(
                    connection,
                    "SELECT id FROM manners WHERE folded IS ?1 AND identified IS ?2 AND via IS ?3 AND transport IS ?4 \
                     AND type IS ?5 AND through IS ?6 AND rcode IS ?7 AND rehearsal = ?8",
                    "INSERT INTO manners VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    row,
                )
            },
        )
    }

    fn client(&mut self, connection: &Connection, record: &Record) -> rusqlite::Result<Option<i64>> {
        let Record { client: Some(client), key, prefix, device, .. } = record else { return Ok(None) };
        let (client, key, device) = (client.clone(), key.clone(), device.clone());
        let key = Client { client, key, prefix: *prefix, device };
        let id = intern(&mut self.clients, key, |Client { client, key, prefix, device }| {
            find_or_add(
                connection,
                "SELECT id FROM clients WHERE client = ?1 AND key IS ?2 AND prefix IS ?3 AND device IS ?4",
                "INSERT INTO clients (client, key, prefix, device) VALUES (?1, ?2, ?3, ?4)",
                params![client, key, prefix, device],
            )
        })?;
        Ok(Some(id))
    }

    fn name(&mut self, connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        intern(&mut self.names, name.to_owned(), |name| {
            let mut find = connection.prepare_cached("SELECT id FROM names WHERE name = ?1")?;
            if let Some(id) = find.query_row([name], |row| row.get(0)).optional()? {
                return Ok(id);
            }
            let reversed = name.parse().ok().map(|name| reversed(&name));
            let mut insert = connection.prepare_cached("INSERT INTO names VALUES (NULL, ?1, ?2)")?;
            insert.insert(params![name, reversed])
        })
    }

    fn add_all(
        &mut self,
        connection: &Connection,
        place: Place,
        source: &'static str,
        counts: &[RuleCount],
    ) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(
            "INSERT INTO counted VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for RuleCount { order, rule, service, verdict, count } in counts {
            let Place { segment, seq, at } = place;
            let id = self.add(connection, (segment, at), source, [order, rule, service, verdict], *count)?;
            add.execute(params![seq, id, at.as_microsecond(), signed(*count)])?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        connection: &Connection,
        (segment, at): (u64, Timestamp),
        source: &'static str,
        of: [&String; 4],
        count: u64,
    ) -> rusqlite::Result<i64> {
        let [order, rule, service, verdict] = of.map(Clone::clone);
        let key = Summed { source, order, rule, service, verdict };
        let id = intern(&mut self.summed, key, |Summed { source, order, rule, service, verdict }| {
            find_or_add(
                connection,
                "SELECT id FROM summed WHERE source = ?1 AND order_id = ?2 AND rule = ?3 AND service = ?4 AND verdict = ?5",
                "INSERT INTO summed VALUES (NULL, ?1, ?2, ?3, ?4, ?5)",
                params![source, order, rule, service, verdict],
            )
        })?;
        let sum = self.sums.entry((signed(segment), day_of(at), id)).or_default();
        *sum = sum.saturating_add(count);
        Ok(id)
    }
}

/// How far instants of leaves beside each other may be apart where the clock leapt, as verification of a log takes it.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Returns the time that a coverage leaf speaks for: where the clock leapt, no more than what passed since the boot of the
/// machine, up to the instant that was trusted.
fn covered(of: &Coverage) -> Option<(Timestamp, Timestamp)> {
    let (from, until) = match of.lasted_ms {
        Some(lasted) => {
            let until = of.ends.unwrap_or(of.at);
            let lasted = SignedDuration::from_millis(i64::try_from(lasted).unwrap_or(i64::MAX));
            (until.checked_sub(SLACK.checked_add(lasted)?).ok()?, until)
        }
        None if of.clock.as_deref() == Some("ahead") => return None,
        None => (of.from, of.at),
    };
    (from <= until).then_some((from, until))
}

fn tell(connection: &Connection, leaf: &Leaf) -> rusqlite::Result<()> {
    let text = serde_json::to_string(leaf).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection.prepare_cached("INSERT INTO told VALUES (?1, ?2)")?.execute(params![signed(leaf.seq), text])?;
    Ok(())
}

/// Returns how many days in UTC since 1970 are over at an instant.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_microsecond().div_euclid(DAY)
}

/// Returns how many hours since 1970 are over at an instant.
pub(super) fn hour_of(at: Timestamp) -> i64 {
    at.as_microsecond().div_euclid(HOUR)
}

fn intern<K: Eq + Hash, N: Copy>(
    known: &mut HashMap<K, N>,
    key: K,
    find: impl FnOnce(&K) -> rusqlite::Result<N>,
) -> rusqlite::Result<N> {
    if let Some(id) = known.get(&key) {
        return Ok(*id);
    }
    let id = find(&key)?;
    known.insert(key, id);
    Ok(id)
}

fn text(connection: &Connection, known: &mut HashMap<String, i64>, text: &str) -> rusqlite::Result<i64> {
    if let Some(id) = known.get(text) {
        return Ok(*id);
    }
    intern(known, text.to_owned(), |text| {
        find_or_add(
            connection,
            "SELECT id FROM texts WHERE text = ?1",
            "INSERT INTO texts VALUES (NULL, ?1)",
            params![text],
        )
    })
}

fn find_or_add(connection: &Connection, find: &str, add: &str, row: &[&dyn ToSql]) -> rusqlite::Result<i64> {
    match connection.prepare_cached(find)?.query_row(row, |row| row.get(0)).optional()? {
        Some(id) => Ok(id),
        None => connection.prepare_cached(add)?.insert(row),
    }
}

/// Returns the labels of a name from right to left. Dots inside labels stay escaped, so that a dot always ends a label.
pub(super) fn reversed(name: &Name) -> String {
    let mut labels: Vec<_> = name.suffixes().filter_map(first_label).collect();
    labels.reverse();
    labels.join(".")
}

fn first_label(suffix: &[u8]) -> Option<String> {
    let length = usize::from(*suffix.first()?);
    let mut wire = suffix.get(..=length).filter(|_| length > 0)?.to_vec();
    wire.push(0);
    Name::from_wire(&wire).ok().map(|label| label.to_string())
}
