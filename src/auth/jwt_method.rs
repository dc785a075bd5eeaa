//! The method `jwt`: a token in the password field, or in the enhanced authentication
//! `OAUTH2-JWT`, by which a client also renews its log-in on the open connection.

use std::sync::Arc;

use super::exchange::{Claimed, EnhancedMethod, Exchange, Step};
use super::external_clock::{in_broker_time, wall_clock};
use super::jwt::{JwtVerifier, Refused, Verified, looks_like_token};
use super::slots::Slots;
use super::{Answer, Identity, Request};
use crate::config::Method;
use crate::message::WallMillis;
use crate::protocol::ReasonCode;

/// The Authentication Method, as EMQX and AWS call it.
const NAME: &str = "OAUTH2-JWT";

/// Tokens in the password field. Like passwords, they are verified off the threads that serve
/// connections, in slots that sources take in turn: a signature of P-384 takes 0.4 ms, and a
/// token that names no key may cost several.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) verifier: Arc<JwtVerifier>,
    slots: Arc<Slots>,
}

impl Tokens {
    /// `verifications` is the number of slots.
    pub(super) fn new(verifier: Arc<JwtVerifier>, verifications: usize) -> Self {
        Self { verifier, slots: Arc::new(Slots::new(verifications)) }
    }

    /// Asks about a token.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Answer {
        let Some(token) = request.password.filter(|password| looks_like_token(password)) else {
            return Answer::NotMine;
        };
        let wall = wall_clock();
        match self.verify(token, request, wall).await {
            Ok(Ok(found)) => Answer::Allow(identity(found, wall, request.now)),
            Ok(Err(Refused::NotMine)) => Answer::NotMine,
            Ok(Err(refused)) => {
                tell(request.client_id, &refused);
                Answer::Refuse(match refused {
                    Refused::NoKeys => ReasonCode::ServerUnavailable,
                    _ => ReasonCode::BadUserNameOrPassword,
                })
            }
            Err(reason) => Answer::Refuse(reason),
        }
    }

    /// A token whose key is not known is verified again after the keys were read.
    async fn verify(
        &self,
        token: &[u8],
        request: &Request<'_>,
        wall: WallMillis,
    ) -> Result<Result<Verified, Refused>, ReasonCode> {
        let verified = self.verify_now(token, request, wall).await?;
        let is_unknown = matches!(verified, Err(Refused::UnknownKey | Refused::NoKeys));
        if is_unknown && self.verifier.refreshed(request.until).await {
            return self.verify_now(token, request, wall).await;
        }
        Ok(verified)
    }

    async fn verify_now(
        &self,
        token: &[u8],
        request: &Request<'_>,
        wall: WallMillis,
    ) -> Result<Result<Verified, Refused>, ReasonCode> {
        let mut place = self.slots.enter(request.peer.source()).ok_or(ReasonCode::ServerBusy)?;
        let turn = tokio::time::timeout_at(request.until, place.turn()).await;
        turn.map_err(|_| ReasonCode::ServerBusy)?;
        let verifier = Arc::clone(&self.verifier);
        let (owned, username) = (token.to_vec(), request.username.map(str::to_owned));
        let client_id = request.client_id.to_owned();
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if the client does not wait for it.
            let _slot = place;
            verifier.verify(&owned, username.as_deref(), &client_id, wall)
        });
        done.await.map_err(|_| ReasonCode::ServerUnavailable)
    }
}

fn identity(verified: Verified, wall: WallMillis, now: WallMillis) -> Identity {
    Identity {
        username: Some(verified.username),
        method: Some(Method::Jwt),
        rules: verified.rules,
        expires_at: verified.expires_at.map(|at| in_broker_time(at, wall, now)),
        // A token is not looked at again: it ends by itself.
        credential: 0,
        others: None,
    }
}

fn tell(client_id: &str, refused: &Refused) {
    tracing::info!(client_id, detail = %refused, "token refused");
}

/// `OAUTH2-JWT`.
#[derive(Debug)]
pub(super) struct EnhancedJwt(pub(super) Arc<JwtVerifier>);

impl EnhancedMethod for EnhancedJwt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn method(&self) -> Method {
        Method::Jwt
    }

    fn exchange(&self, claimed: Claimed<'_>) -> Box<dyn Exchange> {
        Box::new(JwtExchange {
            verifier: Arc::clone(&self.0),
            username: claimed.username.map(Into::into),
            client_id: claimed.client_id.into(),
            now: claimed.now,
        })
    }

    fn still_has(&self, _user: &str, _credential: u64) -> bool {
        true
    }

    fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }
}

/// One token, in the first packet.
#[derive(Debug)]
struct JwtExchange {
    verifier: Arc<JwtVerifier>,
    username: Option<Box<str>>,
    client_id: Box<str>,
    now: WallMillis,
}

impl Exchange for JwtExchange {
    fn begin(&mut self, data: &[u8]) -> Step {
        let wall = wall_clock();
        let username = self.username.as_deref();
        match self.verifier.verify(data, username, &self.client_id, wall) {
            Ok(verified) => Step::Done(identity(verified, wall, self.now), None),
            Err(refused) => {
                tell(&self.client_id, &refused);
                if matches!(refused, Refused::UnknownKey | Refused::NoKeys) {
                    // An exchange waits for nothing. The client's next attempt may find them.
                    self.verifier.want_keys();
                }
                Step::Refuse(match refused {
                    // Not the client's failure, for which its address could be banned.
                    Refused::NoKeys => ReasonCode::ServerUnavailable,
                    _ => ReasonCode::NotAuthorized,
                })
            }
        }
    }

    fn next(&mut self, _data: &[u8]) -> Step {
        Step::Refuse(ReasonCode::ProtocolError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AuthJwt;

    #[tokio::test]
    async fn without_the_keys_of_a_url_an_exchange_blames_the_server_and_not_the_client() {
        let jwks_url = "http://127.0.0.1:9/keys".to_owned();
        let config = AuthJwt { jwks_url, ..AuthJwt::default() };
        let method = EnhancedJwt(Arc::new(JwtVerifier::load(&config).unwrap()));
        let claimed = Claimed { username: None, client_id: "c", now: WallMillis(0) };
        // {"alg":"RS256"}, {} and a signature.
        let token = b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
        let step = method.exchange(claimed).begin(token);
        assert_eq!(step, Step::Refuse(ReasonCode::ServerUnavailable));
        let step = method.exchange(claimed).begin(b"no token");
        assert_eq!(step, Step::Refuse(ReasonCode::NotAuthorized));
    }
}
