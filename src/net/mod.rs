//! Listeners, dialling and the connection task: sockets and time. The protocol is handled in
//! [`crate::broker::client`].

mod connection;
mod dial;
mod graceful_close;
mod handshake;
mod listener;
mod pace;
mod scratch;
mod timers;
mod transport;

pub use dial::{Dial, DialError, dial_stream};
pub use handshake::Origin;
pub use listener::{BindError, LineWatch, Listener};
pub use transport::{Tcp, Transport};

use std::sync::Arc;

use crate::broker::Broker;
use crate::telemetry::OpenConnection;

/// Serves one byte stream, accepted by any means, from its CONNECT to its end, as a
/// [`Listener`] does. It does not count against `limits.max_connections`.
pub async fn serve_stream<S>(broker: Arc<Broker>, stream: S, origin: Origin)
where
    S: Transport,
{
    let metrics = broker.metrics.connections.listeners.of(&origin.listener);
    handshake::serve(broker, stream, origin, OpenConnection::accepted(metrics)).await;
}
