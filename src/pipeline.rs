//! The path of a query, top to bottom; there is no second copy of any rule. A worker first calls [`Pipeline::repeat`]: what it has
//! just answered to the same octets by the same state ([`Recent`]), is the answer. Otherwise, and
//! over every other transport, [`Pipeline::begin`] is called. Where that says so, a task goes on with [`Pipeline::complete`], or a worker with [`Pipeline::forward`] and, once there is an answer,
//! [`Pipeline::conclude`], in which `complete` ends too. In strict mode an answer then waits in [`Pipeline::commit`].

mod judgement;
mod kept;
mod listing;
mod recent;
mod record;
mod shadow;
mod state;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use ipnet::IpNet;

pub use recent::{Recent, Repeat};
pub use shadow::{OrderDifference, RuleDifference, Shadow, ShadowReport};
pub use state::{Moment, Probe, State};

use crate::answer::{self, Outcome, Trouble};
use crate::cache::{Cache, Entry, Key, Standing};
use crate::clock::{Clock, Reading};
use crate::ledger::{Recorder, Ticket};
use crate::lists::{Action, Listed};
use crate::message::{Malformed, Name, QueryView, RecordType, ResponseCode, Unusable};
use crate::observe::{Claimed, Dropped, ListMatch, Metrics, Served, Withheld};
use crate::policy::{Application, Decision, Verdict};
use crate::query::{Claim, Peer, Query, Transport};
use crate::resolve::{Forwarder, Resolved, Resolver, Route};

use judgement::{Judgement, decide, inspected, judge, without_sunk};
use kept::Renewals;
pub use listing::Lists;
use listing::{alias, listed, listed_behind, result_of};

/// What is to be done after [`Pipeline::begin`].
#[derive(Debug)]
pub enum Step {
    /// Send what was written.
    Answer,
    /// The same, and it may be given again to the same octets: [`Recent`] remembers it.
    Repeatable(Repeat),
    /// Send nothing.
    Ignore,
    /// Call [`Pipeline::complete`] with this query, or [`Pipeline::forward`] where a forwarder is at hand.
    Forward(Query),
    /// Send what is written once [`Pipeline::commit`] returns.
    Commit(Query, Ticket),
    /// Call [`Pipeline::complete`] with this query.
    Resolve(Query),
}

