//! Whether the daemon does its work, for those who watch it.

use std::sync::{Arc, Mutex};

use super::{Daemon, Standing};
use crate::admin::{self, Check, Readiness, ShadowStatus};
use crate::clock::{Clock, Trust};
use crate::export::Status;
use crate::ledger::{self, Fail, Ledger};
use crate::observe::{Gauges, ShadowCount, UpstreamGauge};
use crate::pipeline::{OrderDifference, Pipeline};
use crate::policy::Mode;
use crate::resolve::{Condition, Group, Routes, Server};

/// Ready is who answers by a policy and has an upstream that answers. A ledger that fails or a clock that is not
/// trusted is told, and does not take a resolver out of service: answers go on without the one, and by the guard. So are
/// waivers that are lost, and an emergency in which nothing is enforced.
pub(super) fn readiness(
    ledger: &Ledger,
    pipeline: &Pipeline,
    clock: &dyn Clock,
    standing: &Mutex<Standing>,
    (fetched, unfetched): (usize, Vec<String>),
    exports: &[Arc<Status>],
) -> Readiness {
    let state = pipeline.moment().state;
    let snapshot = &state.snapshot;
    let orders = snapshot.inputs().orders.len();
    let policy = Check {
        name: "policy",
        ok: true,
        detail: format!("{orders} orders over {} entries, {}", snapshot.entry_count(), hex::encode(snapshot.digest())),
    };
    let upstream = upstreams(&state.routes);
    let health = ledger.health();
    let (ok, detail) = match &health.state {
        ledger::State::Writing => {
            let held = if health.held { "; a legal hold keeps everything" } else { "" };
            (true, format!("{} leaves on disk{held}", health.leaves))
        }
        ledger::State::Failing { since, reason } => {
            let sinks = match health.fail {
                Fail::Answer => "",
                Fail::Servfail => "; sunk names are answered with SERVFAIL",
            };
            (false, format!("failing since {since}: {reason}; {} leaves wait in memory{sinks}", health.unwritten))
        }
    };
    let ledger = Check { name: "ledger", ok, detail };
    let of = &health.log;
    let detail = match (&of.failing, &of.origin) {
        (Some(reason), _) => format!("behind the journal: {reason}"),
        (None, Some(origin)) => {
            let at = of.signed_at.map(|at| format!(", the last at {at:.0}")).unwrap_or_default();
            format!("{} of {} leaves of {origin} are signed{at}", of.signed, of.leaves)
        }
        (None, None) => "no log yet".to_owned(),
    };
    let unpublished = of.unpublished.as_ref().map(|reason| format!("; not published: {reason}"));
    let ok = of.failing.is_none() && unpublished.is_none();
    let unremoved = of.unremoved.as_ref().map(|reason| format!("; what went for its age stays published: {reason}"));
    let detail = detail + &unpublished.unwrap_or_default() + &unremoved.unwrap_or_default();
    let log = Check { name: "evidence", ok, detail };
    let standing = standing.lock().expect("no holder of this lock panics");
    let archive = Check {
        name: "archive",
        ok: standing.unarchived.is_none(),
        detail: match standing.unarchived {
            None => "the policy in use is archived".to_owned(),
            Some(_) => "the disk does not take the policy in use or its records; it is tried again".to_owned(),
        },
    };
    let waivers = Check {
        name: "waivers",
        ok: standing.waivers.faults.is_empty(),
        detail: match standing.waivers.faults.as_slice() {
            [] => format!("{} in force, {} to be confirmed", standing.waivers.in_force, standing.waivers.pending),
            faults => faults.join("; "),
        },
    };
    let mode = snapshot.inputs().operator.mode;
    let monitor_only = Check {
        name: "monitor-only",
        ok: standing.waivers.monitor_only.is_none() && mode == Mode::Enforce,
        detail: match (&standing.waivers.monitor_only, mode) {
            (Some(waiver), _) => format!("nothing is enforced: {waiver}"),
            (None, Mode::Monitor) => "nothing is enforced: [policy] mode is \"monitor\", a dry run".to_owned(),
            (None, Mode::Enforce) => "prohibitions are enforced".to_owned(),
        },
    };
    let count = state.lists.chain.links().len();
    let lists = Check {
        name: "lists",
        ok: standing.lists.is_empty(),
        detail: match standing.lists.as_slice() {
            [] => format!("{count} lists as their files are now"),
            faults => faults.join("; "),
        },
    };
    let fetches = (fetched > 0).then(|| Check {
        name: "fetches",
        ok: unfetched.is_empty(),
        detail: match unfetched.as_slice() {
            [] => format!("{fetched} fetched files, none refused or stale"),
            faults => faults.join("; "),
        },
    });
    let reload = Check {
        name: "reload",
        ok: standing.refused.is_none(),
        detail: match &standing.refused {
            None => "the policy in use is the one last asked for".to_owned(),
            Some(fault) => format!("the last one was refused: {fault}"),
        },
    };
    let shadow = standing.candidate.as_ref().map(|candidate| Check {
        name: "shadow",
        ok: candidate.outcome.is_ok(),
        detail: match (&candidate.outcome, candidate.fault()) {
            (Ok(digest), _) => format!("{} decides too, {}", candidate.path.display(), hex::encode(digest)),
            (Err(_), fault) => {
                format!("{} is not used: {}", candidate.path.display(), fault.unwrap_or_default())
            }
        },
    });
    let (ok, detail) = match clock.status() {
        Some(status) => (status.trust.is_fine() && status.fault.is_none(), status.to_string()),
        None => (true, format!("rehearsed: policy time is {:.0}", clock.read().at)),
    };
    let clock = Check { name: "clock", ok, detail };
    let ready = policy.ok && upstream.ok;
    let checks = [policy, upstream, ledger, log, clock, archive, reload, waivers, monitor_only, lists]
        .into_iter()
        .chain(fetches)
        .chain(shadow)
        .chain(super::exports::health(exports));
    Readiness { ready, checks: checks.collect() }
}

