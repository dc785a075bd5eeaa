//! Any sizes of buffers, writes and reads give the same bytes, and nobody waits for ever.

use proptest::prelude::*;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, join, split,
};

use super::{BINARY, KEY, PING, client, frame, run, server};
use crate::net::websocket::WebSocketStream;

/// Writes in pieces.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, pieces: &[Vec<u8>]) {
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// Reads in pieces, until there are `expected` bytes.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, size: usize, expected: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    while all.len() < expected {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{} of {expected}", all.len());
        all.extend_from_slice(&buffer[..read]);
    }
    all
}

/// One task reads and writes, as a connection's does: what it reads it sends back.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: WebSocketStream<S>, size: usize) {
    let mut buffer = vec![0; size];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            return stream.shutdown().await.unwrap();
        }
        stream.write_all(&buffer[..read]).await.unwrap();
        stream.flush().await.unwrap();
    }
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let small = prop::collection::vec(any::<u8>(), 0..200);
    let large = (any::<u8>(), 0..20_000_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop::collection::vec(prop_oneof![4 => small, 1 => large], 0..8)
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), Just(3), Just(64), 1..20_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_and_a_server_exchange_any_bytes_in_both_directions(
        there in pieces(),
        back in pieces(),
        between in sizes(),
        reads in sizes(),
    ) {
        let (one, other) = duplex(between);
        let (mut client_in, mut client_out) = split(client(one));
        let (mut server_in, mut server_out) = split(server(other));
        let (there, back) = (&there, &back);
        // A close frame ends both directions, so it comes when all was received.
        let (client_has, wait) = tokio::sync::oneshot::channel::<()>();
        let (server_has, wait_too) = tokio::sync::oneshot::channel::<()>();
        run(vec![
            Box::pin(async move {
                write(&mut client_out, there).await;
                wait.await.unwrap();
                wait_too.await.unwrap();
                client_out.shutdown().await.unwrap();
            }),
            Box::pin(async move { write(&mut server_out, back).await }),
            Box::pin(async move {
                assert!(read(&mut client_in, reads, back.concat().len()).await == back.concat());
                client_has.send(()).unwrap();
                assert_eq!(client_in.read(&mut [0]).await.unwrap(), 0);
            }),
            Box::pin(async move {
                assert!(read(&mut server_in, reads, there.concat().len()).await == there.concat());
                server_has.send(()).unwrap();
                assert_eq!(server_in.read(&mut [0]).await.unwrap(), 0);
            }),
        ]);
    }

    #[test]
    fn one_task_that_reads_and_writes_answers_pings_and_loses_nothing(
        frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        between in sizes(),
        reads in sizes(),
    ) {
        let (ours, theirs) = duplex(between);
        let (mut theirs_in, mut theirs_out) = split(theirs);
        let wire = frames.iter().flat_map(|(is_ping, payload)| {
            let payload = if *is_ping { &payload[..payload.len().min(125)] } else { payload };
            frame(if *is_ping { PING } else { BINARY }, Some(KEY), payload)
        });
        let wire: Vec<u8> = wire.chain(frame(0x88, Some(KEY), b"")).collect();
        let expected: Vec<u8> =
            frames.iter().filter(|(is_ping, _)| !is_ping).flat_map(|(_, data)| data.clone()).collect();
        run(vec![
            Box::pin(echo(server(ours), reads)),
            Box::pin(async move { theirs_out.write_all(&wire).await.unwrap() }),
            Box::pin(async move {
                let mut got = Vec::new();
                theirs_in.read_to_end(&mut got).await.unwrap();
                // A client reads them: it must not see a fault.
                let (nothing, _kept) = duplex(1);
                let mut again = client(join(&got[..], nothing));
                let mut echoed = Vec::new();
                again.read_to_end(&mut echoed).await.unwrap();
                assert!(echoed == expected);
            }),
        ]);
    }
}
