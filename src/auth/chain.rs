//! The chain of a listener: its methods in their order, and what is made of their answers.
//!
//! | `require` | Decision |
//! | --- | --- |
//! | empty | The first method that allows or refuses decides. |
//! | some methods | Only these are asked, and all must allow. |
//!
//! If several must allow, the user name is that of the first which is not `certificate`: the
//! certificate says which machine connects, and the password or token who uses it. Their names
//! need not agree. Two methods other than `certificate` have to verify the same name. The
//! log-in ends when the first of them ends, and the rules are those of the first that has any. It
//! counts as that of the one with a stored secret, if there is one: a reload may remove that.
//!
//! If no method decides, a client that gave a user name or password which a method could have
//! taken is refused; any other is anonymous.

use std::sync::Arc;

use super::callback::Callback;
use super::exchange::EnhancedMethod;
use super::jwt_method::Tokens;
use super::passwords::Passwords;
use super::{Answer, Decision, Identity, LogIn, Others, Request, certificate, http_method};
use crate::config::{Anonymous, CertificateName, Method};
use crate::message::WallMillis;
use crate::protocol::ReasonCode;

/// A method that can be asked at CONNECT.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// See `certificate.rs`.
    Certificate(CertificateName),
    /// See `passwords.rs`.
    Password(Arc<Passwords>),
    /// See `jwt_method.rs`.
    Jwt(Arc<Tokens>),
    /// See `http_method.rs`.
    Http(Arc<Callback>),
}

impl Asked {
    fn method(&self) -> Method {
        match self {
            Self::Certificate(_) => Method::Certificate,
            Self::Password(_) => Method::Password,
            Self::Jwt(_) => Method::Jwt,
            Self::Http(_) => Method::Http,
        }
    }

    async fn ask(&self, request: &Request<'_>, http_follows: bool) -> Answer {
        match self {
            Self::Certificate(name) => certificate::ask(*name, request),
            Self::Password(passwords) => passwords.ask(request, http_follows).await,
            Self::Jwt(tokens) => tokens.ask(request).await,
            Self::Http(callback) => http_method::ask(callback, request).await,
        }
    }

