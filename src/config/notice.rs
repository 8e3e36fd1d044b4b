//! Notices in the configuration: contradictions, and what they become.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::civil::Weekday;

use super::check::rows;
use super::load::Settings;
use super::node::{Faults, quote};
use super::value::Value;
use crate::fetch::Url;
use crate::notice::{self, Encryption, MAIL, Mailbox, Server, Smtp, Webhook, Weekly};

/// The most that one message goes to.
const MAX_RECIPIENTS: usize = 100;

pub(super) fn check_notice(settings: &Settings, faults: &mut Faults) {
    let mut names = BTreeSet::new();
    for row in rows(settings, "notice", "webhook") {
        if let Some(Value::Text(name)) = row.values.get("name")
            && !names.insert(name)
        {
            let told = format!("`notice.webhook` has {} twice", quote(name));
            faults.push(&row.place, told, "give each its own name");
        }
        if matches!(row.values.get("name"), Some(Value::Text(name)) if name == MAIL) {
            let told = format!("`notice.webhook` is called {}, as mail is", quote(MAIL));
            faults.push(&row.place, told, "give it another name");
        }
        match row.values.get("url") {
            Some(Value::Url(None)) => {
                let told = "this `notice.webhook` has an empty `url`".to_owned();
                faults.push(&row.place, told, "write where notices go");
            }
            Some(Value::Url(Some(url))) if url.scheme() != "https" && !row.is_set("private") => {
                let told = "this `notice.webhook` goes through the net in clear".to_owned();
                faults.push(&row.place, told, "write a URL with https, or add `private = true`");
            }
            _ => {}
        }
    }
    check_smtp(settings, faults);
}

fn check_smtp(settings: &Settings, faults: &mut Faults) {
    let text = |key| match settings.get("notice.smtp", key) {
        Some((place, Value::Text(text))) => Some((place, text.as_str())),
        _ => None,
    };
    let Some((place, server)) = text("server") else { return };
    let Some((_, Value::Texts(to))) = settings.get("notice.smtp", "to") else { return };
    let (from, user, password) = (text("from"), text("user"), text("password_file"));
    let is_set = |of: Option<(_, &str)>| of.is_some_and(|(_, text)| !text.is_empty());
    if server.is_empty() {
        if !to.is_empty() || is_set(from) || is_set(user) {
            let told = "`notice.smtp` says who gets mail, and names no `server`".to_owned();
            faults.push(place, told, "add `server = \"mail.example\"`, or take the section out");
        }
        return;
    }
    if server.parse::<Server>().is_err() {
        let told = format!("`notice.smtp.server` is {}: no host", quote(server));
        faults.push(place, told, "write a name or an address, such as \"mail.example\" or \"mail.example:2525\"");
    }
    if let Some((place, from)) = from
        && from.parse::<Mailbox>().is_err()
    {
        let told = format!("`notice.smtp.from` is {}: no address of mail", quote(from));
        faults.push(place, told, "write it as \"Interdict <interdict@corp.example>\"");
    }
    let Some((place, _)) = settings.get("notice.smtp", "to") else { return };
    if to.is_empty() || to.len() > MAX_RECIPIENTS {
        let told = format!("`notice.smtp.to` lists {} addresses", to.len());
        faults.push(place, told, format!("list from 1 to {MAX_RECIPIENTS}, such as [\"helpdesk@corp.example\"]"));
    }
    for wrong in to.iter().filter(|to| to.parse::<Mailbox>().is_err()) {
        let told = format!("`notice.smtp.to` has {}: no address of mail", quote(wrong));
        faults.push(place, told, "write it as \"helpdesk@corp.example\"");
    }
    if is_set(user) != is_set(password)
        && let Some((place, _)) = user
    {
        let told = "`notice.smtp` has one of `user` and `password_file`".to_owned();
        faults.push(place, told, "give both, or neither");
    }
}

impl Settings {
    pub(super) fn notice(&mut self) -> notice::Settings {
        let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        let mut days_before: Vec<u16> = self
            .take::<Vec<u64>>("notice", "days_before")
            .into_iter()
            .filter_map(|days| days.try_into().ok())
            .collect();
        days_before.sort_unstable();
        let hour = self.take("notice", "digest_hour");
        let webhooks = self.rows("notice", "webhook", |row| {
            let (url, private): (Option<Url>, bool) = (row.take("url"), row.take("private"));
            let (secret, ca) = (PathBuf::from(row.take::<String>("secret_file")), path(row.take("ca_file")));
            Some(Webhook { name: row.take("name"), url: url?, secret, ca, private })
        });
        notice::Settings {
            days_before,
            digest: weekday(self.take("notice", "digest")).map(|day| Weekly { day, hour }),
            look_back_days: self.take("notice", "look_back_days"),
            list_devices: self.take("notice", "list_devices"),
            templates: path(self.take("notice", "template")),
            smtp: self.smtp(),
            webhooks: webhooks.into_iter().flatten().collect(),
        }
    }

