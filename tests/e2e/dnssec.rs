//! Answers that are validated, beside what Unbound holds of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clients::{Answer, Record, dig, digs};
use crate::daemon::Setup;
use crate::place::{self, PATIENCE};
use crate::scripted::Scripted;
use crate::signed::{NameSpace, QUESTIONS};
use crate::wire;

const DS: u16 = 43;

#[test]
fn each_answer_is_held_for_what_unbound_holds_it_for() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let daemon = names.validated().start();
    let mut differences = Vec::new();
    for more in ["+dnssec", "+adflag"] {
        let question = |text: &&'static str| -> Vec<&str> { text.split(' ').chain([more, "+nocookie"]).collect() };
        let questions: Vec<_> = QUESTIONS.iter().map(question).collect();
        let [ours, theirs] = [daemon.dns, names.validating.address].map(|of| digs(of, &questions));
        for ((ours, theirs), question) in ours.iter().zip(&theirs).zip(QUESTIONS) {
            let (ours, theirs) = (held(ours), held(theirs));
            if ours != theirs {
                differences.push(format!("{question} {more}\n{ours}\nbut Unbound:\n{theirs}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
    // An alias that is asked for, and was made of a DNAME that is signed: Unbound 1.17 looks for a signature of its own.
    let answer = dig(daemon.dns, &["www.moved.signed.land", "CNAME", "+adflag"]);
    assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", true), "{}", answer.text);
}

/// What a client sees of an answer, but for what changes with the time.
fn held(answer: &Answer) -> String {
    let mut lines = Vec::new();
    for section in ["answer", "authority"] {
        // That one sends a proof along that the other leaves out, makes no difference to a client.
        let records = answer.section(section).iter().filter(|of| section == "answer" || of.record_type == "SOA");
        // An alias that was made of a DNAME has the capitals with which upstreams are asked.
        let line = |of: &Record| format!("{section} {} {} {}", of.name, of.record_type, of.data).to_lowercase();
        lines.extend(records.map(line));
    }
    lines.sort();
    format!("{} ad={}\n{}", answer.status, answer.has("ad"), lines.join("\n"))
}

#[test]
fn what_does_not_hold_is_withheld_with_the_reason() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let daemon = names.validated().set("upstream.not_validated", vec!["strange.land"]).start();
    for (name, code) in
        [("www.expired.land", 7), ("www.early.land", 8), ("www.stripped.land", 10), ("www.forged.land", 6)]
    {
        let answer = dig(daemon.dns, &[name, "A"]);
        assert_eq!(
            (answer.status.as_str(), answer.ede_code(), answer.answers().len()),
            ("SERVFAIL", Some(code), 0),
            "{}",
            answer.text
        );
        // Who validates for itself gets what there is (RFC 4035, section 3.2.2).
        let answer = dig(daemon.dns, &[name, "A", "+cdflag"]);
        assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", false), "{}", answer.text);
    }
    assert!(daemon.metric("interdict_upstream_events_total{event=\"bogus\"}") >= 4.0);
    // Nothing is proven where the operator wants it so, and nothing is said to be, whatever the upstream says of it.
    let answer = dig(daemon.dns, &["www.strange.land", "A", "+adflag"]);
    assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", false), "{}", answer.text);
}

#[test]
fn what_proves_one_name_of_a_zone_proves_the_next() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let truth = names.passing.address;
    let upstream = Scripted::start(move |query| wire::udp_once(truth, query, wire::SHORT).into_iter().collect());
    let daemon = names.validated().upstreams(&[upstream.address]).start();
    // The daemon asks for names of its own as well, none of which is there.
    let asked = || upstream.queries().iter().filter(|(_, query)| wire::asked_name(query).ends_with("land")).count();
    let first = dig(daemon.dns, &["www.hashed.land", "A", "+adflag"]);
    let before = asked();
    assert!(before > 3, "{before}: the name, and the keys and DS records of two zones");
    let second = dig(daemon.dns, &["www.hashed.land", "A", "+adflag"]);
    assert!(first.has("ad") && second.has("ad"), "{}{}", first.text, second.text);
    assert_eq!(asked(), before, "it is kept");
    dig(daemon.dns, &["alias.hashed.land", "CNAME"]);
    assert_eq!(asked(), before + 1, "the name alone");
}

#[test]
fn nothing_is_validated_without_being_asked_to() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let daemon = Setup::new().upstreams(&[names.passing.address]).start();
    for name in ["www.forged.land", "www.signed.land"] {
        let answer = dig(daemon.dns, &[name, "A", "+adflag"]);
        assert_eq!((answer.status.as_str(), answer.has("ad")), ("NOERROR", false), "{}", answer.text);
    }
}

#[test]
fn a_zone_that_signs_with_other_keys_is_asked_for_them_anew() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let before = NameSpace::start();
    let after = before.rolled();
    let (addresses, rolled) = ([before.passing.address, after.passing.address], Arc::new(AtomicBool::new(false)));
    let now = Arc::clone(&rolled);
    let upstream = Scripted::start(move |query| {
        let server = addresses[usize::from(now.load(Ordering::SeqCst))];
        wire::udp_once(server, query, wire::SHORT).into_iter().collect()
    });
    let daemon = before.validated().set("cache.failure_ttl", 1).upstreams(&[upstream.address]).start();
    assert!(dig(daemon.dns, &["www.signed.land", "A", "+adflag"]).has("ad"));
    rolled.store(true, Ordering::SeqCst);
    // Its keys are kept, and the signature is by none of them. They are not asked for anew at once.
    place::until(PATIENCE, "the new keys", || {
        dig(daemon.dns, &["mail.signed.land", "MX", "+adflag"]).has("ad").then_some(())
    });
    assert_eq!(upstream.asked("signed.land"), 4, "for keys and DS records, twice each");
}

