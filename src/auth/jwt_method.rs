//! The method `jwt`: a token in the password field, or in the enhanced authentication
//! `OAUTH2-JWT`, by which a client also renews its log-in on the open connection.

use std::sync::Arc;

use tokio::time::Instant;

use super::exchange::{Claimed, EnhancedMethod, Exchange, NextStep, Step, Verification};
use super::external_clock::{in_broker_time, wall_clock};
use super::jwt::{JwtVerifier, Refused, Verified, looks_like_token};
use super::slots::Slots;
use super::{Answer, Identity, Request};
use crate::config::Method;
use crate::message::WallMillis;
use crate::peer::Source;
use crate::protocol::ReasonCode;

/// The Authentication Method, as EMQX and AWS call it.
const NAME: &str = "OAUTH2-JWT";

/// Verifies tokens. Like passwords, they are verified off the threads that serve connections, in
/// slots that sources take in turn: a signature of P-384 takes up to 1 ms, and a token that names
/// no key may cost several.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) verifier: Arc<JwtVerifier>,
    slots: Arc<Slots>,
}

/// Whose token is to be verified, and until when.
#[derive(Clone, Copy)]
struct Bearer<'a> {
    username: Option<&'a str>,
    client_id: &'a str,
    source: Source,
    until: Instant,
}

/// Why a token lets nobody in.
enum Failed {
    /// The token.
    Refused(Refused),
    /// The broker has not verified it.
    Unverified(ReasonCode),
}

impl Tokens {
    /// `verifications` is the number of slots.
    pub(super) fn new(verifier: Arc<JwtVerifier>, verifications: usize) -> Self {
        Self { verifier, slots: Arc::new(Slots::new(verifications)) }
    }

    /// Asks about a token in the password field.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Answer {
        let Some(token) = request.password.filter(|password| looks_like_token(password)) else {
            return Answer::NotMine;
        };
        let Request { username, client_id, peer, until, now, .. } = *request;
        let bearer = Bearer { username, client_id, source: peer.source(), until };
        match self.identity_of(token, bearer, now).await {
            Ok(identity) => Answer::Allow(identity),
            Err(Failed::Refused(Refused::NotMine)) => Answer::NotMine,
            Err(failed) => {
                Answer::Refuse(failed.told(client_id, ReasonCode::BadUserNameOrPassword))
            }
        }
    }

    async fn identity_of(
        &self,
        token: &[u8],
        bearer: Bearer<'_>,
        now: WallMillis,
    ) -> Result<Identity, Failed> {
        let wall = wall_clock();
        let verified = self.verify(token, bearer, wall).await.map_err(Failed::Unverified)?;
        Ok(identity(verified.map_err(Failed::Refused)?, wall, now))
    }

    /// A token whose key is not known is verified again after the keys were read.
    async fn verify(
        &self,
        token: &[u8],
        bearer: Bearer<'_>,
        wall: WallMillis,
    ) -> Result<Result<Verified, Refused>, ReasonCode> {
        let verified = self.verify_now(token, bearer, wall).await?;
        let is_unknown = matches!(verified, Err(Refused::UnknownKey | Refused::NoKeys));
        if is_unknown && self.verifier.refreshed(bearer.until).await {
            return self.verify_now(token, bearer, wall).await;
        }
        Ok(verified)
    }

    async fn verify_now(
        &self,
        token: &[u8],
        bearer: Bearer<'_>,
        wall: WallMillis,
    ) -> Result<Result<Verified, Refused>, ReasonCode> {
        let mut place = self.slots.enter(bearer.source).ok_or(ReasonCode::ServerBusy)?;
        let turn = tokio::time::timeout_at(bearer.until, place.turn()).await;
        turn.map_err(|_| ReasonCode::ServerBusy)?;
        let verifier = Arc::clone(&self.verifier);
        let (owned, username) = (token.to_vec(), bearer.username.map(str::to_owned));
        let client_id = bearer.client_id.to_owned();
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if the client does not wait for it.
            let _slot = place;
            verifier.verify(&owned, username.as_deref(), &client_id, wall)
        });
        done.await.map_err(|_| ReasonCode::ServerUnavailable)
    }
}