    fn smtp(&mut self) -> Option<Smtp> {
        const SECTION: &str = "notice.smtp";
        let path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
        let server: String = self.take(SECTION, "server");
        let (from, to): (String, Vec<String>) = (self.take(SECTION, "from"), self.take(SECTION, "to"));
        let (user, password): (String, String) = (self.take(SECTION, "user"), self.take(SECTION, "password_file"));
        let (tls, ca): (&str, String) = (self.take(SECTION, "tls"), self.take(SECTION, "ca_file"));
        let private = self.take(SECTION, "private");
        Some(Smtp {
            // What does not fit was a fault, where there is a server at all.
            server: server.parse().ok()?,
            encryption: if tls == "implicit" { Encryption::Implicit } else { Encryption::StartTls },
            from: from.parse().ok()?,
            to: to.iter().filter_map(|to| to.parse().ok()).collect(),
            login: path(password).map(|password| (user, password)),
            ca: path(ca),
            private,
        })
    }
}

fn weekday(word: &str) -> Option<Weekday> {
    match word {
        "monday" => Some(Weekday::Monday),
        "tuesday" => Some(Weekday::Tuesday),
        "wednesday" => Some(Weekday::Wednesday),
        "thursday" => Some(Weekday::Thursday),
        "friday" => Some(Weekday::Friday),
        "saturday" => Some(Weekday::Saturday),
        "sunday" => Some(Weekday::Sunday),
        _ => None,
    }
}

#[cfg(test)]
pub(super) fn defaults() -> notice::Settings {
    notice::Settings {
        days_before: vec![0, 1, 7, 30],
        digest: None,
        look_back_days: 30,
        list_devices: false,
        templates: None,
        smtp: None,
        webhooks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<notice::Settings, Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let loaded = Config::load(Some(file.path()), variables);
        loaded.map(|config| config.notice).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    const BY_MAIL: &str = "[notice.smtp]\nserver = \"mail.example:2525\"\nfrom = \"Interdict <i@corp.example>\"\n\
                        to = [\"a@corp.example\", \"b@corp.example\"]\nuser = \"i\"\npassword_file = \"p\"\n";
    const HOOK: &str = "[[notice.webhook]]\nname = \"t\"\nurl = \"https://t.example/\"\nsecret_file = \"s\"\n";

    #[test]
    fn nobody_is_told_unless_somebody_is_named() {
        let default = load("", &[]).unwrap();
        assert!(!default.is_on() && default.digest.is_none() && !default.list_devices);
        assert_eq!((default.days_before.as_slice(), default.look_back_days), (&[0, 1, 7, 30][..], 30));
    }

    #[test]
    fn who_is_told_what_is_what_the_sections_say() {
        let of = load(&format!("[notice]\ndays_before = [3, 14]\ndigest = \"friday\"\n{HOOK}{BY_MAIL}"), &[]).unwrap();
        assert!(of.is_on() && of.days_before == [3, 14]);
        assert_eq!(of.digest, Some(Weekly { day: Weekday::Friday, hour: 6 }));
        let smtp = of.smtp.unwrap();
        assert_eq!((smtp.server.port(smtp.encryption), smtp.to.len()), (2525, 2));
        assert_eq!(smtp.login, Some(("i".to_owned(), "p".into())));
        assert_eq!(of.webhooks[0].name, "t");
        let by_variable =
            [("INTERDICT_NOTICE_SMTP__SERVER", "other.example"), ("INTERDICT_NOTICE__DAYS_BEFORE", "[5]")];
        let of = load(BY_MAIL, &by_variable).unwrap();
        assert_eq!((of.days_before, of.smtp.unwrap().server.port(Encryption::Implicit)), (vec![5], 465));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, told) in [
            ("[notice]\ndays_before = [7, 7]\n", "write each once"),
            ("[notice]\ndays_before = [400]\n", "from 0 to 366"),
            ("[notice]\ndays_before = 7\n", "[30, 7]"),
            ("[notice]\ndigest = \"daily\"\n", "write one of"),
            ("[notice.smpt]\nserver = \"x\"\n", "smpt"),
            ("[notice.smtp]\nsrever = \"x\"\n", "server"),
            ("[notice.smtp]\nto = [\"a@b.example\"]\n", "names no `server`"),
            (&BY_MAIL.replace("mail.example:2525", "mail example"), "no host"),
            (&BY_MAIL.replace("mail.example:2525", "mail.example:0"), "no host"),
            (&BY_MAIL.replace("Interdict <i@corp.example>", "Interdict"), "no address of mail"),
            (&BY_MAIL.replace("\"b@corp.example\"", "\"b@corp.example, c\""), "no address of mail"),
            (&BY_MAIL.replace("user = \"i\"\n", ""), "give both, or neither"),
            (&BY_MAIL.replace("[\"a@corp.example\", \"b@corp.example\"]", "[]"), "list from 1 to 100"),
            (&HOOK.replace("https", "http"), "private = true"),
            (&HOOK.replace("https://t.example/", ""), "empty `url`"),
            (&[HOOK, HOOK].concat(), "twice"),
            (&HOOK.replace("\"t\"", "\"smtp\""), "give it another name"),
            (&HOOK.replace("secret_file = \"s\"\n", ""), "secret_file"),
        ] {
            let faults = load(text, &[]).expect_err(text);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:?}");
        }
    }
}
