//! What keeps catalogues, orders and the operator's choices from being one policy.

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
    #[error("{what} is set for group `{group}`, which there is not")]
    UnknownGroup { what: String, group: String },
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
