//! Writes a large payload to the socket from the message itself, so that a thousand clients
//! that do not read it share one copy.

use std::sync::Arc;

use bytes::BytesMut;

use super::Client;
use crate::message::Message;

/// Payloads from this size on are not copied into the write buffer: below it one system call
/// more would cost more than the copy.
pub(super) const LARGE: usize = 16 << 10;

/// The rest of a packet whose first part is in the write buffer, or was.
#[derive(Debug)]
pub struct LargePayload {
    message: Arc<Message>,
    written: usize,
}

impl LargePayload {
    pub(super) fn new(message: &Arc<Message>) -> Self {
        Self { message: Arc::clone(message), written: 0 }
    }

    /// What is not written yet.
    pub fn rest(&self) -> &[u8] {
        self.message.payload().get(self.written..).unwrap_or_default()
    }
}

impl Client {
    /// What is to be written behind the write buffer, before [`Client::pump`] adds to it.
    pub fn payload(&self) -> &[u8] {
        self.payload.as_ref().map_or(&[], LargePayload::rest)
    }

    /// So many bytes of [`Client::payload`] were written.
    pub fn payload_written(&mut self, bytes: usize) {
        if let Some(payload) = &mut self.payload {
            payload.written += bytes;
            if payload.rest().is_empty() {
                self.payload = None;
            }
        }
    }

    /// The rest of it, for whoever writes it when the client is gone.
    pub fn detach_payload(&mut self) -> Option<LargePayload> {
        self.payload.take()
    }

    /// Copies the rest of it into the write buffer after all: something else is to stand
    /// behind it.
    pub fn take_payload(&mut self, out: &mut BytesMut) {
        if let Some(payload) = self.payload.take() {
            out.extend_from_slice(payload.rest());
        }
    }
}
