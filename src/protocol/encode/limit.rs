//! The receiver's Maximum Packet Size: reason string and user properties are omitted if they
//! would exceed it (MQTT 5.0, 3.2.2.3.9, 3.4.2.2.2 and similar).

use bytes::BytesMut;

use crate::protocol::{Ack, Auth, ConnAck, Disconnect, SubAck, UnsubAck, UserProperty};

/// A packet with diagnostic parts that may be omitted.
pub trait Diagnostic: Clone {
    /// Reason string and user properties.
    fn diagnostics(&mut self) -> (&mut Option<String>, &mut Vec<UserProperty>);
}

macro_rules! diagnostic {
    ($($packet:ty),*) => {
        $(impl Diagnostic for $packet {
            fn diagnostics(&mut self) -> (&mut Option<String>, &mut Vec<UserProperty>) {
                (&mut self.reason_string, &mut self.user_properties)
            }
        })*
    };
}

diagnostic!(Ack, Auth, ConnAck, Disconnect, SubAck, UnsubAck);

/// Appends the packet by `write`. If it would be larger than `max`, it is appended without
/// user properties, or also without reason string. False: it is too large even then, nothing
/// was appended, and it must not be sent [MQTT-3.1.2-24].
///
/// ```
/// # use bytes::BytesMut;
/// # use ferrymq::protocol::{Disconnect, ReasonCode, Version, encode};
/// let packet = Disconnect {
///     reason: ReasonCode::ServerShuttingDown,
///     reason_string: Some("maintenance until noon".into()),
///     ..Disconnect::default()
/// };
/// let mut out = BytesMut::new();
/// encode::within(&mut out, Some(10), &packet, |out, packet| encode::disconnect(out, Version::V5, packet));
/// assert_eq!(&out[..], [0xE0, 0x01, 0x8B]);
/// ```
pub fn within<P: Diagnostic>(
    out: &mut BytesMut,
    max: Option<u32>,
    packet: &P,
    write: impl Fn(&mut BytesMut, &P),
) -> bool {
    let start = out.len();
    let fits = |out: &BytesMut| max.is_none_or(|max| out.len() - start <= max as usize);
    write(out, packet);
    if fits(out) {
        return true;
    }
    let mut smaller = packet.clone();
    smaller.diagnostics().1.clear();
    out.truncate(start);
    write(out, &smaller);
    if fits(out) {
        return true;
    }
    *smaller.diagnostics().0 = None;
    out.truncate(start);
    write(out, &smaller);
    if fits(out) {
        return true;
    }
    out.truncate(start);
    false
}
