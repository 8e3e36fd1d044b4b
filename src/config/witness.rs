//! The witnesses of the log in the configuration.

use std::collections::BTreeSet;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::types::WitnessConfig;
use super::value::Value;
use crate::fetch::Url;
use crate::ledger::cosign::Cosigner;

pub(super) fn check_witnesses(settings: &Settings, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for row in rows(settings, "ledger", "witness") {
        if !row.is_set("url") {
            faults.push(
                &row.place,
                "this `ledger.witness` has an empty `url`".to_owned(),
                "write its submission prefix",
            );
        }
        let Some(Value::Text(key)) = row.values.get("key") else { continue };
        if key.parse::<Cosigner>().is_err() {
            let told = format!("`ledger.witness.key` is {}: no key of a witness", quote(key));
            faults.push(
                &row.place,
                told,
                "write the line that the witness gives, NAME+HEX+BASE64 (c2sp.org/tlog-cosignature)",
            );
        } else if !seen.insert(key) {
            // Its cosignatures are kept in a file of that key.
            faults.push(&row.place, format!("`ledger.witness` has {} twice", quote(key)), "name each witness once");
        }
    }
}

impl Settings {
    pub(super) fn witnesses(&mut self) -> Vec<WitnessConfig> {
        let rows = self.rows("ledger", "witness", |row| {
            let (url, private): (Option<Url>, bool) = (row.take("url"), row.take("private"));
            let key = row.take::<String>("key").parse().ok();
            Some(WitnessConfig { url: url?, key: key?, private })
        });
        rows.into_iter().flatten().collect()
    }
}
