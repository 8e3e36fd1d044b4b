//! Edges of a period: what belongs to it is `from <= at < to`, to the microsecond, whatever day, instant or ledger it cuts.

use super::sums::Sums;
use super::tests::{Leaves, at, basis, report};
use super::*;

/// Instants around which periods begin and end, each with a number of look-ups of its own.
const LOOKUPS: [(&str, u64); 7] = [
    ("2024-02-28T23:59:59Z", 1),
    ("2024-02-29T00:00:00Z", 2),
    ("2024-02-29T23:59:59.999999Z", 4),
    ("2024-03-01T00:00:00Z", 8),
    ("2024-09-29T03:59:59.999999Z", 16),
    // The instant of the prohibition.
    ("2024-09-29T04:00:00Z", 32),
    ("2024-09-29T23:00:00Z", 64),
];

fn sums(pending: u64, early: u64, watched: u64) -> Sums {
    Sums { pending, early, watched, ..Sums::default() }
}

#[test]
fn a_look_up_belongs_to_the_periods_that_begin_by_it_and_end_behind_it() {
    let mut leaves = Leaves::new();
    LOOKUPS
        .iter()
        .for_each(|(of, count)| leaves.record("192.0.2.1", "upd.vendor.example", "monitored", at(of), *count));
    let (store, last) = leaves.index();
    for (from, to, expected) in [
        // A leap day, and a year that has none.
        ("2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", sums(0, 6, 0)),
        ("2023-02-28T00:00:00Z", "2023-03-01T00:00:00Z", sums(0, 0, 0)),
        // Days that are cut by both ends, to the microsecond.
        ("2024-02-28T23:59:59Z", "2024-02-29T23:59:59.999999Z", sums(0, 3, 0)),
        ("2024-02-28T23:59:59.000001Z", "2024-03-01T00:00:00.000001Z", sums(0, 14, 0)),
        // The instant of the prohibition as an end, as a beginning, inside, and alone.
        ("2024-09-29T00:00:00Z", "2024-09-29T04:00:00Z", sums(16, 0, 0)),
        ("2024-09-29T04:00:00Z", "2024-09-30T00:00:00Z", sums(0, 0, 96)),
        ("2024-09-01T00:00:00Z", "2024-10-01T00:00:00Z", sums(16, 0, 96)),
        ("2024-09-29T04:00:00Z", "2024-09-29T04:00:00.000001Z", sums(0, 0, 32)),
        // An end to come, and a period before anything was recorded.
        ("2024-09-29T04:00:00Z", "2124-01-01T00:00:00Z", sums(0, 0, 96)),
        ("2020-01-01T00:00:00Z", "2024-02-28T23:59:59Z", sums(0, 0, 0)),
    ] {
        let found = report(&[&store], basis(from, to, Format::Json, last));
        assert_eq!(found.totals.sums, expected, "{from} {to}");
        let attempted = expected.attempted() > 0;
        assert_eq!(found.totals.devices, u64::from(attempted), "{from} {to}");
        let named: u64 = found.names.rows.iter().map(|name| name.attempted).sum();
        assert_eq!((found.totals.attempted, named), (expected.attempted(), expected.attempted()), "{from} {to}");
        let drawn = found.trend.bins.iter().fold(0, |sum, bin| sum + bin.sums.attempted());
        assert_eq!(drawn, expected.attempted(), "{from} {to}");
    }
}

#[test]
fn a_resolver_that_began_later_has_coverage_from_then_on_alone() {
    let (begin, middle, end) = ("2024-10-01T00:00:00Z", "2024-10-08T12:00:00Z", "2024-10-16T00:00:00Z");
    let began = |from: &str| {
        let mut leaves = Leaves::new();
        leaves.cover(at(from), at(end));
        leaves.record("192.0.2.1", "upd.vendor.example", "sunk", at("2024-10-09T00:00:00Z"), 1);
        leaves.index()
    };
    let ((one, last), (other, _)) = (began(begin), began(middle));
    let found = report(&[&one, &other], basis(begin, end, Format::Json, last));
    let told: Vec<_> = found.nodes.iter().map(|node| (node.since, node.coverage.basis_points)).collect();
    assert_eq!(told, [(Some(at(begin)), 10_000), (Some(at(middle)), 5000)]);
    assert_eq!(found.nodes[1].coverage.missing, 7 * 86_400 + 43_200);
    assert_eq!((found.totals.sums.withheld, found.totals.devices), (2, 1), "one device at two resolvers");
    // Of the time before it, the later one tells nothing.
    let before = report(&[&one, &other], basis(begin, middle, Format::Json, last));
    let told: Vec<_> = before.nodes.iter().map(|node| node.coverage.basis_points).collect();
    assert_eq!(told, [10_000, 0]);
}
