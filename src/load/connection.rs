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

/// Read at once: as much as the broker writes at once.
const READ: usize = 64 * 1024;

/// For each step of a handshake: a broker that recovers is not connected to yet.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How a client introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    /// 3.1.1 or 5.0; 3.1 works as well.
    pub version: Version,
    /// Its name.
    pub client_id: &'a str,
    /// True: no session is kept. False: it is resumed, and kept (v5: for an hour).
    pub clean: bool,
}

impl Hello<'_> {
    fn packet(&self) -> Connect {
        let v5 = self.version == Version::V5;
        Connect {
            version: self.version,
            clean_start: self.clean,
            keep_alive: 0,
            client_id: self.client_id.to_owned(),
            will: None,
            username: None,
            password: None,
            session_expiry: (v5 && !self.clean).then_some(3600),
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// What was read and not looked at.
#[derive(Debug)]
pub struct Incoming {
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    /// The next whole packet that was read.
    ///
    /// # Errors
    /// The bytes are no packet that a server may send.
    pub fn take(&mut self) -> Result<Option<Packet<'_>>, LoadError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Frame::Complete { len } = self.decoder.frame(rest)? else { return Ok(None) };
        self.start += len;
        Ok(Some(self.decoder.decode(rest.get(..len).unwrap_or_default())?))
    }

    /// Reads once. True if there may be more.
    fn read(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            // A packet that is larger than the buffer.
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
    /// The broker has state of this client.
    pub session_present: bool,
    /// Unacknowledged QoS 1 and 2 messages that the broker takes.
    pub receive_maximum: u16,
}

impl Connection {
    /// Connects and waits for CONNACK, 10 s for each step.
    ///
    /// # Errors
    /// Nothing listens there, it does not answer, or it refuses.
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

    /// Subscribes, and waits for SUBACK. Only while nothing else is under way.
    ///
    /// # Errors
    /// The filter is none, the broker refuses, or sends something else.
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

    /// Says goodbye and waits for the broker's close: from then on the client is away.
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

    /// Sends what waits and answers the next packet. Blocks.
    fn ask(&mut self) -> Result<Packet<'_>, LoadError> {
        self.stream.write_all(&self.output)?;
        self.output.clear();
        loop {
            let rest = self.input.buffer.get(self.input.start..self.input.end);
            let frame = self.input.decoder.frame(rest.unwrap_or_default())?;
            if matches!(frame, Frame::Complete { .. }) {
                let packet = self.input.take()?;
                return packet.ok_or(LoadError::Unexpected("half a packet"));
            }
            // With a timeout set, a wait that was too long reads as "would block".
            let before = self.input.end - self.input.start;
            self.input.read(&self.stream)?;
            if self.input.end == before {
                return Err(io::Error::from(ErrorKind::TimedOut).into());
            }
        }
    }

    /// Reads once, without waiting. True if there may be more.
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

    /// Both buffers, so that packets can be answered while they are looked at.
    pub fn split(&mut self) -> (&mut Incoming, &mut BytesMut) {
        (&mut self.input, &mut self.output)
    }

    /// Where packets are written to.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// True if a whole packet has been read and not looked at: the socket will not tell
    /// of it again. A resumed session's messages may come with CONNACK.
    pub fn has_packet(&self) -> bool {
        let rest = self.input.buffer.get(self.input.start..self.input.end).unwrap_or_default();
        // What is no frame is for the reader to complain about.
        !rest.is_empty() && !matches!(self.input.decoder.frame(rest), Ok(Frame::Incomplete { .. }))
    }

    /// True if the socket has not taken everything.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}
