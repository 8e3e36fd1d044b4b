//! What in a response a rule could match, and an answer without it. Pure; decides nothing.

mod data;
mod examined;
mod private;
mod removal;

use std::collections::HashSet;

pub use private::{Rebinding, is_private, leads_inside};
pub use removal::{without, without_ech};

use crate::message::{Malformed, ResponseView};
use crate::query::{Place, Subject, Subjects, Target};
use examined::Examined;

/// What the operator wants of answers besides what policy says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guards {
    /// Who may have private addresses; anybody where there is no such protection.
    pub rebinding: Option<Rebinding>,
    /// Whether keys for Encrypted ClientHello are taken out of service bindings.
    pub removes_ech: bool,
}

/// The most octets that the subjects of one answer may take: as many as a message has. An honest answer writes out fewer;
/// one that says long names over and over by pointers is refused.
const MAX_SUBJECTS: usize = u16::MAX as usize;

/// Among how many subjects the same one is found sooner by comparing each with each than by hashing them.
const FEW_SUBJECTS: usize = 16;

/// Returns what the answer leads a client to, each name and address once, or twice where it both hangs on the chain and does
/// not: what protects a name of the chain stands before the one and not before the other. First come the names on the way
/// from the question to its data, in that order; then what the records say. All sections count: resolvers put the rest of a chain of service
/// bindings into the additional one (RFC 9460, section 4.2), and clients use it.
///
/// # Errors
/// `Malformed` where the data of such a record do not fit its type, or lead to more than any answer needs to: what
/// cannot be inspected must not pass.
pub fn subjects(response: &ResponseView<'_>) -> Result<Vec<Subject>, Malformed> {
    let mut examined = Examined::of(response)?;
    let mut found = std::mem::take(&mut examined.chain.subjects);
    let has_chain = !found.is_empty();
    found.reserve(examined::FEW_NAMES);
    for (record, owner) in examined.records() {
        examined.subjects_of((record, owner), &mut found)?;
    }
    // What the answer says counts before what stands beside it, where it is the same.
    found.sort_by_key(|of| of.place == Place::Aside);
    keep_first(&mut found, has_chain);
    if Subjects::size_of(&found) > MAX_SUBJECTS { Err(Malformed) } else { Ok(found) }
}

/// Keeps of equal subjects the first.
fn keep_first(found: &mut Vec<Subject>, has_chain: bool) {
    fn key(of: &Subject, has_chain: bool) -> (&Target, bool) {
        (&of.target, has_chain && of.behind_chain)
    }
    if found.len() > FEW_SUBJECTS {
        let mut known = HashSet::new();
        let is_new: Vec<bool> = found.iter().map(|of| known.insert(key(of, has_chain))).collect();
        let mut is_new = is_new.into_iter();
        found.retain(|_| is_new.next() == Some(true));
        return;
    }
    let mut kept = 0;
    for at in 0..found.len() {
        if found[..kept].iter().all(|before| key(before, has_chain) != key(&found[at], has_chain)) {
            found.swap(kept, at);
            kept += 1;
        }
    }
    found.truncate(kept);
}

#[cfg(test)]
mod tests;
