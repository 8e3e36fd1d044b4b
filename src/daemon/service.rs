//! What the service manager is told (sd_notify(3)): that everything is bound, that a reload is under way or done, that it stops,
//! and, as long as the workers turn, that they do. Nothing is told where no manager asks for it.

use sd_notify::NotifyState;

use crate::clock::monotonic_microseconds;
use crate::listen::Turns;
use crate::observe::counted;
use crate::policy::Snapshot;

/// Tells that queries are answered, or that a reload is done.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that a reload is under way, since now: what was told before belongs to what was before (systemd 253 and later).
pub(super) fn reloading() {
    tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(monotonic_microseconds())]);
}

/// Tells that no query is taken any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says in one line what is in force.
pub(super) fn status(snapshot: &Snapshot) -> String {
    let digest = hex::encode(snapshot.digest());
    let orders = counted(snapshot.inputs().orders.len(), "order", "orders");
    format!("answering; {orders} in force, policy {}", &digest[..12])
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the daemon stands");
    }
}

/// Feeds the watchdog for as long as the runtime runs, where there is one: only if each worker has turned its loop since the
/// last time. One that nobody asks turns all the same; one that waits for a lock that is never given back, that turns in a circle
/// elsewhere, or that has ended, does not. Nothing is asked of the workers, so that a flood of queries is not taken for their end.
///
/// This is a task of its own, since the loop that reloads may have to wait for a disk.
pub(super) async fn feed(turns: Turns) {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    // Two of four may be missed on a busy machine.
    let mut pace = tokio::time::interval(period / 4);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Vec::new();
    loop {
        pace.tick().await;
        let now = turns.now();
        match standing(&before, &now) {
            0 => tell(&[NotifyState::Watchdog]),
            standing => {
                tracing::error!(workers = now.len(), standing, "workers stand still; the watchdog is not fed");
            }
        }
        before = now;
    }
}

/// Returns how many workers have not turned between two looks; none before there was a first.
fn standing(before: &[u64], now: &[u64]) -> usize {
    before.iter().zip(now).filter(|(before, now)| before == now).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_that_have_not_turned_stand() {
        for (before, now, left) in
            [(&[][..], &[0, 0][..], 0), (&[0, 0], &[1, 5], 0), (&[1, 5], &[1, 6], 1), (&[1, 6], &[1, 6], 2)]
        {
            assert_eq!(standing(before, now), left, "{before:?} {now:?}");
        }
    }
}
