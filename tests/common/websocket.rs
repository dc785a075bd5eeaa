//! WebSocket (RFC 6455) as a client writes it: the request, and frames.

/// A request for MQTT, with the key of RFC 6455, section 1.3.
pub const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
/// The value of `Sec-WebSocket-Accept` that answers it.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Opcodes.
pub const CONTINUATION: u8 = 0x0;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;
/// The bit that marks the last frame of a message.
pub const FIN: u8 = 0x80;

/// Appends a masked frame. `first` is its opcode, with [`FIN`] or without.
pub fn frame(out: &mut Vec<u8>, first: u8, mask: [u8; 4], payload: &[u8]) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 + 126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(0x80 + 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Removes the first frame, which is not masked. Returns its first byte and its payload.
pub fn take_frame(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (first, short) = (*input.first()?, *input.get(1)?);
    assert!(short < 0x80, "a server does not mask its frames");
    let (start, length) = match short {
        126 => (4, u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().unwrap()))),
        127 => (10, u64::from_be_bytes(input.get(2..10)?.try_into().unwrap())),
        _ => (2, u64::from(short)),
    };
    let end = start + usize::try_from(length).unwrap();
    let payload = input.get(start..end)?.to_vec();
    input.drain(..end);
    Some((first, payload))
}
