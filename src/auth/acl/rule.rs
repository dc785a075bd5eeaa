//! The rules of `[acl]`: whom they concern, and what they say.

use std::sync::Arc;

use ahash::AHashSet;
use ipnet::IpNet;

use super::clause::{Clause, Effect};
use super::pattern::{Names, Pattern, User};
use crate::auth::Principal;
use crate::peer::{PeerAddr, is_within};
use crate::protocol::QoS;

/// The user names of a group, shared by all rules that name it.
pub type Group = Arc<AHashSet<Box<str>>>;

/// Whom rules are compiled for.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A client that is or was connected.
    Client(&'a Principal),
    /// A session that a restart has found: nothing else is known of its client.
    Recovered {
        /// The client id.
        client_id: &'a Arc<str>,
        /// The user who owns the session, if that is known.
        owner: Option<&'a str>,
    },
}

impl Subject<'_> {
    pub(super) fn names(&self) -> Names {
        let (user, client_id) = match self {
            Self::Client(client) => {
                let named = client.username.clone();
                (named.map_or(User::Anonymous, User::Named), &client.client_id)
            }
            Self::Recovered { client_id, owner } => {
                (owner.map_or(User::Unknown, |name| User::Named(name.into())), *client_id)
            }
        };
        Names { user, client_id: Arc::clone(client_id) }
    }
}

/// Whom a rule concerns: a client that is in each list that is not empty. `users` and `groups`
/// are one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// User names.
    pub users: Vec<Box<str>>,
    /// Groups of users.
    pub groups: Vec<Group>,
    /// Client ids.
    pub client_ids: Vec<Box<str>>,
    /// Addresses. A client on a Unix socket is in none.
    pub networks: Vec<IpNet>,
    /// Names of listeners.
    pub listeners: Vec<Box<str>>,
    /// Subjects of client certificates.
    pub certificates: Vec<Box<str>>,
}

impl Who {
    /// Whether the rule concerns this client; `None`: that depends on what is not known of it.
    pub fn includes(&self, subject: Subject<'_>) -> Option<bool> {
        let is_in = |list: &[Box<str>], name: &str| list.iter().any(|known| **known == *name);
        let is_user = |name: &str| {
            is_in(&self.users, name) || self.groups.iter().any(|group| group.contains(name))
        };
        let any_user = self.users.is_empty() && self.groups.is_empty();
        let any_client = self.client_ids.is_empty();
        match subject {
            Subject::Client(client) => {
                let subject = client.certificate.as_ref().map(|it| &*it.subject);
                let is_certified = |name| is_in(&self.certificates, name);
                Some(
                    (any_user || client.username.as_deref().is_some_and(is_user))
                        && (any_client || is_in(&self.client_ids, &client.client_id))
                        && (self.listeners.is_empty() || is_in(&self.listeners, &client.listener))
                        && (self.certificates.is_empty() || subject.is_some_and(is_certified))
                        && (self.networks.is_empty() || self.is_near(client.address)),
                )
            }
            Subject::Recovered { client_id, owner } => {
                let excluded = (!any_client && !is_in(&self.client_ids, client_id))
                    || (!any_user && owner.is_some_and(|name| !is_user(name)));
                let is_known = (any_user || owner.is_some())
                    && self.listeners.is_empty()
                    && self.certificates.is_empty()
                    && self.networks.is_empty();
                if excluded { Some(false) } else { is_known.then_some(true) }
            }
        }
    }

    fn is_near(&self, address: PeerAddr) -> bool {
        match address {
            PeerAddr::Inet(address) => is_within(address.ip(), &self.networks),
            PeerAddr::Local => false,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whom it concerns. A rule that came with a log-in concerns its client, whatever is here.
    pub who: Who,
    /// It concerns publishing.
    pub publish: bool,
    /// It concerns subscribing and receiving.
    pub subscribe: bool,
    /// What it decides.
    pub effect: Effect,
    /// Its topics.
    pub topics: Vec<Pattern>,
    /// The highest QoS that it allows.
    pub max_qos: QoS,
    /// True if it allows to publish retained messages.
    pub retain: bool,
}

impl Rule {
    /// True if it is asked for this client. What is not known of a client is decided against
    /// it: a rule that denies is asked, and one that allows is not.
    pub(super) fn applies_to(&self, subject: Subject<'_>) -> bool {
        self.who.includes(subject).unwrap_or(self.effect == Effect::Deny)
    }

    /// Appends a clause for each topic.
    pub(super) fn compile(&self, number: usize, to: &mut Vec<Clause>) {
        to.extend(self.topics.iter().map(|pattern| Clause {
            pattern: pattern.clone(),
            effect: self.effect,
            publish: self.publish,
            subscribe: self.subscribe,
            max_qos: self.max_qos,
            retain: self.retain,
            matches_dollar: self.effect == Effect::Deny,
            number,
        }));
    }
}
