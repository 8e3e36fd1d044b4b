//! From a name to the entries that match it, without allocating.

use std::collections::HashMap;

use super::pattern::{Glob, Pattern, Specificity};
use crate::message::Name;

/// Entries by name. Keys come from catalogues and never from queries.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: HashMap<Name, Node, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Node {
    exact: Vec<usize>,
    pattern: Vec<usize>,
    suffix: Vec<usize>,
    globs: Vec<(Glob, usize)>,
}

impl Index {
    pub(super) fn insert(&mut self, pattern: &Pattern, entry: usize) {
        match pattern {
            Pattern::Exact(name) => self.node(name).exact.push(entry),
            Pattern::Suffix(name) => self.node(name).suffix.push(entry),
            Pattern::Pattern { names, globs } => {
                for name in names {
                    self.node(name).pattern.push(entry);
                }
                for glob in globs {
                    self.node(glob.tail()).globs.push((glob.clone(), entry));
                }
            }
        }
    }

    fn node(&mut self, name: &Name) -> &mut Node {
        self.nodes.entry(name.clone()).or_default()
    }

    /// Returns whether any entry matches `name`.
    pub(super) fn matches(&self, name: &Name) -> bool {
        let mut found = false;
        self.visit(name, |_, _| found = true);
        found
    }

    /// Calls `visitor` with each entry that matches `name` and how specifically it does.
    pub(super) fn visit(&self, name: &Name, mut visitor: impl FnMut(usize, Specificity)) {
        for (depth, wire) in name.suffixes().enumerate() {
            let Some(node) = self.nodes.get(wire) else { continue };
            if depth == 0 {
                node.exact.iter().for_each(|entry| visitor(*entry, Specificity::Exact));
                node.pattern.iter().for_each(|entry| visitor(*entry, Specificity::Pattern));
            }
            for (glob, entry) in &node.globs {
                if glob.matches(name) {
                    visitor(*entry, Specificity::Pattern);
                }
            }
            if !node.suffix.is_empty() {
                let labels = name.label_count() - depth;
                node.suffix.iter().for_each(|entry| visitor(*entry, Specificity::Suffix(labels)));
            }
        }
    }
}
