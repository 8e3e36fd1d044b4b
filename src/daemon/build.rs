//! From the configuration to the state that the pipeline works with: all of it, or every fault.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::candidate::{self, Candidate};
use super::certificates;
use super::command::chain;
use super::waivers::{LeftOut, limits};
use crate::answer::Style;
use crate::client::{self, Clients, GroupId};
use crate::clock::{self, Clock};
use crate::config::{AnswerConfig, Config, UpstreamConfig};
use crate::control::Kept;
use crate::export;
use crate::feed::{self, Archive, FileWaiver, FileWaivers, Loaded};
use crate::fetch::Tls;
use crate::identify::Sources;
use crate::inspect::{Guards, Rebinding};
use crate::message::Name;
use crate::pipeline::State;
use crate::policy::{Operator, Waiver};
use crate::resolve::{
    Anchors, Asking, Endpoint, Expiry, Lifetimes, Routes, Servers, Trust, Validation, View, servers_of, trust_anchors,
};
use crate::zones::{ZoneError, Zones, ZonesSpec};

/// Where the system's resolvers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A state with what it was built from.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) state: State,
    pub(super) archive: Archive,
    /// Who is believed by whoever fetches files.
    pub(super) tls: Tls,
    /// The candidate that decides beside the policy, where one is named.
    pub(super) candidate: Option<Candidate>,
    /// What the operator should know of, though it is no fault.
    pub(super) notes: Vec<String>,
    /// The waivers of files, which the policy holds.
    pub(super) files: Vec<FileWaiver>,
    /// Files of waivers that cannot be read, each with the reason. Nothing in them applies.
    pub(super) unread: Vec<String>,
    /// Waivers of the register that the policy does not hold.
    pub(super) left_out: Vec<LeftOut>,
}

/// Builds the state with the snapshot number `number`, and the waivers that `kept` grants. What is `known` of upstream servers
/// stays known.
pub(super) fn build(
    config: &Config,
    number: u64,
    clock: &Arc<dyn Clock>,
    (kept, known): (&Kept, &Servers),
) -> Result<Built, Vec<String>> {
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    let (files, loaded) = load_policy(config, number, &mut faults);
    let zones = zones(config).map_err(|of| faults.extend(of));
    faults.extend(own_addresses(config));
    let default = default_upstreams(config, &mut notes).map_err(|fault| faults.push(fault));
    let tls = Tls::new(config.fetch.ca.as_deref(), Arc::clone(clock));
    let tls = tls.map_err(|error| faults.push(config.told("fetch.ca", format!("[fetch] ca: {}", chain(&error)))));
    let believed = Tls::new(config.upstream.ca.as_deref(), Arc::clone(clock));
    let believed =
        believed.map_err(|error| faults.push(config.told("upstream.ca", format!("[upstream] ca: {}", chain(&error)))));
    let anchors = anchors(config).map_err(|fault| faults.push(fault));
    let (Ok(files), Ok(loaded), Ok(zones), Ok(default), Ok(tls), Ok(believed), Ok(anchors), true) =
        (files, loaded, zones, default, tls, believed, anchors, faults.is_empty())
    else {
        return Err(faults);
    };
    let FileWaivers { waivers: files, unread } = files;
    let unread = config.located(unread);
    let unread: Vec<_> = unread.iter().map(|fault| format!("{fault}; no waiver in it applies")).collect();
    notes.extend(unread.iter().cloned());
    let missing = config.shelf().missing().join(", ");
    if !missing.is_empty() {
        notes.push(format!(
            "[[policy.fetch]] {missing}: nothing of it is in force yet; `interdict policy pending` shows what waits"
        ));
    }
    let (loaded, left_out) = with_register(loaded, kept, number);
    notes.extend(left_out.iter().map(|out| format!("{} lifts nothing: {}", out.id, out.fault)));
    let snapshot = Arc::new(loaded.snapshot);
    let (candidate, shadow) = candidate::load(config, &snapshot, kept, clock.read().at);
    // The groups by whose ids policy decides are those that clients are put into.
    let groups = snapshot.inputs().operator.groups.clone();
    let routes = Arc::new(routes(config, zones, (&default, &believed, anchors), (&groups, known)));
    let guards = guards(config);
    let probes = super::loops::probes(&routes).into();
    notes.extend(config.export.iter().filter_map(export::note));
    notes.extend(certificates::notes(config, clock.read().at));
    notes.extend(groups_without_source(&groups, &config.client.sources));
    let clients = Clients::new(groups, config.client.sources.ptr);
    let clients = Arc::new(match shadow.as_ref().and_then(|shadow| shadow.clients()) {
        Some(own) => clients.followed_by(Arc::clone(own)),
        None => clients,
    });
    let (asking, style) = (asking(config), style(config));
    // Loaded aside, since that may take its time.
    let lists = Arc::default();
    let state = State { snapshot, shadow, clients, routes, asking, style, guards, lists, probes };
    Ok(Built { state, archive: loaded.archive, tls, candidate, notes, files, unread, left_out })
}

