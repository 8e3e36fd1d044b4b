//! What the operator's lists say of a name, after the orders.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::Question;
use crate::answer::InfoCode;
use crate::config::{Config, ListConfig};
use crate::lists::{self, Action, Chain, Link, Listed};
use crate::message::{Name, RecordType};
use crate::policy::Verdict;
use crate::query::Target;

/// What one list says.
#[derive(Debug, Serialize)]
pub(super) struct ListFinding {
    pub(super) list: String,
    pub(super) rule: String,
    pub(super) action: &'static str,
    /// Whether the list is only watched at this instant.
    pub(super) monitored: bool,
    /// Whether it is what decides.
    pub(super) decides: bool,
}

/// Returns the chain of lists as it was last good in the data folder, or as the files are where nothing is kept.
pub(super) fn chain(config: &Config, folder: &Path) -> Chain {
    let links = config.lists.lists.iter().filter_map(|ListConfig { source, action, dates, origin: _ }| {
        let key = || lists::index::Key(rand::random());
        let folder = folder.join("lists");
        let list =
            lists::kept(source, &folder).or_else(|| lists::check(source, &folder, key).ok().map(|(list, _)| list))?;
        let (name, action) = (source.name.clone(), action.clone());
        Some(Link { name, list: Arc::new(list), dates: *dates, action })
    });
    Chain::new(1, links.collect())
}

/// Returns what each list says, and what the client gets by the one that decides where no order decides before it.
pub(super) fn findings(
    question: &Question,
    record_type: RecordType,
    chain: &Chain,
    (verdict, only_monitors): (Verdict, bool),
) -> (Vec<ListFinding>, Option<(String, Option<u16>)>) {
    let Question { asked, client, when, .. } = question;
    let name = match asked {
        Target::Name(name) => name.clone(),
        Target::Address(_) => Name::root(),
    };
    let (all, deciding) = match asked {
        Target::Name(name) => {
            let decided = chain.decide(name, record_type, client, *when);
            (chain.matches(*when, |list| list.decide(name, record_type, client)), decided)
        }
        Target::Address(address) => {
            let decided = chain.decide_address(*address, *when);
            (chain.matches(*when, |list| list.decide_address(*address)), decided)
        }
    };
    let deciding = deciding.filter(|of| !of.monitored && !only_monitors && verdict != Verdict::Sunk);
    let findings = all.iter().map(|of| ListFinding {
        list: of.list.to_owned(),
        rule: of.rule.describe(&name),
        action: of.action.as_str(),
        monitored: of.monitored || only_monitors,
        decides: deciding.is_some_and(|deciding| deciding.place == of.place),
    });
    (findings.collect(), deciding.and_then(|of| response(&of)))
}

/// Returns what a client gets by a list, with the code of the extended error; `None` where it gets the true answer.
fn response(of: &Listed<'_>) -> Option<(String, Option<u16>)> {
    let blocked = Some(InfoCode::Blocked as u16);
    Some(match of.action {
        Action::Pass => return None,
        Action::Block => ("withheld".to_owned(), blocked),
        Action::Nxdomain => ("NXDOMAIN".to_owned(), blocked),
        Action::Nodata => ("NOERROR".to_owned(), blocked),
        Action::Refused => ("REFUSED".to_owned(), blocked),
        Action::Drop => ("no answer".to_owned(), None),
        Action::TcpOnly => ("over TCP only".to_owned(), None),
        Action::Local(_) => ("records of the list".to_owned(), None),
    })
}
