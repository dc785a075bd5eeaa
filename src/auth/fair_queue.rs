//! The order in which passwords are verified: sources take turns, so that one with many
//! CONNECTs does not delay another.
//!
//! A pure state machine, without a clock and without wake-ups. A source is any key that
//! distinguishes clients; [`Slots`](super::slots::Slots) uses addresses.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;

/// A fixed number of slots, and a bounded queue of tickets for each source.
///
/// A source moves behind all others when it is given a slot, and again when one of its tickets
/// finishes. A source without a slot therefore waits for at most one ticket of each other
/// source; if one source holds all slots, it waits for the next of those to finish.
#[derive(Debug)]
pub(super) struct FairQueue<S, T> {
    slots: usize,
    /// Maximum number of waiting tickets per source.
    bound: usize,
    running: usize,
    /// Only sources that wait or run.
    lines: HashMap<S, Line<T>>,
    /// The sources that wait, by turn.
    order: BTreeMap<u64, S>,
    next_position: u64,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<T>,
    running: usize,
    /// The key in `order` while a ticket waits.
    turn: u64,
}

/// The result of adding a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entered {
    /// It has a slot.
    Runs,
    /// It waits in its source's queue.
    Waits,
    /// It was rejected: its source's queue is full.
    Full,
}

impl<S: Copy + Eq + Hash, T> FairQueue<S, T> {
    /// Creates a queue without tickets. `bound` is the maximum number of waiting tickets per
    /// source.
    pub(super) fn new(slots: usize, bound: usize) -> Self {
        Self {
            slots,
            bound,
            running: 0,
            lines: HashMap::new(),
            order: BTreeMap::new(),
            next_position: 0,
        }
    }

    /// Adds a ticket. If it [`Runs`](Entered::Runs), end it with [`finish`](Self::finish).
    pub(super) fn enter(&mut self, source: S, ticket: T) -> Entered {
        // No ticket waits while a slot is free.
        let runs = self.running < self.slots;
        if !runs && self.lines.get(&source).map_or(0, |line| line.waiting.len()) >= self.bound {
            return Entered::Full;
        }
        let new = || Line { waiting: VecDeque::new(), running: 0, turn: 0 };
        let line = self.lines.entry(source).or_insert_with(new);
        if runs {
            line.running += 1;
            self.running += 1;
            return Entered::Runs;
        }
        line.waiting.push_back(ticket);
        if line.waiting.len() == 1 {
            self.put_last(source);
        }
        Entered::Waits
    }

    /// Removes a waiting ticket. False if it does not wait (any more).
    pub(super) fn leave(&mut self, source: S, is_it: impl Fn(&T) -> bool) -> bool {
        let Some(line) = self.lines.get_mut(&source) else { return false };
        let Some(place) = line.waiting.iter().position(is_it) else { return false };
        line.waiting.remove(place);
        if line.waiting.is_empty() {
            self.order.remove(&line.turn);
            self.remove_if_idle(source);
        }
        true
    }

    /// Frees the slot of a ticket of `source`. Returns the ticket that takes it.
    pub(super) fn finish(&mut self, source: S) -> Option<T> {
        let line = self.lines.get_mut(&source)?;
        line.running = line.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        self.put_last(source);
        self.remove_if_idle(source);
        self.next()
    }

    /// Gives a slot to the first ticket of the source whose turn it is.
    fn next(&mut self) -> Option<T> {
        let (_, source) = self.order.pop_first()?;
        let line = self.lines.get_mut(&source)?;
        let ticket = line.waiting.pop_front()?;
        line.running += 1;
        self.running += 1;
        self.put_last(source);
        Some(ticket)
    }

    /// Moves `source` behind all other sources if any of its tickets waits.
    fn put_last(&mut self, source: S) {
        let Some(line) = self.lines.get_mut(&source) else { return };
        if self.order.get(&line.turn) == Some(&source) {
            self.order.remove(&line.turn);
        }
        if !line.waiting.is_empty() {
            line.turn = self.next_position;
            self.order.insert(line.turn, source);
            self.next_position += 1;
        }
    }

    fn remove_if_idle(&mut self, source: S) {
        if self.lines.get(&source).is_some_and(|line| line.running == 0 && line.waiting.is_empty())
        {
            self.lines.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests;
