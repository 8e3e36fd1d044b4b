//! From files to faults or a snapshot, as an operator meets it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::client::{Client, Group};
use crate::policy::{
    Apply, Demand, Mode, OperatorTreatment, Party, Phase, Removal, Rules, Scope, Sink, Term, TreatmentChoice, Verdict,
    Waiver,
};

mod kept;

const CATALOGUE: &str = r#"
format = 1
kind = "catalogue"
id = "acme"
vendor = "Acme"
title = "Names of Acme"
revised = 2026-01-01
public_suffixes = ["com", "co.uk"]

[services]
update = "Updates"
web = "Web sites"

[[entry]]
name = "upd.acme.com"
match = "suffix"
service = "update"
confidence = "high"
evidence = ["a manual"]

[[entry]]
name = "shop.acme.*"
match = "pattern"
service = "web"
confidence = "low"
evidence = ["a list", "a page"]
note = "Country shops."
"#;

const ORDER: &str = r#"
format = 1
kind = "order"
id = "ban"
title = "A ban"
issuer = "An office"
citation = "1 XX 2"
rules = ["part 1"]
catalogue = "acme"
published = 2024-01-01

[[prohibition]]
id = "updates"
title = "No updates"
from = 2024-07-20T00:00:00-04:00
basis = "1 XX 2, paragraph 1"
verification = "primary"
services = ["update"]

[[noted]]
services = ["web"]
reason = "A web site."
"#;

/// Loads a catalogue and an order from files, and returns the faults without the folder.
fn faults(catalogue: &str, order: &str, operator: Operator) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let selection = write(folder.path(), catalogue, order);
    match load(&selection, operator, 1) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            let folder = format!("{}/", folder.path().display());
            faults.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
        }
    }
}

fn write(folder: &Path, catalogue: &str, order: &str) -> Selection {
    let (names, law) = (folder.join("names.toml"), folder.join("law.toml"));
    fs::write(&names, catalogue).unwrap();
    fs::write(&law, order).unwrap();
    Selection { catalogues: vec![names.display().to_string()], orders: vec![law.display().to_string()] }
}

/// Checks that exactly the faults of `expected` were told: how each begins, and a part of what it goes on with.
#[track_caller]
fn assert_faults(told: &[String], expected: &[(&str, &str)]) {
    let matches = |(told, (start, part)): (&String, &(&str, &str))| told.starts_with(start) && told.contains(part);
    assert!(told.len() == expected.len() && told.iter().zip(expected).all(matches), "{:#?}", told);
}

#[test]
fn what_the_program_carries_has_no_fault() {
    let loaded = load(&Selection::default(), Operator::default(), 1)
        .unwrap_or_else(|faults| panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()));
    assert!(loaded.snapshot.entry_count() > 100);
    assert_eq!(loaded.snapshot.digest(), &loaded.archive.digest());
}

#[test]
fn sound_files_make_a_snapshot() {
    assert_eq!(faults(CATALOGUE, ORDER, Operator::default()), Vec::<String>::new());
}

#[test]
fn every_fault_of_a_catalogue_is_told_with_its_line() {
    let catalogue = r#"format = 1
kind = "catalogue"
id = "Acme Inc"
vendor = 7
revised = "2026-01-01"
public_suffixes = ["com", "co.*", "com"]
colour = "red"

[services]
update = "Updates"
"o k" = ""

[[entry]]
name = "a..acme.com"
match = "suffix"
service = "update"
confidence = "sure"
evidence = []

[[entry]]
name = "acme.com"
match = "sufix"
service = "updates"
evidence = ["x", 3]
notes = "y"

[[entry]]
name = "https://acme.com/"
match = "exact"
service = "update"
confidence = "high"
evidence = ["x"]

[[entry]]
name = "Dup.acme.com."
match = "exact"
service = "update"
confidence = "high"
evidence = ["x"]

[[entry]]
name = "dup.acme.com"
match = "exact"
service = "update"
confidence = "high"
evidence = ["x"]

[[entry]]
name = "192.0.2.1"
match = "exact"
service = "update"
confidence = "high"
evidence = ["x"]
"#;
    let order = ORDER.replace("[\"update\"]", "[\"updates\"]");
    assert_faults(
        &faults(catalogue, &order, Operator::default()),
        &[
            ("names.toml:1: the file has no `title`; add `title = \"…\"`", ""),
            ("names.toml:3: `Acme Inc` is not an identifier; use", "lower-case"),
            ("names.toml:4: `vendor` is `7`, not a text; write it as", ""),
            ("names.toml:5: `revised` is `\"2026-01-01\"`, not a day; write it as 2024-06-24", ""),
            ("names.toml:6: `public_suffixes` lists `com` twice; list it once", ""),
            ("names.toml:6: `co.*` is not a public suffix; write a public suffix such as \"com\"", ""),
            ("names.toml:7: `colour` is not a key of the file; the keys are `format`,", "`entry`"),
            ("names.toml:11: `o k` is not an identifier", ""),
            ("names.toml:11: `services` is empty", ""),
            ("names.toml:14: `a..acme.com` is not a name or pattern: it has an empty label", ""),
            ("names.toml:17: `confidence` is `\"sure\"`; write one of \"high\", \"medium\", \"low\"", ""),
            ("names.toml:18: `evidence` is an empty list; list at least one", ""),
            ("names.toml:20: [[entry]] has no `confidence`; add `confidence`, one of \"high\"", ""),
            ("names.toml:22: `match` is `\"sufix\"`; write one of \"exact\", \"suffix\", \"pattern\", \"network\"", ""),
            ("names.toml:23: `updates` is not in `[services]`; the services are o k, update", ""),
            ("names.toml:24: `evidence` is `3`, not a text", ""),
            ("names.toml:25: `notes` is not a key of [[entry]]; the keys are `name`, `match`", "`note`"),
            ("names.toml:28: `https://acme.com/` is not the name of a host or zone; write the name alone", ""),
            ("names.toml:42: `dup.acme.com` is listed twice, first in line 35; keep one", ""),
            ("names.toml:49: `192.0.2.1` is an address; write a name", ""),
        ],
    );
}

