//! The part of the broker's `auth` that decides by access rules.

#[path = "../src/auth/acl/mod.rs"]
pub mod acl;
#[path = "../src/auth/principal.rs"]
mod principal;

pub use principal::Principal;
