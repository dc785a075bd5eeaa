//! Decides which clients may connect.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::password_hash::PasswordHashString;
use parking_lot::{Mutex, RwLock};

use super::slots::Slots;
use super::{AuthError, Decision, Identity, PasswordFile, Request, hashing};
use crate::config::{Anonymous, Config};
use crate::protocol::ReasonCode;

/// Created from the configuration, called at every CONNECT.
#[derive(Debug)]
pub struct Authenticator(RwLock<Arc<Policy>>);

/// The rules for who may connect, replaced as a whole.
#[derive(Debug)]
pub struct Policy {
    anonymous: Anonymous,
    passwords: Option<Passwords>,
}

#[derive(Debug)]
struct Passwords {
    users: HashMap<String, Arc<PasswordHashString>>,
    /// Verified for users that do not exist, so that the response time does not reveal which
    /// exist.
    dummy: Arc<PasswordHashString>,
    slots: Arc<Slots>,
    /// The number of slots.
    verifications: usize,
    /// The memory of verifications that are not running, at most one for each slot.
    memory: Arc<Mutex<Vec<hashing::Memory>>>,
}

impl Authenticator {
    /// Reads the password file, if one is configured.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is invalid.
    pub fn load(config: &Config) -> Result<Self, AuthError> {
        Ok(Self(RwLock::new(Arc::new(Policy::load(config)?))))
    }

    /// Reads a policy without applying it.
    ///
    /// # Errors
    /// As [`Authenticator::load`].
    pub fn read(&self, config: &Config) -> Result<Policy, AuthError> {
        Policy::load(config)
    }

    /// Applies `policy` to later CONNECTs; connected clients stay. True if it differs from the
    /// current one.
    pub fn replace(&self, policy: Policy) -> bool {
        let mut current = self.0.write();
        let differs = !current.says_the_same(&policy);
        if differs {
            *current = Arc::new(policy);
        }
        differs
    }

    /// Authenticates a client. May wait for a verification slot until `request.until`;
    /// dropping the future gives up its place in the queue.
    pub async fn connect(&self, request: Request<'_>) -> Decision {
        let policy = Arc::clone(&self.0.read());
        policy.connect(request).await
    }
}

impl Policy {
    fn load(config: &Config) -> Result<Self, AuthError> {
        let auth = &config.auth;
        let passwords = match &auth.password_file {
            None => None,
            Some(path) => {
                let users: HashMap<_, _> = PasswordFile::read(path)?
                    .users()
                    .map(|(user, hash)| (user.to_owned(), Arc::new(hash.clone())))
                    .collect();
                let dummy = match users.values().next() {
                    Some(hash) => hashing::dummy(hash),
                    None => hashing::hash(b""),
                };
                Some(Passwords {
                    users,
                    dummy: Arc::new(dummy.map_err(AuthError::Hash)?),
                    memory: Arc::default(),
                    slots: Arc::new(Slots::new(auth.max_verifications)),
                    verifications: auth.max_verifications,
                })
            }
        };
        Ok(Self { anonymous: auth.allow_anonymous, passwords })
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.anonymous == other.anonymous
            && match (&self.passwords, &other.passwords) {
                (Some(ours), Some(theirs)) => {
                    ours.users == theirs.users && ours.verifications == theirs.verifications
                }
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            }
    }

    async fn connect(&self, request: Request<'_>) -> Decision {
        match (&self.passwords, request.username, request.password) {
            (Some(passwords), Some(user), password) => {
                passwords.check(&request, user, password.unwrap_or_default()).await
            }
            // A password without a user name cannot belong to any user.
            (Some(_), None, Some(_)) => Decision::Refuse(ReasonCode::BadUserNameOrPassword),
            // Without a password file a user name proves nothing: the client is anonymous.
            _ => self.anonymous(request.loopback),
        }
    }

    fn anonymous(&self, loopback: bool) -> Decision {
        let welcome = match self.anonymous {
            Anonymous::Always => true,
            Anonymous::Never => false,
            // A password file means that clients are to be authenticated, on loopback as well.
            Anonymous::Loopback => loopback && self.passwords.is_none(),
        };
        if welcome {
            Decision::Allow(Identity::default())
        } else {
            Decision::Refuse(ReasonCode::NotAuthorized)
        }
    }
}

