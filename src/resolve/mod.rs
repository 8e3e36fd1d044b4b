//! The true answer to a question: from a local zone, or from an upstream by a forwarder of our own.
//!
//! Knows no policy. Upstream answers pass through in wire form, so that every section and every type stays whole.

mod bootstrap;
mod channel;
mod drive;
mod exchange;
mod flatten;
mod forwarder;
mod under_way;
mod upstream;
mod validation;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use channel::{Expiry, Trust};
pub use exchange::{Action, Exchange, Failed, Failure, Verdict};
pub use flatten::{Lifetimes, flatten};
pub use forwarder::{Answered, Done, Forwarder, Streamed};
pub use upstream::{
    Condition, Endpoint, Group, MAX_SERVERS, Picks, Protocol, Secure, Server, Servers, Strategy, Tried, servers_of,
};
pub use validation::{Anchors, Validation, trust_anchors};

use crate::cache::Key;
use crate::client::GroupId;
use crate::clock::{self, Clock};
use crate::message::{Body, Malformed, Name, ResponseView, continued, flag};
use crate::observe::Metrics;
use crate::query::{Query, Question};
use crate::zones::Zones;
use under_way::{Claim, UnderWay};

/// Who answers for which names. Swapped whole when the configuration changes.
#[derive(Debug)]
pub struct Routes {
    pub zones: Zones,
    /// Conditional forwarding: the longest zone at or above a name wins, over local zones too, and for all clients.
    pub forward: Vec<(Name, Group)>,
    /// Who answers everything else.
    pub default: View,
    /// The same for groups of clients that have upstreams of their own.
    pub views: Vec<(GroupId, View)>,
}

/// The upstreams of some clients.
#[derive(Debug)]
pub struct View {
    /// The name of the group of clients.
    pub title: String,
    pub group: Group,
    /// Another number where others answer for something, or answered before, so that nothing is kept or asked for both.
    pub generation: u32,
}

/// Who answers for one name.
#[derive(Debug, Clone, Copy)]
pub enum Route<'a> {
    Local,
    Forward(&'a Group),
}

impl Routes {
    /// Returns the upstreams of a group of clients.
    pub fn view(&self, group: GroupId) -> &View {
        let own = self.views.iter().find(|(of, _)| *of == group);
        own.map_or(&self.default, |(_, view)| view)
    }

    /// Returns all upstreams that clients have.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        std::iter::once(&self.default).chain(self.views.iter().map(|(_, view)| view))
    }

    /// Returns whether `question` is answered here.
    pub fn is_local(&self, question: &Question) -> bool {
        matches!(self.route(question, &self.default), Route::Local)
    }

    /// Returns who answers `question` of somebody with these upstreams.
    pub fn route<'a>(&'a self, question: &Question, view: &'a View) -> Route<'a> {
        let name = &question.name;
        let local = self.zones.origin_for(question).map(Name::label_count);
        let zones = self.forward.iter().filter(|(zone, _)| name.is_at_or_below(zone));
        let forward = zones.map(|(zone, group)| (zone.label_count(), group)).max_by_key(|(labels, _)| *labels);
        match (local, forward) {
            (Some(local), Some((labels, group))) if labels >= local => Route::Forward(group),
            (Some(_), _) => Route::Local,
            (None, Some((_, group))) => Route::Forward(group),
            (None, None) => Route::Forward(&view.group),
        }
    }

    /// Returns every group of upstreams.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        let views = std::iter::once(&self.default).chain(self.views.iter().map(|(_, view)| view));
        views.map(|view| &view.group).chain(self.forward.iter().map(|(_, group)| group))
    }

    /// Returns every upstream once, in however many groups it is.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        let mut servers: Vec<Arc<Server>> = Vec::new();
        for server in self.groups().flat_map(Group::servers) {
            if !servers.iter().any(|of| Arc::ptr_eq(of, server)) {
                servers.push(Arc::clone(server));
            }
        }
        servers
    }
}

