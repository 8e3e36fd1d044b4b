//! Real clients, run as programs, and what they say taken apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Output};

/// One record as a client prints it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub name: String,
    pub ttl: u32,
    pub record_type: String,
    pub data: String,
}

/// An answer as dig or kdig prints it.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: String,
    /// The flags in small letters, with `do` for that of EDNS.
    pub flags: Vec<String>,
    /// Code and text of the first extended error (RFC 8914).
    pub ede: Option<(u16, String)>,
    /// The payload size that the server offers, where it speaks EDNS.
    pub payload: Option<u16>,
    /// Records by section: `question`, `answer`, `authority`, `additional`.
    pub sections: BTreeMap<String, Vec<Record>>,
    /// Everything, for messages of failed tests.
    pub text: String,
}

impl Answer {
    pub fn section(&self, name: &str) -> &[Record] {
        self.sections.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn answers(&self) -> &[Record] {
        self.section("answer")
    }

    /// Returns the data of all answers of a type.
    pub fn data(&self, record_type: &str) -> Vec<&str> {
        let of_type = self.answers().iter().filter(|record| record.record_type == record_type);
        of_type.map(|record| record.data.as_str()).collect()
    }

    /// Returns the largest TTL among the answers.
    pub fn ttl(&self) -> u32 {
        self.answers().iter().map(|record| record.ttl).max().unwrap_or_else(|| panic!("no answers in {}", self.text))
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }

    pub fn ede_code(&self) -> Option<u16> {
        self.ede.as_ref().map(|(code, _)| *code)
    }
}

/// Asks with dig.
///
/// # Panics
/// Where no answer comes.
pub fn dig(server: SocketAddr, arguments: &[&str]) -> Answer {
    let output = dig_output(server, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "dig {arguments:?}: {}\n{text}", output.status);
    parse(text)
}

/// Asks several questions with one dig, each told by its own arguments.
///
/// # Panics
/// Where an answer is missing.
pub fn digs(server: SocketAddr, questions: &[Vec<&str>]) -> Vec<Answer> {
    let output = dig_output(server, &questions.concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<Answer> = text.split(";; Got answer:").skip(1).map(|text| parse(text.to_owned())).collect();
    assert_eq!(answers.len(), questions.len(), "{text}");
    answers
}

/// Runs dig and returns what it wrote; it ends with 9 where no answer comes.
pub fn dig_output(server: SocketAddr, arguments: &[&str]) -> Output {
    let mut command = Command::new("dig");
    command.arg("-r").arg(format!("@{}", server.ip())).arg("-p").arg(server.port().to_string());
    // Zone transfers and the like print no header without `+comments`; the rest keeps dig from asking twice.
    command.args(["+comments", "+tries=1", "+time=8", "+nocookie"]).args(arguments);
    command.output().unwrap()
}

/// Asks with kdig.
pub fn kdig(server: SocketAddr, arguments: &[&str]) -> Answer {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).arg("-p").arg(server.port().to_string());
    command.args(["+retry=0", "+time=8"]).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "kdig {arguments:?}: {}\n{text}", output.status);
    parse(text)
}

/// Validates with delv from the trust anchor of `signed.example`, and returns what it says.
pub fn delv(server: SocketAddr, arguments: &[&str]) -> String {
    const ANCHOR: &str = "trust-anchors { signed.example. static-key 257 3 13 \
        \"Ep5IsvCefZioN9ySLpuIMuXl26YP8B0+SGH1KeNMnZ1Us0iHqfZcHNOcTTkdqsYouvFlNVPCxQrDoF4TAvXeSw==\"; };\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ANCHOR).unwrap();
    let mut command = Command::new("delv");
    command.arg(format!("@{}", server.ip())).arg("-p").arg(server.port().to_string());
    command.arg("-a").arg(file.path()).arg("+root=signed.example").args(arguments);
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Takes the output of dig or kdig apart; both print the same shape in different words.
fn parse(text: String) -> Answer {
    let mut answer = Answer::default();
    let mut section = None;
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        if line.is_empty() {
            section = None;
        } else if let Some(status) = between(&lower, "status: ", &[',', ';']) {
            answer.status = status.to_ascii_uppercase();
        } else if let Some(flags) = lower.strip_prefix(";; flags:").and_then(|rest| rest.split(';').next()) {
            answer.flags.extend(flags.split_whitespace().map(str::to_owned));
        } else if lower.starts_with("; edns:") || lower.starts_with(";; version:") {
            if between(&lower, "flags:", &[';']).is_some_and(|flags| flags.contains("do")) {
                answer.flags.push("do".to_owned());
            }
            let payload = between(&lower, "udp: ", &[' ', ';']).or_else(|| between(&lower, "udp size: ", &[' ', ';']));
            answer.payload = payload.and_then(|payload| payload.parse().ok());
            // kdig shows the extended part of the code here, dig in the header.
            if let Some(code) = between(&lower, "ext-rcode: ", &[' ', ';']).filter(|code| *code != "noerror") {
                answer.status = code.to_ascii_uppercase();
            }
        } else if let Some(ede) = line.strip_prefix("; EDE: ").or_else(|| line.strip_prefix(";; EDE: ")) {
            let code = ede.split(|c: char| !c.is_ascii_digit()).next().and_then(|code| code.parse().ok());
            let text = ede.split_once("): ").map_or("", |(_, text)| text);
            let text = text.trim_matches(|c| matches!(c, '(' | ')' | '\'' | '"'));
            answer.ede = answer.ede.or(code.map(|code| (code, text.to_owned())));
        } else if let Some((name, "")) =
            lower.strip_prefix(";; ").and_then(|rest| rest.trim_end_matches(':').split_once(" section"))
        {
            section = Some(name.to_owned());
        } else if let (Some(section), Some(record)) = (&section, record(line)) {
            answer.sections.entry(section.clone()).or_default().push(record);
        }
    }
    answer.text = text;
    answer
}

fn between<'a>(line: &'a str, start: &str, ends: &[char]) -> Option<&'a str> {
    let (_, rest) = line.split_once(start)?;
    rest.split(ends).next().map(str::trim)
}

/// A record line: name, TTL, class, type, data. Questions stand behind semicolons and carry no TTL.
fn record(line: &str) -> Option<Record> {
    if line.starts_with(';') {
        let mut words = line.trim_start_matches([';', ' ']).split_whitespace();
        let (name, record_type) = (words.next()?, words.next_back()?);
        return Some(Record {
            name: name.to_owned(),
            ttl: 0,
            record_type: record_type.to_owned(),
            data: String::new(),
        });
    }
    let mut words = line.split_whitespace();
    let (name, ttl, _class, record_type) = (words.next()?, words.next()?.parse().ok()?, words.next()?, words.next()?);
    let data = words.collect::<Vec<_>>().join(" ");
    Some(Record { name: name.to_owned(), ttl, record_type: record_type.to_owned(), data })
}
