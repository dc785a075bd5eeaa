//! Looks up a host and connects to one of its addresses.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Addresses of a host that are tried. Each has an equal part of the time that is left.
const MAX_ADDRESSES: usize = 8;

/// Why a host was not connected to.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The host is not known.
    #[error("cannot look up the host: {0}")]
    Resolve(io::Error),
    /// The look-up took too long.
    #[error("timed out looking up the host")]
    ResolveTimeout,
    /// The last address that was tried refused, or cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The last address that was tried did not answer in its part of the time.
    #[error("timed out connecting to {0}")]
    Timeout(SocketAddr),
    /// The socket does not work.
    #[error("cannot use the connection: {0}")]
    Socket(io::Error),
}

/// Connects to the first address of `host` that accepts, in the order of the system's look-up
/// (RFC 6724), IPv6 and IPv4. What is written is sent at once (no delay): a request is one
/// write, and the last part of a long one must not wait for an ACK.
///
/// # Errors
/// No address accepts before `deadline`. The error is that of the last one.
pub async fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let stream = first_of(look_up(host, port, deadline).await?, deadline).await?;
    stream.set_nodelay(true).map_err(ConnectError::Socket)?;
    Ok(stream)
}

async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = timeout_at(deadline, lookup_host((host, port))).await;
    let found = found.map_err(|_| ConnectError::ResolveTimeout)?;
    Ok(found.map_err(ConnectError::Resolve)?.take(MAX_ADDRESSES).collect())
}

async fn first_of(
    addresses: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<TcpStream, ConnectError> {
    let none = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    let mut last = ConnectError::Resolve(none);
    for (left, address) in (1..=addresses.len()).rev().zip(addresses) {
        match connect_to(address, part(left, deadline)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The end of the part of the time that the first of `left` addresses has.
fn part(left: usize, deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(left).unwrap_or(1)
}

async fn connect_to(address: SocketAddr, deadline: Instant) -> Result<TcpStream, ConnectError> {
    match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|source| ConnectError::Refused { address, source }),
        Err(_) => Err(ConnectError::Timeout(address)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn the_first_address_that_accepts_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = listener.local_addr().unwrap();
        drop(listener);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let stream = first_of(vec![refusing, open], soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = first_of(vec![refusing], soon()).await.unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("cannot connect to {refusing}: ")), "{error}");
    }

    #[tokio::test]
    async fn each_address_has_an_equal_part_of_what_is_left() {
        let deadline = soon();
        let quarter = part(4, deadline).saturating_duration_since(Instant::now());
        assert!(quarter > Duration::from_secs(6) && quarter <= Duration::from_millis(7_500));
        assert!(part(1, deadline) <= deadline + Duration::from_millis(1));
    }

    #[tokio::test]
    async fn a_connection_has_no_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(connect("127.0.0.1", port, soon()).await.unwrap().nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_host_without_an_address_is_told() {
        let error = first_of(Vec::new(), soon()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot look up the host: it has no address");
    }
}