/// What was had for a question.
#[derive(Debug)]
pub enum Resolved {
    /// The whole message, and the same taken apart.
    Found {
        message: Vec<u8>,
        body: Body,
        local: bool,
    },
    Failed(Failed),
}

/// How upstreams are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asking {
    /// How long one try may take at most.
    pub timeout: Duration,
    /// How many times that all tries of a question may take together.
    pub tries: usize,
    pub lifetimes: Lifetimes,
    /// How long an answer may be given after its lifetime where no upstream answers (RFC 8767).
    pub stale: Duration,
    /// Whether an answer that is asked for again is asked for anew before its lifetime is over.
    pub prefetch: bool,
}

/// Finds true answers. Identical questions on their way are asked once, among clones too.
#[derive(Clone)]
pub struct Resolver {
    under_way: Arc<UnderWay>,
    metrics: Arc<Metrics>,
    /// By which signatures are valid.
    clock: Arc<dyn Clock>,
}

impl Resolver {
    /// Returns a resolver that counts into `metrics`.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self { under_way: Arc::default(), metrics, clock }
    }

    /// Finds the true answer to the question of `query`, with its DO and CD bits.
    pub async fn resolve(&self, query: &Query, (routes, view): (&Routes, &View), asking: &Asking) -> Arc<Resolved> {
        let group = match routes.route(&query.question, view) {
            Route::Local => return Arc::new(self.local(query, (routes, view), asking).await),
            Route::Forward(group) => group,
        };
        self.joined(query, (group, view.generation), asking).await
    }

    /// Asks upstreams, or waits for the answer to the same question of somebody else.
    async fn joined(&self, query: &Query, (group, generation): (&Group, u32), asking: &Asking) -> Arc<Resolved> {
        let key = Key::new(query, generation);
        loop {
            match self.under_way.claim(&key) {
                Claim::Leads(lead) => {
                    let resolved = Arc::new(match group.validation(query) {
                        Some(validation) => validation.resolve(self, query, (group, generation), asking).await,
                        None => self.forward(query, group, asking).await,
                    });
                    lead.tell(&resolved);
                    return resolved;
                }
                // Should whoever asks be dropped, the next in line asks instead.
                Claim::Waits(receiver) => match receiver.await {
                    Ok(resolved) => return resolved,
                    Err(_) => continue,
                },
            }
        }
    }

    async fn local(&self, query: &Query, (routes, view): (&Routes, &View), asking: &Asking) -> Resolved {
        let is_ours = |question: &Question| routes.is_local(question);
        let message = match routes.zones.answer(&query.question, is_ours).await {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(name = %query.question.name, %error, "a local zone could not answer");
                return Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None });
            }
        };
        let Some(further) = routes.zones.leads_out(&query.question, &message, is_ours) else {
            return taken_apart(message, true, asking.lifetimes);
        };
        // An alias of ours leads to a name of others: they say the rest, which is kept like anything that they say.
        let Route::Forward(group) = routes.route(&further, view) else {
            return taken_apart(message, true, asking.lifetimes);
        };
        let rest = self.joined(&Query { question: further, ..query.clone() }, (group, view.generation), asking).await;
        match &*rest {
            Resolved::Found { message: rest, .. } => match continued(&message, rest) {
                Ok(message) => taken_apart(message, false, asking.lifetimes),
                Err(Malformed) => Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None }),
            },
            Resolved::Failed(failed) => Resolved::Failed(failed.clone()),
        }
    }

    /// Finds what stands behind an alias that somebody else put in place of the true answer: `message` is the response that
    /// has it and nothing else, to the question of `query`. The whole belongs to nobody's zone, and is not to be kept.
    pub async fn behind(
        &self,
        query: &Query,
        (message, target): (&[u8], Name),
        routes: (&Routes, &View),
        asking: &Asking,
    ) -> Resolved {
        let further = Query { question: Question { name: target, ..query.question.clone() }, ..query.clone() };
        let rest = self.resolve(&further, routes, asking).await;
        match &*rest {
            Resolved::Found { message: rest, .. } => match continued(message, rest) {
                Ok(message) => taken_apart(message, true, asking.lifetimes),
                Err(Malformed) => Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None }),
            },
            Resolved::Failed(failed) => Resolved::Failed(failed.clone()),
        }
    }

    async fn forward(&self, query: &Query, group: &Group, asking: &Asking) -> Resolved {
        let (order, second) = group.order(clock::monotonic()).race(group.races() && asking.tries > 1);
        let Some(second) = second else {
            return self.in_turn(query, (order, asking.tries), group, asking).await;
        };
        let one = |place: usize| {
            let (query, group, asking) = (query.clone(), group.clone(), *asking);
            let own = self.clone();
            let order = group.only(place);
            // In tasks of their own, so that whoever loses still shows whether it answers at all.
            tokio::spawn(async move { own.in_turn(&query, (order, 1), &group, &asking).await })
        };
        let (mut first, mut second) = (one(order.turn(0).unwrap_or_default()), one(second));
        let (ended, other) = tokio::select! {
            ended = &mut first => (ended, second),
            ended = &mut second => (ended, first),
        };
        let faulty = |_| Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None });
        let mut resolved = ended.unwrap_or_else(faulty);
        if matches!(resolved, Resolved::Failed(_)) {
            resolved = other.await.unwrap_or_else(faulty);
        }
        if matches!(resolved, Resolved::Failed(_)) && asking.tries > 2 {
            return self.in_turn(query, (order.behind_first(), asking.tries - 2), group, asking).await;
        }
        resolved
    }

    /// Asks one server after the other.
    async fn in_turn(&self, query: &Query, (order, tries): (Picks, usize), group: &Group, asking: &Asking) -> Resolved {
        let bits = (query.dnssec_ok(), query.checking_disabled);
        let exchange = Exchange::new(query.question.clone(), bits, order, (tries, asking.timeout));
        let mut exchange = exchange.distrusting(group.distrusts());
        let first = exchange.next(drive::dice());
        let driven = drive::drive(&mut exchange, first, group, &self.metrics).await;
        resolved(driven, &exchange, asking.lifetimes)
    }

    /// Asks one server directly, outside routes and joining, and without counting it; for checks of the server itself.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn ask(&self, server: &Server, question: Question, asking: &Asking) -> Result<Vec<u8>, Failed> {
        let now = clock::monotonic();
        let group = Group::new([Arc::new(server.apart(now))], Strategy::Order);
        let mut exchange = Exchange::new(question, (false, false), group.order(now), (1, asking.timeout));
        let first = exchange.next(drive::dice());
        drive::drive(&mut exchange, first, &group, &self.metrics).await
    }
}

