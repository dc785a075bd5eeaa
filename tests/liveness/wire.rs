//! The client's side of one connection: packets to bytes and back.

use bytes::BytesMut;
use ferrymq::protocol::{Decoder, Frame, Packet, Version, encode};

use crate::carrier::Layered;
use crate::stream::ClientEnd;

#[derive(Debug)]
pub struct Wire {
    /// Number of the connection and of its task.
    pub number: u64,
    pub end: ClientEnd,
    version: Version,
    decoder: Decoder,
    input: BytesMut,
    /// Packets to send, before they are encoded for the stream.
    output: BytesMut,
    layers: Layered,
    /// Bytes that wait for room in the stream.
    sealed: Vec<u8>,
    /// True if the sending half is closed once everything was sent.
    pub closes: bool,
    said_goodbye: bool,
    closed: bool,
}

impl Wire {
    pub fn new(number: u64, end: ClientEnd, version: Version, max_packet: Option<u32>) -> Self {
        let mut decoder = Decoder::client(max_packet.unwrap_or(u32::MAX));
        decoder.set_version(version);
        Self {
            number,
            end,
            version,
            decoder,
            input: BytesMut::new(),
            output: BytesMut::new(),
            layers: Layered::default(),
            sealed: Vec::new(),
            closes: false,
            said_goodbye: false,
            closed: false,
        }
    }

    /// For a connection that the broker dials: its CONNECT arrives first.
    #[must_use]
    pub fn dialled(mut self, max_packet: Option<u32>) -> Self {
        self.decoder = Decoder::server(max_packet.unwrap_or(u32::MAX));
        self
    }

    /// With layers between MQTT and the stream.
    #[must_use]
    pub fn within(mut self, layers: Layered) -> Self {
        self.layers = layers;
        self
    }

    /// CONNECT was received.
    pub fn is_opened(&mut self) {
        self.decoder.set_version(self.version);
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        encode::packet(&mut self.output, self.version, packet);
    }

    /// Sends as much as there is room for. True if there was progress.
    pub fn push(&mut self) -> bool {
        // Not before, so that what waits stays small.
        if self.sealed.is_empty() && !self.said_goodbye {
            self.layers.seal(&self.output.split(), &mut self.sealed);
        }
        let sent = self.end.send(&self.sealed);
        self.sealed.drain(..sent);
        let is_all = self.unsent() == 0 && self.layers.is_established();
        if self.closes && is_all && !self.said_goodbye {
            self.said_goodbye = true;
            self.layers.close(&mut self.sealed);
        }
        if self.said_goodbye && self.sealed.is_empty() && !self.closed {
            self.closed = true;
            self.end.half_close();
            return true;
        }
        sent > 0
    }

    /// Bytes that wait for room.
    pub fn unsent(&self) -> usize {
        self.output.len() + self.sealed.len()
    }

    /// Receives up to `most` bytes. True if there were any.
    pub fn receive(&mut self, most: usize) -> bool {
        let bytes = self.end.receive(most);
        let any = !bytes.is_empty();
        self.input.extend_from_slice(&self.layers.open(bytes));
        any
    }

    /// The next complete packet.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        match self.decoder.frame(&self.input).expect("a broker's frame") {
            Frame::Complete { len } => Some(self.input.split_to(len).to_vec()),
            Frame::Incomplete { .. } => None,
        }
    }

    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}
