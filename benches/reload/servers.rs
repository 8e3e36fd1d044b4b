//! The servers that are measured, each with the same list and the same upstream, on loopback and in a folder of its own.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::Question;

/// How long a start or a reload may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Names of which each of the two lists has one, to see which of them is in force.
const MARKS: [&str; 2] = ["mark-a.listed-alone.com", "mark-b.listed-alone.com"];
/// The key of dnsdist's console, which is reached on loopback only.
const CONSOLE_KEY: &str = "MXNeLFWHUe4363BBKrY06cAsH8NWNb+Se2eXU5+Bb74=";
const NXDOMAIN: u8 = 3;

/// A server, and how its list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Interdict,
    /// A `local-zone` for each name, and `unbound-control reload`.
    UnboundLocal,
    /// A policy zone, and `unbound-control auth_zone_reload`.
    UnboundRpz,
    /// A `SuffixMatchNode` that is filled anew over the console.
    Dnsdist,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Interdict, Self::UnboundRpz, Self::UnboundLocal, Self::Dnsdist];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interdict => "interdict",
            Self::UnboundLocal => "unbound local-zone",
            Self::UnboundRpz => "unbound rpz",
            Self::Dnsdist => "dnsdist",
        }
    }

    /// Returns the line of a list for a name and all below it.
    fn line(self, name: &str) -> String {
        match self {
            Self::Interdict | Self::Dnsdist => format!("{name}\n"),
            Self::UnboundLocal => format!("local-zone: \"{name}.\" always_nxdomain\n"),
            Self::UnboundRpz => format!("{name} CNAME .\n*.{name} CNAME .\n"),
        }
    }

    const fn head(self) -> &'static str {
        match self {
            Self::UnboundRpz => "$ORIGIN rpz.\n@ 60 SOA . . 1 3600 3600 3600 60\n@ 60 NS localhost.\n",
            Self::Interdict | Self::Dnsdist | Self::UnboundLocal => "",
        }
    }
}

/// A server that runs; is ended when it is dropped.
pub struct Server {
    kind: Kind,
    child: Child,
    pub address: SocketAddr,
    control: SocketAddr,
    folder: PathBuf,
    /// Which of the two lists is in force.
    list: usize,
}

impl Server {
    /// Writes two lists of `names`, each with a mark of its own, and the configuration.
    pub fn prepare(kind: Kind, folder: &Path, names: &[String]) {
        for (index, mark) in MARKS.iter().enumerate() {
            let lines = names.iter().map(|name| kind.line(name));
            let text: String = std::iter::once(kind.head().to_owned()).chain(lines).chain([kind.line(mark)]).collect();
            fs::write(folder.join(format!("list-{index}")), text).unwrap();
        }
    }

    /// Starts a server, and returns it with the time until its list is in force.
    pub fn start(kind: Kind, folder: &Path, upstream: SocketAddr) -> (Self, Duration) {
        let (address, control) = (free(), free());
        fs::write(folder.join("config"), config(kind, folder, address, control, upstream)).unwrap();
        point(folder, 0);
        let config = folder.join("config");
        let mut command = match kind {
            Kind::Interdict => Command::new(env!("CARGO_BIN_EXE_interdict")),
            Kind::UnboundLocal | Kind::UnboundRpz => Command::new("/usr/sbin/unbound"),
            Kind::Dnsdist => Command::new("/usr/bin/dnsdist"),
        };
        match kind {
            Kind::Interdict => command.args(["run", "--config"]).arg(config),
            Kind::UnboundLocal | Kind::UnboundRpz => command.args(["-d", "-c"]).arg(config),
            Kind::Dnsdist => command.args(["--supervised", "--disable-syslog", "-C"]).arg(config),
        };
        let log = fs::File::create(folder.join("log")).unwrap();
        let start = Instant::now();
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", kind.as_str()));
        let server = Self { kind, child, address, control, folder: folder.to_owned(), list: 0 };
        server.wait_for_list();
        (server, start.elapsed())
    }