#[test]
fn what_does_not_hold_brings_no_stale_answer_about() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let (truth, forges) = (names.passing.address, Arc::new(AtomicBool::new(false)));
    let now = Arc::clone(&forges);
    let upstream = Scripted::start(move |query| {
        let mut answer = wire::udp_once(truth, query, wire::SHORT);
        if let Some(answer) = answer.as_mut().filter(|_| now.load(Ordering::SeqCst)) {
            // The last octets are those of a signature, or of the OPT record behind it.
            let place = answer.len() - 40;
            answer[place] ^= 1;
        }
        answer.into_iter().collect()
    });
    let setup = names.validated().set("cache.max_ttl", 1).set("cache.failure_ttl", 1).set("cache.prefetch", false);
    let daemon = setup.upstreams(&[upstream.address]).start();
    let asked = || dig(daemon.dns, &["www.signed.land", "A", "+adflag"]);
    assert!(asked().has("ad"));
    forges.store(true, Ordering::SeqCst);
    let answer = place::until(PATIENCE, "the end of what is kept", || {
        Some(asked()).filter(|answer| answer.status != "NOERROR" || answer.ede_code().is_some())
    });
    assert_eq!((answer.status.as_str(), answer.ede_code()), ("SERVFAIL", Some(6)), "{}", answer.text);
    // One that gives no answer at all does, and nobody says that it is proven.
    forges.store(false, Ordering::SeqCst);
    place::until(PATIENCE, "the truth", || asked().has("ad").then_some(()));
    drop(upstream);
    let answer =
        place::until(PATIENCE, "the stale answer", || Some(asked()).filter(|answer| answer.ede_code().is_some()));
    assert_eq!(
        (answer.status.as_str(), answer.ede_code(), answer.has("ad")),
        ("NOERROR", Some(3), false),
        "{}",
        answer.text
    );
}

#[test]
fn an_upstream_that_answers_for_the_wrong_side_of_a_delegation_leads_nowhere() {
    needs!("nsd", "unbound", "dig", "dnssec-signzone");
    let names = NameSpace::start();
    let truth = names.passing.address;
    // Of `plain.land` it knows no zone above, as one that asks the servers of that zone alone.
    let upstream = Scripted::start(move |query| match (wire::asked_name(query).as_str(), wire::question_type(query)) {
        ("plain.land", DS) => vec![wire::nodata(query)],
        _ => wire::udp_once(truth, query, wire::SHORT).into_iter().collect(),
    });
    let daemon = names.validated().upstreams(&[upstream.address]).start();
    let answer = dig(daemon.dns, &["www.plain.land", "A"]);
    assert_eq!((answer.status.as_str(), answer.has("ad")), ("SERVFAIL", false), "{}", answer.text);
    let asked = upstream.queries().iter().filter(|(_, query)| wire::question_type(query) == DS).count();
    assert!(asked <= 4, "{asked} questions for DS");
    assert!(dig(daemon.dns, &["www.signed.land", "A", "+adflag"]).has("ad"));
}

#[test]
fn an_upstream_that_passes_no_signatures_on_is_told() {
    needs!("nsd", "unbound", "dnssec-signzone");
    let names = NameSpace::start();
    let truth = names.passing.address;
    // As one that knows no EDNS.
    let mute = Scripted::start(move |query| {
        let plain = wire::query(&wire::asked_name(query), wire::question_type(query));
        let answer = wire::udp_once(truth, &plain, wire::SHORT);
        answer.map(|answer| [&query[..2], &answer[2..]].concat()).into_iter().collect()
    });
    let daemon = names.validated().upstreams(&[truth, mute.address]).start();
    let told = daemon.command(&["doctor"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(text.contains(&format!("well  dnssec         {truth} passes signatures on")), "{text}");
    assert!(text.contains(&format!("BAD   dnssec         {} passes no signatures on", mute.address)), "{text}");
}

#[test]
fn a_faulty_file_of_trust_anchors_is_told() {
    let setup = Setup::new().set("upstream.dnssec", "validate");
    let file = setup.folder.path().join("anchors");
    let setup = setup.set("upstream.trust_anchors", file.display().to_string());
    for (text, fault) in [
        (None, "No such file"),
        (Some(""), "it has no DNSKEY record of the root zone"),
        (
            Some(
                "land. IN DNSKEY 257 3 13 oJMRESz5E4gYzS/q6XDrvU1qMPYIjCWzJaOau8XNEZeqCYKD5ar0IRd8KqXXFJkqmVfRvMGPmM1x8fGAa2XhSA==",
            ),
            "of the root zone",
        ),
        (Some(". IN DNSKEY 257 3 13 !"), "it cannot be read"),
    ] {
        drop(std::fs::remove_file(&file));
        text.iter().for_each(|text| std::fs::write(&file, text).unwrap());
        let told = setup.check(&[]);
        assert!(told.contains("[upstream] trust_anchors") && told.contains(fault), "{text:?}: {told}");
    }
}
