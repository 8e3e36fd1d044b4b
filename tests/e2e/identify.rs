//! Which device asks: real DHCP servers and clients, the kernel's neighbour table, lease files as servers write them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup};
use crate::namespace::Namespace;
use crate::place::{self, PATIENCE, run};
use crate::upstream::Upstream;
use crate::wire;

const SUNK: &str = "upd.kaspersky.com";
/// A hardware address that nobody was given by a maker.
const MAC: &str = "02:00:5e:00:53:01";

fn group(name: &str, key: &str, items: &[&str]) -> toml::Table {
    let items: Vec<toml::Value> = items.iter().map(|&text| text.into()).collect();
    toml::Table::from_iter([("name".to_owned(), name.into()), (key.to_owned(), items.into())])
}

fn ip(arguments: &[&str]) {
    run(Command::new(place::find("ip").unwrap()).args(arguments));
}

/// A namespace whose cable has [`MAC`] at its far end.
fn office() -> Namespace {
    let namespace = Namespace::new();
    ip(&["-n", &namespace.name, "link", "set", "office", "address", MAC]);
    namespace
}

/// Waits until a sunk look-up that is made again and again is recorded for `group`, and returns the record.
fn asks_as(daemon: &Daemon, group: &str, mut ask: impl FnMut()) -> serde_json::Value {
    place::until(PATIENCE, &format!("an attempt of the group {group}"), || {
        ask();
        let records = daemon.json(&["attempts", "--json"]);
        records.into_iter().find(|record| record["group"].as_str().unwrap_or("default") == group)
    })
}

fn identified(daemon: &Daemon, source: &str) -> f64 {
    daemon.metric(&format!("interdict_identified_total{{source=\"{source}\"}}"))
}

#[test]
fn the_kernel_knows_its_neighbours() {
    needs!("root", "ip", "dig");
    let namespace = office();
    let (cable, server, client) = (namespace.cable(), "fd00:5e::1", "fd00:5e::2");
    ip(&["address", "add", &format!("{server}/64"), "dev", cable, "nodad"]);
    ip(&["-n", &namespace.name, "address", "add", &format!("{client}/64"), "dev", "office", "nodad"]);
    let daemon = Setup::new()
        .set("listen.dns", vec![format!("{}:53", namespace.here), format!("[{server}]:53")])
        .set("client.neighbours", true)
        .set("client.group", vec![group("lab", "devices", &[MAC])])
        .start();
    for address in [namespace.here.to_string(), server.to_owned()] {
        let (server, before) = (format!("@{address}"), identified(&daemon, "device-neighbour"));
        // The kernel learns of a neighbour by its first query, and we by the next look.
        place::until(PATIENCE, "the neighbour to be known", || {
            assert!(namespace.exec(&["dig", "+tries=1", "+time=2", &server, SUNK]).0, "{address}");
            (identified(&daemon, "device-neighbour") > before).then_some(())
        });
    }
    let record = asks_as(&daemon, "lab", || {});
    assert_eq!((&record["identified"], &record["device"]), (&"device-neighbour".into(), &MAC.into()), "{record}");
    assert!(daemon.metric("interdict_devices{source=\"neighbour\"}") >= 2.0);
}

/// A DHCP server or client; ends when it is dropped.
struct Dhcp(Child);

