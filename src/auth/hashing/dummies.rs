//! Hashes that are verified for user names that do not exist, so that the response time does
//! not tell which names exist.
//!
//! A file may have hashes of several costs, such as those that Mosquitto wrote beside our own.
//! One dummy for all unknown names would tell them from the names whose hash costs another
//! time. Therefore each unknown name gets the cost of one of the users, by a keyed hash of the
//! name: always the same one while the file does not change, and each cost as often as users
//! have it.

use std::collections::HashMap;
use std::sync::Arc;

use ring::{digest, hmac};

use super::stored::{Cost, StoredHash};

/// Costs for which there is a dummy, the most common ones. A file has one or two, and each
/// dummy is computed at each load, for about 20 ms.
const COSTS: usize = 8;

/// See the module.
#[derive(Debug)]
pub(in crate::auth) struct Dummies {
    /// The number of users up to those of this cost, and its dummy.
    kinds: Vec<(u64, Arc<StoredHash>)>,
    /// The number of these users, at least 1.
    users: u64,
    /// The dummy of the most common cost.
    first: Arc<StoredHash>,
    /// Derived from the hashes: secret, and the same after a restart.
    key: hmac::Key,
}

impl Dummies {
    /// Dummies for the users with these hashes.
    pub(in crate::auth) fn of<'a>(
        users: impl Iterator<Item = &'a StoredHash>,
    ) -> Result<Self, String> {
        let mut secret = digest::Context::new(&digest::SHA256);
        let mut by_cost: HashMap<Cost, usize> = HashMap::new();
        let mut kinds: Vec<(u64, &StoredHash)> = Vec::new();
        for hash in users {
            secret.update(hash.to_string().as_bytes());
            let index = *by_cost.entry(hash.cost()).or_insert(kinds.len());
            match kinds.get_mut(index) {
                Some((count, _)) => *count += 1,
                None => kinds.push((1, hash)),
            }
        }
        // Stable, so that a restart has the same order.
        kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let mut up_to = 0;
        let mut dummies = Vec::new();
        for (count, like) in kinds.into_iter().take(COSTS) {
            up_to += count;
            dummies.push((up_to, Arc::new(super::dummy(like)?)));
        }
        let first = match dummies.first() {
            Some((_, dummy)) => Arc::clone(dummy),
            None => Arc::new(super::hash(b"")?),
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.finish().as_ref());
        Ok(Self { kinds: dummies, users: up_to.max(1), first, key })
    }

    /// The hash to verify for a user who does not exist.
    pub(in crate::auth) fn of_name(&self, user: &str) -> &Arc<StoredHash> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let number = number % self.users;
        let kind = self.kinds.iter().find(|(up_to, _)| number < *up_to);
        kind.map_or(&self.first, |(_, dummy)| dummy)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn mosquittos(iterations: u32) -> StoredHash {
        StoredHash::pbkdf2(b"x", NonZeroU32::new(iterations).unwrap(), &[1; 12])
    }

    fn cost_of(dummies: &Dummies, user: &str) -> Cost {
        dummies.of_name(user).cost()
    }

    #[test]
    fn unknown_names_cost_what_users_cost_in_their_proportion_and_always_the_same() {
        let hashes: Vec<_> = (0..100).map(|n| mosquittos(if n < 75 { 1 } else { 2 })).collect();
        let (one, two) = (mosquittos(1).cost(), mosquittos(2).cost());
        let dummies = Dummies::of(hashes.iter()).unwrap();
        let again = Dummies::of(hashes.iter()).unwrap();
        let names: Vec<_> = (0..2000).map(|n| format!("user {n}")).collect();
        let cheap = names.iter().filter(|name| cost_of(&dummies, name) == one).count();
        // 1,500 are expected; the standard deviation is 19.
        assert!((1400..1600).contains(&cheap), "{cheap}");
        for name in &names {
            let cost = cost_of(&dummies, name);
            assert!(cost == one || cost == two);
            assert_eq!(cost, cost_of(&again, name), "as after a restart");
        }
    }

    #[test]
    fn without_users_an_unknown_name_costs_what_a_new_user_would() {
        let dummies = Dummies::of(std::iter::empty()).unwrap();
        assert_eq!(cost_of(&dummies, "x"), super::super::hash(b"x").unwrap().cost());
    }

    #[test]
    fn a_file_of_many_costs_has_few_dummies() {
        let hashes: Vec<_> = (1..=100).map(mosquittos).collect();
        let dummies = Dummies::of(hashes.iter()).unwrap();
        assert_eq!(dummies.kinds.len(), COSTS);
    }
}
