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

#[test]
fn a_bucket_has_a_plain_name_and_an_endpoint() {
    let endpoint = "publish_endpoint = \"https://s3.example\"\n";
    let of = super::load(&format!("[ledger]\npublish = \"s3://evidence/a/b/\"\n{endpoint}"), &[]).unwrap().ledger;
    let Some(crate::config::PublishConfig::Bucket(of)) = of.publish else { panic!("{of:?}") };
    assert_eq!((of.bucket.as_str(), of.prefix.as_str(), of.region.as_str()), ("evidence", "a/b", "us-east-1"));
    for wrong in
        ["s3://", "s3://Evidence", "s3://evidence/../x", "s3://evidence/a b", "s3://evidence/a//b", "ftp://x/y"]
    {
        let fault = ("file:2: `ledger.publish`", "s3://bucket/prefix");
        assert_faults(&format!("[ledger]\npublish = \"{wrong}\"\n{endpoint}"), &[], &[fault]);
    }
    assert_faults("[ledger]\npublish = \"s3://evidence\"\n", &[], &[("file:2: ", "publish_endpoint")]);
}
