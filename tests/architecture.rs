//! Holds the map of the program true: which module may use which, which words only one module may say, how long a file
//! may grow. Reads the sources as text; `#[cfg(test)]` code is left out, since a test may set up a neighbour.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has to fail")]

use std::collections::{BTreeMap, BTreeSet};

#[path = "architecture/source.rs"]
mod source;

use source::{Source, blank, first_word, outside_code, sources, test_items, test_modules, used, words};

/// Every module with those it may use besides `message`, which all may use. A module may only use what stands above it,
/// so that no two can depend on each other.
const MODULES: &[(&str, May)] = &[
    ("message", May::Use(&[])),
    ("prefetch", May::Use(&[])),
    ("unpack", May::Use(&[])),
    ("query", May::Use(&[])),
    ("clock", May::Use(&[])),
    // Sockets of clients and those of upstreams send and receive alike.
    ("datagram", May::Use(&["query"])),
    ("observe", May::Use(&[])),
    ("client", May::Use(&["query"])),
    ("identify", May::Use(&["client", "clock", "observe"])),
    ("policy", May::Use(&["query", "client"])),
    ("feed", May::Use(&["query", "client", "policy", "clock", "observe"])),
    ("cache", May::Use(&["query", "clock"])),
    ("zones", May::Use(&["query"])),
    // Of `policy`, the two instants of a decision; of `zones`, the reading of records, which policy zones are made of.
    ("lists", May::Use(&["prefetch", "unpack", "query", "client", "policy", "zones"])),
    ("resolve", May::Use(&["query", "client", "clock", "datagram", "observe", "cache", "zones"])),
    ("answer", May::Use(&["query", "policy", "lists"])),
    ("inspect", May::Use(&["query"])),
    // Of `inspect`, which addresses are private. Names are looked up by whoever fetches.
    ("fetch", May::Use(&["unpack", "clock", "inspect"])),
    ("ledger", May::Use(&["prefetch", "query", "client", "policy", "clock", "observe"])),
    // Of `policy`, the words for verdicts only; of `client`, the name of the default group.
    ("store", May::Use(&["client", "policy", "ledger"])),
    // Facts go in and roles come out, whoever has gathered them.
    ("devices", May::Use(&[])),
    // Of `client`, the name of the default group; of `ledger`, leaves and the words of verification.
    ("report", May::Use(&["client", "policy", "ledger", "store", "devices"])),
    // Of `feed`, which characters are visible. What is due, what it says and how it goes out; `daemon` says when it is.
    ("notice", May::Use(&["client", "policy", "feed", "fetch", "ledger", "store", "devices", "report"])),
    // Of `clock`, instants to measure waits by.
    ("export", May::Use(&["client", "clock", "observe", "ledger"])),
    // What others have recorded is read and decided; nothing of it is recorded.
    ("scan", May::Use(&["unpack", "query", "client", "policy"])),
    (
        "pipeline",
        May::UseAllBut(&["feed", "fetch", "identify", "store", "devices", "report", "notice", "export", "scan"]),
    ),
    // Of `ledger`, the recorder that each worker owns and hands to `pipeline`; of `resolve`, the forwarder, likewise.
    ("listen", May::Use(&["query", "clock", "datagram", "observe", "ledger", "resolve", "pipeline"])),
    ("config", May::UseAllBut(&[])),
    // Whoever carries its commands out is above it.
    ("control", May::UseAllBut(&["listen", "pipeline"])),
    ("admin", May::UseAllBut(&["listen"])),
    ("daemon", May::UseAllBut(&[])),
    ("cli", May::UseAllBut(&[])),
    ("allocator", May::Use(&[])),
    ("main", May::Use(&["cli", "allocator"])),
];

/// What a module may use of those above it.
#[derive(Clone, Copy)]
enum May {
    Use(&'static [&'static str]),
    UseAllBut(&'static [&'static str]),
}