impl Dhcp {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs dnsmasq as the DHCP server of the namespace, which has one address to give.
fn dhcp_server(namespace: &Namespace, folder: &Path) -> Dhcp {
    let (there, leases) = (namespace.there, folder.join("leases"));
    let mut command = place::tied(place::find("dnsmasq").unwrap());
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--no-ping"]);
    command.args(["--log-facility=-", "--dhcp-authoritative", "--user=root"]);
    command.arg(format!("--interface={}", namespace.cable())).arg("--except-interface=lo");
    command.arg(format!("--dhcp-range={there},{there},255.255.255.252,2m"));
    command.arg(format!("--dhcp-leasefile={}", leases.display())).arg("--pid-file=");
    Dhcp::start(&mut command, &folder.join("dnsmasq.log"))
}

/// Runs udhcpc in the namespace, with what it does with an address in a script of our own.
fn dhcp_client(namespace: &Namespace, folder: &Path) -> Dhcp {
    let script = folder.join("bound.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\n[ \"$1\" = bound ] && exec ip address add \"$ip/30\" dev \"$interface\"\nexit 0\n",
    )
    .unwrap();
    run(Command::new("chmod").arg("755").arg(&script));
    let mut command = place::tied(place::find("ip").unwrap());
    command.args(["netns", "exec", &namespace.name]).arg(place::find("udhcpc").unwrap());
    command.args(["-f", "-R", "-i", "office", "-x", "hostname:bench-3", "-s"]).arg(&script);
    Dhcp::start(&mut command, &folder.join("udhcpc.log"))
}

#[test]
fn a_dhcp_server_knows_its_clients() {
    needs!("root", "ip", "dig", "dnsmasq", "udhcpc", "setpriv");
    for (key, item, word) in [("devices", MAC, "device-lease"), ("names", "bench-3", "name-lease")] {
        let namespace = office();
        ip(&["-n", &namespace.name, "address", "flush", "dev", "office"]);
        let daemon = Setup::new()
            .set("listen.dns", vec![format!("{}:53", namespace.here)])
            .set("client.group", vec![group("lab", key, &[item])]);
        let leases = daemon.folder.path().join("leases").display().to_string();
        let daemon = daemon.set("client.leases", vec![leases]).start();
        assert!(daemon.told().contains("this lease file cannot be read"), "{}", daemon.told());
        let _server = dhcp_server(&namespace, daemon.folder());
        let client = dhcp_client(&namespace, daemon.folder());
        let server = format!("@{}", namespace.here);
        let ask = || drop(namespace.exec(&["dig", "+tries=1", "+time=1", &server, SUNK]));
        let record = asks_as(&daemon, "lab", ask);
        assert_eq!((&record["identified"], &record["device"]), (&word.into(), &MAC.into()), "{record}");
        assert!(identified(&daemon, word) > 0.0, "{word}");
        assert_eq!(daemon.metric("interdict_devices{source=\"lease\"}"), 1.0);
        // The client gives its address back, which takes it out of the file and so out of the group.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(client.0.id()).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
        place::until(PATIENCE, "the lease to end", || {
            (daemon.metric("interdict_devices{source=\"lease\"}") == 0.0).then_some(())
        });
    }
}

#[test]
fn a_lease_file_may_hold_anything() {
    let client = "127.0.0.1";
    let setup = Setup::new().set("client.group", vec![group("lab", "devices", &[MAC])]);
    let path = setup.folder.path().join("leases");
    let hostile = format!("rubbish\n0 {MAC} {client} \u{1b}[2J\u{1b}]0;x\u{7} *\n0 {MAC} 10.0.0.1 caf");
    std::fs::write(&path, [hostile.as_bytes(), b"\xe9 *\n0 02:00:5e:00:53:02 10.0.0.2 half"].concat()).unwrap();
    let mut daemon = setup.set("client.leases", vec![format!("dnsmasq:{}", path.display())]).start();
    // What was there at the start counts from the first query on.
    assert_eq!(wire::rcode(&wire::udp(daemon.dns, &wire::query(SUNK, wire::A))), wire::NXDOMAIN);
    assert_eq!(identified(&daemon, "device-lease"), 1.0);
    assert_eq!(daemon.metric("interdict_lease_lines_not_understood"), 3.0);
    let told = daemon.told();
    assert!(told.contains("3 lines are not understood, the first is line 1"), "{told}");
    assert!(!told.contains('\u{1b}') && !told.contains("[2J"), "{told}");
    // A reload that makes another group of it has its members at once, and a file that is gone takes nobody out.
    std::fs::remove_file(&path).unwrap();
    daemon.reconfigure("client.group", vec![group("bench", "devices", &[MAC])]);
    daemon.signal(Signal::SIGHUP);
    asks_as(&daemon, "bench", || drop(wire::udp(daemon.dns, &wire::query(SUNK, wire::A))));
    let records = daemon.json(&["attempts", "--json"]);
    let groups: Vec<_> = records.iter().map(|record| record["group"].as_str().unwrap_or("default")).collect();
    assert!(groups.iter().all(|group| ["lab", "bench"].contains(group)), "{groups:?}");
}

#[test]
fn a_device_of_the_configuration_outranks_everything() {
    let device = |name: &str, address: &str| {
        toml::Table::from_iter([
            ("name".to_owned(), name.into()),
            ("addresses".to_owned(), vec![toml::Value::from(address)].into()),
        ])
    };
    let daemon = Setup::new()
        .set(
            "client.group",
            vec![group("here", "networks", &["127.0.0.0/8"]), group("named", "names", &["*.corp.example"])],
        )
        .set("client.device", vec![device("desk.corp.example", "127.0.0.1")])
        .start();
    let record = asks_as(&daemon, "named", || drop(wire::udp(daemon.dns, &wire::query(SUNK, wire::A))));
    assert_eq!(
        (&record["identified"], &record["device"]),
        (&"name-static".into(), &serde_json::Value::Null),
        "{record}"
    );
    assert!(identified(&daemon, "name-static") > 0.0);
    assert_eq!(daemon.metric("interdict_devices{source=\"static\"}"), 1.0);
}

#[test]
fn names_are_looked_up_where_a_group_has_names() {
    needs!("nsd");
    let zone = "@ 300 IN SOA ns hostmaster 1 2 3 4 60\n@ IN NS ns\n\
                1.0.0 PTR Bench-3.lab.example.\n";
    let upstream = Upstream::with(&[("127.in-addr.arpa", zone)]);
    // The local zone for 127.0.0.0/8 would answer in its place (RFC 6303).
    let forward = toml::Table::from_iter([
        ("name".to_owned(), "127.in-addr.arpa".into()),
        ("servers".to_owned(), vec![toml::Value::from(upstream.address.to_string())].into()),
    ]);
    let daemon = Setup::forwarding_to(&upstream)
        .set("upstream.zone", vec![forward])
        .set("client.ptr", true)
        .set("client.group", vec![group("lab", "names", &["*.lab.example"])])
        .start();
    let queries = || daemon.metric("interdict_upstream_events_total{event=\"query\"}");
    asks_as(&daemon, "lab", || drop(wire::udp(daemon.dns, &wire::query(SUNK, wire::A))));
    assert!(identified(&daemon, "name-ptr") > 0.0);
    assert_eq!(daemon.metric("interdict_devices{source=\"ptr\"}"), 1.0);
    // It is known now, and not asked for again.
    let before = queries();
    for _ in 0..200 {
        wire::udp(daemon.dns, &wire::query(SUNK, wire::A));
    }
    assert_eq!(queries(), before);
}
