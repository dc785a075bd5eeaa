//! Accepts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::handshake::{self, Origin};
use super::transport::Tcp;
use crate::broker::Broker;
use crate::peer::PeerAddr;
use crate::telemetry::{ListenerMetrics, OpenConnection, RejectReason};

/// Pending connections in the kernel's queue, which limits this to `somaxconn`.
const BACKLOG: i32 = 4096;
/// The pause after a failed accept, most likely for lack of file descriptors, which are freed
/// as connections close.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// The interval at which this is logged while it lasts.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("listener \"{name}\" cannot listen on {bind}: {source}")]
pub struct BindError {
    name: String,
    bind: SocketAddr,
    source: std::io::Error,
}

/// An open listening socket.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    socket: TcpListener,
    loopback: bool,
    connections: Arc<Semaphore>,
    watch: LineWatch,
}

/// How TCP detects that the other end is unreachable.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineWatch {
    /// Probes are sent after this time without traffic.
    pub keep_alive: Option<Duration>,
    /// How long sent bytes may remain unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Listener {
    /// Binds a listener that accepts at most `max_connections`.
    ///
    /// # Errors
    /// The address is in use or not available.
    pub fn bind(
        name: &str,
        bind: SocketAddr,
        max_connections: usize,
        watch: LineWatch,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { name: name.to_owned(), bind, source };
        let socket = open(bind).map_err(failed)?;
        Ok(Self {
            name: name.into(),
            loopback: bind.ip().is_loopback(),
            socket,
            connections: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
            watch,
        })
    }

    /// The address that it listens on, with the actual port if port 0 was requested.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    /// Accepts until the broker shuts down. `all` bounds the connections of all
    /// listeners together.
    pub async fn run(self, broker: Arc<Broker>, all: Arc<Semaphore>) {
        let metrics = broker.metrics.connections.listeners.of(&self.name);
        let mut told = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = broker.until_shut_down() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.serve(&broker, &all, &metrics, stream, peer),
                Err(error) => {
                    // At most once a minute, although accepting is retried ten times a second.
                    if told.is_none_or(|told: Instant| told.elapsed() > TELL_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(
                            listener = &*self.name, %error,
                            "accepting failed, and is tried again until it succeeds; see the \
                             limit of open files (LimitNOFILE, --ulimit nofile, ulimit -n)"
                        );
                    }
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
            }
        }
    }

    fn serve(
        &self,
        broker: &Arc<Broker>,
        all: &Arc<Semaphore>,
        metrics: &Arc<ListenerMetrics>,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        let permits = Arc::clone(&self.connections)
            .try_acquire_owned()
            .and_then(|own| Ok((own, Arc::clone(all).try_acquire_owned()?)));
        let Ok(permits) = permits else {
            // Closed without an answer: a CONNACK would need the version from the CONNECT, and
            // waiting for that is what the limit prevents.
            metrics.rejected.inc(RejectReason::ConnectionLimit);
            tracing::warn!(
                remote = %peer, listener = &*self.name, reason = %"ConnectionLimit",
                "connection refused: limits.max_connections or listeners.NAME.max_connections is \
                 reached"
            );
            return;
        };
        // Small packets are sent at once: the broker batches its writes itself.
        let _ = stream.set_nodelay(true);
        self.watch.over(&stream);
        let peer = PeerAddr::from(peer);
        let origin = Origin { listener: Arc::clone(&self.name), loopback: self.loopback, peer };
        let stream = Tcp::new(stream, peer);
        let broker = Arc::clone(broker);
        let counted = OpenConnection::accepted(Arc::clone(metrics));
        tokio::spawn(async move {
            handshake::serve(broker, stream, origin, counted).await;
            drop(permits);
        });
    }
}

impl LineWatch {
    /// Configures the socket. Options that the system does not support are ignored.
    fn over(self, stream: &TcpStream) {
        use socket2::{SockRef, TcpKeepalive};
        /// Probes without an answer before the connection is dead.
        const PROBES: u32 = 4;
        let socket = SockRef::from(stream);
        if let Some(after) = self.keep_alive {
            let interval = (after / 3 / PROBES).max(Duration::from_secs(1));
            let asks = TcpKeepalive::new().with_time(after).with_interval(interval);
            #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
            let asks = asks.with_retries(PROBES);
            let _ = socket.set_tcp_keepalive(&asks);
        }
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            let _ = socket.set_tcp_user_timeout(self.user_timeout);
        }
    }
}

fn open(bind: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(bind), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_watched_as_configured() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let watch = LineWatch {
            keep_alive: Some(Duration::from_mins(1)),
            user_timeout: Some(Duration::from_secs(20)),
        };
        watch.over(&stream);
        let socket = socket2::SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_mins(1));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
        LineWatch::default().over(&stream);
    }
}