    /// True if this log-in by this method would succeed again.
    fn still_has(&self, user: &str, log_in: &LogIn<'_>) -> bool {
        match self {
            Self::Certificate(name) => log_in
                .certificate
                .is_some_and(|shown| certificate::user_name(*name, shown) == Some(user)),
            Self::Password(passwords) => passwords.still_has(user, log_in.credential),
            // Their log-ins end by themselves: neither knows which users there are.
            Self::Jwt(_) | Self::Http(_) => true,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Chain {
    /// Those that are asked: the required ones, or all that are configured.
    pub(super) methods: Vec<Asked>,
    /// Methods of enhanced authentication that clients may name.
    pub(super) enhanced: Vec<Arc<dyn EnhancedMethod>>,
    /// All of these must allow; empty: one of `methods` is enough. `password` may be among
    /// them and not among `methods`, if there are only keys of SCRAM.
    pub(super) required: Vec<Method>,
    /// For clients about which no method decides.
    pub(super) anonymous: Anonymous,
}

impl Chain {
    /// Asks the methods.
    pub(super) async fn connect(&self, request: &Request<'_>) -> Decision {
        if !self.required.is_empty() {
            return self.all_allow(request, None).await;
        }
        for (index, asked) in self.methods.iter().enumerate() {
            let mut later = self.methods.iter().skip(index + 1);
            let http_follows = later.any(|later| later.method() == Method::Http);
            match asked.ask(request, http_follows).await {
                Answer::Allow(identity) => return Decision::Allow(identity),
                Answer::Refuse(reason) => return refusal(reason, Some(asked.method())),
                Answer::NotMine => {}
            }
        }
        self.undecided(request)
    }

    /// Decides about a client that enhanced authentication has verified.
    pub(super) async fn exchanged(&self, request: &Request<'_>, identity: Identity) -> Decision {
        if self.required.is_empty() {
            Decision::Allow(identity)
        } else {
            self.all_allow(request, Some(identity)).await
        }
    }

    async fn all_allow(&self, request: &Request<'_>, exchanged: Option<Identity>) -> Decision {
        let done = exchanged.as_ref().and_then(|identity| identity.method).map(counts_as);
        let is_open = |method: &&Method| {
            Some(**method) != done && self.methods.iter().all(|asked| asked.method() != **method)
        };
        if let Some(method) = self.required.iter().find(is_open) {
            // Only an exchange can satisfy it, and there was none, or another one.
            return self.missing(*method, request);
        }
        let (mut found, mut others) = (exchanged, Others::default());
        for asked in self.methods.iter().filter(|asked| Some(asked.method()) != done) {
            match asked.ask(request, false).await {
                Answer::Refuse(reason) => return refusal(reason, Some(asked.method())),
                Answer::NotMine => return self.missing(asked.method(), request),
                Answer::Allow(identity) => {
                    others.add(&identity);
                    let all = match found.take() {
                        None => Some(identity),
                        Some(before) => before.and(identity),
                    };
                    if all.is_none() {
                        // They disagree about the name.
                        let reason = ReasonCode::BadUserNameOrPassword;
                        return refusal(reason, Some(asked.method()));
                    }
                    found = all;
                }
            }
        }
        let Some(mut found) = found else { return refusal(ReasonCode::NotAuthorized, None) };
        found.others = (done.is_some() && others != Others::default()).then(|| Box::new(others));
        Decision::Allow(found)
    }

    /// A required method has nothing to decide on.
    fn missing(&self, method: Method, request: &Request<'_>) -> Decision {
        if method != Method::Certificate && self.could_take(request) {
            refusal(ReasonCode::BadUserNameOrPassword, Some(method))
        } else {
            refusal(ReasonCode::NotAuthorized, Some(method))
        }
    }

    fn undecided(&self, request: &Request<'_>) -> Decision {
        if self.could_take(request) {
            // The method that takes user names last: it had to say that it knows none.
            let mut takes = self.methods.iter().rev().map(Asked::method);
            let last = takes.find(|method| *method != Method::Certificate);
            return refusal(ReasonCode::BadUserNameOrPassword, last);
        }
        let welcome = match self.anonymous {
            Anonymous::Always => true,
            Anonymous::Never => false,
            // A way to authenticate means that clients are to use it, on loopback as well.
            Anonymous::Loopback => {
                request.loopback && self.methods.is_empty() && self.enhanced.is_empty()
            }
        };
        if welcome {
            Decision::Allow(Identity::default())
        } else {
            refusal(ReasonCode::NotAuthorized, None)
        }
    }

    /// The client gave a user name or password, and a method takes such. Without such a method
    /// they prove nothing: the client is anonymous.
    fn could_take(&self, request: &Request<'_>) -> bool {
        let gave = request.username.is_some() || request.password.is_some();
        gave && self.methods.iter().any(|asked| asked.method() != Method::Certificate)
    }

    /// The method of enhanced authentication of this name.
    pub(super) fn enhanced(&self, name: &str) -> Option<&Arc<dyn EnhancedMethod>> {
        self.enhanced.iter().find(|method| method.name() == name)
    }

    /// See [`Authenticator::still_valid`](super::Authenticator::still_valid).
    pub(super) fn still_valid(&self, log_in: &LogIn<'_>) -> bool {
        let Some(method) = log_in.method else { return true };
        // Only the method `http` allows clients without one, and it knows no users.
        let user = log_in.username.unwrap_or_default();
        let mut asked = self.methods.iter().filter(|asked| asked.method() == method);
        let mut enhanced = self.enhanced.iter().filter(|enhanced| enhanced.method() == method);
        asked.any(|asked| asked.still_has(user, log_in))
            || enhanced.any(|enhanced| enhanced.still_has(user, log_in.credential))
    }
}

/// The item of `auth.methods` and `auth.require` that this method stands for: SCRAM proves
/// that the client knows a password.
pub(super) fn counts_as(method: Method) -> Method {
    if method == Method::Scram { Method::Password } else { method }
}

fn refusal(reason: ReasonCode, by: Option<Method>) -> Decision {
    Decision::Refuse { reason, by }
}

fn earliest(one: Option<WallMillis>, other: Option<WallMillis>) -> Option<WallMillis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Others {
    fn add(&mut self, identity: &Identity) {
        self.expires_at = earliest(self.expires_at, identity.expires_at);
        self.rules = self.rules.take().or_else(|| identity.rules.clone());
    }
}

impl Identity {
    /// The identity of a client that has renewed what an exchange had verified: what other
    /// methods have added at its CONNECT stays.
    #[must_use]
    pub fn beside(self, others: Option<&Others>) -> Self {
        let Some(others) = others else { return self };
        Self {
            expires_at: earliest(self.expires_at, others.expires_at),
            rules: self.rules.or_else(|| others.rules.clone()),
            ..self
        }
    }

    /// The identity of a client that two methods have verified, in this order; `None` if they
    /// disagree about its name. See the module.
    pub(super) fn and(self, later: Self) -> Option<Self> {
        let expires_at = earliest(self.expires_at, later.expires_at);
        let is_certificate = |identity: &Self| identity.method == Some(Method::Certificate);
        let (first, second) = if is_certificate(&self) { (later, self) } else { (self, later) };
        if !is_certificate(&second) && first.username != second.username {
            return None;
        }
        // What can be taken away is what a reload has to ask about.
        let has_secret = first.credential != 0 || second.credential == 0;
        let (method, credential) = if has_secret {
            (first.method, first.credential)
        } else {
            (second.method, second.credential)
        };
        Some(Self { method, credential, rules: first.rules.or(second.rules), expires_at, ..first })
    }
}
