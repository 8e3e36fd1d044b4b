//! The compiled index decides as a plain reading of the rules does, on small worlds in which everything collides.

use std::net::{IpAddr, Ipv4Addr};

use interdict::client::{Client, Group, GroupId};
use interdict::message::Name;
use interdict::policy::{
    Apply, Catalogue, Confidence, Difference, Entry, Exempt, Exemption, Glob, Inputs, Kept, Matching, Mode, Noted,
    Operator, Order, Party, Pattern, Phase, Prohibition, Protected, Removal, Rules, Scope, Service, Snapshot, Term,
    Then, Validity, Verdict, Verification, Waiver, When, differences,
};
use interdict::query::Target;
use jiff::Timestamp;
use jiff::civil::date;
use proptest::prelude::*;

#[path = "precedence/worlds.rs"]
mod worlds;

use worlds::{GROUPS, Treat, Waived, World, address, clients, group_name, host, treat, waived, world};

/// Instants are small numbers here, so that they often fall together.
const LAST: i64 = 8;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("tests name instants that exist")
}

/// The time by a clock of which the last `lag` seconds are not borne out.
fn lagging(second: i64, lag: i64) -> When {
    When { at: at(second), ends: at(second - lag) }
}

impl Waived {
    fn compile(&self, place: usize) -> Waiver {
        let service = |service: usize| format!("s{service}");
        let rules = match (self.order, self.service) {
            (Some(order), of) => {
                Rules::Order { order: format!("o{order}"), services: of.map(service).into_iter().collect() }
            }
            (None, Some(of)) => Rules::Service { catalogue: "c".to_owned(), service: service(of) },
            (None, None) => Rules::Everything,
        };
        let names = self.names.iter().map(|name| name.parse().expect("the strategy makes names"));
        Waiver {
            id: format!("W-{place}"),
            scope: Scope {
                clients: self.group.map(|group| Party::Group(group_name(group))).into_iter().collect(),
                rules,
                names: names.collect(),
            },
            term: Term::new(at(self.term.0), at(self.term.1)).expect("terms are at least a second long"),
            reason: String::new(),
            approver: String::new(),
            ticket: None,
        }
    }

    /// Whether it lifts a rule on `service` of `order` that matches `name`, for a client of `group`.
    fn lifts(&self, (order, service): (usize, usize), name: Option<&str>, group: u16, second: i64, lag: i64) -> bool {
        let fits = |text: &String| match text.strip_prefix("*.") {
            Some(above) => name.is_some_and(|name| name.ends_with(&format!(".{above}"))),
            None => name == Some(text),
        };
        self.order.is_none_or(|of| of == order)
            && self.service.is_none_or(|of| of == service)
            && self.group.is_none_or(|of| of == group)
            && (self.names.is_empty() || self.names.iter().any(fits))
            && self.term.0 <= second - lag
            && second < self.term.1
    }
}

