//! Encodes packets to bytes, which are appended to a connection's write buffer.
//!
//! Every function is infallible. The types rule out most invalid packets. The rest (a string
//! longer than 65,535 bytes, a packet longer than 268,435,455) are errors of the caller, which
//! a debug build reports. A release build sends the nearest valid packet, or none.

mod ack;
mod any;
mod connack;
mod connect;
mod end;
mod limit;
mod publish;
mod subscribe;
mod writer;

use bytes::{BufMut, BytesMut};

pub use ack::{ack, ack_full};
pub use any::packet;
pub use connack::connack;
pub use connect::connect;
pub use end::{auth, disconnect};
pub use limit::{Diagnostic, within};
pub use publish::{publish, publish_head, publish_len, publish_overhead};
pub use subscribe::{suback, subscribe, unsuback, unsubscribe};
pub(super) use writer::fitting;

/// PINGREQ.
pub fn pingreq(out: &mut BytesMut) {
    out.put_slice(&[0xC0, 0]);
}

/// PINGRESP.
pub fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xD0, 0]);
}
