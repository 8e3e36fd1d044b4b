//! Finds upstreams that lead back to us: each is asked for a name of its own, and none of those may come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::RngExt as _;

use crate::message::{Class, Name, RecordType};
use crate::pipeline::{Pipeline, Probe};
use crate::query::Question;
use crate::resolve::Routes;

/// Below a name that belongs to nobody and that resolvers forward as any other (RFC 6761, section 6.5). Names below `test`
/// would not do: many resolvers answer for those themselves, so that a loop through one of them would stay unseen.
const BELOW: &str = "interdict-probe.example";

/// Returns a probe for each upstream; its name cannot be guessed.
pub(super) fn probes(routes: &Routes) -> Vec<Probe> {
    let probe = |upstream| {
        let name: Name =
            format!("{:032x}.{BELOW}", rand::rng().random::<u128>()).parse().expect("32 hex digits are a label");
        Probe { name, upstream, came_back: AtomicBool::new(false) }
    };
    routes.groups().flat_map(|group| group.servers()).map(|(upstream, _)| probe(upstream)).collect()
}

/// Sends the probes of the present state, and leaves out the upstreams whose probes come back.
pub(super) async fn look(pipeline: Arc<Pipeline>) {
    let state = pipeline.moment().state;
    for probe in &state.probes {
        let question = Question { name: probe.name.clone(), record_type: RecordType::TXT, class: Class::IN };
        // Whatever the upstream says is of no interest; a dead one is told when a client's query fails.
        let _ = pipeline.resolver().ask(probe.upstream, question, &state.asking).await;
        if probe.came_back.load(Ordering::Relaxed) {
            state.routes.groups().for_each(|group| group.leads_back(probe.upstream));
            tracing::error!(
                upstream = %probe.upstream,
                "what is sent to this upstream comes back to us, a loop: it is left out; name another in [upstream] servers"
            );
        }
    }
}