impl World {
    fn operator(&self) -> Operator {
        let group = |name: &str| Group { name: name.to_owned(), networks: vec![], devices: vec![], names: vec![] };
        let apply = |(order, of, phase): &(usize, Option<u16>, Phase)| Apply {
            order: format!("o{order}"),
            groups: of.map(group_name).into_iter().collect(),
            phase: *phase,
            demand: None,
            sink: None,
        };
        Operator {
            mode: self.mode,
            removal: self.removal,
            groups: GROUPS.map(group).into(),
            applies: self.applies.iter().map(apply).collect(),
            waivers: self.waivers.iter().enumerate().map(|(place, of)| of.compile(place)).collect(),
            ..Operator::default()
        }
    }

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
        let inputs = Inputs { catalogues: vec![catalogue], orders, operator: self.operator() };
        Snapshot::compile(1, [0; 32], inputs).expect("every service is treated in one way")
    }

    /// The rules, read plainly: across orders the sternest verdict counts.
    fn verdict(&self, target: &Target, group: u16, second: i64, lag: i64) -> Verdict {
        let orders = 0..self.orders.len();
        orders.map(|order| self.verdict_of(order, target, group, second, lag)).max().unwrap_or(Verdict::Pass)
    }

    /// How an order applies to a group: what was set last counts, and a dry run only monitors.
    fn phase(&self, order: usize, group: u16) -> Phase {
        let concerns = |(of, to, _): &&(usize, Option<u16>, Phase)| *of == order && to.is_none_or(|to| to == group);
        let phase = self.applies.iter().rfind(concerns).map_or(Phase::Enforce, |(_, _, phase)| *phase);
        match (self.mode, phase) {
            (_, Phase::Off) => Phase::Off,
            (Mode::Monitor, Phase::Enforce | Phase::Monitor { .. }) => Phase::Monitor { until: None },
            (Mode::Enforce, phase) => phase,
        }
    }

    /// What becomes of a prohibition in force.
    fn enforced(&self, rule: (usize, usize), target: &Target, group: u16, second: i64, lag: i64) -> Verdict {
        match self.phase(rule.0, group) {
            Phase::Monitor { until } if until.is_none_or(|until| at(second) < until) => Verdict::Monitored,
            Phase::Enforce | Phase::Monitor { .. } | Phase::Off => {
                let name = match target {
                    Target::Name(name) => Some(name.to_string()),
                    Target::Address(_) => None,
                };
                match self.waivers.iter().any(|waiver| waiver.lifts(rule, name.as_deref(), group, second, lag)) {
                    true => Verdict::Waived,
                    false => Verdict::Sunk,
                }
            }
        }
    }

    /// Inside an order: protected or exempt, before kept, before the prohibition of the most specific entry that a
    /// prohibition not yet over names, before noted. Of equally specific entries the sternest verdict counts. A
    /// prohibition is over `lag` seconds late; everything else is on time.
    fn verdict_of(&self, order: usize, target: &Target, group: u16, second: i64, lag: i64) -> Verdict {
        if self.phase(order, group) == Phase::Off {
            return Verdict::Pass;
        }
        let treats = &self.orders[order];
        let found: Vec<_> = (self.entries.iter())
            .filter_map(|(text, matching, service)| {
                Some((specificity(text, *matching, target)?, *service, &treats[*service]))
            })
            .collect();
        let untouched = found.iter().filter_map(|(specificity, _, of)| match of {
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
        if found.iter().any(|(_, _, of)| matches!(of, Treat::Kept { until, .. } if second < end(until))) {
            return Verdict::Kept;
        }
        let stern = |service: usize, of: &Treat| -> Option<Verdict> {
            let periods = match of {
                Treat::Prohibited(periods) => periods.clone(),
                Treat::Kept { then: Some(period), .. } => vec![*period],
                Treat::Kept { .. } | Treat::Protected | Treat::Exempt | Treat::Noted => Vec::new(),
            };
            let verdicts = periods.iter().filter_map(|(from, until)| match *from <= second {
                false => Some(Verdict::Monitored),
                true => until
                    .is_none_or(|until| second - lag < until)
                    .then(|| self.enforced((order, service), target, group, second, lag)),
            });
            verdicts.max()
        };
        let prohibited =
            found.iter().filter_map(|(specificity, service, of)| Some((*specificity, stern(*service, of)?)));
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
        for (name, client) in names.iter().flat_map(|name| clients().map(move |client| (name, client))) {
            let (name, group): (Name, _) = (name.parse().expect("the strategy makes names"), client.group().0);
            let target = Target::Name(name.clone());
            for second in -1..2 * LAST {
                let told = snapshot.decide(&name, &client, at(second)).verdict;
                prop_assert_eq!(told, world.verdict(&target, group, second, 0), "{} at {} for {}", name, second, group);
                let late = snapshot.decide(&name, &client, lagging(second, lag)).verdict;
                let expected = world.verdict(&target, group, second, lag);
                prop_assert_eq!(late, expected, "{} at {}, {} late, for {}", name, second, lag, group);
            }
        }
    }

    #[test]
    fn addresses_are_decided_as_a_plain_list_does(
        world in world(), addresses in prop::collection::vec(address(), 1..8), lag in 0..LAST,
    ) {
        let snapshot = world.compile();
        for (address, client) in addresses.into_iter().flat_map(|of| clients().map(move |client| (of, client))) {
            let (target, group) = (Target::Address(address.into()), client.group().0);
            for second in -1..2 * LAST {
                let told = snapshot.decide_subject(&Name::root(), &target, &client, lagging(second, lag)).verdict;
                let expected = world.verdict(&target, group, second, lag);
                prop_assert_eq!(told, expected, "{} at {}, {} late, for {}", address, second, lag, group);
            }
        }
    }

    /// What caches rely on: `until` cuts TTLs, and an epoch that has not changed means that decisions have not.
    #[test]
    fn a_decision_holds_until_the_instant_it_names(world in world(), name in host(), lag in 0..LAST, group in 0u16..3) {
        let snapshot = world.compile();
        let client = Client::member(IpAddr::V4(Ipv4Addr::LOCALHOST), GroupId(group));
        let name: Name = name.parse().expect("the strategy makes names");
        for second in -1..2 * LAST {
            let decision = snapshot.decide(&name, &client, lagging(second, lag));
            for later in second..2 * LAST {
                let then = snapshot.decide(&name, &client, lagging(later, lag));
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
    fn no_lag_of_the_ends_lets_more_through(
        world in world(), name in host(), second in -1..2 * LAST, lag in 0..LAST, group in 0u16..3,
    ) {
        let snapshot = world.compile();
        let client = Client::member(IpAddr::V4(Ipv4Addr::LOCALHOST), GroupId(group));
        let name: Name = name.parse().expect("the strategy makes names");
        let decide = |lag| snapshot.decide(&name, &client, lagging(second, lag)).verdict == Verdict::Sunk;
        prop_assert!(!decide(0) || decide(lag));
        for other in -1..2 * LAST {
            let (one, two) = (lagging(second, lag), lagging(other, 0));
            if snapshot.epoch(one) == snapshot.epoch(two) {
                let verdicts = [one, two].map(|when| snapshot.decide(&name, &client, when).verdict);
                prop_assert_eq!(verdicts[0], verdicts[1], "{:?} and {:?}", one, two);
            }
        }
    }

    /// RFC 8020: NXDOMAIN for a name denies all names below it, those that a waiver names too.
    #[test]
    fn an_open_name_below_is_found_as_a_plain_search_finds_it(
        world in world(), name in host(), lag in 0..LAST, group in 0u16..3,
    ) {
        let snapshot = world.compile();
        let client = Client::member(IpAddr::V4(Ipv4Addr::LOCALHOST), GroupId(group));
        let name: Name = name.parse().expect("the strategy makes names");
        let patterns = (0..snapshot.entry_count()).map(|entry| &snapshot.entry(entry).pattern);
        let listed = patterns.flat_map(|of| of.names().iter().cloned().chain(of.globs().iter().map(Glob::sample)));
        let waived = world.waivers.iter().flat_map(|waiver| &waiver.names).map(|name| {
            let sample = name.strip_prefix("*.").map_or(name.clone(), |above| format!("x.{above}"));
            sample.parse().expect("the strategy makes names")
        });
        let named: Vec<Name> = listed.chain(waived.filter(|name| snapshot.is_listed(name))).collect();
        for second in -1..2 * LAST {
            let sunk = |of: &Name| snapshot.decide(of, &client, lagging(second, lag)).verdict == Verdict::Sunk;
            if !sunk(&name) {
                continue;
            }
            let open = named.iter().filter(|below| **below != name && below.is_at_or_below(&name)).find(|of| !sunk(of));
            let told = snapshot.below(&name, &client, lagging(second, lag));
            prop_assert_eq!(told.is_open, open.is_some(), "{} at {}: {:?}", name, second, open);
            for later in second..2 * LAST {
                let then = snapshot.below(&name, &client, lagging(later, lag));
                let holds = told.until.is_none_or(|until| at(later) < until);
                prop_assert!(!holds || then.is_open == told.is_open, "{} from {} to {}", name, second, later);
            }
        }
    }

    #[test]
    fn a_waiver_never_sinks_more_and_an_order_never_less(
        world in world(), name in host(), lag in 0..LAST, more in waived(), order in [treat(), treat(), treat()],
    ) {
        let name: Name = name.parse().expect("the strategy makes names");
        let before = world.compile();
        let mut waived = world.clone();
        waived.waivers.extend(Some(more).filter(|of| of.order.is_none_or(|order| order < world.orders.len())));
        let mut ordered = world.clone();
        ordered.orders.push(order);
        let (waived, ordered) = (waived.compile(), ordered.compile());
        for (client, second) in clients().flat_map(|client| (-1..2 * LAST).map(move |second| (client, second))) {
            let sunk = |of: &Snapshot| of.decide(&name, &client, lagging(second, lag)).verdict == Verdict::Sunk;
            prop_assert!(!sunk(&waived) || sunk(&before), "waived: {} at {} for {:?}", name, second, client);
            prop_assert!(!sunk(&before) || sunk(&ordered), "ordered: {} at {} for {:?}", name, second, client);
        }
    }

    /// Catalogues and orders are loaded in the order of files and settings, which decides nothing.
    #[test]
    fn a_decision_does_not_depend_on_the_order_of_files(world in world(), name in host(), turn in 0usize..6) {
        let name: Name = name.parse().expect("the strategy makes names");
        let one = world.compile();
        let mut inputs = one.inputs().clone();
        let turned = turn % inputs.orders.len();
        inputs.orders.rotate_left(turned);
        if turn > 2 {
            inputs.orders.reverse();
        }
        let other = Catalogue { id: "d".to_owned(), entries: Vec::new(), ..inputs.catalogues[0].clone() };
        inputs.catalogues.insert(turn % 2, other);
        let two = Snapshot::compile(2, [0; 32], inputs).expect("another order contradicts nothing");
        for (client, second) in clients().flat_map(|client| (-1..2 * LAST).map(move |second| (client, second))) {
            let [a, b] = [&one, &two].map(|snapshot| {
                let decision = snapshot.decide(&name, &client, at(second));
                let by = decision.deciding.map(|of| {
                    let waiver = snapshot.waiver_of(&of).map(|of| of.id.clone());
                    (snapshot.order_of(&of).id.clone(), snapshot.entry(of.entry).text.clone(), of.prohibition, waiver)
                });
                (decision.verdict, decision.until, by)
            });
            prop_assert_eq!(a, b, "{} at {} for {:?}", name, second, client);
        }
    }
    /// What `policy diff` relies on: it tells a difference at exactly those instants at which there is one.
    #[test]
    fn policies_differ_where_their_decisions_do(one in world(), two in world(), names in prop::collection::vec(host(), 1..4)) {
        let (old, new, like) = (one.compile(), two.compile(), one.compile());
        let seconds = -1..2 * LAST;
        for (name, client) in names.iter().flat_map(|name| clients().map(move |client| (name, client))) {
            let name: Name = name.parse().expect("the strategy makes names");
            let of = |a, b| differences((a, &client), (b, &client), &name, seconds.clone().map(at));
            prop_assert_eq!(of(&old, &old), [], "a policy differs from itself on {}", name);
            prop_assert_eq!(of(&old, &like), [], "a policy differs from its like on {}", name);
            let found = of(&old, &new);
            for second in seconds.clone() {
                let holds = |of: &&Difference<'_>| of.from <= at(second) && of.until.is_none_or(|until| at(second) < until);
                let told: Vec<_> = found.iter().filter(holds).map(|of| (of.old, of.new)).collect();
                let rulings = (old.rule(&name, &client, at(second)), new.rule(&name, &client, at(second)));
                let expected = if rulings.0 == rulings.1 { vec![] } else { vec![rulings] };
                prop_assert_eq!(told, expected, "{} at {}", name, second);
                prop_assert_eq!(rulings.0.verdict, old.decide(&name, &client, at(second)).verdict);
            }
        }
    }
}
