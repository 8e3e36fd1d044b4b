//! What keeps catalogues, orders and the operator's choices from being one policy.

use super::application::group_named;
use super::order::Operator;
use super::waiver::Party;

/// Why inputs do not make a snapshot. Each names the faulty order or catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error("two catalogues have the id `{0}`")]
    DuplicateCatalogue(String),
    #[error("two orders have the id `{0}`")]
    DuplicateOrder(String),
    #[error("order `{order}` is about catalogue `{catalogue}`, which is not loaded")]
    UnknownCatalogue { order: String, catalogue: String },
    #[error("order `{order}` names service `{service}`, which catalogue `{catalogue}` does not have")]
    UnknownService { order: String, service: String, catalogue: String },
    #[error("order `{order}` says nothing of service `{service}`; protect, exempt, keep, prohibit or note it")]
    Untreated { order: String, service: String },
    #[error("order `{order}` treats service `{service}` in two ways that exclude each other")]
    Contradiction { order: String, service: String },
    #[error("a treatment names order `{order}`, which is not loaded")]
    TreatmentOfUnknownOrder { order: String },
    #[error("a treatment prohibits under `{prohibition}`, which order `{order}` does not have")]
    UnknownProhibition { order: String, prohibition: String },
    #[error("order `{order}` protects service `{service}`; to prohibit it, write an order of your own")]
    ProhibitsProtected { order: String, service: String },
    #[error("it is set how order `{order}` applies, which is not loaded")]
    ApplyOfUnknownOrder { order: String },
    #[error("order `{order}` is set for group `{group}`, which there is not")]
    ApplyToUnknownGroup { order: String, group: String },
    #[error("waiver `{waiver}` is set for group `{group}`, which there is not")]
    WaiverForUnknownGroup { waiver: String, group: String },
    #[error("two waivers have the id `{0}`")]
    DuplicateWaiver(String),
    #[error("waiver `{waiver}` is of order `{order}`, which is not loaded")]
    WaiverOfUnknownOrder { waiver: String, order: String },
    #[error("waiver `{waiver}` is of catalogue `{catalogue}`, which is not loaded")]
    WaiverOfUnknownCatalogue { waiver: String, catalogue: String },
    #[error("waiver `{waiver}` is of service `{service}`, which catalogue `{catalogue}` does not have")]
    WaiverOfUnknownService { waiver: String, service: String, catalogue: String },
    #[error("the orders and waivers change at {0} instants, more than 65535")]
    TooManyInstants(usize),
}

impl CompileError {
    /// Returns what an operator says of groups that there are not. It depends on no catalogue and no order.
    pub fn of_groups(operator: &Operator) -> Vec<Self> {
        let unknown = |group: &&String| group_named(operator, group).is_none();
        let applies = operator.applies.iter().flat_map(|apply| {
            let groups = apply.groups.iter().filter(unknown);
            groups.map(|group| Self::ApplyToUnknownGroup { order: apply.order.clone(), group: group.clone() })
        });
        let waivers = operator.waivers.iter().flat_map(|waiver| {
            let groups = waiver.scope.clients.iter().filter_map(|party| match party {
                Party::Group(group) => Some(group),
                Party::Network(_) => None,
            });
            let groups = groups.filter(unknown);
            groups.map(|group| Self::WaiverForUnknownGroup { waiver: waiver.id.clone(), group: group.clone() })
        });
        applies.chain(waivers).collect()
    }

    /// Returns what an operator says of orders other than these, waivers left out.
    pub fn of_orders(operator: &Operator, orders: &[&str]) -> Vec<Self> {
        let unknown = |order: &&String| !orders.contains(&order.as_str());
        let treatments = operator.treatments.iter().map(|treatment| &treatment.order).filter(unknown);
        let applies = operator.applies.iter().map(|apply| &apply.order).filter(unknown);
        let treatments = treatments.map(|order| Self::TreatmentOfUnknownOrder { order: order.clone() });
        treatments.chain(applies.map(|order| Self::ApplyOfUnknownOrder { order: order.clone() })).collect()
    }
}
