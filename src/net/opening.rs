//! A stream whose client is not connected yet, and the packets that are read from it one by
//! one. What follows the last of them is left to the connection.

use std::future::poll_fn;
use std::io::ErrorKind;

use super::scratch::{self, Consumed, Partial};
use super::transport::Transport;
use crate::broker::ConnectShare;
use crate::protocol::{DecodeError, Decoder, Frame, Packet};

/// See the module.
#[derive(Debug)]
pub(super) struct Opening<'a, S> {
    pub(super) stream: &'a mut S,
    /// What was read and not consumed.
    pub(super) partial: Partial,
    pub(super) decoder: Decoder,
    memory: ConnectShare,
    /// Bytes of the packets that were read.
    packets: usize,
}

/// The result of waiting for a packet.
#[derive(Debug)]
pub(super) enum Read<T> {
    /// What was taken of it.
    Packet(T),
    /// The other end has closed, or the broker shuts down.
    Closed,
    /// The limit for large CONNECTs is reached.
    NoMemory,
}

impl<'a, S: Transport> Opening<'a, S> {
    /// Nothing has been read. `max_packet_size` is in bytes.
    pub(super) fn new(stream: &'a mut S, memory: ConnectShare, max_packet_size: u32) -> Self {
        let decoder = Decoder::server(max_packet_size);
        Self { stream, partial: Partial::default(), decoder, memory, packets: 0 }
    }

    /// Reads one packet, and passes it to `take`. May be cancelled: what was read is kept.
    ///
    /// # Errors
    /// The bytes are no valid packet.
    pub(super) async fn read<T>(
        &mut self,
        take: impl Fn(Packet<'_>) -> T,
    ) -> Result<Read<T>, DecodeError> {
        let mut found = None;
        let Self { stream, partial, decoder, memory, packets } = self;
        if partial.len() > 0 {
            partial.revisit(|bytes| take_frame(decoder, bytes, &take, &mut found))?;
        }
        loop {
            if let Some((taken, len)) = found {
                *packets += len;
                return Ok(Read::Packet(taken));
            }
            let read = poll_fn(|context| {
                scratch::poll_read(*stream, partial, context, |bytes| {
                    take_frame(decoder, bytes, &take, &mut found)
                })
            })
            .await;
            match read {
                // Of a layer below.
                Err(error) if error.kind() == ErrorKind::OutOfMemory => return Ok(Read::NoMemory),
                Ok(Ok(0)) | Err(_) => return Ok(Read::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
            }
            // The buffer while the frame is incomplete, then the bytes of the frame and of what
            // follows it.
            let len = found.as_ref().map_or(0, |(_, len)| *len);
            if !memory.hold(*packets + len + partial.capacity()) {
                return Ok(Read::NoMemory);
            }
        }
    }
}

fn take_frame<T>(
    decoder: &Decoder,
    bytes: &[u8],
    take: impl Fn(Packet<'_>) -> T,
    found: &mut Option<(T, usize)>,
) -> Result<Consumed, DecodeError> {
    match decoder.frame(bytes)? {
        Frame::Incomplete { needed } => Ok(Consumed { bytes: 0, needed }),
        Frame::Complete { len } => {
            let packet = decoder.decode(bytes.get(..len).unwrap_or_default())?;
            *found = Some((take(packet), len));
            Ok(Consumed { bytes: len, needed: None })
        }
    }
}
