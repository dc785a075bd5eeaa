//! The method `SCRAM-SHA-256` of enhanced authentication.

use std::sync::Arc;

use super::Identity;
use super::exchange::{Claimed, EnhancedMethod, Exchange, NextStep, Step};
use super::scram::{self, MECHANISM, Nonce, Refusal, ScramUsers};
use crate::config::Method;
use crate::protocol::ReasonCode;

/// SCRAM with the users of `auth.scram.file`.
#[derive(Debug)]
pub(super) struct EnhancedScram(pub(super) Arc<ScramUsers>);

impl EnhancedMethod for EnhancedScram {
    fn name(&self) -> &'static str {
        MECHANISM
    }

    fn method(&self) -> Method {
        Method::Scram
    }

    fn exchange(&self, claimed: Claimed<'_>) -> Box<dyn Exchange> {
        Box::new(ScramExchange {
            users: Arc::clone(&self.0),
            username: claimed.username.map(Into::into),
            begun: None,
        })
    }

    fn still_has(&self, user: &str, credential: u64) -> bool {
        self.0.credential(user) == Some(credential)
    }

    fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }
}

#[derive(Debug)]
struct ScramExchange {
    users: Arc<ScramUsers>,
    /// The user name in the CONNECT, which must not be another one.
    username: Option<Box<str>>,
    begun: Option<scram::Exchange>,
}

/// On the thread of the connection: its messages cost a few hashes, since the client has to
/// derive the key.
impl Exchange for ScramExchange {
    fn begin(&mut self, data: &[u8]) -> NextStep {
        self.answer_first(data).into()
    }

    fn next(&mut self, data: &[u8]) -> NextStep {
        self.answer_final(data).into()
    }
}

impl ScramExchange {
    fn answer_first(&mut self, data: &[u8]) -> Step {
        match scram::Exchange::begin(data, &self.users, &Nonce::random()) {
            Ok((exchange, server_first)) => {
                self.begun = Some(exchange);
                Step::Continue(server_first)
            }
            Err(refusal) => refused(&refusal),
        }
    }

    fn answer_final(&mut self, data: &[u8]) -> Step {
        let Some(exchange) = self.begun.take() else {
            return Step::Refuse(ReasonCode::ProtocolError);
        };
        match exchange.finish(data) {
            Ok(success) if self.username.as_ref().is_none_or(|name| *name == success.username) => {
                let identity = Identity {
                    username: Some(success.username),
                    method: Some(Method::Scram),
                    credential: success.credential,
                    ..Identity::default()
                };
                Step::Done(identity, Some(success.server_final))
            }
            Ok(_) => Step::Refuse(ReasonCode::BadUserNameOrPassword),
            Err(refusal) => refused(&refusal),
        }
    }
}

fn refused(refusal: &Refusal) -> Step {
    tracing::info!(detail = %refusal, "SCRAM-SHA-256 refused");
    Step::Refuse(match refusal {
        Refusal::Credentials => ReasonCode::BadUserNameOrPassword,
        _ => ReasonCode::NotAuthorized,
    })
}
