//! Who has subscribed to what: the router behind its lock, which comes after that of a
//! session in the order of locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SessionHandle;
use crate::message::SessionId;
use crate::protocol::TopicFilter;
use crate::router::{Router, Subscription};
use crate::session::Subscribed;
use crate::sync::{RwLock, RwLockReadGuard};
use crate::telemetry::Metrics;

/// See the module.
#[derive(Debug)]
pub(super) struct SubscriptionTable {
    router: RwLock<Router<Arc<SessionHandle>>>,
    /// Of the router, readable without its lock.
    generation: AtomicU64,
    metrics: Arc<Metrics>,
}

impl SubscriptionTable {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let (router, generation) = (RwLock::new(Router::new()), AtomicU64::new(0));
        Self { router, generation, metrics }
    }

    /// Adds a subscription of a session, or replaces the one with the same filter.
    pub(super) fn insert(
        &self,
        filter: &TopicFilter,
        handle: &Arc<SessionHandle>,
        subscribed: Subscribed,
    ) {
        let subscription =
            Subscription { options: subscribed.options, identifier: subscribed.identifier };
        let mut router = self.router.write();
        if router.subscribe(filter, handle.id, Arc::clone(handle), subscription) {
            self.metrics.sessions.subscriptions.inc();
        }
        self.generation.store(router.generation(), Ordering::Release);
    }

    /// Removes subscriptions of a session, by their full filters.
    pub(super) fn remove(
        &self,
        session: SessionId,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) {
        let mut router = self.router.write();
        for filter in filters {
            let Ok(filter) = TopicFilter::new(filter.as_ref()) else { continue };
            if router.unsubscribe(&filter, session) {
                self.metrics.sessions.subscriptions.dec();
            }
        }
        self.generation.store(router.generation(), Ordering::Release);
    }

    /// For a short look. Not to be held over an await.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Router<Arc<SessionHandle>>> {
        self.router.read()
    }

    /// Changes whenever a subscription does.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
