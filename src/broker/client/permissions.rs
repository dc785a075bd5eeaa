//! What the client may do: asks its rules, remembers the last answers, counts them, and logs
//! what was denied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use crate::auth::Principal;
use crate::auth::acl::{Access, Decision, Effect, Granted, LogInRules, Origin};
use crate::broker::budget::NODE;
use crate::protocol::{QoS, TopicFilter};
use crate::telemetry::AclAction;

/// One client's denied publishes are logged once in this time, so that it does not use up the
/// lines of all others (`telemetry.log_limit`).
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Pairs of filters that are compared for a subscription at the cost of one node.
const COMPARED_A_NODE: usize = 8;

/// The longest topic whose decision is remembered, in bytes.
const LONGEST: usize = 1024;

/// What one client may do.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// `None`: everything. Boxed, since most connections of a broker without rules are idle.
    pub(super) limited: Option<Box<Limited>>,
    /// The generation of the rules.
    generation: u64,
}

/// The rules of one client, and what they said last.
#[derive(Debug)]
pub(super) struct Limited {
    access: Arc<Access>,
    /// Publishers tend to repeat a topic.
    published: LastDecision,
    delivered: LastDecision,
    /// When a denied publish was last logged, and how many were denied since.
    told: Option<Instant>,
    untold: u64,
}

/// The last decision, and what was asked.
#[derive(Debug, Default)]
pub(super) struct LastDecision {
    topic: String,
    about: Option<(QoS, bool)>,
    decision: Option<Decision>,
}

impl LastDecision {
    fn of(
        &mut self,
        topic: &str,
        about: Option<(QoS, bool)>,
        decide: impl FnOnce() -> Decision,
    ) -> Decision {
        if let Some(decision) = self.decision
            && self.about == about
            && self.topic == topic
        {
            return decision;
        }
        let decision = decide();
        self.decision = (topic.len() <= LONGEST).then(|| {
            self.topic.clear();
            self.topic.push_str(topic);
            self.about = about;
            decision
        });
        decision
    }
}

impl Limited {
    /// Whether a message of this topic may be delivered.
    pub(super) fn delivers(&mut self, topic: &str) -> bool {
        let Self { access, delivered, .. } = self;
        delivered.of(topic, None, || access.deliver(topic)).is_allowed()
    }

    fn publishes(&mut self, topic: &str, qos: QoS, retain: bool) -> Decision {
        let Self { access, published, .. } = self;
        published.of(topic, Some((qos, retain)), || access.publish(topic, qos, retain))
    }
}

impl Permissions {
    pub(super) fn new(access: Option<Arc<Access>>, generation: u64) -> Self {
        let limited = access.map(|access| {
            let (published, delivered) = (LastDecision::default(), LastDecision::default());
            Box::new(Limited { access, published, delivered, told: None, untold: 0 })
        });
        Self { limited, generation }
    }

    /// True if the client may not do everything, so that decisions are counted.
    pub(super) fn are_limited(&self) -> bool {
        self.limited.is_some()
    }

    /// Bytes that it takes in memory besides this.
    pub(super) fn memory(&self) -> usize {
        self.limited.as_ref().map_or(0, |limited| {
            let Limited { access, published, delivered, .. } = &**limited;
            let topics = published.topic.capacity() + delivered.topic.capacity();
            size_of::<Limited>() + topics + access.memory()
        })
    }
}

impl Client {
    /// Takes the current rules, if they have changed.
    pub(super) fn refresh_permissions(&mut self) {
        let generation = self.broker.rules.generation();
        if generation != self.permissions.generation {
            let access = self.handle.access(&self.broker.rules);
            self.permissions = Permissions::new(access, generation);
        }
    }

    /// Takes the rules that came with a renewed log-in.
    pub(super) fn replace_own_rules(&mut self, rules: LogInRules) {
        // A copy, so that whoever compiles the rules before does not take it for the same client.
        self.principal = Arc::new(Principal::clone(&self.principal));
        if self.handle.set_client(&self.principal, Some(rules), &self.broker.rules) {
            self.broker.note_rights_of(&self.handle);
        }
        let generation = self.broker.rules.generation();
        self.permissions = Permissions::new(self.handle.access(&self.broker.rules), generation);
    }

    /// False if the client may not publish this. It is then counted and logged.
    pub(super) fn may_publish(&mut self, topic: &str, qos: QoS, retain: bool) -> bool {
        let Some(limited) = &mut self.permissions.limited else { return true };
        let decision = limited.publishes(topic, qos, retain);
        if decision.is_allowed() {
            return true;
        }
        self.statistics.decided(AclAction::Publish, Effect::Deny);
        self.tell_denied(topic, qos, retain, decision.origin);
        false
    }

    /// Counts a publish that was allowed and accepted.
    pub(super) fn count_allowed_publish(&mut self) {
        if self.permissions.are_limited() {
            self.statistics.decided(AclAction::Publish, Effect::Allow);
        }
    }

    /// Whether a retained message may be delivered. If not, it is counted.
    pub(super) fn may_receive_retained(&mut self, topic: &str) -> bool {
        let Some(limited) = &mut self.permissions.limited else { return true };
        let may = limited.delivers(topic);
        if !may {
            self.statistics.decided(AclAction::Deliver, Effect::Deny);
        }
        may
    }

    /// The highest QoS at which the client may subscribe.
    ///
    /// # Errors
    /// It may not: why.
    pub(super) fn may_subscribe(&mut self, filter: &TopicFilter) -> Result<QoS, Origin> {
        let Some(limited) = &self.permissions.limited else { return Ok(QoS::ExactlyOnce) };
        let (granted, compared) = limited.access.subscribe_counting(filter.matched());
        self.budget.spend(NODE * (1 + compared / COMPARED_A_NODE));
        match granted {
            Granted::UpTo(qos, _) => {
                self.statistics.decided(AclAction::Subscribe, Effect::Allow);
                Ok(qos)
            }
            Granted::Nothing(origin) => {
                self.statistics.decided(AclAction::Subscribe, Effect::Deny);
                Err(origin)
            }
        }
    }

    fn tell_denied(&mut self, topic: &str, qos: QoS, retain: bool, origin: Origin) {
        let now = self.step.now.instant;
        let Some(limited) = &mut self.permissions.limited else { return };
        let is_recent = |told: Instant| now.saturating_duration_since(told) < TELL_EVERY;
        if limited.told.is_some_and(is_recent) {
            limited.untold += 1;
            return;
        }
        limited.told = Some(now);
        let others = std::mem::take(&mut limited.untold);
        let (client_id, user) = (&*self.handle.client_id, self.principal.username.as_deref());
        tracing::warn!(
            client_id, user, remote = %self.principal.address, topic, qos = qos as u8, retain,
            decided_by = %origin, others, "publish denied by the access rules"
        );
    }
}
