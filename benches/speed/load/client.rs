//! Connects and subscribes before the poll loop: blocking and not measured.

use std::io::{self, ErrorKind};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frames::{self, CONNACK, SUBACK};
use super::{Endpoint, START, socket::Socket};

/// A connection after its handshake.
pub struct Client {
    socket: Socket,
    pub session_present: bool,
}

impl Client {
    pub fn connect(
        broker: &Endpoint,
        client_id: &str,
        clean: bool,
        read_buffer: usize,
    ) -> io::Result<Self> {
        let socket = Socket::open(broker, read_buffer)?;
        let mut client = Self { socket, session_present: false };
        client.send(&frames::connect(client_id, clean))?;
        // What follows the answer stays in the buffer.
        let (CONNACK, body) = client.answer()? else {
            return Err(io::Error::other("CONNECT was answered by another packet than CONNACK"));
        };
        let [present, 0] = *body else {
            return Err(io::Error::other(format!("CONNECT was answered with {body:?}")));
        };
        client.session_present = present == 1;
        Ok(client)
    }

    pub fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        self.send(&frames::subscribe(filter, qos))?;
        let answer = self.answer()?;
        if answer == (SUBACK, [0, 1, qos].into()) {
            return Ok(());
        }
        Err(io::Error::other(format!("SUBSCRIBE was answered with {answer:?}")))
    }

    pub fn disconnect(mut self) -> io::Result<()> {
        self.send(&[0xE0, 0])?;
        // Wait for the broker's close, so that the session is offline from here on.
        loop {
            match self.socket.fill() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Ok(true) => {}
                Ok(false) => self.await_input()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands the connection to the poll loop.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.socket.output.buffer.extend_from_slice(packet);
        self.socket.flush()?;
        if self.socket.is_flushed() {
            return Ok(());
        }
        Err(io::Error::other("a new connection did not take one packet"))
    }

    /// The next packet: its type and its body.
    fn answer(&mut self) -> io::Result<(u8, Box<[u8]>)> {
        let mut more = true;
        loop {
            if let Some(frame) = self.socket.input.next() {
                return Ok((frame.kind, frame.body.into()));
            }
            if !more {
                self.await_input()?;
            }
            more = self.socket.fill()?;
        }
    }

    fn await_input(&mut self) -> io::Result<()> {
        let patience = Timespec::try_from(START).map_err(io::Error::other)?;
        let mut wanted = [PollFd::new(self.socket.source(), PollFlags::IN)];
        match poll(&mut wanted, Some(&patience))? {
            0 => Err(io::Error::new(ErrorKind::TimedOut, "the broker does not answer")),
            _ => Ok(()),
        }
    }
}
