//! Files of waivers, which several resolvers may share, and the words that waivers are written in everywhere.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;

use ipnet::IpNet;
use jiff::SignedDuration;

use super::fault::{Choice, Fault, quote};
use super::files::read_any_text;
use super::sheet::{Keys, Sheet, Text, is_visible};
use crate::policy::{Party, Rules, Scope, Term, Waiver};
use crate::query::NamePattern;

/// The longest name of a group, in octets.
const MAX_GROUP: usize = 64;

/// A waiver with the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileWaiver {
    pub path: String,
    /// Where its identifier stands, counted from 1.
    pub line: usize,
    pub waiver: Waiver,
}

/// What files of waivers hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileWaivers {
    pub waivers: Vec<FileWaiver>,
    /// Files that are missing or cannot be read, of which no waiver is known.
    pub unread: Vec<Fault>,
}

impl FileWaivers {
    /// Returns the faults with the place of the waiver that is at fault.
    pub fn located(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let at = |fault: Fault| {
            let Some(Choice::Waiver(id)) = fault.choice.as_deref() else { return fault };
            let own = self.waivers.iter().find(|of| of.waiver.id == *id).map(|of| (of.path.clone(), Some(of.line)));
            let (path, line) = own.unwrap_or((fault.path.clone(), fault.line));
            Fault { path, line, ..fault }
        };
        faults.into_iter().map(at).collect()
    }
}

/// Reads files of waivers, in order; a file may hold none. None may last longer than `longest`, where that is bounded.
///
/// # Errors
/// Every fault of every file that can be read, and every identifier that is given twice.
pub fn read_waivers(paths: &[String], longest: Option<SignedDuration>) -> Result<FileWaivers, Vec<Fault>> {
    let (mut waivers, mut unread, mut faults, mut seen) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
    for path in paths {
        match read_any_text(Path::new(path)) {
            Ok(text) => faults.extend(read_file(path, &text, longest, &mut seen, &mut waivers)),
            Err(fault) => {
                let choice = fault.line.is_none().then(|| Box::new(Choice::Waivers(path.clone())));
                unread.push(Fault { choice, ..fault });
            }
        }
    }
    if faults.is_empty() { Ok(FileWaivers { waivers, unread }) } else { Err(faults) }
}

/// Where each identifier was given: path and line.
type Seen = BTreeMap<String, (String, usize)>;

fn read_file(
    path: &str,
    text: &str,
    longest: Option<SignedDuration>,
    seen: &mut Seen,
    waivers: &mut Vec<FileWaiver>,
) -> Vec<Fault> {
    let mut sheet = Sheet::new(path, text);
    let table = sheet.parse();
    let mut keys = Keys::new(table.get_ref(), 0..0, "the file");
    for mut table in keys.tables(&mut sheet, "waiver", "[[waiver]]") {
        let id = table.id(&mut sheet, "id");
        let read = read_waiver(&mut sheet, &mut table, longest);
        table.finish(&mut sheet);
        let Some(id) = id else { continue };
        check_own(&mut sheet, &id);
        let line = sheet.line(id.span.start);
        if let Some((other, before)) = seen.insert(id.text.clone(), (path.to_owned(), line)) {
            let what = format!("{} is the id of another waiver too, in {other}:{before}", quote(&id.text));
            sheet.fault(&id.span, what, "give each waiver an id of its own, in all files together");
        }
        let waiver = read.map(|waiver| Waiver { id: id.text, ..waiver });
        waivers.extend(waiver.map(|waiver| FileWaiver { path: path.to_owned(), line, waiver }));
    }
    keys.finish(&mut sheet);
    sheet.take_faults()
}

/// The resolver itself gives `W-1`, `M-1` and so on; nobody shall have to look twice which one is meant.
fn check_own(sheet: &mut Sheet<'_>, id: &Text) {
    if id.text.starts_with("w-") || id.text.starts_with("m-") {
        let what = format!("{} looks like an id that the resolver gives by itself", quote(&id.text));
        sheet.fault(&id.span, what, "begin it otherwise than with `w-` or `m-`");
    }
}

