//! A non-blocking socket with one buffer for each direction.
//!
//! Nothing is allocated once the buffers have grown, and each turn makes one write.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::frames::Frame;

/// Bytes read, parsed in place.
pub struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn new(size: usize) -> Self {
        Self { buffer: vec![0; size].into(), start: 0, end: 0 }
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

    /// Reads once. Returns false if the socket is empty, as after a short read; the
    /// edge-triggered poll reports later data.
    fn fill(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let size = room.len();
        match stream.read(room) {
            Ok(0) => {
                Err(io::Error::new(ErrorKind::UnexpectedEof, "the broker closed a connection"))
            }
            Ok(read) => {
                self.end += read;
                Ok(read == size)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Bytes to be written.
#[derive(Default)]
pub struct Output {
    pub buffer: Vec<u8>,
    written: usize,
}

impl Output {
    /// Bytes that the socket has not taken yet.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.written
    }

    fn flush(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        while let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(())
    }

    /// Moves the rest to the front, rarely enough to be cheap.
    fn compact(&mut self) {
        if self.written > self.buffer.len() / 2 {
            self.buffer.drain(..self.written);
            self.written = 0;
        }
    }
}

pub struct Socket {
    pub stream: TcpStream,
    pub input: Input,
    pub output: Output,
}

impl Socket {
    pub fn new(stream: TcpStream, read_buffer: usize) -> Self {
        Self { stream, input: Input::new(read_buffer), output: Output::default() }
    }

    pub fn fill(&mut self) -> io::Result<bool> {
        self.input.fill(&self.stream)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush(&self.stream)
    }
}
