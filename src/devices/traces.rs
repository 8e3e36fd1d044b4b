//! How often rules are right, on traces that are made by rule from what is documented of the products: `cargo nextest run traces
//! --no-capture` prints the table that docs/devices.md has. They are synthetic: what they share with the rules, both may have wrong.

use std::collections::BTreeMap;

use super::{Confidence, Facts, Kind, Role, Rules};

/// Numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut of = self.0;
        of = (of ^ (of >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        of = (of ^ (of >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        of ^ (of >> 31)
    }

    /// A number from `low` to `high`, both included.
    fn roll(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(1, 100) <= percent
    }
}

/// Look-ups of one device under construction.
struct Trace<'d> {
    facts: Facts,
    dice: &'d mut Dice,
}

impl Trace<'_> {
    fn at(&mut self, kind: Kind, day: u64, hour: u64, lookups: u64) {
        self.facts.add(kind, lookups, 20_000 + day as i64, 1 << (hour % 24));
    }

    /// Updates every `every` hours of the days on which it is on. Each asks for a few names, and again where no answer comes.
    fn updates(&mut self, days: u64, every: u64, (from, to): (u64, u64), weekends: bool) {
        for day in (0..days).filter(|day| weekends || day % 7 < 5) {
            if self.dice.chance(8) {
                continue;
            }
            let start = from + self.dice.roll(0, 1);
            for hour in (start..to).step_by(usize::try_from(every).unwrap()) {
                let late = u64::from(every > 1 && self.dice.chance(20));
                let lookups = self.dice.roll(2, 6);
                self.at(Kind::Update, day, hour + late, lookups);
            }
        }
    }

    fn reputation(&mut self, days: u64, (from, to): (u64, u64), (low, high): (u64, u64)) {
        for day in 0..days {
            for hour in from..to {
                if self.dice.chance(90) {
                    let lookups = self.dice.roll(low, high);
                    self.at(Kind::Reputation, day, hour, lookups);
                }
            }
        }
    }

    fn sometimes(&mut self, kind: Kind, days: u64, percent: u64, (low, high): (u64, u64)) {
        for day in 0..days {
            if self.dice.chance(percent) {
                let (hour, lookups) = (self.dice.roll(8, 18), self.dice.roll(low, high));
                self.at(kind, day, hour, lookups);
            }
        }
    }
}

/// A kind of device, what it is, and how it asks.
type Making = (&'static str, Role, fn(&mut Trace<'_>));