#[test]
fn networks_are_read_and_their_faults_are_told() {
    let entry = |text: &str| {
        let keys = "match = \"network\"\nservice = \"update\"\nconfidence = \"high\"\nevidence = [\"x\"]";
        format!("\n[[entry]]\nname = \"{text}\"\n{keys}\n")
    };
    let with = |texts: &[&str]| format!("{CATALOGUE}{}", texts.iter().map(|text| entry(text)).collect::<String>());
    let good = with(&["192.0.2.7", "192.0.2.0/24", "2001:DB8::/32"]);
    let first = good[..good.find("192.0.2.7").unwrap()].lines().count();
    let document = |kind, text: &str| Document { kind, path: "x".to_owned(), text: text.to_owned() };
    let documents = vec![document(Kind::Catalogue, &good), document(Kind::Order, ORDER)];
    let loaded = Archive::new(documents, Operator::default());
    let kept = Archive::from_json(&loaded.to_json()).unwrap().compile(1).unwrap();
    let anyone = crate::client::Client::at([10, 0, 0, 1].into());
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (address, verdict) in [("192.0.2.7", "sunk"), ("2001:db8::9", "sunk"), ("192.0.3.1", "pass")] {
        let target = crate::query::Target::Address(address.parse().unwrap());
        let decision = kept.decide_subject(&crate::message::Name::root(), &target, &anyone, at);
        assert_eq!(decision.verdict.as_str(), verdict, "{address}");
    }
    let bad = with(&["0.0.0.0/0", "192.0.2.1/24", "a.example", "::ffff:8.8.8.8", "192.0.2.7", "192.0.2.7/32"]);
    let line = |number: usize| first + 7 * number;
    assert_faults(
        &faults(&bad, ORDER, Operator::default()),
        &[
            (&format!("names.toml:{}: `0.0.0.0/0` is not a network: it is too wide; name at least /8", line(0)), ""),
            (
                &format!("names.toml:{}: `192.0.2.1/24` is not a network: it has bits behind its", line(1)),
                "192.0.2.0/24",
            ),
            (&format!("names.toml:{}: `a.example` is not a network: it is not an address, nor", line(2)), ""),
            (&format!("names.toml:{}: `::ffff:8.8.8.8` is not a network: it carries an IPv4", line(3)), "8.8.8.8"),
            (&format!("names.toml:{}: `192.0.2.7/32` is listed twice, first in line {}", line(5), line(4)), ""),
        ],
    );
}

