//! Removes retained messages that have expired or that the disk has refused.

use super::super::budget::{Budget, NODE, NODES_AT_ONCE};
use super::super::{Broker, Step};
use super::RetainedMessages;
use super::versions::Versions;
use crate::message::CommitNo;
use crate::protocol::level_count;
use crate::store::Change;

impl Broker {
    /// Removes expired messages, in turns with other tasks, with one topic for each hold of
    /// the lock. Must not be cancelled.
    pub(in crate::broker) async fn expire_retained(&self) {
        let mut from = Some(0);
        let mut budget = Budget::of_long_poll();
        let mut turn = None;
        while let Some(first) = from {
            let mut step = Step::new(self);
            let now = step.now.wall;
            let due = |versions: &Versions| versions.is_to_be_checked(now);
            let (topics, next) = self.retained.tree.read().scan(first, NODES_AT_ONCE, due);
            from = next;
            budget.spend(NODES_AT_ONCE);
            for topic in topics {
                // The topic's path is walked twice: to find it, and to remove it.
                budget.spend(2 * NODE * level_count(&topic));
                self.retained.expire(topic, self.persistence.committed(), &mut step);
                if budget.is_spent() {
                    step.submit_or_log(self);
                    self.turns.pause(&mut turn).await;
                    budget = Budget::of_long_poll();
                }
            }
            step.submit_or_log(self);
        }
    }
}

impl RetainedMessages {
    fn expire(&self, topic: String, committed: CommitNo, step: &mut Step) {
        let now = step.now.wall;
        let mut retained = self.tree.write();
        // It may have been replaced meanwhile.
        let Some(versions) = retained.get_mut(&topic) else { return };
        versions.prune(committed);
        self.recount(versions);
        if versions.current().is_some_and(|record| !record.is_expired(now)) {
            return;
        }
        // While versions are undecided, an expired one does not remove those below it, which
        // may become current again. Subscribers get no expired version meanwhile.
        if versions.stack.len() > 1 {
            return;
        }
        if let Some(removed) = retained.remove(&topic) {
            self.count_retained(removed.counted.as_ref(), None);
        }
        step.change(Change::Unretain(topic.into()));
    }
}
