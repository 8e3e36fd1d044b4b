//! A real authoritative server as upstream: NSD with the zones in `zones/`.

use std::net::SocketAddr;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::place::{self, PATIENCE};
use crate::wire;

const ZONES: &[(&str, &str)] = &[
    ("example", include_str!("zones/example.zone")),
    ("evil.example", include_str!("zones/evil.example.zone")),
    ("signed.example", include_str!("zones/signed.example.zone")),
    ("kaspersky.com", include_str!("zones/kaspersky.com.zone")),
    ("kaspersky-labs.com", include_str!("zones/kaspersky-labs.com.zone")),
    ("notkaspersky.com", include_str!("zones/notkaspersky.com.zone")),
];

/// A running NSD; stops when it is dropped.
pub struct Upstream {
    child: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Upstream {
    /// Starts NSD with the shipped test zones.
    pub fn start() -> Self {
        Self::with(ZONES)
    }

    /// Starts NSD with `zones`: their names and texts.
    pub fn with(zones: &[(&str, &str)]) -> Self {
        Self::at(place::socket(), zones)
    }

    /// Starts NSD with `zones` at an address.
    pub fn at(address: SocketAddr, zones: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (index, (_, text)) in zones.iter().enumerate() {
            std::fs::write(path.join(format!("{index}.zone")), text).unwrap();
        }
        std::fs::write(path.join("nsd.conf"), configuration(path, address, zones)).unwrap();
        let log = std::fs::File::create(path.join("log")).unwrap();
        let mut command = place::tied(place::find("nsd").expect("the test asked for the peer"));
        command.arg("-d").arg("-c").arg(path.join("nsd.conf"));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut upstream = Self { child, address, folder };
        let query = wire::query(zones[0].0, wire::SOA);
        place::until(PATIENCE, "NSD to answer", || {
            let ended = upstream.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(upstream.folder.path().join("log")).unwrap();
            assert!(ended.is_none(), "NSD ended: {}", log());
            wire::udp_once(address, &query, wire::SHORT)
        });
        upstream
    }

    /// Sends a signal to NSD, and to every process that it has made.
    pub fn signal(&self, signal: Signal) {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            next += 1;
            let children =
                std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            family.extend(children.split_whitespace().map(|child| child.parse::<u32>().unwrap()));
        }
        for process in family {
            nix::sys::signal::kill(Pid::from_raw(i32::try_from(process).unwrap()), signal).unwrap();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        // The master process ends its servers on SIGTERM; SIGKILL would leave them behind.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = nix::sys::signal::kill(pid, Signal::SIGTERM);
        }
        drop(self.child.wait());
    }
}

fn configuration(folder: &std::path::Path, address: SocketAddr, zones: &[(&str, &str)]) -> String {
    let folder = folder.display();
    let (ip, port) = (address.ip(), address.port());
    // Without a database of its own, every NSD of the machine would share the one in /var/lib.
    // Rate limiting is off because a load test asks for the same names over and over.
    let mut text = format!(
        "server:\n ip-address: {ip}@{port}\n username: \"\"\n zonesdir: \"{folder}\"\n database: \"\"\n pidfile: \"\"\n \
         xfrdfile: \"{folder}/xfrd.state\"\n xfrdir: \"{folder}\"\n zonelistfile: \"{folder}/zone.list\"\n \
         server-count: 1\n rrl-ratelimit: 0\n refuse-any: no\nremote-control:\n control-enable: no\n"
    );
    for (index, (apex, _)) in zones.iter().enumerate() {
        text.push_str(&format!("zone:\n name: \"{apex}\"\n zonefile: \"{index}.zone\"\n"));
    }
    text
}
