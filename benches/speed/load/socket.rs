//! A client's connection with one buffer for each direction.
//!
//! Over TCP nothing is allocated once the buffers have grown, and each turn makes one write.

use std::io::{self, ErrorKind};

use mio::net::TcpStream;

use super::Endpoint;
use super::frames::Frame;
use super::websocket::{self, Unwrap};
use super::wire::Wire;

/// Bytes read, parsed in place.
pub struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// `None` without WebSocket.
    unwrap: Option<Unwrap>,
}

impl Input {
    fn new(size: usize, websocket: bool) -> Self {
        let unwrap = websocket.then(Unwrap::default);
        Self { buffer: vec![0; size].into(), start: 0, end: 0, unwrap }
    }

    /// The next complete frame that was read.
    pub fn next(&mut self) -> Option<Frame<'_>> {
        let (frame, length) = Frame::split(self.buffer.get(self.start..self.end)?)?;
        self.start += length;
        Some(frame)
    }

    /// All complete frames that were read, as one slice.
    pub fn take_whole(&mut self) -> &[u8] {
        let start = self.start;
        while self.next().is_some() {}
        self.buffer.get(start..self.start).unwrap_or_default()
    }

    /// Reads once. Returns false if the socket is empty; the edge-triggered poll reports later
    /// data.
    fn fill(&mut self, wire: &mut Wire) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let arrived = match wire.read(room) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            other => other?,
        };
        if arrived.bytes == 0 {
            let told = "the broker closed a connection";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, told));
        }
        self.end += match &mut self.unwrap {
            None => arrived.bytes,
            Some(unwrap) => unwrap.unwrap(room.get_mut(..arrived.bytes).unwrap_or_default())?,
        };
        Ok(arrived.more)
    }
}

/// Bytes to be written.
#[derive(Default)]
pub struct Output {
    /// Complete MQTT packets.
    pub buffer: Vec<u8>,
    /// The same in WebSocket's frames; `None` without WebSocket.
    wrapped: Option<Vec<u8>>,
    /// Of the bytes that are sent: those in `wrapped`, if there is one.
    written: usize,
}

impl Output {
    fn new(websocket: bool) -> Self {
        Self { wrapped: websocket.then(Vec::new), ..Self::default() }
    }

    /// Bytes that the connection has not taken yet.
    pub fn waiting(&self) -> usize {
        self.buffer.len() + self.wrapped.as_ref().map_or(0, Vec::len) - self.written
    }

    fn flush(&mut self, wire: &mut Wire) -> io::Result<()> {
        let bytes = match &mut self.wrapped {
            None => &mut self.buffer,
            Some(wrapped) => {
                websocket::wrap(&self.buffer, wrapped);
                self.buffer.clear();
                wrapped
            }
        };
        while let Some(rest) = bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match wire.write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // Moves the rest to the front, rarely enough to be cheap.
                    if self.written > bytes.len() / 2 {
                        bytes.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        bytes.clear();
        self.written = 0;
        Ok(())
    }
}

pub struct Socket {
    wire: Wire,
    pub input: Input,
    pub output: Output,
}

impl Socket {
    /// A connection over TCP alone.
    pub fn plain(stream: TcpStream, read_buffer: usize) -> Self {
        Self::new(Wire::new(stream, None, read_buffer), read_buffer, false)
    }

    pub fn open(endpoint: &Endpoint, read_buffer: usize) -> io::Result<Self> {
        Ok(Self::new(endpoint.open(read_buffer)?, read_buffer, endpoint.websocket))
    }

    fn new(wire: Wire, read_buffer: usize, websocket: bool) -> Self {
        Self { wire, input: Input::new(read_buffer, websocket), output: Output::new(websocket) }
    }

    /// What the poll loop registers.
    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.wire.stream
    }

    pub fn fill(&mut self) -> io::Result<bool> {
        self.input.fill(&mut self.wire)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        match self.wire.send_rest() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        }
        self.output.flush(&mut self.wire)
    }

    /// True if the kernel has taken everything.
    pub fn is_flushed(&self) -> bool {
        self.output.waiting() == 0 && !self.wire.has_unsent()
    }
}
