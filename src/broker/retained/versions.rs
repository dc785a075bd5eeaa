//! The retained messages of one topic: a stack of versions that are not yet known to be on
//! disk or refused, the newest on top. If the disk refuses it, the one below becomes current
//! again, in memory as in the file.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::message::{Message, WallMillis};
use crate::store::RetainedRecord;

/// One version of the retained message of a topic.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) record: Arc<RetainedRecord>,
    /// Its message, while the disk may still refuse it.
    pub(super) message: Option<Arc<Message>>,
}

impl Version {
    fn is_refused(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.durability.is_refused())
    }

    fn is_final(&self, committed: u64) -> bool {
        self.message.as_ref().is_none_or(|message| message.durability.may_acknowledge(committed))
    }
}

/// The versions of one topic. The last one that is not refused is current.
#[derive(Debug, Default)]
pub(super) struct Versions {
    pub(super) stack: SmallVec<[Version; 1]>,
    /// The version that is counted in the gauges.
    pub(super) counted: Option<Arc<RetainedRecord>>,
}

impl Versions {
    pub(super) fn of(version: Version) -> Self {
        Self { stack: SmallVec::from_iter([version]), counted: None }
    }

    /// The current message.
    pub(super) fn current(&self) -> Option<&Arc<RetainedRecord>> {
        self.stack.iter().rev().find(|version| !version.is_refused()).map(|version| &version.record)
    }

    /// Removes versions that cannot become current again: those refused, and those below one
    /// that is on disk.
    pub(super) fn prune(&mut self, committed: u64) {
        self.stack.retain(|version| !version.is_refused());
        if let Some(last) = self.stack.iter().rposition(|version| version.is_final(committed)) {
            self.stack.drain(..last);
            if let Some(first) = self.stack.first_mut() {
                first.message = None;
            }
        }
    }

    /// True if no version is undecided.
    pub(super) fn is_decided(&self) -> bool {
        self.stack.iter().all(|version| version.message.is_none())
    }

    /// True if a version may have expired or been decided.
    pub(super) fn is_to_be_checked(&self, now: WallMillis) -> bool {
        self.stack.iter().any(|it| it.message.is_some() || it.record.is_expired(now))
    }
}
