//! What the client of a session may do, also while it is away: others ask this before they
//! queue a message for it, and its will is published by it.
//!
//! After a restart nobody knows the client of a session until it connects. Messages are queued
//! for it all the same, since they are asked about again when they are delivered. Its will is
//! decided by what is known, and against it where a rule asks for more.

use std::sync::Arc;

use super::SessionHandle;
use crate::auth::acl::{Access, LogInRules, Subject};
use crate::auth::{CurrentRules, Principal};

/// The client of a session, and what it may do.
#[derive(Debug, Default)]
pub(super) struct Rights {
    /// The client that is or was connected; `None`: a restart has found the session.
    client: Option<Client>,
    /// `None`: everything.
    access: Option<Arc<Access>>,
    /// The generation of the rules that `access` is from; `None`: it was never asked.
    generation: Option<u64>,
}

#[derive(Debug, Clone)]
struct Client {
    principal: Arc<Principal>,
    /// Rules that came with its log-in.
    rules: Option<LogInRules>,
}

impl Client {
    /// True if both are of the same log-in. A renewal changes its rules, and not the principal.
    fn is(&self, other: &Self) -> bool {
        let same_rules = match (&self.rules, &other.rules) {
            (Some(one), Some(other)) => one.is(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_rules && Arc::ptr_eq(&self.principal, &other.principal)
    }
}

impl SessionHandle {
    /// Sets the client that is connected now. True if it may receive something else than the one
    /// before, for [`Broker::note_rights_of`](super::Broker::note_rights_of).
    #[must_use]
    pub(super) fn set_client(
        &self,
        principal: &Arc<Principal>,
        log_in: Option<LogInRules>,
        rules: &CurrentRules,
    ) -> bool {
        if let Some(LogInRules::List(_)) = log_in {
            rules.note_guest();
        }
        let client = Client { principal: Arc::clone(principal), rules: log_in };
        let (current, generation) = rules.get();
        let subject = Subject::Client(&client.principal);
        let access = limited(current.access(subject, client.rules.as_ref()));
        let mut rights = self.rights.lock();
        let same = match (&rights.access, &access) {
            // What is not known yet may be queued as well.
            (None, None) => true,
            (Some(one), Some(other)) => rights.client.is_some() && one.says_the_same(other),
            _ => false,
        };
        *rights = Rights { client: Some(client), access, generation: Some(generation) };
        drop(rights);
        // A new session is among nobody's receivers.
        let differs = !same && !self.look().subscriptions.is_empty();
        if differs {
            rules.note_change();
        }
        differs
    }

    /// True if rules came with the client's log-in.
    pub(super) fn has_own_rules(&self) -> bool {
        self.rights.lock().client.as_ref().is_some_and(|client| client.rules.is_some())
    }

    /// What the client may do, by the current rules; `None`: everything.
    pub(super) fn access(&self, rules: &CurrentRules) -> Option<Arc<Access>> {
        self.current(rules).0
    }

    /// True if a message of this topic may be queued for the client: it may receive it, or
    /// that is not known yet.
    pub(super) fn may_receive(&self, topic: &str, rules: &CurrentRules) -> bool {
        self.may_receive_counting(topic, rules).0
    }

    /// As [`SessionHandle::may_receive`]. Also returns how many rules were asked whether they
    /// concern the client: none, unless they have changed since the last time.
    pub(super) fn may_receive_counting(&self, topic: &str, rules: &CurrentRules) -> (bool, usize) {
        let rights = self.rights.lock();
        if rights.generation == Some(rules.generation()) {
            // Under the lock: a copy of the reference would be one more counter that all
            // publishers change.
            let access = rights.access.as_ref().filter(|_| rights.client.is_some());
            return (access.is_none_or(|access| access.deliver(topic).is_allowed()), 0);
        }
        drop(rights);
        let (access, is_known, asked) = self.current(rules);
        let may = !is_known || access.is_none_or(|access| access.deliver(topic).is_allowed());
        (may, asked)
    }

    /// What the client may do, whether the client is known, and how many rules were asked
    /// whether they concern it.
    fn current(&self, rules: &CurrentRules) -> (Option<Arc<Access>>, bool, usize) {
        let client = {
            let rights = self.rights.lock();
            if rights.generation == Some(rules.generation()) {
                return (rights.access.clone(), rights.client.is_some(), 0);
            }
            rights.client.clone()
        };
        // Without the lock, since it takes some time for many rules.
        let (current, generation) = rules.get();
        let access = limited(if let Some(client) = &client {
            current.access(Subject::Client(&client.principal), client.rules.as_ref())
        } else {
            let owner = self.recovered_owner.as_ref().map(|owner| &*owner.0);
            let subject = Subject::Recovered { client_id: &self.client_id, owner };
            current.access(subject, None)
        });
        let mut rights = self.rights.lock();
        // Unless the client has changed meanwhile, or the rules once more.
        let is_same = match (&rights.client, &client) {
            (Some(one), Some(other)) => one.is(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if is_same && rights.generation.is_none_or(|known| known < generation) {
            rights.access.clone_from(&access);
            rights.generation = Some(generation);
        }
        (access, client.is_some(), current.len())
    }
}

fn limited(access: Access) -> Option<Arc<Access>> {
    (!access.is_unlimited()).then(|| Arc::new(access))
}
