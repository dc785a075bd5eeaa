//! Listeners, dialling and the connection task: sockets and time. The protocol is handled in
//! [`crate::broker::client`].

mod accept;
mod connection;
pub mod dial;
mod enhanced;
mod graceful_close;
mod handshake;
mod listener;
mod log_in;
mod opening;
mod other_end;
mod pace;
pub mod proxy_protocol;
mod scratch;
mod timers;
pub mod tls;
mod transport;
pub mod websocket;

pub use accept::Layers;
pub use dial::{Dial, DialError, dial_stream};
pub use handshake::Origin;
pub use listener::{BindError, Listener};
pub use transport::{AnyStream, ByteStream, Established, Transport};

use std::sync::Arc;

use tokio::time::Instant;

use self::accept::Pipeline;
use crate::broker::Broker;
use crate::telemetry::OpenConnection;

/// Serves one byte stream, accepted by any means, from its CONNECT to its end, as a
/// [`Listener`] does. It does not count against `limits.max_connections`.
pub async fn serve_stream<S>(broker: Arc<Broker>, stream: S, origin: Origin)
where
    S: Transport,
{
    let metrics = broker.metrics.connections.listeners.of(&origin.listener);
    let until = Instant::now() + broker.connect_settings().connect_timeout;
    handshake::serve(broker, stream, origin, OpenConnection::accepted(metrics), until).await;
}

/// The same for a stream on which these layers carry MQTT.
pub async fn serve_layers<S>(broker: Arc<Broker>, stream: S, layers: Layers, origin: Origin)
where
    S: ByteStream + 'static,
{
    let metrics = broker.metrics.connections.listeners.of(&origin.listener);
    let until = Instant::now() + broker.connect_settings().connect_timeout;
    let pipeline = Arc::new(Pipeline::of(&origin, layers));
    pipeline.serve(broker, stream, origin, OpenConnection::accepted(metrics), until).await;
}
