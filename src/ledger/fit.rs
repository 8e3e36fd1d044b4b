//! No leaf is longer than an entry of the log can be. What may be longer, lists by rule and by policy, is parted over
//! several leaves, so that sums over all leaves stay what they were.

use super::leaf::{Body, Changed, Coverage, Gap, RuleCount, bounded};
use super::tree::MAX_ENTRY;

/// How many octets of lists one leaf takes; far below what an entry can be, for all else that a leaf says.
const LISTS: usize = MAX_ENTRY / 2;
/// How many octets one text of a leaf takes, of at most three that nothing else bounds.
const TEXT: usize = 18_000;
/// How many octets a rule takes besides its texts, and how many a character of those takes at most.
const AROUND: usize = 96;
/// A control character takes six octets in JSON.
const ESCAPED: usize = 6;

/// Parts a leaf that could be too long.
pub(super) fn fit(body: Body) -> Vec<Body> {
    match body {
        Body::Coverage(coverage) => covers(*coverage),
        Body::Gap(gap) => gaps(*gap),
        Body::Change(mut change) => {
            let Changed { by, why, what, .. } = change.as_mut();
            [Some(by), Some(why), what.as_mut()].into_iter().flatten().for_each(cut);
            vec![Body::Change(change)]
        }
        // Names, identifiers and entries of catalogues are bounded where they are read.
        Body::Attempt(_) | Body::Unknown => vec![body],
    }
}

/// Cuts a text where its form in JSON would be too long.
fn cut(text: &mut String) {
    let mut length = 0;
    let end = text.char_indices().find_map(|(at, character)| {
        length += match character {
            '"' | '\\' => 2,
            control if control < ' ' => ESCAPED,
            other => other.len_utf8(),
        };
        (length > TEXT).then_some(at)
    });
    if let Some(end) = end {
        text.truncate(end);
        text.push('…');
    }
}

fn size(count: &RuleCount) -> usize {
    let RuleCount { order, rule, service, verdict, count: _ } = count;
    AROUND + ESCAPED * (order.len() + rule.len() + service.len() + verdict.len())
}

/// Takes from the front of a list what `room` is left for.
fn take<T>(list: &mut Vec<T>, room: &mut usize, size: impl Fn(&T) -> usize) -> Vec<T> {
    let fits = |item: &&T| {
        // The first of a leaf always: otherwise it would never come to its end.
        let fits = *room == LISTS || size(item) <= *room;
        *room = room.saturating_sub(size(item));
        fits
    };
    let end = list.iter().take_while(fits).count();
    let rest = list.split_off(end);
    std::mem::replace(list, rest)
}

fn covers(mut of: Coverage) -> Vec<Body> {
    let (mut counted, mut threats, mut policies) =
        (std::mem::take(&mut of.counted), std::mem::take(&mut of.threats), std::mem::take(&mut of.policies));
    let mut leaves = Vec::new();
    loop {
        let mut room = LISTS;
        let lists = (
            take(&mut policies, &mut room, |policy| policy.len() + 3),
            take(&mut counted, &mut room, size),
            take(&mut threats, &mut room, size),
        );
        let mut leaf = of.clone();
        (leaf.policies, leaf.counted, leaf.threats) = lists;
        leaves.push(Body::Coverage(Box::new(leaf)));
        if counted.is_empty() && threats.is_empty() && policies.is_empty() {
            return leaves;
        }
        // What is no list is told once.
        of.queries.clear();
        of.withheld.clear();
        of.recorded.clear();
        (of.overflowed, of.leaves) = (0, 0);
    }
}

