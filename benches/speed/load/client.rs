//! Connects and subscribes before the poll loop: blocking and not measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::frames::{self, CONNACK, SUBACK};
use super::{TOPIC, socket::Socket};

/// A connection after its handshake.
pub struct Client {
    stream: TcpStream,
    pub session_present: bool,
}

impl Client {
    pub fn connect(broker: SocketAddr, client_id: &str, clean: bool) -> io::Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(&frames::connect(client_id, clean))?;
        // Reads exactly the answer: messages may follow it at once.
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        let [CONNACK, 2, present, 0] = answer else {
            return Err(io::Error::other(format!("CONNECT was answered with {answer:?}")));
        };
        Ok(Self { stream, session_present: present == 1 })
    }

    pub fn subscribe(&mut self, qos: u8) -> io::Result<()> {
        self.stream.write_all(&frames::subscribe(TOPIC, qos))?;
        let mut answer = [0; 5];
        self.stream.read_exact(&mut answer)?;
        if answer == [SUBACK, 3, 0, 1, qos] {
            return Ok(());
        }
        Err(io::Error::other(format!("SUBSCRIBE was answered with {answer:?}")))
    }

    pub fn disconnect(mut self) -> io::Result<()> {
        self.stream.write_all(&[0xE0, 0])?;
        // Wait for the broker's close, so that the session is offline from here on.
        let _ = self.stream.read(&mut [0])?;
        Ok(())
    }

    /// Converts the connection for the poll loop.
    pub fn into_socket(self, read_buffer: usize) -> io::Result<Socket> {
        self.stream.set_nonblocking(true)?;
        Ok(Socket::new(mio::net::TcpStream::from_std(self.stream), read_buffer))
    }
}