/// Reads and compiles the policy that a configuration chooses, with the waivers of files.
pub(super) fn load_policy(
    config: &Config,
    number: u64,
    faults: &mut Vec<String>,
) -> (Result<FileWaivers, ()>, Result<Loaded, ()>) {
    let mut tell = |of: Vec<feed::Fault>| faults.extend(of.iter().map(ToString::to_string));
    let longest = limits(&config.control).longest_waiver;
    let files = feed::read_waivers(&config.policy.waivers, longest).map_err(&mut tell);
    let waivers = files.iter().flat_map(|files| &files.waivers).map(|file| file.waiver.clone()).collect();
    let operator = Operator { waivers, ..config.operator() };
    let fetched = config.shelf().documents();
    let loaded = fetched.and_then(|fetched| feed::load_with(&config.selection(), fetched, operator, number));
    let of_waivers = |of: Vec<feed::Fault>| files.iter().fold(of, |of, files| files.located(of));
    let loaded = loaded.map_err(|of| tell(config.located(of_waivers(of))));
    (files, loaded)
}

/// Adds the waivers that were granted by command. One that names what is no longer there lifts nothing, and neither keeps
/// the daemon from starting nor another waiver from counting.
pub(super) fn with_register(loaded: Loaded, kept: &Kept, number: u64) -> (Loaded, Vec<LeftOut>) {
    let granted: Vec<&Waiver> = kept.granted().collect();
    let with = |loaded: &Loaded, waivers: &[&Waiver]| -> Result<Loaded, Vec<feed::Fault>> {
        let mut operator = loaded.archive.operator().clone();
        operator.waivers.extend(waivers.iter().copied().cloned());
        let archive = loaded.archive.with_operator(operator);
        Ok(Loaded { snapshot: archive.compile(number)?, archive })
    };
    if granted.is_empty() {
        return (loaded, Vec::new());
    }
    if let Ok(all) = with(&loaded, &granted) {
        return (all, Vec::new());
    }
    let (mut loaded, mut left_out) = (loaded, Vec::new());
    for waiver in granted {
        match with(&loaded, &[waiver]) {
            Ok(one_more) => loaded = one_more,
            Err(faults) => {
                let fault = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                left_out.push(LeftOut { id: waiver.id.clone(), fault });
            }
        }
    }
    (loaded, left_out)
}

/// Tells of groups whose members nothing would tell apart from others.
fn groups_without_source(groups: &[client::Group], sources: &Sources) -> impl Iterator<Item = String> {
    let Sources { devices, leases, neighbours, ptr } = sources;
    let (has_leases, located) = (!leases.is_empty(), devices.iter().any(|device| !device.addresses.is_empty()));
    let hardware = groups.iter().any(|group| !group.devices.is_empty());
    let names = groups.iter().any(|group| !group.names.is_empty());
    let hardware = hardware && !(has_leases || *neighbours || located);
    let names = names && !(has_leases || *neighbours && !devices.is_empty() || *ptr || located);
    let note = |is_so: bool, what: &str, remedy: &str| {
        is_so.then(|| format!("groups have {what}, and nothing tells them: set [client] {remedy}"))
    };
    let hardware = note(hardware, "hardware addresses", "leases, neighbours or device");
    hardware.into_iter().chain(note(names, "names", "leases, ptr or device"))
}

