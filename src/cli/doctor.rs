//! `interdict doctor`: what keeps the daemon from its work, or clients from the daemon, each with what to do. It asks what
//! anybody could ask, changes nothing, and guesses at nothing that it cannot see.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::Args;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};

use super::folder::Folder;
use super::healthcheck;
use super::output::plain;
use super::probe::{self, Question};
use super::settings::{ConfigArgs, Faults};
use crate::config::Config;
use crate::daemon;
use crate::daemon::leads_here;
use crate::daemon::space::Room;
use crate::message::{RecordType, ResponseView};
use crate::observe::counted;
use crate::resolve::{Endpoint, servers_of};

/// Ends with 1 where something has to be done.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file that tells this machine's stub resolver whom to ask.
    #[arg(long, value_name = "FILE", default_value = "/etc/resolv.conf")]
    resolv_conf: std::path::PathBuf,
}

/// Something that was looked at.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    state: State,
    told: String,
    /// What to do about it; empty where there is nothing to be done.
    remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    /// To be known, though it may be meant so.
    Note,
    Bad,
}

/// Something needs to be done.
#[derive(Debug, thiserror::Error)]
#[error("{} to be seen to", counted(*.0, "of these has", "of these have"))]
struct Unwell(usize);

impl Finding {
    fn well(what: &'static str, told: impl Into<String>) -> Self {
        Self { what, state: State::Well, told: told.into(), remedy: String::new() }
    }

    fn note(what: &'static str, told: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: State::Note, told: told.into(), remedy: remedy.into() }
    }

    fn bad(what: &'static str, told: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: State::Bad, told: told.into(), remedy: remedy.into() }
    }
}

pub(super) fn run(of: &Doctor, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    match of.config.load() {
        Err(Faults(faults)) => {
            findings.extend(faults.iter().map(|fault| Finding::bad("configuration", fault, "mend it as it says")));
        }
        Ok(config) => {
            examine(&config, &mut findings);
            findings.push(stub(&of.resolv_conf, &config));
        }
    }
    for Finding { what, state, told, remedy } in &findings {
        let mark = match state {
            State::Well => "well",
            State::Note => "note",
            State::Bad => "BAD ",
        };
        writeln!(out, "{mark}  {what:<14} {}", plain(told))?;
        if !remedy.is_empty() {
            writeln!(out, "      {:<14} {}", "", plain(remedy))?;
        }
    }
    match findings.iter().filter(|finding| finding.state == State::Bad).count() {
        0 => Ok(()),
        count => Err(Unwell(count).into()),
    }
}

fn examine(config: &Config, findings: &mut Vec<Finding>) {
    match daemon::check(config) {
        Ok(checked) => {
            findings.push(Finding::well("configuration", daemon::extent(&checked.snapshot)));
            findings.extend(checked.notes.into_iter().map(|note| Finding::note("configuration", note, "")));
        }
        Err(faults) => {
            findings.extend(faults.iter().map(|fault| Finding::bad("configuration", fault, "mend it as it says")));
        }
    }
    findings.push(disk(&config.data_dir, config.ledger.max_size));
    if config.upstream.dnssec.validates {
        let groups = config.upstream.groups.iter().flat_map(|group| &group.servers);
        let servers: BTreeSet<_> = config.upstream.servers.iter().chain(groups).filter_map(Endpoint::plain).collect();
        findings.extend(servers.into_iter().map(signatures));
    }
    let running = Folder::new(&config.data_dir, false).running_policy();
    match running {
        Ok(Some(_)) => {
            findings.push(Finding::well("daemon", "one works in the data folder"));
            let dns = config.listen.dns.iter().enumerate();
            findings.extend(dns.map(|(place, address)| listener(probe::reachable(*address), (config, place))));
            findings.extend(health(config));
            findings.extend(alone(config));
        }
        Ok(None) => {
            let remedy = "start it: `systemctl start interdict`, or `interdict run`; --config names the configuration of one that works";
            let told = format!("none works in the data folder {}", config.data_dir.display());
            findings.push(Finding::bad("daemon", told, remedy));
            findings.extend(folder(config));
            let dns = config.listen.dns.iter().enumerate();
            findings
                .extend(dns.filter_map(|(place, address)| port(*address, (config, &format!("listen.dns[{place}]")))));
            findings.extend(config.admin.listen.and_then(|address| port(address, (config, "admin.listen"))));
        }
        Err(error) => {
            findings.push(Finding::bad("daemon", format!("{error:#}"), "ask as root, or as the user of the daemon"));
            findings.extend(folder(config));
        }
    }
}

