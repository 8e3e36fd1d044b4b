//! Measures what a reload of a large list does to the answers meanwhile, and to memory; beside Unbound and dnsdist.
//!
//! `cargo bench --bench reload -- [--rules N] [--rate N] [--seconds N] [--reloads N] [--only NAME]`; all listens on
//! loopback. Half of the queries are for listed names, half for others that are kept.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a program for developers")]
#![allow(unreachable_pub, reason = "nothing outside can reach a program")]

mod load;
mod servers;

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{Load, Question, Report};
use servers::{Kind, Server};

/// Listed names that are asked for, and names that are not listed.
const ASKED: usize = 20_000;
const OTHERS: usize = 1_000;
/// By how much the 99.9th percentile may be later while lists are loaded.
const LATER: Duration = Duration::from_millis(1);
/// By how much memory may have grown between the fifth reload and the last.
const GROWN: f64 = 1.1;
const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |key: &str| Some(arguments.get(arguments.iter().position(|argument| argument == key)? + 1)?.clone());
    let number = |key: &str, otherwise: u32| value(key).map_or(otherwise, |value| value.parse().unwrap());
    let plan = Plan {
        rules: number("--rules", 1_000_000) as usize,
        rate: number("--rate", 20_000),
        long: Duration::from_secs(number("--seconds", 15).into()),
        reloads: number("--reloads", 200),
    };
    let only = value("--only");
    let names: Vec<String> = (0..plan.rules as u64).map(name).collect();
    let upstream = upstream();
    println!(
        "{} rules; {} queries a second; load of the machine {}",
        plan.rules,
        plan.rate,
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
    let mut good = true;
    for kind in Kind::ALL.into_iter().filter(|kind| only.as_ref().is_none_or(|only| kind.as_str().starts_with(only))) {
        good &= measure(kind, &plan, &names, upstream);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is measured.
struct Plan {
    rules: usize,
    rate: u32,
    /// How long each load lasts.
    long: Duration,
    reloads: u32,
}

/// Measures one server, and returns whether it does what is aimed at; of others than our own that is not asked.
fn measure(kind: Kind, plan: &Plan, names: &[String], upstream: SocketAddr) -> bool {
    let folder = tempfile::tempdir().unwrap();
    Server::prepare(kind, folder.path(), names);
    let (server, ready) = Server::start(kind, folder.path(), upstream);
    drop(server);
    let (mut server, again) = Server::start(kind, folder.path(), upstream);
    let (own, files) = server.memory();
    println!(
        "\n{}: ready in {:.2} s, the second time in {:.2} s; {own:.0} MiB of its own, {files:.0} MiB of files",
        kind.as_str(),
        ready.as_secs_f64(),
        again.as_secs_f64()
    );
    let step = (names.len() / ASKED).max(1);
    let listed: Vec<&String> = names.iter().step_by(step).collect();
    let blocked = Arc::new(listed.iter().map(|name| Question::new(name, NXDOMAIN)).collect::<Vec<_>>());
    let mixed = (0..ASKED).flat_map(|index| {
        let other = Question::new(&format!("www.other{}.org", index % OTHERS), NOERROR);
        [Question::new(listed[index % listed.len()], NXDOMAIN), other]
    });
    let mixed = Arc::new(mixed.collect::<Vec<_>>());
    // So that nothing of what follows waits for the upstream.
    run(&server, plan.rate / 2, &mixed, Duration::from_secs(5), |_| {});

    let before = server.processor_time();
    let report = run(&server, plan.rate, &blocked, plan.long / 3, |_| {});
    let took = (server.processor_time() - before).as_secs_f64() * 1e6 / report.right as f64;
    println!("  {took:.1} µs of processor time for each blocked query");
    let quiet = run(&server, plan.rate, &mixed, plan.long, |_| {});
    row("quiet", &quiet);
    let mut times = Vec::new();
    let loaded = {
        let (load, start) = (Load::start(server.address, plan.rate, Arc::clone(&mixed)), Instant::now());
        while start.elapsed() < plan.long {
            times.push(server.reload());
        }
        load.end()
    };
    row("reloading", &loaded);
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    println!("  {} reloads, {:.2} s each in the mean", times.len(), mean.as_secs_f64());
    if kind != Kind::Interdict {
        return true;
    }
    let (early, late, report) = repeat(&mut server, plan, &mixed);
    row("repeating", &report);
    println!("  memory after 5 reloads {early:.0} MiB, after {} {late:.0} MiB", plan.reloads);
    let verdicts = [
        ("no query is lost", [&quiet, &loaded, &report].iter().all(|of| of.lost() == 0 && of.wrong == 0)),
        ("the 99.9th percentile is within 1 ms", loaded.percentile(0.999) <= quiet.percentile(0.999) + LATER),
        ("memory is within 10 %", late <= early * GROWN),
    ];
    for (what, holds) in verdicts {
        println!("  {what}: {}", if holds { "yes" } else { "NO" });
    }
    verdicts.iter().all(|(_, holds)| *holds)
}

/// Reloads time and again under load; returns the memory after the fifth reload and after the last.
fn repeat(server: &mut Server, plan: &Plan, questions: &Arc<Vec<Question>>) -> (f64, f64, Report) {
    let load = Load::start(server.address, plan.rate, Arc::clone(questions));
    let mut early = 0.0;
    for number in 1..=plan.reloads {
        server.reload();
        if number == 5.min(plan.reloads) {
            early = settled(server);
        }
    }
    let report = load.end();
    (early, settled(server), report)
}

/// Returns the memory once nothing is given back any more.
fn settled(server: &Server) -> f64 {
    let total = || {
        let (own, files) = server.memory();
        own + files
    };
    let mut last = total();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = total();
        if now >= last {
            return now;
        }
        last = now;
    }
}

/// Runs a load for so long, with `meanwhile` in the middle of it.
fn run(
    server: &Server,
    rate: u32,
    questions: &Arc<Vec<Question>>,
    long: Duration,
    meanwhile: impl FnOnce(&Server),
) -> Report {
    let load = Load::start(server.address, rate, Arc::clone(questions));
    meanwhile(server);
    std::thread::sleep(long);
    load.end()
}

fn row(what: &str, report: &Report) {
    let millis = |of: Duration| of.as_secs_f64() * 1e3;
    println!(
        "  {what:<10} sent {:>8}  lost {:>6}  wrong {:>4}  ms: 50 % {:6.2}  99 % {:6.2}  99.9 % {:7.2}  latest {:8.2}  silence {:8.2}",
        report.sent,
        report.lost(),
        report.wrong,
        millis(report.percentile(0.5)),
        millis(report.percentile(0.99)),
        millis(report.percentile(0.999)),
        millis(report.percentile(1.0)),
        millis(report.silence),
    );
}

/// Returns a name of about twenty octets, always the same for a number.
fn name(number: u64) -> String {
    const TOP: [&str; 8] = ["com", "net", "org", "info", "de", "top", "xyz", "online"];
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let top = TOP[(mixed >> 61) as usize];
    format!("{:x}.{:x}-listed.{top}", mixed >> 56 & 0xFF, mixed & 0xFFFF_FFFF)
}

/// Answers every question with an address that may be kept for an hour.
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            let Some(end) = packet[12..length].iter().position(|octet| *octet == 0).map(|at| 12 + at + 5) else {
                continue;
            };
            let mut answer = packet[..end].to_vec();
            // A response with one question, one answer, and nothing else.
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend_from_slice(&[0xC0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 7]);
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, peer);
        }
    });
    address
}
