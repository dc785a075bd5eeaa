//! A non-blocking TCP connection, with TLS or without.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::net::TcpStream;
use rustls::ClientConnection;

pub struct Wire {
    pub stream: TcpStream,
    tls: Option<Box<Tls>>,
}

/// What a read has brought.
pub struct Arrived {
    pub bytes: usize,
    /// False if the socket is empty; the edge-triggered poll reports later data.
    pub more: bool,
}

impl Wire {
    pub fn new(stream: TcpStream, tls: Option<ClientConnection>, read_buffer: usize) -> Self {
        let tls = tls.map(|connection| Box::new(Tls::new(connection, read_buffer)));
        Self { stream, tls }
    }

    /// Reads once. A short read means that the socket is empty.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<Arrived> {
        match &mut self.tls {
            None => {
                let bytes = self.stream.read(room)?;
                Ok(Arrived { bytes, more: bytes == room.len() })
            }
            Some(tls) => tls.read(&mut self.stream, room),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes),
            Some(tls) => tls.write(&mut self.stream, bytes),
        }
    }

    /// True if bytes that were taken are not in the socket yet.
    pub fn has_unsent(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.connection.wants_write())
    }

    /// Sends these bytes.
    pub fn send_rest(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.send_rest(&mut self.stream),
        }
    }
}

/// TLS with a read buffer of its own: rustls reads 4 KiB at a time, and that many more system
/// calls would be the generator's limit.
struct Tls {
    connection: ClientConnection,
    received: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Tls {
    fn new(connection: ClientConnection, read_buffer: usize) -> Self {
        Self { connection, received: vec![0; read_buffer].into(), start: 0, end: 0 }
    }

    fn read(&mut self, stream: &mut TcpStream, room: &mut [u8]) -> io::Result<Arrived> {
        loop {
            match self.connection.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(bytes) => {
                    let was_short = self.end < self.received.len();
                    let more = bytes == room.len() || self.start < self.end || !was_short;
                    return Ok(Arrived { bytes, more });
                }
            }
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
                self.end = stream.read(&mut self.received)?;
            }
            // After the end of the stream, rustls is told of it by an empty slice.
            let mut rest = self.received.get(self.start..self.end).unwrap_or_default();
            self.start += self.connection.read_tls(&mut rest)?;
            self.connection.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.send_rest(stream)?;
        let taken = self.connection.writer().write(bytes)?;
        match self.send_rest(stream) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn send_rest(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(stream)?;
        }
        Ok(())
    }
}
