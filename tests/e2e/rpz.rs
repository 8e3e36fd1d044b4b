//! The same policy zones in BIND, Unbound and Interdict answer alike.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};

use crate::daemon::Setup;
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::wire;

/// Policy zones in their order, without their SOA.
const ZONES: [(&str, &str); 2] =
    [("first", include_str!("zones/first.rpz")), ("second", include_str!("zones/second.rpz"))];
const HEAD: &str = "$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\n";
/// Names that are asked for, each for every type.
const NAMES: &str = include_str!("zones/rpz.names");
const TYPES: [(&str, u16); 3] = [("A", wire::A), ("AAAA", wire::AAAA), ("TXT", wire::TXT)];
/// `NAME TYPE PEER  reason`: answers that are not alike, and why not.
const DIFFERENCES: &str = include_str!("zones/rpz.differences");

/// How long a server may take that may as well not answer at all.
const DROPPED: Duration = Duration::from_millis(700);

/// A server that ends with the test.
pub struct Peer(Child);

impl Peer {
    /// Ends the server as a service manager does, so that it writes what it has held back.
    pub fn end(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        place::until(PATIENCE, "the server to end", || self.0.try_wait().unwrap());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn start(program: &str, arguments: &[&str], folder: &Path, address: SocketAddr) -> Peer {
    begin(program, arguments, folder, || {
        wire::udp_once(address, &wire::query("open.example", wire::A), wire::SHORT).map(drop)
    })
}

/// Starts a program, and waits until it is ready.
pub fn begin(program: &str, arguments: &[&str], folder: &Path, mut ready: impl FnMut() -> Option<()>) -> Peer {
    let log = std::fs::File::create(folder.join(format!("{program}.log"))).unwrap();
    let mut command = place::tied(place::find(program).expect("the test asked for the peer"));
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut peer = Peer(command.spawn().unwrap());
    place::until(PATIENCE, program, || {
        let log = || std::fs::read_to_string(folder.join(format!("{program}.log"))).unwrap();
        assert!(peer.0.try_wait().unwrap().is_none(), "{program} ended: {}", log());
        ready()
    });
    peer
}

fn bind(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    // BIND listens on addresses that interfaces have, which the others of 127.0.0.0/8 are not.
    let here = Ipv4Addr::LOCALHOST.into();
    let address = SocketAddr::new(here, place::port_on(here));
    let own = folder.display();
    let policies: String = ZONES.iter().map(|(name, _)| format!("zone \"{name}.rpz\"; ")).collect();
    let zones: String = ZONES
        .iter()
        .map(|(name, _)| format!("zone \"{name}.rpz\" {{ type primary; file \"{own}/{name}.rpz\"; }};\n"))
        .collect();
    let text = format!(
        "options {{ directory \"{own}\"; listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }}; pid-file none;\n\
         session-keyfile none; recursion yes; allow-query {{ any; }}; allow-recursion {{ any; }}; forward only;\n\
         forwarders port {} {{ {}; }}; dnssec-validation no; empty-zones-enable no; minimal-responses yes;\n\
         response-policy {{ {policies}}} qname-wait-recurse no break-dnssec yes; }};\ncontrols {{ }};\n{zones}",
        address.port(),
        address.ip(),
        upstream.port(),
        upstream.ip()
    );
    std::fs::write(folder.join("named.conf"), text).unwrap();
    (start("named", &["-g", "-c", "named.conf"], folder, address), address)
}

fn unbound(folder: &Path, upstream: SocketAddr) -> (Peer, SocketAddr) {
    let address = place::socket();
    let own = folder.display();
    let zones: String =
        ZONES.iter().map(|(name, _)| format!("rpz:\n name: {name}.rpz\n zonefile: \"{own}/{name}.rpz\"\n")).collect();
    let text = format!(
        "server:\n interface: {0}@{1}\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n directory: \"{own}\"\n\
         \x20use-syslog: no\n module-config: \"respip iterator\"\n do-not-query-localhost: no\n\
         \x20access-control: 127.0.0.0/8 allow\n minimal-responses: yes\n qname-minimisation: no\n\
         remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: {2}@{3}\n{zones}",
        address.ip(),
        address.port(),
        upstream.ip(),
        upstream.port()
    );
    std::fs::write(folder.join("unbound.conf"), text).unwrap();
    (start("unbound", &["-d", "-c", "unbound.conf"], folder, address), address)
}

/// Answers every name with records of its own; one that begins with `alias` leads to the name behind that label.
fn upstream() -> Scripted {
    Scripted::start(|query| {
        let mut reply = Message::from_vec(query).unwrap().into_response();
        reply.metadata.recursion_available = true;
        let question = reply.queries[0].clone();
        let mut owner = question.name().to_lowercase();
        if owner.iter().next().is_some_and(|label| label == b"alias") {
            let target = owner.base_name();
            let alias = RData::CNAME(hickory_proto::rr::rdata::CNAME(target.clone()));
            reply.answers.push(Record::from_rdata(owner, 60, alias));
            owner = target;
        }
        let data = match u16::from(question.query_type()) {
            wire::A => {
                let last = if owner.to_ascii().starts_with("number") { 200 } else { 1 };
                RData::A(Ipv4Addr::new(192, 0, 2, last).into())
            }
            wire::AAAA => RData::AAAA("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().into()),
            _ => RData::TXT(hickory_proto::rr::rdata::TXT::new(vec!["true".to_owned()])),
        };
        reply.answers.push(Record::from_rdata(owner, 60, data));
        vec![reply.to_vec().unwrap()]
    })
}

/// What a server says, without what each is free to choose: TTLs, and the SOA of a denial.
fn said(server: SocketAddr, name: &str, record_type: u16) -> String {
    let query = wire::query(name, record_type);
    let Some(answer) = wire::udp_once(server, &query, DROPPED) else { return "no answer".to_owned() };
    let message = wire::parse(&answer);
    let record = |record: &Record| format!(" {} {} {}", lower(&record.name), record.record_type(), record.data);
    let mut records: Vec<String> = message.answers.iter().map(record).collect();
    records.sort();
    let cut = if message.metadata.truncation { " cut" } else { "" };
    format!("{}{cut}{}", message.metadata.response_code, records.concat())
}

fn lower(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase()
}

#[test]
fn policy_zones_answer_as_in_bind_and_unbound() {
    needs!("named", "unbound");
    let upstream = upstream();
    let setup = Setup::new().upstreams(&[upstream.address]);
    let folder = setup.folder.path().to_owned();
    let mut lists = Vec::new();
    for (name, text) in ZONES {
        let path = folder.join(format!("{name}.rpz"));
        std::fs::write(&path, format!("{HEAD}{text}")).unwrap();
        let (path, name) = (path.display().to_string(), name.to_owned());
        lists.push(toml::Table::from_iter([
            ("name".to_owned(), toml::Value::from(name)),
            ("file".to_owned(), path.into()),
            ("format".to_owned(), "rpz".into()),
        ]));
    }
    let daemon = setup.set("lists.list", lists.into_iter().map(toml::Value::from).collect::<Vec<_>>()).start();
    let peers = [("bind", bind(&folder, upstream.address)), ("unbound", unbound(&folder, upstream.address))];
    let reasons: BTreeMap<Vec<&str>, &str> = DIFFERENCES
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .filter_map(|line| line.split_once("  "))
        .map(|(what, reason)| (what.split(' ').collect(), reason))
        .collect();
    let (mut asked, mut faults, mut met) = (0, Vec::new(), 0);
    for name in NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        for (word, record_type) in TYPES {
            let ours = said(daemon.dns, name, record_type);
            for (peer, (_, address)) in &peers {
                asked += 1;
                let theirs = said(*address, name, record_type);
                let known = [vec![name, word, peer], vec![name, "*", peer], vec![name, "*", "*"]];
                let known = known.iter().any(|key| reasons.contains_key(key));
                match (ours == theirs, known) {
                    (true, false) => {}
                    (false, true) => met += 1,
                    (true, true) if reasons.contains_key(&vec![name, word, peer]) => {
                        faults.push(format!("{name} {word} {peer}  is alike, and listed as a difference"));
                    }
                    (true, true) => {}
                    (false, false) => faults.push(format!("{name} {word} {peer}  ours: {ours}; theirs: {theirs}")),
                }
            }
        }
    }
    assert!(asked >= 300, "{asked} pairs are too few");
    assert!(faults.is_empty(), "{} of {asked}, {met} differences met:\n{}", faults.len(), faults.join("\n"));
}
