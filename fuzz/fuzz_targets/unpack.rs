//! No octets that claim to be compressed stop whoever unpacks them, or come to more than was asked for.

#![no_main]

use interdict::unpack::Packing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    for packing in [Packing::Gzip, Packing::Zstd] {
        assert!(packing.unpack(octets, 1 << 16).map_or(0, |text| text.len()) <= 1 << 16);
    }
});