fn gaps(mut of: Gap) -> Vec<Body> {
    cut(&mut of.found);
    let mut rules = std::mem::take(&mut of.rules);
    let mut leaves = Vec::new();
    loop {
        let mut room = LISTS;
        let taken = take(&mut rules, &mut room, size);
        let last = rules.is_empty();
        let count = match last && leaves.is_empty() {
            true => of.count,
            false => Some(bounded(taken.iter().map(|rule| rule.count).sum())),
        };
        leaves.push(Body::Gap(Box::new(Gap { count, rules: taken, ..of.clone() })));
        if last {
            return leaves;
        }
        of.changes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaf::{CoverageEvent, GapReason, Leaf, VERSION};
    use super::*;

    fn rules(number: usize, octets: usize) -> Vec<RuleCount> {
        let text = |kind: &str| format!("{kind}{}", "\u{1}".repeat(octets));
        let rule = |at| RuleCount {
            order: text("o"),
            rule: format!("{at}{}", text("r")),
            service: text("s"),
            verdict: "noted".to_owned(),
            count: 2,
        };
        (0..number).map(rule).collect()
    }

    fn line(body: Body) -> String {
        let mut line = String::new();
        Leaf { v: VERSION, seq: (1 << 53) - 1, body }.write(&mut line);
        line
    }

    #[test]
    fn a_change_of_many_words_is_cut() {
        for word in ["x", "\u{1}", "\"", "ü"] {
            let text = word.repeat(40_000);
            let at = "2024-09-29T04:00:00Z".parse().unwrap();
            let changed = Changed {
                at,
                raw: at,
                act: super::super::leaf::Act::Waiver,
                accepted: true,
                by: text.clone(),
                why: text.clone(),
                what: Some(text),
                policy: None,
                first_seq: None,
                last_seq: None,
                rotation: None,
                client: None,
                device: None,
                key: None,
                rehearsal: false,
            };
            let [body] = &fit(Body::Change(Box::new(changed)))[..] else { panic!("a change is one leaf") };
            let line = line(body.clone());
            assert!(line.len() <= MAX_ENTRY && line.matches('…').count() == 3, "{}", line.len());
        }
    }

    #[test]
    fn long_lists_are_parted_and_sums_stay() {
        let at = "2024-09-29T04:00:00Z".parse().unwrap();
        for (number, octets) in [(0, 0), (3, 5), (2000, 20), (300, 800)] {
            let coverage = Coverage {
                at,
                raw: at,
                event: CoverageEvent::Minute,
                from: at,
                ends: None,
                lasted_ms: None,
                queries: [("answered".to_owned(), 7)].into(),
                withheld: [("rebinding".to_owned(), 1)].into(),
                recorded: [("sunk".to_owned(), 7)].into(),
                counted: rules(number, octets),
                threats: rules(number / 2, octets),
                overflowed: 3,
                leaves: 4,
                policies: vec!["00".repeat(32); number],
                clock: None,
                rehearsal: false,
            };
            let gap = Gap {
                at,
                raw: at,
                reason: GapReason::Unwritten,
                from: None,
                until: None,
                count: Some(2 * number as u64),
                rules: rules(number, octets),
                changes: 5,
                first_seq: None,
                last_seq: None,
                found: "x".to_owned(),
                rehearsal: false,
            };
            let (mut counted, mut threats, mut once, mut missing, mut changes) = (0, 0, 0, 0, 0);
            let parts = [fit(Body::Coverage(Box::new(coverage))), fit(Body::Gap(Box::new(gap)))].concat();
            for body in &parts {
                match body {
                    Body::Coverage(part) => {
                        counted += part.counted.len();
                        threats += part.threats.len();
                        once += part.queries.len() as u64
                            + part.withheld.values().sum::<u64>()
                            + part.leaves
                            + part.overflowed;
                    }
                    Body::Gap(part) => {
                        missing += part.count.unwrap();
                        changes += part.changes;
                    }
                    Body::Attempt(_) | Body::Change(_) | Body::Unknown => panic!("{body:?}"),
                }
            }
            assert_eq!((counted, threats, once), (number, number / 2, 9));
            assert_eq!((missing, changes), (2 * number as u64, 5));
            assert_eq!(parts.len() > 2, number > 200, "{number}");
            for body in parts {
                assert!(line(body).len() <= MAX_ENTRY);
            }
        }
    }
}
