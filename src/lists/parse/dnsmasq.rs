//! The lines of dnsmasq's configuration by which names are withheld or given addresses.

use std::net::IpAddr;

use super::super::gather::Gathered;
use super::super::index::Scope;
use super::super::rule::{Action, Choice};
use crate::message::Name;

pub(super) fn line(line: &str, gathered: &mut Gathered) -> Result<(), String> {
    let line = match line.find('#') {
        // `address=/NAME/#` has a meaning of its own; a comment stands at the start or behind a blank.
        Some(at) if at == 0 || line[..at].ends_with([' ', '\t']) => line[..at].trim_end(),
        _ => line,
    };
    if line.is_empty() {
        return Ok(());
    }
    let (key, value) = line.split_once('=').ok_or("only address=/…/, server=/…/ and local=/…/ are lists")?;
    let value = value.trim();
    match key.trim() {
        "address" => address(value, gathered),
        "server" | "local" => server(value, gathered),
        other => Err(format!("`{}=` is no line of a list; address=, server= and local= are", other.trim())),
    }
}

/// `address=/NAME/…/ADDRESS`: the names and all below them have that address; `#` and none withhold them.
fn address(value: &str, gathered: &mut Gathered) -> Result<(), String> {
    let (names, target) = names(value)?;
    let action = match target {
        "" => Action::Block,
        "#" => Action::null(),
        target => {
            let address: IpAddr = target.parse().map_err(|_| format!("`{target}` is no address"))?;
            if !super::hosts::is_null(address) {
                return names.iter().try_for_each(|name| gathered.addresses(name, Scope::Both, &[address]));
            }
            Action::Block
        }
    };
    names.iter().try_for_each(|name| gathered.rule(name, Scope::Both, Choice::plain(action.clone())))
}

/// `server=/NAME/…/`: nobody else is asked for the names and those below; `#` lets them be asked after all.
fn server(value: &str, gathered: &mut Gathered) -> Result<(), String> {
    let (names, target) = names(value)?;
    let action = match target {
        "" => Action::Block,
        "#" => Action::Pass,
        _ => return Err("forwarding is no rule of a list: name the zone under [[upstream.zone]]".to_owned()),
    };
    names.iter().try_for_each(|name| gathered.rule(name, Scope::Both, Choice::plain(action.clone())))
}

/// Parts `/NAME/NAME/…/TARGET`.
fn names(value: &str) -> Result<(Vec<Name>, &str), String> {
    let rest = value.strip_prefix('/').ok_or("names stand between slashes: /NAME/")?;
    let (names, target) = rest.rsplit_once('/').ok_or("names stand between slashes: /NAME/")?;
    let names: Vec<Name> =
        names.split('/').map(|text| super::name(text.strip_prefix('.').unwrap_or(text))).collect::<Result<_, _>>()?;
    Ok((names, target))
}
