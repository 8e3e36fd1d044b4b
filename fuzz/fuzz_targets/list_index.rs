//! No octets that claim to be a compiled list stop whoever opens or asks it.

#![no_main]

use interdict::lists::List;
use interdict::lists::index::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(index) = Index::from_octets(octets.to_vec()) {
        let _ = index.find(&interdict::message::Name::root(), Some);
        index.rules().count();
        let _ = List::new(index);
    }
});
