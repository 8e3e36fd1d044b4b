//! The record of an answer, and the answer that waits for it.

use std::sync::Arc;

use super::judgement::Judgement;
use super::{Moment, Pipeline, Repeat, Step};
use crate::answer::{Outcome, Trouble};
use crate::ledger::{Attempt, Handed, Recorder, Ticket};
use crate::message::ResponseCode;
use crate::observe::{Dropped, Served};
use crate::query::{Query, Through};

impl Pipeline {
    /// Hands the record over before the response goes out. Names that no rule matches are counted only. Where what was
    /// written must not leave without a record on disk, and none can be waited for, that is written and recorded in its place.
    pub(super) fn record(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        code: ResponseCode,
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        self.record_or_repeat(query, judgement, (code, None), moment, recorder, out)
    }

    /// Does the same; what was written may be given again as `repeat` says, unless something else was written in its place or
    /// it leaves without a record that it should have waited for.
    pub(super) fn record_or_repeat(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        (code, repeat): (ResponseCode, Option<Repeat>),
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        let written = repeat.map_or(Step::Answer, Step::Repeatable);
        let Some(attempt) = self.attempt(query, judgement, code, moment) else { return written };
        match recorder.record(attempt) {
            Handed::Over => return written,
            Handed::Awaited(ticket) => return Step::Commit(query.clone(), ticket),
            Handed::Unheld => self.metrics.count_dropped(Dropped::Unheld),
            Handed::Refused { attempt, unheld } => {
                if unheld {
                    self.metrics.count_dropped(Dropped::Unheld);
                }
                let code = self.write(query, &UNRECORDED, Served::Failure, moment, out);
                recorder.hand_over(Attempt { rcode: code.0, ..*attempt });
            }
        }
        Step::Answer
    }

    /// Answers a sunk name while no answer to one may leave, since the disk takes no records.
    pub(super) fn sink_unrecorded(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        moment: &Moment,
        recorder: &Recorder,
        out: &mut Vec<u8>,
    ) -> Step {
        let code = self.write(query, &UNRECORDED, Served::Failure, moment, out);
        if let Some(attempt) = self.attempt(query, judgement, code, moment) {
            recorder.hand_over(attempt);
        }
        Step::Answer
    }

    /// Counts what was decided, and returns what is to be recorded of it.
    fn attempt(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        code: ResponseCode,
        moment: &Moment,
    ) -> Option<Attempt> {
        self.metrics.count_verdict(judgement.decision.verdict as usize);
        let matched = judgement.decision.deciding?;
        if matched.threat {
            self.metrics.count_threat();
        }
        Some(Attempt {
            reading: moment.now,
            client: judgement.client,
            transport: query.transport,
            name: query.question.name.clone(),
            record_type: query.question.record_type,
            through: judgement.subject.as_ref().map_or(Through::Question, |subject| subject.through),
            subject: judgement.subject.take().map(|subject| subject.target),
            matched,
            rcode: code.0,
            snapshot: Arc::clone(&moment.state.snapshot),
        })
    }

    /// Waits until it is known what became of the record of what was written. Where the disk did not take it and the answer
    /// must not leave without, what is written then is what is to be sent. The answer counts as waiting for as long as the
    /// ticket is there.
    pub async fn commit(&self, query: &Query, ticket: &mut Ticket, recorder: &Recorder, out: &mut Vec<u8>) {
        if !recorder.committed(ticket).await {
            self.write(query, &UNRECORDED, Served::Failure, &self.moment(), out);
        }
    }
}

/// What is answered where no record of the answer is on disk.
const UNRECORDED: Outcome<'static> = Outcome::Trouble(Trouble::Unrecorded);
