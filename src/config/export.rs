//! The receivers of records in the configuration: contradictions among them, and what they become.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::value::{Row, Value};
use crate::export::{Begin, Clients, Receiver, Text, To};

pub(super) fn check_export(settings: &Settings, faults: &mut Faults) {
    let (mut names, mut files) = (BTreeSet::new(), BTreeSet::new());
    for row in rows(settings, "export", "receiver") {
        let Some(name) = text(row, "name") else { continue };
        if !names.insert(name) {
            // Its position is kept in a file of that name.
            faults.push(&row.place, format!("`export.receiver` has {} twice", quote(name)), "give each its own name");
        }
        let (Some(Value::Word(kind)), Some(address)) = (row.values.get("kind"), text(row, "to")) else { continue };
        match To::parse(kind, address) {
            Err(unusable) => {
                let told = format!("`export.receiver.to` is {}: nothing that \"{kind}\" can go to", quote(address));
                faults.push(&row.place, told, unusable.0);
            }
            Ok(to) => {
                if matches!(to, To::File(_) | To::Stdout) && !files.insert(address) {
                    let told = format!("two of `export.receiver` write to {}", quote(address));
                    faults.push(&row.place, told, "give each its own file");
                }
                check_row(row, &to, faults);
            }
        }
    }
}

/// Notes keys that the kind of receiver has no use for: whoever sets one expects something of it.
fn check_row(row: &Row, to: &To, faults: &mut Faults) {
    if text(row, "ca").is_some_and(|ca| !ca.is_empty()) && !to.is_tls() {
        let told = "this `export.receiver` has a `ca`, and goes over no TLS";
        faults.push(&row.place, told, "write kind = \"syslog-tls\" or a URL with https, or leave `ca` out");
    }
    if text(row, "authorization_file").is_some_and(|file| !file.is_empty()) && !to.is_http() {
        let told = "this `export.receiver` has an `authorization_file`, and speaks no HTTP";
        faults.push(&row.place, told, "write kind = \"http\" or \"otlp\", or leave it out");
    }
    if let Some(Value::Word(format)) = row.values.get("format")
        && *format != "json"
        && !to.takes_text()
    {
        let told = format!("this `export.receiver` has the format \"{format}\", and a kind with a format of its own");
        faults.push(&row.place, told, "leave `format` out, or choose another kind");
    }
}

fn text<'r>(row: &'r Row, key: &str) -> Option<&'r str> {
    match row.values.get(key) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

impl Settings {
    pub(super) fn receivers(&mut self) -> Vec<Receiver> {
        let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        self.rows("export", "receiver", |row| Receiver {
            to: {
                let kind = row.take("kind");
                To::parse(kind, &row.take::<String>("to")).expect("an address that does not fit was a fault")
            },
            name: row.take("name"),
            text: row.take::<&str>("format").parse().unwrap_or(Text::Json),
            clients: row.take::<&str>("clients").parse().unwrap_or(Clients::None),
            begin: if row.take::<&str>("begin") == "now" { Begin::Now } else { Begin::Oldest },
            ca: path(row.take("ca")),
            authorization: path(row.take("authorization_file")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(text: &str) -> Result<Config, Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(Some(file.path()), []).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    fn receiver(name: &str, kind: &str, to: &str, more: &str) -> String {
        format!("[[export.receiver]]\nname = \"{name}\"\nkind = \"{kind}\"\nto = \"{to}\"\n{more}\n")
    }

    #[test]
    fn a_receiver_is_what_its_table_says_and_gets_no_clear_addresses_unasked() {
        let text = receiver("a", "syslog-tls", "siem.example:6514", "format = \"cef\"\nca = \"ca.pem\"")
            + &receiver("b", "otlp", "http://127.0.0.1:4318/v1/logs", "clients = \"plain\"\nbegin = \"now\"");
        let receivers = load(&text).unwrap().export;
        let [one, other] = &receivers[..] else { panic!("{receivers:?}") };
        assert_eq!((one.text, one.clients, one.begin), (Text::Cef, Clients::Encrypted, Begin::Oldest));
        assert_eq!(one.ca, Some("ca.pem".into()));
        assert_eq!((other.clients, other.begin, &other.authorization), (Clients::Plain, Begin::Now, &None));
    }

    #[test]
    fn tables_that_contradict_themselves_are_told_all_at_once() {
        let text = [
            receiver("a", "file", "x.json", ""),
            receiver("a", "file", "x.json", ""),
            receiver("c", "syslog-tcp", "siem.example", ""),
            receiver("d", "syslog-tcp", "siem.example:514", "ca = \"ca.pem\""),
            receiver("e", "dnstap", "/run/x.sock", "format = \"ecs\"\nauthorization_file = \"token\""),
        ];
        let faults = load(&text.concat()).unwrap_err();
        for told in [
            "`export.receiver` has `a` twice",
            "two of `export.receiver` write to `x.json`",
            "write a host with its port",
            "goes over no TLS",
            "speaks no HTTP",
            "a kind with a format of its own",
        ] {
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:?}");
        }
    }
}
