//! The path of a query, top to bottom. Every transport calls [`Pipeline::begin`] and, where that says so,
//! [`Pipeline::complete`]; there is no second copy of any rule.

mod shadow;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

pub use shadow::{OrderDifference, RuleDifference, Shadow, ShadowReport};

use crate::answer::{self, Outcome, Style, Trouble};
use crate::cache::{Cache, Entry, Key};
use crate::client::Client;
use crate::clock::{Clock, Reading};
use crate::inspect;
use crate::ledger::{Attempt, Recorder};
use crate::message::{Malformed, Name, QueryView, RecordType, ResponseCode, ResponseView, Unusable, flag};
use crate::observe::{Dropped, Metrics, Served};
use crate::policy::{Application, Decision, Snapshot, Verdict, When};
use crate::query::{Edns, Peer, Query, Question, Subject, Through, Transport};
use crate::resolve::{Asking, Failure, Resolved, Resolver, Route, Routes};

/// Everything that a reload swaps, whole or not at all.
#[derive(Debug, Clone)]
pub struct State {
    pub snapshot: Arc<Snapshot>,
    /// The candidate that decides beside it, where there is one.
    pub shadow: Option<Arc<Shadow>>,
    pub routes: Arc<Routes>,
    pub asking: Asking,
    pub style: Style,
    pub probes: Arc<[Probe]>,
}

/// The state and the reading of the clock that one batch of queries is decided by.
#[derive(Debug, Clone)]
pub struct Moment {
    pub state: Arc<State>,
    pub now: Reading,
}

/// What is to be done after [`Pipeline::begin`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate on the path of every miss")]
pub enum Step {
    /// Send what was written.
    Answer,
    /// Send nothing.
    Ignore,
    /// Call [`Pipeline::complete`] with this query.
    Resolve(Query),
}

/// A name that nobody but us asks for: asked of an upstream, it shows whether what is sent there comes back.
#[derive(Debug)]
pub struct Probe {
    pub name: Name,
    pub upstream: SocketAddr,
    /// Set when we were asked for the name ourselves.
    pub came_back: AtomicBool,
}

