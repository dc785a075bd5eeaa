//! The client's side of one connection: packets to bytes and back.

use bytes::{Buf, BytesMut};
use ferrymq::protocol::{Decoder, Frame, Packet, Version, encode};

use crate::stream::ClientEnd;

#[derive(Debug)]
pub struct Wire {
    /// Of the connection, and of its task.
    pub number: u64,
    pub end: ClientEnd,
    version: Version,
    decoder: Decoder,
    input: BytesMut,
    /// Waits for room on the way.
    output: BytesMut,
    /// When everything has been sent, the sending half is closed.
    pub closes: bool,
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
            closes: false,
            closed: false,
        }
    }

    /// The other end dials: its CONNECT comes first.
    #[must_use]
    pub fn dialled(mut self, max_packet: Option<u32>) -> Self {
        self.decoder = Decoder::server(max_packet.unwrap_or(u32::MAX));
        self
    }

    /// CONNECT came.
    pub fn is_opened(&mut self) {
        self.decoder.set_version(self.version);
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        encode::packet(&mut self.output, self.version, packet);
    }

    /// Puts on its way what there is room for. True if anything moved.
    pub fn push(&mut self) -> bool {
        let sent = self.end.send(&self.output);
        self.output.advance(sent);
        if self.closes && self.output.is_empty() && !self.closed {
            self.closed = true;
            self.end.half_close();
            return true;
        }
        sent > 0
    }

    /// Bytes that wait for room.
    pub fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Takes up to `most` bytes of what has arrived. True if anything had.
    pub fn receive(&mut self, most: usize) -> bool {
        let bytes = self.end.receive(most);
        self.input.extend_from_slice(&bytes);
        !bytes.is_empty()
    }

    /// The next whole packet.
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
