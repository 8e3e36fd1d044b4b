//! What can be asked of the index.

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Row as SqlRow};

use super::find::find;
use super::schema::unsigned;
use crate::ledger::{Folded, KeyError, KeyRing, Record, network_of};
use crate::message::{Name, NameError};
use crate::policy::Verdict;

/// Which records are asked for. The default asks for all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Records whose last look-up is not before this policy instant.
    pub from: Option<Timestamp>,
    /// Records whose first look-up is before this policy instant.
    pub to: Option<Timestamp>,
    pub client: Option<ClientFilter>,
    pub name: Option<NameFilter>,
    /// The entry of the catalogue as records say it: how it matches, a colon, its text.
    pub rule: Option<String>,
    pub order: Option<String>,
    pub verdict: Option<Verdict>,
    /// The group of the client; the default group is [`DEFAULT_GROUP`](crate::client::DEFAULT_GROUP).
    pub group: Option<String>,
    /// The waiver that let the look-up through.
    pub waiver: Option<String>,
    pub limit: Option<u64>,
}

/// Records of one client, as its address is encrypted in them.
#[derive(Debug, Clone)]
pub struct ClientFilter {
    texts: Vec<String>,
}

impl ClientFilter {
    /// Encrypts the address, and the network that its look-ups may be put together by, with each key of the ring. Records
    /// whose key was destroyed are not found.
    ///
    /// # Errors
    /// Where a key is there and cannot be read.
    pub fn new(address: IpAddr, keys: &KeyRing) -> Result<Self, KeyError> {
        let address = address.to_canonical();
        let mut texts = Vec::new();
        for id in keys.ids()? {
            texts.extend(keys.encrypt(address, &id)?);
            texts.extend(keys.encrypt(network_of(address).0, &id)?);
        }
        Ok(Self { texts })
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }
}

/// Which names are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameFilter {
    Exact(Name),
    /// All names below it, not the name itself.
    Below(Name),
}

impl FromStr for NameFilter {
    type Err = NameError;

    /// Reads a name; a leading dot or `*.` stands for everything below it.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("*.").or(text.strip_prefix('.')) {
            Some(above) if !above.is_empty() => Ok(Self::Below(above.parse()?)),
            Some(_) | None => Ok(Self::Exact(text.parse()?)),
        }
    }
}

/// One record, with its number in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub seq: u64,
    pub record: Record,
}

/// How many look-ups one rule matched, over the whole journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    pub source: SumSource,
    /// Empty, as `rule` and `service` are, where only the verdict is known.
    pub order: String,
    pub rule: String,
    pub service: String,
    pub verdict: String,
    pub count: u64,
}

/// One client with one key, as its address is encrypted in records, and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub client: String,
    pub key: Option<String>,
    pub prefix: Option<u8>,
    pub device: Option<String>,
    pub records: u64,
    /// How many look-ups the records stand for.
    pub count: u64,
    /// The policy instant of the first look-up in any record that is still there.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// What the look-ups of a sum became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SumSource {
    /// Records.
    Recorded,
    /// Counts in coverage leaves.
    Counted,
    /// Signs of a threat, whether recorded or counted.
    Threat,
    /// Gaps: counted, because they could not be recorded.
    Missed,
}

impl SumSource {
    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Counted => "counted",
            Self::Threat => "threat",
            Self::Missed => "missed",
        }
    }
}

/// The columns of a record, as [`row`] reads them.
const RECORD: &str = "SELECT attempts.seq, attempts.at, attempts.last, attempts.ends, attempts.raw, attempts.raw_last, \
     attempts.count, folded, client, key, prefix, groups.text, identified, via, device, transport, name, type, \
     attempts.names, attempts.clients, verdict, order_id, prohibition, waiver, rule, service, confidence, threat, subject, \
     through, policies.text, rcode, rehearsal \
     FROM attempts JOIN rules ON rules.id = rule_id JOIN texts AS policies ON policies.id = policy_id \
     JOIN manners ON manners.id = manner_id LEFT JOIN clients ON clients.id = client_id \
     LEFT JOIN names ON names.id = name_id LEFT JOIN texts AS groups ON groups.id = group_id";

