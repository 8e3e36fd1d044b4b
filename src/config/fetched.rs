//! How files are fetched, and the catalogues and orders among them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::types::{Config, FetchConfig, FetchedPolicy, Origin};
use super::value::{Row, Value};
use crate::feed::{Item, Kind, Shelf};
use crate::fetch::{self, Place, Trust, Url};

/// Where in the data folder fetched catalogues and orders are kept, and the file there of those in force.
const FOLDER: &str = "policy/fetched";
const ACTIVE: &str = "active.json";

impl Config {
    /// Returns the catalogues and orders that are fetched, and where they are kept.
    pub fn shelf(&self) -> Shelf {
        let items = self.policy.fetch.iter().map(|of| of.item.clone()).collect();
        Shelf { active: self.data_dir.join(FOLDER).join(ACTIVE), items }
    }
}

/// Whoever makes a network prohibit something has to be who they say.
pub(super) fn check_fetched(settings: &Settings, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for row in rows(settings, "policy", "fetch") {
        if let Some(Value::Text(name)) = row.values.get("name")
            && !seen.insert(name)
        {
            let text = format!("`policy.fetch` has {} twice", quote(name));
            faults.push(&row.place, text, "give each its own name");
        }
        let mut tell =
            |text: &str, remedy: &str| faults.push(&row.place, format!("this `policy.fetch` {text}"), remedy);
        if !row.is_set("url") {
            tell("has an empty `url`", "write where it is fetched from");
        }
        if !row.is_set("sha256") && !row.is_set("public_key") {
            tell("has nobody who vouches for it", "add `public_key = \"RW…\"` or `sha256 = \"…\"`");
        }
        if row.is_set("signature") && !row.is_set("public_key") {
            tell("has a `signature` and no key to hold it against", "add `public_key = \"RW…\"`");
        }
    }
}

impl Settings {
    pub(super) fn fetch(&mut self) -> FetchConfig {
        let mut mib = |key| self.take::<u64>("fetch", key) << 20;
        let (transferred, unpacked) = (mib("max_mib"), mib("max_unpacked_mib"));
        let time = Duration::from_secs(self.take("fetch", "timeout_s"));
        FetchConfig {
            ca: Some(self.take::<String>("fetch", "ca")).filter(|path| !path.is_empty()).map(PathBuf::from),
            bounds: fetch::Bounds { transferred, unpacked, time },
            stale: Duration::from_secs(self.take::<u64>("fetch", "stale_hours") * 3600),
        }
    }

    pub(super) fn fetched_policy(&mut self, data_dir: &Path) -> Vec<FetchedPolicy> {
        let folder = data_dir.join(FOLDER);
        let rows = self.rows("policy", "fetch", |row| {
            let name: String = row.take("name");
            let kind = if row.take::<&str>("kind") == "order" { Kind::Order } else { Kind::Catalogue };
            let mut origin = origin(row, Place::new(&folder, &name))?;
            // What came by another address or was believed by another key must not wait to be put in force any more, nor
            // stand in the way of what comes now.
            origin.place = Place::new(&folder, &format!("{name}-{}", origin.source.terms()));
            let item = Item { name, kind, file: origin.place.file.clone(), automatic: row.take("automatic") };
            Some(FetchedPolicy { item, origin })
        });
        rows.into_iter().flatten().collect()
    }
}

impl Row {
    /// Returns whether a key has more than its empty default.
    pub(super) fn is_set(&self, key: &str) -> bool {
        match self.values.get(key) {
            Some(Value::Text(text)) => !text.is_empty(),
            Some(Value::Digest(digest)) => digest.is_some(),
            Some(Value::PublicKey(key)) => key.is_some(),
            Some(Value::Url(url)) => url.is_some(),
            Some(Value::Switch(on)) => *on,
            _ => false,
        }
    }
}

/// Returns where a file is fetched from, with the keys for that taken out.
pub(super) fn origin(row: &mut Row, place: Place) -> Option<Origin> {
    let url: Option<Url> = row.take("url");
    let refresh = Duration::from_secs(row.take::<u64>("refresh_minutes") * 60);
    let trust = Trust { digest: row.take("sha256"), key: row.take("public_key"), signature: row.take("signature") };
    let private = row.take("private");
    Some(Origin { source: fetch::Source { url: url?, private, trust }, refresh, place })
}
