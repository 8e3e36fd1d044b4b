//! Catalogues and orders that are fetched: signed, never older than before, and in force only once somebody says so.

use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::daemon::{Daemon, Setup, fetch};
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::web::{Answer, Authority, Web};
use crate::wire;

const HOST: &str = "bans.example";
const CATALOGUE: &str = include_str!("../scenarios/policy/acme.toml");
const ORDER: &str = include_str!("../scenarios/policy/acme-order.toml");
const UPDATE: &str = "www.update.acme.example";
const OTHER: &str = "other.acme.example";

fn catalogue(version: u32, more: &str) -> String {
    format!("version = {version}\n{CATALOGUE}{more}")
}

/// The order, without its end.
fn order(version: u32) -> String {
    format!("version = {version}\n{}", ORDER.replace("until = 2026-04-01T00:00:00+00:00\n", ""))
}

fn entry(name: &str) -> String {
    format!(
        "[[entry]]\nname = \"{name}\"\nmatch = \"exact\"\nservice = \"update\"\nconfidence = \"high\"\n\
         evidence = [\"made up\"]\n"
    )
}

/// A publisher who signs what is served.
struct Publisher {
    web: Web,
    texts: Arc<Mutex<[String; 2]>>,
    key: String,
}

impl Publisher {
    fn start(authority: &Authority) -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let texts = Arc::new(Mutex::new([catalogue(1, ""), order(1)]));
        let (served, secret) = (Arc::clone(&texts), pair.sk);
        let web = Web::start(Some((authority, HOST)), move |asked| {
            let [catalogue, order] = served.lock().unwrap().clone();
            let text = if asked.path.starts_with("/order") { order } else { catalogue };
            match asked.path.ends_with(".minisig") {
                true => Answer::body(minisign::sign(None, &secret, text.as_bytes(), None, None).unwrap().to_string()),
                false => Answer::body(text),
            }
        });
        Self { web, texts, key: pair.pk.to_base64() }
    }

    fn publish(&self, catalogue: String, order: String) {
        *self.texts.lock().unwrap() = [catalogue, order];
    }

    fn table(&self, name: &str, kind: &str, automatic: bool) -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("name".to_owned(), name.into());
        table.insert("kind".to_owned(), kind.into());
        table.insert("url".to_owned(), format!("https://{HOST}:{}/{kind}", self.web.address.port()).into());
        table.insert("public_key".to_owned(), self.key.clone().into());
        table.insert("private".to_owned(), true.into());
        table.insert("automatic".to_owned(), automatic.into());
        table.into()
    }
}

fn started(automatic: bool) -> (Scripted, Publisher, Daemon) {
    let upstream = Scripted::start(|query| {
        let std::net::IpAddr::V4(own) = place::server_address() else { unreachable!() };
        let address = if wire::asked_name(query) == HOST { own.octets() } else { [192, 0, 2, 7] };
        vec![wire::reply(query, wire::NOERROR, &[address])]
    });
    let (authority, setup) = (Authority::new(), Setup::new().upstreams(&[upstream.address]));
    let publisher = Publisher::start(&authority);
    let file = setup.folder.path().join("ca.pem");
    authority.write(&file);
    let tables = vec![publisher.table("acme", "catalogue", automatic), publisher.table("ban", "order", automatic)];
    let daemon = setup.set("fetch.ca", file.display().to_string()).set("policy.fetch", tables).start();
    (upstream, publisher, daemon)
}

fn code(daemon: &Daemon, name: &str) -> u8 {
    wire::rcode(&wire::udp(daemon.dns, &wire::query(name, wire::A)))
}

/// Runs a command; returns what is told.
#[track_caller]
fn told(daemon: &Daemon, arguments: &[&str], good: bool) -> String {
    let output = daemon.command(arguments);
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), good, "{arguments:?}: {told}");
    told
}

fn set(pending: &str) -> &str {
    pending.lines().find_map(|line| line.strip_prefix("set ")).unwrap_or_else(|| panic!("{pending}"))
}

fn changes(daemon: &Daemon, act: &str) -> Vec<Value> {
    daemon.json(&["changes", "--json"]).into_iter().filter(|change| change["act"] == act).collect()
}

