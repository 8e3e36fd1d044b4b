//! The README: its session is run, line by line, and its configuration is loaded.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::daemon::program;
use crate::place;
use crate::upstream::Upstream;
use crate::wire;

const README: &str = include_str!("../../README.md");

/// Returns the text of the first block that begins with this fence.
fn block(fence: &str) -> String {
    let mut lines = README.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    lines.find(|line| line.trim() == fence).unwrap_or_else(|| panic!("the README has no {fence}"));
    lines.take_while(|line| line.trim() != "```").collect::<Vec<_>>().join("\n")
}

/// The words of a line; those that differ from run to run (numbers, instants, addresses, digests) as `#`.
fn words(line: &str) -> Vec<String> {
    let varies = |word: &str| {
        let plain = |octet: u8| octet.is_ascii_hexdigit() || b".:,/-TZ".contains(&octet);
        word.bytes().all(plain) && word.bytes().any(|octet| octet.is_ascii_digit())
    };
    let line = line.replace("http://", "");
    let line = line.replace("/health/ready", " /health/ready");
    line.split_whitespace().map(|word| if varies(word) { "#".to_owned() } else { word.to_owned() }).collect()
}

fn assert_same(command: &str, expected: &str, found: &str) {
    let lines = |text: &str| text.lines().map(words).filter(|words| !words.is_empty()).collect::<Vec<_>>();
    let (expected_lines, found_lines) = (lines(expected), lines(found));
    for line in &expected_lines {
        assert!(found_lines.contains(line), "`{command}` of the README: {line:?} is not in\n{found}");
    }
}

#[test]
fn the_session_of_the_readme_is_what_happens() {
    needs!("nsd", "dig");
    let upstream = Upstream::start();
    let (dns, admin) = (place::socket(), place::socket());
    let folder = tempfile::tempdir().unwrap();
    let prepared = |program: &Path| {
        let mut command = place::tied(program);
        command
            .current_dir(folder.path())
            .env("INTERDICT_LISTEN__DNS", dns.to_string())
            .env("INTERDICT_ADMIN__LISTEN", admin.to_string())
            .env("INTERDICT_UPSTREAM__SERVERS", upstream.address.to_string())
            .stdin(Stdio::null());
        command
    };
    let session = block("```console");
    let mut daemon = None;
    for part in session.split("\n$ ").map(|part| part.trim_start_matches("$ ")) {
        let (line, expected) = part.split_once('\n').unwrap_or((part, ""));
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let arguments: Vec<String> = words.map(str::to_owned).collect();
        match name {
            "cargo" => {
                assert_eq!(arguments, ["run", "--release"]);
                let out = std::fs::File::create(folder.path().join("out")).unwrap();
                daemon = Some(Ended(prepared(&program()).stdout(out).spawn().unwrap()));
                let text = place::until(place::PATIENCE, "the first screen", || {
                    std::fs::read_to_string(folder.path().join("out")).ok().filter(|text| text.ends_with("\n\n"))
                });
                assert_same(line, expected, &text.replace(&dns.ip().to_string(), "127.0.0.1"));
            }
            "dig" => {
                let (ip, port) = (format!("@{}", dns.ip()), dns.port().to_string());
                let ours = arguments.iter().map(|word| match word.as_str() {
                    "@127.0.0.1" => ip.as_str(),
                    "5300" => port.as_str(),
                    other => other,
                });
                let output = Command::new(place::find("dig").unwrap()).args(ours).output().unwrap();
                assert_same(line, expected, &String::from_utf8_lossy(&output.stdout));
            }
            "target/release/interdict" => {
                place::until(place::PATIENCE, line, || {
                    let output = prepared(&program()).args(&arguments).output().unwrap();
                    let text = String::from_utf8_lossy(&output.stdout).into_owned();
                    // Records are listed a moment after their answers.
                    let listed = arguments[0] != "attempts" || text.lines().count() > 1;
                    listed.then(|| assert_same(line, expected, &text))
                });
            }
            other => panic!("the README runs `{other}`, which this test does not know"),
        }
    }
    assert!(daemon.is_some_and(|mut daemon| daemon.0.try_wait().unwrap().is_none()), "it runs to the end");
    assert!(wire::udp_once(dns, &wire::query("example", wire::SOA), wire::SHORT).is_none(), "and has ended");
}

#[test]
fn the_configuration_of_the_readme_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("interdict.toml");
    std::fs::write(&path, block("```toml")).unwrap();
    let output = Command::new(program()).args(["check", "--config"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A daemon that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
