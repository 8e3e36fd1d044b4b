//! The part of the syntax of ad blockers that is about names: `||name^`, exceptions, and the options that mean something
//! to a resolver.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::gather::Gathered;
use super::super::index::Scope;
use super::super::rule::{Action, Choice, Condition};
use crate::message::RecordType;

/// The turns of the syntax: an important exception before what is important before an exception before the rest.
pub(in crate::lists) const TURNS: [[u8; 2]; 2] = [[3, 2], [1, 0]];

pub(super) fn line(line: &str, gathered: &mut Gathered) -> Result<(), String> {
    if line.is_empty() || line.starts_with('!') || line.starts_with("# ") || line == "#" {
        return Ok(());
    }
    if line.starts_with('[') && line.ends_with(']') {
        return Ok(());
    }
    if ["##", "#@#", "#?#", "#$#", "#%#"].iter().any(|mark| line.contains(mark)) {
        return Err("it hides parts of pages, which a resolver does not see".to_owned());
    }
    // Such lists have lines of hosts files among theirs.
    if line.split_ascii_whitespace().next().is_some_and(|word| word.parse::<IpAddr>().is_ok()) {
        return super::hosts::line(line, gathered);
    }
    let (exception, rule) = match line.strip_prefix("@@") {
        Some(rule) => (true, rule),
        None => (false, line),
    };
    if rule.starts_with('/') {
        return Err("regular expressions are not supported".to_owned());
    }
    let (pattern, options) = match rule.split_once('$') {
        Some((pattern, options)) => (pattern, Some(options)),
        None => (rule, None),
    };
    let Options { important, condition } = options.map_or(Ok(Options::default()), Options::read)?;
    let (scope, text) = pattern_of(pattern)?;
    let name = super::name(text)?;
    let action = if exception { Action::Pass } else { Action::Block };
    let turn = TURNS[usize::from(important)][usize::from(exception)];
    gathered.rule(&name, scope, Choice { action, turn, condition })
}

/// Returns the name in a pattern, and which names are meant with it.
fn pattern_of(pattern: &str) -> Result<(Scope, &str), String> {
    const OTHER: &str =
        "write ||NAME^ for a name and all below it, ||*.NAME^ for those below, |NAME^ for the name itself";
    let (scope, rest) = match (pattern.strip_prefix("||"), pattern.strip_prefix('|')) {
        (Some(rest), _) => (Scope::Both, rest),
        (None, Some(rest)) => (Scope::Exact, rest),
        (None, None) => (Scope::Exact, pattern),
    };
    let name = rest.strip_suffix("^|").or_else(|| rest.strip_suffix(['^', '|'])).unwrap_or(rest);
    // Without its end, a pattern is about every name that begins so.
    if pattern.starts_with('|') && name.len() == rest.len() {
        return Err(OTHER.to_owned());
    }
    let (scope, name) = match (scope, name.strip_prefix("*.")) {
        (Scope::Both | Scope::Exact, Some(name)) => (Scope::Below, name),
        (scope, _) => (scope, name),
    };
    if name.contains(['*', '/', ':', '|', '^']) { Err(OTHER.to_owned()) } else { Ok((scope, name)) }
}

/// What stands behind `$`.
#[derive(Debug, Default)]
struct Options {
    important: bool,
    condition: Condition,
}

impl Options {
    fn read(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in text.split(',') {
            let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
            match (key.trim(), value) {
                ("important", None) => options.important = true,
                ("denyallow", Some(value)) => {
                    for name in value.split('|') {
                        options.condition.except.push(super::name(name)?);
                    }
                }
                ("client", Some(value)) => options.clients(value)?,
                ("dnstype", Some(value)) => options.types(value)?,
                (other, _) => return Err(format!("the option `{other}` is not supported")),
            }
        }
        // What is said in another sequence is the same.
        let Condition { types, other_types, clients, other_clients, except } = &mut options.condition;
        types.sort_unstable();
        other_types.sort_unstable();
        clients.sort_unstable();
        other_clients.sort_unstable();
        except.sort_unstable();
        Ok(options)
    }

    fn clients(&mut self, value: &str) -> Result<(), String> {
        for client in value.split('|') {
            let (negated, text) = client.strip_prefix('~').map_or((false, client), |text| (true, text));
            let text = text.trim_matches(['\'', '"']);
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let network = address.or_else(|_| text.parse::<IpNet>().map(|network| network.trunc())).map_err(|_| {
                format!("`{text}` is no address or network; clients are known by these here, and not by name")
            })?;
            if negated { &mut self.condition.other_clients } else { &mut self.condition.clients }.push(network);
        }
        Ok(())
    }

    fn types(&mut self, value: &str) -> Result<(), String> {
        for text in value.split('|') {
            let (negated, text) = text.strip_prefix('~').map_or((false, text), |text| (true, text));
            let record_type: RecordType = text.parse()?;
            if negated { &mut self.condition.other_types } else { &mut self.condition.types }.push(record_type.0);
        }
        Ok(())
    }
}
