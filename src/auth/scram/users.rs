//! The users of SCRAM, and what is shown to a client in place of a user that does not exist.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use argon2::password_hash::rand_core::{OsRng, RngCore as _};

use super::keys::{DEFAULT_ITERATIONS, KEY, SALT, ScramKeys, hmac_of};
use super::{ScramError, ScramFile};

/// Derives salts of users that do not exist, and fingerprints. One for the process, so that such
/// a salt is as stable as a real one, also when the file is read again.
static PROCESS_KEY: LazyLock<[u8; KEY]> = LazyLock::new(|| {
    let mut key = [0; KEY];
    OsRng.fill_bytes(&mut key);
    key
});

/// The users of a file. Equal if the same users have the same keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScramUsers {
    users: HashMap<Box<str>, Arc<ScramKeys>>,
    /// Iterations and length of the salt of each user, sorted.
    costs: Vec<(NonZeroU32, usize)>,
}

/// What an exchange works with.
#[derive(Debug)]
pub(super) struct Found {
    pub keys: Arc<ScramKeys>,
    /// False for a user that does not exist: the exchange then fails at its end.
    pub is_known: bool,
}

impl Found {
    /// See [`ScramUsers::credential`].
    pub fn credential(&self) -> u64 {
        self.keys.fingerprint(&PROCESS_KEY)
    }
}

impl ScramUsers {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or one of its lines is invalid.
    pub fn load(path: &Path) -> Result<Self, ScramError> {
        Ok(Self::from(&ScramFile::read(path)?))
    }

    /// A number that stands for the keys of a user, as in [`Success::credential`]; `None` if
    /// there is no such user. It holds within this process.
    ///
    /// [`Success::credential`]: super::Success::credential
    pub fn credential(&self, user: &str) -> Option<u64> {
        self.users.get(user).map(|keys| keys.fingerprint(&PROCESS_KEY))
    }

    /// A number that stands for all users and their keys, within this process.
    pub fn fingerprint(&self) -> u64 {
        // The order of a map differs, so it must not matter.
        self.users.iter().fold(0, |sum, (user, keys)| {
            let name = hmac_of(&*PROCESS_KEY, user.as_bytes());
            sum.wrapping_add(keys.fingerprint(&name))
        })
    }

    /// The keys of a user, or others that stay the same for a name as long as the process runs.
    pub(super) fn find(&self, user: &str) -> Found {
        // Made for known users too, so that both take the same time.
        let decoy = self.decoy(user);
        match self.users.get(user) {
            Some(keys) => Found { keys: Arc::clone(keys), is_known: true },
            None => Found { keys: Arc::new(decoy), is_known: false },
        }
    }

    fn decoy(&self, user: &str) -> ScramKeys {
        let derived = |label: &str| hmac_of(&*PROCESS_KEY, format!("{label}:{user}").as_bytes());
        let (iterations, length) = self.cost_for(derived("cost"));
        let blocks = length.div_ceil(KEY);
        let salt = (0..blocks).flat_map(|block| derived(&format!("salt {block}"))).take(length);
        ScramKeys {
            iterations,
            salt: salt.collect(),
            stored_key: derived("stored key"),
            server_key: derived("server key"),
        }
    }

    /// As costly as one of the users, each with the same probability: a cost that only users
    /// have would tell who is one.
    fn cost_for(&self, chosen: [u8; KEY]) -> (NonZeroU32, usize) {
        let chosen = chosen.first_chunk().map_or(0, |start| u32::from_be_bytes(*start));
        let count = u64::try_from(self.costs.len()).unwrap_or(u64::MAX);
        // The place in the sorted list, so that a new user changes the cost of few names.
        let place = usize::try_from((u64::from(chosen).saturating_mul(count)) >> u32::BITS);
        let new = || (NonZeroU32::new(DEFAULT_ITERATIONS).unwrap_or(NonZeroU32::MIN), SALT);
        place.ok().and_then(|place| self.costs.get(place).copied()).unwrap_or_else(new)
    }
}

impl From<&ScramFile> for ScramUsers {
    fn from(file: &ScramFile) -> Self {
        let users: HashMap<Box<str>, _> =
            file.users().map(|(user, keys)| (user.into(), Arc::new(keys.clone()))).collect();
        let mut costs: Vec<_> =
            users.values().map(|keys| (keys.iterations, keys.salt.len())).collect();
        costs.sort_unstable();
        Self { users, costs }
    }
}
