//! Where a test lives: addresses and folders of its own, the peers it needs, and waiting without sleeping blindly.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a condition may take that holds within milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Returns an address of this test process alone, so that tests which run side by side never share a port.
pub fn server_address() -> IpAddr {
    own_address(1)
}

/// Returns another address of this test process alone, for a client or a second server.
pub fn other_address() -> IpAddr {
    own_address(2)
}

fn own_address(part: u8) -> IpAddr {
    // Process ids have at most 22 bits; the two bits above them tell the parts from each other and from 127.0.0.1.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, part << 6 | (high & 0x3f), middle, low))
}

/// Returns a port that nothing else in this process was given, below those that the kernel gives out by itself.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(5300);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns a fresh place to listen.
pub fn socket() -> SocketAddr {
    SocketAddr::new(server_address(), port())
}

/// Polls until `condition` gives something.
///
/// # Panics
/// After `deadline`, telling what was waited for. Hundreds of rounds beside other work meet a machine that stands still for
/// longer; there it is ten times that.
pub fn until<T>(deadline: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = patient(deadline);
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns how many rounds a repeated test runs: the short count, or the long one where `INTERDICT_LONG` is set.
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Returns how long something may take that takes `duration` at most on a machine that does nothing else for long.
pub fn patient(duration: Duration) -> Duration {
    if is_long() { duration * 10 } else { duration }
}

fn is_long() -> bool {
    std::env::var_os("INTERDICT_LONG").is_some_and(|long| long != "0" && !long.is_empty())
}

/// Ends the test as skipped where a program that it needs is missing; `root` stands for running as root, `landlock` for a
/// kernel that has it, `helm` for Helm's library in Python, `libfaketime`, `python3-cryptography`, `python3-aiosmtpd` and
/// `webext-ublock-origin-firefox` for what these packages hold.
macro_rules! needs {
    ($($peer:literal),+) => {
        fn here() {}
        let test = std::any::type_name_of_val(&here);
        if !$crate::place::peers(test.trim_end_matches("::here"), &[$($peer),+]) {
            return;
        }
    };
}

/// Returns whether all `peers` are there; tells the skip where not.
///
/// # Panics
/// In CI, where a missing peer is a failure.
pub fn peers(test: &str, peers: &[&str]) -> bool {
    peers.iter().all(|&peer| match peer {
        "root" => nix::unistd::geteuid().is_root() || skip(test, "it needs root"),
        "python3-cryptography" => imports("cryptography") || skip(test, "python3-cryptography is not installed"),
        "python3-aiosmtpd" => imports("aiosmtpd") || skip(test, "python3-aiosmtpd is not installed"),
        "webext-ublock-origin-firefox" => {
            real_lists().is_some() || skip(test, "webext-ublock-origin-firefox is not installed")
        }
        "landlock" => {
            let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            symbols.contains(" landlock_init") || skip(test, "this kernel has no Landlock")
        }
        "helm" => {
            // It comes from the Python package index alone, which not every build machine reaches: told, and no failure.
            helm().is_some()
                || tell(test, "Helm's library and the schemas of Kubernetes are not installed (tests/run does)")
        }
        "libfaketime" => libfaketime().is_some() || skip(test, "libfaketime is not installed"),
        program => find(program).is_some() || skip(test, &format!("{program} is not installed")),
    })
}

/// The Python that has what Debian's packages hold, whichever comes first on the path.
pub const PYTHON: &str = "/usr/bin/python3";

fn imports(module: &str) -> bool {
    let imported = Command::new(PYTHON).args(["-c", &format!("import {module}")]).output();
    imported.is_ok_and(|output| output.status.success())
}

/// Returns the folder of the lists that Debian ships with a content blocker.
pub fn real_lists() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/share/mozilla/extensions").ok()?.filter_map(Result::ok);
    let lists = folders.map(|folder| folder.path().join("uBlock0@raymondhill.net/assets/thirdparties"));
    lists.into_iter().find(|lists| lists.is_dir())
}

/// Tells that `test` is not run, and why; `tests/run` counts these lines. Always returns false.
fn skip(test: &str, reason: &str) -> bool {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}, and CI skips nothing");
    tell(test, reason)
}

fn tell(test: &str, reason: &str) -> bool {
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("INTERDICT_SKIPPED") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
    false
}

/// Returns where a program is, `sbin` included, which is not on every user's path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Returns a Python that has Helm's library and the schemas of Kubernetes: in a folder of its own, which `tests/run` makes.
pub fn helm() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"));
    let python = target.join("helm/bin/python");
    let imports = "import helm_python, kubernetes_validate, yaml";
    let imported = Command::new(&python).args(["-c", imports]).output();
    imported.is_ok_and(|output| output.status.success()).then_some(python)
}

/// Returns the library that shows a program another system clock; a folder of its own for each architecture holds it.
pub fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.is_file())
}

/// Returns a command that ends with the thread that started it, however that thread ends.
pub fn tied(program: impl AsRef<std::path::Path>) -> Command {
    let mut command = Command::new(find("setpriv").expect("setpriv is part of util-linux, which is essential"));
    command.args(["--pdeathsig", "TERM"]).arg(program.as_ref());
    command
}

/// Runs a command to its end and returns what it wrote.
///
/// # Panics
/// Where it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// Returns a port that was free on `address` a moment ago, for UDP and TCP, where an address of our own will not do.
pub fn port_on(address: IpAddr) -> u16 {
    loop {
        let socket = std::net::UdpSocket::bind((address, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        if std::net::TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
}
