//! Retained messages: kept in memory for quick matching, and in the store.
//!
//! Under each topic stand the messages that were retained and are not known to be on disk
//! or refused yet, the last one on top: if the disk has no room for it, the one below
//! holds again, in memory as in the file.

use std::sync::Arc;

use smallvec::SmallVec;

use super::budget::{Budget, NODE, NODES_AT_ONCE};
use super::{Broker, Publication, Step};
use crate::message::{Message, WallMillis};
use crate::protocol::level_count;
use crate::router::Walk;
use crate::store::{Change, RetainedRecord};
use crate::telemetry::DropReason;

/// One message that was retained under a topic.
#[derive(Debug, Clone)]
struct Version {
    record: Arc<RetainedRecord>,
    /// As long as the disk may still refuse it.
    message: Option<Arc<Message>>,
}

impl Version {
    fn is_refused(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.durability.is_refused())
    }

    fn is_final(&self, committed: u64) -> bool {
        self.message.as_ref().is_none_or(|message| message.durability.may_acknowledge(committed))
    }
}

/// What is retained under one topic; the last one that was not refused holds.
#[derive(Debug, Default)]
pub(super) struct Versions {
    stack: SmallVec<[Version; 1]>,
    /// The one that is in the gauges.
    counted: Option<Arc<RetainedRecord>>,
}

impl Versions {
    fn of(version: Version) -> Self {
        Self { stack: SmallVec::from_iter([version]), counted: None }
    }

    /// The message that holds.
    pub(super) fn current(&self) -> Option<&Arc<RetainedRecord>> {
        self.stack.iter().rev().find(|version| !version.is_refused()).map(|version| &version.record)
    }

    /// Lets go of what can hold no more: the refused, and all below one that is on disk.
    fn prune(&mut self, committed: u64) {
        self.stack.retain(|version| !version.is_refused());
        if let Some(last) = self.stack.iter().rposition(|version| version.is_final(committed)) {
            self.stack.drain(..last);
            if let Some(first) = self.stack.first_mut() {
                first.message = None;
            }
        }
    }
}

impl Broker {
    /// True if a retained message under this topic could be kept: it would replace
    /// one, or there is room.
    pub fn has_room_to_retain(&self, publication: &Publication<'_>) -> bool {
        if publication.payload.is_empty() {
            return true;
        }
        let bytes = self.metrics.messages.retained_bytes.get();
        let bytes = u64::try_from(bytes).unwrap_or(0)
            + cost_of(publication.topic, publication.properties, publication.payload);
        bytes <= self.settings.max_retained_bytes
            // The broker's own, under $SYS, do not count.
            && (self.retained_count() < self.settings.max_retained_messages
                || self.retained.read().get(publication.topic).is_some())
    }

    /// Keeps a message for later subscribers, in place of the one before
    /// [MQTT-3.3.1-5]; an empty payload removes it [MQTT-3.3.1-6]. If the disk refuses
    /// `message`, the one before holds again by itself.
    pub fn retain(&self, publication: &Publication<'_>, message: &Arc<Message>, step: &mut Step) {
        let topic = publication.topic;
        if publication.payload.is_empty() {
            self.remove_from_retained(topic, step);
            return;
        }
        let may_be_refused = message.is_kept && message.publisher.is_some();
        // Whoever can be told was told before the message was made; others that came in
        // between do not undo that.
        if !may_be_refused && !self.has_room_to_retain(publication) {
            self.metrics.messages.dropped.add(DropReason::RetainedLimit, 1);
            return;
        }
        let record = Arc::new(record_of(publication, step.now.wall));
        let version = Version {
            record: Arc::clone(&record),
            message: may_be_refused.then(|| Arc::clone(message)),
        };
        let committed = self.persistence.committed();
        let mut retained = self.retained.write();
        if let Some(versions) = retained.get_mut(topic) {
            // As many may be undecided as publishers have in flight: not at each of them.
            if versions.stack.len().is_power_of_two() {
                versions.prune(committed);
            }
            versions.stack.push(version);
            self.recount(versions);
        } else {
            let mut versions = Versions::of(version);
            self.recount(&mut versions);
            retained.insert(topic, versions);
        }
        // Under the lock, so that the file agrees with memory on which is the last.
        step.change(Change::Retain(record, message.is_kept.then_some(message.id)));
    }

    /// True if it has not been replaced or removed since it was found. What has replaced it
    /// reaches new subscribers as a message of its own, and must not come before it
    /// [MQTT-4.6.0-6].
    pub(super) fn is_still_retained(&self, record: &Arc<RetainedRecord>) -> bool {
        let retained = self.retained.read();
        let current = retained.get(&record.topic).and_then(Versions::current);
        current.is_some_and(|current| Arc::ptr_eq(current, record))
    }

    /// Removes what is retained under a topic. False: nothing is.
    pub(super) fn remove_from_retained(&self, topic: &str, step: &mut Step) -> bool {
        let mut retained = self.retained.write();
        let Some(removed) = retained.remove(topic) else { return false };
        self.count_retained(removed.counted.as_ref(), None);
        step.change(Change::Unretain(topic.into()));
        removed.current().is_some()
    }