    /// Has the server load its other list, and returns the time until that is in force.
    pub fn reload(&mut self) -> Duration {
        self.list = 1 - self.list;
        point(&self.folder, self.list);
        let start = Instant::now();
        let config = self.folder.join("config");
        let mut command = match self.kind {
            Kind::Interdict => {
                kill(self.pid(), Signal::SIGHUP).unwrap();
                self.wait_for_list();
                return start.elapsed();
            }
            Kind::UnboundLocal | Kind::UnboundRpz => Command::new("/usr/sbin/unbound-control"),
            Kind::Dnsdist => Command::new("/usr/bin/dnsdist"),
        };
        match self.kind {
            Kind::UnboundRpz => command.arg("-c").arg(config).args(["auth_zone_reload", "rpz."]),
            Kind::UnboundLocal => command.arg("-c").arg(config).arg("reload"),
            Kind::Dnsdist | Kind::Interdict => {
                command.arg("-C").arg(config).args(["-c", &self.control.to_string(), "-k", CONSOLE_KEY]);
                command.args(["-e", "load_list()"])
            }
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", self.kind.as_str(), String::from_utf8_lossy(&output.stderr));
        self.wait_for_list();
        start.elapsed()
    }

    fn wait_for_list(&self) {
        let socket = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let question = Question::new(MARKS[self.list], NXDOMAIN);
        let deadline = Instant::now() + PATIENCE;
        let mut answer = [0; 512];
        loop {
            let sent = socket.send(&question.packet).is_ok();
            if sent && socket.recv(&mut answer).is_ok_and(|length| question.is_answered_by(&answer[..length])) {
                return;
            }
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{} has no list in force:\n{}", self.kind.as_str(), log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the resident memory in MiB: what is the process's alone, and files that are mapped.
    pub fn memory(&self) -> (f64, f64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = |key: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        (kib("RssAnon:") / 1024.0, kib("RssFile:") / 1024.0)
    }

    /// Returns the processor time that the process has taken.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let behind_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        // In hundredths of a second (proc_pid_stat(5), fields 14 and 15).
        let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        drop(self.child.wait());
    }
}

/// Lets the list that the configuration names be the one with this number.
fn point(folder: &Path, list: usize) {
    let beside = folder.join("list.new");
    drop(fs::remove_file(&beside));
    symlink(folder.join(format!("list-{list}")), &beside).unwrap();
    fs::rename(beside, folder.join("list")).unwrap();
}

/// Returns an address on loopback that was free a moment ago.
fn free() -> SocketAddr {
    UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn config(kind: Kind, folder: &Path, address: SocketAddr, control: SocketAddr, upstream: SocketAddr) -> String {
    let list = folder.join("list");
    let (list, folder) = (list.display(), folder.display());
    match kind {
        Kind::Interdict => format!(
            "data_dir = \"{folder}/data\"\n[listen]\ndns = [\"{address}\"]\n[admin]\nlisten = \"{control}\"\n\
             [upstream]\nservers = [\"{upstream}\"]\n[[lists.list]]\nname = \"many\"\nfile = \"{list}\"\n\
             format = \"suffixes\"\n"
        ),
        Kind::UnboundLocal | Kind::UnboundRpz => {
            let (module, clause, zone) = match kind {
                Kind::UnboundRpz => {
                    ("respip iterator", String::new(), format!("rpz:\n name: \"rpz.\"\n zonefile: \"{list}\"\n"))
                }
                Kind::Interdict | Kind::UnboundLocal | Kind::Dnsdist => {
                    ("iterator", format!(" include: \"{list}\"\n"), String::new())
                }
            };
            format!(
                "server:\n interface: {ip}@{port}\n num-threads: 2\n so-reuseport: yes\n chroot: \"\"\n username: \"\"\n \
                 directory: \"{folder}\"\n pidfile: \"{folder}/pid\"\n use-syslog: no\n do-not-query-localhost: no\n \
                 module-config: \"{module}\"\n{clause}remote-control:\n control-enable: yes\n control-interface: \
                 {folder}/control\n control-use-cert: no\n{zone}forward-zone:\n name: \".\"\n forward-addr: {to}@{at}\n",
                ip = address.ip(),
                port = address.port(),
                to = upstream.ip(),
                at = upstream.port(),
            )
        }
        Kind::Dnsdist => format!(
            "setLocal('{address}', {{reusePort=true}})\naddLocal('{address}', {{reusePort=true}})\n\
             newServer('{upstream}')\ngetPool(''):setCache(newPacketCache(10000))\nsetKey('{CONSOLE_KEY}')\n\
             controlSocket('{control}')\nlocal loaded = false\nfunction load_list()\n\
             local names = newSuffixMatchNode()\nfor line in io.lines('{list}') do names:add(newDNSName(line)) end\n\
             addAction(SuffixMatchNodeRule(names), RCodeAction(DNSRCode.NXDOMAIN))\nif loaded then rmRule(0) end\n\
             loaded = true\nend\nload_list()\n"
        ),
    }
}