/// Says who answers for what, and for whom.
fn routes(
    config: &Config,
    zones: Zones,
    (default, believed, anchors): (&[Endpoint], &Tls, Option<Anchors>),
    (groups, known): (&[client::Group], &Servers),
) -> Routes {
    let UpstreamConfig { zones: forward, groups: own, strategy, .. } = &config.upstream;
    let (mut known, now) = (known.clone(), clock::monotonic());
    let bootstrap = &config.upstream.bootstrap;
    let bootstrap = (!bootstrap.is_empty()).then(|| Servers::plain(bootstrap, now));
    let expiries = believed.expiries();
    let expiry: Expiry = Arc::new(move |server: &str| expiries.of(server));
    let trust = Trust { tls: believed.config(), mark: believed.mark(), bootstrap, expiry };
    let mut group = |servers: &[Endpoint], strategy| known.group(servers, strategy, (&trust, now));
    let dnssec = &config.upstream.dnssec;
    let validation = || dnssec.validates.then(|| Validation::new(anchors.clone(), dnssec.except.clone()));
    let mut view = |title: &str, servers: &[Endpoint], strategy| View {
        title: title.to_owned(),
        group: group(servers, strategy).validated(validation()),
        generation: generation(servers, config),
    };
    let default = view(client::DEFAULT_GROUP, default, *strategy);
    // A policy numbers its groups in their order, from 1 on.
    let id = |name: &str| (1..=u16::MAX).zip(groups).find(|(_, group)| group.name == name).map(|(id, _)| GroupId(id));
    let own = own.iter().filter_map(|of| Some((id(&of.group)?, view(&of.group, &of.servers, of.strategy))));
    let views = own.collect();
    let forward = forward
        .iter()
        .map(|of| (of.zone.clone(), group(&of.servers, of.strategy).distrusted(dnssec.validates)))
        .collect();
    Routes { zones, forward, default, views }
}

/// Tells apart who answers for what, and what is kept of it: the same settings have the same number, whatever the order of the
/// servers.
fn generation(servers: &[Endpoint], config: &Config) -> u32 {
    let Config { upstream, zones, ways_round, .. } = config;
    let servers: BTreeSet<_> = servers.iter().collect();
    let anchors = upstream.dnssec.trust_anchors.as_ref().map(std::fs::read).and_then(Result::ok);
    let (forward, dnssec) = (&upstream.zones, &upstream.dnssec);
    let described = format!("{servers:?} {forward:?} {dnssec:?} {anchors:?} {zones:?} {}", ways_round.ech);
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(described));
    u32::from_be_bytes([a, b, c, d])
}

