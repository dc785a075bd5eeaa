//! Retained messages.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::NotCommitted;
use super::page_limit::PageLimit;
use crate::broker::{Broker, SYS, Step};
use crate::message::{SessionWake, Wake, WakeCause};
use crate::store::RetainedRecord;

/// Part of a list of retained messages.
#[derive(Debug, Default)]
pub struct RetainedPage {
    /// In the order of topics.
    pub messages: Vec<Arc<RetainedRecord>>,
    /// True if there are more after the last one.
    pub more: bool,
}

/// Why a retained message was not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unretained {
    /// No message is retained under this topic.
    Missing,
    /// The topic is one of the broker's own, under `$SYS`.
    Own,
    /// It was removed, but the disk has not confirmed it.
    NotCommitted(NotCommitted),
}

/// Ordered by topic, so that a heap has the largest topic first.
struct ByTopic(Arc<RetainedRecord>);

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.0.topic == other.0.topic
    }
}
impl Eq for ByTopic {}
impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic.cmp(&other.0.topic)
    }
}

impl Broker {
    /// Lists up to `limit` retained messages that match `filter`, after the topic `after`.
    /// Visits all that match, as a subscription does, so it must not run on a thread that
    /// serves connections.
    pub fn retained_list(&self, filter: &str, after: Option<&str>, limit: usize) -> RetainedPage {
        let now = self.clock.now().wall;
        let mut first: BinaryHeap<ByTopic> = BinaryHeap::new();
        let mut visit = |topic: &str, record: &Arc<RetainedRecord>| {
            let is_behind = after.is_none_or(|after| topic > after);
            if !is_behind || record.is_expired(now) {
                return;
            }
            if first.len() <= limit {
                first.push(ByTopic(Arc::clone(record)));
            } else if let Some(mut last) = first.peek_mut().filter(|last| topic < &*last.0.topic) {
                *last = ByTopic(Arc::clone(record));
            }
        };
        let mut walk = self.retained.walk(filter);
        while !walk.is_done() {
            self.retained.visit(&mut walk, &mut visit);
        }
        let (mut page, mut room) = (RetainedPage::default(), PageLimit::new(limit));
        for ByTopic(record) in first.into_sorted_vec() {
            page.more = !room.take(record.topic.len());
            if page.more {
                break;
            }
            page.messages.push(record);
        }
        page
    }

    /// The retained message of a topic.
    pub fn retained_message(&self, topic: &str) -> Option<Arc<RetainedRecord>> {
        let now = self.clock.now().wall;
        let record = self.retained.get(topic)?;
        (!record.is_expired(now)).then_some(record)
    }

    /// Removes a retained message. Returns when the removal is on disk.
    ///
    /// # Errors
    /// See [`Unretained`].
    pub async fn remove_retained(&self, topic: &str) -> Result<(), Unretained> {
        if topic.starts_with(SYS) {
            return Err(Unretained::Own);
        }
        let wake = Arc::new(Wake::default());
        let mut step = Step::new(self);
        if !self.retained.remove(topic, &mut step) {
            return Err(Unretained::Missing);
        }
        let session = Arc::new(SessionWake::of(Arc::clone(&wake)));
        step.wake_at_commit(&session, WakeCause::Direct);
        let commit = step.submit(self).map_err(|_| Unretained::NotCommitted(NotCommitted::Down))?;
        self.until_committed(&wake, commit).await.map_err(Unretained::NotCommitted)
    }
}