/// One server that answers is enough, of those of the clients that have none of their own.
fn upstreams(routes: &Routes) -> Check {
    let words = |server: &Arc<Server>| {
        let address = server.endpoint();
        match (server.condition(), server.rtt()) {
            (Condition::Well, Some(rtt)) => format!("{address} well, {:.1} ms", rtt.as_secs_f64() * 1000.0),
            (Condition::Well, None) => format!("{address} well"),
            (Condition::Silent, _) => format!("{address} gives no answer"),
            (Condition::Loops, _) => format!("{address} leads back here and is left out"),
        }
    };
    let told = |group: &Group| group.servers().iter().map(words).collect::<Vec<_>>().join(", ");
    let default = &routes.default.group;
    let views = routes.views.iter().map(|(_, view)| format!("group {}: {}", view.title, told(&view.group)));
    let zones = routes.forward.iter().map(|(zone, group)| format!("zone {zone}: {}", told(group)));
    Check {
        name: "upstream",
        ok: default.servers().iter().any(|server| server.condition() == Condition::Well),
        detail: std::iter::once(told(default)).chain(views).chain(zones).collect::<Vec<_>>().join("; "),
    }
}

fn gauge(server: &Arc<Server>) -> UpstreamGauge {
    UpstreamGauge {
        upstream: server.endpoint().to_string(),
        tries: server.tally().map(|(tried, count)| (tried.as_str(), count)),
        rtt: server.rtt(),
        silent: server.condition() != Condition::Well,
    }
}

