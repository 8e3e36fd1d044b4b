//! What a service manager sees: the protocol of sd_notify(3), sockets that it bound, and the units that are shipped.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::wire::{self, Stream};

/// The manager's end of the protocol.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, folder }
    }

    /// Starts a daemon that is told of this manager, and of a watchdog of so many microseconds.
    fn start(&self, setup: Setup, watchdog: Option<u64>) -> Daemon {
        let mut words = vec![format!("NOTIFY_SOCKET={}", self.folder.path().join("notify").display())];
        words.extend(watchdog.map(|microseconds| format!("WATCHDOG_USEC={microseconds}")));
        let words: Vec<&str> = ["env"].into_iter().chain(words.iter().map(String::as_str)).collect();
        setup.through(&words).launch()
    }

    /// Returns the next message that holds a line, and what came before it.
    fn until(&self, line: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|_| panic!("{line} never comes; {before:?}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.lines().any(|of| of == line) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

fn value(message: &str, key: &str) -> i128 {
    let line = message.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{message}"));
    line.parse().unwrap()
}

fn monotonic() -> i128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_micros().cast_signed()
}

#[test]
fn the_manager_is_told_of_starts_reloads_and_stops() {
    let manager = Manager::new();
    let mut daemon = manager.start(Setup::new(), None);
    let (message, before) = manager.until("READY=1");
    assert!(before.is_empty() && message.contains("STATUS=answering; "), "{message} {before:?}");
    // Ready is who answers: no try comes too early.
    let query = wire::query("localhost", wire::A);
    assert!(wire::udp_once(daemon.dns, &query, PATIENCE).is_some());

    for (orders, told) in [(Vec::new(), "STATUS=answering; 0 orders"), (vec!["none-such".to_owned()], "refused")] {
        daemon.reconfigure("policy.orders", orders);
        let asked = monotonic();
        daemon.signal(Signal::SIGHUP);
        let (message, before) = manager.until("RELOADING=1");
        let when = value(&message, "MONOTONIC_USEC=");
        assert!(before.is_empty() && asked <= when && when <= monotonic(), "{asked} {message} {before:?}");
        let (message, before) = manager.until("READY=1");
        assert!(before.is_empty() && message.contains(told), "{message} {before:?}");
    }
    daemon.signal(Signal::SIGTERM);
    manager.until("STOPPING=1");
    assert_eq!(daemon.ended(PATIENCE).code(), Some(0));
}

/// Returns the id of a thread by its name.
fn thread(daemon: &Daemon, name: &str) -> Pid {
    let mut tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().map(|task| task.unwrap().path());
    let of = tasks.find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == name).unwrap();
    Pid::from_raw(of.file_name().unwrap().to_str().unwrap().parse().unwrap())
}

#[test]
fn the_watchdog_is_fed_while_the_workers_turn() {
    let manager = Manager::new();
    let daemon = manager.start(Setup::new(), Some(2_000_000));
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    // Nothing feeds it where one thread of many stands still; the time is that in which it would have been fed four times.
    let worker = thread(&daemon, "udp-0");
    ptrace::seize(worker, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(worker).unwrap();
    waitpid(worker, Some(WaitPidFlag::__WALL)).unwrap();
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(manager.socket.recv(&mut [0; 4096]).is_err());
    ptrace::detach(worker, None).unwrap();
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.until("WATCHDOG=1");
}

#[test]
fn sockets_that_the_manager_bound_are_answered_on() {
    needs!("systemd-socket-activate");
    for kind in [&["--datagram"][..], &[]] {
        let address = place::socket();
        let listen = format!("--listen={address}");
        let mut words = vec!["systemd-socket-activate"];
        words.extend(kind);
        words.push(&listen);
        let setup = Setup::new().set("listen.dns", vec![address.to_string()]);
        let daemon = setup.through(&words).launch();
        let query = wire::query("localhost", wire::A);
        // It is started by what comes first, which waits in the socket for it.
        match kind {
            [] => place::until(PATIENCE, "an answer over TCP", || over_tcp(address, &query)),
            _ => place::until(PATIENCE, "an answer over UDP", || wire::udp_once(address, &query, wire::SHORT)),
        };
        // What was not given is bound beside it.
        assert!(wire::udp_once(address, &query, PATIENCE).is_some(), "{kind:?}");
        assert!(over_tcp(address, &query).is_some(), "{kind:?}");
        daemon.stop();
    }
}

fn over_tcp(address: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
    let mut stream = Stream(TcpStream::connect(address).ok()?);
    stream.0.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.send(query).ok()?;
    stream.receive().ok()
}

/// Where the units of a folder are, each under the name that it is installed by.
fn units() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

#[test]
fn the_units_are_sound_and_closed_off() {
    needs!("systemd-analyze");
    let folder = tempfile::tempdir().unwrap();
    let (root, system) = (folder.path(), folder.path().join("etc/systemd/system"));
    std::fs::create_dir_all(&system).unwrap();
    // What the units start has to be there.
    for program in ["usr/bin/interdict", "bin/sh"] {
        let program = root.join(program);
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for name in ["interdict.service", "interdict.socket"] {
        std::fs::copy(units().join(name), system.join(name)).unwrap();
    }
    let analyze = place::find("systemd-analyze").unwrap();
    let with_root = format!("--root={}", root.display());
    let output = Command::new(&analyze)
        .args(["verify", &with_root, "--man=no", "--recursive-errors=no", "interdict.service", "interdict.socket"])
        .output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<_> = told.lines().filter(|line| line.contains("interdict")).collect();
    assert!(output.status.success() && ours.is_empty(), "{}\n{told}", output.status);
    let unit = system.join("interdict.service");
    // In tenths; the exit code tells whether it is exceeded.
    let output =
        Command::new(&analyze).args(["security", "--offline=true", "--no-pager", "--threshold=15"]).arg(&unit).output();
    let output = output.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("Overall exposure level"), "{told}");
}
