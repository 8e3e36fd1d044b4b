//! A machine whose resolver is Interdict: a network namespace with a `resolv.conf` of its own, and glibc's stub in it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::daemon::Setup;
use crate::place::{self, run};
use crate::upstream::Upstream;

/// A namespace with one cable to ours; both are removed when it is dropped.
pub struct Namespace {
    pub name: String,
    cable: String,
    /// Our end of the cable.
    pub here: Ipv4Addr,
    /// The end inside.
    pub there: Ipv4Addr,
}

impl Namespace {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // A network of four addresses in 10.203.0.0/16, chosen by process, so that tests side by side have their own.
        let network = u32::from(Ipv4Addr::new(10, 203, 0, 0)) + (process * 8 + number) % (1 << 14) * 4;
        let (here, there) = (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2));
        let namespace = Self {
            name: format!("interdict-{process}-{number}"),
            cable: format!("itd{process}-{number}"),
            here,
            there,
        };
        let (name, cable) = (&namespace.name, &namespace.cable);
        ip(&["netns", "add", name]);
        ip(&["link", "add", cable, "type", "veth", "peer", "name", "office", "netns", name]);
        ip(&["address", "add", &format!("{here}/30"), "dev", cable]);
        ip(&["link", "set", cable, "up"]);
        ip(&["-n", name, "address", "add", &format!("{there}/30"), "dev", "office"]);
        ip(&["-n", name, "link", "set", "office", "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        std::fs::create_dir_all(namespace.files()).unwrap();
        namespace
    }

    /// The interface at our end of the cable.
    pub fn cable(&self) -> &str {
        &self.cable
    }

    /// Where `ip netns exec` finds what stands in `/etc` inside.
    fn files(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }

    pub fn resolv_conf(&self, text: &str) {
        std::fs::write(self.files().join("resolv.conf"), text).unwrap();
    }

    /// Runs a program inside and returns what it wrote, and whether it ended well.
    pub fn exec(&self, command: &[&str]) -> (bool, String) {
        let ip = place::find("ip").unwrap();
        let output = Command::new(ip).args(["netns", "exec", &self.name]).args(command).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let ip = place::find("ip").unwrap();
        for arguments in [["link", "delete", &self.cable], ["netns", "delete", &self.name]] {
            drop(Command::new(&ip).args(arguments).output());
        }
        drop(std::fs::remove_dir_all(self.files()));
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new(place::find("ip").unwrap()).args(arguments));
}

#[test]
fn a_machine_behind_it_reaches_everything_but_what_is_prohibited() {
    needs!("root", "ip", "nsd", "getent");
    let upstream = Upstream::start();
    let namespace = Namespace::new();
    let here = SocketAddr::new(IpAddr::V4(namespace.here), 53);
    let daemon = Setup::forwarding_to(&upstream).set("listen.dns", vec![here.to_string()]).start();
    namespace.resolv_conf(&format!("nameserver {}\noptions timeout:5 attempts:1\n", namespace.here));
    for (name, address) in [
        ("www.example", "192.0.2.80"),
        ("opentip.kaspersky.com", "192.0.2.10"),
        ("media.kaspersky.com", "192.0.2.11"),
        ("tip.example", "192.0.2.10"),
    ] {
        let (found, text) = namespace.exec(&["getent", "ahostsv4", name]);
        assert!(found && text.contains(address), "{name}: {text}");
        assert!(namespace.exec(&["getent", "hosts", name]).0, "{name}");
    }
    assert!(namespace.exec(&["getent", "hosts", "www.example"]).1.contains("2001:db8::80"));
    for name in ["dnl-01.geo.kaspersky.com", "upd.kaspersky.com", "alias.example", "dnl-01.geo.kaspersky.example"] {
        for database in ["hosts", "ahosts", "ahostsv4", "ahostsv6"] {
            let (found, text) = namespace.exec(&["getent", database, name]);
            assert!(!found && text.is_empty(), "{database} {name}: {text}");
        }
    }
    let client = namespace.there.to_string();
    place::until(place::PATIENCE, "the machine's attempts to be listed", || {
        let records = daemon.json(&["attempts", "--json", "--client", &client, "--verdict", "sunk"]);
        records.iter().any(|record| record["client"] == client.as_str()).then_some(())
    });
}

#[test]
fn what_a_search_list_makes_of_a_sunk_name_is_not_matched() {
    needs!("root", "ip", "nsd", "getent");
    let upstream = Upstream::start();
    let namespace = Namespace::new();
    let here = SocketAddr::new(IpAddr::V4(namespace.here), 53);
    let _daemon = Setup::forwarding_to(&upstream).set("listen.dns", vec![here.to_string()]).start();
    let resolver = format!("nameserver {}\nsearch corp.example\noptions timeout:5 attempts:1\n", namespace.here);
    namespace.resolv_conf(&resolver);
    // The stub tries the name itself, which is sunk, and then the name below the search domain, which is another's.
    let (found, text) = namespace.exec(&["getent", "ahostsv4", "upd.kaspersky.com"]);
    assert!(found && text.contains("192.0.2.90"), "{text}");
    assert!(!namespace.exec(&["getent", "ahostsv4", "upd.kaspersky.com."]).0);
}
