//! The form of the register on disk.

use serde::{Deserialize, Serialize};

use super::register::{Entry, Kept, Mark, State};
use super::unrecorded::Unrecorded;
use crate::feed::{self, WaiverForm};
use crate::policy::Waiver;

/// The version of the form that this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// Only the version, which every form has.
#[derive(Debug, Deserialize)]
pub(super) struct Versioned {
    pub(super) version: u32,
}

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    version: u32,
    /// How many waivers were ever added.
    waivers_given: u64,
    /// How often the installation was ever set to only monitor.
    monitor_only_given: u64,
    waivers: Vec<EntryForm>,
    /// Hardly ever there, so that earlier versions read the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unrecorded: Vec<Unrecorded>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    waiver: WaiverForm,
    state: State,
    added: Mark,
    confirmed: Option<Mark>,
    ended: Option<Mark>,
}

impl From<&Kept> for Form {
    fn from(kept: &Kept) -> Self {
        let waivers = kept.entries.iter().map(EntryForm::from).collect();
        let Kept { waivers_given, monitor_only_given, entries: _, unrecorded } = kept;
        let (waivers_given, monitor_only_given) = (*waivers_given, *monitor_only_given);
        Self { version: VERSION, waivers_given, monitor_only_given, waivers, unrecorded: unrecorded.clone() }
    }
}

impl TryFrom<Form> for Kept {
    type Error = String;

    /// Says what no waiver of a register is.
    fn try_from(form: Form) -> Result<Self, String> {
        let Form { version: _, waivers_given, monitor_only_given, waivers, unrecorded } = form;
        let entries = waivers.into_iter().map(Entry::try_from).collect::<Result<Vec<_>, _>>()?;
        for Unrecorded { by, why, what, .. } in &unrecorded {
            if ![by, why].into_iter().chain(what).all(|text| feed::is_visible(text)) {
                return Err("what is not recorded yet holds control or invisible characters".to_owned());
            }
        }
        Ok(Self { waivers_given, monitor_only_given, entries, unrecorded })
    }
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        // Taken apart field by field, so that a field that is added has to be dealt with here.
        let Entry { waiver, state, added, confirmed, ended } = entry.clone();
        Self { waiver: WaiverForm::from(&waiver), state, added, confirmed, ended }
    }
}

impl TryFrom<EntryForm> for Entry {
    type Error = String;

    fn try_from(form: EntryForm) -> Result<Self, String> {
        let EntryForm { waiver, state, added, confirmed, ended } = form;
        let waiver = Waiver::try_from(waiver)?;
        let id = &waiver.id;
        let is_own = ["W-", "M-"].iter().any(|prefix| {
            id.strip_prefix(prefix).is_some_and(|number| number.parse::<u64>().is_ok_and(|n| n.to_string() == number))
        });
        if !is_own {
            return Err(format!("`{}` is no id that a resolver gives", super::harmless(id)));
        }
        if ![&waiver.reason, &waiver.approver].into_iter().chain(&waiver.ticket).all(|text| feed::is_visible(text)) {
            return Err(format!("{id} holds control or invisible characters"));
        }
        Ok(Self { waiver, state, added, confirmed, ended })
    }
}
