//! A bounded queue whose memory is taken when it is needed.

use std::sync::OnceLock;

use crossbeam_queue::ArrayQueue;

/// How many places are there from the start: each takes memory once there is one, and most queues never hold more.
const FIRST: usize = 512;

/// Places for as many as may wait, a few of them from the start.
pub(super) struct Queue<T> {
    /// Emptied before `more`.
    first: ArrayQueue<T>,
    /// The other places; made when the first of them is needed, and filled until all of them are empty again.
    more: OnceLock<ArrayQueue<T>>,
    pub(super) capacity: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { first: ArrayQueue::new(capacity.min(FIRST)), more: OnceLock::new(), capacity }
    }

    /// What one thread hands over is taken out in that order.
    ///
    /// # Errors
    /// Gives back what finds no place.
    pub(super) fn push(&self, one: T) -> Result<(), T> {
        let one = match self.more.get().is_none_or(ArrayQueue::is_empty) {
            true => match self.first.push(one) {
                Ok(()) => return Ok(()),
                Err(one) => one,
            },
            false => one,
        };
        match self.capacity - self.first.capacity() {
            0 => Err(one),
            rest => self.more.get_or_init(|| ArrayQueue::new(rest)).push(one),
        }
    }

    pub(super) fn pop(&self) -> Option<T> {
        // Looked at first: while anything is in it, its thread puts nothing into the other, so that nothing is overtaken.
        let more = self.more.get().filter(|more| !more.is_empty());
        self.first.pop().or_else(|| more.and_then(ArrayQueue::pop))
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.more.get().map_or(0, ArrayQueue::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_grows_to_all_its_places_once_and_keeps_the_order() {
        let places = FIRST + 100;
        let queue = Queue::new(places);
        let put =
            |numbers: std::ops::Range<usize>| numbers.map(|number| queue.push(number)).filter(Result::is_err).count();
        assert_eq!(put(0..FIRST), 0);
        assert!(queue.more.get().is_none(), "no more memory than is needed");
        assert_eq!(put(FIRST..places), 0);
        assert_eq!((queue.push(places), queue.len()), (Err(places), places));
        for number in 0..FIRST + 50 {
            assert_eq!(queue.pop(), Some(number));
        }
        // Behind what still waits, though there is room in front of it.
        assert_eq!(put(places..places + 40), 0);
        for number in FIRST + 50..places + 40 {
            assert_eq!(queue.pop(), Some(number));
        }
        assert_eq!((queue.pop(), queue.len()), (None, 0));
    }

    #[test]
    fn a_small_queue_has_its_places_and_no_more() {
        for capacity in [0, 1, 2] {
            let queue = Queue::new(capacity);
            let places = capacity.max(1);
            assert_eq!((0..9).filter(|number| queue.push(*number).is_ok()).count(), places);
            assert_eq!(std::iter::from_fn(|| queue.pop()).count(), places);
        }
    }
}
