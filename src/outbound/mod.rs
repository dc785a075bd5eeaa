//! Connections to servers that the configuration names, as far as they are the same for all of
//! them: look-up and TCP, and the authorities that certificates are verified against. What is
//! spoken on them is the concern of [`crate::fetch`] and [`crate::net`].

mod authorities;
mod tcp;

pub use authorities::{AuthoritiesError, authorities};
pub use tcp::{ConnectError, connect};