/// Each as behaviour is documented; the words in brackets say what makes it hard.
const MAKINGS: &[Making] = &[
    ("office machine", Role::Endpoint, |of| {
        let (days, every) = (of.dice.roll(5, 60), of.dice.roll(1, 3));
        of.updates(days, every, (8, 18), false);
        of.reputation(days, (8, 18), (1, 12));
        of.sometimes(Kind::Product, days, 20, (1, 4));
    }),
    ("home machine without reputation", Role::Endpoint, |of| {
        let (days, every) = (of.dice.roll(4, 60), of.dice.roll(1, 4));
        of.updates(days, every, (16, 24), true);
    }),
    ("machine that is always on", Role::Endpoint, |of| {
        let (days, every) = (of.dice.roll(7, 60), of.dice.roll(2, 6));
        of.updates(days, every, (0, 24), true);
        of.reputation(days, (0, 24), (1, 9));
    }),
    ("server with the product (hourly, never off)", Role::Endpoint, |of| {
        let days = of.dice.roll(7, 60);
        of.updates(days, 1, (0, 24), true);
        of.reputation(days, (0, 24), (1, 9));
        of.sometimes(Kind::Product, days, 4, (1, 3));
    }),
    ("busy server with the product (much reputation)", Role::Endpoint, |of| {
        let days = of.dice.roll(7, 60);
        of.updates(days, 2, (0, 24), true);
        of.reputation(days, (0, 24), (5, 40));
    }),
    ("daily updates", Role::Endpoint, |of| {
        for day in 0..of.dice.roll(7, 60) {
            let (hour, lookups) = (9 + of.dice.roll(0, 1), of.dice.roll(2, 8));
            of.at(Kind::Update, day, hour, lookups);
        }
    }),
    ("managed from a server (no updates seen)", Role::Endpoint, |of| {
        let days = of.dice.roll(3, 60);
        of.reputation(days, (8, 18), (1, 8));
    }),
    ("managed from the cloud", Role::Endpoint, |of| {
        let days = of.dice.roll(5, 60);
        of.updates(days, 2, (8, 18), false);
        of.sometimes(Kind::Console, days, 90, (4, 40));
    }),
    ("blocked, and silent after some hours", Role::Endpoint, |of| {
        let days = of.dice.roll(1, 2);
        of.updates(days + 1, 1, (8, 12), true);
        of.sometimes(Kind::Around, 1, 100, (1, 10));
    }),
    ("laptop that is rarely here", Role::Endpoint, |of| of.sometimes(Kind::Update, 40, 12, (2, 10))),
    ("management server with reputation", Role::Many, |of| {
        let days = of.dice.roll(5, 60);
        of.updates(days, 1, (0, 24), true);
        of.reputation(days, (0, 24), (100, 900));
    }),
    ("small management server (few clients)", Role::Many, |of| {
        let days = of.dice.roll(5, 60);
        of.updates(days, 1, (0, 24), true);
        of.reputation(days, (0, 24), (10, 60));
    }),
    ("forwarder of a branch", Role::Many, |of| {
        let days = of.dice.roll(5, 60);
        for _ in 0..of.dice.roll(5, 20) {
            of.updates(days, 2, (7, 19), false);
        }
        of.reputation(days, (0, 24), (50, 400));
        of.sometimes(Kind::Product, days, 80, (3, 30));
        of.sometimes(Kind::Web, days, 50, (1, 10));
    }),
    ("update mirror (updates only)", Role::Many, |of| {
        let days = of.dice.roll(8, 60);
        of.updates(days, 1, (0, 24), true);
    }),
    ("network that was put together", Role::Many, |of| {
        of.facts.many = true;
        of.updates(3, 1, (0, 24), true);
    }),
    ("another maker's product, its hosts recorded", Role::WhiteLabel, |of| {
        let days = of.dice.roll(5, 60);
        of.updates(days, 1, (0, 24), true);
        of.sometimes(Kind::Engine, days, 80, (1, 6));
    }),
    ("scan engine in a gateway, every 30 minutes", Role::WhiteLabel, |of| {
        let days = of.dice.roll(10, 60);
        of.updates(days, 1, (0, 24), true);
        of.updates(days, 1, (0, 24), true);
    }),
    ("scan engine with reputation (nothing tells it apart)", Role::WhiteLabel, |of| {
        let days = of.dice.roll(10, 60);
        of.updates(days, 1, (0, 24), true);
        of.reputation(days, (0, 24), (1, 10));
    }),
    ("installer fetched", Role::Download, |of| {
        let lookups = of.dice.roll(1, 12);
        of.at(Kind::Download, 0, 10, lookups);
        of.sometimes(Kind::Web, 1, 60, (1, 9));
    }),
    ("portable scanner, one afternoon", Role::Download, |of| {
        let hour = of.dice.roll(9, 16);
        of.at(Kind::Download, 0, hour, 3);
        of.at(Kind::Update, 0, hour, 6);
        of.at(Kind::Reputation, 0, hour + 1, 20);
    }),
    ("rescue disk, one evening", Role::Download, |of| {
        let hour = of.dice.roll(18, 22);
        of.at(Kind::Update, 0, hour, 8);
    }),
    ("reader of the web site", Role::Visitor, |of| {
        of.sometimes(Kind::Web, 30, 20, (1, 9));
        of.at(Kind::Web, 1, 11, 1);
    }),
    ("visitor of the shop", Role::Visitor, |of| {
        of.at(Kind::Store, 0, 15, 2);
        of.sometimes(Kind::Web, 2, 90, (1, 9));
    }),
    ("visitor who fetches an installer", Role::Download, |of| {
        of.at(Kind::Store, 0, 15, 2);
        of.at(Kind::Download, 0, 15, 4);
    }),
    ("visitor of a page saved elsewhere", Role::Leak, |of| {
        of.sometimes(Kind::Leak, 30, 15, (1, 3));
        of.at(Kind::Leak, 3, 12, 1);
    }),
    ("developer with the product and saved pages", Role::Endpoint, |of| {
        of.updates(20, 2, (8, 18), false);
        of.sometimes(Kind::Leak, 20, 60, (1, 20));
    }),
    ("administrator at the console", Role::Administrator, |of| {
        of.sometimes(Kind::Console, 30, 40, (1, 12));
        of.at(Kind::Console, 1, 9, 2);
    }),
    ("administrator with the product", Role::Endpoint, |of| {
        of.updates(20, 2, (8, 18), false);
        of.sometimes(Kind::Console, 20, 60, (1, 12));
        of.sometimes(Kind::Download, 20, 10, (1, 5));
    }),
    ("browser that asks for relays only", Role::Unclear, |of| of.sometimes(Kind::Around, 30, 90, (1, 40))),
];

