//! Contradictions between keys that are each right by themselves.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::check_clients::check_clients;
use super::export::check_export;
use super::fetched::check_fetched;
use super::lists::check_lists;
use super::load::Settings;
use super::node::{Faults, Place, quote};
use super::notice::check_notice;
use super::publish::check_publish;
use super::value::{Row, Value};
use super::witness::check_witnesses;
use crate::ledger::checkpoint::is_name;
use crate::resolve::{Endpoint, Secure};

/// Notes every contradiction. Keys that are faulty themselves contradict nothing.
pub(super) fn check(settings: &Settings, faults: &mut Faults) {
    check_listeners(settings, faults);
    check_loops(settings, faults);
    check_bootstrap(settings, faults);
    check_removal(settings, faults);
    check_sink(settings, faults);
    check_sizes(settings, faults);
    check_origin(settings, faults);
    check_rebinding(settings, faults);
    check_clients(settings, faults);
    check_lists(settings, faults);
    check_fetched(settings, faults);
    check_export(settings, faults);
    check_notice(settings, faults);
    check_witnesses(settings, faults);
    check_publish(settings, faults);
    for row in rows(settings, "policy", "treatment") {
        check_treatment(row, faults);
    }
    for row in rows(settings, "policy", "apply") {
        check_apply(row, faults);
    }
    check_repeated(settings, ("upstream", "zone"), "name", faults);
    check_repeated(settings, ("zones", "zone"), "origin", faults);
}

fn check_listeners(settings: &Settings, faults: &mut Faults) {
    let (Some((_, Value::Addresses(dns))), Some((place, Value::Listener(Some(admin))))) =
        (settings.get("listen", "dns"), settings.get("admin", "listen"))
    else {
        return;
    };
    let clash = |one: &SocketAddr| one == admin && one.port() != 0;
    if dns.iter().any(clash) {
        let text = format!("`admin.listen` is {admin}, which `listen.dns` takes for DNS over TCP");
        faults.push(place, text, "give it another port");
    }
}

/// A daemon that forwards to an address of its own would ask itself for ever.
fn check_loops(settings: &Settings, faults: &mut Faults) {
    let Some((_, Value::Addresses(dns))) = settings.get("listen", "dns") else { return };
    let mut own = |place: &Place, name: &str, value: Option<&Value>| {
        let servers: Vec<SocketAddr> = match value {
            Some(Value::Addresses(servers)) => servers.clone(),
            Some(Value::Endpoints(servers)) => servers.iter().filter_map(Endpoint::plain).collect(),
            _ => Vec::new(),
        };
        if !servers.is_empty() {
            for server in servers.iter().filter(|server| dns.contains(server)) {
                let text = format!("`{name}` lists {server}, which `listen.dns` listens on: every query would loop");
                faults.push(place, text, "name another server");
            }
        }
    };
    for (key, name) in [("servers", "upstream.servers"), ("bootstrap", "upstream.bootstrap")] {
        if let Some((place, servers)) = settings.get("upstream", key) {
            own(place, name, Some(servers));
        }
    }
    for row in rows(settings, "upstream", "zone") {
        own(&row.place, "upstream.zone.servers", row.values.get("servers"));
    }
    for row in rows(settings, "upstream", "group") {
        own(&row.place, "upstream.group.servers", row.values.get("servers"));
    }
}

/// Nobody can be found by a name without somebody to ask for it.
fn check_bootstrap(settings: &Settings, faults: &mut Faults) {
    let Some((_, Value::Addresses(bootstrap))) = settings.get("upstream", "bootstrap") else { return };
    let of_all = settings.get("upstream", "servers").into_iter();
    let of_rows = ["zone", "group"].into_iter().flat_map(|key| rows(settings, "upstream", key));
    let of_rows = of_rows.filter_map(|row| Some((&row.place, row.values.get("servers")?)));
    for (place, servers) in of_all.chain(of_rows) {
        let Value::Endpoints(servers) = servers else { continue };
        let nowhere = |server: &&Endpoint| matches!(server, Endpoint::Secure(Secure { address: None, .. }));
        if let Some(server) = servers.iter().find(nowhere).filter(|_| bootstrap.is_empty()) {
            let text = format!("nothing tells the address of {}", quote(&server.to_string()));
            faults.push(place, text, "write it behind #, or name servers in `upstream.bootstrap`");
        }
    }
}

fn check_removal(settings: &Settings, faults: &mut Faults) {
    if let Some((place, Value::Instant(Some(until)))) = settings.get("policy", "removal_until")
        && let Some((_, Value::Word("finished"))) = settings.get("policy", "removal")
    {
        let text = format!("`policy.removal_until` is {until} although `policy.removal` is \"finished\"");
        faults.push(place, text, "write removal = \"running\" for an end to come, or leave removal_until out");
    }
}

