//! The form of waivers on disk, apart from the types of `policy`, so that a change there cannot change the form unseen.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::register::{Entry, Kept, Mark, State};
use crate::feed;
use crate::policy::{Party, Rules, Scope, Term, Waiver};
use crate::query::NamePattern;

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
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    id: String,
    rules: RulesForm,
    clients: Vec<PartyForm>,
    names: Vec<String>,
    from: Timestamp,
    until: Timestamp,
    reason: String,
    approver: String,
    ticket: Option<String>,
    state: State,
    added: Mark,
    confirmed: Option<Mark>,
    ended: Option<Mark>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum RulesForm {
    Order { order: String, services: Vec<String> },
    Service { catalogue: String, service: String },
    Everything,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PartyForm {
    Group(String),
    Network(ipnet::IpNet),
}

/// A form that says something that no waiver is.
#[derive(Debug, thiserror::Error)]
#[error("{id}: {what}")]
pub(super) struct Unfit {
    id: String,
    what: String,
}

impl From<&Kept> for Form {
    fn from(kept: &Kept) -> Self {
        let waivers = kept.entries.iter().map(EntryForm::from).collect();
        let Kept { waivers_given, monitor_only_given, entries: _ } = *kept;
        Self { version: VERSION, waivers_given, monitor_only_given, waivers }
    }
}

impl TryFrom<Form> for Kept {
    type Error = Unfit;

    fn try_from(form: Form) -> Result<Self, Unfit> {
        let Form { version: _, waivers_given, monitor_only_given, waivers } = form;
        let entries = waivers.into_iter().map(Entry::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { waivers_given, monitor_only_given, entries })
    }
}

impl From<&Entry> for EntryForm {
    fn from(entry: &Entry) -> Self {
        // Taken apart field by field, so that a field that is added has to be dealt with here.
        let Entry { waiver, state, added, confirmed, ended } = entry.clone();
        let Waiver { id, scope: Scope { clients, rules, names }, term, reason, approver, ticket } = waiver;
        let rules = match rules {
            Rules::Order { order, services } => RulesForm::Order { order, services },
            Rules::Service { catalogue, service } => RulesForm::Service { catalogue, service },
            Rules::Everything => RulesForm::Everything,
        };
        let clients = clients.into_iter().map(|party| match party {
            Party::Group(name) => PartyForm::Group(name),
            Party::Network(network) => PartyForm::Network(network),
        });
        Self {
            id,
            rules,
            clients: clients.collect(),
            names: names.iter().map(ToString::to_string).collect(),
            from: term.from(),
            until: term.until(),
            reason,
            approver,
            ticket,
            state,
            added,
            confirmed,
            ended,
        }
    }
}

impl TryFrom<EntryForm> for Entry {
    type Error = Unfit;

    fn try_from(form: EntryForm) -> Result<Self, Unfit> {
        let EntryForm {
            id,
            rules,
            clients,
            names,
            from,
            until,
            reason,
            approver,
            ticket,
            state,
            added,
            confirmed,
            ended,
        } = form;
        let unfit = |what: String| Unfit { id: id.clone(), what };
        let is_own = ["W-", "M-"].iter().any(|prefix| {
            id.strip_prefix(prefix).is_some_and(|number| number.parse::<u64>().is_ok_and(|n| n.to_string() == number))
        });
        if !is_own {
            return Err(unfit("it is no id that a resolver gives".to_owned()));
        }
        if ![&reason, &approver].into_iter().chain(&ticket).all(|text| feed::is_visible(text)) {
            return Err(unfit("it holds control or invisible characters".to_owned()));
        }
        let rules = match rules {
            RulesForm::Order { order, services } => Rules::Order { order, services },
            RulesForm::Service { catalogue, service } => Rules::Service { catalogue, service },
            RulesForm::Everything => Rules::Everything,
        };
        let clients = clients.into_iter().map(|party| match party {
            PartyForm::Group(name) => Party::Group(name),
            PartyForm::Network(network) => Party::Network(network),
        });
        let names = names.iter().map(|name| name.parse::<NamePattern>()).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|error| unfit(error.to_string()))?;
        let term = Term::new(from, until).map_err(|error| unfit(error.to_string()))?;
        let scope = Scope { clients: clients.collect(), rules, names };
        let waiver = Waiver { id, scope, term, reason, approver, ticket };
        Ok(Self { waiver, state, added, confirmed, ended })
    }
}
