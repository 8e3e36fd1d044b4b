//! How records are found: by the index that leads to the fewest, newest first, one thing that is looked for after the other.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::fill::{hour_of, reversed};
use super::query::{ClientFilter, Filter, NameFilter};
use super::schema::signed;
use crate::client::DEFAULT_GROUP;

/// With more names than this, records are looked through one by one instead of by name.
const MANY: usize = 20_000;

/// What leads to records: columns of one index, with the values that are looked for.
enum Way {
    /// Records one after the other.
    All,
    Client(Vec<(i64, i64)>),
    Name(Vec<i64>),
    Rule(Vec<i64>),
    Group(Vec<i64>),
}

/// What a record has to be besides.
#[derive(Default)]
struct Conditions {
    sql: String,
}

impl Conditions {
    fn add(&mut self, sql: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
    }

    /// Numbers only, so that nothing of it is anybody's text.
    fn among(&mut self, column: &str, ids: &[i64]) {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.add(&format!("{column} IN ({})", ids.join(",")));
    }
}

/// Returns the numbers of the records that are asked for, newest first.
pub(super) fn find(connection: &Connection, filter: &Filter) -> rusqlite::Result<Vec<i64>> {
    let Filter { from, to, client, name, rule, order, verdict, group, waiver, limit } = filter;
    let mut conditions = Conditions::default();
    let Some(range) = range(connection, *from, *to, &mut conditions)? else { return Ok(Vec::new()) };
    let verdict = verdict.map(|verdict| verdict.as_str().to_owned());
    let words = [("rule", rule), ("order_id", order), ("waiver", waiver), ("verdict", &verdict)];
    let words: Vec<_> = words.into_iter().filter_map(|(column, word)| Some((column, word.as_ref()?))).collect();
    let mut rules = if words.is_empty() { None } else { Some(rules(connection, &words)?) };
    let mut names = name.as_ref().map(|name| names(connection, name)).transpose()?;
    let mut group = match group.as_deref() {
        // Where look-ups of many clients were put together, their groups are not told.
        Some(DEFAULT_GROUP) => {
            conditions.add("group_id IS NULL AND manner_id IN (SELECT id FROM manners WHERE folded IS NULL)");
            None
        }
        Some(group) => Some(texts(connection, group)?),
        None => None,
    };
    let way = if let Some(client) = client {
        Way::Client(clients(connection, client, rules.take().as_deref())?)
    } else if let Some(names) = names.take_if(|names| names.len() <= MANY) {
        Way::Name(names)
    } else if let Some(rules) = rules.take() {
        Way::Rule(rules)
    } else if let Some(group) = group.take() {
        Way::Group(group)
    } else {
        Way::All
    };
    for (column, ids) in [("name_id", names), ("rule_id", rules), ("group_id", group)] {
        ids.inspect(|ids| conditions.among(column, ids));
    }
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    walk(connection, way, &conditions, range, limit)
}

/// Returns between which numbers the records of a time lie; `None` where there are none.
fn range(
    connection: &Connection,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    conditions: &mut Conditions,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let (mut first, mut last) = (Some(i64::MIN), Some(i64::MAX));
    if let Some(from) = from {
        conditions.add(&format!("at + last >= {}", from.as_microsecond()));
        let sql = "SELECT min(first_seq) FROM hours WHERE hour >= ?1";
        first = connection.query_row(sql, [hour_of(from)], |row| row.get(0))?;
    }
    if let Some(to) = to {
        conditions.add(&format!("at < {}", to.as_microsecond()));
        let sql = "SELECT max(last_seq) FROM hours WHERE hour <= ?1";
        last = connection.query_row(sql, [hour_of(to)], |row| row.get(0))?;
    }
    Ok(first.zip(last))
}

