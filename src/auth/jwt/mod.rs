//! JSON Web Tokens (RFC 7519) in the password field: their keys, their verification, and the
//! claims that matter.
//!
//! A token is accepted if a configured key that is made for its algorithm verifies its
//! signature, and its claims are as the configuration demands. Each part computes its decision
//! from its arguments, the time among them; only `remote` uses the network.
//!
//! The signatures are `ring`'s. The crate `jsonwebtoken` would add little around it: its checks
//! of `exp` and `nbf` read the clock themselves, claims that it reads as a map lose members that
//! occur twice, and its provider is one for the whole process and panics where it is incomplete.

mod algorithm;
mod claims;
mod error;
mod jwk;
mod key;
mod key_set;
mod pem;
mod remote;
mod schedule;
mod strict_json;
#[cfg(test)]
pub(in crate::auth) mod tests;
mod token;
mod verifier;

pub use claims::Verified;
pub use error::{KeyError, Refused};
pub use remote::KeyState;
pub use token::{MAX_TOKEN, looks_like_token};
pub use verifier::{JwtError, JwtVerifier};