impl Passwords {
    async fn check(&self, request: &Request<'_>, user: &str, password: &[u8]) -> Decision {
        let known = self.users.get(user);
        let hash = Arc::clone(known.unwrap_or(&self.dummy));
        let Some(mut place) = self.slots.enter(request.peer.source()) else {
            return Decision::Refuse(ReasonCode::ServerBusy);
        };
        if tokio::time::timeout_at(request.until, place.turn()).await.is_err() {
            return Decision::Refuse(ReasonCode::ServerBusy);
        }
        let password = password.to_vec();
        let pool = Arc::clone(&self.memory);
        let verified = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if the client does not wait for it.
            let _slot = place;
            // At most as many as there are slots.
            let mut memory = pool.lock().pop().unwrap_or_default();
            let verified = hashing::verify(&password, &hash, &mut memory);
            pool.lock().push(memory);
            verified
        });
        match verified.await {
            Ok(true) if known.is_some() => {
                Decision::Allow(Identity { username: Some(user.into()) })
            }
            Ok(_) => Decision::Refuse(ReasonCode::BadUserNameOrPassword),
            Err(_) => Decision::Refuse(ReasonCode::ServerUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::peer::PeerAddr;

    fn request<'a>(
        loopback: bool,
        username: Option<&'a str>,
        password: Option<&'a [u8]>,
    ) -> Request<'a> {
        let peer = ([127, 0, 0, 1], 50_000).into();
        let until = Instant::now() + Duration::from_mins(1);
        Request { listener: "tcp", loopback, client_id: "c", username, password, peer, until }
    }

    fn with_password_file(anonymous: Anonymous) -> Authenticator {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwords");
        let mut file = PasswordFile::default();
        file.set("alice", b"wonderland").unwrap();
        file.write(&path).unwrap();
        let mut config = Config::default();
        config.auth.password_file = Some(path);
        config.auth.allow_anonymous = anonymous;
        Authenticator::load(&config).unwrap()
    }

    fn without_password_file(anonymous: Anonymous) -> Authenticator {
        let mut config = Config::default();
        config.auth.allow_anonymous = anonymous;
        Authenticator::load(&config).unwrap()
    }

    const BAD: Decision = Decision::Refuse(ReasonCode::BadUserNameOrPassword);
    const NOT_AUTHORIZED: Decision = Decision::Refuse(ReasonCode::NotAuthorized);

    #[tokio::test]
    async fn the_right_password_opens_and_nothing_else_does() {
        let auth = with_password_file(Anonymous::Always);
        let alice = Decision::Allow(Identity { username: Some("alice".into()) });
        assert_eq!(auth.connect(request(false, Some("alice"), Some(b"wonderland"))).await, alice);
        assert_eq!(auth.connect(request(false, Some("alice"), Some(b"Wonderland"))).await, BAD);
        assert_eq!(auth.connect(request(false, Some("alice"), None)).await, BAD);
        assert_eq!(auth.connect(request(true, Some("bob"), Some(b"wonderland"))).await, BAD);
        assert_eq!(auth.connect(request(true, None, Some(b"wonderland"))).await, BAD);
    }

    #[tokio::test]
    async fn anonymous_clients_are_welcome_where_the_configuration_says() {
        let welcome = Decision::Allow(Identity::default());
        for (policy, loopback, expected) in [
            (Anonymous::Loopback, true, &welcome),
            (Anonymous::Loopback, false, &NOT_AUTHORIZED),
            (Anonymous::Always, false, &welcome),
            (Anonymous::Never, true, &NOT_AUTHORIZED),
        ] {
            let auth = without_password_file(policy);
            let decision = auth.connect(request(loopback, None, None)).await;
            assert_eq!(decision, *expected, "{policy:?}");
            // A password file also excludes anonymous clients on loopback, unless configured
            // otherwise.
            let expected = if policy == Anonymous::Always { &welcome } else { &NOT_AUTHORIZED };
            let decision = with_password_file(policy).connect(request(loopback, None, None)).await;
            assert_eq!(decision, *expected, "{policy:?} with a password file");
        }
    }

    #[tokio::test]
    async fn a_name_that_nothing_can_verify_is_not_believed() {
        let auth = without_password_file(Anonymous::Loopback);
        let decision = auth.connect(request(true, Some("root"), Some(b"x"))).await;
        assert_eq!(decision, Decision::Allow(Identity { username: None }));
        assert_eq!(auth.connect(request(false, Some("root"), Some(b"x"))).await, NOT_AUTHORIZED);
    }

    #[tokio::test]
    async fn what_is_replaced_holds_for_who_connects_next() {
        let auth = with_password_file(Anonymous::Never);
        let alice = || request(true, Some("alice"), Some(b"wonderland"));
        assert!(matches!(auth.connect(alice()).await, Decision::Allow(_)));
        assert!(auth.replace(auth.read(&Config::default()).unwrap()));
        assert!(!auth.replace(auth.read(&Config::default()).unwrap()));
        assert_eq!(auth.connect(alice()).await, Decision::Allow(Identity { username: None }));
    }

    #[tokio::test]
    async fn who_waits_too_long_for_a_slot_is_told_that_the_server_is_busy() {
        let auth = with_password_file(Anonymous::Never);
        let policy = Arc::clone(&auth.0.read());
        let passwords = policy.passwords.as_ref().unwrap();
        let source = PeerAddr::from(([127, 0, 0, 2], 1)).source();
        let running = [(); 2].map(|()| passwords.slots.enter(source).unwrap());
        let alice = || request(true, Some("alice"), Some(b"wonderland"));
        let until = Instant::now() + Duration::from_millis(20);
        let decision = auth.connect(Request { until, ..alice() }).await;
        assert_eq!(decision, Decision::Refuse(ReasonCode::ServerBusy));
        drop(running);
        assert!(matches!(auth.connect(alice()).await, Decision::Allow(_)));
    }
}
