//! All bridges of a broker: started with it, changed by a reload, paused and resumed by an
//! operator. Each has a task of its own ([`Link`]); a change of one touches no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::link::{Link, Wanted};
use super::status::{LinkStatus, LinkView};
use super::terms::{Subscriptions, terms_of};
use crate::broker::Broker;
use crate::broker::bridge::{Backlog, BridgeTerms, Counts};
use crate::config::Bridge;

/// The configuration of all bridges.
type Configured = BTreeMap<String, Bridge>;

/// See the module.
#[derive(Debug, Clone)]
pub struct Bridges(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broker: Arc<Broker>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<String, Running>,
    /// Bridges that were removed and are not closed yet. One of the same name waits for them.
    ending: BTreeMap<String, JoinHandle<()>>,
}

/// A bridge that is configured.
#[derive(Debug)]
struct Running {
    bridge: Bridge,
    terms: Arc<BridgeTerms>,
    subscriptions: Subscriptions,
    status: Arc<LinkStatus>,
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

/// What an operator sees of a bridge.
#[derive(Debug, Clone)]
pub struct BridgeView {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub bridge: Bridge,
    /// Its connection.
    pub link: LinkView,
    /// What waits in its queue.
    pub backlog: Backlog,
    /// What it has done.
    pub counts: Arc<Counts>,
}

/// It was removed or renamed while the broker was stopped.
fn warn_of_a_queue_without_a_bridge(broker: &Arc<Broker>, name: &str) {
    let waiting = broker.bridge_backlog(name, &Counts::default()).messages;
    if waiting > 0 {
        tracing::warn!(
            bridge = name,
            messages = waiting,
            "no bridge of this name is configured, and messages wait for it: add it again, or drop \
             them with DELETE /api/v1/sessions/bridge:{name}"
        );
    }
}

impl Bridges {
    /// None yet. Their tasks run on the runtime of the caller.
    pub fn none(broker: &Arc<Broker>) -> Self {
        Self(Arc::new(Inner {
            broker: Arc::clone(broker),
            runtime: Handle::current(),
            state: Mutex::default(),
        }))
    }

    /// Starts the configured bridges. Their sessions exist when this returns, so that no
    /// message that is published from now on is missed.
    pub async fn start(broker: &Arc<Broker>, configured: &Configured) -> Self {
        let bridges = Self::none(broker);
        for name in broker.bridges_with_sessions() {
            if !configured.contains_key(&name) {
                warn_of_a_queue_without_a_bridge(broker, &name);
                bridges.close(&name).await;
            }
        }
        for (name, bridge) in configured {
            let (terms, subscriptions) = bridges.terms(name, bridge, Arc::default());
            bridges.open(&terms, &subscriptions).await;
            let started = bridges.running(name, bridge, terms, subscriptions, Before::default());
            bridges.0.state.lock().running.insert(name.clone(), started);
        }
        bridges
    }

    /// Replaces the configuration: starts new bridges, ends those that are gone, whose queues
    /// stay, and connects those again whose configuration differs. Others notice nothing.
    pub fn replace(&self, configured: &Configured) {
        let mut state = self.0.state.lock();
        let State { running, ending } = &mut *state;
        ending.retain(|_, task| !task.is_finished());
        let gone: Vec<_> =
            running.keys().filter(|name| !configured.contains_key(*name)).cloned().collect();
        for name in gone {
            let Some(before) = running.remove(&name) else { continue };
            let (bridges, removed) = (self.clone(), name.clone());
            let task = self.0.runtime.spawn(async move {
                before.end().await;
                bridges.close(&removed).await;
                tracing::info!(bridge = removed, "a bridge was removed; its queue is kept");
            });
            ending.insert(name, task);
        }
        let changed: Vec<_> = configured
            .iter()
            .filter(|(name, bridge)| running.get(*name).is_none_or(|it| it.bridge != **bridge))
            .collect();
        for (name, bridge) in changed {
            let before = running.remove(name);
            let counts = before.as_ref().map(|it| Arc::clone(&it.terms.counts));
            let (terms, subscriptions) = self.terms(name, bridge, counts.unwrap_or_default());
            let before = Before { running: before, ending: ending.remove(name) };
            let started = self.running(name, bridge, terms, subscriptions, before);
            running.insert(name.clone(), started);
        }
    }

    /// Waits until the broker shuts down, and then until all bridges have closed their
    /// connections and sessions, so that the database is closed after them.
    pub async fn until_ended(self) {
        self.0.broker.until_shut_down().await;
        let State { running, ending } = std::mem::take(&mut *self.0.state.lock());
        for it in running.into_values() {
            it.end().await;
        }
        for task in ending.into_values() {
            let _ = task.await;
        }
    }

    /// Makes the session of a bridge again, after an operator has removed it. False: there is
    /// no such bridge. Must not be cancelled.
    pub async fn open_again(&self, name: &str) -> bool {
        let configured = |state: &State| {
            state.running.get(name).map(|it| (Arc::clone(&it.terms), it.subscriptions.clone()))
        };
        let Some((terms, subscriptions)) = configured(&self.0.state.lock()) else { return false };
        // Its link may have been faster, and would lose its connection to this one.
        if !self.0.broker.has_bridge_session(name) {
            self.open(&terms, &subscriptions).await;
        }
        true
    }

