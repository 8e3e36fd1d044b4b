//! A real resolver as upstream: Unbound with names of its own, which can be stopped and go on as processes can.

use std::net::SocketAddr;
use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::place::{self, PATIENCE};
use crate::wire;

/// A running Unbound; is killed when it is dropped.
pub struct Unbound {
    child: Child,
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Unbound {
    /// Starts an Unbound that answers every name below `example` with this address.
    pub fn start(answer: &str) -> Self {
        Self::with(answer, "")
    }

    /// Starts one with further lines of its section `server:`.
    pub fn with(answer: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = place::socket();
        let (ip, port, path) = (address.ip(), address.port(), folder.path().display());
        // Each name is there with the wildcard's data and TTL.
        let text = format!(
            "server:\n interface: {ip}@{port}\n access-control: 0.0.0.0/0 allow\n username: \"\"\n chroot: \"\"\n \
             directory: \"{path}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n num-threads: 1\n \
             module-config: \"iterator\"\n do-not-query-localhost: yes\n local-zone: \"example.\" redirect\n \
             local-data: \"example. 300 IN A {answer}\"\n \
             local-data: \". 300 IN NS ns.example.\"\n{more}remote-control:\n control-enable: no\n"
        );
        std::fs::write(folder.path().join("unbound.conf"), text).unwrap();
        let mut unbound = Self { child: spawn(&folder), address, folder };
        unbound.wait();
        unbound
    }

    /// Starts one that asks this server for these zones, with these modules and further lines of its section `server:`.
    pub fn before((server, zones): (SocketAddr, &[&str]), modules: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = place::socket();
        let (ip, port, path) = (address.ip(), address.port(), folder.path().display());
        let (at, of) = (server.ip(), server.port());
        let stub = |zone: &&str| format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {at}@{of}\n");
        let stubs: String = zones.iter().map(stub).collect();
        let text = format!(
            "server:\n interface: {ip}@{port}\n access-control: 0.0.0.0/0 allow\n username: \"\"\n chroot: \"\"\n \
             directory: \"{path}\"\n pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n do-daemonize: no\n num-threads: 1\n \
             module-config: \"{modules}\"\n do-not-query-localhost: no\n \
             qname-minimisation: no\n{more}{stubs}remote-control:\n control-enable: no\n"
        );
        std::fs::write(folder.path().join("unbound.conf"), text).unwrap();
        let mut unbound = Self { child: spawn(&folder), address, folder };
        unbound.wait();
        unbound
    }

    fn wait(&mut self) {
        let query = wire::query("www.example", wire::A);
        place::until(PATIENCE, "Unbound to answer", || {
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(ended.is_none(), "Unbound ended: {}", log());
            wire::udp_once(self.address, &query, wire::SHORT)
        });
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        self.child = spawn(&self.folder);
        self.wait();
    }

    /// Sends it a signal, such as SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

fn spawn(folder: &tempfile::TempDir) -> Child {
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut command = place::tied(place::find("unbound").expect("the test asked for the peer"));
    command.arg("-d").arg("-c").arg(folder.path().join("unbound.conf"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

impl Drop for Unbound {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
