//! Notices over time, what templates and webhooks make of hostile texts, and what is kept.

use jiff::Timestamp;
use jiff::civil::Weekday;

use super::facts::{Facts, Group, Listed, Subject};
use super::kept::TRIES;
use super::mail::message;
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const INSTANT: &str = "2026-09-29T04:00:00Z";
const DAYS: [u16; 4] = [0, 1, 7, 30];
const FRIDAY: Option<Weekly> = Some(Weekly { day: Weekday::Friday, hour: 6 });

fn mark(instant: &str) -> Mark {
    Mark { order: "acme".to_owned(), prohibition: "updates".to_owned(), at: at(instant), until: None }
}

/// What a daemon does at an instant with one way; returns what it sends.
fn round(
    kept: &mut Kept,
    marks: &[Mark],
    digest: Option<Weekly>,
    now: &str,
    result: Result<(), String>,
) -> Vec<String> {
    let now = at(now);
    kept.note(marks, now);
    let plan = plan(marks, &DAYS, digest, kept, now);
    kept.take(&plan, &["smtp".to_owned()]);
    let waiting = kept.waiting(&plan);
    for of in &waiting {
        kept.tried(of, now, result.clone());
    }
    waiting.into_iter().map(|of| of.notice.id).collect()
}

#[test]
fn each_notice_is_sent_once_at_its_distance() {
    let (mut kept, marks) = (Kept::default(), [mark(INSTANT)]);
    for (now, sent) in [
        ("2026-08-30T03:59:59Z", None),
        ("2026-08-30T04:00:00Z", Some("30d")),
        ("2026-08-30T04:00:01Z", None),
        ("2026-09-22T03:59:59Z", None),
        ("2026-09-22T04:00:00Z", Some("7d")),
        ("2026-09-28T04:00:00Z", Some("1d")),
        ("2026-09-29T03:59:59Z", None),
        ("2026-09-29T04:00:00Z", Some("0d")),
        ("2027-09-29T04:00:00Z", None),
    ] {
        let expected: Vec<_> = sent.iter().map(|days| format!("acme/updates@{INSTANT}-{days}")).collect();
        assert_eq!(round(&mut kept, &marks, None, now, Ok(())), expected, "{now}");
    }
}

#[test]
fn what_fell_due_while_nobody_ran_is_sent_unless_a_later_one_stands() {
    let marks = [mark(INSTANT)];
    for (start, sent) in [
        ("2026-08-30T12:00:00Z", "30d"),
        ("2026-09-25T00:00:00Z", "7d"),
        ("2026-09-28T23:00:00Z", "1d"),
        ("2026-10-20T00:00:00Z", "0d"),
    ] {
        let mut kept = Kept::default();
        assert!(round(&mut kept, &marks, None, "2026-08-01T00:00:00Z", Ok(())).is_empty());
        let sent = format!("acme/updates@{INSTANT}-{sent}");
        assert_eq!(round(&mut kept, &marks, None, start, Ok(())), [sent], "{start}");
    }
}

#[test]
fn an_instant_that_was_past_when_it_became_known_has_no_notice() {
    let mut kept = Kept::default();
    assert!(round(&mut kept, &[mark(INSTANT)], None, "2026-09-29T04:00:00Z", Ok(())).is_empty());
    // It was postponed, which is another instant.
    let later = [mark("2026-11-01T00:00:00Z")];
    assert_eq!(
        round(&mut kept, &later, None, "2026-10-20T00:00:00Z", Ok(())),
        ["acme/updates@2026-11-01T00:00:00Z-30d"]
    );
    let over = [Mark { until: Some(at("2026-11-05T00:00:00Z")), ..later[0].clone() }];
    assert!(round(&mut kept, &over, None, "2026-11-05T00:00:00Z", Ok(())).is_empty());
}

#[test]
fn a_digest_goes_out_once_a_week_from_the_first_after_it_was_switched_on() {
    let mut kept = Kept::default();
    // 2026-09-04 is a Friday.
    for (now, sent) in [
        ("2026-09-04T07:00:00Z", None),
        ("2026-09-11T05:59:59Z", None),
        ("2026-09-11T06:00:00Z", Some("digest@2026-09-11")),
        ("2026-09-17T23:00:00Z", None),
        ("2026-10-01T00:00:00Z", Some("digest@2026-09-25")),
        ("2026-10-02T06:00:00Z", Some("digest@2026-10-02")),
    ] {
        let sent: Vec<_> = sent.into_iter().collect();
        assert_eq!(round(&mut kept, &[], FRIDAY, now, Ok(())), sent, "{now}");
    }
    let plan = plan(&[mark(INSTANT)], &DAYS, FRIDAY, &kept, at("2026-09-27T00:00:00Z"));
    let next: Vec<_> = plan.next.iter().map(|notice| (notice.kind, notice.due.to_string())).collect();
    assert_eq!(
        next,
        [(Kind::Before(1), "2026-09-28T04:00:00Z".to_owned()), (Kind::Digest, "2026-10-02T06:00:00Z".to_owned())]
    );
}

