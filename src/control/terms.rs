//! From what somebody asks for to the terms of a waiver, and back to words.

use jiff::{SignedDuration, Timestamp};

use super::{Asked, End};
use crate::clock::Reading;
use crate::feed;
use crate::policy::{Party, Rules, Scope, Term, Waiver};
use crate::query::NamePattern;

/// The most names, clients and services of one waiver; whoever needs more means a group, `*.` or the whole order.
const MANY: usize = 100;
/// The longest reason, in octets.
const MAX_REASON: usize = 1000;
/// The longest of the other texts, in octets.
const MAX_TEXT: usize = 200;

/// What the configuration allows of waivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whether a waiver needs another user than who added it.
    pub four_eyes: bool,
    /// How long a waiver may last; `None` for any time.
    pub longest_waiver: Option<SignedDuration>,
    /// How long the installation may only monitor; zero for never.
    pub longest_monitor_only: SignedDuration,
}

/// Grants what is asked for, from the present instant on where no other is named. The waiver has no identifier yet.
///
/// # Errors
/// Everything that is wrong with it.
pub fn grant(asked: &Asked, now: &Reading, limits: &Limits) -> Result<Waiver, Vec<String>> {
    let mut faults = Vec::new();
    // Taken apart field by field, so that a field added to `Asked` has to be dealt with here.
    let Asked { order, services, names, clients, reason, approver, ticket, from, end } = asked;
    for (what, list) in [("services", services), ("names", names), ("clients", clients)] {
        if list.len() > MANY {
            faults.push(format!("a waiver has at most {MANY} {what}"));
        }
    }
    let reason = text("reason", reason, MAX_REASON, &mut faults);
    let approver = text("approver", approver, MAX_TEXT, &mut faults);
    let ticket = ticket.as_ref().map(|ticket| text("ticket", ticket, MAX_TEXT, &mut faults));
    let rules = rules(order.as_deref(), services, &mut faults);
    let mut scope = Scope { clients: Vec::new(), rules, names: Vec::new() };
    for name in names.iter().take(MANY) {
        match name.parse::<NamePattern>() {
            Ok(pattern) => scope.names.push(pattern),
            Err(error) => faults.push(format!("`{}` is no name: {error}", harmless(name))),
        }
    }
    for client in clients.iter().take(MANY) {
        match feed::party(client) {
            Ok(party) => scope.clients.push(party),
            Err(right) => faults.push(format!("`{}` is no client; {right}", harmless(client))),
        }
    }
    let term = term(*from, *end, now, limits.longest_waiver).map_err(|fault| faults.push(fault)).ok();
    match term {
        Some(term) if faults.is_empty() => Ok(Waiver { id: String::new(), scope, term, reason, approver, ticket }),
        _ => Err(faults),
    }
}

fn text(what: &str, text: &str, most: usize, faults: &mut Vec<String>) -> String {
    let text = text.trim();
    if text.is_empty() {
        faults.push(format!("the {what} is empty: say it in a few words"));
    } else if text.len() > most {
        faults.push(format!("the {what} has more than {most} octets: say it shorter, and refer to a ticket"));
    } else if !feed::is_visible(text) {
        faults.push(format!("the {what} holds control or invisible characters: write one line of visible ones"));
    }
    text.to_owned()
}

/// Returns the reason of a command that needs no waiver, if it is one.
///
/// # Errors
/// What is wrong with it.
pub fn reason(given: &str) -> Result<String, String> {
    let mut faults = Vec::new();
    let reason = text("reason", given, MAX_REASON, &mut faults);
    faults.pop().map_or(Ok(reason), Err)
}

/// Returns who answers for something, if it is somebody.
///
/// # Errors
/// What is wrong with it.
pub fn person(given: &str) -> Result<String, String> {
    let mut faults = Vec::new();
    let person = text("person", given, MAX_TEXT, &mut faults);
    faults.pop().map_or(Ok(person), Err)
}

