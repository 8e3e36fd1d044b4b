//! Who else is treated otherwise: a decision is for one client, and people wonder about the next.

use super::Question;
use crate::cli::audience::{self, Audience};
use crate::policy::{Snapshot, Verdict};

/// The most clients that are told apart.
const MOST: usize = 20;

/// Returns those who get another verdict on the name, with that verdict and the waiver that it rests on.
pub(super) fn of(question: &Question, snapshot: &Snapshot) -> Vec<String> {
    let decide = |audience: &Audience| {
        let ruling = snapshot.rule(&question.asked, &audience.clients[0], question.when);
        (ruling.verdict, ruling.waiver)
    };
    let own = snapshot.rule(&question.asked, &question.client, question.when).verdict;
    let audiences = audience::of([snapshot, snapshot]);
    let decided: Vec<(Verdict, Option<&str>)> = audiences.iter().map(decide).collect();
    let others = audiences.iter().zip(&decided).filter(|(audience, (verdict, waiver))| {
        // Where the clients of a network are treated as their group is, the group says it.
        *verdict != own && audience.within.is_none_or(|group| decided[group] != (*verdict, *waiver))
    });
    let told = others.map(|(audience, (verdict, waiver))| {
        let waiver = waiver.map(|id| format!(", by waiver {id}")).unwrap_or_default();
        format!("{}: {verdict}{waiver}", audience.label())
    });
    told.take(MOST).collect()
}