#[test]
fn a_sending_that_fails_is_tried_again_and_given_up_by_count_or_by_a_later_one() {
    let (mut kept, marks) = (Kept::default(), [mark(INSTANT)]);
    let failed = || Err("nobody answers".to_owned());
    let first = "2026-08-30T04:00:00Z";
    for _ in 0..3 {
        assert_eq!(round(&mut kept, &marks, None, first, failed()).len(), 1);
    }
    assert!(round(&mut kept, &marks, None, "2026-09-22T04:00:00Z", failed())[0].ends_with("-7d"));
    let replaced = &kept.entries[0].channels["smtp"];
    assert_eq!((replaced.state, replaced.tries), (State::Replaced, 3));
    assert!(replaced.why.as_ref().unwrap().contains("nobody answers"));
    for _ in 1..TRIES {
        assert_eq!(round(&mut kept, &marks, None, "2026-09-22T05:00:00Z", failed()).len(), 1);
    }
    assert!(round(&mut kept, &marks, None, "2026-09-22T05:00:00Z", failed()).is_empty());
    assert_eq!(kept.entries[1].channels["smtp"].state, State::Failed);
}

#[test]
fn what_is_kept_is_the_same_after_a_restart_and_a_new_way_gets_nothing_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notices.json");
    assert_eq!(Kept::read(&path).unwrap(), Kept::default());
    let (mut kept, marks) = (Kept::default(), [mark(INSTANT)]);
    let now = "2026-08-30T04:00:00Z";
    round(&mut kept, &marks, None, now, Ok(()));
    kept.write(&path).unwrap();
    let mut again = Kept::read(&path).unwrap();
    assert_eq!(again, kept);
    assert!(round(&mut again, &marks, None, now, Ok(())).is_empty());
    let plan = plan(&marks, &DAYS, None, &again, at(now));
    again.take(&plan, &["smtp".to_owned(), "hook".to_owned()]);
    assert!(again.waiting(&plan).is_empty());
    std::fs::write(&path, "{\"version\":2}").unwrap();
    assert!(Kept::read(&path).is_err());
}

/// By `printf 'dns1/interdict\nacme/updates@2026-09-29T04:00:00Z-7d\nsmtp' | sha256sum | cut -c1-32`.
#[test]
fn what_is_sent_once_more_is_known_again_and_nothing_else_is_taken_for_it() {
    let notice = |id: &str| Notice { id: id.to_owned(), kind: Kind::Before(7), due: at(INSTANT), mark: None };
    let id = format!("acme/updates@{INSTANT}-7d");
    let sent = notice(&id).delivery("dns1/interdict", "smtp");
    assert_eq!(sent, "bcd4380f951389f0d294b92ea314a8f1", "receivers keep these from one version to the next");
    let again = Notice { kind: Kind::Start, due: at("2026-10-01T00:00:00Z"), ..notice(&id) };
    assert_eq!(again.delivery("dns1/interdict", "smtp"), sent);
    for (id, node, channel) in [
        (format!("acme/updates@{INSTANT}-1d"), "dns1/interdict", "smtp"),
        (id.clone(), "dns2/interdict", "smtp"),
        (id.clone(), "dns1/interdict", "tickets"),
    ] {
        assert_ne!(notice(&id).delivery(node, channel), sent, "{id} {node} {channel}");
    }
}

const HOSTILE: &str = "x\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>\u{202e}\"\u{1b}[2J{{ 7 * 7 }}";

fn hostile() -> Facts {
    let text = || super::facts::clean(HOSTILE);
    let mut facts = Facts::new("a-7d", Kind::Before(7), at(INSTANT), HOSTILE, 30);
    facts.subjects.push(Subject {
        order: text(),
        title: text(),
        citation: text(),
        prohibition: text(),
        what: text(),
        begins: at(INSTANT),
        in_force: false,
        days_left: 7,
        verified: "primary".to_owned(),
        devices: 1,
        active: 1,
        gone_quiet: 0,
        waived: 0,
        removed: 0,
        groups: vec![Group { group: text(), treatment: text(), devices: 1, active: 1, gone_quiet: 0, waived: 0 }],
        listed: Some(vec![Listed {
            device: text(),
            name: Some(text()),
            group: text(),
            state: "active",
            services: vec![text()],
            last: at(INSTANT),
            next: "look",
        }]),
        unlisted: 0,
    });
    facts
}

fn smtp() -> Smtp {
    Smtp {
        server: "mail.example".parse().unwrap(),
        encryption: Encryption::StartTls,
        from: "Interdict <i@corp.example>".parse().unwrap(),
        to: vec!["a@corp.example".parse().unwrap()],
        login: None,
        ca: None,
        private: false,
    }
}

