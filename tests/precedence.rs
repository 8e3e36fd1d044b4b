//! The compiled index decides as a plain reading of the rules does, on small worlds in which everything collides.

use std::net::{IpAddr, Ipv4Addr};

use interdict::client::Client;
use interdict::message::Name;
use interdict::policy::{
    Catalogue, Confidence, Entry, Exempt, Exemption, Glob, Inputs, Kept, Matching, Noted, Operator, Order, Pattern,
    Prohibition, Protected, Removal, Service, Snapshot, Then, Validity, Verdict, Verification, When,
};
use interdict::query::Target;
use jiff::Timestamp;
use jiff::civil::date;
use proptest::prelude::*;

/// Instants are small numbers here, so that they often fall together.
const LAST: i64 = 8;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("tests name instants that exist")
}

/// The time by a clock of which the last `lag` seconds are not borne out.
fn lagging(second: i64, lag: i64) -> When {
    When { at: at(second), ends: at(second - lag) }
}

fn anyone() -> Client {
    Client::at(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// How one order treats one service, as a test writes it down.
#[derive(Debug, Clone)]
enum Treat {
    Protected,
    Exempt,
    Kept { until: Option<i64>, then: Option<(i64, Option<i64>)> },
    Prohibited(Vec<(i64, Option<i64>)>),
    Noted,
}

/// A catalogue of entries `(text, matching, service)` under orders that treat each of three services.
#[derive(Debug, Clone)]
struct World {
    entries: Vec<(String, Matching, usize)>,
    orders: Vec<[Treat; 3]>,
    removal: Removal,
}

fn period() -> impl Strategy<Value = (i64, Option<i64>)> {
    (0..LAST, prop::option::of(1..LAST)).prop_map(|(from, length)| (from, length.map(|length| from + length)))
}

fn treat() -> impl Strategy<Value = Treat> {
    prop_oneof![
        1 => Just(Treat::Protected),
        1 => Just(Treat::Exempt),
        2 => (prop::option::of(0..LAST), prop::option::of(period())).prop_map(|(until, then)| Treat::Kept { until, then }),
        5 => prop::collection::vec(period(), 1..4).prop_map(Treat::Prohibited),
        1 => Just(Treat::Noted),
    ]
}

/// Names over two letters and few labels, so that entries lie above, below and upon each other.
fn host() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}", 1..4).prop_map(|labels| format!("{}.x", labels.join(".")))
}

/// Networks that hold each other, and few addresses in them.
fn network() -> impl Strategy<Value = String> {
    let lengths = prop_oneof![Just(8u8), Just(24), Just(30), Just(31), Just(32)];
    (address(), lengths).prop_map(|(address, length)| {
        let shift = 32 - u32::from(length);
        format!("{}/{length}", Ipv4Addr::from(u32::from(address) >> shift << shift))
    })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    (0u8..2, 0u8..8).prop_map(|(third, last)| Ipv4Addr::new(198, 51, third, last))
}

fn entry() -> impl Strategy<Value = (String, Matching, usize)> {
    let text = prop_oneof![
        host().prop_map(|text| (text, Matching::Exact)),
        host().prop_map(|text| (text, Matching::Suffix)),
        host().prop_map(|text| (format!("{{a,b}}.{text}"), Matching::Pattern)),
        host().prop_map(|text| (format!("a*.{text}"), Matching::Pattern)),
        host().prop_map(|text| (format!("*b.{text}"), Matching::Pattern)),
        network().prop_map(|text| (text, Matching::Network)),
    ];
    (text, 0usize..3).prop_map(|((text, matching), service)| (text, matching, service))
}

fn world() -> impl Strategy<Value = World> {
    let removal = prop_oneof![
        3 => Just(Removal::Running),
        1 => (0..LAST).prop_map(|second| Removal::Until(at(second))),
        1 => Just(Removal::Finished),
    ];
    let entries = prop::collection::vec(entry(), 1..8);
    let orders = prop::collection::vec([treat(), treat(), treat()], 1..4);
    (entries, orders, removal).prop_map(|(entries, orders, removal)| World { entries, orders, removal })
}

