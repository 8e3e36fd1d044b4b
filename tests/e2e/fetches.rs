//! Lists that are fetched: in force once they came, and as they last were good whatever a server does.

use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::scripted::{Gate, Scripted};
use crate::web::{Answer, Authority, Web};
use crate::wire;

const HOST: &str = "lists.example";
const BANNED: &str = "dnl-01.geo.kaspersky.com";

/// An upstream that knows where the server is, and answers anything else too.
fn upstream() -> Scripted {
    Scripted::start(|query| {
        let std::net::IpAddr::V4(own) = place::server_address() else { unreachable!() };
        match (wire::asked_name(query).as_str(), wire::question_type(query)) {
            (HOST | "elsewhere.example", wire::A) => {
                vec![wire::reply(query, wire::NOERROR, &[own.octets()])]
            }
            (HOST, _) => vec![wire::reply(query, wire::NOERROR, &[])],
            _ => vec![wire::reply(query, wire::NOERROR, &[[192, 0, 2, 7]])],
        }
    })
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("0.0.0.0 n{n}.ads.example\n")).collect()
}

/// A list that is fetched from `path` of a server.
fn list(name: &str, web: &Web, path: &str, more: &[(&str, &str)]) -> toml::Value {
    let mut table = toml::Table::new();
    table.insert("name".to_owned(), name.into());
    table.insert("url".to_owned(), format!("https://{HOST}:{}{path}", web.address.port()).into());
    table.insert("private".to_owned(), true.into());
    table.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
    table.into()
}

fn setup(upstream: &Scripted, authority: &Authority, lists: Vec<toml::Value>) -> Setup {
    let setup = Setup::new().upstreams(&[upstream.address]);
    let file = setup.folder.path().join("ca.pem");
    authority.write(&file);
    setup
        .set("fetch.ca", file.display().to_string())
        .set("fetch.timeout_s", 2)
        .set("fetch.max_mib", 1)
        .set("fetch.max_unpacked_mib", 1)
        .set("lists.list", lists)
}

fn code(daemon: &Daemon, name: &str) -> u8 {
    wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A)))
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Fetches a list now; returns what is told.
#[track_caller]
fn refresh(daemon: &Daemon, name: &str, good: bool) -> String {
    let output = daemon.command(&["lists", "refresh", name]);
    assert_eq!(output.status.code(), Some(i32::from(!good)), "{name}: {}", told(&output));
    told(&output)
}

fn health(daemon: &Daemon) -> String {
    fetch(daemon.admin, "/health/ready").unwrap().1
}

fn shown(daemon: &Daemon, name: &str) -> Value {
    daemon.json(&["lists", "--json"]).into_iter().find(|list| list["name"] == name).unwrap()
}

fn changes(daemon: &Daemon) -> Vec<Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == "list").collect()
}

/// A server whose answer can be changed while it runs.
#[derive(Clone)]
struct Said(Arc<Mutex<Answer>>);

impl Said {
    fn new(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(answer)))
    }

    fn say(&self, answer: Answer) {
        *self.0.lock().unwrap() = answer;
    }

    fn serve(&self, authority: &Authority) -> Web {
        let said = self.clone();
        Web::start(Some((authority, HOST)), move |_| said.0.lock().unwrap().clone())
    }
}

