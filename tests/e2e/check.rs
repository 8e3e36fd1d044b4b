//! `interdict check` and a start tell every fault with the file and the line that has to be mended.

use std::path::Path;
use std::process::{Command, Output};

use crate::daemon::program;
use crate::place;

const ORDER: &str = include_str!("../scenarios/policy/acme-order.toml");
const CATALOGUE: &str = include_str!("../scenarios/policy/acme.toml");
/// What stands at the end of each line of which a fault is expected.
const HERE: &str = "# !";

const HEAD: &str = "data_dir = \"data\"\n[admin]\nlisten = \"\"\n";
const ACME: &str = "[policy]\ncatalogues = [\"acme.toml\"]\norders = [\"order.toml\"]\n";

/// A waiver of the file `waivers.toml`.
fn waiver(id: &str, rules: &str) -> String {
    format!(
        "[[waiver]]\nid = \"{id}\" {HERE}\n{rules}\nreason = \"r\"\napprover = \"a\"\n\
         from = 2026-01-01T00:00:00Z\nuntil = 2026-01-02T00:00:00Z\n"
    )
}

fn tell(command: &str, folder: &Path) -> Output {
    let mut tell = Command::new(program());
    tell.args([command, "--config", "interdict.toml"]).current_dir(folder).env_remove("RUST_LOG").output().unwrap()
}

