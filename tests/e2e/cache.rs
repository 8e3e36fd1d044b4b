//! What the daemon keeps of answers, seen and forgotten by command.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::upstream::Upstream;
use crate::wire;

fn answers(daemon: &Daemon, name: &str) -> Vec<(String, String)> {
    let shown = daemon.json(&["cache", "show", name, "--json"]);
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    shown.iter().map(|answer| (text(answer, "record_type"), text(answer, "rcode"))).collect()
}

#[test]
fn kept_answers_are_shown_and_forgotten_on_command() {
    needs!("nsd");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    for (name, record_type) in
        [("www.example.", wire::A), ("www.example.", 28), ("absent.www.example.", wire::A), ("short.example.", wire::A)]
    {
        wire::udp(daemon.dns, &wire::query(name, record_type));
    }
    let own = |record_type: &str, rcode: &str| (record_type.to_owned(), rcode.to_owned());
    assert_eq!(answers(&daemon, "WWW.example"), [own("A", "NOERROR"), own("AAAA", "NOERROR")]);
    assert_eq!(answers(&daemon, "absent.www.example"), [own("A", "NXDOMAIN")]);
    assert_eq!(answers(&daemon, "example"), []);
    let page = daemon.command(&["cache", "show", "short.example"]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("A: NOERROR, fresh for") && page.contains("192.0.2.81"), "{page}");

    let told = |arguments: &[&str]| String::from_utf8(daemon.command(arguments).stdout).unwrap();
    assert_eq!(told(&["cache", "flush", "www.example"]), "2 answers were forgotten\n");
    assert_eq!(told(&["cache", "flush", "www.example", "--below"]), "1 answers were forgotten\n");
    assert_eq!(answers(&daemon, "short.example"), [own("A", "NOERROR")]);
    assert_eq!(told(&["cache", "flush"]), "1 answers were forgotten\n");
    let stats = &daemon.json(&["cache", "stats", "--json"])[0];
    assert_eq!((&stats["answers"], &stats["misses"]), (&Value::from(0), &Value::from(4)), "{stats}");
    let refused = daemon.command(&["cache", "flush", "a..b"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

/// RFC 8767, section 5: the upstream goes silent without refusing anything, and comes back.
#[test]
fn who_asks_a_silent_upstream_is_given_what_is_stale_and_then_what_is_new() {
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&silent);
    let upstream = Scripted::start(move |query| match is_silent.load(Ordering::SeqCst) {
        true => Vec::new(),
        false => vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])],
    });
    // All tries last longer than any client waits, so that only patience with them can give an answer.
    let setup = Setup::new().upstreams(&[upstream.address]);
    let daemon = setup.set("cache.max_ttl", 1).set("upstream.timeout_ms", 3000).set("upstream.attempts", 10).start();
    let mut asking = wire::Asking::of("www.example", wire::A);
    asking.edns = Some((0, 1232, false));
    let query = asking.to_wire();
    let info = |answer: &[u8]| {
        assert_eq!(wire::rcode(answer), wire::NOERROR);
        let option = |code| answer.windows(6).any(|octets| octets == [0, 15, 0, 2, 0, code]);
        option(3)
    };
    assert!(!info(&wire::udp(daemon.dns, &query)));
    silent.store(true, Ordering::SeqCst);
    place::until(PATIENCE, "the answer to be stale", || {
        let answer = wire::udp_once(daemon.dns, &query, std::time::Duration::from_secs(10));
        info(&answer.expect("an answer while the upstream is silent")).then_some(())
    });
    assert!(daemon.metric("interdict_responses_total{source=\"stale\"}") >= 1.0);
    silent.store(false, Ordering::SeqCst);
    place::until(std::time::Duration::from_secs(60), "the answer to be new", || {
        (!info(&wire::udp(daemon.dns, &query))).then_some(())
    });
}

