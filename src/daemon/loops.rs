//! What is asked of upstreams for our own sake: which of them lead back to us, whether silent ones answer again, and the
//! names of clients.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use tokio::task::JoinSet;

use crate::clock;
use crate::identify::Identifier;
use crate::message::{Capitals, Class, Name, Record, RecordType, ResponseView, Section};
use crate::pipeline::{Pipeline, Probe};
use crate::query::{Peer, Query, Question, Transport};
use crate::resolve::{Asking, Condition, Failed, Failure, Resolved, Routes, Server};

/// Below a name that belongs to nobody and that resolvers forward as any other (RFC 6761, section 6.5). Names below `test`
/// would not do: many resolvers answer for those themselves, so that a loop through one of them would stay unseen.
const BELOW: &str = "interdict-probe.example";

/// Returns a probe for each upstream; its name cannot be guessed.
pub(super) fn probes(routes: &Routes) -> Vec<Probe> {
    let probe = |upstream: &Arc<Server>| {
        let name: Name =
            format!("{:032x}.{BELOW}", rand::rng().random::<u128>()).parse().expect("32 hex digits are a label");
        Probe { name, upstream: Arc::clone(upstream), came_back: AtomicBool::new(false) }
    };
    routes.servers().iter().map(probe).collect()
}

/// How often an upstream that fell silent is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// After how long without any news of it an upstream is asked that nobody else asks.
const UNKNOWN: Duration = Duration::from_secs(30);

/// Asks upstreams for the name servers of the root, for as long as the runtime runs: those that fell silent, since without
/// clients' queries nobody would find out that they are back, and those that nobody asks, to find out that they are not there.
pub(super) async fn check_upstreams(pipeline: Arc<Pipeline>) {
    let mut period = tokio::time::interval(PERIOD);
    loop {
        period.tick().await;
        let (state, now) = (pipeline.moment().state, clock::monotonic());
        let due = |server: &Arc<Server>| match server.condition() {
            Condition::Silent => true,
            Condition::Well => server.unknown_for(now) >= UNKNOWN,
            Condition::Loops => false,
        };
        let mut asked = JoinSet::new();
        for server in state.routes.servers().into_iter().filter(due) {
            let (pipeline, asking) = (Arc::clone(&pipeline), state.asking);
            asked.spawn(async move {
                let question = Question { name: Name::root(), record_type: RecordType::NS, class: Class::IN };
                check(&pipeline, &server, &question, &asking).await;
            });
        }
        while asked.join_next().await.is_some() {}
    }
}

/// Asks a server up to twice, since a datagram may be lost, and notes whether it answers.
async fn check(pipeline: &Pipeline, server: &Server, question: &Question, asking: &Asking) {
    let begun = clock::monotonic();
    // One that is silent is asked again soon enough.
    let tries = if server.condition() == Condition::Silent { 1 } else { 2 };
    for _ in 0..tries {
        // A refusal is an answer too: the server is there.
        let answer = pipeline.resolver().ask(server, question.clone(), asking).await;
        if matches!(answer, Ok(_) | Err(Failed { failure: Failure::Refused, .. })) {
            return server.checked(true, begun, clock::monotonic());
        }
        // A client's query has told meanwhile.
        let now = clock::monotonic();
        if server.unknown_for(now) < now.saturating_duration_since(begun) {
            return;
        }
    }
    server.checked(false, begun, clock::monotonic());
}

/// Sends the probes of the present state, leaves out the upstreams whose probes come back, and notes which of them answer.
pub(super) async fn look(pipeline: Arc<Pipeline>) {
    let state = pipeline.moment().state;
    let mut asked = JoinSet::new();
    for place in 0..state.probes.len() {
        let (pipeline, state) = (Arc::clone(&pipeline), Arc::clone(&state));
        asked.spawn(async move {
            let probe = &state.probes[place];
            let question = Question { name: probe.name.clone(), record_type: RecordType::TXT, class: Class::IN };
            // Whatever the upstream says of the name is of no interest.
            check(&pipeline, &probe.upstream, &question, &state.asking).await;
        });
    }
    while asked.join_next().await.is_some() {}
    for probe in state.probes.iter() {
        if probe.came_back.load(Ordering::Relaxed) {
            probe.upstream.leads_back();
            tracing::error!(
                upstream = %probe.upstream.endpoint(),
                "what is sent to this upstream comes back to us, a loop: it is left out; name another in [upstream] servers"
            );
        }
    }
}

/// How long there is between two PTR records that are asked for, at least.
const PACE: Duration = Duration::from_millis(100);

/// Asks for the PTR records of clients whose names may matter, one at a time, for as long as the runtime runs. They are
/// asked for as a client's question would be, of local zones or of upstreams.
pub(super) async fn name_clients(pipeline: Arc<Pipeline>, identifier: Arc<Identifier>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(address) = identifier.next_stranger() else { continue };
        let query = pointer_query(address);
        let state = pipeline.moment().state;
        let resolved = pipeline.resolver().resolve(&query, (&state.routes, &state.routes.default), &state.asking).await;
        match &*resolved {
            Resolved::Found { message, .. } => identifier.named(address, pointer(message)),
            Resolved::Failed(_) => identifier.unnamed(address),
        }
    }
}

/// Returns the question for the name of an address.
fn pointer_query(address: IpAddr) -> Query {
    let name = reverse_name(address);
    Query {
        capitals: Capitals::default(),
        question: Question { name, record_type: RecordType::PTR, class: Class::IN },
        // Nobody is answered; the question is ours.
        peer: Peer::direct(SocketAddr::new(address, 0), None),
        transport: Transport::Tcp,
        id: 0,
        recursion_desired: true,
        authentic_data: false,
        checking_disabled: false,
        edns: None,
    }
}

/// Returns the name below which an address has its PTR record (RFC 1035, section 3.5; RFC 3596, section 2.5).
fn reverse_name(address: IpAddr) -> Name {
    let text = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            let nibbles = octets.iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 0x0F, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa"
        }
    };
    text.parse().expect("short labels of digits are a name")
}

/// Returns the first name that an answer tells, with its TTL.
fn pointer(message: &[u8]) -> Option<(Name, Duration)> {
    let view = ResponseView::read(message).ok()?;
    let is_pointer = |record: &Record| record.section == Section::Answer && record.record_type == RecordType::PTR;
    let record = view.records().filter_map(Result::ok).find(is_pointer)?;
    let (name, end) = Name::read(message, record.data).ok()?;
    (end == record.end).then_some((name, Duration::from_secs(record.ttl.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_names_below_arpa() {
        for (address, name) in [
            ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
            ("2001:db8::1a", "a.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(reverse_name(address.parse().unwrap()).to_string(), name);
        }
    }
}
