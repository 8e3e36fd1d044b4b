//! Interdict: a DNS resolver that enforces dated software bans and proves that it did.
//!
//! A query goes from `listen` through `pipeline`, which is the file to read first; `ARCHITECTURE.md` is the map.

pub mod client;
pub mod clock;
pub mod feed;
pub mod message;
pub mod policy;
pub mod query;