#[test]
fn a_fetched_list_is_waited_for_by_nothing_and_outlives_its_server() {
    let (upstream, authority, gate) = (upstream(), Authority::new(), Gate::default());
    let shut = gate.clone();
    let web = Web::start(Some((&authority, HOST)), move |asked| {
        shut.pass();
        match asked.head.contains("if-none-match: \"one\"") {
            true => Answer::with(304, "ETag: \"one\""),
            false => Answer::Say(200, vec!["ETag: \"one\"".to_owned()], names(100).into()),
        }
    });
    let daemon = setup(&upstream, &authority, vec![list("ads", &web, "/ads.txt", &[])]).start();
    place::until(PATIENCE, "the list to be asked for", || (!web.asked("/ads.txt").is_empty()).then_some(()));
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NOERROR, "nothing waits for the list");
    assert_eq!(shown(&daemon, "ads")["rules"], Value::Null);
    gate.open();
    place::until(PATIENCE, "the list", || (code(&daemon, "n7.ads.example") == wire::NXDOMAIN).then_some(()));
    assert!(upstream.asked(HOST) > 0, "the host is looked up by the daemon's own upstream");
    assert!(refresh(&daemon, "ads", true).contains("as it was"));
    assert!(web.asked("/ads.txt").last().unwrap().head.contains("if-none-match: \"one\""));
    let change = place::until(PATIENCE, "the record", || changes(&daemon).pop());
    assert!(change["what"].as_str().unwrap().contains("100 rules, before none; SHA-256 "), "{change}");
    let list = shown(&daemon, "ads");
    assert_eq!((&list["rules"], &list["fault"]), (&100.into(), &Value::Null), "{list}");
    let metrics = fetch(daemon.admin, "/metrics").unwrap().1;
    for line in [
        "interdict_fetches_total{kind=\"list\",name=\"ads\",result=\"new\"} 1",
        "interdict_fetches_total{kind=\"list\",name=\"ads\",result=\"same\"} 1",
        "interdict_fetch_age_seconds{kind=\"list\",name=\"ads\"} ",
        "interdict_fetch_failing{kind=\"list\",name=\"ads\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let setup = daemon.stop();
    let port = web.address.port();
    drop(web);
    place::until(PATIENCE, "the server to end", || {
        std::net::TcpListener::bind((place::server_address(), port)).ok().map(drop)
    });
    let daemon = setup.start();
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN, "a start needs no network");
    assert!(refresh(&daemon, "ads", false).contains("cannot connect to lists.example"));
    assert!(health(&daemon).contains("1 fetched file, none refused or stale"), "{}", health(&daemon));
    let daemon = daemon.stop().at("2026-06-01T00:00:00Z").start();
    assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN, "a rehearsal has what was fetched for real");
    let output = daemon.command(&["lists", "refresh", "--rehearsal"]);
    assert!(told(&output).contains("no list is fetched"), "and fetches nothing: {output:?}");
}