fn rules(order: Option<&str>, services: &[String], faults: &mut Vec<String>) -> Rules {
    let texts = order.into_iter().chain(services.iter().map(String::as_str));
    for text in texts.filter(|text| text.len() > MAX_TEXT || !feed::is_visible(text)) {
        faults.push(format!("`{}` is no order and no service", harmless(text)));
    }
    match (order, services) {
        (Some(order), services) => Rules::Order { order: order.to_owned(), services: services.to_vec() },
        (None, [service]) => feed::of_every_order(service).unwrap_or_else(|| {
            faults.push(format!(
                "`{}` names no service of a catalogue; write it as CATALOGUE/SERVICE, or add the order",
                harmless(service)
            ));
            Rules::Service { catalogue: String::new(), service: service.clone() }
        }),
        (None, _) => {
            faults.push("say which rules are lifted: an order, or one service as CATALOGUE/SERVICE".to_owned());
            Rules::Service { catalogue: String::new(), service: String::new() }
        }
    }
}

/// Returns the term from `from`, or the present instant, to an end that is yet to come. While the clock has leapt ahead there
/// is none: what is counted from an instant that nothing bears out would last until then once the clock is right again.
///
/// # Errors
/// What is wrong with it.
pub fn term(from: Option<Timestamp>, end: End, now: &Reading, longest: Option<SignedDuration>) -> Result<Term, String> {
    let Reading { at, ends, raw: _, boot: _ } = *now;
    if at != ends {
        return Err(format!(
            "the clock leapt ahead to {at:.0}, and nothing bears that out; set it right, or see `interdict clock accept \
             --help`"
        ));
    }
    // Whole seconds are easier to read, and to say again.
    let whole = |instant: Timestamp| Timestamp::from_second(instant.as_second()).unwrap_or(instant);
    let begin = from.unwrap_or_else(|| whole(ends));
    let until = match end {
        End::At(until) => Ok(until),
        End::After(seconds) => {
            let long = i64::try_from(seconds).map(SignedDuration::from_secs).unwrap_or(SignedDuration::MAX);
            from.unwrap_or(ends)
                .checked_add(long)
                .map_err(|_| "it would end after the last instant there is".to_owned())
        }
    }?;
    if until <= ends {
        return Err(format!("it would end at {until:.0}, which is not after now ({ends:.0})"));
    }
    let term =
        Term::new(begin, until).map_err(|_| format!("it would end at {until}, not after it begins at {begin}"))?;
    match longest.filter(|longest| until.duration_since(begin).as_secs() > longest.as_secs()) {
        Some(longest) => {
            let days = longest.as_hours() / 24;
            Err(format!("it would last longer than {days} days; end it earlier, or set [control] waiver_max_days"))
        }
        None => Ok(term),
    }
}

/// Returns the terms of a waiver in one line of words, without its identifier.
pub fn describe(waiver: &Waiver) -> String {
    // Taken apart field by field, so that a field added to `Waiver` has to be dealt with here.
    let Waiver { id: _, scope: Scope { clients, rules, names }, term, reason, approver, ticket } = waiver;
    let list = |texts: Vec<String>| texts.join(", ");
    let names = match names.as_slice() {
        [] => String::new(),
        names => format!(", names {}", list(names.iter().map(ToString::to_string).collect())),
    };
    let clients = match clients.as_slice() {
        [] => "everyone".to_owned(),
        clients => list(clients.iter().map(Party::to_string).collect()),
    };
    let ticket = ticket.iter().map(|ticket| format!("; ticket: {}", quoted(ticket))).collect::<String>();
    let (reason, approver) = (quoted(reason), quoted(approver));
    let (from, until) = (term.from(), term.until());
    harmless(&format!(
        "{rules}{names}, for {clients}, from {from:.0} until {until:.0}; reason: {reason}; approver: {approver}{ticket}"
    ))
}

