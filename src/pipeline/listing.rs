//! What the operator's lists say of a question and of what its answer leads to.

use super::Moment;
use super::judgement::Judgement;
use crate::answer;
use crate::lists::{Action, Chain, Listed};
use crate::message::{Name, RecordType};
use crate::observe::{ListCounters, ListMatch};
use crate::policy::Verdict;
use crate::query::{Place, Query, Subjects, Target, Through, Transport};

/// The lists of the operator, each with its counters.
#[derive(Debug, Default)]
pub struct Lists {
    pub chain: Chain,
    /// As many as the chain has lists, and in its order.
    pub counters: Vec<ListCounters>,
}

impl Lists {
    pub(super) fn count(&self, listed: &Listed<'_>, result: ListMatch) {
        if let Some(counters) = self.counters.get(listed.place) {
            counters.count(result);
        }
    }
}

/// Returns what the lists say of a question that no order withholds.
pub(super) fn listed<'m>(query: &Query, own: &Judgement, moment: &'m Moment) -> Option<Listed<'m>> {
    let chain = &moment.state.lists.chain;
    if chain.is_empty() || own.decision.verdict == Verdict::Sunk {
        return None;
    }
    let question = &query.question;
    let listed = chain.decide(&question.name, question.record_type, &own.client, moment.when())?;
    Some(Listed { monitored: listed.monitored || moment.state.snapshot.only_monitors(moment.when()), ..listed })
}

/// Returns what became of a match: whoever asks over TCP has done what TCP-only asks for.
pub(super) fn result_of(listed: &Listed<'_>, transport: Transport) -> ListMatch {
    match (listed.monitored, listed.action) {
        (true, _) => ListMatch::Monitored,
        (false, Action::Pass) => ListMatch::Passed,
        (false, Action::TcpOnly) if transport != Transport::Udp => ListMatch::Passed,
        (
            false,
            Action::Block
            | Action::Nxdomain
            | Action::Nodata
            | Action::Refused
            | Action::Drop
            | Action::TcpOnly
            | Action::Local(_),
        ) => ListMatch::Withheld,
    }
}

/// Returns the response with which an alias of a list begins and where it leads, for a question that has to be followed
/// there.
pub(super) fn alias(query: &Query, own: &Judgement, moment: &Moment) -> Option<(Vec<u8>, Name)> {
    let listed = listed(query, own, moment).filter(|listed| !listed.monitored)?;
    match (listed.action, query.question.record_type) {
        (_, RecordType::CNAME | RecordType::ANY) => None,
        (Action::Local(local), _) => answer::alias_of(query, local),
        (
            Action::Pass
            | Action::Block
            | Action::Nxdomain
            | Action::Nodata
            | Action::Refused
            | Action::Drop
            | Action::TcpOnly,
            _,
        ) => None,
    }
}

/// Returns what the lists say of the names and addresses that an answer leads to: that of the first list in the chain; with
/// the names of the aliases on the way to what is meant. A list that let the question pass ends the chain for its answer
/// too.
pub(super) fn listed_behind<'m>(
    query: &Query,
    own: &Judgement,
    subjects: &Subjects,
    moment: &'m Moment,
) -> Option<(Listed<'m>, Vec<Name>)> {
    let chain = &moment.state.lists.chain;
    if chain.is_empty() || moment.state.snapshot.only_monitors(moment.when()) {
        return None;
    }
    let end = listed(query, own, moment).filter(|listed| !listed.monitored).map(|listed| listed.place);
    let mut way = Vec::new();
    let mut best: Option<(Listed<'m>, usize)> = None;
    for subject in subjects {
        let found = match (subject.target, subject.through, subject.place) {
            (Target::Name(name), _, Place::Chain) => {
                let found = chain.decide(&name, query.question.record_type, &own.client, moment.when());
                way.push(name);
                found
            }
            (Target::Address(address), Through::Address, Place::Answer) => chain.decide_address(address, moment.when()),
            (Target::Name(_) | Target::Address(_), _, Place::Chain | Place::Answer | Place::Aside) => None,
        };
        let deciding = found.filter(|listed| !listed.monitored && end.is_none_or(|end| listed.place < end));
        if let Some(listed) = deciding.filter(|listed| best.is_none_or(|(best, _)| listed.place < best.place)) {
            best = Some((listed, way.len()));
        }
    }
    best.map(|(listed, length)| {
        way.truncate(length);
        (listed, way)
    })
}