/// Crates that only some modules may name, so that each can be replaced in one place.
const CRATES: &[(&str, &[&str])] = &[
    ("anyhow", &["cli"]),
    ("async_trait", &["zones"]),
    ("axum", &["admin"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("base64", &["ledger"]),
    ("caps", &["daemon"]),
    ("crossbeam_queue", &["client", "ledger", "pipeline"]),
    ("data_encoding", &["resolve"]),
    ("ed25519_dalek", &["ledger"]),
    ("flate2", &["unpack"]),
    ("hickory_net", &["resolve"]),
    ("hickory_proto", &["message"]),
    ("hickory_resolver", &["resolve"]),
    ("hickory_server", &["zones"]),
    ("http_body_util", &["fetch"]),
    // `daemon` names methods and headers of what it sends to a bucket.
    ("hyper", &["admin", "daemon", "fetch"]),
    ("hyper_util", &["admin", "fetch"]),
    ("ipcrypt_rs", &["ledger"]),
    ("landlock", &["daemon"]),
    ("lettre", &["notice"]),
    ("libmimalloc_sys", &["allocator"]),
    ("listenfd", &["listen"]),
    ("mimalloc", &["allocator"]),
    ("netlink_packet_core", &["identify"]),
    ("netlink_packet_route", &["identify"]),
    ("memmap2", &["lists"]),
    ("minijinja", &["notice"]),
    ("minisign_verify", &["fetch"]),
    ("pdf_writer", &["report"]),
    ("prometheus_client", &["observe"]),
    ("quick_cache", &["cache"]),
    // Pi-hole keeps what was asked in a database.
    ("rusqlite", &["scan", "store"]),
    ("rust_xlsxwriter", &["report"]),
    // `resolve` is given the settings of `fetch`, and only names their type and that of a server's name.
    ("rustls", &["export", "fetch", "resolve"]),
    ("sd_notify", &["daemon"]),
    ("ruzstd", &["unpack"]),
    ("socket2", &["listen"]),
    ("tokio_rustls", &["fetch"]),
    ("thread_priority", &["daemon"]),
    ("tracing_journald", &["observe"]),
    ("tracing_subscriber", &["observe"]),
    ("twox_hash", &["lists"]),
    ("webpki_roots", &["export", "fetch"]),
    ("zip_archive", &["report"]),
];

/// What reads a clock.
const CLOCKS: &[&str] = &["Timestamp::now", "Zoned::now", "SystemTime::now", "Instant::now"];

/// Files that hold unsafe code, since no library has a safe call for what they do.
const UNSAFE: &[&str] =
    &["src/allocator.rs", "src/clock/adjtimex.rs", "src/datagram.rs", "src/lists/map.rs", "src/prefetch.rs"];

/// Vendors that the program itself must not know: they stand in `blocklists/` and in tests.
const VENDORS: &[&str] = &["kaspersky"];

/// The longest a file may be without a reason.
const LINES: usize = 500;

/// Files that are longer, each with the reason why it is not parted.
const LONG: &[(&str, &str)] = &[];

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_module_uses_only_what_stands_on_its_line() {
    let rank: BTreeMap<&str, usize> = MODULES.iter().enumerate().map(|(rank, (name, _))| (*name, rank)).collect();
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module.as_str();
        if module == "lib" {
            continue;
        }
        let Some(own) = rank.get(module) else {
            faults.push(format!(
                "{}: `{module}` has no line in MODULES of tests/architecture.rs: add one, under all that it uses, and \
                 say in ARCHITECTURE.md what it answers for",
                source.path
            ));
            continue;
        };
        for (at, name) in used(&source.code) {
            let place = format!("{}:{}", source.path, source.line(at));
            if name == module || name == "message" {
                continue;
            }
            let Some(other) = rank.get(name.as_str()) else {
                faults.push(format!("{place}: `{name}` has no line in MODULES of tests/architecture.rs: add one"));
                continue;
            };
            let allowed = match MODULES[*own].1 {
                May::Use(those) => those.contains(&name.as_str()),
                May::UseAllBut(those) => !those.contains(&name.as_str()),
            };
            if !allowed || other > own {
                faults.push(format!(
                    "{place}: `{module}` may not use `{name}`: take what it needs as an argument or through a trait of \
                     its own, or change MODULES in tests/architecture.rs and give the reason there"
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_table_of_modules_goes_one_way_and_names_only_modules() {
    let mut above = vec![];
    for (name, may) in MODULES {
        let (May::Use(those) | May::UseAllBut(those)) = may;
        for other in *those {
            assert!(above.contains(other), "`{name}` names `{other}`, which does not stand above it");
        }
        above.push(*name);
    }
}

#[test]
fn other_modules_are_named_from_the_root() {
    let mut faults = Vec::new();
    for source in sources() {
        let depth = source.depth();
        for at in words(&source.code, "super") {
            let before = source.code[..at].trim_end();
            // `pub(in super::super)` widens what is seen, and names nothing. A chain is looked at where it starts.
            if before.ends_with("::") || before.ends_with("(in") {
                continue;
            }
            let chain = source.code[at..].split("::").take_while(|part| part.trim() == "super").count();
            if chain >= depth && source.module != "lib" {
                faults.push(format!(
                    "{}:{}: `super` reaches the crate's root here: write `crate::…`, so that the module is seen",
                    source.path,
                    source.line(at)
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn a_crate_with_an_owner_is_named_by_its_owner_only() {
    let mut faults = Vec::new();
    for source in sources() {
        for (name, owners) in CRATES {
            if owners.contains(&source.module.as_str()) {
                continue;
            }
            faults.extend(words(&source.code, name).map(|at| {
                format!(
                    "{}:{}: only {} may name `{name}`: ask it for what is needed here, or change CRATES in \
                     tests/architecture.rs and give the reason there",
                    source.path,
                    source.line(at),
                    owners.join(" and ")
                )
            }));
        }
    }
    report(&faults);
}

/// Whoever audits a log reads these files alone.
#[test]
fn what_verifies_a_log_uses_nothing_else_of_the_program() {
    let own = ["tree", "checkpoint", "cosign", "rotation", "verify"];
    let mut faults = Vec::new();
    for source in sources() {
        let Some(rest) = source.path.strip_prefix("src/ledger/") else { continue };
        let first = rest.split(['/', '.']).next().unwrap();
        if !own.contains(&first) {
            continue;
        }
        let root = if rest.contains('/') { "crate::ledger::" } else { "super::" };
        for word in ["crate", "super", "interdict"] {
            faults.extend(words(&source.code, word).filter_map(|at| {
                let code = &source.code[at..];
                let of_own = code.strip_prefix(root).is_some_and(|rest| own.contains(&first_word(rest).as_str()));
                // The folder of `verify` uses `verify` itself.
                let of_folder = rest.contains('/') && word == "super" && !code.starts_with("super::super");
                (!of_own && !of_folder).then(|| {
                    let line = code.lines().next().unwrap();
                    format!("{}:{}: `{line}` is not of {own:?}", source.path, source.line(at))
                })
            }));
        }
    }
    report(&faults);
}

#[test]
fn only_the_clock_reads_the_time() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.module != "clock") {
        for reading in CLOCKS {
            faults.extend(words(&source.code, reading).map(|at| {
                format!(
                    "{}:{}: only `clock` may say `{reading}`: take the instant as an argument, or a `Clock`",
                    source.path,
                    source.line(at)
                )
            }));
        }
    }
    report(&faults);
}

/// What is not checked by the compiler is proved by hand, at the head of its file.
#[test]
fn only_files_with_a_proof_hold_unsafe_code() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !UNSAFE.contains(&source.path.as_str())) {
        faults.extend(["unsafe", "unsafe_code"].iter().flat_map(|word| words(&source.code, word)).map(|at| {
            let (path, line) = (&source.path, source.line(at));
            format!("{path}:{line}: use a safe call, or list the file in UNSAFE and prove it sound at its head")
        }));
    }
    report(&faults);
}

#[test]
fn the_program_knows_no_vendor() {
    let mut faults = Vec::new();
    for source in sources() {
        let text = blank(&source.text, &source.tests).to_ascii_lowercase();
        for (at, vendor) in VENDORS.iter().flat_map(|vendor| text.match_indices(vendor)) {
            let line = text[..at].rsplit('\n').next().unwrap();
            if ["include_str!(", "include_bytes!(", "include!("].iter().any(|include| line.contains(include)) {
                continue;
            }
            faults.push(format!(
                "{}:{}: `{vendor}` stands in the program: take it from the catalogue or order that is loaded, or move \
                 it to blocklists/ or into a test",
                source.path,
                source.line(at)
            ));
        }
    }
    report(&faults);
}

#[test]
fn a_file_stays_short_enough_to_be_read_at_once() {
    let mut faults = Vec::new();
    let sources = sources();
    for source in &sources {
        let lines = source.text.lines().count();
        let listed = LONG.iter().any(|(path, _)| *path == source.path);
        if lines > LINES && !listed {
            faults.push(format!(
                "{}: {lines} lines: part it into files of one concern each, or list it in LONG of \
                 tests/architecture.rs with the reason",
                source.path
            ));
        }
        if lines <= LINES && listed {
            faults.push(format!("{}: {lines} lines: take it off LONG in tests/architecture.rs", source.path));
        }
    }
    for (path, _) in LONG.iter().filter(|(path, _)| !sources.iter().any(|source| source.path == *path)) {
        faults.push(format!("{path} is gone: take it off LONG in tests/architecture.rs"));
    }
    report(&faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let bare = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    let faults: Vec<_> = bare
        .map(|source| format!("{}: start it with `//! ` and a sentence on what it answers for", source.path))
        .collect();
    report(&faults);
}

/// The reading of sources itself, on a piece of code that tries to mislead it.
#[test]
fn code_is_told_from_comments_literals_and_tests() {
    let text = r####"
use crate::{query::{Peer, Question}, cache, r#type};
// crate::comment
/* crate::block /* nested */ crate::block */
const TEXT: &str = "crate::string \" crate::string";
const RAW: &[u8] = br#"crate::raw " crate::raw"#;
fn f<'a>(x: &'a str) -> char { let _ = '"'; let _ = b'\''; crate::policy::decide(x); 'é' }
#[cfg(test)]
#[allow(unused)]
use crate::{store::Store, ledger};
#[cfg(test)]
impl X for Y { fn g() { crate::feed::load(); } }
#[cfg(test)]
mod tests;
fn h() -> pub(crate) u8 { scrate::no; crate::answer::write() }
"####;
    let code = blank(text, &outside_code(text));
    let code = blank(&code, &test_items(&code));
    let names: BTreeSet<String> = used(&code).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["answer", "cache", "policy", "query", "r"]);
    let source = |path: &str| Source {
        path: path.to_owned(),
        module: String::new(),
        text: text.to_owned(),
        code: String::new(),
        tests: vec![],
    };
    assert_eq!(test_modules(&source("src/feed/mod.rs")), ["src/feed/tests"]);
    assert_eq!(test_modules(&source("src/zones.rs")), ["src/zones/tests"]);
    assert_eq!(test_modules(&source("src/lib.rs")), ["src/tests"]);
    assert_eq!([source("src/a.rs").depth(), source("src/a/mod.rs").depth(), source("src/a/b.rs").depth()], [1, 1, 2]);
}
