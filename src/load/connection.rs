//! One client's connection: a non-blocking socket with a buffer for each direction.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::LoadError;
use crate::protocol::{
    Connect, Decoder, Disconnect, Frame, Packet, PacketId, QoS, Subscribe, SubscribeFilter,
    SubscriptionOptions, TopicFilter, Version, encode,
};

/// Size of a read in bytes; the broker writes as much at once.
const READ: usize = 64 * 1024;

/// Time limit of each step of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a client sends in CONNECT.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    /// MQTT 3.1, 3.1.1 or 5.0.
    pub version: Version,
    /// The client identifier.
    pub client_id: &'a str,
    /// True: no session is kept. False: a session is resumed and kept (v5: for an hour).
    pub clean: bool,
}

impl Hello<'_> {
    fn packet(&self) -> Connect {
        let v5 = self.version == Version::V5;
        Connect {
            clean_start: self.clean,
            session_expiry: (v5 && !self.clean).then_some(3600),
            ..Connect::new(self.version, self.client_id)
        }
    }
}

/// Bytes that were read and not yet decoded.
#[derive(Debug)]
pub struct Incoming {
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// Returns the next complete packet that was read.
    ///
    /// # Errors
    /// The bytes are not a packet that a server may send.
    pub fn take(&mut self) -> Result<Option<Packet<'_>>, LoadError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Frame::Complete { len } = self.decoder.frame(rest)? else { return Ok(None) };
        self.start += len;
        Ok(Some(self.decoder.decode(rest.get(..len).unwrap_or_default())?))
    }

    /// Reads once. Returns true if there may be more.
    fn read(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            // The packet is larger than the buffer.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let size = room.len();
        match stream.read(room) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.end += read;
                Ok(read == size)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A connection whose CONNECT was accepted.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    version: Version,
    input: Incoming,
    output: BytesMut,
    /// Session Present of CONNACK.
    pub session_present: bool,
    /// The broker's receive maximum.
    pub receive_maximum: u16,
}

impl Connection {
    /// Connects and waits for CONNACK, 10 s for each step.
    ///
    /// # Errors
    /// The address refuses the connection, or the broker does not answer, or refuses CONNECT.
    pub fn open(address: SocketAddr, hello: &Hello<'_>) -> Result<Self, LoadError> {
        let connect = |source| LoadError::Connect { address, source };
        let stream = TcpStream::connect_timeout(&address, HANDSHAKE).map_err(connect)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE))?;
        stream.set_write_timeout(Some(HANDSHAKE))?;
        let mut decoder = Decoder::client(u32::MAX);
        decoder.set_version(hello.version);
        let input = Incoming { decoder, buffer: vec![0; READ], start: 0, end: 0 };
        let mut connection = Self {
            stream,
            version: hello.version,
            input,
            output: BytesMut::new(),
            session_present: false,
            receive_maximum: u16::MAX,
        };
        encode::connect(&mut connection.output, &hello.packet());
        let Packet::ConnAck(answer) = connection.ask()? else {
            return Err(LoadError::Unexpected("another packet before CONNACK"));
        };
        if answer.reason.is_failure() {
            return Err(LoadError::Refused { what: "CONNECT", reason: answer.reason });
        }
        connection.session_present = answer.session_present;
        connection.receive_maximum = answer.receive_maximum.unwrap_or(u16::MAX);
        connection.stream.set_nonblocking(true)?;
        Ok(connection)
    }

    /// Subscribes, and waits for SUBACK. Requires that no other exchange is unfinished.
    ///
    /// # Errors
    /// The filter is invalid, or the broker refuses it or sends another packet.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<(), LoadError> {
        let packet_id = PacketId::FIRST;
        let filter = TopicFilter::new(filter)?;
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let packet = Subscribe {
            packet_id,
            subscription_id: None,
            filters: vec![SubscribeFilter { filter, options }],
            user_properties: Vec::new(),
        };
        encode::subscribe(&mut self.output, self.version, &packet);
        self.stream.set_nonblocking(false)?;
        let Packet::SubAck(answer) = self.ask()? else {
            return Err(LoadError::Unexpected("another packet before SUBACK"));
        };
        if let Some(&reason) = answer.reasons.iter().find(|reason| reason.is_failure()) {
            return Err(LoadError::Refused { what: "SUBSCRIBE", reason });
        }
        self.stream.set_nonblocking(true)?;
        Ok(())
    }

    /// Sends DISCONNECT and waits until the broker closes the connection; then the client is
    /// offline.
    ///
    /// # Errors
    /// The connection broke before that.
    pub fn leave(mut self) -> Result<(), LoadError> {
        encode::disconnect(&mut self.output, self.version, &Disconnect::default());
        self.stream.set_nonblocking(false)?;
        self.stream.write_all(&self.output)?;
        loop {
            match self.input.read(&self.stream) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(_) => while self.input.take()?.is_some() {},
            }
        }
    }

    /// Sends the output and returns the next packet. Blocks.
    fn ask(&mut self) -> Result<Packet<'_>, LoadError> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        loop {
            let rest = self.input.buffer.get(self.input.start..self.input.end);
            let frame = self.input.decoder.frame(rest.unwrap_or_default())?;
            if matches!(frame, Frame::Complete { .. }) {
                let packet = self.input.take()?;
                return packet.ok_or(LoadError::Unexpected("an incomplete packet"));
            }
            // A read that exceeds the socket's timeout returns "would block".
            let before = self.input.end - self.input.start;
            self.input.read(&self.stream)?;
            if self.input.end == before {
                return Err(io::Error::from(ErrorKind::TimedOut).into());
            }
        }
    }

    /// Reads once, without waiting. Returns true if there may be more.
    ///
    /// # Errors
    /// The connection is closed or broken.
    pub fn fill(&mut self) -> Result<bool, LoadError> {
        Ok(self.input.read(&self.stream)?)
    }

    /// Writes as much as the socket takes.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> Result<(), LoadError> {
        while !self.output.is_empty() {
            match (&self.stream).write(&self.output) {
                Ok(written) => self.output.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Both buffers, so that packets can be answered while they are read.
    pub fn split(&mut self) -> (&mut Incoming, &mut BytesMut) {
        (&mut self.input, &mut self.output)
    }

    /// The output buffer.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// True if a complete packet was read and not yet taken. The socket does not become
    /// readable for it again. A resumed session's messages may arrive with CONNACK.
    pub fn has_packet(&self) -> bool {
        let rest = self.input.buffer.get(self.input.start..self.input.end).unwrap_or_default();
        // Invalid bytes count as a packet, so that `take` reports the error.
        !rest.is_empty() && !matches!(self.input.decoder.frame(rest), Ok(Frame::Incomplete { .. }))
    }

    /// True if output has not been written yet.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
