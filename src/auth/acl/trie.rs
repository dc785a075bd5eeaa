//! Clauses by the levels of their filters. A search visits the nodes whose paths match the
//! beginning of the topic.

use ahash::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::clause::Clause;
use super::index::Search;
use super::pattern::{Compared, Placeholders};

/// What a clause decides if its filter could match the topic with another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forced {
    /// It denies, whatever its rule says.
    Deny,
    /// It denies if its rule does.
    IfDenies,
}

const ROOT: u32 = 0;

#[derive(Debug, Default)]
struct Node {
    /// Clauses whose filters end here, in their order.
    ends: Vec<u32>,
    /// Clauses whose filters end here and in `#`.
    rests: Vec<u32>,
    plus: Option<u32>,
    /// Levels with placeholders.
    named: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    level: Box<str>,
    placeholders: Placeholders,
    node: u32,
    /// All clauses at and below `node`.
    below: Vec<u32>,
}

#[derive(Debug)]
struct Edge {
    parent: u32,
    level: Box<str>,
    child: u32,
}

#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    edges: HashTable<Edge>,
    seed: RandomState,
}

/// A node to be visited, where in the topic it continues, and whether only clauses count whose
/// first wildcard matches a topic that begins with `$`.
type Visit = (u32, usize, bool);

impl Trie {
    pub(super) fn new(clauses: &[Clause]) -> Self {
        let mut trie = Self { nodes: vec![Node::default()], ..Self::default() };
        for (at, clause) in (0..).zip(clauses) {
            trie.insert(at, clause);
        }
        trie.nodes.shrink_to_fit();
        trie
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        let lists = |node: &Node| {
            let below: usize = node.named.iter().map(|named| named.below.capacity()).sum();
            (node.ends.capacity() + node.rests.capacity() + below) * size_of::<u32>()
                + node.named.capacity() * size_of::<Named>()
        };
        self.nodes.capacity() * size_of::<Node>()
            + self.nodes.iter().map(lists).sum::<usize>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.edges.iter().map(|edge| edge.level.len()).sum::<usize>()
    }

    fn insert(&mut self, at: u32, clause: &Clause) {
        let mut node = ROOT;
        for level in clause.pattern.as_str().split('/') {
            if level == "#" {
                if let Some(node) = self.node_mut(node) {
                    node.rests.push(at);
                }
                return;
            }
            node = if clause.pattern.placeholders().are_in(level) {
                self.named_child(node, level, clause.pattern.placeholders(), at)
            } else if level == "+" {
                self.plus_child(node)
            } else {
                self.literal_child(node, level)
            };
        }
        if let Some(node) = self.node_mut(node) {
            node.ends.push(at);
        }
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(node as usize)
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        // A file of so many levels does not fit into memory.
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    fn plus_child(&mut self, parent: u32) -> u32 {
        if let Some(child) = self.node_mut(parent).and_then(|node| node.plus) {
            return child;
        }
        let child = self.new_node();
        if let Some(node) = self.node_mut(parent) {
            node.plus = Some(child);
        }
        child
    }

    fn named_child(&mut self, parent: u32, level: &str, kind: Placeholders, at: u32) -> u32 {
        let is_known = |named: &&mut Named| *named.level == *level && named.placeholders == kind;
        let known = self.node_mut(parent).and_then(|node| node.named.iter_mut().find(is_known));
        if let Some(named) = known {
            named.below.push(at);
            return named.node;
        }
        let child = self.new_node();
        if let Some(node) = self.node_mut(parent) {
            let (level, below) = (level.into(), vec![at]);
            node.named.push(Named { level, placeholders: kind, node: child, below });
        }
        child
    }

    fn literal_child(&mut self, parent: u32, level: &str) -> u32 {
        if let Some(child) = self.literal(parent, level) {
            return child;
        }
        let child = self.new_node();
        let hash = self.seed.hash_one((parent, level));
        let seed = &self.seed;
        let rehash = |edge: &Edge| seed.hash_one((edge.parent, &*edge.level));
        self.edges.insert_unique(hash, Edge { parent, level: level.into(), child }, rehash);
        child
    }

    fn literal(&self, parent: u32, level: &str) -> Option<u32> {
        let hash = self.seed.hash_one((parent, level));
        let found = self.edges.find(hash, |edge| edge.parent == parent && *edge.level == *level);
        found.map(|edge| edge.child)
    }

    /// Considers all clauses whose filters match the topic.
    pub(super) fn search(&self, search: &mut Search<'_>, clauses: &[Clause]) {
        let topic = search.topic;
        let mut stack: SmallVec<[Visit; 8]> = SmallVec::new();
        stack.push((ROOT, 0, false));
        while let Some((id, start, only_dollar)) = stack.pop() {
            let Some(node) = self.nodes.get(id as usize) else { continue };
            // [MQTT-4.7.2-1], except for rules that deny.
            let wild_only_dollar = only_dollar || (id == ROOT && topic.starts_with('$'));
            // Beyond the end by one: there is no slash after the last level.
            let rest = topic.get(start..);
            // `#` includes the parent level, so it also matches if the topic ends here.
            search.consider(&node.rests, clauses, wild_only_dollar, None);
            for named in &node.named {
                let Named { level, placeholders, node, below } = named;
                match placeholders.compare(level, search.names, rest, id == ROOT) {
                    Compared::Equal(len) => stack.push((*node, start + len + 1, only_dollar)),
                    Compared::Differ => {}
                    Compared::Unsafe => {
                        search.consider(below, clauses, only_dollar, Some(Forced::Deny));
                    }
                    Compared::Unknown => {
                        search.consider(below, clauses, only_dollar, Some(Forced::IfDenies));
                    }
                }
            }
            let Some(rest) = rest else {
                search.consider(&node.ends, clauses, only_dollar, None);
                continue;
            };
            let level = rest.split('/').next().unwrap_or_default();
            let next = start + level.len() + 1;
            if let Some(plus) = node.plus {
                stack.push((plus, next, wild_only_dollar));
            }
            if let Some(child) = self.literal(id, level) {
                stack.push((child, next, only_dollar));
            }
        }
    }
}
