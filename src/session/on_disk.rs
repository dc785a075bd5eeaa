//! The part of a queue that is on disk: in memory are only ids, in two lists.
//!
//! Deliveries that the receiver may have are in a list of their own, because they must not be
//! dropped to make room. After a crash the ids of the two lists may be interleaved, since it
//! is unknown what was sent. They are read back in the order of ids.

use crate::message::{DeliveryId, IdList, QueuedId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    /// Sent, or perhaps sent at QoS 2. Boxed, because few sessions have any.
    sent: Option<Box<IdList>>,
    waiting: IdList,
}

impl OnDisk {
    pub(super) fn new(sent: IdList, waiting: IdList) -> Self {
        Self { sent: (!sent.is_empty()).then(|| Box::new(sent)), waiting }
    }

    pub(super) fn len(&self) -> usize {
        self.sent.as_ref().map_or(0, |sent| sent.len()) + self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sent.as_ref().map_or(0, |sent| sent.bytes()) + self.waiting.bytes()
    }

    /// Bytes that the ids take in memory.
    pub(super) fn memory(&self) -> usize {
        let sent = |sent: &IdList| size_of::<IdList>() + sent.memory();
        self.sent.as_deref().map_or(0, sent) + self.waiting.memory()
    }

    /// Appends an id.
    pub(super) fn push_back(&mut self, queued: QueuedId) {
        self.waiting.push_back(queued);
    }

    /// Puts ids before all others.
    pub(super) fn prepend(&mut self, front: Self) {
        if let Some(sent) = front.sent {
            self.sent.get_or_insert_default().prepend(*sent);
        }
        self.waiting.prepend(front.waiting);
    }

    /// Appends an id to a part that will be prepended.
    pub(super) fn add(&mut self, queued: QueuedId, may_have_been_sent: bool) {
        if may_have_been_sent {
            self.sent.get_or_insert_default().push_back(queued);
        } else {
            self.waiting.push_back(queued);
        }
    }

    /// The first `count` ids of each list after `after`.
    pub(super) fn behind(
        &self,
        after: DeliveryId,
        count: usize,
    ) -> impl Iterator<Item = QueuedId> + use<'_> {
        let sent = self.sent.iter().flat_map(move |sent| sent.behind(after, count));
        sent.chain(self.waiting.behind(after, count))
    }

    /// Removes the oldest delivery that the receiver cannot have.
    pub(super) fn drop_oldest(&mut self) -> Option<QueuedId> {
        self.waiting.pop_front()
    }

    /// Removes up to `count` ids from the front, of at most `bytes` bytes, but at least one.
    pub(super) fn take_page(&mut self, count: usize, bytes: u64) -> Vec<QueuedId> {
        if self.sent.as_ref().is_none_or(|sent| sent.is_empty()) {
            self.sent = None;
            return self.waiting.take_page(count, bytes);
        }
        let mut taken: Vec<QueuedId> = Vec::new();
        let mut size = 0;
        while taken.len() < count && (taken.is_empty() || size < bytes) {
            let Some(queued) = self.pop_front() else { break };
            size += u64::from(queued.size);
            taken.push(queued);
        }
        taken
    }

    fn pop_front(&mut self) -> Option<QueuedId> {
        let sent = self.sent.as_mut().filter(|sent| !sent.is_empty());
        match (sent, self.waiting.first()) {
            (Some(sent), waiting) if waiting.is_none_or(|waiting| sent.first() < Some(waiting)) => {
                sent.pop_front()
            }
            _ => self.waiting.pop_front(),
        }
    }

    /// Both lists: what the receiver may have, and the rest.
    pub(super) fn into_lists(self) -> [IdList; 2] {
        [self.sent.map_or_else(IdList::default, |sent| *sent), self.waiting]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn list(ids: &[u64]) -> IdList {
        let mut list = IdList::new();
        for id in ids {
            list.push_back(QueuedId { id: DeliveryId(*id), size: 10 });
        }
        list
    }

    #[test]
    fn both_lists_are_read_in_the_order_of_ids_and_only_one_is_dropped_from() {
        let mut disk = OnDisk::new(list(&[2, 3, 6]), list(&[1, 4, 5, 7]));
        assert_eq!((disk.len(), disk.bytes()), (7, 70));
        assert_eq!(disk.drop_oldest().unwrap().id, DeliveryId(1));
        let ids = |page: Vec<QueuedId>| page.iter().map(|queued| queued.id.0).collect::<Vec<_>>();
        assert_eq!(ids(disk.take_page(2, 1000)), [2, 3]);
        assert_eq!(ids(disk.take_page(10, 15)), [4, 5]);
        assert_eq!(ids(disk.take_page(10, 1000)), [6, 7]);
        assert!(disk.is_empty() && disk.drop_oldest().is_none());
    }
}