#[test]
fn whatever_a_server_says_the_last_good_list_stays() {
    let (upstream, authority, said) = (upstream(), Authority::new(), Said::new(Answer::body(names(100))));
    let web = said.serve(&authority);
    let daemon = setup(&upstream, &authority, vec![list("ads", &web, "/", &[])]).start();
    place::until(PATIENCE, "the list", || (code(&daemon, "n7.ads.example") == wire::NXDOMAIN).then_some(()));
    let bad: [(Answer, &str, bool); 14] = [
        (Answer::body("<!doctype html><title>404</title>"), "web page", true),
        (Answer::body(""), "empty", true),
        (Answer::body(names(50)), "50 rules and had 100", true),
        (Answer::body(format!("{}0.0.0.0 com\n", names(100))), "would withhold com", true),
        (Answer::body(vec![b'a'; (1 << 20) + 1]), "larger than 1048576 octets", true),
        (Answer::Say(200, vec!["Content-Encoding: gzip".to_owned()], bomb()), "larger than 1048576 octets", true),
        (Answer::body(bomb()), "larger than 1048576 octets", true),
        (Answer::Say(200, vec!["Content-Encoding: br".to_owned()], b"x".to_vec()), "content coding br", true),
        (Answer::Endless(names(100).into(), Duration::ZERO), "larger than 1048576 octets", true),
        (Answer::Endless(b"0.0.0.0 a.example\n".to_vec(), Duration::from_millis(50)), "longer than 2 s", false),
        (Answer::Silence, "longer than 2 s", false),
        (Answer::with(404, "X: y"), "answers 404", false),
        (Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n0.0.0.0 a.example\n".to_vec()), "HTTP", false),
        (Answer::with(302, "Location: https://127.0.0.1/"), "a private address or one of this machine", false),
    ];
    for (answer, reason, refused) in bad {
        said.say(answer);
        let told = refresh(&daemon, "ads", false);
        assert!(told.contains(reason), "{reason}: {told}");
        assert_eq!(code(&daemon, "n7.ads.example"), wire::NXDOMAIN, "after {reason}");
        assert_eq!(code(&daemon, "shop.com"), wire::NOERROR, "after {reason}");
        assert_eq!(health(&daemon).contains(reason), refused, "{reason}: {}", health(&daemon));
        assert!(shown(&daemon, "ads")["fault"].as_str().unwrap().contains(reason), "{reason}");
    }
    for (to, reason) in [
        (format!("http://{HOST}/"), "no https address"),
        ("https://user:secret@lists.example/".to_owned(), "no https address"),
        (format!("https://elsewhere.example:{}/", web.address.port()), "a private address or one of this machine"),
        (format!("https://{HOST}:{}/other", web.address.port()), "a private address or one of this machine"),
        ("https://[::ffff:10.0.0.1]/".to_owned(), "a private address or one of this machine"),
    ] {
        said.say(Answer::with(301, &format!("Location: {to}")));
        let told = refresh(&daemon, "ads", false);
        assert!(told.contains(reason), "{to}: {told}");
    }
    said.say(Answer::body(names(90)));
    assert!(refresh(&daemon, "ads", true).contains("90 rules, before 100"));
    assert_eq!(code(&daemon, "n95.ads.example"), wire::NOERROR);
    assert!(health(&daemon).contains("none refused or stale"), "{}", health(&daemon));
    let changes = place::until(PATIENCE, "the records", || Some(changes(&daemon)).filter(|all| all.len() == 11));
    assert!(changes[0]["accepted"] == true && changes[0]["by"].as_str().unwrap().starts_with("uid "), "{changes:?}");
    assert!(changes[1]["accepted"] == false && changes[10]["accepted"] == true, "{changes:?}");
}

/// 2 MiB of blanks, in some 2 KiB.
fn bomb() -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 2 << 20]).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_file_is_believed_by_whoever_was_to_vouch_for_it() {
    let (upstream, authority, stranger) = (upstream(), Authority::new(), Authority::new());
    let text = names(10);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let signature = minisign::sign(None, &pair.sk, text.as_bytes(), None, None).unwrap().to_string();
    let changed = minisign::sign(None, &pair.sk, &b"else"[..], None, None).unwrap().to_string();
    let (key, other) = (pair.pk.to_base64(), other.pk.to_base64());
    let body = text.clone();
    let serve = move |asked: &crate::web::Asked| match asked.path.as_str() {
        "/a.txt.minisig" => Answer::body(signature.clone()),
        "/changed.minisig" => Answer::body(changed.clone()),
        "/none.minisig" => Answer::with(404, "X: y"),
        _ => Answer::body(body.clone()),
    };
    let web = Web::start(Some((&authority, HOST)), serve.clone());
    let strange = Web::start(Some((&stranger, HOST)), serve.clone());
    let misnamed = Web::start(Some((&authority, "other.example")), serve.clone());
    let plain = Web::start(None, serve);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&text);
    let (digest, wrong) = (hex::encode(digest), "0".repeat(64));
    let elsewhere = format!("https://{HOST}:{}/a.txt.minisig", web.address.port());
    let banned = format!("https://{BANNED}/");
    let http = format!("http://{HOST}:{}/", plain.address.port());
    let public = list("public", &web, "/", &[]).try_into::<toml::Table>().unwrap();
    let public: toml::Table = public.into_iter().filter(|(key, _)| key != "private").collect();
    let cases: Vec<(toml::Value, Result<(), &str>)> = vec![
        (list("pinned", &web, "/", &[("sha256", &digest)]), Ok(())),
        (list("mispinned", &web, "/", &[("sha256", &wrong)]), Err("its SHA-256 is")),
        (list("signed", &web, "/a.txt", &[("public_key", &key)]), Ok(())),
        (list("elsewhere", &web, "/none", &[("public_key", &key), ("signature", &elsewhere)]), Ok(())),
        (list("otherkey", &web, "/a.txt", &[("public_key", &other)]), Err("signed by another key")),
        (list("changed", &web, "/changed", &[("public_key", &key)]), Err("signed by another key")),
        (list("unsigned", &web, "/none", &[("public_key", &key)]), Err("its signature cannot be had")),
        (list("nosignature", &web, "/x", &[("public_key", &key)]), Err("its signature is none of minisign")),
        (list("strange", &strange, "/", &[]), Err("is not trusted")),
        (list("misnamed", &misnamed, "/", &[]), Err("is not trusted")),
        (list("plain", &plain, "/", &[("url", &http), ("sha256", &digest)]), Ok(())),
        (public.into(), Err("a private address or one of this machine")),
        (list("banned", &web, "/", &[("url", &banned)]), Err("the answer is NXDOMAIN")),
    ];
    let lists = cases.iter().map(|(list, _)| list.clone()).collect();
    let daemon = setup(&upstream, &authority, lists).start();
    for (list, expected) in &cases {
        let name = list["name"].as_str().unwrap();
        let told = refresh(&daemon, name, expected.is_ok());
        assert!(told.contains(expected.err().unwrap_or(name)), "{name}: {told}");
        assert_eq!(shown(&daemon, name)["rules"].as_u64(), expected.ok().map(|()| 10), "{name}");
    }
    assert_eq!(web.asked("/").iter().filter(|asked| asked.head.contains("if-")).count(), 0);
    assert_eq!(upstream.asked(BANNED), 0, "what is banned is not looked up for us either");
}