#[test]
fn every_fault_of_an_order_is_told_with_its_line() {
    let order = r#"format = 1
kind = "order"
id = "ban"
title = "A ban"
citation = "1 XX 2"
catalogue = "acme"
published = 2024-01-01T00:00:00Z

[[prohibition]]
id = "noted"
title = "No updates"
from = 2024-07-20T00:00:00
basis = "1 XX 2"
verification = "certain"
services = ["update", "update"]

[[prohibition]]
id = "later"
title = "No updates"
from = 2024-07-20T00:00:00-04:00
until = 2024-07-20T04:00:00Z
basis = "1 XX 2"
verification = "primary"
services = ["updates"]

[[kept]]
services = ["web"]
reason = "Needed."
record = "yes"
then = "latter"

[[exempt]]
services = "web"
why = "because"

[[fact]]
text = "esc \u001b[31m"
verification = "primary"

[protected]
services = ["web"]
"#;
    assert_faults(
        &faults(CATALOGUE, order, Operator::default()),
        &[
            ("law.toml:1: the file has no `issuer`; add", ""),
            ("law.toml:7: `published` is `2024-01-01T00:00:00Z`, not a day", ""),
            ("law.toml:10: `noted` is taken as the id of a prohibition", ""),
            (
                "law.toml:12: `from` is `2024-07-20T00:00:00`, not an instant with its offset",
                "2024-07-20T00:00:00-04:00",
            ),
            ("law.toml:14: `verification` is `\"certain\"`; write one of \"primary\"", ""),
            ("law.toml:15: `services` lists `update` twice", ""),
            ("law.toml:17: `until` is not after `from`", ""),
            ("law.toml:29: `record` is `\"yes\"`, not a switch; write it as true or false", ""),
            (
                "law.toml:30: `latter` is not a prohibition of this order; write \"noted\" or one of \"noted\", \"later\"",
                "",
            ),
            ("law.toml:32: [[exempt]] has no `reason`", ""),
            ("law.toml:33: `services` is `\"web\"`, not a list of texts", ""),
            ("law.toml:34: `why` is `\"because\"`; write one of \"not-covered\"", ""),
            ("law.toml:37: `text` holds control or invisible characters: `\"esc \\u001b[31m\"`", ""),
            ("law.toml:40: `protected` is `[protected]`, not a list of tables; write it as [[protected]]", ""),
            (
                "law.toml:24: order `ban` names service `updates`, which catalogue `acme` does not have; name",
                "update, web",
            ),
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_once_a_line_and_hides_nothing_else() {
    let catalogue =
        CATALOGUE.replace("vendor = \"Acme\"", "vendor = \"Acme").replace("confidence = \"low\"", "confidence = low");
    let catalogue = catalogue.replace("match = \"suffix\"", "match = \"suffix\"\nmatch = \"exact\"\ncolour = 1");
    assert_faults(
        &faults(&catalogue, ORDER, Operator::default()),
        &[
            ("names.toml:5: this is not TOML: ", "in `vendor = \"Acme`; mend the syntax"),
            ("names.toml:17: this is not TOML: duplicate key", "in `match = \"exact\"`"),
            ("names.toml:18: `colour` is not a key of [[entry]]", ""),
            ("names.toml:27: this is not TOML: ", "in `confidence = low`"),
        ],
    );
}

#[test]
fn what_contradicts_between_files_is_told_where_it_stands() {
    let treatment = |order: &str, service: &str, choice| OperatorTreatment {
        order: order.to_owned(),
        service: service.to_owned(),
        choice,
    };
    let own = Operator {
        treatments: vec![
            treatment("none", "web", TreatmentChoice::Noted),
            treatment("ban", "shops", TreatmentChoice::Noted),
            treatment("ban", "web", TreatmentChoice::Prohibited("sales".to_owned())),
        ],
        ..Operator::default()
    };
    let contradiction = ORDER.replace("[\"web\"]", "[\"update\"]");
    for (order, operator, expected) in [
        (
            ORDER.replace("\"acme\"", "\"acne\""),
            Operator::default(),
            vec![("law.toml:9: order `ban` is about catalogue `acne`", "`acme`")],
        ),
        (
            ORDER.replace("[\"web\"]", "[\"web\", \"shops\"]"),
            Operator::default(),
            vec![("law.toml:21: order `ban` names service `shops`", "")],
        ),
        (
            contradiction,
            Operator::default(),
            vec![
                ("law.toml:21: order `ban` treats service `update` in two ways", ""),
                ("law.toml:4: order `ban` says nothing of service `web`", ""),
            ],
        ),
        (
            ORDER.to_owned(),
            own,
            vec![
                ("configuration: a treatment names order `none`", "ban"),
                ("configuration: order `ban` names service `shops`", "update, web"),
                ("configuration: a treatment prohibits under `sales`", "updates"),
            ],
        ),
    ] {
        assert_faults(&faults(CATALOGUE, &order, operator), &expected);
    }
}

#[test]
fn a_file_of_another_kind_or_format_is_told_without_its_other_keys() {
    let newer = CATALOGUE.replace("format = 1", "format = 2\nnew_key = 1");
    assert_faults(
        &faults(&newer, ORDER, Operator::default()),
        &[("names.toml:2: `format` is 2; this program reads", "")],
    );
    assert_faults(
        &faults(CATALOGUE, CATALOGUE, Operator::default()),
        &[(
            "law.toml:2: the file is one of kind catalogue, but was chosen as order; choose it under the catalogues",
            "",
        )],
    );
}

#[test]
fn what_is_no_text_file_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("empty.toml"), " \n").unwrap();
    fs::write(path("page.toml"), "\u{feff}\n<!DOCTYPE html><html></html>").unwrap();
    fs::write(path("latin.toml"), b"format = 1\ntitle = \"\xe9\"\n").unwrap();
    fs::create_dir(path("hollow")).unwrap();
    nix::unistd::mkfifo(path("pipe.toml").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::File::create(path("huge.toml")).and_then(|file| file.set_len(16 * 1024 * 1024 + 1)).unwrap();
    let items = ["empty.toml", "page.toml", "latin.toml", "hollow", "pipe.toml", "huge.toml", "no\u{1b}ne"];
    let selection = Selection { catalogues: items.iter().map(|item| path(item)).collect(), orders: Vec::new() };
    let told: Vec<_> = gather(&selection).unwrap_err().iter().map(Fault::to_string).collect();
    let told: Vec<_> = told.iter().map(|fault| fault.replace(&format!("{}/", folder.path().display()), "")).collect();
    assert_faults(
        &told,
        &[
            ("empty.toml: the file is empty", ""),
            ("page.toml: the file is a web page, not TOML", ""),
            ("latin.toml:2: the file is not UTF-8 text", ""),
            ("hollow: the folder has no `*.toml` file", ""),
            ("pipe.toml: this is not a regular file", ""),
            ("huge.toml: the file is larger than 16 MiB", ""),
            ("no\\u{1b}ne: there is no such file or folder, and no such catalogue comes with", "kaspersky"),
        ],
    );
}

#[test]
fn a_folder_stands_for_its_files_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.toml", "a.toml", ".hidden.toml", "a.toml~", "README.md"] {
        fs::write(folder.path().join(name), format!("# {name}")).unwrap();
    }
    let item = folder.path().display().to_string();
    let selection = Selection { catalogues: Vec::new(), orders: vec![item.clone()] };
    let texts: Vec<_> = gather(&selection).unwrap().into_iter().map(|document| document.text).collect();
    assert_eq!(texts, ["# a.toml", "# b.toml"]);
    let twice = Selection { catalogues: Vec::new(), orders: vec![item.clone(), item] };
    assert_eq!(gather(&twice).unwrap_err().len(), 2);
}