#[test]
fn what_is_kept_outlives_a_restart_where_that_is_wanted() {
    needs!("nsd");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).set("cache.save", true).start();
    let file = daemon.data().join("answers");
    let ask = |daemon: &Daemon| wire::rcode(&wire::udp(daemon.dns, &wire::query("www.example.", wire::A)));
    assert_eq!(ask(&daemon), wire::NOERROR);
    let setup = daemon.stop();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(upstream);
    let daemon = setup.start();
    place::until(PATIENCE, "the answers to be taken up", || {
        (!answers(&daemon, "www.example").is_empty()).then_some(())
    });
    assert_eq!(ask(&daemon), wire::NOERROR, "from the cache: nobody else is there to answer");
    place::until(PATIENCE, "the file to go", || (!file.exists()).then_some(()));

    // A file that is damaged is as good as none, and one that nobody wants goes too.
    let setup = daemon.stop();
    let mut octets = std::fs::read(&file).unwrap();
    octets[40] ^= 1;
    std::fs::write(&file, octets).unwrap();
    let daemon = setup.start();
    place::until(PATIENCE, "the file to go", || (!file.exists()).then_some(()));
    assert_eq!((ask(&daemon), answers(&daemon, "www.example").len()), (wire::SERVFAIL, 1));
    std::fs::write(&file, "left over").unwrap();
    let setup = daemon.kill();
    let daemon = setup.set("cache.save", false).start();
    place::until(PATIENCE, "the file to go", || (!file.exists()).then_some(()));
    daemon.stop();
    assert!(!file.exists());
}

/// Workers give what they gave before to the same octets: until it ends, the cache is emptied, or a reload says otherwise.
#[test]
fn what_is_asked_for_again_and_again_is_no_older_than_what_is_kept() {
    needs!("nsd");
    let upstream = Upstream::start();
    let mut daemon = Setup::forwarding_to(&upstream).set("listen.workers", 1).start();
    let query = wire::query("www.example.", wire::A);
    let ask = |daemon: &Daemon| wire::parse(&wire::udp(daemon.dns, &query)).answers.first().map(|record| record.ttl);
    let misses = |daemon: &Daemon| daemon.metric("interdict_cache_lookups_total{result=\"miss\"}");
    let (start, whole) = (Instant::now(), ask(&daemon).unwrap());
    place::until(PATIENCE, "it to grow older", || {
        let passed = u32::try_from(start.elapsed().as_secs()).unwrap();
        let left = ask(&daemon).unwrap();
        assert!(left <= whole - passed + 1, "it has {left} s left after {passed} of {whole}");
        (passed >= 2 && left <= whole - 2).then_some(())
    });
    let kept = misses(&daemon);
    assert!(daemon.command(&["cache", "flush", "www.example"]).status.success());
    assert_eq!(ask(&daemon), Some(whole), "it is asked for anew");
    assert_eq!(misses(&daemon), kept + 1.0);

    let list = daemon.folder().join("own.txt");
    std::fs::write(&list, "www.example\n").unwrap();
    let table = [("name", "own".to_owned()), ("file", list.display().to_string())];
    let mut table: toml::Table = table.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect();
    daemon.reconfigure("lists.list", vec![toml::Value::Table(table.clone())]);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the list to withhold it", || ask(&daemon).is_none().then_some(()));
    let matches = |daemon: &Daemon, result: &str| {
        daemon.metric(&format!("interdict_list_matches_total{{list=\"own\",result=\"{result}\"}}"))
    };
    let before = matches(&daemon, "withheld");
    (0..20).for_each(|_| assert_eq!(ask(&daemon), None));
    assert_eq!(matches(&daemon, "withheld"), before + 20.0, "each is counted");

    table.insert("monitor_from".to_owned(), "2020-01-01T00:00:00Z".into());
    daemon.reconfigure("lists.list", vec![toml::Value::Table(table)]);
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the list to watch only", || ask(&daemon));
    // Asked for anew by the lists of now, it is repeated by them.
    assert!(daemon.command(&["cache", "flush"]).status.success());
    ask(&daemon);
    let before = matches(&daemon, "monitored");
    (0..20).for_each(|_| assert!(ask(&daemon).is_some()));
    assert_eq!(matches(&daemon, "monitored"), before + 20.0, "each is counted where it is let through, too");
}
