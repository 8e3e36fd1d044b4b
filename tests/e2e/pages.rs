//! Pages of `scan` and `simulate` for people who are not at a terminal.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::program;

/// A log of BIND, each line of it one query.
fn log(folder: &Path, queries: &[(&str, &str)]) -> PathBuf {
    let mut text = String::new();
    for (time, name) in queries {
        writeln!(text, "{time}.123 client @0x1 192.0.2.7#4000 (x): query: {name} IN A +").unwrap();
    }
    let path = folder.join("log");
    fs::write(&path, text).unwrap();
    path
}

/// Has a command make a page of a log.
fn made(command: &str, log: &Path, format: &str, more: &[&str]) -> Vec<u8> {
    let to = log.with_extension(format);
    let mut of = Command::new(program());
    of.arg(command).arg(log).args(["--zone", "UTC", "--format", format, "--output"]).arg(&to).args(more);
    let output = of.env("INTERDICT_DATA_DIR", "/nonexistent").env("LC_ALL", "de_DE").output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    fs::read(to).unwrap()
}

fn html(command: &str, log: &Path, more: &[&str]) -> String {
    String::from_utf8(made(command, log, "html", more)).unwrap()
}

#[test]
fn pages_hold_the_sums_and_nothing_of_a_name_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let time = "27-Nov-2026 04:55:33";
    let names = ["dnl-01.geo.kaspersky.com", "<script>x</script>.dnl-01.geo.kaspersky.com", "www.example"];
    let log = log(folder.path(), &names.map(|name| (time, name)));
    for (format, begin) in [("html", "<!DOCTYPE html>"), ("pdf", "%PDF-"), ("xlsx", "PK")] {
        for lang in ["en", "de"] {
            let octets = made("scan", &log, format, &["--lang", lang]);
            assert!(octets.starts_with(begin.as_bytes()), "{format}");
            assert_eq!(octets, made("scan", &log, format, &["--lang", lang]), "{format}");
        }
    }
    let page = html("scan", &log, &[]);
    assert!(page.contains("Of 3 queries, 2 attempted contact with a service that was prohibited"), "{page}");
    assert!(page.contains("&lt;script&gt;x&lt;/script&gt;.") && !page.contains("<script"), "{page}");
    assert!(page.contains("2024-09-29 04:00Z"), "since when: {page}");
    let page = html("simulate", &log, &["--at", "2024-07-01T00:00:00Z"]);
    assert!(page.contains("<dt>would no longer be withheld</dt><dd>2</dd>"), "{page}");
}

#[test]
fn what_was_asked_is_shown_over_time_with_the_instants_of_prohibitions() {
    let folder = tempfile::tempdir().unwrap();
    let name = "dnl-01.geo.kaspersky.com";
    let hours = log(
        folder.path(),
        &[
            ("28-Sep-2024 22:10:00", name),
            ("29-Sep-2024 03:59:59", name),
            ("29-Sep-2024 04:00:00", name),
            ("29-Sep-2024 04:59:59", name),
            ("29-Sep-2024 06:30:00", "www.example"),
        ],
    );
    let page = html("scan", &hours, &[]);
    for told in [
        "<figcaption>Queries by hour</figcaption>",
        "A: us-commerce-2024, updates-and-services (begins) at 2024-09-29 04:00Z",
        // Withheld, waived or monitored, kept; an hour without any is drawn and is in no row.
        "<bdi>2024-09-29 03:00Z</bdi></td><td class=\"n\">0</td><td class=\"n\">1</td><td class=\"n\">0</td>",
        "<bdi>2024-09-29 04:00Z</bdi></td><td class=\"n\">2</td><td class=\"n\">0</td><td class=\"n\">0</td>",
        "2024-09-29 05:00Z: 0, 2024-09-29 06:00Z: 0</desc>",
    ] {
        assert!(page.contains(told), "{told}\n{page}");
    }
    assert_eq!(page.matches("stroke-dasharray").count(), 1, "{page}");
    // Decided at one instant, nothing begins in between.
    let at = ["--at", "2024-07-01T00:00:00Z"];
    for page in [html("scan", &hours, &at), html("simulate", &hours, &at)] {
        assert!(page.contains("Queries by hour") && !page.contains("stroke-dasharray"), "{page}");
    }
    let days = log(folder.path(), &[("28-Sep-2024 22:10:00", name), ("02-Oct-2024 00:00:00", name)]);
    let page = html("scan", &days, &[]);
    assert!(page.contains("Queries by day") && page.contains("<bdi>2024-10-02</bdi>"), "{page}");
    // No query, no chart.
    let none = log(folder.path(), &[("28-Sep-2024 22:10:00", "a..b")]);
    let page = html("scan", &none, &["--input", "bind"]);
    assert!(page.contains("<p>No queries</p>") && !page.contains("Over time"), "{page}");
}

/// Returns what stands between tags, piece by piece.
fn pieces(page: &str) -> Vec<&str> {
    let body = page.split_once("<body>").unwrap().1;
    body.split('<').filter_map(|piece| Some(piece.split_once('>')?.1.trim())).filter(|text| text.len() > 3).collect()
}

/// Whatever the page of one language has in common with that of the other is a figure, or comes from the log or the policy.
#[test]
fn no_text_of_a_page_is_nailed_in() {
    let folder = tempfile::tempdir().unwrap();
    let time = "27-Nov-2026 04:55:33";
    let log =
        log(folder.path(), &[(time, "dnl-01.geo.kaspersky.com"), (time, "my.kaspersky.com"), (time, "www.example")]);
    for (command, more) in
        [("scan", &["--order", "us-commerce-2024"][..]), ("simulate", &["--at", "2024-07-01T00:00:00Z"])]
    {
        let [english, german] =
            ["en", "de"].map(|lang| html(command, &log, &[more, &["--lang", lang]].concat()).replace("<wbr>", ""));
        let english = pieces(&english);
        assert!(english.len() > 60, "{command}: {english:?}");
        let words = [
            // Words of the program, as its files and other commands have them.
            "pass",
            "kept",
            "sunk",
            "monitored",
            "lifted",
            "default",
            "update",
            "identity",
            "Name",
            "us-commerce-2024",
            "new-agreements",
            "updates-and-services",
            "secondary",
            "unverified",
        ];
        let same: Vec<_> = pieces(&german)
            .into_iter()
            .filter(|text| english.contains(text) && !words.contains(text))
            .filter(|text| !text.contains(|digit: char| digit.is_ascii_digit()))
            .filter(|text| !text.contains("kaspersky") && *text != log.to_str().unwrap())
            .collect();
        assert!(same.is_empty(), "{command}: {same:?}");
    }
}
