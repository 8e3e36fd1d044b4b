//! How the process behaves towards its operator: faulty starts, signals, exit codes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Setup, fetch, program};
use crate::namespace::Namespace;
use crate::place::{self, PATIENCE};
use crate::scripted::{Gate, Scripted};
use crate::wire;

/// Exit codes of sysexits.h.
const UNAVAILABLE: i32 = 69;
const CANNOT_CREATE: i32 = 73;
const NO_PERMISSION: i32 = 77;
const CONFIGURATION: i32 = 78;

fn assert_fails(output: &Output, code: i32, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in\n{told}");
    }
    // A person reads this: what is wrong and the remedy, no dump of the program's inside.
    assert!(!told.contains("panicked") && !told.contains("Error {") && !told.contains("Os {"), "{told}");
}

#[test]
fn a_second_daemon_in_the_same_data_folder_is_told() {
    let first = Setup::new().start();
    let second = Setup::new().set("data_dir", first.data().display().to_string());
    assert_fails(&second.fail(), UNAVAILABLE, &[&first.data().display().to_string()]);
    assert_eq!(wire::rcode(&wire::udp(first.dns, &wire::query("upd.kaspersky.com", wire::A))), wire::NXDOMAIN);
}

#[test]
fn a_second_daemon_at_the_same_address_is_told_though_ports_can_be_shared() {
    let first = Setup::new().start();
    let second = Setup::new().set("listen.dns", vec![first.dns.to_string()]);
    assert_fails(&second.fail(), UNAVAILABLE, &[&first.dns.to_string()]);
    let third = Setup::new().set("admin.listen", first.admin.to_string());
    assert_fails(&third.fail(), UNAVAILABLE, &[&first.admin.to_string()]);
    assert_eq!(wire::rcode(&wire::udp(first.dns, &wire::query("upd.kaspersky.com", wire::A))), wire::NXDOMAIN);
}

#[test]
fn an_address_that_another_program_holds_is_told() {
    let udp = std::net::UdpSocket::bind(place::socket()).unwrap();
    let tcp = std::net::TcpListener::bind(place::socket()).unwrap();
    for taken in [udp.local_addr().unwrap(), tcp.local_addr().unwrap()] {
        let setup = Setup::new().set("listen.dns", vec![taken.to_string()]);
        assert_fails(&setup.fail(), UNAVAILABLE, &[&taken.to_string()]);
    }
}

