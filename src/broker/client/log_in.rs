//! The log-in of a connected client: when it ends, and its renewal by AUTH (MQTT 5.0, 4.12.1).
//!
//! A renewal must be of the same user by the same method. Other packets flow meanwhile, under
//! the log-in before. It begins with an AUTH with reason code 0x19 and ends with an AUTH with
//! 0x00, or with the connection [MQTT-4.12.1-2]. One that fails counts as a failed log-in
//! (`[bans]`): else whoever has an account could try the passwords of others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Client, Close, Pending, Reply};
use crate::auth::{Claimed, Decision, Exchange, Identity, NextStep, Others, Step, Verification};
use crate::config::Method;
use crate::message::WallMillis;
use crate::protocol::{Auth, Connect, ReasonCode, ReasonContext};

/// The end of the log-in is looked for at least this often: the machine may be suspended,
/// which the monotonic timers do not count.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// The cost of one step of a renewal, in units of the budget: some tens of hashes (SCRAM), or
/// what begins a verification elsewhere.
const RENEWAL: usize = 256;

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
    /// The renewal that has begun.
    renewal: Option<Renewal>,
}

/// A renewal that has begun.
#[derive(Debug)]
struct Renewal {
    method: Method,
    exchange: Box<dyn Exchange>,
    /// `None` while the client has to answer.
    verification: Option<Verification>,
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
        let (mut renewal, begins) = match (auth.reason, enhanced.renewal.take()) {
            (ReasonCode::ReAuthenticate, None) => {
                let timeout = self.broker.connect_settings().connect_timeout;
                let claimed = Claimed {
                    username: enhanced.username.as_deref(),
                    client_id: &self.handle.client_id,
                    peer: self.principal.address,
                    until: (self.step.now.instant + timeout).into(),
                    now: self.step.now.wall,
                };
                let listener = &self.principal.listener;
                let begun = self.broker.authenticator.exchange(listener, &enhanced.name, claimed);
                let Some((method, exchange)) = begun else {
                    return Err(Close::Error(
                        ReasonCode::BadAuthenticationMethod,
                        "its authentication method is no longer configured",
                    ));
                };
                (Renewal { method, exchange, verification: None }, true)
            }
            (ReasonCode::ContinueAuthentication, Some(renewal))
                if renewal.verification.is_none() =>
            {
                (renewal, false)
            }
            (ReasonCode::ReAuthenticate, Some(_)) => {
                return protocol("AUTH begins a re-authentication before another has ended");
            }
            _ => return protocol("AUTH continues an authentication that asks for nothing"),
        };
        self.budget.spend(RENEWAL);
        let exchange = &mut renewal.exchange;
        match if begins { exchange.begin(data) } else { exchange.next(data) } {
            NextStep::Known(step) => self.take_step(renewal, step),
            NextStep::Verifies(verification) => {
                renewal.verification = Some(verification);
                enhanced.renewal = Some(renewal);
                // Polled by `continue_renewal`, before this step writes.
                Ok(())
            }
        }
    }

    /// Takes the result of a verification that a renewal waits for, if there is one. It wakes
    /// the connection when it ends.
    ///
    /// # Errors
    /// The renewal has failed.
    pub(super) fn continue_renewal(&mut self) -> Result<(), Close> {
        let Some(renewal) = self.log_in.enhanced.as_mut().map(|it| &mut it.renewal) else {
            return Ok(());
        };
        let Some(verification) = renewal.as_mut().and_then(|it| it.verification.as_mut()) else {
            return Ok(());
        };
        let waker = Waker::from(Arc::clone(&self.wake));
        let polled = Pin::new(verification).poll(&mut Context::from_waker(&waker));
        match (polled, renewal.take()) {
            (Poll::Ready(step), Some(done)) => {
                self.take_step(Renewal { verification: None, ..done }, step)
            }
            (_, waits) => {
                *renewal = waits;
                Ok(())
            }
        }
    }

    /// # Errors
    /// The renewal has failed.
    fn take_step(&mut self, renewal: Renewal, step: Step) -> Result<(), Close> {
        match step {
            Step::Continue(data) => {
                if let Some(enhanced) = &mut self.log_in.enhanced {
                    enhanced.renewal = Some(renewal);
                }
                self.answer_auth(ReasonCode::ContinueAuthentication, Some(data));
                Ok(())
            }
            Step::Done(identity, data) => {
                self.renew(identity)?;
                self.answer_auth(ReasonCode::Success, data);
                Ok(())
            }
            Step::Refuse(reason) => {
                self.count_failed_renewal(reason, renewal.method);
                // Not every reason code of a CONNACK may be in a DISCONNECT.
                let fits = reason.is_valid_in(ReasonContext::DisconnectByServer);
                let reason = if fits { reason } else { ReasonCode::NotAuthorized };
                Err(Close::Error(reason, "its re-authentication was refused"))
            }
        }
    }

    fn count_failed_renewal(&self, reason: ReasonCode, by: Method) {
        let refused = Decision::Refuse { reason, by: Some(by) };
        self.broker.metrics.connections.authentications.inc(refused.as_labels());
        self.broker.log_in_refused(self.principal.address, reason);
    }

    /// # Errors
    /// The client has authenticated as another user, or it is not known what it may do now.
    fn renew(&mut self, identity: Identity) -> Result<(), Close> {
        if identity.username != self.principal.username {
            if let Some(method) = identity.method {
                self.count_failed_renewal(ReasonCode::NotAuthorized, method);
            }
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