impl Failed {
    /// Logs why. Returns what the client is told: `otherwise`, unless the broker is the cause, for
    /// which no address may be banned.
    fn told(&self, client_id: &str, otherwise: ReasonCode) -> ReasonCode {
        match self {
            Self::Unverified(reason) => *reason,
            Self::Refused(refused) => {
                tracing::info!(client_id, detail = %refused, "token refused");
                match refused {
                    Refused::NoKeys => ReasonCode::ServerUnavailable,
                    _ => otherwise,
                }
            }
        }
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

/// `OAUTH2-JWT`.
#[derive(Debug)]
pub(super) struct EnhancedJwt(pub(super) Arc<Tokens>);

impl EnhancedMethod for EnhancedJwt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn method(&self) -> Method {
        Method::Jwt
    }

    fn exchange(&self, claimed: Claimed<'_>) -> Box<dyn Exchange> {
        Box::new(JwtExchange {
            tokens: Arc::clone(&self.0),
            username: claimed.username.map(Into::into),
            client_id: claimed.client_id.into(),
            source: claimed.peer.source(),
            until: claimed.until,
            now: claimed.now,
        })
    }

    fn still_has(&self, _user: &str, _credential: u64) -> bool {
        true
    }

    fn fingerprint(&self) -> u64 {
        self.0.verifier.fingerprint()
    }
}

/// One token, in the first packet.
#[derive(Debug, Clone)]
struct JwtExchange {
    tokens: Arc<Tokens>,
    username: Option<Box<str>>,
    client_id: Box<str>,
    source: Source,
    until: Instant,
    now: WallMillis,
}

impl JwtExchange {
    async fn verify(self, token: Box<[u8]>) -> Step {
        let Self { tokens, username, client_id, source, until, now } = self;
        let (username, client_id) = (username.as_deref(), &*client_id);
        let bearer = Bearer { username, client_id, source, until };
        match tokens.identity_of(&token, bearer, now).await {
            Ok(identity) => Step::Done(identity, None),
            Err(failed) => Step::Refuse(failed.told(client_id, ReasonCode::NotAuthorized)),
        }
    }
}

impl Exchange for JwtExchange {
    fn begin(&mut self, data: &[u8]) -> NextStep {
        // What is no token takes no slot.
        if !looks_like_token(data) {
            let refused = Failed::Refused(Refused::NotMine);
            return Step::Refuse(refused.told(&self.client_id, ReasonCode::NotAuthorized)).into();
        }
        NextStep::Verifies(Verification::new(self.clone().verify(data.into())))
    }

    fn next(&mut self, _data: &[u8]) -> NextStep {
        Step::Refuse(ReasonCode::ProtocolError).into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::jwt::tests::signer::Signer;
    use crate::config::AuthJwt;
    use crate::peer::PeerAddr;

    fn from(last: u8) -> PeerAddr {
        ([192, 0, 2, last], 1).into()
    }

    fn method(config: &AuthJwt) -> EnhancedJwt {
        let verifier = Arc::new(JwtVerifier::load(config).unwrap());
        EnhancedJwt(Arc::new(Tokens::new(verifier, 1)))
    }

    fn begin(method: &EnhancedJwt, peer: PeerAddr, until: Duration, token: &[u8]) -> NextStep {
        let until = Instant::now() + until;
        let claimed = Claimed { username: None, client_id: "c", peer, until, now: WallMillis(0) };
        method.exchange(claimed).begin(token)
    }

    #[tokio::test]
    async fn without_the_keys_of_a_url_an_exchange_blames_the_server_and_not_the_client() {
        let jwks_url = "http://127.0.0.1:9/keys".to_owned();
        let method = method(&AuthJwt { jwks_url, ..AuthJwt::default() });
        // {"alg":"RS256"}, {} and a signature.
        let token = b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA";
        let soon = Duration::from_millis(20);
        let step = begin(&method, from(1), soon, token).reached().await;
        assert_eq!(step, Step::Refuse(ReasonCode::ServerUnavailable));
        let step = begin(&method, from(1), soon, b"no token").reached().await;
        assert_eq!(step, Step::Refuse(ReasonCode::NotAuthorized));
    }

    #[tokio::test]
    async fn an_exchange_takes_a_slot_as_a_token_in_the_password_field_does() {
        const SECRET: &str = "0123456789abcdef0123456789abcdef";
        let config = AuthJwt { secret: SECRET.to_owned().into(), ..AuthJwt::default() };
        let method = method(&config);
        let claims = serde_json::json!({"sub": "ann", "exp": 4_102_444_800_u64});
        let token = Signer::secret(SECRET).token("HS256", &claims);
        let long = Duration::from_mins(1);
        let log_in = |last| begin(&method, from(last), long, token.as_bytes());
        let running = method.0.slots.enter(from(1).source()).unwrap();
        let flood: Vec<_> = (0..crate::auth::slots::WAITING)
            .map(|_| method.0.slots.enter(from(1).source()).unwrap())
            .collect();
        assert_eq!(log_in(1).reached().await, Step::Refuse(ReasonCode::ServerBusy));
        // Another address waits for the slot that is taken, and for nobody of the flood.
        let mut other = Box::pin(log_in(2).reached());
        let waits = tokio::time::timeout(Duration::from_millis(20), &mut other).await;
        assert!(waits.is_err(), "{waits:?}");
        drop(running);
        let step = tokio::time::timeout(Duration::from_secs(30), other).await.unwrap();
        assert!(matches!(step, Step::Done(..)), "{step:?}");
        drop(flood);
    }
}
