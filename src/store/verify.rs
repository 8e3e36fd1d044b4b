//! Whether the index holds what the journal does: every record, and the sums.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use super::query::{self, Row, Sum, SumSource};
use super::schema;
use super::spans;
use crate::ledger::{self, Body, Gap, Leaf, ReadError, Reader, Record, RuleCount};

/// How many faults of one kind are told one by one.
const TOLD: usize = 10;

/// What a comparison of the index with the journal has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreement {
    /// How many leaves of the journal were looked at.
    pub leaves: u64,
    /// How many records were compared.
    pub records: u64,
    /// How many places of the journal are damaged; the index cannot hold what stood there.
    pub damaged: u64,
    /// How many differences there are.
    pub faults: u64,
    /// The first of them, those of records before those of sums.
    pub differences: Vec<Difference>,
}

/// In what the index differs from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The journal has the record, the index does not.
    Missing { seq: u64 },
    /// The index has a record that the journal does not have.
    Surplus { seq: u64 },
    /// The index says something else of the record.
    Changed { seq: u64 },
    /// A sum by rule and verdict; `sum` is that of the journal.
    Sum { sum: Sum, index: u64 },
    /// The sums by segment, which go when the journal removes one, are not those by day.
    Days { sums: u64 },
    /// The tallies of rules say something else than their records.
    Tallies { rules: u64 },
    /// The sums by client say something else than the records.
    Clients { clients: u64 },
}

impl Agreement {
    fn add(&mut self, difference: Difference) {
        self.faults += 1;
        if self.differences.len() < TOLD {
            self.differences.push(difference);
        }
    }
}

pub(super) fn verify(
    connection: &Connection,
    journal: &Path,
    fault: impl Fn(rusqlite::Error) -> StoreError,
) -> Result<Agreement, StoreError> {
    let next = schema::place(connection).map_err(&fault)?.map_or(0, |(position, _)| position.next);
    let mut side = Side {
        reader: ledger::read(journal, 0),
        next,
        ahead: None,
        sums: BTreeMap::new(),
        agreement: Agreement::default(),
    };
    side.go_on()?;
    let mut met = Ok(());
    query::each(connection, |row| {
        met = side.meet(row);
        met.is_ok()
    })
    .map_err(&fault)?;
    met?;
    while let Some((seq, _)) = side.ahead.take() {
        side.agreement.add(Difference::Missing { seq });
        side.go_on()?;
    }
    side.compare_sums(query::sums(connection).map_err(&fault)?);
    let sums = query::unlike_days(connection).map_err(&fault)?;
    if sums > 0 {
        side.agreement.add(Difference::Days { sums });
    }
    let rules = unlike(connection).map_err(&fault)?;
    if rules > 0 {
        side.agreement.add(Difference::Tallies { rules });
    }
    let clients = query::unlike_clients(connection).map_err(&fault)?;
    if clients > 0 {
        side.agreement.add(Difference::Clients { clients });
    }
    Ok(side.agreement)
}

/// The journal, read as far as the index has.
struct Side {
    reader: Reader,
    next: u64,
    /// The next record, with its number.
    ahead: Option<(u64, Box<Record>)>,
    sums: BTreeMap<Sum, u64>,
    agreement: Agreement,
}

impl Side {
    /// Compares a record of the index with that of its number, and tells those that the index does not have before it.
    fn meet(&mut self, Row { seq, record }: Row) -> Result<(), StoreError> {
        while let Some((own, _)) = self.ahead.take_if(|(own, _)| *own < seq) {
            self.agreement.add(Difference::Missing { seq: own });
            self.go_on()?;
        }
        let Some((_, own)) = self.ahead.take_if(|(own, _)| *own == seq) else {
            self.agreement.add(Difference::Surplus { seq });
            return Ok(());
        };
        if *own != record {
            self.agreement.add(Difference::Changed { seq });
        }
        self.go_on()
    }

    /// Reads to the next record, and sums up what is passed on the way.
    fn go_on(&mut self) -> Result<(), StoreError> {
        loop {
            let Leaf { seq, body, .. } = match self.reader.next() {
                Some(Ok(leaf)) if leaf.seq < self.next => leaf,
                Some(Ok(_)) | None => return Ok(()),
                Some(Err(ReadError::Line { .. } | ReadError::Missing { .. })) => {
                    self.agreement.damaged += 1;
                    continue;
                }
                Some(Err(error)) => return Err(StoreError::Journal(error)),
            };
            self.agreement.leaves += 1;
            match body {
                Body::Attempt(record) => {
                    let Record { order, rule, service, verdict, count, threat, .. } = record.as_ref().clone();
                    let source = if threat { SumSource::Threat } else { SumSource::Recorded };
                    self.sum(source, &[RuleCount { order, rule, service, verdict, count }]);
                    self.agreement.records += 1;
                    self.ahead = Some((seq, record));
                    return Ok(());
                }
                Body::Coverage(of) => {
                    self.sum(SumSource::Counted, &of.counted);
                    self.sum(SumSource::Threat, &of.threats);
                }
                Body::Gap(gap) => {
                    let Gap { rules, .. } = gap.as_ref();
                    self.sum(SumSource::Missed, rules);
                }
                Body::Change(_) | Body::Unknown => {}
            }
        }
    }

    fn sum(&mut self, source: SumSource, counts: &[RuleCount]) {
        for RuleCount { order, rule, service, verdict, count } in counts.iter().cloned() {
            *self.sums.entry(Sum { source, order, rule, service, verdict, count: 0 }).or_default() += count;
        }
    }

    fn compare_sums(&mut self, index: Vec<Sum>) {
        let mut index: BTreeMap<Sum, u64> =
            index.into_iter().map(|sum| (Sum { count: 0, ..sum.clone() }, sum.count)).collect();
        for (sum, count) in std::mem::take(&mut self.sums) {
            let found = index.remove(&sum).unwrap_or_default();
            if found != count {
                self.agreement.add(Difference::Sum { sum: Sum { count, ..sum }, index: found });
            }
        }
        for (sum, found) in index.into_iter().filter(|(_, found)| *found > 0) {
            self.agreement.add(Difference::Sum { sum, index: found });
        }
    }
}

/// Returns how many rules have other sums in tallies, by client or by name, than by their records, or
/// stand in one of them only.
pub(super) fn unlike(connection: &Connection) -> rusqlite::Result<u64> {
    let read = |sql| {
        let mut select = connection.prepare(sql)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
        rows.collect::<rusqlite::Result<BTreeMap<i64, (i64, i64)>>>()
    };
    let by_like =
        "SELECT like_id, count(*), sum(count) FROM attempts JOIN rules ON rules.id = rule_id GROUP BY like_id";
    let by_rule = "SELECT rule_id, count(*), sum(count) FROM attempts GROUP BY rule_id";
    let by_name = "SELECT rule_id, sum(leaves), sum(count) FROM name_days GROUP BY rule_id";
    let mut unlike = BTreeSet::new();
    for (tallies, records) in [(spans::sums(connection)?, read(by_like)?), (read(by_name)?, read(by_rule)?)] {
        let ids: BTreeSet<_> = tallies.keys().chain(records.keys()).copied().collect();
        unlike.extend(ids.into_iter().filter(|id| tallies.get(id) != records.get(id)));
    }
    Ok(unlike.len() as u64)
}
