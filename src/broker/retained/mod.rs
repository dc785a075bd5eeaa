//! Retained messages: in memory for fast matching, and in the store. Owns its lock, which
//! comes after those of registry and session in the order of locks.

mod expiry;
mod versions;

use std::sync::Arc;

use self::versions::{Version, Versions};
use super::budget::NODES_AT_ONCE;
use super::{Publication, Settings, Step};
use crate::message::{CommitNo, Message, WallMillis};
use crate::router::{Retained, Walk};
use crate::store::{Change, RetainedRecord};
use crate::sync::RwLock;
use crate::telemetry::{DropReason, Metrics};

/// See the module.
#[derive(Debug)]
pub(super) struct RetainedMessages {
    tree: RwLock<Retained<Versions>>,
    /// `mqtt.max_retained_bytes`.
    max_bytes: u64,
    /// `mqtt.max_retained_messages`.
    max_messages: usize,
    metrics: Arc<Metrics>,
}

impl RetainedMessages {
    pub(super) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Self {
        Self {
            tree: RwLock::new(Retained::new()),
            max_bytes: settings.max_retained_bytes,
            max_messages: settings.max_retained_messages,
            metrics,
        }
    }

    /// The current retained message of a topic.
    pub(super) fn get(&self, topic: &str) -> Option<Arc<RetainedRecord>> {
        self.tree.read().get(topic)?.current().cloned()
    }

    /// True if a retained message can be stored under this topic: it replaces one, or there is
    /// room for another.
    pub(super) fn has_room_for(&self, publication: &Publication<'_>) -> bool {
        if publication.payload.is_empty() {
            return true;
        }
        let bytes = self.metrics.messages.retained_bytes.get();
        let bytes = u64::try_from(bytes).unwrap_or(0)
            + cost_of(publication.topic, publication.properties, publication.payload);
        bytes <= self.max_bytes
            // The broker's own messages, under $SYS, are not counted.
            && (self.count() < self.max_messages
                || self.tree.read().get(publication.topic).is_some())
    }

    /// Retains a message in place of the one before [MQTT-3.3.1-5]. An empty payload removes
    /// it [MQTT-3.3.1-6]. If the disk refuses `message`, the one before becomes current again.
    pub(super) fn retain(
        &self,
        publication: &Publication<'_>,
        message: &Arc<Message>,
        committed: CommitNo,
        step: &mut Step,
    ) {
        let topic = publication.topic;
        if publication.payload.is_empty() {
            self.remove(topic, step);
            return;
        }
        let may_be_refused = message.is_kept && message.publisher.is_some();
        // A publisher that can be refused was checked before its message was made, and is not
        // checked again.
        if !may_be_refused && !self.has_room_for(publication) {
            self.metrics.messages.dropped.add(DropReason::RetainedLimit, 1);
            return;
        }
        let record = Arc::new(record_of(publication, step.now.wall));
        let version = Version {
            record: Arc::clone(&record),
            message: may_be_refused.then(|| Arc::clone(message)),
        };
        let mut retained = self.tree.write();
        if let Some(versions) = retained.get_mut(topic) {
            // Many versions may be undecided, so they are not checked for each message.
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
        // Under the lock, so that file and memory agree on the last version.
        step.change(Change::Retain(record, message.is_kept.then_some(message.id)));
    }

    /// True if the message is still the current one of its topic. A newer one is sent to new
    /// subscribers as a message of its own and must not be overtaken [MQTT-4.6.0-6].
    pub(super) fn is_current(&self, record: &Arc<RetainedRecord>) -> bool {
        let retained = self.tree.read();
        let current = retained.get(&record.topic).and_then(Versions::current);
        current.is_some_and(|current| Arc::ptr_eq(current, record))
    }

    /// Removes the retained message of a topic. False: there is none.
    pub(super) fn remove(&self, topic: &str, step: &mut Step) -> bool {
        let mut retained = self.tree.write();
        let Some(removed) = retained.remove(topic) else { return false };
        self.count_retained(removed.counted.as_ref(), None);
        step.change(Change::Unretain(topic.into()));
        removed.current().is_some()
    }

    /// The disk has committed or refused a message that was to be retained, so versions that
    /// cannot become current again are freed.
    pub(super) fn decide(&self, message: &Message, committed: CommitNo) {
        if self.tree.read().get(message.topic()).is_none_or(Versions::is_decided) {
            return;
        }
        let mut retained = self.tree.write();
        let Some(versions) = retained.get_mut(message.topic()) else { return };
        versions.prune(committed);
        self.recount(versions);
        if versions.stack.is_empty() {
            retained.remove(message.topic());
        }
    }

    /// Retains a message of the broker's own, such as `$SYS`, in memory only.
    pub(super) fn retain_in_memory(&self, publication: &Publication<'_>, now: WallMillis) {
        let record = Arc::new(record_of(publication, now));
        let versions = Versions::of(Version { record, message: None });
        self.tree.write().insert(publication.topic, versions);
    }

    /// Restores the retained messages that the store has read at the start.
    pub(super) fn recover(&self, records: Vec<RetainedRecord>) {
        let mut retained = self.tree.write();
        for record in records {
            let record = Arc::new(record);
            let mut versions = Versions::of(Version { record: Arc::clone(&record), message: None });
            self.recount(&mut versions);
            retained.insert(&record.topic, versions);
        }
    }

    /// Begins a search for the retained messages that match a filter.
    pub(super) fn walk(&self, filter: &str) -> Walk {
        self.tree.read().walk(filter)
    }

    /// Continues a search under one short hold of the lock. Calls `found` with the current
    /// message of each matching topic. Returns the number of nodes visited.
    pub(super) fn visit(
        &self,
        walk: &mut Walk,
        found: &mut impl FnMut(&str, &Arc<RetainedRecord>),
    ) -> usize {
        self.tree.read().advance(walk, NODES_AT_ONCE, &mut |topic, versions: &Versions| {
            if let Some(record) = versions.current() {
                found(topic, record);
            }
        })
    }

    /// Continues a search like [`Self::visit`], and collects messages that have not expired.
    pub(super) fn search(
        &self,
        walk: &mut Walk,
        now: WallMillis,
        found: &mut Vec<Arc<RetainedRecord>>,
    ) -> usize {
        self.visit(walk, &mut |_, record| {
            if !record.is_expired(now) {
                found.push(Arc::clone(record));
            }
        })
    }

    fn count(&self) -> usize {
        usize::try_from(self.metrics.messages.retained.get()).unwrap_or(0)
    }

    /// Updates the gauges after a change of the current message.
    fn recount(&self, versions: &mut Versions) {
        let now = versions.current().cloned();
        self.count_retained(versions.counted.as_ref(), now.as_ref());
        versions.counted = now;
    }

    /// Updates the gauges: `before` was retained under a topic, and now `after` is.
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
}

/// Bytes that a retained message takes in memory: its record with the counts of an `Arc`, and
/// its nodes in the tree, as if no other topic shared a level.
fn cost_of(topic: &str, properties: &[u8], payload: &[u8]) -> u64 {
    const RECORD: usize = size_of::<RetainedRecord>() + 2 * size_of::<usize>();
    let place = Retained::<Versions>::cost_of(topic);
    (RECORD + place + topic.len() + properties.len() + payload.len()) as u64
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