#[test]
fn what_was_fetched_waits_until_it_is_looked_at_and_put_in_force() {
    let (_upstream, publisher, daemon) = started(false);
    let fetched = told(&daemon, &["policy", "fetch"], true);
    assert!(fetched.contains("it waits, see `interdict policy pending`"), "{fetched}");
    assert_eq!(code(&daemon, UPDATE), wire::NOERROR, "what waits is not in force");
    let pending = told(&daemon, &["policy", "pending"], true);
    for words in ["catalogue acme: version 1, before none; SHA-256 ", "order ban: version 1", "update.acme.example"] {
        assert!(pending.contains(words), "{words}: {pending}");
    }
    let activate = |set: &str, good| told(&daemon, &["policy", "activate", set, "--reason", "as agreed"], good);
    assert!(activate(&"0".repeat(64), false).contains(&format!("what waits now is the set {}", set(&pending))));
    let done = activate(set(&pending), true);
    assert!(done.contains("2 listed names newly sunk, 0 freed"), "{done}");
    assert_eq!(code(&daemon, UPDATE), wire::NXDOMAIN);
    assert!(activate(set(&pending), false).contains("nothing waits"));
    let change = &changes(&daemon, "activate").into_iter().find(|change| change["accepted"] == true).unwrap();
    assert!(change["what"].as_str().unwrap().contains("order ban: version 1, before none"), "{change}");
    assert!(change["what"].as_str().unwrap().starts_with("2 listed names newly sunk, 0 freed, 1 treated otherwise; "));
    assert_eq!((&change["why"], change["policy"].as_str().map(str::len)), (&"as agreed".into(), Some(64)), "{change}");
    let explained = told(&daemon, &["explain", UPDATE], true);
    assert!(explained.starts_with("sunk") && explained.contains("Order on Acme"), "{explained}");

    // A start and a reload have what is in force, and not what waits.
    publisher.publish(catalogue(2, &entry(OTHER)), order(1));
    assert!(told(&daemon, &["policy", "fetch", "acme"], true).contains("version 2, before 1"));
    let daemon = daemon.stop().start();
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NOERROR));
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the reload", || (daemon.metric("interdict_reloads_total{") > 0.0).then_some(()));
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NOERROR));
    let pending = told(&daemon, &["policy", "pending"], true);
    assert!(pending.contains(OTHER) && !pending.contains("order ban"), "{pending}");
    told(&daemon, &["policy", "activate", set(&pending), "--reason", "as agreed"], true);
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NXDOMAIN));

    publisher.publish(catalogue(3, ""), order(1));
    told(&daemon, &["policy", "fetch", "acme"], true);
    let pending = told(&daemon, &["policy", "pending"], true);
    let freed = told(&daemon, &["policy", "activate", set(&pending), "--reason", "a slip"], true);
    assert!(freed.contains("0 listed names newly sunk, 1 freed, 0 treated otherwise"), "{freed}");
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NOERROR));

    // Nothing that was before comes back, though its publisher signed it.
    for (text, reason) in [
        (catalogue(2, &entry(OTHER)), "it has version 2, and version 3 was here already"),
        (catalogue(3, "# else\n"), "it has version 3 like the one that is here"),
        (catalogue(4, "nonsense = 1\n"), "nonsense"),
        (CATALOGUE.to_owned(), "a fetched file needs a `version`"),
        ("<!doctype html>".to_owned(), "fetched:acme"),
    ] {
        publisher.publish(text, order(1));
        let refused = told(&daemon, &["policy", "fetch", "acme"], false);
        assert!(refused.contains(reason), "{reason}: {refused}");
        assert!(fetch(daemon.admin, "/health/ready").unwrap().1.contains("catalogue acme was refused"), "{reason}");
    }
    place::until(PATIENCE, "the records", || (changes(&daemon, "document").len() == 5).then_some(()));
    assert!(told(&daemon, &["policy", "pending"], true).contains("nothing waits"));
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NOERROR));
}

#[test]
fn what_is_set_to_be_automatic_waits_for_nobody_but_for_what_it_needs() {
    let (_upstream, publisher, daemon) = started(true);
    // The order can come before the catalogue that it needs, and is put in force with it.
    place::until(PATIENCE, "the order", || (code(&daemon, UPDATE) == wire::NXDOMAIN).then_some(()));
    publisher.publish(catalogue(2, &entry(OTHER)), order(1));
    let fetched = told(&daemon, &["policy", "fetch", "acme"], true);
    assert!(fetched.contains("1 listed names newly sunk, 0 freed"), "{fetched}");
    assert_eq!(code(&daemon, OTHER), wire::NXDOMAIN);
    // What contradicts the rest is not put in force.
    let other = catalogue(3, "").replace("update", "upgrade");
    publisher.publish(other, order(1));
    let refused = told(&daemon, &["policy", "fetch", "acme"], false);
    assert!(refused.contains("it cannot be put in force"), "{refused}");
    assert_eq!((code(&daemon, UPDATE), code(&daemon, OTHER)), (wire::NXDOMAIN, wire::NXDOMAIN));
    // An order that came before its catalogue was refused too, and is recorded before this one.
    let refused = place::until(PATIENCE, "the record of version 3", || {
        changes(&daemon, "activate")
            .into_iter()
            .find(|change| change["accepted"] == false && change["what"].as_str().unwrap().contains("version 3"))
    });
    assert_eq!(refused["by"], "interdict", "{refused}");
    assert!(daemon.metric("interdict_fetch_age_seconds{kind=\"order\",name=\"ban\"}") >= 0.0);
}
