//! The tables of the index, and how far of the journal is in them.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, params};

use super::fill::{DAY, Seen};
use super::spans::{self, Day, span_of};
use crate::ledger::Position;

/// Raised whenever the tables change; an index of another version is made anew.
pub(super) const VERSION: i64 = 8;

/// What many records have in common stands once, in tables of its own; a record refers to it by number. Records are found
/// newest first by their numbers, which every index of SQLite ends with, so that no index holds an instant: `hours` turns
/// instants into numbers.
const TABLES: &str = "
CREATE TABLE place (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    line INTEGER NOT NULL,
    next INTEGER NOT NULL,
    -- The last line that was read: the journal is still the same one if it still has it there.
    last BLOB NOT NULL
) STRICT;
CREATE TABLE rules (
    id INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL,
    prohibition TEXT,
    waiver TEXT,
    rule TEXT NOT NULL,
    service TEXT NOT NULL,
    confidence TEXT NOT NULL,
    verdict TEXT NOT NULL,
    threat INTEGER NOT NULL,
    -- The first that differs in `rule` and `confidence` at most.
    like_id INTEGER NOT NULL
) STRICT;
CREATE INDEX rules_by_rule ON rules (rule, order_id);
CREATE INDEX rules_by_service ON rules (order_id, service, verdict);
-- Digests of policies, and names of groups.
CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;
-- How look-ups came and were answered.
CREATE TABLE manners (
    id INTEGER PRIMARY KEY,
    folded TEXT,
    identified TEXT,
    via TEXT,
    transport TEXT,
    type TEXT,
    through TEXT,
    rcode TEXT,
    rehearsal INTEGER NOT NULL
) STRICT;
CREATE INDEX manners_by_type ON manners (type);
CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- The labels from right to left, so that all names below one are a range.
    reverse_name TEXT
) STRICT;
CREATE INDEX names_reversed ON names (reverse_name);
-- Clients as they are encrypted, each with its sums. Instants are microseconds since 1970.
CREATE TABLE clients (
    id INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    key TEXT,
    prefix INTEGER,
    device TEXT,
    leaves INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 0,
    first INTEGER,
    last INTEGER,
    -- The number of its newest record.
    newest INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX clients_by_client ON clients (client);
CREATE TABLE client_rules (
    client_id INTEGER NOT NULL,
    rule_id INTEGER NOT NULL,
    leaves INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (client_id, rule_id)
) STRICT, WITHOUT ROWID;
-- The instants but `at` are differences, because small numbers take little room: `last` and `raw` from `at`, `raw_last`
-- from `raw`, `ends` from `at`.
CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    last INTEGER NOT NULL,
    raw INTEGER NOT NULL,
    raw_last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    rule_id INTEGER NOT NULL,
    policy_id INTEGER NOT NULL,
    manner_id INTEGER NOT NULL,
    client_id INTEGER,
    name_id INTEGER,
    group_id INTEGER,
    subject TEXT,
    names INTEGER,
    clients INTEGER,
    ends INTEGER
) STRICT;
CREATE INDEX attempts_by_client ON attempts (client_id, rule_id) WHERE client_id IS NOT NULL;
CREATE INDEX attempts_by_rule ON attempts (rule_id);
CREATE INDEX attempts_by_name ON attempts (name_id) WHERE name_id IS NOT NULL;
CREATE INDEX attempts_by_group ON attempts (group_id) WHERE group_id IS NOT NULL;
-- The numbers of the records that begin or end in an hour.
CREATE TABLE hours (
    hour INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE summed (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    order_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    service TEXT NOT NULL,
    verdict TEXT NOT NULL,
    UNIQUE (rule, order_id, service, verdict, source)
) STRICT;
-- By day in UTC.
CREATE TABLE days (
    day INTEGER NOT NULL,
    summed_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, summed_id)
) STRICT, WITHOUT ROWID;
-- The same by segment, so that the sums of a segment go with it.
CREATE TABLE sums (
    segment INTEGER NOT NULL,
    day INTEGER NOT NULL,
    summed_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (segment, day, summed_id)
) STRICT, WITHOUT ROWID;
-- Records by day in UTC and by what reports ask for, so that nobody has to read them one by one: once by client, once by
-- name, since both together are nearly as many as records. `like_id` is that of rules, of which a client uses many. 0 stands for
-- none; `folded` is a number of `fill::FOLDED`. Instants are those of look-ups. Of clients, 32 days stand in one row, packed as
-- `spans` does it: of each day also the hours in which a record begins, so that rhythms are seen without reading records.
CREATE TABLE client_spans (
    span INTEGER NOT NULL,
    client_id INTEGER NOT NULL,
    like_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    folded INTEGER NOT NULL,
    days BLOB NOT NULL,
    PRIMARY KEY (span, client_id, like_id, group_id, folded)
) STRICT, WITHOUT ROWID;
CREATE TABLE name_days (
    day INTEGER NOT NULL,
    rule_id INTEGER NOT NULL,
    name_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    folded INTEGER NOT NULL,
    leaves INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (day, rule_id, name_id, group_id, folded)
) STRICT, WITHOUT ROWID;
-- Coverage leaves: the time that one speaks for, by the clock that was trusted; no time where that is not known.
CREATE TABLE covers (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    covered_from INTEGER,
    covered_until INTEGER,
    clock_id INTEGER,
    policies_id INTEGER NOT NULL,
    queries INTEGER NOT NULL
) STRICT;
-- What coverage leaves and gaps say of look-ups that are only counted.
CREATE TABLE counted (
    seq INTEGER NOT NULL,
    summed_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (seq, summed_id)
) STRICT, WITHOUT ROWID;
-- Changes and gaps as they stand in the journal.
CREATE TABLE told (
    seq INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;
";

/// Empties the index, whatever it holds.
pub(super) fn reset(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")?;
    let objects = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let objects: Vec<_> = objects.collect::<rusqlite::Result<_>>()?;
    for (kind, name) in objects {
        transaction.execute_batch(&format!("DROP {kind} \"{}\"", name.replace('"', "\"\"")))?;
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)
}

/// Returns how far the journal was read, with the last line that was.
pub(super) fn place(connection: &Connection) -> rusqlite::Result<Option<(Position, Vec<u8>)>> {
    let read = |row: &SqlRow<'_>| {
        let number = |column| row.get::<_, i64>(column).map(unsigned);
        let position = Position { segment: number(0)?, offset: number(1)?, line: number(2)?, next: number(3)? };
        Ok((position, row.get(4)?))
    };
    connection.query_row("SELECT segment, offset, line, next, last FROM place", [], read).optional()
}