impl World {
    fn compile(&self) -> Snapshot {
        let service = |number: usize| Service { id: format!("s{number}"), title: String::new() };
        let entries = self.entries.iter().map(|(text, matching, service)| Entry {
            text: text.clone(),
            pattern: Pattern::parse(text, *matching, &[]).expect("the strategies make names and patterns"),
            service: *service,
            confidence: Confidence::Low,
            evidence: vec!["none".to_owned()],
            note: None,
        });
        let catalogue = Catalogue {
            id: "c".to_owned(),
            vendor: String::new(),
            title: String::new(),
            revised: date(2026, 1, 1),
            example: None,
            services: (0..3).map(service).collect(),
            entries: entries.collect(),
        };
        let orders = self.orders.iter().enumerate().map(|(number, treats)| order(number, treats)).collect();
        let operator = Operator { removal: self.removal, ..Operator::default() };
        let inputs = Inputs { catalogues: vec![catalogue], orders, operator };
        Snapshot::compile(1, [0; 32], inputs).expect("every service is treated in one way")
    }

    /// The rules, read plainly: across orders the sternest verdict counts.
    fn verdict(&self, target: &Target, second: i64, lag: i64) -> Verdict {
        self.orders.iter().map(|treats| self.verdict_of(treats, target, second, lag)).max().unwrap_or(Verdict::Pass)
    }

    /// Inside an order: protected or exempt, before kept, before the prohibition of the most specific entry that a
    /// prohibition not yet over names, before noted. Of equally specific entries the sternest verdict counts. A
    /// prohibition is over `lag` seconds late; everything else is on time.
    fn verdict_of(&self, treats: &[Treat; 3], target: &Target, second: i64, lag: i64) -> Verdict {
        let found: Vec<_> = (self.entries.iter())
            .filter_map(|(text, matching, service)| Some((specificity(text, *matching, target)?, &treats[*service])))
            .collect();
        let untouched = found.iter().filter_map(|(specificity, of)| match of {
            Treat::Protected => Some((*specificity, Verdict::Protected)),
            Treat::Exempt => Some((*specificity, Verdict::Exempt)),
            Treat::Kept { .. } | Treat::Prohibited(_) | Treat::Noted => None,
        });
        if let Some((_, verdict)) = untouched.max() {
            return verdict;
        }
        let end = |until: &Option<i64>| match self.removal {
            Removal::Running => until.unwrap_or(i64::MAX),
            Removal::Until(instant) => until.unwrap_or(i64::MAX).min(instant.as_second()),
            Removal::Finished => i64::MIN,
        };
        if found.iter().any(|(_, of)| matches!(of, Treat::Kept { until, .. } if second < end(until))) {
            return Verdict::Kept;
        }
        let stern = |of: &Treat| -> Option<Verdict> {
            let periods = match of {
                Treat::Prohibited(periods) => periods.clone(),
                Treat::Kept { then: Some(period), .. } => vec![*period],
                Treat::Kept { .. } | Treat::Protected | Treat::Exempt | Treat::Noted => Vec::new(),
            };
            let verdicts = periods.iter().filter_map(|(from, until)| match *from <= second {
                false => Some(Verdict::Monitored),
                true => until.is_none_or(|until| second - lag < until).then_some(Verdict::Sunk),
            });
            verdicts.max()
        };
        let prohibited = found.iter().filter_map(|(specificity, of)| Some((*specificity, stern(of)?)));
        match prohibited.max() {
            Some((_, verdict)) => verdict,
            None if found.is_empty() => Verdict::Pass,
            None => Verdict::Noted,
        }
    }
}

