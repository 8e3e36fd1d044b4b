//! Interdict: a DNS resolver that enforces dated software bans and keeps a record of it that can be replayed.
//!
//! A query goes from `listen` through `pipeline`, which is the file to read first; `ARCHITECTURE.md` is the map.

pub mod admin;
pub mod answer;
pub mod cache;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod datagram;
pub mod devices;
pub mod export;
pub mod feed;
pub mod fetch;
pub mod identify;
pub mod inspect;
pub mod ledger;
pub mod listen;
pub mod lists;
pub mod message;
pub mod notice;
pub mod observe;
pub mod pipeline;
pub mod policy;
mod prefetch;
pub mod query;
pub mod report;
pub mod resolve;
pub mod scan;
pub mod store;
pub mod unpack;
pub mod zones;
