//! Replays what fuzzing started from, or what it found, so that it stays mended.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has to fail")]

use std::path::Path;

use interdict::lists::index::{Index, Key};
use interdict::lists::{Format, List, compile, detect, judge_text, parse};
use interdict::message::Name;
use interdict::unpack::Packing;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = entries.map(|entry| {
        let path = entry.unwrap().path();
        (path.display().to_string(), std::fs::read(&path).unwrap())
    });
    let inputs: Vec<_> = read.collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

#[test]
fn no_text_of_a_list_stops_its_parser() {
    for (path, octets) in corpus("list_text") {
        let (first, rest) = octets.split_first().unwrap();
        let text = String::from_utf8_lossy(rest);
        let _ = (judge_text(&text), detect(&text));
        let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
        let mut gathered = parse(format, &text);
        let key = || Key([0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xA24B_AED4_963E_E407]);
        let compiled = compile(&mut gathered, ([0; 32], format), key).unwrap();
        assert!(List::new(Index::from_octets(compiled).unwrap()).is_ok(), "{path}");
    }
}

#[test]
fn no_octets_stop_whoever_opens_a_compiled_list() {
    for (_, octets) in corpus("list_index") {
        if let Ok(index) = Index::from_octets(octets) {
            let _ = index.find(&Name::root(), Some);
            index.rules().count();
            let _ = List::new(index);
        }
    }
}

#[test]
fn no_octets_stop_whoever_unpacks_them() {
    for (path, octets) in corpus("unpack") {
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert!(packing.unpack(&octets, 1 << 16).map_or(0, |text| text.len()) <= 1 << 16, "{path}");
        }
    }
}
