//! The method `password`: user names and passwords of the password file.
//!
//! A password is verified off the threads that serve connections, in slots that sources take
//! in turn. A name that is not in the file costs as much as one that is (`hashing/dummies.rs`),
//! unless the method `http` is asked after this one: then it is that server which decides, and
//! a verification of nothing would delay each client that it knows.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::hashing::{self, Dummies, StoredHash};
use super::slots::Slots;
use super::{Answer, AuthError, Identity, PasswordFile, Request};
use crate::config::{Method, is_readable_by_all};
use crate::protocol::ReasonCode;

/// The users of a password file.
#[derive(Debug)]
pub(super) struct Passwords {
    users: HashMap<String, Arc<StoredHash>>,
    dummies: Dummies,
    pub(super) slots: Arc<Slots>,
    /// The memory of verifications that are not running, at most one for each slot.
    memory: Arc<Mutex<Vec<hashing::Memory>>>,
}

impl Passwords {
    /// Reads the file. `verifications` is the number of slots.
    ///
    /// # Errors
    /// The file cannot be read, or one of its lines is invalid.
    pub(super) fn read(path: &Path, verifications: usize) -> Result<Self, AuthError> {
        let file = PasswordFile::read(path)?;
        if is_readable_by_all(path) {
            tracing::warn!(
                path = %path.display(),
                "every user of this machine may read auth.password_file: take that right away \
                 (chmod o-r; for a Secret of Kubernetes, defaultMode: 0440)"
            );
        }
        let dummies = Dummies::of(file.users().map(|(_, hash)| hash)).map_err(AuthError::Hash)?;
        let users = file.users().map(|(user, hash)| (user.to_owned(), Arc::new(hash.clone())));
        Ok(Self {
            users: users.collect(),
            dummies,
            slots: Arc::new(Slots::new(verifications)),
            memory: Arc::default(),
        })
    }

    /// True if both have the same users with the same passwords.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.users == other.users
    }

    /// True if the user exists and its password is still the one that was verified.
    pub(super) fn still_has(&self, user: &str, credential: u64) -> bool {
        self.users.get(user).is_some_and(|hash| hash.fingerprint() == credential)
    }

    /// Verifies a password. A user who is not in the file is not this method's. `http_follows`:
    /// see the module.
    pub(super) async fn ask(&self, request: &Request<'_>, http_follows: bool) -> Answer {
        let Some(user) = request.username else { return Answer::NotMine };
        let known = self.users.get(user);
        if known.is_none() && http_follows {
            return Answer::NotMine;
        }
        let hash = Arc::clone(known.unwrap_or_else(|| self.dummies.of_name(user)));
        let credential = hash.fingerprint();
        let verified = match self.verify(request, hash).await {
            Ok(verified) => verified,
            Err(reason) => return Answer::Refuse(reason),
        };
        match known {
            Some(_) if verified => Answer::Allow(Identity {
                username: Some(user.into()),
                method: Some(Method::Password),
                credential,
                ..Identity::default()
            }),
            Some(_) => Answer::Refuse(ReasonCode::BadUserNameOrPassword),
            None => Answer::NotMine,
        }
    }

    async fn verify(
        &self,
        request: &Request<'_>,
        hash: Arc<StoredHash>,
    ) -> Result<bool, ReasonCode> {
        let Some(mut place) = self.slots.enter(request.peer.source()) else {
            return Err(ReasonCode::ServerBusy);
        };
        if tokio::time::timeout_at(request.until, place.turn()).await.is_err() {
            return Err(ReasonCode::ServerBusy);
        }
        let password = request.password.unwrap_or_default().to_vec();
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
        verified.await.map_err(|_| ReasonCode::ServerUnavailable)
    }
}
