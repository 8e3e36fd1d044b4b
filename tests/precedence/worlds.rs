//! Small worlds in which everything collides: catalogues, orders and what an operator made of them.

use super::*;

/// How one order treats one service, as a test writes it down.
#[derive(Debug, Clone)]
pub(super) enum Treat {
    Protected,
    Exempt,
    Kept { until: Option<i64>, then: Option<(i64, Option<i64>)> },
    Prohibited(Vec<(i64, Option<i64>)>),
    Noted,
}

/// A catalogue of entries `(text, matching, service)` under orders that treat each of three services, and what the
/// operator made of them for two groups besides the default one.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) entries: Vec<(String, Matching, usize)>,
    pub(super) orders: Vec<[Treat; 3]>,
    pub(super) removal: Removal,
    pub(super) mode: Mode,
    /// Of an order, for a group or all, with the phase.
    pub(super) applies: Vec<(usize, Option<u16>, Phase)>,
    pub(super) waivers: Vec<Waived>,
}

/// A waiver: of an order or all, of a service or all, for a group or all, of these names or all.
#[derive(Debug, Clone)]
pub(super) struct Waived {
    pub(super) order: Option<usize>,
    pub(super) service: Option<usize>,
    pub(super) group: Option<u16>,
    pub(super) names: Vec<String>,
    pub(super) term: (i64, i64),
}

pub(super) fn period() -> impl Strategy<Value = (i64, Option<i64>)> {
    (0..LAST, prop::option::of(1..LAST)).prop_map(|(from, length)| (from, length.map(|length| from + length)))
}

pub(super) fn treat() -> impl Strategy<Value = Treat> {
    prop_oneof![
        1 => Just(Treat::Protected),
        1 => Just(Treat::Exempt),
        2 => (prop::option::of(0..LAST), prop::option::of(period())).prop_map(|(until, then)| Treat::Kept { until, then }),
        5 => prop::collection::vec(period(), 1..4).prop_map(Treat::Prohibited),
        1 => Just(Treat::Noted),
    ]
}

/// Names over two letters and few labels, so that entries lie above, below and upon each other.
pub(super) fn host() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}", 1..4).prop_map(|labels| format!("{}.x", labels.join(".")))
}

/// Networks that hold each other, and few addresses in them.
pub(super) fn network() -> impl Strategy<Value = String> {
    let lengths = prop_oneof![Just(8u8), Just(24), Just(30), Just(31), Just(32)];
    (address(), lengths).prop_map(|(address, length)| {
        let shift = 32 - u32::from(length);
        format!("{}/{length}", Ipv4Addr::from(u32::from(address) >> shift << shift))
    })
}

pub(super) fn address() -> impl Strategy<Value = Ipv4Addr> {
    (0u8..2, 0u8..8).prop_map(|(third, last)| Ipv4Addr::new(198, 51, third, last))
}

pub(super) fn entry() -> impl Strategy<Value = (String, Matching, usize)> {
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

/// The groups besides the default one.
pub(super) const GROUPS: [&str; 2] = ["g1", "g2"];

pub(super) fn clients() -> impl Iterator<Item = Client> {
    (0..=GROUPS.len()).map(|group| Client::member(IpAddr::V4(Ipv4Addr::LOCALHOST), GroupId(group as u16)))
}

pub(super) fn group_name(group: u16) -> String {
    group.checked_sub(1).map_or("default", |place| GROUPS[usize::from(place)]).to_owned()
}

pub(super) fn waived() -> impl Strategy<Value = Waived> {
    let name = (host(), any::<bool>()).prop_map(|(text, below)| if below { format!("*.{text}") } else { text });
    (
        prop::option::weighted(0.8, 0usize..3),
        prop::option::of(0usize..3),
        prop::option::of(0u16..3),
        prop::collection::vec(name, 0..3),
        (0..LAST, 1..LAST),
    )
        .prop_map(|(order, service, group, names, (from, length))| {
            // Without an order and a service it is the emergency, which names nothing.
            let names = if order.is_none() && service.is_none() { Vec::new() } else { names };
            Waived { order, service, group, names, term: (from, from + length) }
        })
}

pub(super) fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        Just(Phase::Enforce),
        Just(Phase::Off),
        prop::option::of(0..LAST).prop_map(|until| Phase::Monitor { until: until.map(at) }),
    ]
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let removal = prop_oneof![
        3 => Just(Removal::Running),
        1 => (0..LAST).prop_map(|second| Removal::Until(at(second))),
        1 => Just(Removal::Finished),
    ];
    let entries = prop::collection::vec(entry(), 1..8);
    let orders = prop::collection::vec([treat(), treat(), treat()], 1..4);
    let mode = prop_oneof![9 => Just(Mode::Enforce), 1 => Just(Mode::Monitor)];
    let applies = prop::collection::vec((0usize..3, prop::option::of(0u16..3), phase()), 0..3);
    let waivers = prop::collection::vec(waived(), 0..3);
    (entries, orders, removal, mode, applies, waivers).prop_map(|(entries, orders, removal, mode, applies, waivers)| {
        let applies = applies.into_iter().filter(|(order, _, _)| *order < orders.len()).collect();
        let waivers = waivers.into_iter().filter(|of| of.order.is_none_or(|order| order < orders.len())).collect();
        World { entries, orders, removal, mode, applies, waivers }
    })
}