    /// All bridges, by name.
    pub fn list(&self) -> Vec<BridgeView> {
        let state = self.0.state.lock();
        let mut views: Vec<_> = state
            .running
            .iter()
            .map(|(name, it)| BridgeView {
                name: name.clone(),
                bridge: it.bridge.clone(),
                link: it.status.view(),
                backlog: Backlog::default(),
                counts: Arc::clone(&it.terms.counts),
            })
            .collect();
        drop(state);
        // Without the lock, since each takes that of a session.
        for view in &mut views {
            view.backlog = self.0.broker.bridge_backlog(&view.name, &view.counts);
        }
        views
    }

    /// Pauses a bridge: it does not connect, and its queue goes on filling. False: there is no
    /// such bridge.
    pub fn pause(&self, name: &str) -> bool {
        self.change(name, |wanted| wanted.paused = true)
    }

    /// Resumes a bridge that is paused, or that has stopped before a message, and connects one
    /// that waits. False: there is no such bridge.
    pub fn resume(&self, name: &str) -> bool {
        if let Some(it) = self.0.state.lock().running.get(name) {
            it.terms.refusals.lock().resume();
        }
        self.change(name, |wanted| {
            wanted.paused = false;
            wanted.resumed = wanted.resumed.wrapping_add(1);
        })
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Wanted)) -> bool {
        let state = self.0.state.lock();
        state.running.get(name).is_some_and(|it| {
            it.wanted.send_modify(change);
            true
        })
    }

    /// The check of the configuration has looked at each rule; one that is none all the same
    /// passes nothing.
    fn terms(
        &self,
        name: &str,
        bridge: &Bridge,
        counts: Arc<Counts>,
    ) -> (Arc<BridgeTerms>, Subscriptions) {
        let base = &self.0.broker.settings.session;
        let (terms, subscriptions) = terms_of(name, bridge, base).unwrap_or_else(|error| {
            tracing::error!(bridge = name, %error, "a rule of a bridge cannot be used");
            (BridgeTerms { name: name.into(), ..BridgeTerms::default() }, Subscriptions::default())
        });
        (Arc::new(BridgeTerms { counts, ..terms }), subscriptions)
    }

    /// Starts the task of a bridge, which begins after what was before.
    fn running(
        &self,
        name: &str,
        bridge: &Bridge,
        terms: Arc<BridgeTerms>,
        subscriptions: Subscriptions,
        before: Before,
    ) -> Running {
        let status = before.running.as_ref().map(|it| Arc::clone(&it.status)).unwrap_or_default();
        let (wanted, changes) = watch::channel(Wanted { paused: bridge.paused, resumed: 0 });
        let link = Link {
            name: name.into(),
            bridge: bridge.clone(),
            broker: Arc::clone(&self.0.broker),
            terms: Arc::clone(&terms),
            subscriptions: subscriptions.clone(),
            status: Arc::clone(&status),
        };
        let (bridges, own) = (self.clone(), Arc::clone(&terms));
        let known = subscriptions.clone();
        self.0.broker.publish_bridge_state(name, false);
        let task = self.0.runtime.spawn(async move {
            before.end().await;
            bridges.open(&own, &subscriptions).await;
            link.run(changes).await;
        });
        let subscriptions = known;
        Running { bridge: bridge.clone(), terms, subscriptions, status, wanted, task }
    }

    /// Its session exists and is subscribed to its filters, also while the other end is away.
    async fn open(&self, terms: &BridgeTerms, subscriptions: &Subscriptions) {
        let opened = self.0.broker.open_bridge(terms, subscriptions.forward.clone()).await;
        if let Err(reason) = opened {
            tracing::error!(
                bridge = &*terms.name,
                ?reason,
                "the session of a bridge cannot be opened, so nothing is queued for it until it \
                 is connected: see session.max_sessions and the size of the database"
            );
        }
    }

    /// The bridge is gone: nothing more is queued for it, and what was is kept.
    async fn close(&self, name: &str) {
        let terms = BridgeTerms { name: name.into(), ..BridgeTerms::default() };
        self.open(&terms, &Subscriptions::default()).await;
    }
}

/// What has to end before a bridge of the same name begins.
#[derive(Debug, Default)]
struct Before {
    running: Option<Running>,
    ending: Option<JoinHandle<()>>,
}

impl Before {
    async fn end(self) {
        if let Some(task) = self.ending {
            let _ = task.await;
        }
        if let Some(running) = self.running {
            running.end().await;
        }
    }
}

impl Running {
    /// Ends its task, and with it its connection.
    async fn end(self) {
        let Self { wanted, task, .. } = self;
        drop(wanted);
        if let Err(error) = task.await {
            tracing::error!(%error, "the task of a bridge has failed");
        }
    }
}
