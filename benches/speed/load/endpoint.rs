//! How clients reach a broker: its address, and what lies between TCP and MQTT.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::wire::Wire;
use super::{START, websocket};

/// The name in the broker's certificate.
pub const SERVER_NAME: &str = "localhost";

#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    /// The trust in the broker's certificate, if it speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    pub websocket: bool,
}

impl Endpoint {
    /// Plain TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { address, tls: None, websocket: false }
    }

    /// Connects, and makes the handshakes of TLS and WebSocket: blocking and not measured.
    pub fn open(&self, read_buffer: usize) -> io::Result<Wire> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(START))?;
        let mut tls =
            self.tls.as_ref().map(|config| shake_hands(config, &mut stream)).transpose()?;
        if self.websocket {
            match &mut tls {
                Some(tls) => websocket::open(&mut rustls::Stream::new(tls, &mut stream))?,
                None => websocket::open(&mut stream)?,
            }
        }
        stream.set_nonblocking(true)?;
        Ok(Wire::new(mio::net::TcpStream::from_std(stream), tls, read_buffer))
    }
}

fn shake_hands(config: &Arc<ClientConfig>, stream: &mut TcpStream) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(stream)?;
    }
    Ok(tls)
}
