//! Whether the daemon does its work, for those who watch it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::candidate::Candidate;
use super::fetching::Statuses;
use super::notices::Notices;
use super::space::Space;
use super::witnesses::Witnesses;
use super::{Daemon, Standing};
use crate::admin::{self, Check, Readiness, ShadowStatus};
use crate::clock::{self, Clock};
use crate::export::Status;
use crate::ledger::{self, Fail, Health, Ledger, LogHealth};
use crate::observe::{CertificateGauge, Gauges, ShadowCount, UpstreamGauge, counted};
use crate::pipeline::{OrderDifference, Pipeline, State};
use crate::policy::Mode;
use crate::resolve::{Condition, Group, Routes, Server};

/// How long upstreams have to be silent before whoever looks for a resolver that is ready is told to look elsewhere. One that
/// was never heard has no such time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts whose health is told.
#[derive(Clone)]
struct Watched {
    ledger: Arc<Ledger>,
    pipeline: Arc<Pipeline>,
    clock: Arc<dyn Clock>,
    standing: Arc<Mutex<Standing>>,
    fetches: Statuses,
    exports: Vec<Arc<Status>>,
    witnesses: Witnesses,
    notices: Notices,
    space: Space,
}

impl Watched {
    /// Ready is who answers by a policy and has an upstream that answers. A ledger that fails or a clock that is not
    /// trusted is told, and does not take a resolver out of service: answers go on without the one, and by the guard. So are
    /// waivers that are lost, and an emergency in which nothing is enforced.
    fn readiness(&self) -> Readiness {
        let (now, state) = (clock::monotonic(), self.pipeline.moment().state);
        let standing = self.standing.lock().expect("no holder of this lock panics");
        let health = self.ledger.health();
        let checks = [
            policy(&state),
            upstreams(&state.routes),
            ledger(&health),
            evidence(&health.log),
            trusted(self.clock.as_ref()),
            self.space.health(),
        ];
        let (fetched, unfetched) = self.fetches.faults(self.clock.as_ref());
        let fetches = (fetched > 0).then(|| Check {
            name: "fetches",
            ok: unfetched.is_empty(),
            detail: match unfetched.as_slice() {
                [] => format!("{}, none refused or stale", counted(fetched, "fetched file", "fetched files")),
                faults => faults.join("; "),
            },
        });
        let checks = checks
            .into_iter()
            .chain(standing_checks(&standing, &state))
            .chain(fetches)
            .chain(standing.candidate.as_ref().map(shadowed))
            .chain(super::exports::health(&self.exports))
            .chain(self.witnesses.health())
            .chain(self.notices.health());
        Readiness { ready: has_upstream(&state.routes, now), checks: checks.collect() }
    }

    /// Reads off the parts what metrics show of them.
    fn gauges(&self) -> Gauges {
        let readiness = self.readiness();
        let waivers = self.standing.lock().expect("no holder of this lock panics").waivers.clone();
        let health = self.ledger.health();
        let state = self.pipeline.moment().state;
        let snapshot = &state.snapshot;
        let shadow = state.shadow.as_ref().map(|shadow| shadow.by_order()).unwrap_or_default();
        let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.as_second().unsigned_abs());
        let failing = matches!(health.state, ledger::State::Failing { .. });
        let (witnesses_failing, log_cosigned) = self.witnesses.gauges();
        let (disk_free, disk_size) = self.space.gauges();
        Gauges {
            shadow: shadow.into_iter().map(shown).collect(),
            fetches: self.fetches.gauges(self.clock.as_ref()),
            upstreams: state.routes.servers().iter().map(gauge).collect(),
            certificates: certificates(&state.routes),
            checks: readiness.checks.iter().map(|check| (check.name, check.ok)).collect(),
            ready: readiness.ready,
            cache_entries: self.pipeline.cache().len() as u64,
            cache_octets: self.pipeline.cache().weight(),
            ledger_leaves: health.leaves,
            ledger_unwritten: health.unwritten,
            ledger_uncovered: health.uncovered,
            ledger_overflowed: health.overflowed,
            ledger_octets: health.bytes,
            ledger_failing: failing,
            ledger_servfail: failing && health.fail == Fail::Servfail,
            log_leaves: health.log.leaves,
            log_signed: health.log.signed,
            log_signed_at: seconds(health.log.signed_at),
            log_octets: health.log.bytes,
            log_failing: health.log.failing.is_some(),
            publish_failing: health.log.unpublished.is_some(),
            log_published: seconds(health.log.published_at),
            witnesses_failing,
            log_cosigned,
            policy_entries: snapshot.entry_count() as u64,
            policy_orders: snapshot.inputs().orders.len() as u64,
            policy_next: seconds(snapshot.next_instant(self.clock.read().at)),
            waivers_in_force: waivers.in_force,
            waivers_pending: waivers.pending,
            monitor_only: waivers.monitor_only.is_some() || snapshot.inputs().operator.mode == Mode::Monitor,
            disk_free,
            disk_size,
            clock_state: self.clock.status().map(|status| status.trust.as_str()),
        }
    }
}