/// Reads all of a waiver but its identifier.
fn read_waiver(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>, longest: Option<SignedDuration>) -> Option<Waiver> {
    let rules = read_rules(sheet, keys);
    let names = each(sheet, keys, "names", |text| text.parse::<NamePattern>().map_err(|error| error.to_string()));
    let clients = each(sheet, keys, "clients", party);
    let reason = keys.text(sheet, "reason");
    let approver = keys.text(sheet, "approver");
    let ticket = keys.optional_text(sheet, "ticket").map(|ticket| ticket.text);
    let (from, until) = (keys.instant(sheet, "from"), keys.instant(sheet, "until"));
    let span: Range<usize> = keys.span.clone();
    let term = match Term::new(from?, until?) {
        Ok(term) => Some(term),
        Err(_) => {
            sheet.fault(&span, "`until` is not after `from`", "let the waiver end after it begins");
            None
        }
    }?;
    if let Some(longest) = longest.filter(|longest| term.until().duration_since(term.from()) > *longest) {
        let what = format!("the waiver lasts longer than {} days", longest.as_hours() / 24);
        sheet.fault(&span, what, "let it end earlier, or set [control] waiver_max_days");
    }
    let scope = Scope { clients: clients?, rules: rules?, names: names? };
    Some(Waiver { id: String::new(), scope, term, reason: reason?.text, approver: approver?.text, ticket })
}

fn read_rules(sheet: &mut Sheet<'_>, keys: &mut Keys<'_, '_>) -> Option<Rules> {
    let (order, services) = (keys.optional_text(sheet, "order"), keys.optional_texts(sheet, "services"));
    let service = keys.optional_text(sheet, "service");
    let span: Range<usize> = keys.span.clone();
    match (order, service) {
        (Some(order), None) => {
            let services = services.into_iter().map(|service| service.text).collect();
            Some(Rules::Order { order: order.text, services })
        }
        (None, Some(service)) => {
            let rules = of_every_order(&service.text);
            if rules.is_none() || !services.is_empty() {
                let what = format!("`service` is {}", quote(&service.text));
                sheet.fault(
                    &service.span,
                    what,
                    "write `service = \"CATALOGUE/SERVICE\"`, and no `services` beside it",
                );
            }
            rules
        }
        (Some(_), Some(_)) | (None, None) => {
            let remedy = "write `order = \"…\"`, with `services = […]` where not all are meant, or \
                          `service = \"CATALOGUE/SERVICE\"` for every order on it";
            sheet.fault(&span, "the waiver has to say either its `order` or its `service`", remedy);
            None
        }
    }
}

fn each<T>(
    sheet: &mut Sheet<'_>,
    keys: &mut Keys<'_, '_>,
    key: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let mut values = Some(Vec::new());
    for text in keys.optional_texts(sheet, key) {
        match (parse(&text.text), &mut values) {
            (Ok(value), Some(values)) => values.push(value),
            (Ok(_), None) => {}
            (Err(why), _) => {
                sheet.fault(&text.span, format!("`{key}` has {}", quote(&text.text)), why);
                values = None;
            }
        }
    }
    values
}

/// Reads `CATALOGUE/SERVICE`: the rules of every order for that service.
pub fn of_every_order(text: &str) -> Option<Rules> {
    let (catalogue, service) = text.split_once('/')?;
    let whole = !catalogue.is_empty() && !service.is_empty() && !service.contains('/');
    whole.then(|| Rules::Service { catalogue: catalogue.to_owned(), service: service.to_owned() })
}

