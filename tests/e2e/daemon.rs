//! The real program as a child: configured, started, asked and ended as an operator would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;

/// Returns the program under test: the one named by `INTERDICT_BIN`, else the one that was built with the tests.
pub fn program() -> PathBuf {
    match std::env::var_os("INTERDICT_BIN") {
        Some(program) => PathBuf::from(program),
        None => PathBuf::from(env!("CARGO_BIN_EXE_interdict")),
    }
}

/// A configuration under construction, in a folder of its own.
pub struct Setup {
    pub table: toml::Table,
    pub folder: tempfile::TempDir,
    pub dns: SocketAddr,
    pub admin: SocketAddr,
    arguments: Vec<String>,
    limits: Vec<String>,
    program: PathBuf,
    config: Option<PathBuf>,
}

impl Setup {
    /// Returns a configuration that listens on addresses of its own and forwards nowhere yet.
    pub fn new() -> Self {
        let (dns, admin) = (place::socket(), place::socket());
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data").display().to_string();
        let (arguments, limits) = (Vec::new(), Vec::new());
        let setup =
            Self { table: toml::Table::new(), folder, dns, admin, arguments, limits, program: program(), config: None };
        setup
            .set("data_dir", data)
            .set("listen.dns", vec![dns.to_string()])
            .set("admin.listen", admin.to_string())
            // A name server that nobody is at, so that a test which forgets its upstream never asks the system's.
            .set("upstream.servers", vec![SocketAddr::new(place::server_address(), 9).to_string()])
    }

    pub fn forwarding_to(upstream: &Upstream) -> Self {
        Self::new().upstreams(&[upstream.address])
    }

    pub fn upstreams(self, servers: &[SocketAddr]) -> Self {
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        self.set("upstream.servers", servers)
    }

    /// Sets the key at a dotted path.
    pub fn set(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        let (sections, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.table;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let entry = table.entry(section).or_insert_with(|| toml::Table::new().into());
            table = entry.as_table_mut().unwrap();
        }
        table.insert(key.to_owned(), value.into());
        self
    }

    /// Starts policy time at `instant`.
    pub fn at(self, instant: &str) -> Self {
        self.argument("--at").argument(instant)
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Puts a program such as `setpriv` with its arguments in front of ours.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.limits.extend(command.iter().map(|&word| word.to_owned()));
        self
    }

    /// Takes away what [`Self::through`] put in front.
    pub fn plain(mut self) -> Self {
        self.limits.clear();
        self
    }

    /// Runs another copy of the program.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Uses a configuration file as it is, rather than one of the keys that were set.
    pub fn config_file(mut self, file: &Path) -> Self {
        self.config = Some(file.to_owned());
        self
    }

    pub fn config(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.folder.path().join("interdict.toml"))
    }

    pub fn data(&self) -> PathBuf {
        PathBuf::from(self.table["data_dir"].as_str().unwrap())
    }

    fn write(&self) {
        if self.config.is_none() {
            std::fs::write(self.config(), toml::to_string(&self.table).unwrap()).unwrap();
        }
    }

    fn command(&self) -> Command {
        self.write();
        let mut command = match self.limits.split_first() {
            None => place::tied(&self.program),
            Some((first, rest)) => {
                let mut command = place::tied(place::find(first).unwrap_or_else(|| PathBuf::from(first)));
                command.args(rest).arg(&self.program);
                command
            }
        };
        command.arg("run").arg("--config").arg(self.config()).args(&self.arguments);
        command.env_remove("RUST_LOG").current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to an end that comes by itself.
    pub fn fail(&self) -> Output {
        let child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ending = Ending(Some(child));
        place::until(PATIENCE, "a faulty start to end", || ending.0.as_mut().unwrap().try_wait().unwrap());
        ending.0.take().unwrap().wait_with_output().unwrap()
    }

    /// Checks the configuration; returns what was told, on both outputs.
    pub fn check(&self, arguments: &[&str]) -> String {
        self.write();
        let mut command = Command::new(&self.program);
        command.arg("check").arg("--config").arg(self.config()).args(arguments).current_dir(self.folder.path());
        let Output { stdout, stderr, .. } = command.output().unwrap();
        String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr)
    }

    /// Starts the program without waiting for it.
    pub fn launch(self) -> Daemon {
        let open = |name: &str| std::fs::File::create(self.folder.path().join(name)).unwrap();
        let child = self.command().stdout(open("stdout")).stderr(open("stderr")).spawn().unwrap();
        Daemon { child, dns: self.dns, admin: self.admin, setup: self }
    }

    /// Starts the program and waits until it answers; whether an upstream does it may not know yet.
    pub fn start(self) -> Daemon {
        let mut daemon = self.launch();
        daemon.wait_until("/health/live");
        daemon
    }

    /// Starts the program and waits until it says that it is ready.
    pub fn start_ready(self) -> Daemon {
        let mut daemon = self.launch();
        daemon.wait_until("/health/ready");
        daemon
    }
}