/// A copy of the program where every user can run it, whatever the rights on the way to the sources are.
fn public_program(setup: &Setup) -> PathBuf {
    let copy = setup.folder.path().join("interdict");
    std::fs::copy(program(), &copy).unwrap();
    open_to_all(setup.folder.path());
    open_to_all(&copy);
    copy
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

const NOBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

#[test]
fn a_port_that_only_root_may_have_is_told_to_a_user() {
    needs!("root", "ip", "setpriv");
    // A namespace of its own, because containers often let anyone have port 53.
    let namespace = Namespace::new();
    let setup = Setup::new().set("listen.dns", vec!["127.0.0.1:53"]).set("admin.listen", "127.0.0.1:5380");
    let data = setup.data();
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).unwrap();
    let copy = public_program(&setup);
    let setup = setup.program(copy).through(&[&["ip", "netns", "exec", &namespace.name], NOBODY].concat());
    assert_fails(&setup.fail(), NO_PERMISSION, &["127.0.0.1:53"]);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_told() {
    needs!("root", "setpriv");
    for existing in [true, false] {
        let setup = Setup::new();
        if existing {
            std::fs::create_dir(setup.data()).unwrap();
        }
        let copy = public_program(&setup);
        let data = setup.data().display().to_string();
        assert_fails(&setup.program(copy).through(NOBODY).fail(), CANNOT_CREATE, &[&data]);
    }
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once_and_nothing_is_bound() {
    let setup = Setup::new();
    let text = format!(
        "data_dir = 7\nunheard_of = true\n\n[listen]\ndns = [\"{}\", \"nowhere\"]\nallow = [\"10.0.0.0/40\"]\n\n\
         [upstream]\nservers = [\"192.0.2.1:99999\"]\n\n[nonsense]\nkey = 1\n\n[admin]\nlisten = 53\n",
        setup.dns
    );
    std::fs::write(setup.config(), text).unwrap();
    let faulty = Setup::new().config_file(&setup.config());
    let output = faulty.fail();
    let file = setup.config().display().to_string();
    assert_fails(
        &output,
        CONFIGURATION,
        &[&file, "unheard_of", "nowhere", "10.0.0.0/40", "192.0.2.1:99999", "nonsense"],
    );
    let told = String::from_utf8_lossy(&output.stderr);
    for line in [1, 2, 5, 6, 9, 11, 15] {
        assert!(told.contains(&format!("interdict.toml:{line}")), "line {line} is not named in\n{told}");
    }
    assert!(fetch(setup.admin, "/health/live").is_none());
}

#[test]
fn sigterm_and_sigint_end_it_well_and_free_the_place() {
    let mut setup = Setup::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = setup.start();
        daemon.signal(signal);
        let status = daemon.ended(Duration::from_secs(2));
        assert_eq!(status.code(), Some(0), "{signal}: {}", daemon.told());
        setup = daemon.give_back();
    }
    setup.start();
}

#[test]
fn what_is_in_flight_is_answered_before_the_end() {
    let gate = Gate::default();
    let (opened, held) = (gate.clone(), gate.clone());
    let upstream = Scripted::start(move |query| {
        if wire::asked_name(query).starts_with("slow") {
            held.pass();
        }
        vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]
    });
    let mut daemon = Setup::new().upstreams(&[upstream.address]).start();
    let server = daemon.dns;
    let over_udp = std::thread::spawn(move || wire::udp(server, &wire::query("slow-udp.example", wire::A)));
    let mut stream = wire::Stream::open(server);
    stream.send(&wire::query("slow-tcp.example", wire::A)).unwrap();
    place::until(PATIENCE, "both queries to be upstream", || {
        ["slow-udp.example", "slow-tcp.example"].iter().all(|name| upstream.asked(name) > 0).then_some(())
    });
    let told = Instant::now();
    daemon.signal(Signal::SIGTERM);
    // The answers come while the daemon is stopping, which shows in that it takes no new connection.
    place::until(PATIENCE, "the daemon to take nothing new", || {
        std::net::TcpStream::connect(server).is_err().then_some(())
    });
    opened.open();
    assert_eq!(wire::rcode(&over_udp.join().unwrap()), wire::NOERROR);
    assert_eq!(wire::rcode(&stream.receive().expect("the answer over TCP")), wire::NOERROR);
    assert_eq!(daemon.ended(Duration::from_secs(2)).code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(3), "it took {:?} to stop", told.elapsed());
}

#[test]
fn the_first_screen_tells_what_is_there_and_what_to_try() {
    let daemon = Setup::new().start();
    // The screen is written once everything runs, a moment after the first answer of the admin listener perhaps.
    let told = place::until(PATIENCE, "the line to try", || Some(daemon.told()).filter(|told| told.contains("dig @")));
    for word in [&daemon.dns.to_string(), &daemon.admin.to_string(), &daemon.data().display().to_string()] {
        assert!(told.contains(word.as_str()), "`{word}` is not in\n{told}");
    }
    for word in [
        "89 FR 52434",
        "in force since 2024-09-29T04:00:00Z",
        &format!("dig @{} -p {} ", daemon.dns.ip(), daemon.dns.port()),
    ] {
        assert!(told.contains(word), "`{word}` is not in\n{told}");
    }
    assert!(told.lines().count() <= 40, "more than one screen:\n{told}");
    assert_eq!(fetch(daemon.admin, "/health/live").map(|(status, _)| status), Some(200));
}