/// Says something of the value of a key, with the place where it is set.
fn placed(config: &Config, key: &str, text: impl std::fmt::Display) -> String {
    config.place(key).map_or_else(|| text.to_string(), |place| format!("{place}: {text}"))
}

/// Whether the data folder can be written, or made, while no daemon has it.
fn folder(config: &Config) -> Option<Finding> {
    let folder = &config.data_dir;
    let existing = folder.ancestors().find(|above| above.exists() && !above.as_os_str().is_empty());
    let existing = existing.unwrap_or_else(|| Path::new("."));
    let of = existing.metadata().ok()?;
    let error = match access(existing, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) if of.is_dir() => return None,
        Ok(()) => Errno::ENOTDIR,
        Err(error) => error,
    };
    let told = placed(config, "data_dir", format_args!("{}: {}", existing.display(), error.desc()));
    if error == Errno::EACCES && of.uid() != geteuid().as_raw() {
        let told = format!("{told}; it is of user {}", of.uid());
        return Some(Finding::note("data folder", told, "ask as the user of the daemon; it has to be that one's"));
    }
    Some(Finding::bad("data folder", told, "give it to the user of the daemon, or set another data_dir"))
}

/// What the kernel lets be written is compared with what records may still grow to.
fn disk(folder: &Path, most: u64) -> Finding {
    let existing = folder.ancestors().find(|above| above.exists() && !above.as_os_str().is_empty());
    let existing = existing.unwrap_or_else(|| Path::new("."));
    let room = match Room::of(existing) {
        Ok(room) => room,
        Err(error) => {
            return Finding::bad("disk", format!("{}: {error}", existing.display()), "see whether the disk is there");
        }
    };
    let (free, files) = (room.free, if room.without_files { "; no further file can be made" } else { "" });
    let told =
        format!("{} MiB are free at {}; records may take {} MiB{files}", free >> 20, existing.display(), most >> 20);
    if room.is_short() {
        Finding::bad("disk", told, "make room: what cannot be written is only counted")
    } else if free < most {
        Finding::note("disk", told, "set [ledger] max_mib to what there is room for")
    } else {
        Finding::well("disk", told)
    }
}

/// Whether an upstream passes on what answers are validated by.
fn signatures(server: SocketAddr) -> Finding {
    let response = match Question::root_keys().of_upstream(server) {
        Ok(response) => response,
        Err(error) => {
            let told = format!("{server} does not answer: {error}");
            return Finding::bad("dnssec", told, "see whether it is there, and whether it takes queries from here");
        }
    };
    let is_signed = ResponseView::read(&response)
        .is_ok_and(|view| view.records().any(|of| of.is_ok_and(|record| record.record_type == RecordType::RRSIG)));
    if is_signed {
        return Finding::well("dnssec", format!("{server} passes signatures on"));
    }
    let told = format!("{server} passes no signatures on, and answers are to be validated: all of its answers fail");
    Finding::bad("dnssec", told, "name a resolver that knows DNSSEC, or set [upstream] dnssec = \"pass\"")
}