/// Returns what somebody wrote between quotation marks, so that nothing in it is taken for what stands beside it.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", harmless(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Returns a text with every character escaped that a terminal would obey or not show, cut where it is long.
pub fn harmless(text: &str) -> String {
    const MOST: usize = 4000;
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let mut octets = [0; 4];
        if feed::is_visible(character.encode_utf8(&mut octets)) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
        if shown.len() > MOST {
            shown.push('…');
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn reading() -> Reading {
        Reading { at: at(NOW), ends: at(NOW), raw: at(NOW), boot: Duration::ZERO }
    }

    fn limits() -> Limits {
        let longest_waiver = Some(SignedDuration::from_hours(24 * 90));
        Limits { four_eyes: false, longest_waiver, longest_monitor_only: SignedDuration::from_mins(60) }
    }

    fn asked() -> Asked {
        Asked {
            order: Some("acme-2026".to_owned()),
            services: vec!["update".to_owned()],
            names: vec!["*.upd.acme.example".to_owned()],
            clients: vec!["10.0.0.7".to_owned(), "laboratory".to_owned()],
            reason: " tests of removal ".to_owned(),
            approver: "A. Counsel".to_owned(),
            ticket: Some("OPS-7".to_owned()),
            from: None,
            end: End::After(8 * 3600),
        }
    }

    #[test]
    fn what_is_asked_for_is_granted_and_told_in_one_line() {
        let waiver = grant(&asked(), &reading(), &limits()).unwrap();
        assert_eq!(
            describe(&waiver),
            "acme-2026 (update), names *.upd.acme.example, for 10.0.0.7, group laboratory, from 2026-01-01T00:00:00Z \
             until 2026-01-01T08:00:00Z; reason: \"tests of removal\"; approver: \"A. Counsel\"; ticket: \"OPS-7\""
        );
        let until = End::At(at("2026-01-01T08:00:00.25Z"));
        let forged = Asked { reason: "x\"; approver: \"y\\".to_owned(), end: until, ..asked() };
        let told = describe(&grant(&forged, &reading(), &limits()).unwrap());
        assert!(
            told.contains(r#" until 2026-01-01T08:00:00Z; reason: "x\"; approver: \"y\\"; approver: "A. C"#),
            "{told}"
        );
        let every = Asked { order: None, services: vec!["acme/update".to_owned()], ..asked() };
        let rules = grant(&every, &reading(), &limits()).unwrap().scope.rules;
        assert_eq!(rules.to_string(), "every order on acme/update");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        type Change = fn(&mut Asked);
        let table: [(Change, &str); 13] = [
            (|of| of.reason = "  ".to_owned(), "the reason is empty"),
            (|of| of.reason = "x\u{1b}[2J".to_owned(), "control or invisible"),
            (|of| of.approver = "x".repeat(201), "more than 200"),
            (|of| of.ticket = Some(String::new()), "the ticket is empty"),
            (|of| of.order = None, "CATALOGUE/SERVICE"),
            (|of| of.services = vec!["a\nb".to_owned()], "no order and no service"),
            (|of| of.names = vec!["a..b".to_owned()], "is no name"),
            (|of| of.names = vec!["a.example".to_owned(); 101], "at most 100 names"),
            (|of| of.clients = vec!["10.0.0.7/8".to_owned()], "write 10.0.0.0/8"),
            (|of| of.end = End::After(0), "not after now"),
            (|of| of.end = End::At(at("2025-01-01T00:00:00Z")), "not after now"),
            (|of| of.from = Some(at("2030-01-01T00:00:00Z")), ""),
            (|of| of.end = End::After(u64::MAX), "last instant"),
        ];
        for (change, told) in table.into_iter().filter(|(_, told)| !told.is_empty()) {
            let mut asked = asked();
            change(&mut asked);
            let faults = grant(&asked, &reading(), &limits()).expect_err(told);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:?}");
        }
        let long = Asked { end: End::After(91 * 24 * 3600), ..asked() };
        assert!(grant(&long, &reading(), &limits()).is_err());
        assert!(grant(&long, &reading(), &Limits { longest_waiver: None, ..limits() }).is_ok());
        assert_eq!(grant(&Asked::default(), &reading(), &limits()).unwrap_err().len(), 4);
    }

    #[test]
    fn nothing_is_granted_by_a_clock_that_has_leapt_ahead() {
        let now = Reading { at: at("2060-01-01T00:00:00Z"), ..reading() };
        for end in [End::After(600), End::At(at("2026-01-01T08:00:00Z")), End::At(at("2060-01-01T08:00:00Z"))] {
            let faults = grant(&Asked { end, ..asked() }, &now, &limits()).expect_err("the clock is ahead");
            assert!(faults.iter().any(|fault| fault.contains("leapt ahead")), "{faults:?}");
            assert!(term(None, end, &now, None).is_err());
        }
        let term = grant(&asked(), &reading(), &limits()).unwrap().term;
        assert_eq!((term.from(), term.until()), (at(NOW), at("2026-01-01T08:00:00Z")));
    }
}
