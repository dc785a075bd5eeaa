//! Retained messages: kept in memory for quick matching, and in the store.

use std::sync::Arc;

use super::{Broker, Publication, Turn};
use crate::message::WallMillis;
use crate::store::{Op, RetainedRecord};

/// A message that was retained, and the one before it under the same topic.
#[derive(Debug, Clone)]
pub struct Retaining {
    new: Arc<RetainedRecord>,
    old: Option<Arc<RetainedRecord>>,
}

impl Broker {
    /// True if a retained message under this topic could be kept: it would replace
    /// one, or there is room.
    pub fn has_room_to_retain(&self, publication: &Publication<'_>) -> bool {
        if publication.payload.is_empty() {
            return true;
        }
        let bytes = self.metrics.messages.retained_bytes.get();
        let bytes = u64::try_from(bytes).unwrap_or(0) + size_of(publication);
        let retained = self.retained.read();
        bytes <= self.settings.max_retained_bytes
            // The broker's own, under $SYS, do not count.
            && (self.retained_count() < self.settings.max_retained_messages
                || retained.get(publication.topic).is_some())
    }

    /// Keeps a message for later subscribers, in place of the one before
    /// [MQTT-3.3.1-5]; an empty payload removes it [MQTT-3.3.1-6]. What it did can be
    /// taken back.
    pub fn retain(&self, publication: &Publication<'_>, turn: &mut Turn) -> Option<Retaining> {
        let topic = publication.topic;
        if publication.payload.is_empty() {
            let removed = self.retained.write().remove(topic)?;
            self.count_retained(-1, &removed);
            turn.write(Op::Unretain(topic.into()));
            return None;
        }
        if !self.has_room_to_retain(publication) {
            self.metrics.messages.dropped.add(crate::telemetry::DropReason::RetainedLimit, 1);
            return None;
        }
        let new = Arc::new(record_of(publication, turn.now.wall));
        let old = self.retained.write().insert(topic, Arc::clone(&new));
        self.count_retained(1, &new);
        if let Some(old) = &old {
            self.count_retained(-1, old);
        }
        turn.write(Op::Retain(Arc::clone(&new)));
        Some(Retaining { new, old })
    }

    /// The disk had no room: what was retained before is so again.
    pub fn retain_no_more(&self, retaining: &Retaining) {
        let Retaining { new, old } = retaining;
        let mut retained = self.retained.write();
        if !retained.get(&new.topic).is_some_and(|now| Arc::ptr_eq(now, new)) {
            return;
        }
        self.count_retained(-1, new);
        match old {
            Some(old) => {
                self.count_retained(1, old);
                retained.insert(&old.topic, Arc::clone(old));
            }
            None => {
                retained.remove(&new.topic);
            }
        }
    }

    /// Keeps a message of the broker's own, such as `$SYS`, in memory alone.
    pub(super) fn retain_in_memory(&self, publication: &Publication<'_>, now: WallMillis) {
        let record = Arc::new(record_of(publication, now));
        self.retained.write().insert(publication.topic, record);
    }

    pub(super) fn retained_matching(
        &self,
        filter: &str,
        now: WallMillis,
    ) -> Vec<Arc<RetainedRecord>> {
        let mut found = Vec::new();
        self.retained.read().matching(filter, &mut |_, record: &Arc<RetainedRecord>| {
            if record.expires_at.is_none_or(|at| at > now) {
                found.push(Arc::clone(record));
            }
        });
        found
    }

    fn retained_count(&self) -> usize {
        usize::try_from(self.metrics.messages.retained.get()).unwrap_or(0)
    }

    pub(super) fn count_retained(&self, change: i64, record: &RetainedRecord) {
        let bytes = record.topic.len() + record.properties.len() + record.payload.len();
        let messages = &self.metrics.messages;
        messages.retained.add(change);
        messages.retained_bytes.add(change * i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Removes what has expired.
    pub(super) fn expire_retained(&self, turn: &mut Turn) {
        let now = turn.now.wall;
        let expired: Vec<Box<str>> = {
            let retained = self.retained.read();
            let due = |record: &Arc<RetainedRecord>| record.expires_at.is_some_and(|at| at <= now);
            retained
                .iter()
                .filter(|(_, record)| due(record))
                .map(|(_, record)| record.topic.clone())
                .collect()
        };
        for topic in expired {
            let mut retained = self.retained.write();
            // It may have been replaced since.
            if retained
                .get(&topic)
                .is_some_and(|record| record.expires_at.is_some_and(|at| at <= now))
            {
                if let Some(removed) = retained.remove(&topic) {
                    self.count_retained(-1, &removed);
                }
                turn.write(Op::Unretain(topic));
            }
        }
    }
}

fn size_of(publication: &Publication<'_>) -> u64 {
    let Publication { topic, properties, payload, .. } = publication;
    (topic.len() + properties.len() + payload.len()) as u64
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
