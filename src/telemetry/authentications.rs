//! Authentications, by the method that decided and its result.

use super::{AuthMethod, AuthResult, Counters, Label as _};

/// One counter for each method and result that occur together.
#[derive(Debug)]
pub struct Authentications(Box<[(AuthMethod, Counters<AuthResult>)]>);

impl Default for Authentications {
    fn default() -> Self {
        Self(AuthMethod::ALL.iter().map(|method| (*method, Counters::default())).collect())
    }
}

impl Authentications {
    /// Counts a decision.
    pub fn inc(&self, (method, result): (AuthMethod, AuthResult)) {
        if let Some((_, results)) = self.0.get(method.index()) {
            results.inc(result);
        }
    }

    /// The current count of these decisions.
    pub fn get(&self, method: AuthMethod, result: AuthResult) -> u64 {
        self.0.get(method.index()).map_or(0, |(_, results)| results.get(result))
    }

    /// Each pair that can occur, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (AuthMethod, AuthResult, u64)> {
        self.0.iter().flat_map(|(method, results)| {
            let pairs = results.iter().map(move |(result, count)| (*method, result, count));
            pairs.filter(|(method, result, _)| occurs(*method, *result))
        })
    }
}

/// A client that a method has accepted is not anonymous, and without a method nothing is
/// verified.
fn occurs(method: AuthMethod, result: AuthResult) -> bool {
    match method {
        AuthMethod::Nobody => !matches!(result, AuthResult::Accepted | AuthResult::Busy),
        _ => result != AuthResult::Anonymous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_counted_by_method_and_result() {
        let counted = Authentications::default();
        counted.inc((AuthMethod::Password, AuthResult::Accepted));
        counted.inc((AuthMethod::Nobody, AuthResult::Anonymous));
        counted.inc((AuthMethod::Nobody, AuthResult::Anonymous));
        assert_eq!(counted.get(AuthMethod::Password, AuthResult::Accepted), 1);
        assert_eq!(counted.get(AuthMethod::Jwt, AuthResult::Accepted), 0);
        assert_eq!(counted.iter().map(|(.., count)| count).sum::<u64>(), 3);
        assert_eq!(counted.iter().count(), 3 + 5 * 4);
    }
}