#[test]
fn a_pattern_cannot_take_all_memory() {
    let entry = |at: u32| {
        format!(
            "[[entry]]\nname = \"x{{0..9999}}.y{at}.acme.com\"\nmatch = \"pattern\"\nservice = \"web\"\nconfidence = \"low\"\nevidence = [\"x\"]\n"
        )
    };
    let catalogue = format!("{CATALOGUE}{}", (0..40).map(entry).collect::<String>());
    assert_faults(
        &faults(&catalogue, ORDER, Operator::default()),
        &[("names.toml:", "stands for more than 250000 names")],
    );
}

/// The examples of `blocklists/README.md`, in its order: a catalogue and an order.
#[test]
fn the_documented_examples_load_together() {
    let readme = include_str!("../../blocklists/README.md");
    let mut examples = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (catalogue, order) = (examples.next().unwrap(), examples.next().unwrap());
    assert_eq!(faults(catalogue, order, Operator::default()), Vec::<String>::new());
    let uncommented = order.replace("# until", "until");
    assert_eq!(faults(catalogue, &uncommented, Operator::default()), Vec::<String>::new());
}

proptest! {
    /// A damaged file is refused or read, in bounded time, and what is told of it cannot forge a line.
    #[test]
    fn a_damaged_file_is_refused_without_harm(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), "[\\PC\n\u{0}-\u{1f}\u{1b}\"\\[\\]{},=*.]{0,6}", 0usize..40), 1..6),
        of_order in any::<bool>(),
    ) {
        let (mut catalogue, mut order) = (CATALOGUE.to_owned(), ORDER.to_owned());
        let text = if of_order { &mut order } else { &mut catalogue };
        for (place, instead, length) in cuts {
            let start = text.floor_char_boundary(place.index(text.len().max(1)).min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, &instead);
        }
        let document = |kind, text| Document { kind, path: "damaged".to_owned(), text };
        let documents = vec![document(Kind::Catalogue, catalogue), document(Kind::Order, order)];
        if let Err(faults) = Archive::new(documents, Operator::default()).compile(1) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                let told = fault.to_string();
                prop_assert!(!told.chars().any(char::is_control), "{}", told);
            }
        }
    }
}

#[test]
fn the_day_of_the_newest_file_is_told() {
    let texts = [Kind::Catalogue, Kind::Order].into_iter().flat_map(Kind::shipped).map(|(_, text)| *text);
    let measures = [shipped::MEASURES, shipped::MEASURE_CATALOGUES].into_iter().flatten().map(|(_, text)| *text);
    let days = texts
        .chain(measures)
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("revised = ").or(line.strip_prefix("read = ")).map(str::trim));
    assert_eq!(days.max(), Some(shipped::REVIEWED));
    assert!(reviewed() < "2027-01-01T00:00:00Z".parse().unwrap());
}
