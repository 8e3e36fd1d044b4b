//! What is said of a decision, the same for people and for programs.

use std::cmp::Reverse;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::Question;
use super::lists::ListFinding;
use crate::answer::{self, InfoCode};
use crate::client::GroupId;
use crate::message::Name;
use crate::policy::{
    Application, Entry, Match, Order, Prohibition, Service, Sink, Snapshot, Verdict, Verification, Waiver, When,
};
use crate::query::Target;

/// What is said of a decision. Serialised, its keys are the ones that scripts rely on.
#[derive(Debug, Serialize)]
pub(super) struct Account<'a> {
    pub(super) name: String,
    pub(super) r#type: String,
    /// The group of the client that is decided for.
    pub(super) group: String,
    pub(super) at: Timestamp,
    /// The instant by which a prohibition has to have ended to be over, where a leap of the clock is not borne out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ends: Option<Timestamp>,
    #[serde(flatten)]
    pub(super) deciding: Finding<'a>,
    /// The mnemonic of the response code that a sunk name gets, or `resolved`.
    pub(super) response: String,
    pub(super) ede: Option<u16>,
    /// What each order says, the sternest first: the deciding one is on top.
    pub(super) matches: Vec<Finding<'a>>,
    /// What the operator's lists say, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<ListFinding>,
    /// How the replay compares, where a record was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Comparison>,
    /// The name or address that was found in the answer, where it was what matched.
    #[serde(skip)]
    pub(super) subject: Option<String>,
    /// The address that was asked about, which may stand in any answer.
    #[serde(skip)]
    pub(super) address: Option<IpAddr>,
    #[serde(skip)]
    pub(super) when: When,
    #[serde(skip)]
    pub(super) decision: Verdict,
    /// When the decision may become another.
    #[serde(skip)]
    pub(super) until: Option<Timestamp>,
    /// Orders that do not apply to the client's group, although they would say something.
    #[serde(skip)]
    pub(super) off: Vec<&'a str>,
    /// The entry that comes nearest, where none matches, and why it does not.
    #[serde(skip)]
    pub(super) nearest: Option<(&'a Entry, &'a Service, &'static str)>,
    /// Clients who get another verdict, and which.
    #[serde(skip)]
    pub(super) others: Vec<String>,
    #[serde(skip)]
    pub(super) digest: String,
}

/// What one order says of the name; nothing but the verdict where none matches.
#[derive(Debug, Serialize)]
pub(super) struct Finding<'a> {
    pub(super) order: Option<&'a str>,
    pub(super) prohibition: Option<&'a str>,
    pub(super) service: Option<&'a str>,
    pub(super) entry: Option<&'a str>,
    pub(super) verdict: &'static str,
    pub(super) effective: Option<Timestamp>,
    pub(super) verification: Option<&'static str>,
    pub(super) basis: Option<&'a str>,
    pub(super) confidence: Option<&'static str>,
    pub(super) evidence: Option<&'a [String]>,
    /// The waiver that lifts the prohibition.
    pub(super) waiver: Option<&'a str>,
    #[serde(skip)]
    pub(super) rule: Option<Rule<'a>>,
}

/// What a match refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule<'a> {
    pub(super) order: &'a Order,
    pub(super) prohibition: Option<&'a Prohibition>,
    pub(super) entry: &'a Entry,
    pub(super) service: &'a Service,
    pub(super) verification: Option<Verification>,
    pub(super) waiver: Option<&'a Waiver>,
    pub(super) application: &'a Application,
}

/// What a record says, beside what its replay gives.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) seq: u64,
    pub(super) verdict: String,
    pub(super) order: String,
    pub(super) prohibition: Option<String>,
    pub(super) rule: String,
    pub(super) waiver: Option<String>,
    pub(super) client: Option<String>,
    /// Whether the replay gives the same verdict by the same rule.
    pub(super) same: bool,
}