/// The path that all queries take.
pub struct Pipeline {
    state: ArcSwap<State>,
    cache: Cache,
    resolver: Resolver,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Pipeline {
    /// Returns a pipeline that starts with `state`.
    pub fn new(state: State, cache: Cache, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let resolver = Resolver::new(Arc::clone(&metrics));
        Self { state: ArcSwap::from_pointee(state), cache, resolver, clock, metrics }
    }

    /// Takes the state and the time for a batch of queries.
    pub fn moment(&self) -> Moment {
        Moment { state: self.state.load_full(), now: self.clock.read() }
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
        let Moment { state, now } = moment;
        self.metrics.count_query(transport.as_str());

        // 1. What was asked. What is no query, or asks for what is never served, needs no decision.
        let view = match QueryView::read(packet) {
            Ok(view) => view,
            Err(unusable) => return self.refuse(unusable, out),
        };
        let edns_version = view.opt.map_or(0, |opt| opt.version);
        let query = query_of(view, peer, transport);
        if let Some(outcome) = answer::immediate(&query, edns_version) {
            self.write(&query, &outcome, Served::Policy, moment, out);
            return Step::Answer;
        }

        // 2. Who asks, and what policy says of the name; all record types alike.
        let client = Client::identify(peer.remote);
        let own = state.snapshot.decide(&query.question.name, &client, moment.when());
        if own.verdict == Verdict::Sunk {
            moment.compare(&query, &own, &[]);
            self.sink(&query, Judgement::of(own), moment, recorder, out);
            return Step::Answer;
        }

        // 3. What is kept.
        let key = Key::new(&query, state.routes.generation);
        let kept = self.cache.get(&key).and_then(|entry| Some((entry.age(now.boot)?, entry)));
        self.metrics.count_cache(kept.is_some());
        if let Some((age, entry)) = kept {
            self.deliver(&query, own, (&entry, age, Served::Cache), moment, recorder, out);
            return Step::Answer;
        }

        // 4. What is asked of nobody else: ANY, our own probes, and what no local zone has for a stub that wants no
        //    recursion. Everything else goes on to the second part.
        let outcome = match (query.question.record_type, state.routes.route(&query.question)) {
            (RecordType::ANY, _) => Outcome::MinimalAny { left: seconds_left(&own, now) },
            (_, Route::Forward(_)) if !query.recursion_desired => Outcome::NotRecursive,
            (_, _) if state.came_back(&query.question.name) => Outcome::Refused,
            (_, Route::Local | Route::Forward(_)) => return Step::Resolve(query),
        };
        moment.compare(&query, &own, &[]);
        let code = self.write(&query, &outcome, Served::Policy, moment, out);
        self.record(&query, Judgement::of(own), code, moment, recorder);
        Step::Answer
    }

    /// The second part: finds the true answer, inspects it, and decides again with the state and the time of its
    /// arrival.
    pub async fn complete(&self, query: &Query, recorder: &Recorder, out: &mut Vec<u8>) {
        let state = self.state.load_full();
        let resolved = self.resolver.resolve(query, &state.routes, &state.asking).await;
        self.conclude(query, (&resolved, state.routes.generation), &self.moment(), recorder, out);
    }

    /// `generation` is that of the routes by which the answer was found.
    fn conclude(
        &self,
        query: &Query,
        (resolved, generation): (&Resolved, u32),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) {
        let Moment { state, now } = moment;
        let client = Client::identify(query.peer.remote);
        let own = state.snapshot.decide(&query.question.name, &client, moment.when());
        let failed = |trouble: Trouble, lifetime, error| (trouble.kept(lifetime, error), Vec::new(), Served::Failure);
        let (body, subjects, served) = match resolved {
            Resolved::Found { message, body, local } => {
                let served = if *local { Served::Local } else { Served::Upstream };
                match ResponseView::read(message).and_then(|view| inspect::subjects(&view)) {
                    Ok(subjects) => (body.clone(), subjects, served),
                    // What cannot be inspected must not pass.
                    Err(Malformed) => failed(Trouble::Suspicious, state.asking.lifetimes.failure, None),
                }
            }
            Resolved::Failed(of) => {
                failed(trouble(of.failure), state.asking.lifetimes.failure, of.extended_error.as_deref())
            }
        };
        let matched = subjects.iter().any(|subject| state.snapshot.is_listed(&subject.name));
        let epoch = state.snapshot.epoch(moment.when()).0;
        let entry = Arc::new(Entry { body, subjects: subjects.into(), matched, epoch, stored: now.boot });
        if served != Served::Local && entry.body.lifetime > 0 {
            self.cache.insert(&Key::new(query, generation), Arc::clone(&entry));
        }
        self.deliver(query, own, (&entry, 0, served), moment, recorder, out);
    }

    /// Answers with an entry, fresh or kept, unless the question or a name in the answer is sunk. A kept one is decided
    /// again where policy may have changed since, or where any rule matches a name in it.
    fn deliver(
        &self,
        query: &Query,
        own: Decision,
        (entry, age, served): (&Entry, u32, Served),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) {
        let again = entry.matched || entry.epoch != moment.state.snapshot.epoch(moment.when()).0;
        let client = Client::identify(query.peer.remote);
        let by = (moment.state.snapshot.as_ref(), &client, moment.when());
        let judgement = judge(query, own, if again { &entry.subjects } else { &[] }, by);
        moment.compare(query, &judgement.decision, &entry.subjects);
        if judgement.decision.verdict == Verdict::Sunk {
            return self.sink(query, judgement, moment, recorder, out);
        }
        let left = seconds_left(&judgement.decision, &moment.now);
        let code = self.write(query, &Outcome::Found { body: &entry.body, age, left }, served, moment, out);
        self.record(query, judgement, code, moment, recorder);
    }

    /// Withholds the answer.
    fn sink(&self, query: &Query, judgement: Judgement<'_>, moment: &Moment, recorder: &Recorder, out: &mut Vec<u8>) {
        let snapshot = &moment.state.snapshot;
        let name = &query.question.name;
        let matched = judgement.decision.deciding.expect("a sunk name was sunk by a match");
        let client = Client::identify(query.peer.remote);
        // The entry's name owns the SOA only where it lies at or above the question: not behind an alias.
        let (owner, name_exists) = match judgement.subject {
            None => (snapshot.owner(&matched, name), snapshot.has_open_name_below(name, &client, moment.when())),
            // A service target is prohibited for one type of the name; the others are not denied with it.
            Some(subject) => (name.clone(), subject.through == Through::Svcb),
        };
        let citation = &snapshot.order_of(&matched).citation;
        let Application { demand, sink, phase: _ } = *snapshot.application_of(&matched, client.group());
        let left = seconds_left(&judgement.decision, &moment.now);
        let outcome = Outcome::Sunk { owner: &owner, citation, demand, sink, name_exists, left };
        let code = self.write(query, &outcome, Served::Policy, moment, out);
        self.record(query, judgement, code, moment, recorder);
    }

    /// Answers that too many queries are under way; recorded like any other.
    pub fn turn_away(&self, query: &Query, moment: &Moment, recorder: &Recorder, out: &mut Vec<u8>) {
        self.metrics.count_dropped(Dropped::Busy);
        let client = Client::identify(query.peer.remote);
        let own = moment.state.snapshot.decide(&query.question.name, &client, moment.when());
        moment.compare(query, &own, &[]);
        let code = self.write(query, &Outcome::Trouble(Trouble::Busy), Served::Failure, moment, out);
        self.record(query, Judgement::of(own), code, moment, recorder);
    }

    /// Returns whether a query that has to be resolved is answered here, and waits for nobody.
    pub fn is_local(&self, query: &Query, moment: &Moment) -> bool {
        matches!(moment.state.routes.route(&query.question), Route::Local)
    }

    fn refuse(&self, unusable: Unusable, out: &mut Vec<u8>) -> Step {
        self.metrics.count_dropped(match unusable {
            Unusable::Unanswerable => Dropped::Unanswerable,
            Unusable::Opcode { .. } => Dropped::Opcode,
            Unusable::Malformed { .. } => Dropped::Malformed,
        });
        answer::respond_to_unusable(unusable, out).map_or(Step::Ignore, |_| Step::Answer)
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

    /// Hands the record over before the response goes out. Names that no rule matches are counted only.
    fn record(
        &self,
        query: &Query,
        judgement: Judgement<'_>,
        code: ResponseCode,
        moment: &Moment,
        recorder: &Recorder,
    ) {
        self.metrics.count_verdict(judgement.decision.verdict.as_str());
        let Some(matched) = judgement.decision.deciding else { return };
        if matched.threat {
            self.metrics.count_threat();
        }
        recorder.record(Attempt {
            reading: moment.now,
            client: Client::identify(query.peer.remote),
            transport: query.transport,
            name: query.question.name.clone(),
            record_type: query.question.record_type,
            subject: judgement.subject.map(|subject| subject.name.clone()),
            through: judgement.subject.map_or(Through::Question, |subject| subject.through),
            matched,
            rcode: code.0,
            snapshot: Arc::clone(&moment.state.snapshot),
        });
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

/// What was decided on a question and on the names that its answer leads to.
#[derive(Debug, Clone, Copy)]
struct Judgement<'a> {
    decision: Decision,
    /// The name in the answer that decided, where it was not the question.
    subject: Option<&'a Subject>,
}

impl Judgement<'_> {
    const fn of(decision: Decision) -> Self {
        Self { decision, subject: None }
    }
}

/// Decides on the names in an answer, by a policy for a client; the severest verdict counts, and among equal ones the
/// question's.
fn judge<'a>(
    query: &Query,
    own: Decision,
    subjects: &'a [Subject],
    (snapshot, client, when): (&Snapshot, &Client, When),
) -> Judgement<'a> {
    let mut judgement = Judgement::of(own);
    // The last name of the chain that an order protects, exempts or keeps stands before what it leads to.
    let mut before = &query.question.name;
    for subject in subjects {
        let found = snapshot.decide_subject(before, &subject.name, client, when);
        if found.deciding.is_some_and(|matched| matched.is_shield()) {
            before = &subject.name;
        }
        let until = [judgement.decision.until, found.until].into_iter().flatten().min();
        if found.verdict > judgement.decision.verdict {
            judgement = Judgement { decision: found, subject: Some(subject) };
        }
        judgement.decision.until = until;
    }
    judgement
}

