//! What look-ups say of a device: what it may be, whether it is still seen, and what to do next.
//!
//! Pure: facts of one device go in, and a role with its reasons, a state and a next step come out. Which facts speak for which
//! role is a table (`blocklists/roles.toml`), each rule with its confidence, its source and its error; nothing here knows a
//! vendor, a clock or an index. A role is a guess from requests: it never says what is installed.

mod days;
mod facts;
mod kind;
mod measure;
mod role;
mod rules;
mod standing;

pub use days::{Days, Rhythm};
pub use facts::Facts;
pub use kind::Kind;
pub use role::{Confidence, Role};
pub use rules::{Finding, Rule, Rules};
pub use standing::{Confirmation, Seen, Standing, State, Step};

#[cfg(test)]
mod traces;