pub(super) fn attempts(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let mut select = connection.prepare(&format!("{RECORD} WHERE attempts.seq = ?1"))?;
    find(connection, filter)?.into_iter().map(|seq| select.query_row([seq], row)).collect()
}

/// Hands every record to `take`, in the order of their numbers, until that returns that it wants no more.
pub(super) fn each(connection: &Connection, mut take: impl FnMut(Row) -> bool) -> rusqlite::Result<()> {
    let mut select = connection.prepare(&format!("{RECORD} ORDER BY attempts.seq"))?;
    let mut rows = select.query([])?;
    while let Some(of) = rows.next()? {
        if !take(row(of)?) {
            break;
        }
    }
    Ok(())
}

fn row(of: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let number = |column: usize| of.get::<_, i64>(column).map(unsigned);
    let estimate = |column: usize| of.get::<_, Option<i64>>(column).map(|number| number.map(unsigned));
    let micros = |column: usize| of.get::<_, i64>(column);
    let (at, raw) = (micros(1)?, micros(1)?.saturating_add(micros(4)?));
    let folded = match of.get::<_, Option<String>>(7)?.as_deref() {
        Some("network") => Some(Folded::Network),
        Some("rule") => Some(Folded::Rule),
        Some("counter") => Some(Folded::Counter),
        Some(_) | None => None,
    };
    let record = Record {
        at: instant(at)?,
        last: instant(at.saturating_add(micros(2)?))?,
        ends: of.get::<_, Option<i64>>(3)?.map(|ends| instant(at.saturating_add(ends))).transpose()?,
        raw: instant(raw)?,
        raw_last: instant(raw.saturating_add(micros(5)?))?,
        count: number(6)?,
        folded,
        client: of.get(8)?,
        key: of.get(9)?,
        prefix: of.get(10)?,
        group: of.get(11)?,
        identified: of.get(12)?,
        via: of.get(13)?,
        device: of.get(14)?,
        transport: of.get(15)?,
        name: of.get(16)?,
        r#type: of.get(17)?,
        names: estimate(18)?,
        clients: estimate(19)?,
        verdict: of.get(20)?,
        order: of.get(21)?,
        prohibition: of.get(22)?,
        waiver: of.get(23)?,
        rule: of.get(24)?,
        service: of.get(25)?,
        confidence: of.get(26)?,
        threat: of.get(27)?,
        subject: of.get(28)?,
        through: of.get(29)?,
        policy: of.get(30)?,
        rcode: of.get(31)?,
        rehearsal: of.get(32)?,
    };
    Ok(Row { seq: number(0)?, record })
}

fn instant(micros: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, micros))
}

pub(super) fn sums(connection: &Connection) -> rusqlite::Result<Vec<Sum>> {
    let mut statement = connection.prepare(
        "SELECT source, order_id, rule, service, verdict, of.count \
         FROM (SELECT summed_id, sum(count) AS count FROM days GROUP BY summed_id) AS of JOIN summed ON summed.id = summed_id",
    )?;
    let rows = statement.query_map([], |row| sum(row, 0))?;
    let mut sums: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    sums.sort_unstable();
    Ok(sums)
}

