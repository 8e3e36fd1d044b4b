//! The index against a plain list of its rules.

use super::*;
use crate::message::MAX_NAME;
use proptest::prelude::*;

fn key() -> Key {
    Key([0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xA24B_AED4_963E_E407])
}

fn index(rules: &[(Name, Scope, u32)]) -> Index {
    let mut builder = Builder::new();
    for (name, scope, payload) in rules {
        builder.add(name, *scope, *payload);
    }
    Index::from_octets(builder.finish(key, b"table").unwrap()).unwrap()
}

fn named(text: &str) -> Name {
    text.parse().unwrap()
}

/// What a list of rules says, read from its start to its end.
fn scan(rules: &[(Name, Scope, u32)], name: &Name) -> Vec<u32> {
    let mut matches = Vec::new();
    for (place, suffix) in name.suffixes().enumerate() {
        let scope = if place == 0 { Scope::Exact } else { Scope::Below };
        for (of, own, payload) in rules {
            if of.as_wire() == suffix && own.bits() & scope.bits() != 0 && !matches.contains(payload) {
                matches.push(*payload);
            }
        }
        if place > 0 && rules.iter().any(|(of, own, _)| of.as_wire() == suffix && *own == Scope::Node) {
            break;
        }
    }
    matches
}

/// Every payload that matches, once each and in order.
fn all(index: &Index, name: &Name) -> Vec<u32> {
    let mut matches: Vec<u32> = Vec::new();
    let none: Option<()> = index.find(name, |hit| {
        if !matches.contains(&hit.payload) {
            matches.push(hit.payload);
        }
        None
    });
    assert_eq!(none, None);
    matches
}

/// Names of few different labels, so that they often lie below each other; odd octets and the longest names among them.
fn any_name() -> impl Strategy<Value = Name> {
    let label = prop_oneof![
        8 => "[ab]".prop_map(String::into_bytes),
        2 => "[a-c]{2,9}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 1..12),
        1 => Just(vec![b'x'; 63]),
    ];
    proptest::collection::vec(label, 0..9).prop_map(|mut labels| {
        while labels.iter().map(|label| label.len() + 1).sum::<usize>() >= MAX_NAME {
            labels.pop();
        }
        let wire: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
        Name::from_wire(&[&wire[..], &[0]].concat()).unwrap()
    })
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Exact), Just(Scope::Below), Just(Scope::Both), Just(Scope::Node)]
}

proptest! {
    #[test]
    fn it_decides_as_a_list_of_rules_does(
        rules in proptest::collection::vec((any_name(), any_scope(), 0u32..40), 0..60),
        names in proptest::collection::vec(any_name(), 1..20),
    ) {
        let index = index(&rules);
        for name in names.iter().chain(rules.iter().map(|(name, _, _)| name)) {
            prop_assert_eq!(all(&index, name), scan(&rules, name), "{}", name);
        }
        prop_assert_eq!(index.rules().collect::<Vec<_>>(), rules);
    }

    /// Nobody vouches for what a disk gives back.
    #[test]
    fn damage_is_found(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut octets = index(&[(named("a.example"), Scope::Both, 1), (named("b.example"), Scope::Exact, 2)]).octets().to_vec();
        let at = at.index(octets.len());
        octets[at] ^= 1 << bit;
        prop_assert!(Index::from_octets(octets).is_err(), "octet {}", at);
    }

    /// Somebody may make up octets whose checksum is right. They get wrong answers, and nothing else.
    #[test]
    fn made_up_octets_are_read_within_their_bounds(
        header in proptest::collection::vec(any::<u8>(), 16),
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        (words, buckets) in (1u64..20, 1u64..20),
        name in any_name(),
    ) {
        let fixed = words * 8 + buckets * layout::BUCKET as u64;
        let arena = (body.len() as u64).saturating_sub(fixed);
        let of = Layout {
            key: key(),
            rules: 7,
            words,
            buckets,
            arena,
            table: 0,
            exact_labels: u128::MAX,
            below_labels: u128::from_le_bytes(header.try_into().unwrap()),
        };
        let mut file = vec![0; layout::HEADER];
        file.extend_from_slice(&body);
        file.resize(of.end(), 0xFF);
        of.seal(&mut file);
        let index = Index::from_octets(file).unwrap();
        all(&index, &name);
        index.rules().count();
    }

    #[test]
    fn octets_that_are_no_index_are_refused(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Index::from_octets(octets).is_err());
    }
}

/// RFC 1035, section 2.3.4: 127 labels of one octet, and four of the longest that fit.
#[test]
fn the_longest_names_are_found() {
    let many: Name = vec!["a"; 127].join(".").parse().unwrap();
    let long: Name = [vec!["b".repeat(63); 3], vec!["b".repeat(61)]].concat().join(".").parse().unwrap();
    let index = index(&[
        (many.clone(), Scope::Exact, 1),
        (long.clone(), Scope::Both, 2),
        (many.parent().unwrap(), Scope::Below, 3),
        (Name::root(), Scope::Below, 4),
    ]);
    assert_eq!([many.as_wire().len(), long.as_wire().len()], [MAX_NAME; 2]);
    assert_eq!(all(&index, &many), [1, 3, 4]);
    assert_eq!(all(&index, &long), [2, 4]);
    assert_eq!(all(&index, &Name::root()), [] as [u32; 0]);
}

#[test]
fn a_hit_tells_where_and_how_it_matched() {
    let index = index(&[(named("example"), Scope::Below, 5)]);
    let hit = index.find(&named("a.b.example"), Some).unwrap();
    assert_eq!(hit, Hit { payload: 5, labels_before: 2, scope: Scope::Below });
    assert_eq!(index.find(&named("example"), Some), None);
    assert_eq!(index.table(), b"table");
}

#[test]
fn every_name_of_many_is_found_and_no_other() {
    let rules: Vec<_> = (0..20_000u32).map(|n| (named(&format!("n{n}.example")), Scope::Both, n)).collect();
    let index = index(&rules);
    for n in 0..20_000u32 {
        assert_eq!(index.find(&named(&format!("www.n{n}.example")), Some).map(|hit| hit.payload), Some(n));
        assert_eq!(index.find(&named(&format!("m{n}.example")), Some), None);
    }
    let octets = index.octets().len() as f64 / 20_000.0;
    // The names themselves take 14 octets in the mean here.
    assert!(octets < 34.0, "{octets} octets a name");
}

#[test]
fn what_says_nothing_new_is_left_out() {
    let index = index(&[
        (named("example"), Scope::Both, 1),
        (named("example"), Scope::Exact, 1),
        (named("example"), Scope::Exact, 2),
    ]);
    assert_eq!(index.len(), 2);
}
