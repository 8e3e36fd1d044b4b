//! Every shipped order on the shipped catalogue: its dates, whom it spares, and what orders come to together.

use std::sync::LazyLock;

use interdict::feed::{Kind, Selection};
use interdict::policy::{Removal, Verification};

use super::*;

/// Every shipped order by itself, while removal goes on and after it.
static ALONE: LazyLock<Vec<Alone>> = LazyLock::new(|| {
    let load = |name, removal| selected(&[name], Operator { removal, ..Operator::default() });
    Selection::shipped(Kind::Order)
        .map(|name| Alone { name, running: load(name, Removal::Running), finished: load(name, Removal::Finished) })
        .collect()
});

/// Every shipped order together.
static TOGETHER: LazyLock<Snapshot> =
    LazyLock::new(|| selected(&Selection::shipped(Kind::Order).collect::<Vec<_>>(), Operator::default()));

struct Alone {
    name: &'static str,
    running: Snapshot,
    finished: Snapshot,
}

fn selected(orders: &[&str], operator: Operator) -> Snapshot {
    let orders = orders.iter().map(|name| (*name).to_owned()).collect();
    let selection = Selection { orders, ..Selection::default() };
    feed::load(&selection, operator, 1).unwrap_or_else(|faults| panic!("{faults:#?}")).snapshot
}

/// Before and at every instant of every shipped order, and far off to both sides.
fn instants() -> Vec<i64> {
    let mut seconds = vec![0, 20_000_000_000];
    for prohibition in TOGETHER.inputs().orders.iter().flat_map(|order| &order.prohibitions) {
        let from = prohibition.validity.from().as_second();
        seconds.extend([from - 1, from]);
    }
    seconds.sort_unstable();
    seconds.dedup();
    seconds
}

/// Samples of every entry of these services.
fn names_of(services: &[&str]) -> Vec<Name> {
    let names: Vec<_> =
        entries().filter(|(_, service)| services.contains(service)).flat_map(|(entry, _)| samples(entry)).collect();
    assert!(names.len() >= services.len(), "{services:?} have {} names", names.len());
    names
}

/// Order, prohibition, instant, verification, and where the instant is from.
const INSTANTS: [(&str, &str, &str, Verification, &str); 16] = {
    use Verification::{Inferred, Primary, Secondary, Unverified};
    const OCTOBER: &str = "2018-10-01T00:00:00-04:00";
    const APRIL: &str = "2025-04-01T00:00:00+11:00";
    [
        ("us-commerce-2024", "new-agreements", "2024-07-20T00:00:00-04:00", Unverified, "Fenwick, Thompson Hine, TASS"),
        (
            "us-commerce-2024",
            "updates-and-services",
            "2024-09-29T00:00:00-04:00",
            Secondary,
            "BIS press release, quoted",
        ),
        ("us-ndaa-1634", "use", OCTOBER, Primary, "section 1634(b), in a copy"),
        ("us-ndaa-1634", "licensed-engine", OCTOBER, Inferred, "section 1634(b), in a copy"),
        ("us-ndaa-1634", "other-services", OCTOBER, Inferred, "section 1634(b), in a copy"),
        ("us-far-52-204-23", "covered-articles", OCTOBER, Primary, "FAR 4.2002, in a copy"),
        ("us-far-52-204-23", "licensed-engine", OCTOBER, Inferred, "FAR 4.2002, in a copy"),
        ("us-far-52-204-23", "other-services", OCTOBER, Inferred, "FAR 4.2002, in a copy"),
        ("us-texas-2023", "use-on-networks", "2023-02-15T00:00:00-06:00", Inferred, "model plan: policies due"),
        ("us-maryland-2022", "use-on-networks", "2022-12-20T00:00:00-05:00", Inferred, "WMAR: 14 days from 12-06"),
        ("us-new-jersey-2023", "use-on-networks", "2023-01-09T00:00:00-05:00", Secondary, "MeriTalk, NJBIZ"),
        ("us-vermont-2019", "new-use", "2019-02-19T00:00:00-05:00", Secondary, "Burlington Free Press"),
        ("us-vermont-2019", "use", "2019-05-20T00:00:00-04:00", Inferred, "Epoch Times: 90 days from 02-19"),
        ("ca-mobile-2023", "mobile-applications", "2023-10-30T00:00:00-04:00", Primary, "Treasury Board, by newswire"),
        ("au-pspf-002-2025", "products-and-web-services", APRIL, Secondary, "secalerts, Tech Monitor"),
        ("au-pspf-002-2025", "other-web-services", APRIL, Inferred, "secalerts, Tech Monitor"),
    ]
};

