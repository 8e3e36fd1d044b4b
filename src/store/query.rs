//! What can be asked of the index.

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row as SqlRow, params_from_iter};

use super::schema::{reversed, signed, unsigned};
use crate::client::DEFAULT_GROUP;
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
    pub verdict: Option<Verdict>,
    /// The group of the client; the default group is [`DEFAULT_GROUP`].
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

pub(super) fn attempts(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Row>> {
    let Filter { from, to, client, name, verdict, group, waiver, limit } = filter;
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut condition = |text: &str, of: Vec<Value>| {
        conditions.push(text.to_owned());
        values.extend(of);
    };
    if let Some(from) = from {
        condition("last >= ?", vec![from.as_microsecond().into()]);
    }
    if let Some(to) = to {
        condition("at < ?", vec![to.as_microsecond().into()]);
    }
    if let Some(ClientFilter { texts }) = client {
        let places = vec!["?"; texts.len()].join(", ");
        condition(&format!("client IN ({places})"), texts.iter().cloned().map(Value::from).collect());
    }
    match name {
        Some(NameFilter::Exact(name)) => condition("reverse_name = ?", vec![reversed(name).into()]),
        Some(NameFilter::Below(name)) if name.is_root() => condition("reverse_name > ''", Vec::new()),
        Some(NameFilter::Below(name)) => {
            // The slash follows the dot in ASCII, so that the range holds what begins with the name and a dot.
            let above = reversed(name);
            condition(
                "reverse_name > ? AND reverse_name < ?",
                vec![format!("{above}.").into(), format!("{above}/").into()],
            );
        }
        None => {}
    }
    if let Some(verdict) = verdict {
        condition("verdict = ?", vec![verdict.as_str().to_owned().into()]);
    }
    match group.as_deref() {
        // Where look-ups of many clients were put together, their groups are not told.
        Some(DEFAULT_GROUP) => condition("group_name IS NULL AND folded IS NULL", Vec::new()),
        Some(group) => condition("group_name = ?", vec![group.to_owned().into()]),
        None => {}
    }
    if let Some(waiver) = waiver {
        condition("waiver = ?", vec![waiver.clone().into()]);
    }
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    values.push(limit.map_or(-1, signed).into());
    let sql = format!(
        "SELECT seq, at, last, ends, raw, raw_last, count, folded, client, key, prefix, group_name, identified, via, device, \
         transport, name, type, names, clients, verdict, order_id, prohibition, waiver, rule, service, confidence, threat, subject, through, policy, rcode, rehearsal \
         FROM attempts JOIN rules ON rules.id = rule_id {filter} ORDER BY at DESC, seq DESC LIMIT ?"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(values), row)?;
    rows.collect()
}

fn row(of: &SqlRow<'_>) -> rusqlite::Result<Row> {
    let number = |column: &str| of.get::<_, i64>(column).map(unsigned);
    let estimate = |column: &str| of.get::<_, Option<i64>>(column).map(|number| number.map(unsigned));
    let instant = |column: &str| {
        let micros = of.get::<_, i64>(column)?;
        Timestamp::from_microsecond(micros).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, micros))
    };
    let folded = match of.get::<_, Option<String>>("folded")?.as_deref() {
        Some("network") => Some(Folded::Network),
        Some("rule") => Some(Folded::Rule),
        Some("counter") => Some(Folded::Counter),
        Some(_) | None => None,
    };
    let record = Record {
        at: instant("at")?,
        last: instant("last")?,
        ends: of.get::<_, Option<i64>>("ends")?.map(|_| instant("ends")).transpose()?,
        raw: instant("raw")?,
        raw_last: instant("raw_last")?,
        count: number("count")?,
        folded,
        client: of.get("client")?,
        key: of.get("key")?,
        prefix: of.get("prefix")?,
        group: of.get("group_name")?,
        identified: of.get("identified")?,
        via: of.get("via")?,
        device: of.get("device")?,
        transport: of.get("transport")?,
        name: of.get("name")?,
        r#type: of.get("type")?,
        names: estimate("names")?,
        clients: estimate("clients")?,
        verdict: of.get("verdict")?,
        order: of.get("order_id")?,
        prohibition: of.get("prohibition")?,
        waiver: of.get("waiver")?,
        rule: of.get("rule")?,
        service: of.get("service")?,
        confidence: of.get("confidence")?,
        threat: of.get("threat")?,
        subject: of.get("subject")?,
        through: of.get("through")?,
        policy: of.get("policy")?,
        rcode: of.get("rcode")?,
        rehearsal: of.get("rehearsal")?,
    };
    Ok(Row { seq: number("seq")?, record })
}

pub(super) fn sums(connection: &Connection) -> rusqlite::Result<Vec<Sum>> {
    let mut statement = connection.prepare(
        "SELECT source, order_id, rule, service, verdict, sum(count) FROM sums GROUP BY source, order_id, rule, service, verdict",
    )?;
    let rows = statement.query_map([], |row| {
        let source = match row.get::<_, String>(0)?.as_str() {
            "recorded" => SumSource::Recorded,
            "threat" => SumSource::Threat,
            "missed" => SumSource::Missed,
            _ => SumSource::Counted,
        };
        Ok(Sum {
            source,
            order: row.get(1)?,
            rule: row.get(2)?,
            service: row.get(3)?,
            verdict: row.get(4)?,
            count: unsigned(row.get(5)?),
        })
    })?;
    let mut sums: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    sums.sort_unstable();
    Ok(sums)
}
