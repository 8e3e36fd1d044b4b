//! From a name or an address to the entries that match it, without allocating.

use std::collections::HashMap;

use super::networks::Networks;
use super::pattern::{Glob, Pattern, Specificity};
use crate::message::Name;
use crate::query::TargetRef;

/// Entries by name and by network. Keys come from catalogues and never from queries.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: HashMap<Name, Node, foldhash::fast::RandomState>,
    networks: Networks,
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
            Pattern::Network(network) => self.networks.insert(*network, entry),
        }
    }

    fn node(&mut self, name: &Name) -> &mut Node {
        self.nodes.entry(name.clone()).or_default()
    }

    /// Returns whether any entry matches `target`.
    pub(super) fn matches<'t>(&self, target: impl Into<TargetRef<'t>>) -> bool {
        let mut found = false;
        self.visit(target.into(), |_, _| found = true);
        found
    }

    /// Calls `visitor` with each entry that matches `target` and how specifically it does.
    pub(super) fn visit(&self, target: TargetRef<'_>, visitor: impl FnMut(usize, Specificity)) {
        match target {
            TargetRef::Name(name) => self.visit_name(name, visitor),
            TargetRef::Address(address) => self.networks.visit(address, visitor),
        }
    }

    fn visit_name(&self, name: &Name, mut visitor: impl FnMut(usize, Specificity)) {
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
