//! What the daemon gives up once everything is bound, and that it works without.

use std::net::SocketAddr;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, Setup};
use crate::place::{self, PATIENCE};
use crate::upstream::Upstream;
use crate::wire;

/// Returns the lines of every thread's status that begin with a key, without it.
fn threads(daemon: &Daemon, key: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let line = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        line.trim().to_owned()
    };
    status.map(line).collect()
}

/// Reloads, and returns whether that was accepted, with what was told of it.
fn reload(daemon: &Daemon) -> (bool, String) {
    let before = daemon.told().len();
    daemon.signal(Signal::SIGHUP);
    place::until(PATIENCE, "the reload", || {
        let told = daemon.told()[before..].to_owned();
        let done = told.contains(" reloaded ") || told.contains("reload refused");
        done.then(|| (!told.contains("reload refused"), told))
    })
}

#[test]
fn no_thread_keeps_a_capability() {
    needs!("root", "nsd");
    let upstream = Upstream::start();
    let daemon = Setup::forwarding_to(&upstream).start();
    for key in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        let found = threads(&daemon, key);
        assert!(found.len() > 4 && found.iter().all(|of| of == "0000000000000000"), "{key} {found:?}");
    }
    assert!(threads(&daemon, "NoNewPrivs:").iter().all(|of| of == "1"));
    let setup = daemon.stop().set("daemon.sandbox", false);
    let daemon = setup.start();
    assert!(
        threads(&daemon, "CapEff:").iter().all(|of| of != "0000000000000000"),
        "nothing is given up where it is off"
    );
}

#[test]
fn one_capability_is_enough_for_port_53() {
    needs!("root", "setpriv");
    let address = SocketAddr::new(place::server_address(), 53);
    let setup = Setup::new().set("listen.dns", vec![address.to_string()]);
    std::os::unix::fs::chown(setup.folder.path(), Some(65_532), Some(65_532)).unwrap();
    let given = "--ambient-caps=+net_bind_service";
    let user = ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--no-new-privs"];
    let daemon = setup
        .through(
            &[&user[..], &["--inh-caps=+net_bind_service", given, "--bounding-set=-all,+net_bind_service"]].concat(),
        )
        .launch();
    let query = wire::query("localhost", wire::A);
    place::until(PATIENCE, "an answer", || wire::udp_once(address, &query, wire::SHORT));
    assert!(threads(&daemon, "CapEff:").iter().all(|of| of == "0000000000000000"));
    assert!(!daemon.told().contains("are kept"), "{}", daemon.told());
}