fn listener(address: SocketAddr, (config, place): (&Config, usize)) -> Finding {
    match healthcheck::dns(address, config) {
        Ok(None) => Finding::well("port", format!("{address} answers over UDP and TCP")),
        Ok(Some(here)) => {
            let told =
                format!("{address} was not asked: [listen] allow does not have {here}, from where this machine asks");
            Finding::note("port", told, "ask from a client")
        }
        Err(error) => {
            let remedy = format!(
                "see what listens there (`ss -lnptu 'sport = :{}'`), and whether [listen] allow has {}",
                address.port(),
                address.ip()
            );
            Finding::bad("port", placed(config, &format!("listen.dns[{place}]"), format_args!("{error:#}")), remedy)
        }
    }
}

/// Whether an address of a key can be had, while no daemon has it.
fn port(address: SocketAddr, (config, key): (&Config, &str)) -> Option<Finding> {
    let is_dns = key.starts_with("listen.");
    let datagrams = if is_dns { std::net::UdpSocket::bind(address).map(drop) } else { Ok(()) };
    let error = datagrams.and(std::net::TcpListener::bind(address).map(drop)).err()?;
    let remedy = match error.kind() {
        std::io::ErrorKind::AddrInUse if !is_dns => {
            format!("stop what listens there (`ss -lnpt 'sport = :{}'`), or set another [admin] listen", address.port())
        }
        std::io::ErrorKind::AddrInUse => format!(
            "stop what listens there (`ss -lnptu 'sport = :{}'`), unless it is interdict.socket; systemd-resolved holds 127.0.0.53:53, so that 0.0.0.0:53 cannot be \
             had beside it: name the addresses of this machine instead, or set DNSStubListener=no in resolved.conf",
            address.port()
        ),
        std::io::ErrorKind::PermissionDenied => {
            let remedy = "ask as root, or as the user of the service: ports below 1024 need CAP_NET_BIND_SERVICE";
            let told = placed(config, key, format_args!("{address} cannot be tried by this user"));
            return Some(Finding::note("port", told, remedy));
        }
        _ if !is_dns => "name an address of this machine in [admin] listen".to_owned(),
        _ => "name an address of this machine in [listen] dns".to_owned(),
    };
    Some(Finding::bad("port", placed(config, key, format_args!("{address}: {error}")), remedy))
}

/// A package listens where it disturbs nobody, and protects nobody.
fn alone(config: &Config) -> Option<Finding> {
    let is_alone = config.listen.dns.iter().all(|address| address.ip().is_loopback());
    let told = || placed(config, "listen.dns", "only this machine can ask, since all of [listen] dns is loopback");
    is_alone.then(|| Finding::note("clients", told(), "name the addresses there that clients shall ask, and restart"))
}

/// Everything that the daemon itself tells, and whether anybody asks it.
fn health(config: &Config) -> Vec<Finding> {
    let Some(admin) = config.admin.listen.map(probe::reachable) else {
        return vec![Finding::note("health", "[admin] listen is \"\"", "set it, so that health and metrics are told")];
    };
    let health = match probe::health(admin) {
        Ok(health) => health,
        Err(error) => {
            let told = format!("the admin listener at {admin} does not answer: {error}");
            return vec![Finding::bad("health", told, "see the log of the daemon")];
        }
    };
    // The disk is looked at from here, where no daemon has to run for it.
    let checks = health.checks.iter().filter(|check| check.name != "disk");
    let mut findings: Vec<_> = checks.map(|check| told(&check.name, check.ok, &check.detail)).collect();
    // Prohibitions begin and end by it all the same, so that it is no fault, and is to be known.
    if let Ok(1.0) = probe::metric(admin, "interdict_clock_state{state=\"unsynchronised\"}")
        && let Some(clock) = findings.iter_mut().find(|finding| finding.what == "clock" && finding.state == State::Well)
    {
        let remedy = "start chrony, ntpd or systemd-timesyncd; without one, an instant comes as early or late as the clock is off";
        *clock = Finding::note("clock", std::mem::take(&mut clock.told), remedy);
    }
    // Our own questions are about the program, of the class CHAOS; those of clients get a verdict.
    if let Ok(asked) = probe::metric(admin, "interdict_verdicts_total") {
        findings.push(match asked {
            0.0 => Finding::note(
                "clients",
                "nobody has asked since the start",
                "name this resolver in DHCP and router advertisements, and close port 53 and 853 to everywhere else",
            ),
            asked => {
                let asked = counted(asked, "look-up was", "look-ups were");
                Finding::well("clients", format!("{asked} decided since the start"))
            }
        });
    }
    findings
}

