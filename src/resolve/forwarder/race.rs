//! Two servers that are asked at once: each has a question of its own in the table, and the first good answer counts for both.
//! The other try goes on alone until its time is up, so that a server which only lost is not taken for one that is silent.

use std::time::Instant;

use super::{Forwarder, Question, exchange};
use crate::query::Query;
use crate::resolve::drive::dice;
use crate::resolve::exchange::{Action, Failure};
use crate::resolve::upstream::Tried;

/// How a question stands to the one that another server is asked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Race {
    /// Nobody else is asked.
    Alone,
    /// Those who wait are at this question; the other one is at this place.
    Leads(usize),
    /// The same, and here every try has failed.
    Failed(usize, Failure),
    /// Those who wait are at this place.
    Rival(usize),
}

impl<W> Question<W> {
    /// Returns whether anybody waits for it, here or at the question that it races with.
    pub(super) const fn is_wanted(&self) -> bool {
        self.asked.is_some() || matches!(self.race, Race::Rival(_))
    }

    /// Notes what a server answered that was asked.
    pub(super) fn note(&self, server: Option<usize>, tried: Tried, now: Instant) {
        if let Some(server) = server {
            self.group.answered(server, tried, now.saturating_duration_since(self.begun), now);
        }
    }
}

impl<W> Forwarder<W> {
    /// Prepares to ask a second server, for those who wait at `leader`. Returns the place, and what is to be done there.
    pub(super) fn put_rival(&mut self, query: &Query, leader: usize, second: usize, now: Instant) -> (usize, Action) {
        let of = self.questions[leader].as_ref().expect("the leader was put there by the caller");
        let (group, timeout) = (of.group.clone(), of.exchange.timeout());
        let mut exchange = exchange(query, &group, group.only(second), (1, timeout));
        let action = exchange.next(dice());
        let race = Race::Rival(leader);
        let place = self.put(Question {
            exchange,
            group,
            asked: None,
            race,
            attempt: 0,
            port: 0,
            begun: now,
            past: Vec::new(),
        });
        self.race(leader, Race::Leads(place));
        (place, action)
    }

    /// Ends the question at `place`, for which every try has failed.
    pub(super) fn give_up(&mut self, place: usize, failure: Failure) {
        let Some(question) = self.questions.get_mut(place).and_then(Option::as_mut) else { return };
        if let (Race::Leads(rival), Some(_)) = (question.race, &question.asked) {
            // Whoever waits does so for the other one from now on.
            (question.race, question.attempt) = (Race::Failed(rival, failure), 0);
            return;
        }
        let Some(mut question) = self.take(place) else { return };
        if let Some(asked) = question.asked.take() {
            let failed = question.exchange.failed(failure);
            return self.finish(&question.exchange, asked, Err(failed));
        }
        if let Race::Rival(leader) = question.race {
            let of = self.questions.get(leader).and_then(Option::as_ref).map(|leader| leader.race);
            self.race(leader, Race::Alone);
            if let Some(Race::Failed(_, of_leader)) = of {
                self.give_up(leader, of_leader.max(failure));
            }
        }
    }

    /// Ends the question at `place` with an answer.
    pub(super) fn answered(&mut self, place: usize, message: Vec<u8>) {
        let Some(mut question) = self.take(place) else { return };
        let asked = match question.race {
            Race::Rival(leader) => {
                self.questions.get_mut(leader).and_then(Option::as_mut).and_then(|of| of.asked.take())
            }
            Race::Alone | Race::Leads(_) | Race::Failed(..) => question.asked.take(),
        };
        self.part(question.race);
        if let Some(asked) = asked {
            self.finish(&question.exchange, asked, Ok(message));
        }
    }

    /// Lets the other question of a race go on alone, or end where it has nothing to go on with.
    pub(super) fn part(&mut self, race: Race) {
        let other = match race {
            Race::Alone => return,
            Race::Leads(other) | Race::Failed(other, _) | Race::Rival(other) => other,
        };
        let of = self.questions.get(other).and_then(Option::as_ref).map(|other| (other.race, other.asked.is_some()));
        match of {
            Some((Race::Failed(_, failure), true)) => {
                self.race(other, Race::Alone);
                self.give_up(other, failure);
            }
            Some((Race::Failed(..), false)) => drop(self.take(other)),
            Some((Race::Alone | Race::Leads(_) | Race::Rival(_), _)) => self.race(other, Race::Alone),
            None => {}
        }
    }

    fn race(&mut self, place: usize, race: Race) {
        if let Some(question) = self.questions.get_mut(place).and_then(Option::as_mut) {
            question.race = race;
        }
    }
}
