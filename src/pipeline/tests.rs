//! What holds between the path and its neighbours.

use crate::client::{Identification, Source};
use crate::observe::{IDENTIFICATIONS, TRANSPORTS, VERDICTS};
use crate::policy::Verdict;
use crate::query::Transport;

/// Counters go by place, since looking for a word would take longer than counting it.
#[test]
fn each_counter_has_the_word_of_what_is_counted() {
    assert_eq!([Transport::Udp, Transport::Tcp].map(|of| TRANSPORTS[of as usize]), ["udp", "tcp"]);
    for verdict in Verdict::ALL {
        assert_eq!(VERDICTS[verdict as usize], verdict.as_str());
    }
    let of_sources = Source::ALL.into_iter().flat_map(|of| [Identification::Device(of), Identification::Name(of)]);
    let all = of_sources.chain([Identification::Nothing, Identification::Network]);
    let places: Vec<_> = all.map(|of| (of.place(), of.as_str())).collect();
    for (place, word) in &places {
        assert_eq!(IDENTIFICATIONS.get(*place).unwrap_or(word), word);
    }
    assert!((0..IDENTIFICATIONS.len()).all(|of| places.iter().filter(|(place, _)| *place == of).count() == 1));
}
