//! Identical questions on their way are asked once, whoever asks: a task, or a worker in its own loop.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::Resolved;
use crate::cache::Key;

/// Where a worker keeps a question that it asks: the worker, and the place of the flight there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Berth {
    pub(super) worker: u64,
    pub(super) place: usize,
}

/// The questions under way, by their keys.
#[derive(Default)]
pub(super) struct UnderWay {
    questions: Mutex<HashMap<Box<[u8]>, Question>>,
}

struct Question {
    /// Which worker asks it; `None` where a task does.
    berth: Option<Berth>,
    waiting: Vec<oneshot::Sender<Arc<Resolved>>>,
}

/// What a task finds.
pub(super) enum Claim {
    /// Nobody asks yet: whoever has this does.
    Leads(Lead),
    /// Somebody does. Where that comes to nothing, the sender is dropped, and the question is to be claimed again.
    Waits(oneshot::Receiver<Arc<Resolved>>),
}

/// What a worker finds.
pub(super) enum Taken {
    Leads(Lead),
    /// It asks the same itself, at this place.
    Own(usize),
    /// Somebody else does.
    Elsewhere,
}

/// The duty to ask a question, and to tell those who wait for it. Dropped without that, it goes to one of them.
pub(super) struct Lead {
    under_way: Arc<UnderWay>,
    key: Box<[u8]>,
}

impl UnderWay {
    /// Claims a question for a task.
    pub(super) fn claim(self: &Arc<Self>, key: &Key) -> Claim {
        match self.lock().entry(key.as_octets().into()) {
            Entry::Occupied(mut present) => {
                let (sender, receiver) = oneshot::channel();
                present.get_mut().waiting.push(sender);
                Claim::Waits(receiver)
            }
            Entry::Vacant(place) => Claim::Leads(self.lead(key, place, None)),
        }
    }

    /// Claims a question for a worker.
    pub(super) fn take(self: &Arc<Self>, key: &Key, berth: Berth) -> Taken {
        match self.lock().entry(key.as_octets().into()) {
            Entry::Occupied(present) => match present.get().berth {
                Some(of) if of.worker == berth.worker => Taken::Own(of.place),
                Some(_) | None => Taken::Elsewhere,
            },
            Entry::Vacant(place) => Taken::Leads(self.lead(key, place, Some(berth))),
        }
    }

    fn lead(
        self: &Arc<Self>,
        key: &Key,
        place: std::collections::hash_map::VacantEntry<'_, Box<[u8]>, Question>,
        berth: Option<Berth>,
    ) -> Lead {
        place.insert(Question { berth, waiting: Vec::new() });
        Lead { under_way: Arc::clone(self), key: key.as_octets().into() }
    }

    /// Returns how many questions are under way.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Question>> {
        self.questions.lock().expect("no holder of this lock panics")
    }
}

impl Lead {
    /// Tells everybody who waits.
    pub(super) fn tell(mut self, resolved: &Arc<Resolved>) {
        let key = std::mem::take(&mut self.key);
        let waiting = self.under_way.lock().remove(&key).map(|question| question.waiting);
        for sender in waiting.into_iter().flatten() {
            // Whoever has gone away needs no answer.
            let _ = sender.send(Arc::clone(resolved));
        }
    }

    /// Goes from a worker to a task.
    pub(super) fn hand_over(&self) {
        if let Some(question) = self.under_way.lock().get_mut(&self.key) {
            question.berth = None;
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Once everybody was told, the place may be that of the next who asks.
        if !self.key.is_empty() {
            self.under_way.lock().remove(&self.key);
        }
    }
}
