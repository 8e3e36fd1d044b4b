//! What an operator sees: the real program, between real clients and a real authoritative server.
//!
//! One binary, so that it is linked once. The first modules are the harness (places, peers, daemon, clients), the
//! others the tests, one file for each habit of the program. Nothing here talks to anything but loopback and network
//! namespaces of its own.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by a panic and tells by printing")]
#![allow(unreachable_pub, reason = "nothing outside can reach a test binary")]

#[macro_use]
mod place;

mod clients;
mod daemon;
#[expect(dead_code, reason = "how late answers are is for the measuring")]
#[path = "../../benches/reload/load.rs"]
mod load;
mod scripted;
mod signed;
mod unbound;
mod upstream;
mod web;
mod wire;

mod acts;
mod ban;
mod cache;
mod chart;
mod check;
mod clock;
mod clock_acts;
mod crash;
mod deploy;
mod devices;
mod differential;
mod disk;
mod dnssec;
mod encrypted;
mod evasions;
mod evidence;
mod exports;
mod faults;
mod fetched_policy;
mod fetcher;
mod fetches;
mod firewall;
mod flood;
mod forged;
mod habits;
mod identify;
mod keeping;
mod limits;
mod list_reload;
mod lists;
mod local;
mod monitoring;
mod mutated;
mod namespace;
mod notices;
mod packages;
mod pages;
mod power;
mod proxies;
mod readme;
mod reload;
mod replays;
mod reports;
mod resolves;
mod reviewed;
mod rpz;
mod sandbox;
mod scan;
mod scenario;
mod service;
mod shadow;
mod streams;
mod sums;
mod upstream_choice;
mod upstream_faults;
mod waivers;
mod ways_round;
mod witness;
