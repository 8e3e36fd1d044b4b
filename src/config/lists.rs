//! The lists of the configuration: contradictions among them, and what they are loaded from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::check::rows;
use super::fetched::origin;
use super::load::Settings;
use super::node::{Faults, quote};
use super::types::{FetchConfig, ListConfig, ListsConfig};
use super::value::{Row, Value};
use crate::fetch::Place;
use crate::lists::{Action, Bounds, Dates, MAX_TEXT, Source};
use crate::message::Name;

pub(super) fn check_lists(settings: &Settings, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for row in rows(settings, "lists", "list") {
        if let Some(Value::Text(name)) = row.values.get("name")
            && !seen.insert(name)
        {
            // Its compiled form is kept in a file of that name.
            let text = format!("`lists.list` has {} twice", quote(name));
            faults.push(&row.place, text, "give each its own name");
        }
        check_dates(row, faults);
        check_origin(row, faults);
    }
}

/// A list comes from a file or from elsewhere; what is fetched unencrypted needs somebody who vouches for it.
fn check_origin(row: &Row, faults: &mut Faults) {
    let is_set = |key| row.is_set(key);
    let mut tell = |text: &str, remedy: &str| faults.push(&row.place, format!("this `lists.list` {text}"), remedy);
    match (is_set("file"), is_set("url")) {
        (false, false) => tell("has neither `file` nor `url`", "add `file = \"…\"` or `url = \"https://…\"`"),
        (true, true) => tell("has both `file` and `url`", "leave one of them out"),
        (true, false) => {
            for key in ["sha256", "public_key", "signature", "private"].into_iter().filter(|key| is_set(key)) {
                tell(&format!("has a `file`, and `{key}`, which is for fetched ones"), "leave it out");
            }
        }
        (false, true) => {}
    }
    if let Some(Value::Url(Some(url))) = row.values.get("url")
        && url.scheme() == "http"
        && !is_set("sha256")
        && !is_set("public_key")
    {
        tell("is fetched unencrypted and nobody vouches for it", "write https, or add `sha256` or `public_key`");
    }
    if is_set("signature") && !is_set("public_key") {
        tell("has a `signature` and no key to hold it against", "add `public_key = \"RW…\"`");
    }
}

fn check_dates(row: &Row, faults: &mut Faults) {
    let instant = |key| match row.values.get(key) {
        Some(Value::Instant(instant)) => *instant,
        _ => None,
    };
    let (from, until, monitored) = (instant("from"), instant("until"), instant("monitor_from"));
    for (first, begin) in [("from", from), ("monitor_from", monitored)] {
        if let (Some(begin), Some(until)) = (begin, until)
            && until <= begin
        {
            let text = format!("this `lists.list` ends at {until}, not after its `{first}`, {begin}");
            faults.push(&row.place, text, "let `until` be later");
        }
    }
    if let (Some(from), Some(monitored)) = (from, monitored)
        && from <= monitored
    {
        let text = format!("this `lists.list` is monitored from {monitored} on, when it decides already ({from})");
        faults.push(&row.place, text, "let `monitor_from` be earlier, or leave it out");
    }
}

impl Settings {
    /// Fetched files are kept in the data folder.
    pub(super) fn lists(&mut self, data_dir: &Path, fetch: &FetchConfig) -> ListsConfig {
        let broad: Vec<Name> = self.take("lists", "broad");
        let mut never = Bounds::default().never;
        never.retain(|name| !broad.contains(name));
        never.extend(self.take::<Vec<Name>>("lists", "never"));
        let bounds = Bounds { least_share: self.take("lists", "least_share"), never };
        let (folder, most) = (data_dir.join("lists"), fetch.bounds.unpacked);
        let lists = self.rows("lists", "list", |row| {
            let name: String = row.take("name");
            let origin = origin(row, Place::new(&folder, &name));
            let file = PathBuf::from(row.take::<String>("file"));
            let (path, most) = match &origin {
                Some(origin) => (origin.place.file.clone(), most),
                None => (file, MAX_TEXT),
            };
            ListConfig {
                source: Source {
                    name,
                    path,
                    most,
                    format: row.take::<&str>("format").parse().ok(),
                    bounds: bounds.clone(),
                },
                action: action(row.take("action")),
                dates: Dates {
                    from: row.take::<Option<Timestamp>>("from"),
                    until: row.take("until"),
                    monitor_from: row.take("monitor_from"),
                },
                origin,
            }
        });
        ListsConfig { bounds, lists }
    }
}

/// Returns what takes the place of what lists say; nothing for `as-written`.
fn action(word: &str) -> Option<Action> {
    match word {
        "block" => Some(Action::Block),
        "nxdomain" => Some(Action::Nxdomain),
        "nodata" => Some(Action::Nodata),
        "refused" => Some(Action::Refused),
        "drop" => Some(Action::Drop),
        "null" => Some(Action::null()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::lists::Format;

    fn load(text: &str) -> Result<Config, Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()), []).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_is_what_its_table_says() {
        let text = "[lists]\nleast_share = 10\nnever = [\"corp.example\"]\nbroad = [\"co.uk\"]\n[[lists.list]]\n\
                    name = \"ads\"\nfile = \"ads.txt\"\nformat = \"rpz\"\naction = \"null\"\nuntil = 2030-01-01T00:00:00Z\n";
        let ListsConfig { bounds, lists } = load(text).unwrap().lists;
        let has = |name: &str| bounds.never.contains(&name.parse().unwrap());
        assert_eq!([has("corp.example"), has("co.uk"), has("com")], [true, false, true]);
        assert_eq!(bounds.least_share, 10);
        let [ListConfig { source, action, dates, origin: None }] = &lists[..] else { panic!("{lists:?}") };
        assert_eq!((source.format, action), (Some(Format::Rpz), &Some(Action::null())));
        assert_eq!((dates.from, dates.until), (None, Some("2030-01-01T00:00:00Z".parse().unwrap())));
    }

    #[test]
    fn tables_that_contradict_themselves_are_told() {
        let list = |name: &str, more: &str| format!("[[lists.list]]\nname = \"{name}\"\nfile = \"x\"\n{more}\n");
        let (begin, later) = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        for (text, told) in [
            (list("a/b", ""), "write 1 to 64 lower-case letters"),
            (format!("{}{}", list("a", ""), list("a", "")), "`lists.list` has `a` twice"),
            (list("a", &format!("from = {later}\nuntil = {begin}")), "let `until` be later"),
            (list("a", &format!("monitor_from = {later}\nuntil = {begin}")), "let `until` be later"),
            (list("a", &format!("monitor_from = {later}\nfrom = {begin}")), "let `monitor_from` be earlier"),
        ] {
            let faults = load(&text).unwrap_err();
            assert!(faults.iter().any(|fault| fault.contains(told)), "{text}: {faults:?}");
        }
    }
}