/// Takes apart what an exchange ended with.
fn resolved(driven: Result<Vec<u8>, Failed>, exchange: &Exchange, lifetimes: Lifetimes) -> Resolved {
    match driven {
        Ok(mut message) => {
            exchange.respell(&mut message);
            taken_apart(message, false, lifetimes)
        }
        Err(failed) => Resolved::Failed(failed),
    }
}

impl Resolved {
    /// Returns whether there is an answer that should be signed, and does not hold.
    pub const fn is_bogus(&self) -> bool {
        matches!(self, Self::Failed(Failed { failure: Failure::Bogus, .. }))
    }

    /// Takes an answer apart once more that came before.
    pub fn again(message: &[u8], lifetimes: Lifetimes) -> Self {
        taken_apart(message.to_vec(), false, lifetimes)
    }
}

fn taken_apart(mut message: Vec<u8>, local: bool, lifetimes: Lifetimes) -> Resolved {
    let taken = ResponseView::read(&message).and_then(|view| Ok((flatten(&view, lifetimes)?, view.end())));
    match taken {
        Ok((mut body, end)) => {
            if !local {
                // What is passed on is not said with authority (RFC 1035, section 4.1.1).
                body.flags &= !flag::AUTHORITATIVE;
            }
            // What stands behind the last record is nobody's business.
            message.truncate(end);
            Resolved::Found { message, body, local }
        }
        Err(_) => Resolved::Failed(Failed { failure: Failure::Refused, extended_error: None }),
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("under_way", &self.under_way.len()).finish()
    }
}