pub(super) fn sums_by_day(connection: &Connection, from: Date, to: Date) -> rusqlite::Result<Vec<(Date, Sum)>> {
    let mut statement = connection.prepare(
        "SELECT day, source, order_id, rule, service, verdict, count FROM days JOIN summed ON summed.id = summed_id \
         WHERE day BETWEEN ?1 AND ?2",
    )?;
    // Not by an instant: the first dates that there are begin before the first instant.
    let day = |date: Date| i64::from((date - Date::constant(1970, 1, 1)).get_days());
    let rows = statement.query_map([day(from), day(to)], |row| Ok((row.get(0)?, sum(row, 1)?)))?;
    let mut sums = Vec::new();
    for row in rows {
        let (day, sum): (i64, Sum) = row?;
        let date = Timestamp::from_second(day.saturating_mul(86_400)).map(|at| TimeZone::UTC.to_datetime(at).date());
        sums.push((date.map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, day))?, sum));
    }
    sums.sort_unstable();
    Ok(sums)
}

pub(super) fn sum(of: &SqlRow<'_>, first: usize) -> rusqlite::Result<Sum> {
    let source = match of.get::<_, String>(first)?.as_str() {
        "recorded" => SumSource::Recorded,
        "threat" => SumSource::Threat,
        "missed" => SumSource::Missed,
        _ => SumSource::Counted,
    };
    Ok(Sum {
        source,
        order: of.get(first + 1)?,
        rule: of.get(first + 2)?,
        service: of.get(first + 3)?,
        verdict: of.get(first + 4)?,
        count: unsigned(of.get(first + 5)?),
    })
}

pub(super) fn seen(connection: &Connection, client: Option<&ClientFilter>) -> rusqlite::Result<Vec<Seen>> {
    const COLUMNS: &str =
        "SELECT client, key, prefix, device, leaves, count, first, last FROM clients WHERE leaves > 0";
    let Some(client) = client else {
        return connection.prepare(&format!("{COLUMNS} ORDER BY id"))?.query_map([], seen_of)?.collect();
    };
    let mut select = connection.prepare(&format!("{COLUMNS} AND client = ?1 ORDER BY id"))?;
    let mut seen = Vec::new();
    for text in client.texts() {
        let found = select.query_map([text], seen_of)?;
        seen.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(seen)
}

/// Reads client, key, prefix, device, records, count, first and last.
pub(super) fn seen_of(row: &SqlRow<'_>) -> rusqlite::Result<Seen> {
    Ok(Seen {
        client: row.get(0)?,
        key: row.get(1)?,
        prefix: row.get(2)?,
        device: row.get(3)?,
        records: unsigned(row.get(4)?),
        count: unsigned(row.get(5)?),
        first: instant(row.get(6)?)?,
        last: instant(row.get(7)?)?,
    })
}

/// Returns of how many clients the sums say something else than their records; a client that one of them lacks is one.
pub(super) fn unlike_clients(connection: &Connection) -> rusqlite::Result<u64> {
    let differing =
        "WITH told (id, leaves, count) AS MATERIALIZED (SELECT id, leaves, count FROM clients WHERE leaves > 0),
        own (id, leaves, count) AS MATERIALIZED
            (SELECT client_id, count(*), sum(count) FROM attempts WHERE client_id IS NOT NULL GROUP BY client_id)
        SELECT count(DISTINCT id) FROM (
            SELECT id FROM (SELECT * FROM told EXCEPT SELECT * FROM own) UNION ALL
            SELECT id FROM (SELECT * FROM own EXCEPT SELECT * FROM told))";
    connection.query_row(differing, [], |row| row.get(0)).map(unsigned)
}

/// Returns how many sums by day are not those by segment; one that either lacks is one.
pub(super) fn unlike_days(connection: &Connection) -> rusqlite::Result<u64> {
    let differing = "WITH told (day, id, count) AS (SELECT day, summed_id, count FROM days),
        own (day, id, count) AS MATERIALIZED (SELECT day, summed_id, sum(count) FROM sums GROUP BY day, summed_id)
        SELECT count(*) FROM (
            SELECT day, id FROM (SELECT * FROM told EXCEPT SELECT * FROM own) UNION
            SELECT day, id FROM (SELECT * FROM own EXCEPT SELECT * FROM told))";
    connection.query_row(differing, [], |row| row.get(0)).map(unsigned)
}