pub(super) fn set_place(connection: &Connection, position: Position, last: &[u8]) -> rusqlite::Result<()> {
    let Position { segment, offset, line, next } = position;
    let row = params![signed(segment), signed(offset), signed(line), signed(next), last];
    connection.execute("INSERT OR REPLACE INTO place VALUES (1, ?1, ?2, ?3, ?4, ?5)", row)?;
    Ok(())
}

/// Forgets what stood in segments that are no longer there, and what only their records referred to.
pub(super) fn forget_before(connection: &Connection, first: u64) -> rusqlite::Result<()> {
    let first = [signed(first)];
    connection.execute(
        "UPDATE days SET count = days.count - of.count \
         FROM (SELECT day, summed_id, sum(count) AS count FROM sums WHERE segment < ?1 GROUP BY day, summed_id) AS of \
         WHERE days.day = of.day AND days.summed_id = of.summed_id",
        first,
    )?;
    if connection.execute("DELETE FROM sums WHERE segment < ?1", first)? > 0 {
        connection.execute("DELETE FROM days WHERE count <= 0", [])?;
    }
    for table in ["covers", "counted", "told"] {
        connection.execute(&format!("DELETE FROM {table} WHERE seq < ?1"), first)?;
    }
    let has: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM attempts WHERE seq < ?1)", first, |row| row.get(0))?;
    if !has {
        return Ok(());
    }
    connection.execute_batch(
        "CREATE TEMP TABLE gone AS SELECT at, client_id, rule_id, name_id, count FROM attempts LIMIT 0;",
    )?;
    connection.execute(
        "INSERT INTO gone SELECT at, client_id, rule_id, name_id, count FROM attempts WHERE seq < ?1",
        first,
    )?;
    connection.execute("DELETE FROM attempts WHERE seq < ?1", first)?;
    connection.execute("DELETE FROM hours WHERE last_seq < ?1", first)?;
    tally_again(connection)?;
    connection.execute_batch(FORGET)
}