impl<'a> Account<'a> {
    pub(super) fn new(question: &Question, snapshot: &'a Snapshot, sink: Sink) -> Self {
        let Question { asked, subject, through, record_type, client, when } = question;
        let decision = match (asked, subject) {
            (Target::Name(name), Some(subject)) => snapshot.decide_subject(name, subject, client, *when),
            (Target::Name(name), None) => snapshot.decide(name, client, *when),
            // Nothing stands before an address where no question is known.
            (Target::Address(_), _) => snapshot.decide_subject(&Name::root(), asked, client, *when),
        };
        let matched = subject.as_ref().unwrap_or(asked);
        let finding = |of: &Match| Finding::new(of, snapshot, client.group());
        let deciding = decision.deciding.as_ref().map_or(Finding::NONE, finding);
        let (response, ede) = match (decision.verdict, decision.deciding) {
            (Verdict::Sunk, Some(deciding)) => {
                let application = snapshot.application_of(&deciding, client.group());
                let is_open = match (asked, subject) {
                    (Target::Name(name), None) => snapshot.below(name, client, *when).is_open,
                    (Target::Name(_) | Target::Address(_), _) => !through.is_alias(),
                };
                let code = answer::sunk_code(application.sink.unwrap_or(sink), is_open);
                let info: InfoCode = answer::info_code(application.demand);
                (code.to_string(), Some(info as u16))
            }
            _ => ("resolved".to_owned(), None),
        };
        let mut matches = snapshot.matches(matched, client, *when);
        // A stable sort, so that of equal verdicts the one that decides stays first.
        matches.sort_by_key(|of| Reverse(of.verdict));
        let is_pass = decision.verdict == Verdict::Pass;
        let is_listed = snapshot.is_listed(matched);
        let nearest = match matched {
            Target::Name(name) if is_pass && !is_listed => snapshot.nearest(name),
            Target::Name(_) | Target::Address(_) => None,
        };
        Self {
            name: asked.to_string(),
            r#type: record_type.clone(),
            group: snapshot.group_name(client.group()).to_owned(),
            at: when.at,
            ends: (when.ends != when.at).then_some(when.ends),
            deciding,
            response,
            ede,
            matches: matches.iter().map(finding).collect(),
            lists: Vec::new(),
            record: None,
            subject: subject.as_ref().map(ToString::to_string),
            address: match asked {
                Target::Address(address) => Some(*address),
                Target::Name(_) => None,
            },
            when: *when,
            decision: decision.verdict,
            until: decision.until,
            off: if is_listed { snapshot.orders_off(client.group()) } else { Vec::new() },
            nearest: nearest.map(|of| (snapshot.entry(of.entry), snapshot.service_of(of.entry), of.reason)),
            others: Vec::new(),
            digest: hex::encode(snapshot.digest()),
        }
    }
}

impl<'a> Finding<'a> {
    const NONE: Self = Self {
        order: None,
        prohibition: None,
        service: None,
        entry: None,
        verdict: Verdict::Pass.as_str(),
        effective: None,
        verification: None,
        basis: None,
        confidence: None,
        evidence: None,
        waiver: None,
        rule: None,
    };

    fn new(of: &Match, snapshot: &'a Snapshot, group: GroupId) -> Self {
        let (basis, verification) = snapshot.basis_of(of);
        let rule = Rule {
            waiver: snapshot.waiver_of(of),
            application: snapshot.application_of(of, group),
            order: snapshot.order_of(of),
            prohibition: snapshot.prohibition_of(of),
            entry: snapshot.entry(of.entry),
            service: snapshot.service_of(of.entry),
            verification,
        };
        Self {
            order: Some(&rule.order.id),
            prohibition: rule.prohibition.map(|of| of.id.as_str()),
            service: Some(&rule.service.id),
            entry: Some(&rule.entry.text),
            verdict: of.verdict.as_str(),
            effective: rule.prohibition.map(|of| of.validity.from()),
            verification: verification.map(|of| of.as_str()),
            basis: Some(basis),
            confidence: Some(rule.entry.confidence.as_str()),
            evidence: Some(&rule.entry.evidence),
            waiver: rule.waiver.map(|of| of.id.as_str()),
            rule: Some(rule),
        }
    }
}

impl Rule<'_> {
    /// Returns the rule as records write it: how it matches, a colon, its text.
    pub(super) fn text(&self) -> String {
        format!("{}:{}", self.entry.pattern.matching(), self.entry.text)
    }
}
