//! What the operator sees when the daemon has started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::build::Built;
use super::folder::Folder;
use crate::clock::{Clock, Reading};
use crate::config::Config;
use crate::policy::{Mode, Waiver, When};

/// One screen for the operator: what is listened on, what is in force, where records go, and a line to try.
pub(super) fn announcement(
    config: &Config,
    addresses: &[SocketAddr],
    built: &Built,
    folder: &Folder,
    clock: &Arc<dyn Clock>,
) -> String {
    use std::fmt::Write as _;
    let mut text = format!("Interdict {}\n", env!("CARGO_PKG_VERSION"));
    let Reading { at: now, ends, .. } = clock.read();
    let when = When { at: now, ends };
    let list = |addresses: &mut dyn Iterator<Item = String>| addresses.collect::<Vec<_>>().join(", ");
    let mut line = |title: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {title:<11}{value}");
    };
    if clock.is_rehearsal() {
        line("rehearsal", format!("policy time starts at {now:.0}; records are marked and kept apart"));
    }
    if let Some(status) = clock.status().filter(|status| !status.trust.is_fine() || status.fault.is_some()) {
        line("clock", status.to_string());
    }
    line("DNS", list(&mut addresses.iter().map(|address| format!("{address} (UDP, TCP)"))));
    line("admin", config.admin.listen.map_or("off".to_owned(), |address| format!("http://{address}/health/ready")));
    let upstreams = built.state.routes.default.group.servers().iter().map(|server| server.endpoint().to_string());
    line("upstreams", list(&mut upstreams.into_iter()));
    for forward in &config.upstream.zones {
        line("", format!("{} by {}", forward.zone, list(&mut forward.servers.iter().map(ToString::to_string))));
    }
    for own in &config.upstream.groups {
        line("", format!("group {} by {}", own.group, list(&mut own.servers.iter().map(ToString::to_string))));
    }
    line("records", folder.root().display().to_string());
    line("policy", hex::encode(built.state.snapshot.digest()));
    if let Some(candidate) = &built.candidate {
        let (path, fault) = (candidate.path.display(), candidate.fault());
        let outcome = fault.map_or("decides beside it".to_owned(), |fault| format!("is not used: {fault}"));
        line("shadow", format!("{path} {outcome}"));
    }
    let snapshot = &built.state.snapshot;
    if snapshot.inputs().operator.mode == Mode::Monitor {
        line("mode", "monitor: a dry run in which nothing is withheld, and all of it is recorded".to_owned());
    }
    let waivers = &snapshot.inputs().operator.waivers;
    for waiver in waivers.iter().filter(|waiver| now < waiver.term.until()) {
        let Waiver { id, scope, term, .. } = waiver;
        line("waiver", format!("{id}: {}, until {}", scope.rules, term.until()));
    }
    let orders = &snapshot.inputs().orders;
    for order in orders {
        line("order", format!("{}: {} ({})", order.id, order.title, order.citation));
        for prohibition in &order.prohibitions {
            let validity = prohibition.validity;
            let phase = match (when.is_within(validity), now < validity.from()) {
                (true, _) => format!("in force since {}", validity.from()),
                (false, true) => format!("monitored; in force from {}", validity.from()),
                (false, false) => "lifted".to_owned(),
            };
            line("", format!("{}: {phase}", prohibition.title));
        }
    }
    if orders.is_empty() {
        line("order", "none: every name is resolved".to_owned());
    }
    let example = snapshot.inputs().catalogues.iter().find_map(|catalogue| catalogue.example.as_ref());
    if let (Some(address), Some(name)) = (addresses.first(), example) {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        line("try", format!("dig @{ip} -p {} {name}", address.port()));
    }
    for note in &built.notes {
        line("note", note.clone());
    }
    text
}
