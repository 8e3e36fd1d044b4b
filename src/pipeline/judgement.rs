//! What is decided on a question and on what its answer leads to.

use super::Moment;
use crate::answer::Trouble;
use crate::cache::{Claim, Entry};
use crate::client::Client;
use crate::inspect;
use crate::message::{Body, Malformed, Name, ResponseView};
use crate::observe::Served;
use crate::policy::{Decision, Match, Snapshot, Verdict, When};
use crate::query::{Place, Query, Question, Subject, Subjects, Target};
use crate::resolve::{Failure, Resolved};

/// What was decided for a client on a question and on what its answer leads to.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    pub(super) client: Client,
    pub(super) decision: Decision,
    /// What in the answer decided, where it was not the question.
    pub(super) subject: Option<Subject>,
    /// The names of the chain that any order protects, exempts or keeps: with the question they stand before what hangs on
    /// the chain. Empty, and without memory of its own, for nearly every answer.
    pub(super) shields: Vec<Name>,
}

impl Judgement {
    /// Returns whether the answer holds without what decided.
    pub(super) fn is_aside(&self) -> bool {
        self.subject.as_ref().is_some_and(|subject| subject.place == Place::Aside)
    }
}

/// Identifies who asks, and decides on the question.
pub(super) fn decide(query: &Query, moment: &Moment) -> Judgement {
    let client = moment.clients.identify_peer(&query.peer);
    let mut decision = moment.state.snapshot.decide(&query.question.name, &client, moment.when());
    // Nothing is kept by a stub for longer than until a list begins or ends; that is rare enough to count for all names.
    let next = moment.state.lists.chain.next_instant(moment.now.at);
    decision.until = [decision.until, next].into_iter().flatten().min();
    Judgement { client, decision, subject: None, shields: Vec::new() }
}

/// Decides by a policy on what an answer leads to, too; the severest verdict counts, and among equal ones first the question's, then that on
/// what the answer does not hold without.
pub(super) fn judge(
    query: &Query,
    judgement: &mut Judgement,
    subjects: &Subjects,
    (snapshot, when): (&Snapshot, When),
) {
    for subject in subjects {
        let before = before(query, &judgement.shields, &subject);
        let found = snapshot.decide_behind(before, &subject.target, &judgement.client, when);
        if let (Place::Chain, Target::Name(name)) = (subject.place, &subject.target)
            && snapshot.is_listed(name)
            && snapshot.matches(name, &judgement.client, when).iter().any(Match::is_shield)
        {
            judgement.shields.push(name.clone());
        }
        let until = [judgement.decision.until, found.until].into_iter().flatten().min();
        let (whole, was_whole) = (subject.place != Place::Aside, !judgement.is_aside());
        // What stands beside an answer, such as the addresses of name servers, is no contact with a service that is left.
        let counts = whole || found.verdict >= Verdict::Monitored;
        if counts && (found.verdict, whole) > (judgement.decision.verdict, was_whole) {
            (judgement.decision, judgement.subject) = (found, Some(subject));
        }
        judgement.decision.until = until;
    }
}

/// Returns the names that stand before a subject: what does not hang on the chain is not protected by a name of it.
fn before<'n>(query: &'n Query, shields: &'n [Name], subject: &Subject) -> impl Iterator<Item = &'n Name> + Clone {
    let shields = if subject.behind_chain { shields } else { &[] };
    std::iter::once(&query.question.name).chain(shields)
}

/// Returns the answer of `entry` without what stands beside it and is sunk for the client of `judgement`.
pub(super) fn without_sunk(
    query: &Query,
    entry: &Entry,
    judgement: &Judgement,
    moment: &Moment,
) -> Result<Body, Malformed> {
    let snapshot = &moment.state.snapshot;
    inspect::without(&entry.body, &query.question, |subject| {
        let before = before(query, &judgement.shields, subject);
        snapshot.decide_behind(before, &subject.target, &judgement.client, moment.when()).verdict == Verdict::Sunk
    })
}

/// Returns what is kept of an answer, or of the failure to get one.
pub(super) fn inspected(question: &Question, resolved: &Resolved, moment: &Moment) -> (Entry, Served) {
    let Moment { state, clients: _, now } = moment;
    let failure = state.asking.lifetimes.failure;
    let found = match resolved {
        Resolved::Found { message, body, local } => {
            let without_ech = match state.guards.removes_ech && !local {
                true => inspect::without_ech(body, question),
                false => Ok(None),
            };
            match (ResponseView::read(message).and_then(|view| inspect::subjects(&view)), without_ech) {
                (Ok(subjects), Ok(without_ech)) => Ok((body, without_ech, subjects, *local)),
                // What cannot be inspected must not pass.
                (Err(Malformed), _) | (_, Err(Malformed)) => Err(Trouble::Suspicious.kept(failure, None)),
            }
        }
        Resolved::Failed(of) => Err(trouble(of.failure).kept(failure, of.extended_error.as_deref())),
    };
    let (epoch, stored) = (moment.epoch(), now.boot);
    let (failed, renewed) = (None, Claim::default());
    match found {
        Ok((body, without_ech, subjects, local)) => {
            let is_listed = |target: &Target| match target {
                Target::Name(name) => state.lists.chain.is_listed(name),
                Target::Address(_) => state.lists.chain.has_answers(),
            };
            let matched = subjects.iter().any(|of| state.snapshot.is_listed(&of.target) || is_listed(&of.target));
            let (private, ech_removed) = (!local && inspect::leads_inside(&subjects), without_ech.is_some());
            let (body, subjects) = (without_ech.unwrap_or_else(|| body.clone()), Subjects::new(&subjects));
            let served = if local { Served::Local } else { Served::Upstream };
            (Entry { body, subjects, private, ech_removed, matched, epoch, stored, failed, renewed }, served)
        }
        Err(body) => {
            let (subjects, private, ech_removed, matched) = (Subjects::default(), false, false, false);
            let entry = Entry { body, subjects, private, ech_removed, matched, epoch, stored, failed, renewed };
            (entry, Served::Failure)
        }
    }
}

const fn trouble(failure: Failure) -> Trouble {
    match failure {
        Failure::Unreachable => Trouble::Unreachable,
        Failure::TimedOut => Trouble::Silent,
        Failure::Refused => Trouble::Unwilling,
        Failure::Bogus => Trouble::Suspicious,
    }
}