fn walk(
    connection: &Connection,
    way: Way,
    conditions: &Conditions,
    (first, last): (i64, i64),
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let mut newest = BinaryHeap::new();
    let each = |ids: Vec<i64>| ids.into_iter().map(|id| vec![id]).collect();
    let (index, keys, of): (_, _, Vec<Vec<i64>>) = match way {
        Way::All => ("NOT INDEXED", "", vec![Vec::new()]),
        Way::Client(pairs) => {
            let pairs = pairs.into_iter().map(|(client, rule)| vec![client, rule]).collect();
            ("INDEXED BY attempts_by_client", " AND client_id = ?4 AND rule_id = ?5", pairs)
        }
        Way::Name(ids) => ("INDEXED BY attempts_by_name", " AND name_id = ?4", each(ids)),
        Way::Rule(ids) => ("INDEXED BY attempts_by_rule", " AND rule_id = ?4", each(ids)),
        Way::Group(ids) => ("INDEXED BY attempts_by_group", " AND group_id = ?4", each(ids)),
    };
    let Conditions { sql } = conditions;
    let mut select = connection.prepare(&format!(
        "SELECT seq FROM attempts {index} WHERE seq >= ?1 AND seq <= ?2{keys}{sql} ORDER BY seq DESC LIMIT ?3"
    ))?;
    for keys in of {
        // What is older than the oldest of enough others is not looked at.
        let oldest = match newest.peek() {
            Some(Reverse(oldest)) if newest.len() >= limit => first.max(*oldest),
            Some(_) | None => first,
        };
        let most = signed(u64::try_from(limit).unwrap_or(u64::MAX));
        let mut rows = select.query(params_from_iter([oldest, last, most].into_iter().chain(keys)))?;
        while let Some(row) = rows.next()? {
            newest.push(Reverse(row.get::<_, i64>(0)?));
            if newest.len() > limit {
                newest.pop();
            }
        }
    }
    Ok(newest.into_sorted_vec().into_iter().map(|Reverse(seq)| seq).collect())
}

fn rules(connection: &Connection, words: &[(&str, &String)]) -> rusqlite::Result<Vec<i64>> {
    let conditions: Vec<String> = words.iter().map(|(column, _)| format!("{column} = ?")).collect();
    let sql = format!("SELECT id FROM rules WHERE {} ORDER BY id DESC", conditions.join(" AND "));
    ids(connection, &sql, words.iter().map(|(_, word)| Value::from((*word).clone())).collect())
}

/// Returns each number of the client with each rule that it has records of.
fn clients(connection: &Connection, of: &ClientFilter, rules: Option<&[i64]>) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut pairs = Vec::new();
    let mut select = connection.prepare(
        "SELECT client_id, rule_id FROM client_rules WHERE client_id IN (SELECT id FROM clients WHERE client = ?1)",
    )?;
    for text in of.texts() {
        let found = select.query_map([text], |row| Ok((row.get(0)?, row.get(1)?)))?;
        pairs.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    // Newer ones first: they leave less to look at in the others.
    pairs.sort_unstable_by_key(|pair| Reverse(*pair));
    pairs.dedup();
    if let Some(rules) = rules {
        let rules: BTreeSet<_> = rules.iter().collect();
        pairs.retain(|(_, rule)| rules.contains(rule));
    }
    Ok(pairs)
}

fn names(connection: &Connection, of: &NameFilter) -> rusqlite::Result<Vec<i64>> {
    let (conditions, values) = match of {
        NameFilter::Exact(name) => ("reverse_name = ?", vec![reversed(name)]),
        NameFilter::Below(name) if name.is_root() => ("reverse_name > ''", Vec::new()),
        NameFilter::Below(name) => {
            // The slash follows the dot in ASCII, so that the range holds what begins with the name and a dot.
            let above = reversed(name);
            ("reverse_name > ? AND reverse_name < ?", vec![format!("{above}."), format!("{above}/")])
        }
    };
    let sql = format!("SELECT id FROM names WHERE {conditions} ORDER BY id DESC");
    ids(connection, &sql, values.into_iter().map(Value::from).collect())
}

fn texts(connection: &Connection, text: &str) -> rusqlite::Result<Vec<i64>> {
    ids(connection, "SELECT id FROM texts WHERE text = ?", vec![Value::from(text.to_owned())])
}

fn ids(connection: &Connection, sql: &str, values: Vec<Value>) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare(sql)?;
    let ids = select.query_map(params_from_iter(values), |row| row.get(0))?;
    ids.collect()
}
