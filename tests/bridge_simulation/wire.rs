//! A client's side of one connection: packets to bytes and back.

use bytes::{Buf, BytesMut};
use ferrymq::protocol::{Decoder, Frame, Packet, Version, encode};

use crate::stream::ClientEnd;

pub struct Wire {
    pub end: ClientEnd,
    version: Version,
    pub decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
}

impl Wire {
    pub fn new(end: ClientEnd, version: Version) -> Self {
        let mut decoder = Decoder::client(u32::MAX);
        decoder.set_version(version);
        Self { end, version, decoder, input: BytesMut::new(), output: BytesMut::new() }
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        encode::packet(&mut self.output, self.version, packet);
    }

    /// Sends and receives what it can. True if there was progress.
    pub fn exchange(&mut self) -> bool {
        let sent = self.end.send(&self.output);
        self.output.advance(sent);
        let arrived = self.end.receive(usize::MAX);
        self.input.extend_from_slice(&arrived);
        sent > 0 || !arrived.is_empty()
    }

    /// The next complete packet.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        match self.decoder.frame(&self.input).expect("a broker's frame") {
            Frame::Complete { len } => Some(self.input.split_to(len).to_vec()),
            Frame::Incomplete { .. } => None,
        }
    }
}
