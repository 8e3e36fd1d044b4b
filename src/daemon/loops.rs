//! Looks after upstreams: finds those that lead back to us, and asks those that fell silent until they answer again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;

use crate::message::{Class, Name, RecordType};
use crate::pipeline::{Pipeline, Probe};
use crate::query::Question;
use crate::resolve::{Condition, Failed, Failure, Routes};

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

/// How often an upstream that fell silent is asked.
const PERIOD: Duration = Duration::from_secs(5);

/// Asks silent upstreams for the name servers of the root, for as long as the runtime runs: without clients' queries
/// nobody would find out that they are back.
pub(super) async fn revive(pipeline: Arc<Pipeline>) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        let state = pipeline.moment().state;
        for group in state.routes.groups() {
            for (upstream, _) in group.servers().filter(|(_, condition)| *condition == Condition::Silent) {
                let question = Question { name: Name::root(), record_type: RecordType::NS, class: Class::IN };
                let answer = pipeline.resolver().ask(upstream, question, &state.asking).await;
                // A refusal is an answer too: the server is there.
                if matches!(answer, Ok(_) | Err(Failed { failure: Failure::Refused, .. })) {
                    group.succeeded(upstream);
                }
            }
        }
    }
}

/// Sends the probes of the present state, and leaves out the upstreams whose probes come back.
pub(super) async fn look(pipeline: Arc<Pipeline>) {
    let state = pipeline.moment().state;
    for probe in state.probes.iter() {
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
