//! How records are kept, and what contradicts itself in it.

use std::time::Duration;

use super::{LedgerConfig, assert_faults};
use crate::ledger::{Durability, Fail};

pub(super) fn defaults() -> LedgerConfig {
    LedgerConfig {
        keep_days: 0,
        publish: None,
        witnesses: Vec::new(),
        networks_only: false,
        commit: Duration::from_millis(200),
        durability: Durability::Normal,
        fail: Fail::Answer,
        segment_size: 16 << 20,
        max_size: 4096 << 20,
        store_noted: false,
        leaves_per_minute: 20_000,
        origin: None,
        checkpoint: Duration::from_secs(60),
    }
}

#[test]
fn what_becomes_of_answers_and_their_records_is_chosen_by_words() {
    let of = super::load("[ledger]\ndurability = \"strict\"\nfail = \"servfail\"\n", &[]).unwrap().ledger;
    assert_eq!((of.durability, of.fail), (Durability::Strict, Fail::Servfail));
    let fault = ("file:2: `ledger.durability`", "\"normal\"");
    assert_faults("[ledger]\ndurability = \"fast\"\n", &[], &[fault]);
}

#[test]
fn a_name_that_no_log_can_have_and_a_size_too_small_are_told() {
    for name in ["a+b", "a b", "a\u{a0}b", "a/"] {
        let fault = ("file:2: `ledger.origin`", "example.com/resolver-1");
        assert_faults(&format!("[ledger]\norigin = \"{name}\"\n"), &[], &[fault]);
    }
    assert_faults("[ledger]\nsegment_mib = 1024\nmax_mib = 2000\n", &[], &[("file:3: ", "2048")]);
}

#[test]
fn a_witness_has_a_key_for_cosignatures_and_is_named_once() {
    let row = |key: &str| format!("[[ledger.witness]]\nurl = \"https://witness.example/\"\nkey = \"{key}\"\n");
    let good = "witness.example/w1+833a2b59+BEQpkwZQBKoeTEj03QFYGUwCNJvMZkzZbkAOommRio1R";
    assert_faults(&(row(good) + &row(good)), &[], &[("file:4: ", "once")]);
    let fault = ("file:1: ", "tlog-cosignature");
    assert_faults(&row(&good.replace("w1", "w2")), &[], &[fault]);
    assert_faults(&row("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &[], &[fault]);
}