/// Lays the files out and returns the faults that `check` tells, one a line, beside the places that are marked in the files.
fn told(config: &str, files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{HEAD}{config}");
    let always = [("interdict.toml", config.as_str()), ("acme.toml", CATALOGUE), ("order.toml", ORDER)];
    let mut places = Vec::new();
    for (name, text) in always.iter().chain(files) {
        std::fs::write(folder.path().join(name), text).unwrap();
        let marked = text.lines().enumerate().filter(|(_, line)| line.ends_with(HERE));
        places.extend(marked.map(|(index, _)| format!("{name}:{}: ", index + 1)));
    }
    let output = tell("check", folder.path());
    assert_eq!(output.status.code(), Some(78), "{config}\n{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    let faults: Vec<_> = text.lines().map(|line| line.strip_prefix("interdict: ").unwrap_or(line).to_owned()).collect();
    // A start tells the same, but for lists: it does without one that is not good.
    if !config.contains("[[lists.list]]") {
        let started = tell("run", folder.path());
        assert_eq!(started.status.code(), Some(78), "{config}\n{started:?}");
        let started = String::from_utf8(started.stderr).unwrap();
        for fault in &faults {
            assert!(started.contains(fault), "{fault} is not among\n{started}");
        }
    }
    (faults, places)
}

#[test]
fn every_kind_of_fault_is_told_with_file_and_line() {
    let waivers = format!("{ACME}waivers = [\"waivers.toml\"]\n");
    let orders = waiver("a", "order = \"none\"");
    let services = waiver("b", "order = \"acme-2026\"\nservices = [\"shops\"]");
    let catalogues = waiver("c", "service = \"none/update\"");
    let groups = waiver("d", "order = \"acme-2026\"\nclients = [\"nobody\"]");
    let treatment = |order: &str, service: &str, more: &str| {
        format!("{ACME}[[policy.treatment]] {HERE}\norder = \"{order}\"\nservice = \"{service}\"\n{more}\n")
    };
    let noted = "treatment = \"noted\"";
    let ads = format!("[[lists.list]]\nname = \"ads\"\nfile = \"ads.txt\"\n{HERE}\n");
    let receiver = "[[export.receiver]]\nname = \"siem\"\nkind = \"syslog-tls\"\nto = \"siem.example:6514\"\n";
    let http = "[[export.receiver]]\nname = \"http\"\nkind = \"http\"\nto = \"https://siem.example/\"\n";
    let hook = "[[notice.webhook]]\nname = \"team\"\nurl = \"https://t.example/\"\n";
    let smtp = "[notice.smtp]\nserver = \"mail.example\"\nfrom = \"i@corp.example\"\nto = [\"a@corp.example\"]\nuser = \"u\"\n";
    let lines = |head: &str, line: &str, more: &str| format!("{head}{line} {HERE}\n{more}");
    let cases: Vec<(String, &str, &str)> = vec![
        // What is chosen.
        (lines("[policy]\norders = [\n", "\"us-nowhere-2024\",", "]\n"), "", "us-nowhere-2024: there is no such file"),
        (lines("[policy]\n", "catalogues = [\"nowhere.toml\"]", ""), "", "nowhere.toml: there is no such file"),
        (lines("[policy]\n", "orders = [\"/dev/null\"]", ""), "", "/dev/null: this is not a regular file"),
        // What is set about it.
        (treatment("none", "update", noted), "", "a treatment names order `none`"),
        (treatment("acme-2026", "shops", noted), "", "names service `shops`"),
        (
            treatment("acme-2026", "support", "treatment = \"prohibited\"\nprohibition = \"sales\""),
            "",
            "prohibits under `sales`",
        ),
        (format!("{ACME}[[policy.apply]] {HERE}\norder = \"none\"\nphase = \"off\"\n"), "", "order `none` applies"),
        (
            lines(&format!("{ACME}[[policy.apply]]\norder = \"acme-2026\"\n"), "groups = [\"lab\"]", "phase = \"off\"\n"),
            "",
            "group `lab`",
        ),
        (waivers.clone(), &orders, "waiver `a` is of order `none`"),
        (waivers.clone(), &services, "waiver `b` is of service `shops`"),
        (waivers.clone(), &catalogues, "waiver `c` is of catalogue `none`"),
        (waivers, &groups, "waiver `d` is set for group `nobody`"),
        // Zones and upstreams.
        (
            format!("[[zones.zone]]\norigin = \"corp.example\"\ntext = \"\"\"\n@ SOA a. b. 1 2 3 4 5\nwww A 10.0.0 {HERE}\n\"\"\"\n")
                .replace(&format!(" {HERE}"), &format!(" ; {HERE}")),
            "",
            "zone corp.example, `www A 10.0.0",
        ),
        (
            lines("[[zones.zone]]\norigin = \"corp.example\"\n", "text = \"@ SOA a. b. 1 2 3 4 5\\nwww A 10.0.0\"", ""),
            "",
            "line 2: zone corp.example",
        ),
        (format!("[[zones.zone]] {HERE}\norigin = \"corp.example\"\ntext = \"www A 10.0.0.1\"\n"), "", "no SOA record"),
        (
            lines("[listen]\ndns = [\"0.0.0.0:5399\"]\n[upstream]\nservers = [\n\"10.0.0.1\",\n", "\"127.0.0.9:5399\",", "]\n"),
            "",
            "every query would loop",
        ),
        (
            lines(
                "[listen]\ndns = [\"0.0.0.0:5399\"]\n[[upstream.zone]]\nname = \"corp.example\"\n",
                "servers = [\"127.0.0.9:5399\"]",
                "",
            ),
            "",
            "every query would loop",
        ),
        (lines("[upstream]\nservers = [\"10.0.0.1\"]\n", "ca = \"none.pem\"", ""), "", "none.pem"),
        (lines("[upstream]\nservers = [\"10.0.0.1\"]\n", "trust_anchors = \"none\"", ""), "", "trust_anchors: none: "),
        (lines("[fetch]\n", "ca = \"none.pem\"", ""), "", "none.pem"),
        // Who gets records and notices.
        (lines(receiver, "ca = \"none.pem\"", ""), "", "export siem: "),
        (lines(http, "authorization_file = \"none\"", ""), "", "export http: "),
        (lines("[notice]\n", "template = \"none\"", ""), "", "[notice] template: "),
        (lines(hook, "secret_file = \"none.key\"", ""), "", "notice by team: "),
        (lines(smtp, "password_file = \"none\"", ""), "", "notice by smtp: cannot read the password"),
        // Lists.
        (ads.replace(&format!("\n{HERE}"), "").replace("[[lists.list]]", &format!("[[lists.list]] {HERE}")), "", "list ads: "),
    ];
    for (config, waivers, expected) in cases {
        let files = [("waivers.toml", waivers)];
        let files = if waivers.is_empty() { &[][..] } else { &files[..] };
        let (faults, places) = told(&config, files);
        let ([fault], [place]) = (&faults[..], &places[..]) else { panic!("{config}\n{faults:#?}\n{places:?}") };
        assert!(fault.starts_with(place) && fault.contains(expected), "{config}\nat {place}{expected}\n{fault}");
    }
}

#[test]
fn a_rule_that_makes_a_list_unfit_is_told_with_its_line() {
    let list = "[[lists.list]]\nname = \"ads\"\nfile = \"ads.txt\"\n";
    for (text, expected) in [
        // A comment that names it is not what withholds it.
        (format!("0.0.0.0 a.example\n# com\n0.0.0.0 com {HERE}\n0.0.0.0 com\n"), "it would withhold com"),
        (
            format!("0.0.0.0 a.example\n0.0.0.0 uk.example\n0.0.0.0 b.example c.example co.uk {HERE}\n"),
            "withhold co.uk",
        ),
        (format!("||a.example^\n||com^ {HERE}\n").replace(" #", "\n#"), "it would withhold com"),
        (format!("0.0.0.0 a.example\nx {HERE}\ny\nz\n"), "3 lines were not understood"),
    ] {
        // The syntax of ad blockers knows no comment behind a rule; there the mark stands below it.
        let below = text.contains(&format!("\n{HERE}"));
        let (faults, places) = told(list, &[("ads.txt", &text)]);
        let ([fault], [place]) = (&faults[..], &places[..]) else { panic!("{text}\n{faults:#?}\n{places:?}") };
        let place = if below { "ads.txt:2: ".to_owned() } else { place.clone() };
        assert!(fault.starts_with(&place) && fault.contains(expected), "{text}\nat {place}{expected}\n{fault}");
    }
}

#[test]
fn lines_that_are_not_understood_are_told_by_a_check_that_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        format!("{HEAD}[upstream]\nservers = [\"10.0.0.1\"]\n[[lists.list]]\nname = \"ads\"\nfile = \"ads.txt\"\n");
    std::fs::write(folder.path().join("interdict.toml"), config).unwrap();
    std::fs::write(folder.path().join("ads.txt"), "0.0.0.0 a.example\n0.0.0.0 b..example\n").unwrap();
    let output = tell("check", folder.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("  ads.txt:2: `0.0.0.0 b..example`: "), "{text}");
}