#[test]
fn every_prohibition_of_a_shipped_order_begins_when_its_source_says() {
    let told: Vec<_> = (TOGETHER.inputs().orders.iter())
        .flat_map(|order| order.prohibitions.iter().map(|of| (order.id.as_str(), of)))
        .map(|(order, of)| (order, of.id.as_str(), of.validity.from(), of.validity.until(), of.verification))
        .collect();
    let expected = INSTANTS.map(|(order, prohibition, from, verification, _)| {
        let from: Timestamp = from.parse().expect("the table has instants");
        (order, prohibition, from, None, verification)
    });
    assert_eq!(told, expected);
}

#[test]
fn the_default_selection_chooses_the_determination_alone() {
    assert_eq!(Selection::default().orders, ["us-commerce-2024"]);
    let orders: Vec<_> = SHIPPED.inputs().orders.iter().map(|order| order.id.as_str()).collect();
    assert_eq!(orders, ["us-commerce-2024"]);
    assert_eq!(ALONE.len(), 10);
}

#[test]
fn a_shipped_order_has_the_id_that_chooses_it_and_tells_whom_it_binds() {
    for Alone { name, running, .. } in ALONE.iter() {
        let [order] = &running.inputs().orders[..] else { panic!("{name} is not one order") };
        assert_eq!(order.id, *name);
        assert!(!order.sources.is_empty(), "{name}");
        let bases = (order.prohibitions.iter().map(|of| &of.basis)).chain(order.protected.iter().map(|of| &of.basis));
        for basis in bases {
            assert!(basis.starts_with(&order.citation), "{name}: {basis}");
        }
        // The determination binds the vendor and its resellers, which its facts tell in words of their own.
        let choice = ["operator's choice", "a control that the owner of a network chooses"];
        let says = |part: &str| order.facts.iter().any(|fact| fact.text.contains(part));
        assert!(choice.into_iter().any(says), "{name}");
        assert!(*name == "us-commerce-2024" || says("It binds") || says("It bound"), "{name}");
    }
}

#[test]
fn an_hour_that_no_source_gives_is_told_as_an_assumption() {
    for order in TOGETHER.inputs().orders.iter().filter(|order| !order.prohibitions.is_empty()) {
        let hour = order.facts.iter().find(|fact| fact.text.contains("00:00")).expect(&order.id);
        assert!(matches!(hour.verification, Verification::Inferred | Verification::Unverified), "{}", order.id);
    }
}

/// What each order makes of each service in 2026, in the order in which they are shipped: the determination, section 1634,
/// FAR, BOD 17-01, Texas, Maryland, New Jersey, Vermont, Canada, Australia. Letters as in [`letter`].
const BY_ORDER: [(&str, &str); 16] = [
    ("update download ksn telemetry activation parental push", "SSS.SSSSSS"),
    ("managed", "SSS.SSSS.S"),
    ("store", "SSS....S.S"),
    ("partner file-share", ".SS......S"),
    ("oem", ".SSx.....x"),
    ("console identity support removal pki", "kkk.kkkkkk"),
    ("threat-intelligence training", "pSSp.....S"),
    ("publications consulting", "pSS......."),
    ("sinkhole", "xxxxxxxxxx"),
    ("look-alike", "xxxxxxxxxx"),
    ("name-servers mail", "xxxxxxxxxx"),
    ("successor tenant", "xxxxxxxxxx"),
    ("web web-assets web-analytics short-link", ".........."),
    ("local-interception time-probe", ".........."),
    ("legacy-publications", ".........."),
    ("unidentified unverified", ".........."),
];

