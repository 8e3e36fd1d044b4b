//! The database of Pi-hole's FTL (`pihole-FTL.db`), read where it lies and never written.
//!
//! Its view `queries` is not used: a view is a program that whoever made the file has written. Tables are read as they are.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::Seen;
use super::account::Sink;
use crate::message::RecordType;

/// The longest value that is read; no name or address is longer.
const MAX_VALUE: i32 = 64 << 10;

/// Since FTL 5.15, names and clients stand in tables of their own; rows from before still hold them as texts.
const LINKED: &str = "SELECT q.timestamp, q.type, iif(typeof(q.domain) = 'text', q.domain, d.domain), \
     iif(typeof(q.client) = 'text', q.client, c.ip) FROM main.query_storage AS q \
     LEFT JOIN main.domain_by_id AS d ON d.id = q.domain LEFT JOIN main.client_by_id AS c ON c.id = q.client";

/// Before that, all of it stood in one.
const PLAIN: &str = "SELECT timestamp, type, domain, client FROM main.queries";

/// Types 1 to 16 of FTL; those above 100 are a record type and 100.
const TYPES: [u16; 16] = [1, 28, 255, 33, 6, 12, 16, 35, 15, 43, 46, 48, 2, 0, 64, 65];

/// Reads all rows.
pub(super) fn read(path: &Path, sink: &mut Sink<'_>) -> io::Result<()> {
    rows(path, sink).map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => io::Error::other("it is a database, and none of Pi-hole's"),
        error => io::Error::other(error),
    })
}

fn rows(path: &Path, sink: &mut Sink<'_>) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)?;
    database.pragma_update(None, "trusted_schema", false)?;
    let is_table = |name: &str| {
        let sql =
            "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 AND sql LIKE 'CREATE TABLE%'";
        database.query_row(sql, [name], |row| row.get::<_, i64>(0)).map(|count| count == 1)
    };
    let linked = is_table("query_storage")? && is_table("domain_by_id")? && is_table("client_by_id")?;
    if !linked && !is_table("queries")? {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    let mut statement = database.prepare(if linked { LINKED } else { PLAIN })?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if sink.is_stopped() {
            break;
        }
        sink.begin();
        match seen(row) {
            Ok(seen) => sink.take(&seen),
            Err(why) => sink.unread(why),
        }
    }
    Ok(())
}