    /// The disk has answered for a message that was to be retained: what can hold no more
    /// is let go of.
    pub fn retained_is_decided(&self, message: &Message) {
        let is_settled = |versions: &Versions| versions.stack.iter().all(|it| it.message.is_none());
        if self.retained.read().get(message.topic()).is_none_or(is_settled) {
            return;
        }
        let mut retained = self.retained.write();
        let Some(versions) = retained.get_mut(message.topic()) else { return };
        versions.prune(self.persistence.committed());
        self.recount(versions);
        if versions.stack.is_empty() {
            retained.remove(message.topic());
        }
    }

    /// Keeps a message of the broker's own, such as `$SYS`, in memory alone.
    pub(super) fn retain_in_memory(&self, publication: &Publication<'_>, now: WallMillis) {
        let record = Arc::new(record_of(publication, now));
        let versions = Versions::of(Version { record, message: None });
        self.retained.write().insert(publication.topic, versions);
    }

    /// Puts back what a start has found.
    pub(super) fn recover_retained(&self, records: Vec<RetainedRecord>) {
        let mut retained = self.retained.write();
        for record in records {
            let record = Arc::new(record);
            let mut versions = Versions::of(Version { record: Arc::clone(&record), message: None });
            self.recount(&mut versions);
            retained.insert(&record.topic, versions);
        }
    }

    /// Goes on with the search for what is retained under a filter, under one short hold
    /// of the lock, and returns how many nodes it has looked at.
    pub(super) fn search_retained(
        &self,
        walk: &mut Walk,
        now: WallMillis,
        found: &mut Vec<Arc<RetainedRecord>>,
    ) -> usize {
        self.retained.read().advance(walk, NODES_AT_ONCE, &mut |_, versions: &Versions| {
            found.extend(versions.current().filter(|record| !record.is_expired(now)).cloned());
        })
    }

    fn retained_count(&self) -> usize {
        usize::try_from(self.metrics.messages.retained.get()).unwrap_or(0)
    }

    /// Brings the gauges up to what holds now.
    fn recount(&self, versions: &mut Versions) {
        let now = versions.current().cloned();
        self.count_retained(versions.counted.as_ref(), now.as_ref());
        versions.counted = now;
    }

    /// Under a topic `before` was retained, and now `after` is.
    fn count_retained(
        &self,
        before: Option<&Arc<RetainedRecord>>,
        after: Option<&Arc<RetainedRecord>>,
    ) {
        let messages = &self.metrics.messages;
        let count = |record: Option<_>| i64::from(record.is_some());
        let bytes = |record: Option<&Arc<RetainedRecord>>| {
            let cost = |record: &Arc<RetainedRecord>| {
                cost_of(&record.topic, &record.properties, &record.payload)
            };
            i64::try_from(record.map_or(0, cost)).unwrap_or(i64::MAX)
        };
        messages.retained.add(count(after) - count(before));
        messages.retained_bytes.add(bytes(after) - bytes(before));
    }

    /// Removes what has expired, in turns with other tasks and with one topic under each
    /// hold of the lock. Not to be cancelled.
    pub(super) async fn expire_retained(&self) {
        let mut from = Some(0);
        let mut budget = Budget::of_long_poll();
        let mut turn = None;
        while let Some(first) = from {
            let mut step = Step::new(self);
            let now = step.now.wall;
            let due = |versions: &Versions| {
                versions.stack.iter().any(|it| it.message.is_some() || it.record.is_expired(now))
            };
            let (topics, next) = self.retained.read().scan(first, NODES_AT_ONCE, due);
            from = next;
            budget.spend(NODES_AT_ONCE);
            for topic in topics {
                // Found by its path, and taken out along it.
                budget.spend(2 * NODE * level_count(&topic));
                self.expire_topic(topic, &mut step);
                if budget.is_spent() {
                    step.submit_or_log(self);
                    self.long_polls.pause(&mut turn).await;
                    budget = Budget::of_long_poll();
                }
            }
            step.submit_or_log(self);
        }
    }

    fn expire_topic(&self, topic: String, step: &mut Step) {
        let now = step.now.wall;
        let mut retained = self.retained.write();
        // It may have been replaced since.
        let Some(versions) = retained.get_mut(&topic) else { return };
        versions.prune(self.persistence.committed());
        self.recount(versions);
        if versions.current().is_some_and(|record| !record.is_expired(now)) {
            return;
        }
        // What the disk may still refuse removes nothing by expiring: the one below it
        // may come to hold again. Subscribers see neither until that is decided.
        if versions.stack.len() > 1 {
            return;
        }
        if let Some(removed) = retained.remove(&topic) {
            self.count_retained(removed.counted.as_ref(), None);
        }
        step.change(Change::Unretain(topic.into()));
    }
}

/// What a retained message takes in memory: its record, its topic once more, level by level,
/// and a node for each level, as if no other topic began like it.
fn cost_of(topic: &str, properties: &[u8], payload: &[u8]) -> u64 {
    const RECORD: usize = 192;
    const LEVEL: usize = 104;
    let levels = level_count(topic);
    (RECORD + LEVEL * levels + 2 * topic.len() + properties.len() + payload.len()) as u64
}

fn record_of(publication: &Publication<'_>, now: WallMillis) -> RetainedRecord {
    RetainedRecord {
        topic: publication.topic.into(),
        properties: publication.properties.to_vec(),
        payload: publication.payload.to_vec(),
        qos: publication.qos,
        published_at: now,
        expires_at: publication.expires_at,
    }
}