/// Reads whom a waiver is for: an address, a network, or else a group. Whether there is such a group shows when policy is
/// compiled.
///
/// # Errors
/// What would be right, where it is none of these.
pub fn party(text: &str) -> Result<Party, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Party::Network(address.to_canonical().into()));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        let whole = network.trunc();
        return if whole == network {
            Ok(Party::Network(network))
        } else {
            Err(format!("write {whole} for the network, or {} for the one address", network.addr()))
        };
    }
    let is_name = !text.is_empty()
        && text.len() <= MAX_GROUP
        && is_visible(text)
        && !text.contains(['/', ':', ' '])
        && !text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    if is_name { Ok(Party::Group(text.to_owned())) } else { Err("write an address, a network or a group".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[waiver]]
id = "lab"
order = "acme-2026"
services = ["update"]
names = ["upd.acme.example", "*.cdn.acme.example"]
clients = ["10.0.0.7", "10.1.0.0/16", "laboratory"]
reason = "tests of removal"
approver = "A. Counsel"
ticket = "OPS-7"
from = 2026-01-01T00:00:00Z
until = 2026-03-01T00:00:00Z

[[waiver]]
id = "everyone"
service = "acme/update"
reason = "a reason"
approver = "A. Counsel"
from = 2026-01-01T00:00:00Z
until = 2026-01-02T00:00:00Z
"#;

    fn read(text: &str) -> Result<Vec<Waiver>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waivers.toml");
        std::fs::write(&path, text).unwrap();
        let days = Some(SignedDuration::from_hours(90 * 24));
        let read = read_waivers(&[path.display().to_string()], days);
        let bare = |fault: &Fault| fault.to_string().replace(&format!("{}/", folder.path().display()), "");
        read.map(|of| of.waivers.into_iter().map(|of| of.waiver).collect())
            .map_err(|faults| faults.iter().map(bare).collect())
    }

    #[test]
    fn a_file_of_waivers_is_read_whole() {
        let waivers = read(GOOD).unwrap();
        assert_eq!(waivers.iter().map(|of| of.id.as_str()).collect::<Vec<_>>(), ["lab", "everyone"]);
        assert_eq!(waivers[0].scope.rules.to_string(), "acme-2026 (update)");
        let clients: Vec<_> = waivers[0].scope.clients.iter().map(ToString::to_string).collect();
        assert_eq!(clients, ["10.0.0.7", "10.1.0.0/16", "group laboratory"]);
        assert_eq!(waivers[1].scope.rules.to_string(), "every order on acme/update");
        assert_eq!(read("# none at present\n").unwrap(), []);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        for (from, to, told) in [
            ("id = \"lab\"", "id = \"everyone\"", ":15: `everyone` is the id of another waiver too"),
            ("id = \"lab\"", "id = \"w-1\"", ":3: `w-1` looks like an id"),
            ("id = \"lab\"", "id = \"W-1\"", ":3: "),
            ("order = \"acme-2026\"", "", ":2: the waiver has to say"),
            ("service = \"acme/update\"", "service = \"update\"", ":16: `service` is `update`"),
            ("service = \"acme/update\"", "order = \"a\"\nservice = \"acme/update\"", ":14: the waiver has to say"),
            ("\"10.0.0.7\"", "\"10.0.0.300\"", ":7: `clients` has `10.0.0.300`; write an address"),
            ("\"10.1.0.0/16\"", "\"10.1.2.3/16\"", "write 10.1.0.0/16 for the network"),
            ("\"upd.acme.example\"", "\"a..b\"", ":6: `names` has `a..b`"),
            ("until = 2026-03-01T00:00:00Z", "until = 2025-03-01T00:00:00Z", ":2: `until` is not after `from`"),
            (
                "until = 2026-03-01T00:00:00Z",
                "until = 2027-03-01T00:00:00Z",
                ":2: the waiver lasts longer than 90 days",
            ),
            ("until = 2026-03-01T00:00:00Z", "", ":2: [[waiver]] has no `until`"),
            ("ticket = \"OPS-7\"", "tikcet = \"OPS-7\"", ":10: `tikcet` is not a key"),
            ("tests of removal", "x\\u001b[2J", ":8: `reason` holds control"),
            ("[[waiver]]\nid = \"lab\"", "[[waver]]\nid = \"lab\"", "`waver` is not a key"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let faults = read(&GOOD.replacen(from, to, 1)).expect_err(to);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{to}: {faults:?}");
        }
        assert!(read("<html>").is_err());
    }

    #[test]
    fn a_file_without_waivers_is_one_and_a_missing_one_is_told() {
        for none in ["", "\n", "# none at present\n", "\u{feff}"] {
            assert_eq!(read(none), Ok(Vec::new()), "{none:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("good.toml"), GOOD).unwrap();
        let read = read_waivers(&[path("missing.toml"), path("good.toml"), path("")], None).unwrap();
        assert_eq!((read.waivers.len(), read.unread.len()), (2, 2));
        assert!(read.unread[0].to_string().contains("missing.toml: the file cannot be read"), "{:?}", read.unread);
    }
}