#[test]
fn faults_that_do_not_depend_on_each_other_are_told_at_once() {
    let config = format!(
        "[upstream]\nservers = [\"10.0.0.1\"]\nca = \"none.pem\" {HERE}\n[policy]\ncatalogues = [\"acme.toml\"]\norders = [\n\
         \"order.toml\",\n\"none.toml\", {HERE}\n]\n[[policy.apply]]\norder = \"acme-2026\"\ngroups = [\"lab\"] {HERE}\nphase = \"off\"\n\
         [zones]\nhosts = [\"a.example 10.0.0.1\"]\n[[zones.zone]] {HERE}\norigin = \"corp.example\"\ntext = \"\"\n\
         [[lists.list]] {HERE}\nname = \"ads\"\nfile = \"ads.txt\"\n[notice]\ntemplate = \"none\" {HERE}\n\
         [[notice.webhook]]\nname = \"t\"\nurl = \"https://t.example/\"\nsecret_file = \"none.key\" {HERE}\n"
    );
    let broken = ORDER.replace("id = \"updates\"", &format!("ids = \"updates\" {HERE}"));
    let (faults, mut places) = told(&config, &[("order.toml", &broken)]);
    // The prohibition that has no id is told at its head, the key that is none where it stands.
    let head = broken.lines().position(|line| line == "[[prohibition]]").unwrap() + 1;
    places.push(format!("order.toml:{head}: "));
    for place in &places {
        assert!(faults.iter().any(|fault| fault.starts_with(place)), "{place}\n{faults:#?}");
    }
    assert_eq!(faults.len(), places.len(), "{faults:#?}\n{places:#?}");
}

/// What only the machine can tell: an address that somebody has, a folder that is none.
#[test]
fn what_cannot_be_had_is_told_with_the_line_that_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _datagrams = std::net::UdpSocket::bind(taken).unwrap();
    let _streams = std::net::TcpListener::bind(taken).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let told = |data: &str, dns: &str, admin: &str, code: i32| {
        let config = format!(
            "data_dir = \"{data}\"\n[listen]\ndns = [\n\"{dns}\",\n]\n[admin]\nlisten = \"{admin}\"\n[upstream]\nservers = [\"10.0.0.1\"]\n"
        );
        std::fs::write(folder.path().join("interdict.toml"), config).unwrap();
        let (run, doctor) = (tell("run", folder.path()), tell("doctor", folder.path()));
        assert_eq!((run.status.code(), doctor.status.code()), (Some(code), Some(1)), "{run:?}\n{doctor:?}");
        [run.stderr, doctor.stdout].map(|text| String::from_utf8(text).unwrap())
    };
    let free = place::socket();
    for (data, dns, admin, code, run, doctor) in [
        ("data", taken, "", 69, format!("interdict.toml:4: {taken} is in use"), "port"),
        ("data", free, &*taken.to_string(), 69, "interdict.toml:7: the admin address".to_owned(), "port"),
        ("file", free, "", 73, "interdict.toml:1: cannot write to the data folder file".to_owned(), "data folder"),
    ] {
        let [ran, looked] = told(data, &dns.to_string(), admin, code);
        assert!(ran.contains(&format!("interdict: {run}")), "{ran}");
        let place = run.split(' ').next().unwrap();
        assert!(looked.lines().any(|line| line.starts_with(&format!("BAD   {doctor:<14} {place} "))), "{looked}");
    }
}

#[test]
fn a_file_of_certificates_that_have_run_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = |year| {
        let mut parameters = rcgen::CertificateParams::new(vec!["dns.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 3, 9);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    };
    let config = format!("{HEAD}[upstream]\nservers = [\"tls://10.0.0.1#dns.example\"]\nca = \"ca.pem\"\n");
    std::fs::write(folder.path().join("interdict.toml"), config).unwrap();
    for (text, is_told) in [(certificate(2020), true), (certificate(2020) + &certificate(2999), false)] {
        std::fs::write(folder.path().join("ca.pem"), text).unwrap();
        let output = tell("check", folder.path());
        let text = String::from_utf8(output.stdout).unwrap();
        let told =
            "note interdict.toml:6: ca.pem: every certificate in it has run out, the last one at 2020-03-09T00:00:00Z";
        assert!(output.status.success() && text.contains(told) == is_told, "{text}");
    }
}