impl Daemon {
    /// Returns what the HTTP listener tells of the daemon.
    pub(super) fn admin_state(&self) -> admin::State {
        let (ledger, pipeline, metrics) =
            (Arc::clone(&self.ledger), Arc::clone(&self.pipeline), Arc::clone(&self.metrics));
        let parts = (Arc::clone(&self.ledger), Arc::clone(&self.pipeline), Arc::clone(&self.standing));
        let (fetches, fetched) = (self.fetches.clone(), self.fetches.clone());
        let shadowed = (Arc::clone(&self.pipeline), Arc::clone(&self.standing));
        let standing = Arc::clone(&self.standing);
        let exports = self.exports.clone();
        let (witnesses, witnessed, notices) = (self.witnesses.clone(), self.witnesses.clone(), self.notices.clone());
        let (clock, ready_clock) = (Arc::clone(&self.clock), Arc::clone(&self.clock));
        admin::State {
            readiness: Box::new(move || {
                let fetches = fetches.faults(ready_clock.as_ref());
                let mut of = readiness(&parts.0, &parts.1, ready_clock.as_ref(), &parts.2, fetches, &exports);
                of.checks.extend(witnesses.health());
                of.checks.extend(notices.health());
                of
            }),
            shadow: Box::new(move || shadow(&shadowed.0, &shadowed.1)),
            metrics: Box::new(move || {
                let fetches = fetched.gauges(clock.as_ref());
                let (witnesses_failing, log_cosigned) = witnessed.gauges();
                let of = gauges(&ledger, &pipeline, clock.as_ref(), &standing);
                metrics.encode(&Gauges { fetches, witnesses_failing, log_cosigned, ..of })
            }),
            hosts: self.config.admin.hosts.clone(),
        }
    }
}

/// Tells what the candidate decides otherwise, or why there is none.
pub(super) fn shadow(pipeline: &Pipeline, standing: &Mutex<Standing>) -> ShadowStatus {
    let counted = pipeline.moment().state.shadow.as_ref().map(|shadow| shadow.report());
    let candidate = standing.lock().expect("no holder of this lock panics").candidate.clone();
    let faults = candidate.as_ref().and_then(|of| of.outcome.clone().err()).unwrap_or_default();
    ShadowStatus { file: candidate.map(|of| of.path.display().to_string()), faults, counted }
}

/// Reads off the parts what metrics show of them.
pub(super) fn gauges(ledger: &Ledger, pipeline: &Pipeline, clock: &dyn Clock, standing: &Mutex<Standing>) -> Gauges {
    let waivers = standing.lock().expect("no holder of this lock panics").waivers.clone();
    let health = ledger.health();
    let trust = clock.status().map(|status| status.trust);
    let state = pipeline.moment().state;
    let snapshot = &state.snapshot;
    let shadow = state.shadow.as_ref().map(|shadow| shadow.by_order()).unwrap_or_default();
    Gauges {
        shadow: shadow.into_iter().map(shown).collect(),
        fetches: Vec::new(),
        upstreams: state.routes.servers().iter().map(gauge).collect(),
        cache_entries: pipeline.cache().len() as u64,
        cache_octets: pipeline.cache().weight(),
        ledger_leaves: health.leaves,
        ledger_unwritten: health.unwritten,
        ledger_uncovered: health.uncovered,
        ledger_octets: health.bytes,
        ledger_failing: matches!(health.state, ledger::State::Failing { .. }),
        log_signed: health.log.signed,
        log_octets: health.log.bytes,
        log_failing: health.log.failing.is_some(),
        publish_failing: health.log.unpublished.is_some(),
        log_published: health.log.published_at.map_or(0, |at| at.as_second().unsigned_abs()),
        witnesses_failing: 0,
        log_cosigned: 0,
        policy_entries: snapshot.entry_count() as u64,
        policy_orders: snapshot.inputs().orders.len() as u64,
        waivers_in_force: waivers.in_force,
        waivers_pending: waivers.pending,
        monitor_only: waivers.monitor_only.is_some() || snapshot.inputs().operator.mode == Mode::Monitor,
        clock_state: trust.map(Trust::as_str),
    }
}

fn shown(of: OrderDifference) -> ShadowCount {
    let OrderDifference { order, live, candidate, count } = of;
    ShadowCount { order, live, candidate, count }
}
