//! Listening sockets: opens them, accepts within the limits of connections, and starts the task
//! of each connection. What happens on a connection before its CONNECT is in [`super::accept`].

mod error;
pub(super) mod line_watch;
mod socket;
mod unix;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use error::BindError;

use self::line_watch::LineWatch;
use self::socket::{Accepted, Socket};
use super::accept::{Layers, Pipeline};
use super::handshake;
use super::transport::{AnyStream, Established};
use crate::auth::bans::Admitted;
use crate::broker::Broker;
use crate::config::{self, ListenAt};
use crate::peer::Security;
use crate::telemetry::{ListenerMetrics, OpenConnection, RejectReason};

/// The pause after a failed accept, most likely for lack of file descriptors, which are freed
/// as connections close.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// The interval at which this is logged while it lasts.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// An open listening socket. The file of a Unix socket is removed with it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    pipeline: Arc<Pipeline>,
    connections: Arc<Semaphore>,
    watch: LineWatch,
}

/// The places that a connection takes until it ends: of its listener, of all, and of its
/// address.
type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit, Option<Admitted>);

impl Listener {
    /// Opens a listener whose connections pass through `layers`. `None`: it is `"off"`.
    ///
    /// # Errors
    /// The address is in use or not available; see [`BindError`].
    pub fn bind(
        name: &str,
        listener: &config::Listener,
        layers: Layers,
    ) -> Result<Option<Self>, BindError> {
        let opened = match &listener.bind {
            ListenAt::Off => return Ok(None),
            ListenAt::Inet(address) => Socket::tcp(*address),
            ListenAt::Path(path) => Socket::unix(path, listener.mode),
        };
        let socket = opened.map_err(|error| error.of(name, &listener.bind))?;
        let places = listener.max_connections.min(Semaphore::MAX_PERMITS);
        Ok(Some(Self {
            socket,
            pipeline: Arc::new(Pipeline::new(name, listener, layers)),
            connections: Arc::new(Semaphore::new(places)),
            watch: LineWatch::of(listener),
        }))
    }

    /// Where it listens, with the actual port if port 0 was requested.
    pub fn address(&self) -> Option<ListenAt> {
        self.socket.address()
    }

    /// Accepts until the broker shuts down. `all` bounds the connections of all
    /// listeners together.
    pub async fn run(self, broker: Arc<Broker>, all: Arc<Semaphore>) {
        let listener = &*self.pipeline.listener;
        let metrics = broker.metrics.connections.listeners.of(listener);
        let mut told = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = broker.until_shut_down() => return,
            };
            match accepted {
                Ok(accepted) => self.serve(&broker, &all, &metrics, accepted),
                Err(error) => {
                    // At most once a minute, although accepting is retried ten times a second.
                    if told.is_none_or(|told: Instant| told.elapsed() > TELL_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(
                            listener, %error,
                            "accepting failed, and is tried again until it succeeds; see the \
                             limit of open files (LimitNOFILE, --ulimit nofile, ulimit -n)"
                        );
                    }
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            }
        }
    }

    /// Starts the task of a connection.
    fn serve(
        &self,
        broker: &Arc<Broker>,
        all: &Arc<Semaphore>,
        metrics: &Arc<ListenerMetrics>,
        accepted: Accepted,
    ) {
        let Some((own, all)) = self.places(all) else {
            // Closed without an answer: a CONNACK would need the version from the CONNECT, and
            // waiting for that is what the limit prevents.
            metrics.rejected.inc(RejectReason::ConnectionLimit);
            tracing::warn!(
                remote = %accepted.peer(), listener = &*self.pipeline.listener,
                reason = %"ConnectionLimit",
                "connection refused: limits.max_connections or listeners.NAME.max_connections is \
                 reached"
            );
            return;
        };
        let peer = accepted.peer();
        let origin = self.pipeline.origin(peer);
        let admitted = if origin.is_proxy {
            // A proxy speaks for its clients, whose addresses count.
            None
        } else {
            match broker.admit(peer, &self.pipeline.listener) {
                Ok(admitted) => Some(admitted),
                Err(reason) => return metrics.rejected.inc(reason),
            }
        };
        let places = (own, all, admitted);
        let broker = Arc::clone(broker);
        let counted = OpenConnection::accepted(Arc::clone(metrics));
        // One deadline for all that comes before a session: layers, CONNECT, authentication.
        let until = tokio::time::Instant::now() + broker.connect_settings().connect_timeout;
        match accepted {
            Accepted::Tcp(stream, peer) => {
                // Small packets are sent at once: the broker batches its writes itself.
                let _ = stream.set_nodelay(true);
                self.watch.over(&stream);
                if self.pipeline.is_bare() {
                    let stream = Established::new(stream, peer, Security::Plain);
                    let serve = handshake::serve(broker, stream, origin, counted, until);
                    start(serve, places);
                } else {
                    let pipeline = Arc::clone(&self.pipeline);
                    start(pipeline.serve(broker, stream, origin, counted, until), places);
                }
            }
            Accepted::Unix(stream) => {
                let stream: AnyStream = Box::new(stream);
                let stream = Established::new(stream, origin.peer, Security::Plain);
                start(handshake::serve(broker, stream, origin, counted, until), places);
            }
        }
    }

    fn places(&self, all: &Arc<Semaphore>) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        Some((own, Arc::clone(all).try_acquire_owned().ok()?))
    }
}

/// Runs `serve` as a task that gives its places back at its end.
fn start(serve: impl Future<Output = ()> + Send + 'static, places: Places) {
    tokio::spawn(async move {
        serve.await;
        drop(places);
    });
}

#[cfg(test)]
mod tests;