/// Traces of each kind.
const EACH: u64 = 200;

#[derive(Default)]
struct Score {
    right: u64,
    wrong: u64,
    missed: u64,
}

impl Score {
    fn percent(one: u64, other: u64) -> String {
        (one * 1000).checked_div(one + other).map_or("-".to_owned(), |of| format!("{}.{}", of / 10, of % 10))
    }
}

/// Figures by role and by confidence, and of each kind of trace what its devices were taken for.
struct Measured {
    roles: BTreeMap<Role, Score>,
    sure: BTreeMap<Option<Confidence>, Score>,
    kinds: Vec<(&'static str, Role, BTreeMap<Role, u64>)>,
}

/// Judges all traces.
fn measure() -> Measured {
    let (mut roles, mut sure) = (BTreeMap::<Role, Score>::new(), BTreeMap::<Option<Confidence>, Score>::new());
    let mut kinds = Vec::new();
    let mut dice = Dice(7);
    for (name, role, make) in MAKINGS {
        let mut taken = BTreeMap::new();
        for _ in 0..EACH {
            let mut trace = Trace { facts: Facts::default(), dice: &mut dice };
            make(&mut trace);
            let found = Rules::shipped().judge(&trace.facts);
            *taken.entry(found.role).or_default() += 1;
            let of_confidence = sure.entry(found.confidence).or_default();
            if found.role == *role {
                roles.entry(*role).or_default().right += 1;
                of_confidence.right += 1;
            } else {
                roles.entry(*role).or_default().missed += 1;
                roles.entry(found.role).or_default().wrong += 1;
                of_confidence.wrong += 1;
            }
        }
        kinds.push((*name, *role, taken));
    }
    Measured { roles, sure, kinds }
}

/// Returns the tables as docs/devices.md has them.
fn tables() -> String {
    let Measured { roles, sure, kinds } = measure();
    let mut text = "| role | precision % | recall % |\n|---|---|---|\n".to_owned();
    for (role, Score { right, wrong, missed }) in &roles {
        text += &format!("| {role} | {} | {} |\n", Score::percent(*right, *wrong), Score::percent(*right, *missed));
    }
    text += "\n| stated confidence | right % |\n|---|---|\n";
    for (confidence, Score { right, wrong, .. }) in sure.iter().rev() {
        let word = confidence.map_or("none", Confidence::as_str);
        text += &format!("| {word} | {} |\n", Score::percent(*right, *wrong));
    }
    text += "\n| trace | is | taken for |\n|---|---|---|\n";
    for (name, role, taken) in kinds {
        let taken: Vec<_> = taken.iter().map(|(role, count)| format!("{role} {}", count * 100 / EACH)).collect();
        text += &format!("| {name} | {role} | {} |\n", taken.join(", "));
    }
    text
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is for whoever asks for it")]
fn traces_are_taken_for_what_they_are_as_often_as_the_documentation_says() {
    let tables = tables();
    println!("{tables}");
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/devices.md")).unwrap();
    assert!(documented.contains(&tables), "docs/devices.md has other tables than:\n{tables}");
    let Measured { roles, sure, .. } = measure();
    let right = |of: &Score| of.right * 100 / (of.right + of.wrong).max(1);
    // What is to be removed is not taken for something else, and high means high.
    assert!(right(&roles[&Role::Endpoint]) >= 85, "precision of endpoints");
    assert!(roles[&Role::Endpoint].right * 100 / (roles[&Role::Endpoint].right + roles[&Role::Endpoint].missed) >= 85);
    let of = |confidence| right(&sure[&Some(confidence)]);
    assert!(of(Confidence::High) >= 85 && of(Confidence::High) > of(Confidence::Low));
}