#[test]
fn a_fetched_list_lifts_no_order() {
    let (upstream, authority) = (upstream(), Authority::new());
    let said = Said::new(Answer::body(format!("@@||{BANNED}^$important\n@@||kaspersky.com^\n||ads.example^\n")));
    let web = said.serve(&authority);
    let daemon = setup(&upstream, &authority, vec![list("allow", &web, "/", &[("format", "adblock")])]).start();
    place::until(PATIENCE, "the list", || (code(&daemon, "www.ads.example") == wire::NXDOMAIN).then_some(()));
    assert_eq!(code(&daemon, BANNED), wire::NXDOMAIN);
    assert_eq!(upstream.asked(BANNED), 0);
}

#[test]
fn a_reload_takes_up_lists_and_lets_go_of_them() {
    let (upstream, authority, said) = (upstream(), Authority::new(), Said::new(Answer::body(names(10))));
    let web = said.serve(&authority);
    let mut daemon = setup(&upstream, &authority, Vec::new()).start();
    let refused = daemon.command(&["lists", "refresh"]);
    assert!(!refused.status.success() && told(&refused).contains("no list is fetched"), "{refused:?}");
    let refused = daemon.command(&["policy", "fetch", "acme"]);
    assert!(told(&refused).contains("no catalogue or order `acme` is fetched"), "{refused:?}");
    daemon.reconfigure("lists.list", vec![list("ads", &web, "/", &[])]);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    place::until(PATIENCE, "the list", || (code(&daemon, "n7.ads.example") == wire::NXDOMAIN).then_some(()));
    let other = daemon.command(&["lists", "refresh", "other"]);
    assert!(told(&other).contains("no list `other` is fetched"), "{other:?}");
    daemon.reconfigure("lists.list", Vec::<toml::Value>::new());
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    place::until(PATIENCE, "the list to be gone", || (code(&daemon, "n7.ads.example") == wire::NOERROR).then_some(()));
    place::until(PATIENCE, "its age to be shown no more", || {
        let metrics = fetch(daemon.admin, "/metrics").unwrap().1;
        (!metrics.contains("interdict_fetch_age_seconds{")).then_some(())
    });
}
