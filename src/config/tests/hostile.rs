//! Texts that are no configuration.

use proptest::prelude::*;

use super::*;

/// Pieces from which files come that are nearly right.
fn nearly_toml() -> impl Strategy<Value = String> {
    let pieces: Vec<_> = SHIPPED
        .lines()
        .map(|line| line.trim_start_matches("# ").to_owned())
        .chain(
            ["= [", "\"\"\"", "[[policy.treatment]]", "{ a.b = 1 }", "\u{0}", "9e999", "2026-01-01", "é"]
                .map(str::to_owned),
        )
        .collect();
    proptest::collection::vec((proptest::sample::select(pieces), ".{0,6}"), 0..12)
        .prop_map(|pieces| pieces.into_iter().map(|(piece, noise)| format!("{piece}{noise}\n")).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_loading_panic(text in prop_oneof![".*", nearly_toml()], value in ".*", at in 0_usize..100) {
        let keys: Vec<_> =
            Spec::SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key))).collect();
        let (section, key) = keys[at % keys.len()];
        let variable = format!("INTERDICT_{}__{}", section.name, key.name).to_uppercase();
        if let Err(faults) = load(&text, &[(&variable, &value), (&format!("INTERDICT_{value}"), &text)]) {
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.iter().all(|fault| !fault.contains(char::is_control)));
        }
    }
}
