//! No text of a list stops a parser, and whatever was read can be compiled and asked. The first octet tells the format.

#![no_main]

use interdict::lists::{Format, detect, judge_text, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Some((first, rest)) = octets.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let _ = (judge_text(&text), detect(&text));
    parse(Format::ALL[usize::from(*first) % Format::ALL.len()], &text);
});
