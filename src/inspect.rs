//! What in a response a rule could match, and an answer without it. Pure; decides nothing.

mod data;
mod examined;
mod private;
mod removal;

use std::collections::HashSet;

pub use private::{Rebinding, is_private, leads_inside};
pub use removal::{without, without_ech};

use crate::message::{Malformed, ResponseView};
use crate::query::{Place, Subject, Subjects};
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

/// Returns what the answer leads a client to, each name and address once: first the names on the way from the question to
/// its data, in that order; then what the records say. All sections count: resolvers put the rest of a chain of service
/// bindings into the additional one (RFC 9460, section 4.2), and clients use it.
///
/// # Errors
/// `Malformed` where the data of such a record do not fit its type, or lead to more than any answer needs to: what
/// cannot be inspected must not pass.
pub fn subjects(response: &ResponseView<'_>) -> Result<Subjects, Malformed> {
    let examined = Examined::of(response)?;
    let (mut said, mut beside) = (examined.chain.subjects.clone(), Vec::new());
    for (record, owner) in &examined.records {
        for subject in examined.subjects_of(record, owner)? {
            match subject.place {
                Place::Chain | Place::Answer => said.push(subject),
                Place::Aside => beside.push(subject),
            }
        }
    }
    // What the answer says counts before what stands beside it, where it is the same.
    said.append(&mut beside);
    let mut known = HashSet::new();
    let subjects: Vec<&Subject> = said.iter().filter(|subject| known.insert(&subject.target)).collect();
    let subjects = Subjects::new(subjects);
    if subjects.size() > MAX_SUBJECTS { Err(Malformed) } else { Ok(subjects) }
}

#[cfg(test)]
mod tests;