/// A child that is killed where a test ends before it does.
struct Ending(Option<Child>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A running daemon; is killed when it is dropped, and shows its output where the test failed.
pub struct Daemon {
    child: Child,
    pub dns: SocketAddr,
    pub admin: SocketAddr,
    setup: Setup,
}

impl Daemon {
    fn wait_until(&mut self, well: &str) {
        let admin = self.admin;
        place::until(PATIENCE, &format!("{well} of the daemon"), || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {ended:?}");
            fetch(admin, well).filter(|(status, _)| *status == 200)
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self) -> PathBuf {
        self.setup.data()
    }

    pub fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// Returns what the daemon has written so far, to both its outputs.
    pub fn told(&self) -> String {
        let read = |name: &str| String::from_utf8_lossy(&std::fs::read(self.folder().join(name)).unwrap()).into_owned();
        read("stdout") + &read("stderr")
    }

    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits for the end, at most as long as `patience`.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        place::until(patience, "the daemon to end", || self.child.try_wait().unwrap())
    }

    /// Ends the daemon as a service manager does.
    ///
    /// # Panics
    /// Where it does not end well and in time.
    pub fn stop(mut self) -> Setup {
        self.signal(Signal::SIGTERM);
        let status = self.ended(PATIENCE);
        assert_eq!(status.code(), Some(0), "the daemon ended with {status}");
        self.give_back()
    }

    /// Ends the daemon as a power cut does, and gives the configuration and the data back for another start.
    pub fn kill(mut self) -> Setup {
        self.signal(Signal::SIGKILL);
        self.ended(PATIENCE);
        self.give_back()
    }

    /// Gives the configuration and the data back for another start; kills what still runs.
    pub fn give_back(mut self) -> Setup {
        let empty = Setup::new();
        std::mem::replace(&mut self.setup, empty)
    }

    /// Changes the configuration file, the daemon being left to notice by itself.
    pub fn reconfigure(&mut self, path: &str, value: impl Into<toml::Value>) {
        let setup = std::mem::replace(&mut self.setup, Setup::new());
        self.setup = setup.set(path, value);
        self.setup.write();
    }

    /// Returns the samples of `/metrics` whose line begins with `name`, added up; none counts as 0.
    pub fn metric(&self, name: &str) -> f64 {
        let (status, text) = fetch(self.admin, "/metrics").expect("the admin listener answers");
        assert_eq!(status, 200, "{text}");
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Runs another command of the program with this daemon's configuration.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).arg("--config").arg(self.setup.config()).current_dir(self.folder());
        command.output().unwrap()
    }

    /// Runs a command that writes JSON, and returns its values: those of one array, or one for each line.
    pub fn json(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let output = self.command(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{text}{stderr}", output.status);
        let values: Result<Vec<serde_json::Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        let values = values.unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{text}"));
        match <[serde_json::Value; 1]>::try_from(values) {
            Ok([serde_json::Value::Array(values)]) => values,
            Ok([value]) => vec![value],
            Err(values) => values,
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("what the daemon told:\n{}", self.told());
        }
    }
}

/// Returns what health tells once the daemon is ready, which its upstream has to answer for.
pub fn ready(daemon: &Daemon) -> serde_json::Value {
    let told = place::until(PATIENCE, "the daemon to be ready", || {
        fetch(daemon.admin, "/health/ready").filter(|(status, _)| *status == 200)
    });
    serde_json::from_str(&told.1).unwrap()
}

/// Fetches a page over HTTP; `None` while nobody answers.
pub fn fetch(admin: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
