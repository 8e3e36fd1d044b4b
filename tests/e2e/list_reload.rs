//! Lists are loaded anew while queries are answered: none is lost, and what is replaced is given back.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup};
use crate::load::{Load, Question};
use crate::place::{self, PATIENCE, rounds};
use crate::scripted::Scripted;
use crate::wire;

const RULES: usize = 20_000;
/// Queries a second.
const RATE: u32 = 1000;
/// SCHED_IDLE (sched(7)).
const IDLE: &str = "5";

/// Lets the list be the one with this number; each has a name that the other has not.
fn point(folder: &Path, list: usize) {
    let beside = folder.join("list.new");
    symlink(folder.join(format!("list-{list}.txt")), &beside).unwrap();
    std::fs::rename(beside, folder.join("list.txt")).unwrap();
}

fn start(upstream: &Scripted, rules: usize) -> Daemon {
    let setup = Setup::new().upstreams(&[upstream.address]);
    let folder = setup.folder.path().to_owned();
    let names: String = (0..rules).map(|n| format!("n{n}.some-label.example\n")).collect();
    for list in 0..2 {
        std::fs::write(folder.join(format!("list-{list}.txt")), format!("{names}mark{list}.example\n")).unwrap();
    }
    point(&folder, 0);
    let mut table = toml::Table::new();
    table.insert("name".to_owned(), "many".into());
    table.insert("file".to_owned(), folder.join("list.txt").display().to_string().into());
    table.insert("format".to_owned(), "suffixes".into());
    setup.set("lists.list", vec![toml::Value::Table(table)]).start()
}

fn is_listed(daemon: &Daemon, name: &str) -> bool {
    wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A))) == wire::NXDOMAIN
}

fn reload(daemon: &Daemon, list: usize) {
    point(daemon.folder(), list);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the other list", || is_listed(daemon, &format!("mark{list}.example")).then_some(()));
    assert!(!is_listed(daemon, &format!("mark{}.example", 1 - list)), "only one list is in force");
}

/// Returns the resident memory in KiB once nothing more is given back.
fn memory(daemon: &Daemon) -> u64 {
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let (mut last, mut looks) = (u64::MAX, 0);
    place::until(PATIENCE, "memory to settle", || {
        let now = resident();
        looks = if now < last { 0 } else { looks + 1 };
        last = now;
        (looks == 20).then_some(now)
    })
}

#[test]
fn no_query_is_lost_and_no_memory_kept_while_lists_are_swapped() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let daemon = start(&upstream, RULES);
    let questions = (0..2000).map(|n| match n % 2 {
        0 => Question::new(&format!("www.n{n}.some-label.example"), wire::NXDOMAIN),
        _ => Question::new(&format!("other{}.example", n % 20), wire::NOERROR),
    });
    let load = Load::start(daemon.dns, RATE, Arc::new(questions.collect()));
    let mut early = 0;
    for round in 1..=rounds(20, 200) {
        reload(&daemon, round % 2);
        if round == 5 {
            early = memory(&daemon);
        }
    }
    let report = load.end();
    assert!(report.sent > 300, "only {} queries were asked: no load", report.sent);
    assert_eq!((report.lost(), report.wrong), (0, 0), "of {}", report.sent);
    let late = memory(&daemon);
    assert!(late <= early * 11 / 10 + 1024, "{early} KiB after 5 reloads, {late} KiB now");
}

/// A reload has put the orders in force before its lists are loaded, and several that come meanwhile are all counted.
#[test]
fn reloads_that_come_while_lists_are_loaded_are_all_counted() {
    let upstream = Scripted::start(|query| vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])]);
    let daemon = start(&upstream, RULES);
    let counted = || daemon.metric("interdict_reloads_total");
    for round in 1..=3usize {
        let before = counted();
        point(daemon.folder(), round % 2);
        daemon.signal(Signal::SIGHUP);
        let told = || daemon.told().matches("orders and settings are in force").count();
        place::until(PATIENCE, "the orders to be in force", || (told() >= round * 2 - 1).then_some(()));
        daemon.signal(Signal::SIGHUP);
        place::until(PATIENCE, "both reloads to be counted", || (counted() - before >= 2.0).then_some(()));
        assert!(is_listed(&daemon, &format!("mark{}.example", round % 2)), "what is counted is in place");
    }
    let folder = format!("/proc/{}/task", daemon.pid());
    let stats =
        std::fs::read_dir(folder).unwrap().map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
    let stats: Vec<String> = stats.map(Result::unwrap).collect();
    let own = stats.iter().find(|stat| stat.contains("(lists)")).unwrap();
    // proc_pid_stat(5), field 41; what stands behind the name begins with field 3.
    let policy = own.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap();
    assert_eq!(policy, IDLE, "{own}");
}
