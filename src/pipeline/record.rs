//! The record of an answer, and the answer that waits for it.

use std::sync::Arc;

use super::judgement::Judgement;
use super::{Moment, Pipeline, Step};
use crate::answer::{Outcome, Trouble};
use crate::ledger::{Attempt, Recorder, Ticket};
use crate::message::ResponseCode;
use crate::observe::Served;
use crate::query::{Query, Through};

impl Pipeline {
    /// Hands the record over before the response goes out. Names that no rule matches are counted only.
    pub(super) fn record(
        &self,
        query: &Query,
        judgement: &mut Judgement,
        code: ResponseCode,
        moment: &Moment,
        recorder: &Recorder,
    ) -> Step {
        self.metrics.count_verdict(judgement.decision.verdict as usize);
        let Some(matched) = judgement.decision.deciding else { return Step::Answer };
        if matched.threat {
            self.metrics.count_threat();
        }
        let ticket = recorder.record(Attempt {
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
        });
        ticket.map_or(Step::Answer, |ticket| Step::Commit(query.clone(), ticket))
    }

    /// Waits until the record of what was written is on disk. Where the disk does not take it, what is written then is what
    /// is to be sent without.
    pub async fn commit(&self, query: &Query, ticket: &Ticket, recorder: &Recorder, out: &mut Vec<u8>) {
        if !recorder.committed(ticket).await {
            self.uncommitted(query, ticket, recorder, out);
        }
    }

    /// Writes what is to be sent where the record of what was written is on no disk: the same, or that it failed.
    pub fn uncommitted(&self, query: &Query, ticket: &Ticket, recorder: &Recorder, out: &mut Vec<u8>) {
        if recorder.refuses(ticket) {
            self.write(query, &Outcome::Trouble(Trouble::Unrecorded), Served::Failure, &self.moment(), out);
        }
    }
}