/// Makes the tallies of the days again from which records went: what is left of them is one day, or none, but where the
/// clock was set back.
fn tally_again(connection: &Connection) -> rusqlite::Result<()> {
    let mut days = connection.prepare(&format!("SELECT DISTINCT at / {DAY} FROM gone"))?;
    let days: BTreeSet<i64> = days.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    spans::remove(connection, &days)?;
    for day in days {
        connection.execute("DELETE FROM name_days WHERE day = ?1", [day])?;
        let bounds = "SELECT min(first_seq), max(last_seq) FROM hours WHERE hour BETWEEN ?1 AND ?2";
        let bounds = connection.query_row(bounds, [day * 24, day * 24 + 23], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(first), Some(last)): (Option<i64>, Option<i64>) = bounds else { continue };
        connection.execute(BY_NAME, [day, first, last])?;
        let mut select = connection.prepare(BY_CLIENT)?;
        let mut rows = select.query([day, first, last])?;
        while let Some(row) = rows.next()? {
            let key = (span_of(day), row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let seen =
                Seen { leaves: row.get(4)?, count: unsigned(row.get(5)?), first: row.get(6)?, last: row.get(7)? };
            spans::add(connection, key, &[Day { day, hours: row.get(8)?, seen }])?;
        }
    }
    Ok(())
}

/// Records of a day, between two numbers, added up by client.
const BY_CLIENT: &str = "
    SELECT coalesce(client_id, 0), like_id, coalesce(group_id, 0),
        CASE folded WHEN 'network' THEN 1 WHEN 'rule' THEN 2 WHEN 'counter' THEN 3 ELSE 0 END AS how,
        count(*), sum(count), min(at), max(at + last), sum(DISTINCT 1 << (at / 3600000000 % 24))
    FROM attempts NOT INDEXED JOIN manners ON manners.id = manner_id JOIN rules ON rules.id = rule_id
    WHERE seq BETWEEN ?2 AND ?3 AND at / 86400000000 = ?1
    GROUP BY like_id, client_id, group_id, how";
/// The same as tallies by name.
const BY_NAME: &str = "
    INSERT INTO name_days SELECT ?1, rule_id, coalesce(name_id, 0), coalesce(group_id, 0),
        CASE folded WHEN 'network' THEN 1 WHEN 'rule' THEN 2 WHEN 'counter' THEN 3 ELSE 0 END AS how,
        count(*), sum(count), min(at), max(at + last)
    FROM attempts NOT INDEXED JOIN manners ON manners.id = manner_id
    WHERE seq BETWEEN ?2 AND ?3 AND at / 86400000000 = ?1
    GROUP BY rule_id, name_id, group_id, how";

/// Instants at which a client was first seen go on to its oldest record that is left.
const FORGET: &str = "
INSERT INTO client_rules SELECT client_id, rule_id, -count(*), -sum(count) FROM gone WHERE client_id IS NOT NULL
    GROUP BY client_id, rule_id
    ON CONFLICT DO UPDATE SET leaves = leaves + excluded.leaves, count = count + excluded.count;
DELETE FROM client_rules WHERE leaves <= 0 AND client_id IN (SELECT client_id FROM gone);
UPDATE clients SET leaves = clients.leaves - of.leaves, count = clients.count - of.count
    FROM (SELECT client_id, count(*) AS leaves, sum(count) AS count FROM gone GROUP BY client_id) AS of
    WHERE id = of.client_id;
DELETE FROM clients WHERE leaves <= 0;
UPDATE clients SET first = (
        SELECT min(at) FROM (
            SELECT (SELECT at FROM attempts WHERE client_id = id AND rule_id = of.rule_id ORDER BY seq LIMIT 1) AS at
            FROM client_rules AS of WHERE of.client_id = id))
    WHERE id IN (SELECT client_id FROM gone);
DELETE FROM names WHERE id IN (SELECT name_id FROM gone)
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE name_id = names.id);
DROP TABLE gone;
";

/// SQLite has signed integers only; numbers of leaves, sizes and counts stay far below their end.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
