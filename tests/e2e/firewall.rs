//! The firewall of the guide (`docs/deploy.md`): loaded in a router between namespaces, it closes the ways to other resolvers, keeps
//! that to this one open, and leads clients here.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::place::{self, PATIENCE, run};

const GUIDE: &str = include_str!("../../docs/deploy.md");

/// Who answers, as their answers tell.
const ELSEWHERE: &str = "192.0.2.66";
const HERE: &str = "192.0.2.80";

/// Cables, bridge, addresses and routes; $1 is what the names of the namespaces begin with. `lan0` of the router has the resolver,
/// 10.0.0.2, and a client; another network has another client; the public resolver is 1.1.1.1.
const NETWORK: &str = r#"
for part in resolver client other world router; do ip netns add $1-$part; ip -n $1-$part link set lo up; done
ip -n $1-router link add lan0 type bridge
ip -n $1-router link set lan0 up
cable() { # the interface of the router, the namespace at the other end, its address, and that of the router
    ip link add $1 netns $NAME-router type veth peer name eth0 netns $NAME-$2
    ip -n $NAME-router link set $1 up
    ip -n $NAME-$2 address add $3 dev eth0
    ip -n $NAME-$2 link set eth0 up
    ip -n $NAME-$2 route add default via $4
}
NAME=$1
ip -n $NAME-router address add 10.0.0.1/24 dev lan0
cable port2 resolver 10.0.0.2/24 10.0.0.1
cable port7 client 10.0.0.7/24 10.0.0.1
ip -n $NAME-router link set port2 master lan0
ip -n $NAME-router link set port7 master lan0
cable lan1 other 10.0.20.7/24 10.0.20.1
ip -n $NAME-router address add 10.0.20.1/24 dev lan1
cable wan0 world 198.51.100.2/24 198.51.100.1
ip -n $NAME-router address add 198.51.100.1/24 dev wan0
ip -n $NAME-world address add 1.1.1.1/32 dev lo
ip -n $NAME-router route add 1.1.1.1 via 198.51.100.2
ip netns exec $NAME-router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
"#;

/// The network; gone when it is dropped.
struct Office {
    name: String,
    servers: Vec<Child>,
    folder: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        let office = Self {
            name: format!("itf{}", std::process::id()),
            servers: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        run(Command::new("sh").args(["-e", "-c", NETWORK, "sh", &office.name]));
        office
    }

    fn inside(&self, part: &str, command: &mut Command) -> Command {
        let mut inside = place::tied(place::find("ip").unwrap());
        inside.args(["netns", "exec", &format!("{}-{part}", self.name)]).arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    /// Starts a name server that gives every name one address.
    fn serve(&mut self, part: &str, ip: &str, ports: &[u16], answer: &str) {
        let folder = self.folder.path().join(part);
        std::fs::create_dir(&folder).unwrap();
        let zone = format!(". 60 SOA ns. h. 1 60 60 60 60\n. 60 NS ns.\n*. 60 A {answer}\n");
        std::fs::write(folder.join("zone"), zone).unwrap();
        let listen: String = ports.iter().map(|port| format!(" ip-address: {ip}@{port}\n")).collect();
        let at = folder.display();
        let config = format!(
            "server:\n{listen} username: \"\"\n zonesdir: \"{at}\"\n database: \"\"\n pidfile: \"\"\n xfrdfile: \"{at}/xfrd\"\n xfrdir: \"{at}\"\n \
             zonelistfile: \"{at}/list\"\n server-count: 1\nremote-control:\n control-enable: no\nzone:\n name: \".\"\n zonefile: \"zone\"\n"
        );
        std::fs::write(folder.join("nsd.conf"), config).unwrap();
        let mut nsd = Command::new(place::find("nsd").unwrap());
        let mut nsd = self.inside(part, nsd.arg("-d").arg("-c").arg(folder.join("nsd.conf")));
        self.servers.push(nsd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        self.gets(part, &[&format!("@{ip}"), "-p", &ports[0].to_string()], answer);
    }

    /// Waits until somebody gets this answer.
    fn gets(&self, part: &str, how: &[&str], answer: &str) {
        place::until(PATIENCE, &format!("the {part} to be answered {how:?}"), || {
            (self.asks(part, how) == answer).then_some(())
        });
    }

    /// Returns the answer that somebody gets, and nothing where there is none.
    fn asks(&self, part: &str, how: &[&str]) -> String {
        let mut dig = Command::new(place::find("dig").unwrap());
        let output = self.inside(part, dig.args(["+short", "+time=1", "+tries=1", "www.example"]).args(how)).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().find(|line| !line.starts_with(';')).unwrap_or_default().to_owned()
    }

    fn load(&self, rules: &str) {
        let file = self.folder.path().join("rules");
        std::fs::write(&file, rules).unwrap();
        run(&mut self.inside("router", Command::new(place::find("nft").unwrap()).arg("--file").arg(Path::new(&file))));
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = nix::sys::signal::kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), Signal::SIGTERM);
            drop(server.wait());
        }
        for part in ["resolver", "client", "other", "world", "router"] {
            let name = format!("{}-{part}", self.name);
            drop(Command::new(place::find("ip").unwrap()).args(["netns", "delete", &name]).output());
        }
    }
}

/// The rules that the guide gives, in its order.
fn rules() -> Vec<&'static str> {
    let blocks = GUIDE.split("```text\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0));
    blocks.filter(|block| block.starts_with("table ")).collect()
}

#[test]
fn the_firewall_of_the_guide_closes_ways_to_others_and_none_to_the_resolver() {
    needs!("root", "ip", "nft", "nsd", "dig");
    let mut office = Office::new();
    office.serve("world", "1.1.1.1", &[53, 853, 443], ELSEWHERE);
    office.serve("resolver", "10.0.0.2", &[53], HERE);
    let [closing, leading] = rules()[..] else { panic!("the guide has other rules than two tables") };
    let others: [&[&str]; 5] = [
        &["@1.1.1.1"],
        &["@1.1.1.1", "+tcp"],
        &["@1.1.1.1", "-p", "853"],
        &["@1.1.1.1", "-p", "853", "+tcp"],
        &["@1.1.1.1", "-p", "443", "+tcp"],
    ];
    for client in ["client", "other"] {
        for how in others {
            office.gets(client, how, ELSEWHERE);
        }
    }
    office.load(closing);
    for client in ["client", "other"] {
        for how in others {
            assert_eq!(office.asks(client, how), "", "{client} {how:?}");
        }
        office.gets(client, &["@10.0.0.2"], HERE);
        office.gets(client, &["@10.0.0.2", "+tcp"], HERE);
    }
    office.gets("resolver", &["@1.1.1.1"], ELSEWHERE);
    office.load(leading);
    for how in [&["@1.1.1.1"][..], &["@1.1.1.1", "+tcp"]] {
        office.gets("client", how, HERE);
    }
    assert_eq!(office.asks("client", &["@1.1.1.1", "-p", "853", "+tcp"]), "");
    office.gets("client", &["@10.0.0.2"], HERE);
}