#[test]
fn every_order_does_with_every_service_what_the_table_says() {
    let mut services = BTreeSet::new();
    for (group, expected) in BY_ORDER {
        for service in group.split(' ') {
            services.insert(service);
            for name in names_of(&[service]) {
                let told: String =
                    ALONE.iter().map(|of| letter(decide_by(&of.running, &name, 1_790_000_000).verdict)).collect();
                assert_eq!(told, expected, "{name} of {service}");
            }
        }
    }
    assert_eq!(services, BY_SERVICE.map(|(service, _)| service).into());
}

/// Sinkholes tell of malware; without name servers and mail relays what is lawful would break.
#[test]
fn nothing_operational_is_ever_sunk_by_any_order() {
    let spared = ["sinkhole", "name-servers", "mail", "look-alike", "successor", "tenant", "removal", "pki"];
    let names = names_of(&spared);
    for second in instants() {
        for name in &names {
            for of in ALONE.iter() {
                for snapshot in [&of.running, &of.finished] {
                    let verdict = decide_by(snapshot, name, second).verdict;
                    assert!(verdict < Verdict::Monitored, "{name} is {verdict} by {} at {}", of.name, at(second));
                }
            }
            assert!(decide_by(&TOGETHER, name, second).verdict < Verdict::Monitored, "{name} at {}", at(second));
        }
    }
}

#[test]
fn threat_intelligence_is_sunk_only_by_orders_without_its_carve_out_and_from_their_dates() {
    let from = BTreeMap::from([
        ("us-ndaa-1634", 1_538_366_400),
        ("us-far-52-204-23", 1_538_366_400),
        ("au-pspf-002-2025", 1_743_426_000),
    ]);
    for of in ALONE.iter() {
        for (name, second) in names_of(&["threat-intelligence", "training"])
            .iter()
            .flat_map(|name| instants().into_iter().map(move |second| (name, second)))
        {
            let verdict = decide_by(&of.running, name, second).verdict;
            match from.get(of.name) {
                Some(from) => {
                    let expected = if second < *from { Verdict::Monitored } else { Verdict::Sunk };
                    assert_eq!(verdict, expected, "{name} by {} at {}", of.name, at(second));
                }
                None => assert!(verdict <= Verdict::Protected, "{name} is {verdict} by {} at {}", of.name, at(second)),
            }
        }
    }
}

#[test]
fn a_directive_that_set_no_instant_never_sinks() {
    let of = ALONE.iter().find(|of| of.name == "us-bod-17-01").expect("it is shipped");
    for (name, _) in all_samples() {
        for second in instants() {
            for snapshot in [&of.running, &of.finished] {
                let verdict = decide_by(snapshot, &name, second).verdict;
                assert!(verdict <= Verdict::Protected, "{name} is {verdict} at {}", at(second));
            }
        }
    }
    assert_eq!(of.running.next_instant(at(0)), None);
}

/// One order does not weaken another: the sternest verdict of all decides.
#[test]
fn a_name_is_sunk_if_any_of_several_orders_sinks_it() {
    let two = selected(&["us-commerce-2024", "us-ndaa-1634"], Operator::default());
    let of = |name: &str| &ALONE.iter().find(|of| of.name == name).expect(name).running;
    let (determination, act) = (of("us-commerce-2024"), of("us-ndaa-1634"));
    for (entry, _) in entries() {
        let Some(name) = samples(entry).pop() else { panic!("{} covers nothing", entry.text) };
        for second in instants() {
            let by = |snapshot| decide_by(snapshot, &name, second).verdict;
            assert_eq!(by(&two), by(determination).max(by(act)), "{name} at {}", at(second));
            let sternest = ALONE.iter().map(|of| by(&of.running)).max();
            assert_eq!(Some(by(&TOGETHER)), sternest, "{name} at {}", at(second));
        }
    }
}