#[test]
fn no_text_of_somebody_else_becomes_a_header_markup_a_template_or_an_end_of_json() {
    let facts = hostile();
    let rendered = Templates::load(None).unwrap().render(&facts).unwrap();
    for text in [&rendered.subject, &rendered.text, &rendered.page] {
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\r']) && !text.contains("49"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
    }
    assert!(!rendered.subject.contains('\n') && rendered.subject.starts_with("In 7 days: "));
    assert!(!rendered.page.contains("<script") && rendered.page.contains("&lt;script"), "{}", rendered.page);
    let message = message(&smtp(), &rendered, "id", at(INSTANT)).unwrap().formatted();
    let message = String::from_utf8(message).unwrap();
    let head = message.split("\r\n\r\n").next().unwrap();
    assert!(!head.to_ascii_lowercase().contains("\r\nbcc:"), "{head}");
    assert!(
        head.contains("Message-ID: <id@corp.example>") && head.contains("Auto-Submitted: auto-generated"),
        "{head}"
    );
    let read: serde_json::Value = serde_json::from_slice(&payload(&facts).unwrap()).unwrap();
    assert_eq!(read["subjects"][0]["groups"][0]["group"], super::facts::clean(HOSTILE));
}

#[test]
fn a_notice_says_attempted_contact_and_no_more() {
    let mut facts = hostile();
    for in_force in [false, true] {
        facts.subjects[0].in_force = in_force;
        let Rendered { subject, text, page } = Templates::load(None).unwrap().render(&facts).unwrap();
        let all = [subject, text, page].concat().to_ascii_lowercase();
        assert!(all.contains("attempted contact") && !all.contains("violat") && !all.contains("runs the"), "{all}");
    }
    facts.subjects[0].listed = None;
    let read = String::from_utf8(payload(&facts).unwrap()).unwrap();
    assert!(!read.contains("listed\":["), "{read}");
}

#[test]
fn a_resolver_that_only_monitors_says_so_in_each_form() {
    let mut facts = hostile();
    let until = Some(at("2026-10-01T00:15:00Z"));
    for (only_monitored, only_monitored_until) in [(false, None), (true, None), (true, until)] {
        (facts.only_monitored, facts.only_monitored_until) = (only_monitored, only_monitored_until);
        let Rendered { text, page, .. } = Templates::load(None).unwrap().render(&facts).unwrap();
        for shown in [text, page] {
            assert_eq!(shown.contains("only monitors"), only_monitored, "{shown}");
            assert_eq!(
                shown.contains("monitors, until 2026-10-01T00:15:00Z:"),
                only_monitored_until.is_some(),
                "{shown}"
            );
        }
        let read: serde_json::Value = serde_json::from_slice(&payload(&facts).unwrap()).unwrap();
        assert_eq!(read["only_monitored"], only_monitored);
        let until = only_monitored_until.map(|until| until.to_string());
        assert_eq!(read["only_monitored_until"].as_str(), until.as_deref());
    }
}

#[test]
fn a_template_of_the_operator_runs_and_writes_within_bounds_and_reads_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let render = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        let rendered = Templates::load(Some(folder.path())).and_then(|of| of.render(&hostile()));
        std::fs::remove_file(folder.path().join(name)).unwrap();
        rendered.map_err(|error| error.to_string())
    };
    assert_eq!(render("subject.txt", "a\n b {{ subjects|length }}\n").unwrap().subject, "a b 1");
    assert!(render("page.html", "<b>{{ node }}</b>").unwrap().page.starts_with("<b>x"));
    for (text, told) in [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "text.txt"),
        ("{% for a in range(99999) %}0123456789012345678901234567890123456789{% endfor %}", "text.txt"),
        ("{% include \"secret.txt\" %}", "text.txt"),
        ("{{ unclosed", "line 1"),
        (&"x".repeat(70_000), "larger than"),
    ] {
        let error = render("text.txt", text).expect_err(told);
        assert!(error.contains(told), "{told}: {error}");
    }
}

/// By `printf '%s' 1790654400.{} | openssl dgst -sha256 -hmac 0123456789abcdef`.
#[test]
fn a_request_is_signed_over_its_instant_and_its_body() {
    let signed = super::hook::signature(b"0123456789abcdef", "1790654400", b"{}");
    assert_eq!(signed, SIGNED);
}

const SIGNED: &str = "sha256=9329ad05265bdc88b67351db406ad41137f7b5e9c2170f32336c17bbf637ab68";

#[test]
fn servers_and_mailboxes_are_read_as_people_write_them() {
    let port = |text: &str, of| text.parse::<Server>().map(|server| server.port(of)).ok();
    for (text, starttls, implicit) in [
        ("mail.example", Some(587), Some(465)),
        ("mail.example:2525", Some(2525), Some(2525)),
        ("192.0.2.1:25", Some(25), Some(25)),
        ("[2001:db8::1]:25", Some(25), Some(25)),
        ("[2001:db8::1]", Some(587), Some(465)),
        ("mail.example:x", None, None),
        ("mail.example:0", None, None),
        ("", None, None),
        (":25", None, None),
    ] {
        let found = (port(text, Encryption::StartTls), port(text, Encryption::Implicit));
        assert_eq!(found, (starttls, implicit), "{text}");
    }
    for (text, good) in
        [("a@b.example", true), ("A <a@b.example>", true), ("a", false), ("a@b.example\r\nBcc: c@d.example", false)]
    {
        assert_eq!(text.parse::<Mailbox>().is_ok(), good, "{text}");
    }
}