/// How well an entry matches, by comparing texts label by label; exact 1000, pattern 500, suffix its labels; for
/// addresses, by comparing bits, the length of the prefix.
fn specificity(text: &str, matching: Matching, target: &Target) -> Option<usize> {
    let name = match (matching, target) {
        (Matching::Exact | Matching::Suffix | Matching::Pattern, Target::Name(name)) => name.to_string(),
        (Matching::Network, Target::Address(IpAddr::V4(address))) => {
            let (network, length) = text.split_once('/').expect("the strategy writes prefixes");
            let network: Ipv4Addr = network.parse().expect("the strategy makes networks");
            let length: u32 = length.parse().expect("the strategy makes networks");
            let differing = u32::from(network) ^ u32::from(*address);
            return (differing.leading_zeros() >= length).then_some(usize::try_from(length).expect("32 at most"));
        }
        _ => return None,
    };
    let labels: Vec<_> = name.split('.').collect();
    let listed: Vec<_> = text.split('.').collect();
    match matching {
        Matching::Exact => (labels == listed).then_some(1000),
        Matching::Suffix => labels.ends_with(&listed).then_some(listed.len()),
        Matching::Pattern => {
            let first = labels[0];
            let fits = match listed[0] {
                "{a,b}" => first == "a" || first == "b",
                "a*" => first.starts_with('a'),
                "*b" => first.ends_with('b'),
                other => panic!("{other}"),
            };
            (fits && labels[1..] == listed[1..]).then_some(500)
        }
        Matching::Network => None,
    }
}

fn order(number: usize, treats: &[Treat; 3]) -> Order {
    let mut order = Order {
        id: format!("o{number}"),
        title: String::new(),
        issuer: String::new(),
        citation: String::new(),
        rules: Vec::new(),
        catalogue: "c".to_owned(),
        published: date(2024, 1, 1),
        sources: Vec::new(),
        facts: Vec::new(),
        prohibitions: Vec::new(),
        protected: Vec::new(),
        exempt: Vec::new(),
        kept: Vec::new(),
        noted: Vec::new(),
    };
    for (service, treat) in treats.iter().enumerate() {
        let (services, reason) = (vec![format!("s{service}")], String::new());
        match treat {
            Treat::Protected => {
                let (basis, verification) = (String::new(), Verification::Primary);
                order.protected.push(Protected { services, reason, basis, verification });
            }
            Treat::Exempt => {
                order.exempt.push(Exempt { services, reason, exemption: Exemption::Operational, threat: false });
            }
            Treat::Kept { until, then } => {
                let until = until.map(at);
                let then =
                    then.map_or(Then::Noted, |period| Then::Prohibited(prohibit(&mut order, period, Vec::new())));
                order.kept.push(Kept { services, reason, record: false, until, then });
            }
            Treat::Prohibited(periods) => {
                for period in periods {
                    prohibit(&mut order, *period, services.clone());
                }
            }
            Treat::Noted => order.noted.push(Noted { services, reason }),
        }
    }
    order
}

