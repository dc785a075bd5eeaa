//! Writes a large payload to the socket from the message itself, so that a thousand clients
//! that do not read it share one copy.

use std::sync::Arc;

use bytes::BytesMut;

use super::Client;
use crate::message::Message;

/// Payloads of this size or more are not copied into the write buffer. Below it, the
/// additional system call costs more than the copy.
pub(super) const LARGE: usize = 16 << 10;

/// The most bytes of a payload that are passed to one write, which copies as many as the
/// socket's buffer has room for: some 100 µs.
const AT_ONCE: usize = 64 << 10;

/// The payload of a packet whose head is in the write buffer or already written.
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
    /// The bytes of the payload to write after the write buffer and before [`Client::pump`]
    /// adds to it. None: there is no payload, or the poll's budget is spent.
    pub fn payload(&self) -> &[u8] {
        if self.output_budget.is_spent() {
            return &[];
        }
        let rest = self.payload.as_ref().map_or(&[][..], LargePayload::rest);
        rest.get(..AT_ONCE).unwrap_or(rest)
    }

    /// `bytes` of [`Client::payload`] have been written.
    pub fn payload_written(&mut self, bytes: usize) {
        self.output_budget.spend_bytes(bytes);
        if let Some(payload) = &mut self.payload {
            payload.written += bytes;
            if payload.rest().is_empty() {
                self.payload = None;
            }
        }
    }

    /// Takes the rest of the payload, to be written after the client is closed.
    pub fn detach_payload(&mut self) -> Option<LargePayload> {
        self.payload.take()
    }

    /// Copies the rest of the payload into the write buffer, because more output follows it.
    pub fn take_payload(&mut self, out: &mut BytesMut) {
        if let Some(payload) = self.payload.take() {
            out.extend_from_slice(payload.rest());
        }
    }
}