fn told(name: &str, ok: bool, detail: &str) -> Finding {
    let (what, remedy) = match name {
        "policy" => ("policy", "see the log of the daemon"),
        "upstream" => ("upstream", "name resolvers in [upstream] servers that answer from here, and none that asks us"),
        "ledger" => ("ledger", "see to the disk of the data folder; look-ups are only counted meanwhile"),
        "evidence" => ("evidence", "see to the disk of the data folder, and to the folder of [ledger] publish"),
        "clock" => ("clock", "have a time service set the clock; `interdict clock show` says what is missing"),
        "archive" => ("archive", "make room on the disk of the data folder"),
        "reload" => ("reload", "mend it and reload; `interdict check` tells every fault"),
        "waivers" => ("waivers", "mend the file, or see `interdict waiver list`"),
        "monitor-only" => (
            "enforcement",
            "`interdict monitor-only --stop`, or [policy] mode = \"enforce\", once it shall be enforced",
        ),
        "lists" => ("lists", "see `interdict lists`; the last good ones are in force"),
        "fetches" => ("fetches", "see `interdict lists` and `interdict policy pending`"),
        "shadow" => ("shadow", "see `interdict policy shadow`"),
        "witnesses" => {
            ("witnesses", "see to the witness, or to the way to it; what it lacks is submitted once it answers")
        }
        "exports" => ("exports", "see to the receiver; what it lacks is sent once it takes records again"),
        "notices" => ("notices", "mend it, and see whether they arrive: `interdict notice test`"),
        _ => ("health", "see the log of the daemon"),
    };
    if ok { Finding::well(what, detail) } else { Finding::bad(what, detail, remedy) }
}

/// Whom this machine itself asks: a loop where that is us and we ask the system's resolvers.
fn stub(path: &Path, config: &Config) -> Finding {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Finding::note("resolv.conf", format!("{}: {error}", path.display()), ""),
    };
    let servers = servers_of(&text);
    let shown = servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ours = |server: &SocketAddr| leads_here(*server, &config.listen.dns);
    let lines = (1..).zip(text.lines());
    let own = lines.into_iter().find_map(|(line, text)| Some((line, servers_of(text).iter().find_map(ours)?)));
    if let Some((line, place)) = own
        && config.upstream.servers.is_empty()
    {
        let own = placed(config, &format!("listen.dns[{place}]"), config.listen.dns[place]);
        let told = format!("{}:{line} names us ({own}), and we ask whom it names: a loop", path.display());
        let remedy = "name other resolvers in [upstream] servers";
        // Ours is left out where others are named.
        return match servers.iter().all(|server| ours(server).is_some()) {
            true => Finding::bad("resolv.conf", told, remedy),
            false => Finding::note("resolv.conf", told, remedy),
        };
    }
    if own.is_some() {
        return Finding::well("resolv.conf", "this machine asks us");
    }
    if servers.iter().any(|server| server.ip().to_string() == "127.0.0.53") {
        let told = "this machine asks systemd-resolved, which may ask us or others";
        return Finding::note("resolv.conf", told, "see `resolvectl dns`; set DNS= in resolved.conf to this resolver");
    }
    let told = format!("this machine asks {shown}, so that its own look-ups do not come through us");
    Finding::note("resolv.conf", told, "name this resolver there, if this machine's look-ups are to be decided too")
}