fn prohibit(order: &mut Order, (from, until): (i64, Option<i64>), services: Vec<String>) -> usize {
    order.prohibitions.push(Prohibition {
        id: format!("p{}", order.prohibitions.len()),
        title: String::new(),
        validity: Validity::new(at(from), until.map(at)).expect("periods are at least a second long"),
        basis: String::new(),
        verification: Verification::Primary,
        services,
    });
    order.prohibitions.len() - 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_decides_as_a_plain_list_does(
        world in world(), names in prop::collection::vec(host(), 1..8), lag in 0..LAST,
    ) {
        let snapshot = world.compile();
        for name in &names {
            let name: Name = name.parse().expect("the strategy makes names");
            let target = Target::Name(name.clone());
            for second in -1..2 * LAST {
                let told = snapshot.decide(&name, &anyone(), at(second)).verdict;
                prop_assert_eq!(told, world.verdict(&target, second, 0), "{} at {}", name, second);
                let late = snapshot.decide(&name, &anyone(), lagging(second, lag)).verdict;
                prop_assert_eq!(late, world.verdict(&target, second, lag), "{} at {}, {} late", name, second, lag);
            }
        }
    }

    #[test]
    fn addresses_are_decided_as_a_plain_list_does(
        world in world(), addresses in prop::collection::vec(address(), 1..8), lag in 0..LAST,
    ) {
        let snapshot = world.compile();
        for address in addresses {
            let target = Target::Address(address.into());
            for second in -1..2 * LAST {
                let at = lagging(second, lag);
                let told = snapshot.decide_subject(&Name::root(), &target, &anyone(), at).verdict;
                prop_assert_eq!(told, world.verdict(&target, second, lag), "{} at {}, {} late", address, second, lag);
            }
        }
    }

    /// What caches rely on: `until` cuts TTLs, and an epoch that has not changed means that decisions have not.
    #[test]
    fn a_decision_holds_until_the_instant_it_names(world in world(), name in host(), lag in 0..LAST) {
        let snapshot = world.compile();
        let name: Name = name.parse().expect("the strategy makes names");
        for second in -1..2 * LAST {
            let decision = snapshot.decide(&name, &anyone(), lagging(second, lag));
            for later in second..2 * LAST {
                let then = snapshot.decide(&name, &anyone(), lagging(later, lag));
                let holds = decision.until.is_none_or(|until| at(later) < until);
                prop_assert!(!holds || then.verdict == decision.verdict, "{} from {} to {}", name, second, later);
                let same = snapshot.epoch(lagging(second, lag)) == snapshot.epoch(lagging(later, lag));
                prop_assert!(!same || then == decision, "{} in the epoch of {} and {}", name, second, later);
                let quiet = snapshot.next_instant(at(second)).is_none_or(|next| at(later) < next);
                prop_assert!(lag > 0 || same == quiet, "epochs of {} and {}", second, later);
            }
            prop_assert!(decision.until.is_none_or(|until| at(second) < until), "{} at {}", name, second);
        }
    }

    /// What the guard of the clock promises: a leap that is not borne out lets through nothing that was withheld, and
    /// two decisions in one epoch agree whatever the lag.
    #[test]
    fn no_lag_of_the_ends_lets_more_through(world in world(), name in host(), second in -1..2 * LAST, lag in 0..LAST) {
        let snapshot = world.compile();
        let name: Name = name.parse().expect("the strategy makes names");
        let decide = |lag| snapshot.decide(&name, &anyone(), lagging(second, lag)).verdict == Verdict::Sunk;
        prop_assert!(!decide(0) || decide(lag));
        for other in -1..2 * LAST {
            let (one, two) = (lagging(second, lag), lagging(other, 0));
            if snapshot.epoch(one) == snapshot.epoch(two) {
                let verdicts = [one, two].map(|when| snapshot.decide(&name, &anyone(), when).verdict);
                prop_assert_eq!(verdicts[0], verdicts[1], "{:?} and {:?}", one, two);
            }
        }
    }

    /// RFC 8020: NXDOMAIN for a name denies all names below it.
    #[test]
    fn an_open_name_below_is_found_as_a_plain_search_finds_it(world in world(), name in host(), lag in 0..LAST) {
        let snapshot = world.compile();
        let name: Name = name.parse().expect("the strategy makes names");
        for second in -1..2 * LAST {
            if snapshot.decide(&name, &anyone(), lagging(second, lag)).verdict != Verdict::Sunk {
                continue;
            }
            let patterns = (0..snapshot.entry_count()).map(|entry| &snapshot.entry(entry).pattern);
            let listed = patterns.flat_map(|of| of.names().iter().cloned().chain(of.globs().iter().map(Glob::sample)));
            let is_open = |below: &Name| snapshot.decide(below, &anyone(), lagging(second, lag)).verdict != Verdict::Sunk;
            let open = listed.filter(|below| *below != name && below.is_at_or_below(&name)).find(is_open);
            let told = snapshot.has_open_name_below(&name, &anyone(), lagging(second, lag));
            prop_assert_eq!(told, open.is_some(), "{} at {}: {:?}", name, second, open);
        }
    }
}
