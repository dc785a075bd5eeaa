//! The PROXY protocol, versions 1 and 2, as its specification by `HAProxy` says: a header at the
//! beginning of a connection in which a proxy names the client that it speaks for.
//!
//! [`header`] reads bytes and has no I/O; [`Proxies`] decides who is believed, and reads the
//! header from a stream without a byte of what follows. What happens to a connection that is
//! refused is decided in [`super::accept`].

pub mod header;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::config;
use crate::peer::{PeerAddr, is_within};
pub use header::{HeaderError, Named, Step, Versions};

/// Bytes that are read at once: a header without TLVs of version 2 fits, also for IPv6 (52).
const CHUNK: usize = 128;

/// Whose headers a listener reads.
#[derive(Debug, Clone)]
pub struct Proxies {
    versions: Versions,
    trusted: Box<[IpNet]>,
}

/// What the beginning of a connection said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A header was read. `None`: the proxy speaks for itself, or does not know the client, so
    /// that the connection keeps the proxy's address.
    Client(Option<SocketAddr>),
    /// The connection ended before its first byte, as probes do.
    Probe,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The other end is no proxy that is believed.
    #[error("it does not come from a network of listeners.NAME.trusted_proxies")]
    Untrusted,
    /// There is no header, or one that is not allowed.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// The connection ended within the header.
    #[error("the connection ended {0} bytes into the PROXY header")]
    Truncated(usize),
}

impl Proxies {
    /// Those of a listener; `None` if its connections begin without a header.
    pub fn of(listener: &config::Listener) -> Option<Self> {
        let versions = match listener.proxy_protocol {
            config::ProxyProtocol::Off => return None,
            config::ProxyProtocol::V1 => Versions::V1,
            config::ProxyProtocol::V2 => Versions::V2,
            config::ProxyProtocol::Any => Versions::Any,
        };
        Some(Self { versions, trusted: listener.trusted_proxies.0.clone().into() })
    }

    /// True if the word of this address about a client is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        is_within(address, &self.trusted)
    }

    /// Reads the header, and no byte behind it. The caller limits the time; a future that is
    /// dropped leaves a stream that cannot be used any more.
    ///
    /// # Errors
    /// See [`ProxyError`]; the connection is to be closed.
    pub async fn read<S: AsyncRead + Unpin>(
        &self,
        stream: &mut S,
        peer: PeerAddr,
    ) -> Result<Opening, ProxyError> {
        let trusted = matches!(peer, PeerAddr::Inet(address) if self.trusts(address.ip()));
        let mut bytes = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            // Even of one that is not trusted a byte is awaited, to tell it from a probe.
            let need = match header::step(&bytes, self.versions)? {
                Step::Done(Named::Client(address)) => return Ok(Opening::Client(Some(address))),
                Step::Done(Named::Proxy | Named::Unknown) => return Ok(Opening::Client(None)),
                Step::Need(need) => need,
            };
            let room = chunk.get_mut(..need.min(CHUNK)).unwrap_or_default();
            match stream.read(room).await {
                // A probe may end with a reset as well.
                Ok(0) | Err(_) if bytes.is_empty() => return Ok(Opening::Probe),
                Ok(0) | Err(_) => return Err(ProxyError::Truncated(bytes.len())),
                Ok(_) if !trusted => return Err(ProxyError::Untrusted),
                Ok(read) => bytes.extend_from_slice(room.get(..read).unwrap_or_default()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
