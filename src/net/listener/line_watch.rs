//! How TCP detects that the other end cannot be reached any more.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::config;

/// How TCP detects that the other end is unreachable.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::net) struct LineWatch {
    /// Probes are sent after this time without traffic.
    pub(in crate::net) keep_alive: Option<Duration>,
    /// How long sent bytes may remain unacknowledged.
    pub(in crate::net) user_timeout: Option<Duration>,
}

impl LineWatch {
    /// As a listener is configured.
    pub(in crate::net) fn of(listener: &config::Listener) -> Self {
        Self {
            keep_alive: listener.tcp_keep_alive.finite(),
            user_timeout: listener.tcp_user_timeout.finite(),
        }
    }

    /// Configures the socket. Options that the system does not support are ignored.
    pub(in crate::net) fn over(self, stream: &TcpStream) {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

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
