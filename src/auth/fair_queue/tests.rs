//! The queue, compared with a list of waiting and running tickets.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const SOURCES: u8 = 5;

#[derive(Debug, Clone)]
enum Step {
    Enter(u8),
    /// Removes a waiting ticket, by its index.
    Leave(usize),
    /// Finishes a running ticket, by its index.
    Finish(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // One source floods.
        4 => Just(Step::Enter(0)),
        3 => (1..SOURCES).prop_map(Step::Enter),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => any::<usize>().prop_map(Step::Finish),
    ];
    prop::collection::vec(step, 1..400)
}

/// Checks all guarantees after each step.
struct Model {
    queue: FairQueue<u8, u32>,
    slots: usize,
    bound: usize,
    /// In order of arrival.
    waiting: Vec<(u8, u32)>,
    running: Vec<(u8, u32)>,
    /// For each waiting source: the sources that were served since its last turn.
    seen: BTreeMap<u8, Vec<u8>>,
    next: u32,
}

impl Model {
    fn new(slots: usize, bound: usize) -> Self {
        let queue = FairQueue::new(slots, bound);
        let (waiting, running, seen) = Default::default();
        Self { queue, slots, bound, waiting, running, seen, next: 0 }
    }

    fn enter(&mut self, source: u8) {
        let ticket = self.next;
        self.next += 1;
        let line = self.waiting.iter().filter(|(other, _)| *other == source).count();
        let expected = if self.running.len() < self.slots {
            self.running.push((source, ticket));
            Entered::Runs
        } else if line < self.bound {
            self.waiting.push((source, ticket));
            self.seen.entry(source).or_default();
            Entered::Waits
        } else {
            // Its own queue is full, regardless of the others.
            Entered::Full
        };
        assert_eq!(self.queue.enter(source, ticket), expected);
    }

    fn leave(&mut self, index: usize) {
        if self.waiting.is_empty() {
            return;
        }
        let (source, ticket) = self.waiting.remove(index % self.waiting.len());
        assert!(self.queue.leave(source, |other| *other == ticket));
        assert!(!self.queue.leave(source, |other| *other == ticket));
        self.seen.retain(|source, _| self.waiting.iter().any(|(other, _)| other == source));
    }

    fn finish(&mut self, index: usize) {
        if self.running.is_empty() {
            return;
        }
        let (source, ticket) = self.running.remove(index % self.running.len());
        assert!(!self.queue.leave(source, |other| *other == ticket), "it runs");
        // A source whose own ticket finishes moves behind the others, so its record starts
        // again.
        if let Some(seen) = self.seen.get_mut(&source) {
            seen.clear();
        }
        let served = self.queue.finish(source);
        let Some(served) = served else {
            assert!(self.waiting.is_empty(), "a slot is free while somebody waits");
            return;
        };
        let place = self.waiting.iter().position(|(_, ticket)| *ticket == served).unwrap();
        let (winner, _) = self.waiting.remove(place);
        let earlier = self.waiting[..place].iter().any(|(other, _)| *other == winner);
        assert!(!earlier, "the tickets of one source are served in the order of their coming");
        let others: BTreeSet<u8> = self.waiting.iter().map(|(source, _)| *source).collect();
        let only_its_own = others.iter().all(|other| *other == source);
        assert!(winner != source || only_its_own, "a slot that {source} gave back was its again");
        self.running.push((winner, served));
        self.seen.remove(&winner);
        for other in others {
            let seen = self.seen.entry(other).or_default();
            if other != winner {
                assert!(!seen.contains(&winner), "{winner} is served twice while {other} waits");
                seen.push(winner);
            }
        }
    }

    fn check(&self) {
        assert!(self.running.len() <= self.slots);
        assert_eq!(self.queue.running, self.running.len());
        assert!(self.waiting.is_empty() || self.running.len() == self.slots);
        let known: BTreeSet<u8> = self.queue.lines.keys().copied().collect();
        let active = self.waiting.iter().chain(&self.running).map(|(source, _)| *source);
        assert_eq!(known, active.collect(), "only sources that wait or run are kept");
        let waiting: BTreeSet<u8> = self.waiting.iter().map(|(source, _)| *source).collect();
        let order: Vec<u8> = self.queue.order.values().copied().collect();
        assert_eq!(order.len(), waiting.len());
        assert_eq!(waiting, order.into_iter().collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn sources_take_turns_whatever_comes(
        slots in 1usize..4, bound in 1usize..6, steps in steps()
    ) {
        let mut model = Model::new(slots, bound);
        for step in steps {
            match step {
                Step::Enter(source) => model.enter(source),
                Step::Leave(index) => model.leave(index),
                Step::Finish(index) => model.finish(index),
            }
            model.check();
        }
        // Without further tickets, everything finishes and nothing is kept.
        while !model.running.is_empty() {
            model.finish(0);
            model.check();
        }
        prop_assert!(model.queue.lines.is_empty() && model.queue.order.is_empty());
    }

    #[test]
    fn a_newcomer_has_the_next_slot_that_a_flood_gives_back(
        slots in 1usize..5, flood in 0usize..50, served in 0usize..20
    ) {
        let mut queue = FairQueue::new(slots, 100);
        for ticket in 0..slots + flood {
            queue.enter("flood", ticket);
        }
        for _ in 0..served.min(flood) {
            prop_assert!(queue.finish("flood").is_some());
        }
        prop_assert_eq!(queue.enter("newcomer", usize::MAX), Entered::Waits);
        prop_assert_eq!(queue.finish("flood"), Some(usize::MAX));
    }
}

#[test]
fn a_full_line_of_one_source_is_not_full_for_another() {
    let mut queue = FairQueue::new(1, 2);
    assert_eq!(queue.enter("a", 0), Entered::Runs);
    assert_eq!(queue.enter("a", 1), Entered::Waits);
    assert_eq!(queue.enter("a", 2), Entered::Waits);
    assert_eq!(queue.enter("a", 3), Entered::Full);
    assert_eq!(queue.enter("b", 4), Entered::Waits);
    assert_eq!(queue.finish("a"), Some(4));
}