/// The path that all queries take.
pub struct Pipeline {
    state: ArcSwap<State>,
    cache: Cache,
    resolver: Resolver,
    renewals: Renewals,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Pipeline {
    /// Returns a pipeline that starts with `state`.
    pub fn new(state: State, cache: Cache, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let resolver = Resolver::new(Arc::clone(&clock), Arc::clone(&metrics));
        Self { state: ArcSwap::from_pointee(state), cache, resolver, renewals: Renewals::default(), clock, metrics }
    }

    /// Takes the state and the time for a batch of queries.
    pub fn moment(&self) -> Moment {
        let state = self.state.load_full();
        Moment { clients: state.clients.table(), state, now: self.clock.read() }
    }

    /// The first part: decides, and answers from policy or cache. Allocates nothing where `out` has room.
    pub fn begin(
        &self,
        packet: &[u8],
        (peer, transport): (Peer, Transport),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        let Moment { state, clients: _, now } = moment;
        self.metrics.count_query(transport as usize);

        // 1. What was asked. What is no query, or asks for what is never served, needs no decision.
        let view = match QueryView::read(packet) {
            Ok(view) => view,
            Err(unusable) => return self.refuse(unusable, out),
        };
        let edns_version = view.opt.map_or(0, |opt| opt.version);
        let (id, flags) = (view.id, view.flags);
        let Ok(peer) = self.speaking_for(peer, view.opt.and_then(|opt| opt.subnet)) else {
            return self.refuse(Unusable::Malformed { id, flags }, out);
        };
        let query = Query::of(view, peer, transport);
        if let Some(outcome) = answer::immediate(&query, edns_version) {
            self.write(&query, &outcome, Served::Policy, moment, out);
            return Step::Answer;
        }

        // 2. Who asks, and what policy says of the name; all record types alike.
        let mut own = decide(&query, moment);
        self.metrics.count_identified(own.client.identification().place());
        if let Some(strangers) = state.clients.strangers() {
            strangers.note(own.client.address());
        }
        if own.decision.verdict == Verdict::Sunk {
            moment.compare(&query, &own, None);
            return self.sink(&query, &mut own, moment, recorder, out);
        }

        // 3. What the operator's lists say of it: after the orders, which no list lifts.
        if let Some(listed) = listed(&query, &own, moment) {
            match result_of(&listed, transport) {
                ListMatch::Withheld if alias(&query, &own, moment).is_some() => return Step::Resolve(query),
                ListMatch::Withheld => {
                    return self.answer_as_listed(&query, &mut own, (&listed, &[]), moment, recorder, out);
                }
                passed @ (ListMatch::Passed | ListMatch::Monitored) => state.lists.count(&listed, passed),
            }
        }

        // 4. What is kept.
        let view = state.routes.view(own.client.group());
        let key = Key::new(&query, view.generation);
        let kept = self.cache.get(&key);
        let standing = kept.as_ref().map_or(Standing::Over, |entry| entry.standing(now.boot, state.asking.stale));
        let served = match standing {
            Standing::Fresh { .. } => Some(Served::Cache),
            Standing::Stale { failed: true } => Some(Served::Stale),
            Standing::Stale { failed: false } | Standing::Over => None,
        };
        self.metrics.count_cache(served.is_some());
        if let (Some(entry), Some(served)) = (kept, served) {
            return self.deliver(&query, &mut own, (&entry, standing, served), moment, recorder, out);
        }

        // 5. What is asked of nobody else: ANY, our own probes, and what no local zone has for a stub that wants no
        //    recursion. Everything else goes on to the second part.
        let outcome = match (query.question.record_type, state.routes.route(&query.question, view)) {
            (RecordType::ANY, _) => Outcome::MinimalAny { left: seconds_left(&own.decision, now) },
            (_, Route::Forward(_)) if !query.recursion_desired => Outcome::NotRecursive,
            (_, _) if state.came_back(&query.question.name) => Outcome::Refused,
            // A client waits only so long for what it could be given stale.
            (_, Route::Forward(_)) if matches!(standing, Standing::Stale { .. }) => return Step::Resolve(query),
            (_, Route::Forward(_)) => return Step::Forward(query),
            (_, Route::Local) => return Step::Resolve(query),
        };
        moment.compare(&query, &own, None);
        let code = self.write(&query, &outcome, Served::Policy, moment, out);
        self.record(&query, &mut own, code, moment, recorder, out)
    }

    /// Takes over what an EDNS Client Subnet option says of who asks (RFC 7871), from those who are believed. A prefix of
    /// no bits says nothing.
    fn speaking_for(&self, peer: Peer, subnet: Option<Result<IpNet, Malformed>>) -> Result<Peer, Malformed> {
        let (claim, claimed) = match subnet {
            None => return Ok(peer),
            Some(_) if !peer.tells_subnets => (Claimed::SubnetIgnored, Ok(peer.claimed)),
            Some(Err(Malformed)) => (Claimed::SubnetMalformed, Err(Malformed)),
            Some(Ok(network)) if network.prefix_len() == 0 => (Claimed::SubnetTaken, Ok(peer.claimed)),
            Some(Ok(network)) => (Claimed::SubnetTaken, Ok(Some(Claim::Subnet(network)))),
        };
        self.metrics.count_claim(claim);
        claimed.map(|claimed| Peer { claimed, ..peer })
    }

    /// The second part: finds the true answer, or what is behind the alias of a list, inspects it, and decides again with
    /// the state and the time of its arrival. Where nothing is to be sent, nothing is written.
    pub async fn complete(&self, query: &Query, recorder: &Recorder, out: &mut Vec<u8>) {
        let moment = self.moment();
        let (routes, asking) = ((&*moment.state.routes, moment.view(query)), &moment.state.asking);
        let alias = alias(query, &decide(query, &moment), &moment);
        let resolved = match &alias {
            None => self.resolve_or_wait(query, &moment).await,
            Some((start, target)) => {
                Arc::new(self.resolver.behind(query, (start, target.clone()), routes, asking).await)
            }
        };
        let led = alias.map(|(_, target)| target);
        let step = self.conclude(query, (&resolved, routes.1.generation, led), &self.moment(), recorder, out);
        if let Step::Commit(query, mut ticket) = step {
            self.commit(&query, &mut ticket, recorder, out).await;
        }
    }

    /// Starts the second part for a query of [`Step::Forward`] in the worker's own loop; once there is an answer,
    /// [`Pipeline::conclude`] is the rest of it.
    ///
    /// # Errors
    /// Gives `waiting` back where a task has to do it: [`Pipeline::complete`], in which an answer is validated as well.
    pub fn forward<W>(
        &self,
        query: &Query,
        (forwarder, waiting): (&mut Forwarder<W>, W),
        moment: &Moment,
        now: Instant,
    ) -> Result<(), W> {
        let (view, asking) = (moment.view(query), &moment.state.asking);
        match moment.state.routes.route(&query.question, view) {
            Route::Forward(group) => forwarder.ask(query, (group, view.generation, asking), waiting, now),
            Route::Local => Err(waiting),
        }
    }

    /// Inspects what was found and decides again, with the state and the time of its arrival. `generation` is that of the
    /// view by which it was found, `led` where a list led from the question.
    pub fn conclude(
        &self,
        query: &Query,
        (resolved, generation, led): (&Resolved, u32, Option<Name>),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        let mut own = decide(query, moment);
        if own.decision.verdict != Verdict::Sunk {
            let leads = alias(query, &own, moment).map(|(_, target)| target);
            if leads != led {
                // The lists were swapped meanwhile; whoever asks again is answered by the new ones.
                self.write(query, &Outcome::Trouble(Trouble::Busy), Served::Failure, moment, out);
                return Step::Answer;
            }
            let withheld =
                listed(query, &own, moment).filter(|of| result_of(of, query.transport) == ListMatch::Withheld);
            match (withheld, led) {
                (Some(listed), None) => {
                    return self.answer_as_listed(query, &mut own, (&listed, &[]), moment, recorder, out);
                }
                (Some(listed), Some(_)) => moment.state.lists.count(&listed, ListMatch::Withheld),
                (None, _) => {}
            }
        }
        // In place of a failure, what is stale is given, or what came meanwhile.
        let (entry, served) = inspected(&query.question, resolved, moment);
        let found = (entry, served, resolved.is_bogus());
        let (entry, standing, served) = self.keep(query, generation, found, moment);
        self.deliver(query, &mut own, (&entry, standing, served), moment, recorder, out)
    }

    /// Answers with an entry, fresh or kept, unless the question or what the answer leads to is sunk. A kept one is
    /// decided again where policy may have changed since, or where any rule matches something in it.
    fn deliver(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        (entry, standing, served): (&Entry, Standing, Served),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        let again = entry.matched || entry.epoch != moment.epoch();
        let by = (moment.state.snapshot.as_ref(), moment.when());
        if again {
            judge(query, judgement, &entry.subjects, by);
        }
        moment.compare(query, judgement, Some(&entry.subjects));
        // What stands beside the answer is taken out of it, and all of it is withheld where that cannot be done.
        let body = match judgement.decision.verdict == Verdict::Sunk {
            true if judgement.is_aside() => without_sunk(query, entry, judgement, moment).ok().map(Cow::Owned),
            true => None,
            false => Some(Cow::Borrowed(&entry.body)),
        };
        let Some(body) = body else {
            return self.sink(query, judgement, moment, recorder, out);
        };
        let behind = again.then(|| listed_behind(query, judgement, &entry.subjects, moment)).flatten();
        if let Some((listed, way)) = behind.filter(|(of, _)| result_of(of, query.transport) == ListMatch::Withheld) {
            return self.answer_as_listed(query, judgement, (&listed, &way), moment, recorder, out);
        }
        let left = seconds_left(&judgement.decision, &moment.now);
        let left = match judgement.decision.verdict {
            // A waiver may be revoked, and then no client shall go by it for longer than it would by a sunk answer.
            Verdict::Waived => {
                Some(left.map_or(moment.state.style.sink_ttl, |left| left.min(moment.state.style.sink_ttl)))
            }
            Verdict::Pass
            | Verdict::Noted
            | Verdict::Exempt
            | Verdict::Protected
            | Verdict::Kept
            | Verdict::Monitored
            | Verdict::Sunk => left,
        };
        let age = match standing {
            Standing::Fresh { age, .. } => Some(age),
            Standing::Stale { .. } | Standing::Over => None,
        };
        self.renew_in_time(query, entry, standing, moment);
        let outcome = match entry.private && moment.state.withholds_private(&query.question) {
            true => Outcome::Private { left },
            false => Outcome::Found { body: &body, age, left },
        };
        self.count_withheld(entry, &outcome);
        let code = self.write(query, &outcome, served, moment, out);
        // What is decided again is so for whoever asks.
        let repeats = !again && served == Served::Cache && judgement.decision.deciding.is_none();
        let repeat = entry.repeats(standing).filter(|_| repeats).map(|until| Repeat::Kept { until });
        self.record_or_repeat(query, judgement, (code, repeat), moment, recorder, out)
    }

    /// Answers as a list says that withholds the question, or what its answer leads to.
    fn answer_as_listed(
        &self,
        query: &Query,
        own: &mut Judgement,
        (listed, behind): (&Listed<'_>, &[Name]),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        moment.state.lists.count(listed, ListMatch::Withheld);
        let outcome = match listed.action {
            Action::Drop => {
                // What an order has to say of it is recorded all the same.
                self.record(query, own, ResponseCode::NO_ERROR, moment, recorder, out);
                out.clear();
                return Step::Ignore;
            }
            Action::TcpOnly => Outcome::Truncated,
            action => {
                let left = seconds_left(&own.decision, &moment.now);
                Outcome::Listed { list: listed.list, action, behind, left }
            }
        };
        let repeats =
            own.decision.deciding.is_none() && matches!(outcome, Outcome::Listed { behind: [], left: None, .. });
        let code = self.write(query, &outcome, Served::Policy, moment, out);
        let repeat = repeats.then_some(Repeat::Listed { place: listed.place });
        self.record_or_repeat(query, own, (code, repeat), moment, recorder, out)
    }

    /// Withholds the answer.
    fn sink(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        if recorder.refuses_sinks() {
            return self.sink_unrecorded(query, judgement, moment, recorder, out);
        }
        let snapshot = &moment.state.snapshot;
        let name = &query.question.name;
        let matched = judgement.decision.deciding.expect("a sunk name was sunk by a match");
        let client = judgement.client;
        // The entry's name owns the SOA only where it lies at or above the question: not behind an alias.
        let (owner, name_exists) = match &judgement.subject {
            None => {
                let below = snapshot.below(name, &client, moment.when());
                // What opens below must not stay denied by an answer about this name.
                judgement.decision.until = [judgement.decision.until, below.until].into_iter().flatten().min();
                (snapshot.owner(&matched, name), below.is_open || answer::exists_by_definition(name))
            }
            // What is no alias is prohibited for one type of the name; the others are not denied with it.
            Some(subject) => (name.clone(), !subject.through.is_alias()),
        };
        let citation = &snapshot.order_of(&matched).citation;
        let Application { demand, sink, phase: _ } = *snapshot.application_of(&matched, client.group());
        let left = seconds_left(&judgement.decision, &moment.now);
        let outcome = Outcome::Sunk { owner: &owner, citation, demand, sink, name_exists, left };
        let code = self.write(query, &outcome, Served::Policy, moment, out);
        let repeats = judgement.subject.is_none() && left.is_none() && recorder.takes_repeats();
        let repeat = repeats.then_some(Repeat::Sunk { matched, code });
        self.record_or_repeat(query, judgement, (code, repeat), moment, recorder, out)
    }

    /// Answers that too many queries are under way; recorded like any other.
    pub fn turn_away(&self, query: &Query, moment: &Moment, recorder: &Recorder, out: &mut Vec<u8>) {
        self.metrics.count_dropped(Dropped::Busy);
        let mut own = decide(query, moment);
        moment.compare(query, &own, None);
        let code = self.write(query, &Outcome::Trouble(Trouble::Busy), Served::Failure, moment, out);
        self.record(query, &mut own, code, moment, recorder, out);
    }

    /// Answers a query over UDP that it is to be asked over TCP, without looking at what it asks for; returns whether it
    /// is one.
    pub fn truncate(&self, packet: &[u8], peer: Peer, moment: &Moment, out: &mut Vec<u8>) -> bool {
        let Ok(view) = QueryView::read(packet) else { return false };
        let query = Query::of(view, peer, Transport::Udp);
        self.write(&query, &Outcome::Truncated, Served::Policy, moment, out);
        true
    }

    /// Returns whether a query that has to be resolved is answered here, and waits for nobody.
    pub fn is_local(&self, query: &Query, moment: &Moment) -> bool {
        moment.state.routes.is_local(&query.question)
    }

    fn refuse(&self, unusable: Unusable, out: &mut Vec<u8>) -> Step {
        self.metrics.count_dropped(match unusable {
            Unusable::Unanswerable => Dropped::Unanswerable,
            Unusable::Opcode { .. } => Dropped::Opcode,
            Unusable::Malformed { .. } => Dropped::Malformed,
        });
        answer::respond_to_unusable(unusable, out).map_or(Step::Ignore, |_| Step::Answer)
    }

    fn count_withheld(&self, entry: &Entry, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Private { .. } => self.metrics.count_withheld(Withheld::PrivateAddress),
            _ if entry.ech_removed => self.metrics.count_withheld(Withheld::Ech),
            _ => {}
        }
    }

    fn write(
        &self,
        query: &Query,
        outcome: &Outcome<'_>,
        served: Served,
        moment: &Moment,
        out: &mut Vec<u8>,
    ) -> ResponseCode {
        let code = answer::respond(query, outcome, &moment.state.style, out);
        self.metrics.count_response(served, code.0);
        code
    }

    /// Swaps the state whole. Kept answers are decided again, since they are of another epoch.
    pub fn install(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// Returns what is kept.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns who finds true answers.
    pub const fn resolver(&self) -> &Resolver {
        &self.resolver
    }
}

/// Returns the whole seconds until another decision may be due.
fn seconds_left(decision: &Decision, now: &Reading) -> Option<u32> {
    let left = decision.until?.duration_since(now.at).as_secs();
    Some(u32::try_from(left.max(0)).unwrap_or(u32::MAX))
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("cache", &self.cache).field("resolver", &self.resolver).finish()
    }
}
