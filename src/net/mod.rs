//! Listeners and the connection task. Bytes come and go here, and time passes; what
//! the bytes mean is decided in [`crate::broker::client`].

mod connection;
mod greet;
mod linger;
mod listener;
mod scratch;
mod timers;
mod transport;

pub use listener::{BindError, Listener, Origin};
pub use transport::{Tcp, Transport};
