//! WebSocket frames: whatever arrives and however it is split, the same payload comes out,
//! within the limit, and no more than one control frame is held.

#[path = "../src/net/websocket/incoming.rs"]
mod incoming;
#[path = "../src/net/websocket/mask.rs"]
mod mask;
#[path = "../src/net/websocket/violation.rs"]
mod violation;

use incoming::{End, Incoming, LONGEST_CONTROL};
use tokio_tungstenite::tungstenite::protocol::Role;

/// Small enough that the fuzzer reaches the limit.
const MAX_MESSAGE: u64 = 2048;

/// The first byte selects the role, the second the size of the pieces.
pub fn run(input: &[u8]) {
    let [role, size, wire @ ..] = input else {
        return;
    };
    let role = if role % 2 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let whole = decode(role, wire, wire.len().max(1));
    assert!(whole.0.len() <= wire.len());
    if let Some(End::Violated(violation)) = whole.1 {
        assert!((1002..=1009).contains(&violation.status()), "{violation}");
    }
    for size in [1, usize::from(*size).max(1)] {
        assert_eq!(decode(role, wire, size), whole, "in pieces of {size}");
    }
}

/// The payload, the end, and the last ping.
fn decode(role: Role, wire: &[u8], size: usize) -> (Vec<u8>, Option<End>, Option<Vec<u8>>) {
    let mut incoming = Incoming::new(role, MAX_MESSAGE);
    let (mut payload, mut ping) = (Vec::new(), None);
    for piece in wire.to_vec().chunks_mut(size) {
        let length = incoming.decode(piece);
        payload.extend_from_slice(&piece[..length]);
        ping = incoming.take_ping().or(ping);
        assert!(
            ping.as_ref()
                .is_none_or(|ping| ping.len() as u64 <= LONGEST_CONTROL)
        );
    }
    (payload, incoming.end(), ping)
}