#[test]
fn files_are_closed_off_but_for_those_that_are_needed() {
    needs!("nsd", "landlock");
    let upstream = Upstream::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let setup = Setup::forwarding_to(&upstream);
    let (list, records) = (setup.folder.path().join("list.txt"), setup.folder.path().join("records/out"));
    std::fs::write(&list, "one.example\n").unwrap();
    std::fs::create_dir(records.parent().unwrap()).unwrap();
    let mut receiver = toml::Table::new();
    for (key, value) in [("name", "out"), ("kind", "file"), ("to", records.to_str().unwrap())] {
        receiver.insert(key.to_owned(), value.into());
    }
    // Parts of the data folder may lie on other disks.
    std::fs::create_dir(setup.data()).unwrap();
    let keys = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(keys.path(), setup.data().join("keys")).unwrap();
    let published = tempfile::tempdir().unwrap();
    let setup = setup.set("ledger.publish", published.path().display().to_string());
    let mut daemon = setup.set("lists.list", lists(&[&list])).set("export.receiver", vec![receiver]).start();
    let withheld = |daemon: &Daemon, name: &str| {
        let answer = wire::udp(daemon.dns, &wire::query(name, wire::A));
        wire::parse(&answer).metadata.response_code == hickory_proto::op::ResponseCode::NXDomain
    };
    assert!(withheld(&daemon, "one.example"));
    // What is exported is written outside the data folder.
    wire::udp(daemon.dns, &wire::query("dnl-01.geo.kaspersky.com", wire::A));
    place::until(PATIENCE, "the export", || {
        std::fs::read_to_string(&records).ok().filter(|text| text.contains("dnl-01"))
    });
    let logs = || std::fs::read_dir(published.path()).unwrap().count();
    place::until(PATIENCE, "a published log", || (logs() > 0).then_some(()));
    assert!(std::fs::read_dir(keys.path()).unwrap().count() > 0, "keys are where the link leads");
    let rotated = daemon.command(&["ledger", "rotate-key", "--reason", "a test"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    // A file that takes the place of another is another.
    let fresh = daemon.folder().join("fresh");
    std::fs::write(&fresh, "www.example\n").unwrap();
    std::fs::rename(&fresh, &list).unwrap();
    assert!(reload(&daemon).0);
    assert!(withheld(&daemon, "www.example"));
    let granted = daemon.command(&["monitor-only", "--for", "1m", "--reason", "a test"]);
    assert!(granted.status.success(), "{}", String::from_utf8_lossy(&granted.stderr));

    // What lies elsewhere is told with what to do, and the good list stays.
    let other = elsewhere.path().join("other.txt");
    std::fs::write(&other, "other.example\n").unwrap();
    daemon.reconfigure("lists.list", lists(&[&other]));
    let (_, told) = reload(&daemon);
    assert!(told.contains("out of reach") && told.contains("restart"), "{told}");
    // Nothing is written where a link leads out of the data folder.
    daemon.reconfigure("lists.list", lists(&[&list]));
    std::fs::rename(daemon.data().join("policy"), daemon.data().join("policy-before")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), daemon.data().join("policy")).unwrap();
    daemon.reconfigure("policy.orders", Vec::<String>::new());
    let (accepted, told) = reload(&daemon);
    assert!(!accepted, "{told}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1, "{told}");
    let daemon = daemon.stop().set("daemon.sandbox", false).set("lists.list", lists(&[&other])).start();
    assert!(withheld(&daemon, "other.example"), "another start may look elsewhere");
    assert!(std::fs::read_dir(elsewhere.path()).unwrap().count() > 1);
}

#[test]
fn a_folder_that_takes_the_place_of_another_is_told_with_what_to_do() {
    needs!("nsd", "landlock");
    let upstream = Upstream::start();
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("lists");
    let list = folder.join("list.txt");
    let fill = || {
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&list, "one.example\n").unwrap();
    };
    fill();
    let setup = Setup::forwarding_to(&upstream).set("lists.list", lists(&[&list]));
    let daemon = setup.start();
    let replaced = |of: &Path| format!("{} is not the folder that it was at the start", of.display());
    std::fs::rename(&folder, elsewhere.path().join("before")).unwrap();
    fill();
    let (_, told) = reload(&daemon);
    assert!(told.contains(&replaced(&folder.canonicalize().unwrap())) && told.contains("restart it"), "{told}");
    // The data folder is looked at unasked.
    let data = daemon.data().canonicalize().unwrap();
    assert!(!daemon.told().contains(&replaced(&data)), "{}", daemon.told());
    std::fs::rename(&data, elsewhere.path().join("data-before")).unwrap();
    std::fs::create_dir(&data).unwrap();
    place::until(PATIENCE, "the other data folder to be told", || {
        daemon.told().contains(&replaced(&data)).then_some(())
    });
}

#[test]
fn root_refuses_the_data_folder_of_another_user_before_it_leaves_anything_there() {
    needs!("root");
    let setup = Setup::new();
    std::fs::create_dir(setup.data()).unwrap();
    std::os::unix::fs::chown(setup.data(), Some(65_532), Some(65_532)).unwrap();
    let output = setup.fail();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(73), "{told}");
    assert!(told.contains("is of another user (65532)") && told.contains("start the daemon as that one"), "{told}");
    assert_eq!(std::fs::read_dir(setup.data()).unwrap().count(), 0, "its owner would be kept out");
}

fn lists(files: &[&Path]) -> Vec<toml::Table> {
    let table = |(number, file): (usize, &&Path)| {
        let mut table = toml::Table::new();
        table.insert("name".to_owned(), format!("list-{number}").into());
        table.insert("file".to_owned(), file.display().to_string().into());
        table
    };
    files.iter().enumerate().map(table).collect()
}