/// Returns the whole seconds until another decision may be due.
fn seconds_left(decision: &Decision, now: &Reading) -> Option<u32> {
    let left = decision.until?.duration_since(now.at).as_secs();
    Some(u32::try_from(left.max(0)).unwrap_or(u32::MAX))
}

fn query_of(view: QueryView, peer: Peer, transport: Transport) -> Query {
    // Taken apart field by field, so that a field added to the view has to be dealt with here.
    let QueryView { id, flags, name, spelling, record_type, class, opt } = view;
    Query {
        question: Question { name, record_type, class },
        spelling,
        peer,
        transport,
        id,
        recursion_desired: flags & flag::RECURSION_DESIRED != 0,
        authentic_data: flags & flag::AUTHENTIC_DATA != 0,
        checking_disabled: flags & flag::CHECKING_DISABLED != 0,
        edns: opt.map(|opt| Edns { payload: opt.payload, dnssec_ok: opt.dnssec_ok }),
    }
}

const fn trouble(failure: Failure) -> Trouble {
    match failure {
        Failure::Unreachable => Trouble::Unreachable,
        Failure::TimedOut => Trouble::Silent,
        Failure::Refused => Trouble::Unwilling,
    }
}

impl Moment {
    /// Returns the time that policy decides by.
    const fn when(&self) -> When {
        When { at: self.now.at, ends: self.now.ends }
    }

    /// Lets the candidate decide what was decided as `live`, with the names in the answer where they are known.
    fn compare(&self, query: &Query, live: &Decision, subjects: &[Subject]) {
        if let Some(shadow) = &self.state.shadow {
            shadow.compare(query, &Client::identify(query.peer.remote), live, subjects, self.when());
        }
    }
}

impl State {
    /// Notes that a probe of ours was asked here, if `name` is one: then the upstream that it was sent to leads back.
    fn came_back(&self, name: &Name) -> bool {
        let probe = self.probes.iter().find(|probe| probe.name == *name);
        probe.inspect(|probe| probe.came_back.store(true, Ordering::Relaxed)).is_some()
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("cache", &self.cache).field("resolver", &self.resolver).finish()
    }
}