fn seen(row: &Row<'_>) -> Result<Seen, &'static str> {
    let at = match row.get_ref(0) {
        Ok(ValueRef::Integer(seconds)) => Timestamp::from_second(seconds).ok(),
        Ok(ValueRef::Real(seconds)) if seconds.is_finite() => {
            Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()
        }
        _ => None,
    };
    let record_type = match row.get_ref(1) {
        Ok(ValueRef::Integer(of @ 1..=16)) => usize::try_from(of - 1).ok().map(|at| TYPES[at]).filter(|of| *of > 0),
        Ok(ValueRef::Integer(of @ 100..=65_635)) => u16::try_from(of - 100).ok(),
        _ => None,
    };
    let text = |column| match row.get_ref(column) {
        Ok(ValueRef::Text(text)) => Some(text),
        _ => None,
    };
    if text(2) == Some(b"hidden") {
        return Err("Pi-hole was told to hide the name");
    }
    let name = text(2).and_then(|name| super::text::plain_name(name).ok()).ok_or("the name is no domain name")?;
    let client = text(3).and_then(|client| super::text::address(client).ok()).ok_or("the client is no address")?;
    let seen = Seen::once(at.ok_or("the time is none")?, client, name);
    Ok(Seen { record_type: record_type.map(RecordType), ..seen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Account;

    fn database(sql: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pihole-FTL.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        (folder, path)
    }

    fn read(path: &Path) -> (Account, Vec<Seen>, Option<String>) {
        let mut seen = Vec::new();
        let mut each = |of: &Seen, _| {
            seen.push(of.clone());
            true
        };
        let mut sink = Sink::new(&mut each);
        let failed = super::read(path, &mut sink).err().map(|error| error.to_string());
        let account = sink.account;
        (account, seen, failed)
    }

    /// After the schema in Pi-hole's documentation of its query database.
    const SCHEMA: &str = "CREATE TABLE query_storage (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, \
         type INTEGER NOT NULL, status INTEGER NOT NULL, domain INTEGER NOT NULL, client INTEGER NOT NULL, forward INTEGER);\
         CREATE TABLE domain_by_id (id INTEGER PRIMARY KEY, domain TEXT NOT NULL);\
         CREATE TABLE client_by_id (id INTEGER PRIMARY KEY, ip TEXT NOT NULL, name TEXT);";

    #[test]
    fn rows_of_both_schemas_are_read() {
        let rows = "INSERT INTO domain_by_id VALUES (1, 'upd.example.com'), (2, 'a b..c');\
             INSERT INTO client_by_id VALUES (1, '192.0.2.7', 'laptop');\
             INSERT INTO query_storage (timestamp, type, status, domain, client) VALUES \
             (1795755333.25, 1, 2, 1, 1), (1795755334, 116, 2, 1, 1), (1795755334, 1, 2, 2, 1), (1795755334, 1, 2, 9, 1), \
             (1795755332, 1, 2, 'old.example', '192.0.2.9'), (1795755332, 1, 2, 'hidden', '0.0.0.0');";
        let (_folder, path) = database(&format!("{SCHEMA}{rows}"));
        let (account, seen, failed) = read(&path);
        assert_eq!((account.queries, account.unread.count, failed), (3, 3, None));
        assert!(account.unread.reasons.contains_key("Pi-hole was told to hide the name"));
        // A row from before names had a table of their own.
        assert_eq!(
            (seen[2].name.to_string(), seen[2].client.to_string()),
            ("old.example".to_owned(), "192.0.2.9".to_owned())
        );
        assert_eq!(
            (seen[0].at.to_string(), seen[0].name.to_string()),
            ("2026-11-27T04:55:33.25Z".to_owned(), "upd.example.com".to_owned())
        );
        assert_eq!((seen[0].record_type, seen[1].record_type), (Some(RecordType::A), Some(RecordType::TXT)));
        let (_folder, path) = database(
            "CREATE TABLE queries (id INTEGER PRIMARY KEY, timestamp INTEGER, type INTEGER, status INTEGER, domain TEXT, client TEXT);\
             INSERT INTO queries VALUES (1, 1795755333, 2, 2, 'upd.example.com', '2001:db8::7');",
        );
        let (_, seen, failed) = read(&path);
        assert_eq!(
            (seen[0].record_type, seen[0].client.to_string(), failed),
            (Some(RecordType::AAAA), "2001:db8::7".to_owned(), None)
        );
    }

    #[test]
    fn what_a_file_would_have_run_is_not_run_and_long_values_end_it() {
        let endless = "CREATE VIEW queries AS WITH RECURSIVE n(timestamp, type, domain, client) AS \
             (SELECT 1, 1, 'a.example', '192.0.2.7' UNION ALL SELECT timestamp + 1, 1, 'a.example', '192.0.2.7' FROM n) SELECT * FROM n;";
        let (_folder, path) = database(endless);
        let (account, _, failed) = read(&path);
        assert_eq!(account.units, 0);
        assert!(failed.unwrap().contains("none of Pi-hole's"));
        let long = "INSERT INTO domain_by_id VALUES (1, zeroblob(1000000));\
             INSERT INTO query_storage (timestamp, type, status, domain, client) VALUES (1, 1, 2, 1, 1);";
        let (_folder, path) = database(&format!("{SCHEMA}{long}"));
        let (account, seen, failed) = read(&path);
        assert!(seen.is_empty() && (failed.is_some() || account.unread.count == 1), "{account:?}");
        std::fs::write(&path, [crate::scan::detect::SQLITE, &[7; 4096]].concat()).unwrap();
        assert!(read(&path).2.is_some());
    }
}
