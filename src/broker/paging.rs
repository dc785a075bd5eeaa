//! Reads a queue back from disk, one page at a time.
//!
//! A page counts as memory from the moment of its request. Its size depends on what is left of
//! `limits.max_memory`, so that many clients that reconnect at once share that. A small page
//! is always granted, so no client waits for another.

use std::sync::{Arc, Weak};

use super::{Broker, SessionHandle, Step, traced};
use crate::message::{SubscriptionIds, WakeCause};
use crate::protocol::{TopicFilter, matches};
use crate::session::{Entry, Home, Page, Session};
use crate::store::{PageReply, PageRequest, PagedDelivery};

/// The most bytes of a page: enough to hide the latency of the reader thread.
const LARGEST: u64 = 4 << 20;
/// The size of a page when no memory is left.
const SMALLEST: u64 = 64 << 10;
/// A page takes up to this fraction of the memory that is left.
const SHARE: u64 = 8;

impl Broker {
    /// The most bytes of a page that is requested now.
    pub fn page_bytes(&self) -> u64 {
        let left = self.settings.max_memory - self.metrics.messages.memory.get();
        (u64::try_from(left).unwrap_or(0) / SHARE).clamp(SMALLEST, LARGEST)
    }

    /// Requests a page of the session's queue from the store. The connection is woken when the
    /// page has arrived.
    pub fn read_page(self: &Arc<Self>, handle: &Arc<SessionHandle>, page: Page) {
        let broker = Arc::downgrade(self);
        let session = Arc::downgrade(handle);
        // Held until the messages of the page have charges of their own.
        let on_its_way = self.metrics.messages.memory.charge(page.bytes);
        self.persistence.page(PageRequest {
            ids: page.ids,
            ledger: self.metrics.messages.memory,
            reply: PageReply(Box::new(move |answer| {
                match answer {
                    Ok(rows) => page_arrived(&broker, &session, rows),
                    // The store is poisoned, so the process ends. Until then nothing behind
                    // the page may be sent, so the page is left outstanding.
                    Err(error) => tracing::error!(%error, "a queue could not be read back"),
                }
                drop(on_its_way);
            })),
        });
    }
}

fn page_arrived(
    broker: &Weak<Broker>,
    session: &Weak<SessionHandle>,
    mut rows: Vec<PagedDelivery>,
) {
    let (Some(broker), Some(handle)) = (broker.upgrade(), session.upgrade()) else { return };
    let mut step = Step::new(&broker);
    broker.resume_traces(&mut rows, step.now);
    {
        let mut session = handle.lock();
        let entries: Vec<Entry> = rows.into_iter().map(|row| entry_of(&session, row)).collect();
        if session.life.is_ended() {
            drop(session);
            for entry in &broker.hand_over(entries, &mut step) {
                broker.complete(entry, &mut step);
            }
        } else {
            for entry in &entries {
                traced::queued(entry, &session.client_id);
            }
            session.paged(entries);
            if let Some(wake) = session.wake() {
                step.wake(wake, WakeCause::Direct);
            } else {
                broker.evict_later(&handle);
            }
        }
    }
    step.submit_or_log(&broker);
}

fn entry_of(session: &Session, row: PagedDelivery) -> Entry {
    Entry {
        identifiers: identifiers(session, row.message.topic()),
        message: row.message,
        delivery: row.delivery,
        packet_id: Some(row.packet_id),
        qos: row.qos,
        retain: row.retain,
        dup: row.delivery <= session.sent_up_to,
        state: session.state_of_row(row.delivery, row.qos, row.received),
        home: Home::Row,
        row_change: None,
        share: row.share,
    }
}

/// Subscription identifiers are not stored with deliveries. They are those of the
/// subscriptions that match now, which differ only if the client has changed its
/// subscriptions.
fn identifiers(session: &Session, topic: &str) -> SubscriptionIds {
    session
        .subscriptions
        .iter()
        .filter_map(|(filter, subscribed)| Some((filter, subscribed.identifier?)))
        .filter(|(filter, _)| {
            TopicFilter::new(filter).is_ok_and(|filter| matches(filter.matched(), topic))
        })
        .map(|(_, identifier)| identifier)
        .collect()
}
