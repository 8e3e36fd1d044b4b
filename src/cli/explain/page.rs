//! A decision, told to people.

use std::io::{self, Write};
use std::net::IpAddr;

use super::Origin;
use super::account::{Account, Comparison, Finding};
use crate::cli::orders::Phase;
use crate::cli::output::plain;
use crate::client::DEFAULT_GROUP;
use crate::policy::{self, Matching, Verdict, Verification, Waiver};

pub(super) fn write(account: &Account<'_>, origin: Origin, out: &mut dyn Write) -> io::Result<()> {
    // What withholds the name has to be told first, also where it is no order.
    match account.lists.iter().find(|list| list.decides && list.action != "pass") {
        Some(list) => writeln!(out, "{}: no order withholds it; the list {} does", account.decision, list.list)?,
        None => match (account.address, account.decision) {
            (Some(_), Verdict::Sunk) => writeln!(out, "sunk: an answer that tells this address is withheld")?,
            (Some(_), Verdict::Pass) => {
                writeln!(out, "pass: no rule names this address; an answer that tells it is passed on")?;
            }
            (Some(_), other) => writeln!(out, "{other}: an answer that tells this address is passed on")?,
            (None, _) => writeln!(out, "{}: {}", account.decision, words(account))?,
        },
    }
    writeln!(out)?;
    match account.address {
        Some(address) => write_address(address, out)?,
        None => row(out, "name", &format!("{} {}", account.name, account.r#type))?,
    }
    if let Some(subject) = &account.subject {
        row(out, "found", &format!("{subject}, in the answer to that name"))?;
    }
    if account.group != DEFAULT_GROUP {
        row(out, "group", &account.group)?;
    }
    write_finding(&account.deciding, account, out)?;
    for order in &account.off {
        row(out, "off", &format!("order {order} does not apply to group {}, by the operator's choice", account.group))?;
    }
    if let Some((entry, service, reason)) = account.nearest {
        let service = format!("service {}: {}", service.id, service.title);
        row(out, "nearest", &format!("{} ({}, {service})", entry.text, matching(entry.pattern.matching())))?;
        row(out, "", &format!("it does not match: {reason}"))?;
    } else if account.decision == Verdict::Pass && account.off.is_empty() {
        row(out, "nearest", "no entry of the catalogues comes near")?;
    }
    for list in &account.lists {
        let state = match (list.monitored, list.decides) {
            (true, _) => "only watched yet",
            (false, true) => "decides",
            (false, false) => "decides nothing: an order, or a list before it, does",
        };
        row(out, "list", &format!("{}: {} by the rule {}; {state}", list.list, list.action, list.rule))?;
    }
    if account.address.is_none() {
        row(out, "client gets", &response(account))?;
    }
    for (position, other) in account.others.iter().enumerate() {
        row(out, if position == 0 { "others" } else { "" }, other)?;
    }
    let source = match origin {
        Origin::Files => "the files of the configuration",
        Origin::Daemon => "the policy of the running daemon",
        Origin::Record => "the policy that decided the record",
    };
    row(out, "decided at", &format!("{:.3}", account.at))?;
    if let Some(ends) = account.ends {
        row(out, "", &format!("what ends does so by {ends:.3}, since a leap of the clock is not borne out"))?;
    }
    row(out, "decided by", &format!("{source}, {}", account.digest))?;
    if let Some(until) = account.until {
        row(out, "may change", &until.to_string())?;
    }
    let others = account.matches.iter().filter(|of| of.order != account.deciding.order);
    for other in others {
        writeln!(out)?;
        row(out, "also", &format!("{}, by another order", other.verdict))?;
        write_finding(other, account, out)?;
    }
    match &account.record {
        Some(record) => write_comparison(record, out),
        None => Ok(()),
    }
}

/// An address is easily taken for that of a client, or of a machine whose names are asked about.
fn write_address(address: IpAddr, out: &mut dyn Write) -> io::Result<()> {
    row(out, "address", &format!("{address}, as an answer to any name may tell it; a client's is something else"))?;
    row(
        out,
        "as a client",
        &format!("`interdict explain NAME --client {address}`; `interdict attempts --client {address}`"),
    )?;
    row(out, "its name", &format!("`dig -x {address}` tells which; then `interdict explain NAME`"))
}

fn write_finding(of: &Finding<'_>, account: &Account<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Some(rule) = of.rule else { return Ok(()) };
    row(out, "order", &format!("{} ({})", rule.order.title, rule.order.citation))?;
    if let Some(prohibition) = rule.prohibition {
        row(out, "prohibition", &prohibition.title)?;
        row(out, "effective", &prohibition.validity.from().to_string())?;
        row(out, "phase", &Phase::of(prohibition.validity, account.when).to_string())?;
    }
    if let Some(words) = applied(rule.application.phase) {
        row(out, "applied", &words)?;
    }
    if let Some(waiver) = rule.waiver {
        write_waiver(waiver, out)?;
    }
    row(out, "basis", of.basis.unwrap_or_default())?;
    row(out, "verified", verified(rule.verification))?;
    row(out, "service", &format!("{}: {}", rule.service.id, rule.service.title))?;
    row(out, "entry", &format!("{} ({})", rule.entry.text, matching(rule.entry.pattern.matching())))?;
    if let Some(note) = &rule.entry.note {
        row(out, "note", note)?;
    }
    row(out, "confidence", &format!("{} that the name belongs to the service", rule.entry.confidence))?;
    for (position, evidence) in rule.entry.evidence.iter().enumerate() {
        row(out, if position == 0 { "evidence" } else { "" }, evidence)?;
    }
    Ok(())
}

fn write_waiver(of: &Waiver, out: &mut dyn Write) -> io::Result<()> {
    let Waiver { id, scope, term, reason, approver, ticket } = of;
    let ticket = ticket.as_ref().map(|ticket| format!(", {ticket}")).unwrap_or_default();
    row(out, "waiver", &format!("{id} of {}, from {} until {}", scope.rules, term.from(), term.until()))?;
    if !scope.clients.is_empty() {
        row(out, "", &format!("for {}", listed(&scope.clients)))?;
    }
    if !scope.names.is_empty() {
        row(out, "", &format!("for the names {}", listed(&scope.names)))?;
    }
    row(out, "", &format!("{reason} (approved by {approver}{ticket})"))
}

/// Returns the first few of many, and how many more there are.
fn listed(all: &[impl ToString]) -> String {
    const MOST: usize = 5;
    let first: Vec<_> = all.iter().take(MOST).map(ToString::to_string).collect();
    match all.len().saturating_sub(MOST) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Says how the operator applies an order, where it is not simply enforced.
fn applied(phase: policy::Phase) -> Option<String> {
    match phase {
        policy::Phase::Enforce | policy::Phase::Off => None,
        policy::Phase::Monitor { until: None } => Some("monitored only, by the operator's choice".to_owned()),
        policy::Phase::Monitor { until: Some(until) } => {
            Some(format!("monitored only until {until}, by the operator's choice"))
        }
    }
}

fn write_comparison(record: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    row(out, "record", &record.seq.to_string())?;
    row(out, "client", record.client.as_deref().unwrap_or("not known: its key is not there"))?;
    let prohibition = record.prohibition.as_ref().map(|of| format!(", prohibition {of}")).unwrap_or_default();
    let waiver = record.waiver.as_ref().map(|of| format!(", waiver {of}")).unwrap_or_default();
    let said = format!("{} by {} of order {}{prohibition}{waiver}", record.verdict, record.rule, record.order);
    row(out, "it says", &said)?;
    row(out, "replay", if record.same { "the same decision" } else { "ANOTHER DECISION" })
}

fn row(out: &mut dyn Write, title: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {title:<12} {}", plain(value))
}

fn words(account: &Account<'_>) -> &'static str {
    let phase = account.deciding.rule.map(|rule| rule.application.phase);
    match account.decision {
        Verdict::Pass => {
            "no rule matches; it is resolved, and no record is made unless its answer leads to a prohibited one"
        }
        Verdict::Noted => "the name is resolved; look-ups are only counted",
        Verdict::Exempt => "the name is resolved; the order does not reach it",
        Verdict::Protected => "the name is resolved; the act itself leaves it lawful",
        Verdict::Kept => "the name is resolved while the products are being removed",
        Verdict::Monitored if phase == Some(policy::Phase::Monitor { until: None }) => {
            "the name is resolved and recorded; what is prohibited is only monitored, by the operator's choice"
        }
        Verdict::Monitored => "the name is resolved and recorded; its service becomes prohibited, or enforced, later",
        Verdict::Waived => {
            "the name is resolved by a waiver; a look-up is an attempted contact with a prohibited service"
        }
        Verdict::Sunk => "the name is withheld; a look-up is an attempted contact with a prohibited service",
    }
}

const fn matching(matching: Matching) -> &'static str {
    match matching {
        Matching::Exact => "this name alone",
        Matching::Suffix => "this name and all below it",
        Matching::Pattern => "the names that the pattern stands for",
        Matching::Network => "addresses in answers",
    }
}

/// Says how well it is verified that the act says so.
const fn verified(verification: Option<Verification>) -> &'static str {
    match verification {
        Some(Verification::Primary) => "primary: seen in the act itself",
        Some(Verification::Secondary) => "secondary: seen in secondary sources only",
        Some(Verification::Inferred) => "inferred: concluded from other facts",
        Some(Verification::Unverified) => "unverified: not seen in any source that was read",
        None => "not said: this is a choice, no statement of the act",
    }
}

/// Says what a client gets.
fn response(account: &Account<'_>) -> String {
    match account.ede {
        None if account.response != "resolved" => account.response.clone(),
        None if matches!(account.decision, Verdict::Pass | Verdict::Noted) => {
            "what the name resolves to, unless that is an alias of a prohibited name".to_owned()
        }
        None => "what the name resolves to".to_owned(),
        Some(code) => {
            let meaning = if code == 16 { "Censored" } else { "Blocked" };
            format!("{}, with the extended error {code} ({meaning})", account.response)
        }
    }
}
