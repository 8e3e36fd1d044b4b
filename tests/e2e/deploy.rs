//! What a service manager and a container engine see: health from outside, the service protocol, given sockets, the sandbox.

use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup, program};
use crate::disk::Small;
use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;
use crate::wire;

/// Returns the exit code of a command, and the line that it wrote.
fn ended(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).trim().to_owned())
}

fn health(daemon: &Daemon, more: &[&str]) -> (Option<i32>, String) {
    ended(&daemon.command(&[&["healthcheck"], more].concat()))
}

#[test]
fn health_is_that_of_the_daemon_and_of_upstreams_where_asked() {
    // Nobody is at its upstream.
    let daemon = Setup::new().set("answer.version", "").launch();
    let well = (Some(0), "well".to_owned());
    place::until(PATIENCE, "the daemon to be well", || (health(&daemon, &[]) == well).then_some(()));
    wire::udp_once(daemon.dns, &wire::query("www.example", wire::A), PATIENCE).expect("it answers by SERVFAIL");
    let (code, told) = health(&daemon, &["--upstream"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("gives no answer") && told.lines().count() == 1, "{told}");
    assert_eq!(health(&daemon, &[]), well, "a restart would not mend the upstream");
    let setup = daemon.stop().set("listen.proxy_from", vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()]);
    let daemon = setup.launch();
    place::until(PATIENCE, "the daemon behind a proxy to be well", || (health(&daemon, &[]) == well).then_some(()));
    let shut = daemon.stop().set("listen.proxy_from", Vec::<String>::new());
    let daemon = shut.set("listen.allow", vec!["192.0.2.0/24"]).launch();
    let (_, told) = place::until(PATIENCE, "the daemon for others to be well", || {
        let of = health(&daemon, &[]);
        (of.0 == Some(0)).then_some(of)
    });
    assert!(told.contains("was not asked") && told.contains("[listen] allow"), "{told}");
    let daemon = daemon.stop().set("listen.allow", vec!["127.0.0.0/8"]).launch();
    place::until(PATIENCE, "the daemon to be well again", || (health(&daemon, &[]) == well).then_some(()));
    // Everything is bound, and nobody answers.
    daemon.signal(Signal::SIGSTOP);
    let (code, told) = health(&daemon, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("DNS over UDP at {}", daemon.dns)) && told.lines().count() == 1, "{told}");
    daemon.signal(Signal::SIGCONT);
    let setup = daemon.stop();
    let mut command = Command::new(program());
    let (code, told) = ended(&command.arg("healthcheck").arg("--config").arg(setup.config()).output().unwrap());
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("refused"), "{told}");
}

#[test]
fn health_with_an_upstream_that_answers_is_well() {
    needs!("nsd");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start_ready();
    assert_eq!(health(&daemon, &["--upstream"]), (Some(0), "well".to_owned()));
}

#[test]
fn status_and_doctor_tell_what_is_and_what_to_do() {
    needs!("nsd");
    let upstream = Upstream::start();
    let setup = Setup::forwarding_to(&upstream);
    let resolv_conf = setup.folder.path().join("resolv.conf");
    let told = resolv_conf.display().to_string();
    std::fs::write(&resolv_conf, "nameserver 192.0.2.53\n").unwrap();
    let daemon = setup.start_ready();
    let (code, text) = ended(&daemon.command(&["status"]));
    assert_eq!(code, Some(0), "{text}");
    for part in ["running and ready", &daemon.dns.to_string(), "us-commerce-2024", "next instant", "upstream"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, text) = ended(&daemon.command(&["explain", "192.0.2.10"]));
    assert!(code == Some(0) && text.contains("no rule names this address"), "{text}");
    assert!(text.contains("interdict attempts --client 192.0.2.10"), "{text}");
    let status = &daemon.json(&["status", "--json"])[0];
    assert_eq!((&status["running"], &status["ready"]), (&true.into(), &true.into()), "{status}");

    let doctor = |daemon: &Daemon| ended(&daemon.command(&["doctor", "--resolv-conf", &told]));
    let (_, text) = doctor(&daemon);
    for part in [
        "answers over UDP and TCP",
        "nobody has asked since the start",
        "only this machine can ask",
        "this machine asks 192.0.2.53",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    wire::udp(daemon.dns, &wire::query("www.example", wire::A));
    let (_, text) = doctor(&daemon);
    assert!(text.contains("1 look-up was decided"), "{text}");

    // Port 53 of the stub's file is not ours, so that only its kind is told.
    std::fs::write(&resolv_conf, "nameserver 127.0.0.53\n").unwrap();
    assert!(doctor(&daemon).1.contains("systemd-resolved"));
    upstream.signal(Signal::SIGSTOP);
    place::until(PATIENCE, "the silence of the upstream to be seen", || {
        wire::udp_once(daemon.dns, &wire::query(&format!("{}.example", rand::random::<u32>()), wire::A), wire::SHORT);
        let (code, text) = doctor(&daemon);
        (code == Some(1) && text.contains("BAD   upstream") && text.contains("[upstream] servers")).then_some(())
    });
    upstream.signal(Signal::SIGCONT);
    let setup = daemon.stop();
    let (code, text) =
        ended(&Command::new(program()).args(["status", "--config"]).arg(setup.config()).output().unwrap());
    assert!(code == Some(69) && text.contains("no daemon runs"), "{code:?} {text}");
    let mut command = Command::new(program());
    let (code, text) = ended(&command.args(["doctor", "--config"]).arg(setup.config()).output().unwrap());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("BAD   daemon") && text.contains("none works in the data folder"), "{text}");
}

/// On an idle network nobody's query finds out that an upstream is dead.
#[test]
fn a_dead_upstream_and_a_full_disk_are_told_without_anybody_asking() {
    needs!("root", "mount", "umount");
    let setup = Setup::new();
    let small = Small::mount(&setup.data(), "8m");
    let daemon = setup.start();
    let told = |daemon: &Daemon| ended(&daemon.command(&["status"]));
    let (_, text) = place::until(PATIENCE, "the dead upstream to be told", || {
        let (code, text) = told(&daemon);
        (code == Some(1) && text.contains("NOT WELL: ") && text.contains("gives no answer")).then_some((code, text))
    });
    assert!(text.contains("running, and not ready"), "{text}");
    small.fill();
    place::until(PATIENCE, "the full disk to be told", || {
        told(&daemon).1.lines().any(|line| line.contains("disk") && line.contains("NOT WELL: 0 MiB")).then_some(())
    });
    // A mistyped command starts nothing.
    let (code, text) = ended(&Command::new(program()).arg("statsu").output().unwrap());
    assert!(code == Some(64) && text.contains("statsu"), "{code:?} {text}");
}
