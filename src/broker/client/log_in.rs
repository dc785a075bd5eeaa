//! The log-in of a connected client: when it ends, and its renewal by AUTH (MQTT 5.0, 4.12.1).
//!
//! A renewal must be of the same user by the same method. Other packets flow meanwhile, under
//! the log-in before. It begins with an AUTH with reason code 0x19 and ends with an AUTH with
//! 0x00, or with the connection [MQTT-4.12.1-2].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Client, Close, Pending, Reply};
use crate::auth::{Claimed, Decision, Exchange, Identity, Others, Step};
use crate::config::Method;
use crate::message::WallMillis;
use crate::protocol::{Auth, Connect, ReasonCode, ReasonContext};

/// The end of the log-in is looked for at least this often: the machine may be suspended,
/// which the monotonic timers do not count.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// The cost of one step of a renewal, in units of the budget: the signature of a token takes up
/// to 1 ms on this thread (P-384), so a poll does few of them, and then others have their turn.
const RENEWAL: usize = 8 * 1024;

/// See the module.
#[derive(Debug)]
pub(in crate::broker) struct LogInState {
    expires_at: Option<WallMillis>,
    method: Option<Method>,
    /// Present if the client has named an authentication method in CONNECT.
    enhanced: Option<Box<Enhanced>>,
}

#[derive(Debug)]
struct Enhanced {
    /// The Authentication Method, which does not change [MQTT-4.12.1-1].
    name: Box<str>,
    /// The user name in the CONNECT.
    username: Option<Box<str>>,
    /// What other required methods have added at CONNECT: a renewal does not ask them.
    others: Option<Box<Others>>,
    /// The renewal that has begun, and its method.
    renewal: Option<(Method, Box<dyn Exchange>)>,
}

impl LogInState {
    /// The log-in of an accepted CONNECT.
    pub(in crate::broker) fn new(connect: &Connect, identity: &Identity) -> Self {
        let enhanced = connect.authentication_method.as_deref().map(|name| {
            let username = connect.username.as_deref().map(Into::into);
            let others = identity.others.clone();
            Box::new(Enhanced { name: name.into(), username, others, renewal: None })
        });
        Self { expires_at: identity.expires_at, method: identity.method, enhanced }
    }
}

impl Client {
    /// When a poll has to look whether the log-in has ended; `None` if it does not end.
    pub(super) fn log_in_checked_at(&self) -> Option<Instant> {
        let left = self.log_in.expires_at?.0.saturating_sub(self.step.now.wall.0);
        Some(self.step.now.instant + Duration::from_millis(left).min(LOOK_EVERY))
    }

    /// True if the log-in has ended.
    pub fn has_log_in_ended(&self) -> bool {
        self.log_in.expires_at.is_some_and(|at| at <= self.step.now.wall)
    }

    /// # Errors
    /// The log-in has ended.
    pub(super) fn check_log_in(&self) -> Result<(), Close> {
        if !self.has_log_in_ended() {
            return Ok(());
        }
        Err(match self.log_in.method {
            Some(Method::Jwt) => Close::Error(
                ReasonCode::MaximumConnectTime,
                "its token has expired (exp), and it has not sent a new one",
            ),
            _ => Close::Error(ReasonCode::NotAuthorized, "its log-in has expired"),
        })
    }

    /// # Errors
    /// The packet breaks a rule, or the renewal has failed.
    pub(super) fn on_auth(&mut self, auth: &Auth) -> Result<(), Close> {
        let protocol = |what| Err(Close::Error(ReasonCode::ProtocolError, what));
        let Some(enhanced) = &mut self.log_in.enhanced else {
            return protocol("AUTH, and CONNECT named no authentication method [MQTT-4.12.0-7]");
        };
        if auth.method.as_deref() != Some(&*enhanced.name) {
            return protocol("AUTH with another authentication method [MQTT-4.12.0-5]");
        }
        let data = auth.data.as_deref().unwrap_or_default();
        let (method, mut exchange) = match (auth.reason, enhanced.renewal.take()) {
            (ReasonCode::ReAuthenticate, None) => {
                let username = enhanced.username.as_deref();
                let claimed = Claimed {
                    username,
                    client_id: &self.handle.client_id,
                    now: self.step.now.wall,
                };
                let listener = &self.principal.listener;
                let begun = self.broker.authenticator.exchange(listener, &enhanced.name, claimed);
                let Some(begun) = begun else {
                    return Err(Close::Error(
                        ReasonCode::BadAuthenticationMethod,
                        "its authentication method is no longer configured",
                    ));
                };
                begun
            }
            (ReasonCode::ContinueAuthentication, Some(renewal)) => renewal,
            (ReasonCode::ReAuthenticate, Some(_)) => {
                return protocol("AUTH begins a re-authentication before another has ended");
            }
            _ => return protocol("AUTH continues an authentication that has not begun"),
        };
        self.budget.spend(RENEWAL);
        let step = if auth.reason == ReasonCode::ReAuthenticate {
            exchange.begin(data)
        } else {
            exchange.next(data)
        };
        match step {
            Step::Continue(data) => {
                enhanced.renewal = Some((method, exchange));
                self.answer_auth(ReasonCode::ContinueAuthentication, Some(data));
                Ok(())
            }
            Step::Done(identity, data) => {
                self.renew(identity)?;
                self.answer_auth(ReasonCode::Success, data);
                Ok(())
            }
            Step::Refuse(reason) => {
                let refused = Decision::Refuse { reason, by: Some(method) };
                self.broker.metrics.connections.authentications.inc(refused.as_labels());
                // Not every reason code of a CONNACK may be in a DISCONNECT.
                let fits = reason.is_valid_in(ReasonContext::DisconnectByServer);
                let reason = if fits { reason } else { ReasonCode::NotAuthorized };
                Err(Close::Error(reason, "its re-authentication was refused"))
            }
        }
    }

    /// # Errors
    /// The client has authenticated as another user, or it is not known what it may do now.
    fn renew(&mut self, identity: Identity) -> Result<(), Close> {
        if identity.username != self.principal.username {
            let by = identity.method;
            let refused = Decision::Refuse { reason: ReasonCode::NotAuthorized, by };
            self.broker.metrics.connections.authentications.inc(refused.as_labels());
            return Err(Close::Error(
                ReasonCode::NotAuthorized,
                "its re-authentication is of another user",
            ));
        }
        let enhanced = self.log_in.enhanced.as_deref();
        let identity = identity.beside(enhanced.and_then(|enhanced| enhanced.others.as_deref()));
        match &identity.rules {
            Some(rules) => self.replace_own_rules(rules.clone()),
            None if self.handle.has_own_rules() => {
                return Err(Close::Error(
                    ReasonCode::NotAuthorized,
                    "its new log-in has no access rules, and the one before had some: it has to \
                     connect again",
                ));
            }
            None => {}
        }
        self.log_in.expires_at = identity.expires_at;
        self.log_in.method = identity.method;
        let client_id = &*self.handle.client_id;
        tracing::debug!(client_id, user = identity.username.as_deref(), "log-in renewed");
        let allowed = Decision::Allow(identity);
        self.broker.metrics.connections.authentications.inc(allowed.as_labels());
        // The timer is set at the end of this poll.
        self.check_log_in()
    }

    fn answer_auth(&mut self, reason: ReasonCode, data: Option<Vec<u8>>) {
        let method = self.log_in.enhanced.as_ref().map(|enhanced| enhanced.name.to_string());
        let auth = Auth { reason, method, data, ..Auth::default() };
        self.pending.push(Pending::at_once(Reply::Auth(Box::new(auth))));
    }
}