/// Reads the keys that validation starts from, where others are named than those that are known.
fn anchors(config: &Config) -> Result<Option<Anchors>, String> {
    let Some(path) = &config.upstream.dnssec.trust_anchors else { return Ok(None) };
    let told = |fault: String| {
        config.told("upstream.trust_anchors", format!("[upstream] trust_anchors: {}: {fault}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    trust_anchors(&text).map(Some).map_err(told)
}

fn zones(config: &Config) -> Result<Zones, Vec<String>> {
    let spec = ZonesSpec {
        hosts: config.zones.hosts.iter().map(|host| (host.name.clone(), host.addresses.clone())).collect(),
        zones: config.zones.zone.iter().map(|zone| (zone.origin.clone(), zone.text.clone())).collect(),
        special_use: config.zones.special_use,
    };
    Zones::build(&spec).map_err(|errors| errors.iter().map(|error| told_of_zone(error, config)).collect())
}

fn told_of_zone(error: &ZoneError, config: &Config) -> String {
    let zone = |origin: &Name| config.zones.zone.iter().position(|zone| zone.origin == *origin);
    let host = |name: &Name| config.zones.hosts.iter().position(|host| host.name == *name);
    match error {
        ZoneError::Line { origin, line, text, reason } => {
            let key = zone(origin).map_or("zones.zone".to_owned(), |place| format!("zones.zone[{place}].text"));
            config.told_of_line(&key, *line, format!("zone {origin}, `{text}`: {reason}"))
        }
        ZoneError::Zone { origin, .. } | ZoneError::Twice { origin } => {
            let made_of_host = || host(origin).map(|place| format!("zones.hosts[{place}]"));
            let key = zone(origin).map(|place| format!("zones.zone[{place}]")).or_else(made_of_host);
            config.told(&key.unwrap_or("zones".to_owned()), error)
        }
        ZoneError::Host { host: name, .. } => {
            let key = host(name).map_or("zones.hosts".to_owned(), |place| format!("zones.hosts[{place}]"));
            config.told(&key, error)
        }
    }
}

fn asking(config: &Config) -> Asking {
    Asking {
        timeout: config.upstream.timeout,
        tries: config.upstream.attempts.into(),
        lifetimes: Lifetimes {
            most: config.cache.max_ttl,
            most_negative: config.cache.negative_max_ttl,
            failure: config.cache.failure_ttl,
        },
        stale: Duration::from_secs(config.cache.stale_max_ttl.into()),
        prefetch: config.cache.prefetch,
    }
}

fn guards(config: &Config) -> Guards {
    let rebinding = config.rebinding.protect.then(|| Rebinding { allow: config.rebinding.allow.clone() });
    Guards { rebinding, removes_ech: config.ways_round.ech }
}

fn style(config: &Config) -> Style {
    let AnswerConfig { sink, sink_ttl, max_payload, ref version } = config.answer;
    Style { sink, sink_ttl, max_payload, version: version.clone() }
}

/// The configured servers, or the system's without those that are this daemon itself.
fn default_upstreams(config: &Config, notes: &mut Vec<String>) -> Result<Vec<Endpoint>, String> {
    let configured = &config.upstream.servers;
    if !configured.is_empty() {
        return Ok(configured.clone());
    }
    let text = std::fs::read_to_string(RESOLV_CONF)
        .map_err(|error| format!("cannot read {RESOLV_CONF} ({error}); set [upstream] servers = [\"ip:port\"]"))?;
    let mut others = Vec::new();
    for (line, server) in
        (1..).zip(text.lines()).flat_map(|(line, text)| servers_of(text).into_iter().map(move |of| (line, of)))
    {
        match leads_here(server, &config.listen.dns) {
            None => others.push(Endpoint::Plain(server)),
            Some(place) => {
                let listens = config.place(&format!("listen.dns[{place}]")).map(|at| format!(" ({at})"));
                notes.push(format!(
                    "{RESOLV_CONF}:{line}: {server} is this daemon itself, by [listen] dns{}: left out, it would be a loop",
                    listens.unwrap_or_default()
                ));
            }
        }
    }
    if others.is_empty() {
        let told = format!("{RESOLV_CONF} names no other resolver; set [upstream] servers = [\"ip:port\"]");
        return Err(notes.drain(..).chain([told]).collect::<Vec<_>>().join("; "));
    }
    Ok(others)
}

/// Tells of every server that is this daemon itself.
fn own_addresses(config: &Config) -> Vec<String> {
    let UpstreamConfig { servers, zones, groups, .. } = &config.upstream;
    let default = [("upstream".to_owned(), "[upstream] servers".to_owned(), servers)];
    let zones = zones.iter().enumerate().map(|(place, of)| {
        (format!("upstream.zone[{place}]"), format!("the upstream of zone {}", of.zone), &of.servers)
    });
    let groups = groups.iter().enumerate().map(|(place, of)| {
        (format!("upstream.group[{place}]"), format!("the upstream of group {}", of.group), &of.servers)
    });
    let mut faults = Vec::new();
    for (key, title, servers) in default.into_iter().chain(zones).chain(groups) {
        for (place, server) in servers.iter().enumerate() {
            if let Some(server) = server.plain().filter(|server| leads_here(*server, &config.listen.dns).is_some()) {
                let text = format!(
                    "{title}: {server} is an address that this daemon listens on: every query would loop; name another server"
                );
                faults.push(config.told(&format!("{key}.servers[{place}]"), text));
            }
        }
    }
    faults
}

/// Returns the place of the address in `listening` at which arrives what is sent to `server`.
pub fn leads_here(server: SocketAddr, listening: &[SocketAddr]) -> Option<usize> {
    let local = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    listening.iter().position(|own| {
        own.port() == server.port()
            && (own.ip() == server.ip()
                || own.ip().is_unspecified() && own.is_ipv4() == server.is_ipv4() && local(server.ip()))
    })
}
