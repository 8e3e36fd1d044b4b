//! A name a line, with comments.

use super::super::gather::Gathered;
use super::super::index::Scope;
use super::super::rule::{Action, Choice};

/// What a name without anything before it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A name is that name; `*.NAME` are those below it.
    AsWritten,
    /// A name is that name and all below it, `*.NAME` and `.NAME` as well.
    WithAllBelow,
}

pub(super) fn parse(text: &str, meaning: Meaning, gathered: &mut Gathered) {
    // Taken once: millions of lines say the same.
    let Ok(block) = gathered.number(Choice::plain(Action::Block)) else { return };
    super::each_line(text, gathered, |line, gathered| {
        let line = match line.find(['#', ';', ' ', '\t']) {
            Some(end) if line[end..].trim_start().starts_with(['#', ';']) => line[..end].trim_end(),
            Some(_) => return Err("more than one name, or something else than a name".to_owned()),
            None => line,
        };
        if line.is_empty() {
            return Ok(());
        }
        let (scope, name) = match (meaning, line.strip_prefix("*.")) {
            (Meaning::AsWritten, None) => (Scope::Exact, line),
            (Meaning::AsWritten, Some(name)) => (Scope::Below, name),
            (Meaning::WithAllBelow, Some(name)) => (Scope::Both, name),
            (Meaning::WithAllBelow, None) => (Scope::Both, line.strip_prefix('.').unwrap_or(line)),
        };
        gathered.add(&super::name(name)?, scope, block);
        Ok(())
    });
}