fn policy(state: &State) -> Check {
    let snapshot = &state.snapshot;
    let detail = format!("{}, {}", super::extent(snapshot), hex::encode(snapshot.digest()));
    Check { name: "policy", ok: true, detail }
}

fn ledger(health: &Health) -> Check {
    let (ok, detail) = match &health.state {
        ledger::State::Writing => {
            let held = if health.held { "; a legal hold keeps everything" } else { "" };
            (true, format!("{} on disk{held}", counted(health.leaves, "leaf", "leaves")))
        }
        ledger::State::Failing { since, reason } => {
            let sinks = match health.fail {
                Fail::Answer => "",
                Fail::Servfail => "; sunk names are answered with SERVFAIL",
            };
            let waiting = counted(health.unwritten, "leaf waits", "leaves wait");
            (false, format!("failing since {since}: {reason}; {waiting} in memory{sinks}"))
        }
    };
    Check { name: "ledger", ok, detail }
}

fn evidence(of: &LogHealth) -> Check {
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
    Check { name: "evidence", ok, detail }
}

fn trusted(clock: &dyn Clock) -> Check {
    let (ok, detail) = match clock.status() {
        Some(status) => (status.trust.is_fine() && status.fault.is_none(), status.to_string()),
        None => (true, format!("rehearsed: policy time is {:.0}", clock.read().at)),
    };
    Check { name: "clock", ok, detail }
}

/// What has gone wrong and still stands, and what is not as it usually is.
fn standing_checks(standing: &Standing, state: &State) -> [Check; 5] {
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
    let mode = state.snapshot.inputs().operator.mode;
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
            [] => counted(count, "list as its file is now", "lists as their files are now"),
            faults => faults.join("; "),
        },
    };
    let reload = Check {
        name: "reload",
        ok: standing.refused.is_none(),
        detail: match &standing.refused {
            None => "the policy in use is the one last asked for".to_owned(),
            Some(fault) => format!("the last one was refused: {fault}"),
        },
    };
    [archive, reload, waivers, monitor_only, lists]
}

fn shadowed(candidate: &Candidate) -> Check {
    Check {
        name: "shadow",
        ok: candidate.outcome.is_ok(),
        detail: match (&candidate.outcome, candidate.fault()) {
            (Ok(digest), _) => format!("{} decides too, {}", candidate.path.display(), hex::encode(digest)),
            (Err(_), fault) => {
                format!("{} is not used: {}", candidate.path.display(), fault.unwrap_or_default())
            }
        },
    }
}

/// Whether questions can be answered: at once where a server has answered, and no more only once all of those that clients
/// without servers of their own have were silent for a while. A network that drops a few datagrams takes no resolver out of
/// service, whose kept answers and whose verdicts hang on no upstream.
fn has_upstream(routes: &Routes, now: Instant) -> bool {
    routes.default.group.servers().iter().any(|server| {
        let given_up = server.silent_for(now).is_some_and(|silent| silent >= PATIENCE);
        server.was_heard() && server.condition() != Condition::Loops && !given_up
    })
}

/// One server that answers is enough, of those of the clients that have none of their own.
fn upstreams(routes: &Routes) -> Check {
    let words = |server: &Arc<Server>| {
        let address = server.endpoint();
        match (server.condition(), server.rtt()) {
            (Condition::Well, Some(rtt)) => format!("{address} well, {:.1} ms", rtt.as_secs_f64() * 1000.0),
            (Condition::Well, None) if server.was_heard() => format!("{address} well"),
            (Condition::Well, None) => format!("{address} is being asked for the first time"),
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
        ok: default.servers().iter().any(|server| server.condition() == Condition::Well && server.was_heard()),
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

/// When the certificates run out that upstreams have shown, each name once.
fn certificates(routes: &Routes) -> Vec<CertificateGauge> {
    let servers = routes.servers();
    let shown: BTreeMap<_, _> = servers.iter().filter_map(|server| server.certificate()).collect();
    let gauge =
        |(server, expiry): (&str, i64)| CertificateGauge { role: "upstream", server: server.to_owned(), expiry };
    shown.into_iter().map(gauge).collect()
}

impl Daemon {
    /// Returns what the HTTP listener tells of the daemon.
    pub(super) fn admin_state(&self) -> admin::State {
        let watched = Watched {
            ledger: Arc::clone(&self.ledger),
            pipeline: Arc::clone(&self.pipeline),
            clock: Arc::clone(&self.clock),
            standing: Arc::clone(&self.standing),
            fetches: self.fetches.clone(),
            exports: self.exports.clone(),
            witnesses: self.witnesses.clone(),
            notices: self.notices.clone(),
            space: self.space.clone(),
        };
        let (metrics, measured) = (Arc::clone(&self.metrics), watched.clone());
        let shadowed = (Arc::clone(&self.pipeline), Arc::clone(&self.standing));
        admin::State {
            readiness: Box::new(move || watched.readiness()),
            shadow: Box::new(move || shadow(&shadowed.0, &shadowed.1)),
            metrics: Box::new(move || metrics.encode(&measured.gauges())),
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

fn shown(of: OrderDifference) -> ShadowCount {
    let OrderDifference { order, live, candidate, count } = of;
    ShadowCount { order, live, candidate, count }
}
