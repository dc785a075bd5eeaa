//! Dead letters of a plan: which are written in a transaction, and which wait.
//!
//! A dead letter waits while its message is neither on its way to the disk nor refused (its
//! publisher has yet to submit it, or it is held or parked), and while the disk has no room.
//! The delivery's row stays meanwhile, so nothing is lost: what is forgotten here is sent
//! again after the next start.

use ahash::AHashMap;

use crate::message::{Message, MessageId};
use crate::store::dead_letter::DeadLetter;
use crate::store::references::References;

/// Dead letters that may wait in memory.
const MOST: usize = 1024;
/// Bytes of dead letters that may wait in memory.
const MOST_BYTES: u64 = 16 << 20;

/// What the running transaction does with a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing: it waits for its message, or it was not chosen.
    Waiting,
    /// It is written instead of its delivery.
    Written {
        /// The message's row is deleted too.
        with_message: bool,
    },
    /// Nothing is left to write: the disk has refused the message, and its publisher was told.
    Void,
}

#[derive(Debug)]
struct Letter {
    letter: Box<DeadLetter>,
    progress: Progress,
}

/// See the module. In the order of arrival.
#[derive(Debug, Default)]
pub(in crate::store) struct Letters {
    list: Vec<Letter>,
    /// How many of the first ones the running transaction may write.
    chosen: usize,
}

impl Letters {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.list.len()
    }

    pub(in crate::store) fn add(&mut self, letter: Box<DeadLetter>) {
        self.list.push(Letter { letter, progress: Progress::Waiting });
    }

    /// How many the running transaction may write.
    pub(in crate::store) fn chosen(&self) -> usize {
        self.chosen
    }

    /// Bytes of those that the running transaction may write.
    pub(in crate::store) fn bytes(&self) -> u64 {
        self.list.iter().take(self.chosen).map(|one| one.letter.bytes()).sum()
    }

    /// Chooses the first `most` ones, as far as they fit into `bytes`.
    pub(in crate::store) fn choose(&mut self, most: usize, mut bytes: u64) {
        let fits = |one: &&Letter| match bytes.checked_sub(one.letter.bytes()) {
            Some(rest) => {
                bytes = rest;
                true
            }
            None => false,
        };
        self.chosen = self.list.iter().take(most).take_while(fits).count();
    }

    /// As [`Letters::choose`], for a transaction without messages: only those that need none.
    /// A single one may be of any size.
    pub(in crate::store) fn choose_decided(&mut self, most: usize, bytes: u64) {
        self.list.sort_by_key(|one| one.letter.awaits_message());
        let decided = self.list.partition_point(|one| !one.letter.awaits_message());
        self.choose(most.min(decided), bytes);
        if self.chosen == 0 {
            self.choose(decided.min(1), u64::MAX);
        }
    }

    /// Leaves all of them for a later transaction.
    pub(in crate::store) fn set_aside(&mut self) {
        self.chosen = 0;
    }

    /// Calls `write` for each chosen one whose message the store has taken, with whether the
    /// message has no other delivery. To be called once in a transaction, after its messages
    /// were inserted.
    pub(in crate::store) fn write<E>(
        &mut self,
        references: &References,
        mut write: impl FnMut(&DeadLetter, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        // Several deliveries of one message may end in one transaction.
        let mut replaced: AHashMap<MessageId, u32> = AHashMap::new();
        for one in self.list.iter_mut().take(self.chosen) {
            let Letter { letter, progress } = one;
            let durability = &letter.message.durability;
            *progress = if letter.delivery.is_none() {
                Progress::Written { with_message: false }
            } else if letter.awaits_message() {
                Progress::Waiting
            } else if durability.is_refused() {
                Progress::Void
            } else {
                let id = letter.message.id;
                let replaced = replaced.entry(id).or_default();
                *replaced += 1;
                Progress::Written { with_message: references.count(id) == *replaced }
            };
            if let Progress::Written { with_message } = *progress {
                write(letter, with_message)?;
            }
        }
        Ok(())
    }

    /// True if the running transaction writes any.
    #[cfg(feature = "failpoints")]
    pub(in crate::store) fn writes(&self) -> bool {
        let chosen = self.list.iter().take(self.chosen);
        chosen.map(|one| one.progress).any(|progress| progress != Progress::Waiting)
    }

    /// Releases the deliveries that the committed transaction has replaced. Returns the
    /// messages whose rows have to be deleted after all: another receiver has acknowledged
    /// between the transaction and its commit, so that neither was the last one.
    pub(in crate::store) fn committed(&mut self, references: &References) -> Vec<MessageId> {
        let mut left = Vec::new();
        let chosen = std::mem::take(&mut self.chosen);
        let done = self.list.extract_if(..chosen, |one| one.progress != Progress::Waiting);
        for Letter { letter, progress } in done {
            let message: &Message = &letter.message;
            let is_last = letter.delivery.is_some() && references.release(message.id);
            if is_last && progress == (Progress::Written { with_message: false }) {
                left.push(message.id);
            }
        }
        left
    }

    /// Forgets the last ones beyond what may wait in memory, and returns how many. Their
    /// deliveries keep their rows.
    pub(in crate::store) fn forget_surplus(&mut self) -> usize {
        let mut bytes = 0;
        let fits = |one: &&Letter| {
            bytes += one.letter.bytes();
            bytes <= MOST_BYTES
        };
        let kept = self.list.iter().take(MOST).take_while(fits).count();
        let surplus = self.list.len() - kept;
        self.list.truncate(kept);
        surplus
    }
}
