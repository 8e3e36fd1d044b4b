//! What a reload changes about the policy, in words: so that nobody turns enforcement down unseen.

use super::application::Mode;
use super::order::{Demand, Removal, TreatmentChoice};
use super::snapshot::Inputs;

/// Returns what is otherwise in `new` than in `old`, one change a text, without waivers, which are told by themselves. Only
/// identifiers stand in it, and instants.
pub fn changes(old: &Inputs, new: &Inputs) -> Vec<String> {
    let (before, after) = (&old.operator, &new.operator);
    let mut changes = Vec::new();
    if before.mode != after.mode {
        changes.push(match after.mode {
            Mode::Enforce => "it enforces again".to_owned(),
            Mode::Monitor => "it only monitors, and enforces nothing".to_owned(),
        });
    }
    if before.demand != after.demand {
        changes.push(match after.demand {
            Demand::Own => "orders apply by the network's own policy".to_owned(),
            Demand::External => "orders apply as binding".to_owned(),
        });
    }
    if before.removal != after.removal {
        changes.push(match after.removal {
            Removal::Running => "removal is running".to_owned(),
            Removal::Until(until) => format!("removal runs until {until}"),
            Removal::Finished => "removal is finished".to_owned(),
        });
    }
    let orders = |of: &Inputs| of.orders.iter().map(|of| (of.id.clone(), format!("{of:?}"))).collect::<Vec<_>>();
    compare("order", &orders(old), &orders(new), &mut changes);
    let catalogues =
        |of: &Inputs| of.catalogues.iter().map(|of| (of.id.clone(), format!("{of:?}"))).collect::<Vec<_>>();
    compare("catalogue", &catalogues(old), &catalogues(new), &mut changes);
    let groups =
        |of: &Inputs| of.operator.groups.iter().map(|of| (of.name.clone(), format!("{of:?}"))).collect::<Vec<_>>();
    compare("group", &groups(old), &groups(new), &mut changes);
    let treatments = |of: &Inputs| {
        let treatments = of.operator.treatments.iter();
        treatments.map(|of| (format!("{}/{}", of.order, of.service), treated(&of.choice))).collect::<Vec<_>>()
    };
    compare("treatment of", &treatments(old), &treatments(new), &mut changes);
    for order in new.orders.iter().filter(|order| old.orders.iter().any(|of| of.id == order.id)) {
        let applies =
            |of: &Inputs| of.operator.applies.iter().filter(|of| of.order == order.id).cloned().collect::<Vec<_>>();
        if applies(old) != applies(new) {
            changes.push(format!("how order {} applies to groups was changed", order.id));
        }
    }
    changes
}

fn compare(what: &str, old: &[(String, String)], new: &[(String, String)], changes: &mut Vec<String>) {
    let find = |list: &[(String, String)], id: &str| list.iter().rfind(|(of, _)| of == id).map(|(_, of)| of.clone());
    for (id, content) in new {
        match find(old, id) {
            None => changes.push(format!("{what} {id} was added")),
            Some(before) if before != *content => changes.push(format!("{what} {id} was changed")),
            Some(_) => {}
        }
    }
    for (id, _) in old.iter().filter(|(id, _)| find(new, id).is_none()) {
        changes.push(format!("{what} {id} was taken out"));
    }
}

fn treated(choice: &TreatmentChoice) -> String {
    match choice {
        TreatmentChoice::Noted => "noted".to_owned(),
        TreatmentChoice::Exempt => "exempt".to_owned(),
        TreatmentChoice::Kept => "kept".to_owned(),
        TreatmentChoice::Prohibited(id) => format!("prohibited under {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Group;
    use crate::policy::{Apply, Operator, OperatorTreatment, Order, Phase};

    fn order(id: &str) -> Order {
        Order {
            id: id.to_owned(),
            title: String::new(),
            issuer: String::new(),
            citation: String::new(),
            rules: Vec::new(),
            catalogue: String::new(),
            published: jiff::civil::date(2024, 1, 1),
            sources: Vec::new(),
            facts: Vec::new(),
            prohibitions: Vec::new(),
            protected: Vec::new(),
            exempt: Vec::new(),
            kept: Vec::new(),
            noted: Vec::new(),
        }
    }

    #[test]
    fn whatever_weakens_a_policy_is_told() {
        let old = Inputs { orders: vec![order("a"), order("b")], ..Inputs::default() };
        assert_eq!(changes(&old, &old), Vec::<String>::new());
        let apply = Apply { order: "a".to_owned(), groups: Vec::new(), phase: Phase::Off, demand: None, sink: None };
        let treatment =
            OperatorTreatment { order: "a".to_owned(), service: "s".to_owned(), choice: TreatmentChoice::Noted };
        let group = Group { name: "lab".to_owned(), networks: vec![], devices: vec![], names: vec![] };
        let operator = Operator {
            mode: Mode::Monitor,
            demand: Demand::External,
            removal: Removal::Finished,
            treatments: vec![treatment],
            groups: vec![group],
            applies: vec![apply],
            waivers: Vec::new(),
        };
        let new = Inputs { orders: vec![Order { title: "x".to_owned(), ..order("a") }], operator, ..Inputs::default() };
        assert_eq!(
            changes(&old, &new),
            [
                "it only monitors, and enforces nothing",
                "orders apply as binding",
                "removal is finished",
                "order a was changed",
                "order b was taken out",
                "group lab was added",
                "treatment of a/s was added",
                "how order a applies to groups was changed",
            ]
        );
        assert!(changes(&new, &old).contains(&"it enforces again".to_owned()));
    }
}
