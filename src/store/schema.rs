//! The tables of the index, and how leaves get into them.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, params};

use crate::ledger::{Body, Folded, Gap, Leaf, Position, Record, RuleCount};
use crate::message::Name;

/// Raised whenever the tables change; an index of another version is made anew.
pub(super) const VERSION: i64 = 3;

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
    rule TEXT NOT NULL,
    service TEXT NOT NULL,
    confidence TEXT NOT NULL,
    policy TEXT NOT NULL
) STRICT;
CREATE INDEX rules_by_rule ON rules (rule);
-- Instants are microseconds since 1970.
CREATE TABLE attempts (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    last INTEGER NOT NULL,
    ends INTEGER,
    raw INTEGER NOT NULL,
    raw_last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    folded TEXT,
    client TEXT,
    key TEXT,
    prefix INTEGER,
    group_name TEXT,
    identified TEXT,
    via TEXT,
    device TEXT,
    transport TEXT,
    name TEXT,
    -- The labels from right to left, so that all names below one are a range.
    reverse_name TEXT,
    type TEXT,
    names INTEGER,
    clients INTEGER,
    verdict TEXT NOT NULL,
    rule_id INTEGER NOT NULL REFERENCES rules (id),
    waiver TEXT,
    threat INTEGER NOT NULL,
    subject TEXT,
    through TEXT,
    rcode TEXT,
    rehearsal INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_by_instant ON attempts (at);
CREATE INDEX attempts_by_client ON attempts (client, at);
CREATE INDEX attempts_by_name ON attempts (reverse_name, at);
CREATE INDEX attempts_by_verdict ON attempts (verdict, at);
CREATE INDEX attempts_by_group ON attempts (group_name, at) WHERE group_name IS NOT NULL;
CREATE INDEX attempts_by_waiver ON attempts (waiver, at) WHERE waiver IS NOT NULL;
-- By segment, so that the sums of a segment go with it.
CREATE TABLE sums (
    segment INTEGER NOT NULL,
    source TEXT NOT NULL,
    order_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    service TEXT NOT NULL,
    verdict TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (segment, source, order_id, rule, service, verdict)
) STRICT, WITHOUT ROWID;
";

/// Empties the index, whatever it holds.
pub(super) fn reset(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut statement = transaction
        .prepare("SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'")?;
    let objects = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let objects: Vec<_> = objects.collect::<rusqlite::Result<_>>()?;
    // Referenced tables go after those that refer to them.
    for (kind, name) in
        objects.iter().filter(|(_, name)| name != "rules").chain(objects.iter().filter(|(_, name)| name == "rules"))
    {
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

/// Forgets what stood in segments that are no longer there.
pub(super) fn forget_before(connection: &Connection, first: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sums WHERE segment < ?1", [signed(first)])?;
    connection.execute("DELETE FROM attempts WHERE seq < ?1", [signed(first)])?;
    Ok(())
}

/// Puts leaves into the tables.
#[derive(Debug, Default)]
pub(super) struct Filler {
    rules: HashMap<RuleKey, i64>,
}

type RuleKey = (String, Option<String>, String, String, String, String);

impl Filler {
    pub(super) fn insert(&mut self, connection: &Connection, segment: u64, leaf: &Leaf) -> rusqlite::Result<()> {
        match &leaf.body {
            Body::Attempt(record) => {
                self.insert_attempt(connection, leaf.seq, record)?;
                let Record { order, rule, service, verdict, count, .. } = record.as_ref();
                let source = if record.threat { "threat" } else { "recorded" };
                add(connection, segment, source, [order, rule, service, verdict], *count)
            }
            Body::Coverage(coverage) => {
                add_all(connection, segment, "counted", &coverage.counted)?;
                add_all(connection, segment, "threat", &coverage.threats)
            }
            Body::Gap(gap) => {
                let Gap { rules, .. } = gap.as_ref();
                add_all(connection, segment, "missed", rules)
            }
            Body::Change(_) | Body::Unknown => Ok(()),
        }
    }

    fn insert_attempt(&mut self, connection: &Connection, seq: u64, record: &Record) -> rusqlite::Result<()> {
        let rule = self.rule(connection, record)?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
             ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)",
        )?;
        insert.execute(params![
            signed(seq),
            record.at.as_microsecond(),
            record.last.as_microsecond(),
            record.ends.map(Timestamp::as_microsecond),
            record.raw.as_microsecond(),
            record.raw_last.as_microsecond(),
            signed(record.count),
            record.folded.map(Folded::as_str),
            record.client,
            record.key,
            record.prefix,
            record.group,
            record.identified,
            record.via,
            record.device,
            record.transport,
            record.name,
            record.name.as_deref().and_then(|name| name.parse().ok()).map(|name| reversed(&name)),
            record.r#type,
            record.names.map(signed),
            record.clients.map(signed),
            record.verdict,
            rule,
            record.waiver,
            record.threat,
            record.subject,
            record.through,
            record.rcode,
            record.rehearsal,
        ])?;
        Ok(())
    }

    fn rule(&mut self, connection: &Connection, record: &Record) -> rusqlite::Result<i64> {
        let Record { order, prohibition, rule, service, confidence, policy, .. } = record.clone();
        let key = (order, prohibition, rule, service, confidence, policy);
        if let Some(id) = self.rules.get(&key) {
            return Ok(*id);
        }
        let (order, prohibition, rule, service, confidence, policy) = &key;
        let row = params![order, prohibition, rule, service, confidence, policy];
        let mut find = connection.prepare_cached(
            "SELECT id FROM rules WHERE order_id = ?1 AND prohibition IS ?2 AND rule = ?3 AND service = ?4 \
             AND confidence = ?5 AND policy = ?6",
        )?;
        let id = match find.query_row(row, |row| row.get(0)).optional()? {
            Some(id) => id,
            None => {
                connection.execute("INSERT INTO rules VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6)", row)?;
                connection.last_insert_rowid()
            }
        };
        self.rules.insert(key, id);
        Ok(id)
    }

    /// Forgets what it knows of the tables, because what it put there may have been rolled back.
    pub(super) fn forget(&mut self) {
        self.rules.clear();
    }
}

fn add_all(connection: &Connection, segment: u64, source: &str, counts: &[RuleCount]) -> rusqlite::Result<()> {
    for RuleCount { order, rule, service, verdict, count } in counts {
        add(connection, segment, source, [order, rule, service, verdict], *count)?;
    }
    Ok(())
}

fn add(connection: &Connection, segment: u64, source: &str, of: [&String; 4], count: u64) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO sums VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    let [order, rule, service, verdict] = of;
    add.execute(params![signed(segment), source, order, rule, service, verdict, signed(count)])?;
    Ok(())
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

/// SQLite has signed integers only; numbers of leaves, sizes and counts stay far below their end.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
