//! What a batch of queries is decided by.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::judgement::Judgement;
use super::{Lists, Shadow};
use crate::answer::Style;
use crate::client::{Clients, Table};
use crate::clock::Reading;
use crate::inspect::Guards;
use crate::message::Name;
use crate::policy::{Snapshot, When};
use crate::query::{Query, Question, Subjects};
use crate::resolve::{Asking, Routes, Server, View};

/// Everything that a reload swaps, whole or not at all.
#[derive(Debug, Clone)]
pub struct State {
    pub snapshot: Arc<Snapshot>,
    /// The candidate that decides beside it, where there is one.
    pub shadow: Option<Arc<Shadow>>,
    /// The groups of the policy, and who belongs to them; the latter is learnt while it runs.
    pub clients: Arc<Clients>,
    pub routes: Arc<Routes>,
    pub asking: Asking,
    pub style: Style,
    pub guards: Guards,
    pub lists: Arc<Lists>,
    pub probes: Arc<[Probe]>,
}

/// The state, the clients and the reading of the clock that one batch of queries is decided by.
#[derive(Debug, Clone)]
pub struct Moment {
    pub state: Arc<State>,
    pub clients: Arc<Table>,
    pub now: Reading,
}

/// A name that nobody but us asks for: asked of an upstream, it shows whether what is sent there comes back.
#[derive(Debug)]
pub struct Probe {
    pub name: Name,
    pub upstream: Arc<Server>,
    /// Set when we were asked for the name ourselves.
    pub came_back: AtomicBool,
}

impl Moment {
    /// Returns the time that policy decides by.
    pub(super) const fn when(&self) -> When {
        When { at: self.now.at, ends: self.now.ends }
    }

    /// Returns the epoch of what is decided at this moment, by orders and by lists.
    pub(super) fn epoch(&self) -> (u64, u64) {
        (self.state.snapshot.epoch(self.when()).0, self.state.lists.chain.epoch(self.when()))
    }

    /// Returns the upstreams of whoever asks.
    pub(super) fn view(&self, query: &Query) -> &View {
        let routes = &self.state.routes;
        // Nearly always there is one for all.
        match routes.views.is_empty() {
            true => &routes.default,
            false => routes.view(self.clients.identify_peer(&query.peer).group()),
        }
    }

    /// Lets the candidate decide what was decided, with the names in the answer where they are known.
    pub(super) fn compare(&self, query: &Query, live: &Judgement, subjects: Option<&Subjects>) {
        if let Some(shadow) = &self.state.shadow {
            shadow.compare(query, live, subjects, self.when());
        }
    }
}

impl State {
    /// Returns whether an upstream's answer to `question` must not tell private addresses. Zones that are answered here,
    /// or by servers of their own, are the operator's, and may.
    pub(super) fn withholds_private(&self, question: &Question) -> bool {
        let own = || {
            let forward = self.routes.forward.iter().any(|(zone, _)| question.name.is_at_or_below(zone));
            forward || self.routes.zones.origin_for(question).is_some()
        };
        self.guards.rebinding.as_ref().is_some_and(|rebinding| rebinding.protects(&question.name)) && !own()
    }

    /// Notes that a probe of ours was asked here, if `name` is one: then the upstream that it was sent to leads back.
    pub(super) fn came_back(&self, name: &Name) -> bool {
        let probe = self.probes.iter().find(|probe| probe.name == *name);
        probe.inspect(|probe| probe.came_back.store(true, Ordering::Relaxed)).is_some()
    }
}
