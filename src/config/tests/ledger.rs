//! How records are kept, and what contradicts itself in it.

use super::assert_faults;

#[test]
fn a_name_that_no_log_can_have_and_a_size_too_small_are_told() {
    for name in ["a+b", "a b", "a\u{a0}b", "a/"] {
        let fault = ("file:2: `ledger.origin`", "example.com/resolver-1");
        assert_faults(&format!("[ledger]\norigin = \"{name}\"\n"), &[], &[fault]);
    }
    assert_faults("[ledger]\nsegment_mib = 1024\nmax_mib = 2000\n", &[], &[("file:3: ", "2048")]);
}