fn check_sink(settings: &Settings, faults: &mut Faults) {
    let Some((place, Value::Word(sink))) = settings.get("answer", "sink") else { return };
    let v4 = settings.get("answer", "sink_v4");
    let v6 = settings.get("answer", "sink_v6");
    if *sink == "address" {
        if let (Some((_, Value::V4(None))), Some((_, Value::V6(None)))) = (v4, v6) {
            let text = "`answer.sink` is \"address\", and there is no address";
            faults.push(place, text, "set sink_v4, sink_v6 or both, or choose another sink");
        }
        return;
    }
    for (key, value) in [("sink_v4", v4), ("sink_v6", v6)] {
        if let Some((place, Value::V4(Some(_)) | Value::V6(Some(_)))) = value {
            let text = format!("`answer.{key}` is set although `answer.sink` is \"{sink}\"");
            faults.push(place, text, format!("write sink = \"address\", or leave {key} out"));
        }
    }
}

/// Whoever names zones that may have private addresses means others to have none.
fn check_rebinding(settings: &Settings, faults: &mut Faults) {
    if let Some((_, Value::Switch(false))) = settings.get("rebinding", "protect")
        && let Some((place, Value::Names(names))) = settings.get("rebinding", "allow")
        && !names.is_empty()
    {
        let text = "`rebinding.allow` names zones although `rebinding.protect` is false, so that all may";
        faults.push(place, text, "write protect = true, or leave allow out");
    }
}

fn check_sizes(settings: &Settings, faults: &mut Faults) {
    if let Some((place, Value::Number(max))) = settings.get("ledger", "max_mib")
        && let Some((other, Value::Number(segment))) = settings.get("ledger", "segment_mib")
        && *max < 2 * segment
    {
        // Whichever was set says where to look; the other may be a default.
        let place = if place.is_default() { other } else { place };
        let text = format!("`ledger.max_mib` is {max}, less than two segments of {segment} MiB");
        faults.push(place, text, format!("write max_mib = {} or more, or a smaller segment_mib", 2 * segment));
    }
}

/// c2sp.org/signed-note: no spaces and no plus signs.
fn check_origin(settings: &Settings, faults: &mut Faults) {
    if let Some((place, Value::Text(name))) = settings.get("ledger", "origin")
        && !name.is_empty()
        && (!is_name(name) || name.ends_with('/'))
    {
        let text = format!("`ledger.origin` is {}: no name of a log", quote(name));
        faults.push(place, text, "write a name like a URL without its scheme, such as \"example.com/resolver-1\"");
    }
}

fn check_treatment(row: &Row, faults: &mut Faults) {
    let (Some(Value::Word(treatment)), Some(Value::Text(prohibition))) =
        (row.values.get("treatment"), row.values.get("prohibition"))
    else {
        return;
    };
    match (*treatment == "prohibited", prohibition.is_empty()) {
        (true, true) => {
            let text = "this `policy.treatment` is \"prohibited\" and names no prohibition";
            faults.push(&row.place, text, "add `prohibition = \"…\"`, one of those of the order");
        }
        (false, false) => {
            let named = quote(prohibition);
            let text = format!("this `policy.treatment` is \"{treatment}\" and names the prohibition {named}");
            faults.push(&row.place, text, "write treatment = \"prohibited\", or leave `prohibition` out");
        }
        (true, false) | (false, true) => {}
    }
}

fn check_apply(row: &Row, faults: &mut Faults) {
    if let (Some(Value::Word(phase)), Some(Value::Instant(Some(until)))) =
        (row.values.get("phase"), row.values.get("monitor_until"))
        && *phase != "monitor"
    {
        let text = format!("this `policy.apply` has the phase \"{phase}\" and monitors until {until}");
        faults.push(&row.place, text, "write phase = \"monitor\", or leave `monitor_until` out");
    }
}

/// Notes every table that has the same name as one before it.
fn check_repeated(
    settings: &Settings,
    (section, key): (&'static str, &'static str),
    name: &'static str,
    faults: &mut Faults,
) {
    let mut seen = BTreeSet::new();
    for row in rows(settings, section, key) {
        if let Some(Value::Name(zone)) = row.values.get(name)
            && !seen.insert(zone)
        {
            let text = format!("`{section}.{key}` has {} twice", quote(&zone.to_string()));
            faults.push(&row.place, text, "make one table of both");
        }
    }
}

pub(super) fn rows<'s>(
    settings: &'s Settings,
    section: &'static str,
    key: &'static str,
) -> impl Iterator<Item = &'s Row> {
    let rows = match settings.get(section, key) {
        Some((_, Value::Rows(rows))) => rows.as_slice(),
        _ => &[],
    };
    rows.iter()
}
