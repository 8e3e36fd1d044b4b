//! Which names are prohibited, when and by what: a pure decision over catalogues and orders.
//!
//! A *catalogue* says which names belong to which service of a vendor; it knows no date. An *order* says what a
//! legal act prohibits, protects or leaves, service by service; it knows no name. A *snapshot* is both, compiled.
//! Nothing here reads a clock, a file or a socket: the same arguments always give the same decision.

mod application;
mod behind;
mod below;
mod catalogue;
mod changes;
mod compare;
mod contradiction;
mod decision;
mod index;
mod lift;
mod nearest;
mod networks;
mod order;
mod pattern;
mod snapshot;
mod treatment;
mod waiver;

pub use application::{Application, Apply, Mode, Phase, Sink};
pub use below::Below;
pub use catalogue::{Catalogue, Confidence, Entry, Service};
pub use changes::changes;
pub use compare::{Difference, Effect, Ruling, differences, effect};
pub use contradiction::CompileError;
pub use decision::{Decision, Epoch, Match, Nearest, Verdict, When};
pub use networks::NetworkError;
pub use order::{
    Demand, Exempt, Exemption, Fact, Kept, Noted, Operator, OperatorTreatment, Order, Prohibition, Protected, Removal,
    Source, Then, TreatmentChoice, Validity, ValidityError, Verification,
};
pub use pattern::{Glob, Matching, Pattern, PatternError, Specificity};
pub use snapshot::{Inputs, Snapshot};
pub use waiver::{Party, Rules, Scope, Term, Waiver};
