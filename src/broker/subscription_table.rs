//! All subscriptions: the router behind its lock, which comes after that of a session in the
//! order of locks.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::SessionHandle;
use crate::memory::Charge;
use crate::message::SessionId;
use crate::protocol::TopicFilter;
use crate::router::{Router, Subscription};
use crate::session::Subscribed;
use crate::sync::{RwLock, RwLockReadGuard};
use crate::telemetry::Metrics;

/// The router and its memory charge. Subscriptions that share a filter or its levels share
/// nodes, so the charge is computed for the whole router.
#[derive(Debug)]
struct Table {
    router: Router<Arc<SessionHandle>>,
    charge: Charge,
}

impl Table {
    /// Updates the charge after a change.
    fn recharge(&mut self) {
        self.charge.set(self.router.memory() as u64);
    }
}

/// Read access. Must not be held over an await.
#[derive(Debug)]
pub(super) struct TableView<'a>(RwLockReadGuard<'a, Table>);

impl Deref for TableView<'_> {
    type Target = Router<Arc<SessionHandle>>;

    fn deref(&self) -> &Self::Target {
        &self.0.router
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct SubscriptionTable {
    table: RwLock<Table>,
    /// The router's generation, readable without its lock.
    generation: AtomicU64,
    metrics: Arc<Metrics>,
}

impl SubscriptionTable {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let table = Table { router: Router::new(), charge: metrics.messages.memory.charge(0) };
        Self { table: RwLock::new(table), generation: AtomicU64::new(0), metrics }
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
        let mut table = self.table.write();
        if table.router.subscribe(filter, handle.id, Arc::clone(handle), subscription) {
            self.metrics.sessions.subscriptions.inc();
        }
        table.recharge();
        self.generation.store(table.router.generation(), Ordering::Release);
    }

    /// Removes subscriptions of a session, by their full filters.
    pub(super) fn remove(
        &self,
        session: SessionId,
        filters: impl IntoIterator<Item = impl AsRef<str>>,
    ) {
        let mut table = self.table.write();
        for filter in filters {
            let Ok(filter) = TopicFilter::new(filter.as_ref()) else { continue };
            if table.router.unsubscribe(&filter, session) {
                self.metrics.sessions.subscriptions.dec();
            }
        }
        table.recharge();
        self.generation.store(table.router.generation(), Ordering::Release);
    }

    /// Read access: see [`TableView`].
    pub(super) fn read(&self) -> TableView<'_> {
        TableView(self.table.read())
    }

    /// Changes with every change of a subscription.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
