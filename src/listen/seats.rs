//! How many connections there are, in all and by client, and how long a silent one may stay.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::limit::Prefix;

/// The shortest time that a connection may be silent, however few are left.
const LEAST: Duration = Duration::from_millis(200);

/// The connections of all listeners.
#[derive(Debug)]
pub(super) struct Seats {
    by_client: Mutex<HashMap<Prefix, usize>>,
    taken: AtomicUsize,
    most: usize,
    idle: Duration,
}

/// One of the connections that there may be; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    client: Prefix,
}

impl Seats {
    /// Returns room for `most` connections, which may be silent for `idle` while more than half of it is free.
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self { by_client: Mutex::default(), taken: AtomicUsize::new(0), most, idle }
    }

    /// Returns a seat for a client that may have `most`; `None` where it has as many, or all are taken.
    pub(super) fn take(self: &Arc<Self>, client: Prefix, most: usize) -> Option<Seat> {
        let mut by_client = self.by_client.lock().expect("no holder of this lock panics");
        if self.taken.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        let taken = by_client.entry(client).or_default();
        if *taken >= most {
            return None;
        }
        *taken += 1;
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Seat { seats: Arc::clone(self), client })
    }

    /// Returns how long a connection may be silent now, a message may take to arrive, or an answer to be taken. The fewer
    /// seats are left of one half, the shorter it is (RFC 7766, section 6.2.3; RFC 7828, section 3.4).
    pub(super) fn patience(&self) -> Duration {
        let free = self.most.saturating_sub(self.taken.load(Ordering::Relaxed));
        let half = (self.most / 2).max(1);
        let share = free.min(half) as f64 / half as f64;
        self.idle.mul_f64(share).max(LEAST.min(self.idle))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_client = self.seats.by_client.lock().expect("no holder of this lock panics");
        self.seats.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(taken) = by_client.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_run_out_by_client_and_in_all_and_come_back() {
        let seats = Arc::new(Seats::new(5, Duration::from_secs(10)));
        let (one, other) = (Prefix::V4(1), Prefix::V4(2));
        let mut first: Vec<_> = (0..3).map_while(|_| seats.take(one, 3)).collect();
        assert_eq!((first.len(), seats.take(one, 3).is_none()), (3, true));
        let second: Vec<_> = (0..9).map_while(|_| seats.take(other, 9)).collect();
        assert_eq!(second.len(), 2);
        first.pop();
        assert!(seats.take(other, 9).is_some());
        drop((first, second));
        assert!(seats.by_client.lock().unwrap().is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn patience_ends_as_seats_run_out() {
        let seats = Arc::new(Seats::new(100, Duration::from_secs(10)));
        let mut taken = Vec::new();
        for (count, patience) in [(0, 10_000), (50, 10_000), (75, 5_000), (90, 2_000), (99, 200), (100, 200)] {
            taken.extend((taken.len()..count).map(|_| seats.take(Prefix::V4(1), 1000).unwrap()));
            assert_eq!(seats.patience(), Duration::from_millis(patience), "with {count} taken");
        }
        let quick = Seats::new(1, Duration::from_millis(100));
        assert_eq!(quick.patience(), Duration::from_millis(100));
    }
}
