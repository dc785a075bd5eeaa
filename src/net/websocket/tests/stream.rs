//! The byte stream, frame by frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};

use super::{BINARY, CLOSE, KEY, PING, PONG, client, frame, once, run, run_one, server};
use crate::net::websocket::{Violation, WebSocketStream};

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some(KEY), payload)
}

/// A server's stream over memory of this size, and its other end.
fn served(size: usize) -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(size);
    (server(ours), theirs)
}

/// The next bytes that arrive are these.
async fn arrives(theirs: &mut DuplexStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    theirs.read_exact(&mut got).await.unwrap();
    assert!(got == expected, "{} bytes", expected.len());
}

#[test]
fn a_write_is_a_frame_and_small_ones_stay_small() {
    run_one(async {
        let (mut ours, mut theirs) = served(1 << 20);
        for len in [1, 125, 126, 65535, 65536] {
            let bytes = vec![7; len];
            assert_eq!(ours.write(&bytes).await.unwrap(), len);
            arrives(&mut theirs, &frame(BINARY, None, &bytes)).await;
        }
        assert_eq!(ours.write(&[]).await.unwrap(), 0);
        assert_eq!(ours.write(&vec![7; 65537]).await.unwrap(), 65536);
    });
}

#[test]
fn a_frame_is_continued_where_the_stream_below_was_full() {
    run_one(async {
        let (mut ours, mut theirs) = served(10);
        assert_eq!(ours.write(b"0123456789").await.unwrap(), 8);
        let full = once(|context| Pin::new(&mut ours).poll_write(context, b"89ab")).await;
        assert!(full.is_pending());
        let mut got = [0; 10];
        theirs.read_exact(&mut got).await.unwrap();
        // What the first frame lacks, whatever else there is by now.
        assert_eq!(ours.write(b"89ab").await.unwrap(), 2);
        assert_eq!(ours.write(b"ab").await.unwrap(), 2);
        drop(ours);
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).await.unwrap();
        let expected = [frame(BINARY, None, b"0123456789"), frame(BINARY, None, b"ab")].concat();
        assert_eq!([&got[..], &rest].concat(), expected);
    });
}

#[test]
fn a_frame_of_which_nothing_was_taken_has_not_begun() {
    run_one(async {
        let (mut ours, mut theirs) = served(3);
        assert_eq!(ours.write(b"a").await.unwrap(), 1);
        let full = once(|context| Pin::new(&mut ours).poll_write(context, b"long text")).await;
        assert!(full.is_pending());
        theirs.read_exact(&mut [0; 3]).await.unwrap();
        // The caller changed its mind.
        assert_eq!(ours.write(b"b").await.unwrap(), 1);
        arrives(&mut theirs, &frame(BINARY, None, b"b")).await;
    });
}

#[test]
fn of_several_pings_the_last_is_answered() {
    run_one(async {
        let (mut ours, mut theirs) = served(1000);
        let input = [masked(PING, b"one"), masked(PING, b"two"), masked(BINARY, b"x")].concat();
        theirs.write_all(&input).await.unwrap();
        assert_eq!(ours.read(&mut [0; 100]).await.unwrap(), 1);
        arrives(&mut theirs, &frame(PONG, None, b"two")).await;
    });
}

#[test]
fn a_pong_goes_between_two_frames_of_one_who_only_writes() {
    run_one(async {
        let (mut ours, mut theirs) = served(10);
        assert_eq!(ours.write(b"0123456789").await.unwrap(), 8);
        theirs.write_all(&masked(PING, b"p")).await.unwrap();
        let read = once(|context| {
            let mut buffer = [0; 10];
            Pin::new(&mut ours).poll_read(context, &mut ReadBuf::new(&mut buffer))
        });
        assert!(read.await.is_pending());
        theirs.read_exact(&mut [0; 10]).await.unwrap();
        ours.write_all(b"89").await.unwrap();
        ours.write_all(b"ab").await.unwrap();
        let expected = [&b"89"[..], &frame(PONG, None, b"p"), &frame(BINARY, None, b"ab")];
        arrives(&mut theirs, &expected.concat()).await;
    });
}

#[test]
fn a_close_frame_is_answered_and_ends_the_stream() {
    for size in [1, 3, 64] {
        let (mut ours, mut theirs) = served(size);
        run(vec![
            Box::pin(async move {
                let mut got = Vec::new();
                ours.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, b"last words");
                let refused = ours.write(b"x").await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
                ours.shutdown().await.unwrap();
            }),
            Box::pin(async move {
                theirs.write_all(&masked(BINARY, b"last words")).await.unwrap();
                theirs.write_all(&masked(CLOSE, b"\x03\xe9going")).await.unwrap();
                let mut got = Vec::new();
                theirs.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, frame(CLOSE, None, b"\x03\xe9"));
            }),
        ]);
    }
}

#[test]
fn a_peer_that_is_gone_is_not_waited_for() {
    run_one(async {
        // No room for the answer, and nobody reads.
        let (mut ours, mut theirs) = served(20);
        ours.write_all(&[7; 17]).await.unwrap();
        theirs.write_all(&masked(CLOSE, b"")).await.unwrap();
        theirs.shutdown().await.unwrap();
        assert_eq!(ours.read(&mut [0; 10]).await.unwrap(), 0);
    });
}

#[test]
fn shutting_down_sends_a_close_frame_and_ends() {
    for size in [1, 3, 64] {
        let (mut ours, mut theirs) = served(size);
        run(vec![
            Box::pin(async move {
                ours.write_all(b"bye").await.unwrap();
                ours.shutdown().await.unwrap();
                // What is under way is still received.
                let mut got = Vec::new();
                ours.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, b"too late");
            }),
            Box::pin(async move {
                let mut got = Vec::new();
                theirs.read_to_end(&mut got).await.unwrap();
                let expected = [frame(BINARY, None, b"bye"), frame(CLOSE, None, b"\x03\xe8")];
                assert_eq!(got, expected.concat());
                theirs.write_all(&masked(BINARY, b"too late")).await.unwrap();
                theirs.write_all(&masked(CLOSE, b"\x03\xe8")).await.unwrap();
            }),
        ]);
    }
}

#[test]
fn a_violation_is_told_to_the_peer_and_to_the_reader() {
    for size in [1, 3, 64] {
        let (mut ours, mut theirs) = served(size);
        run(vec![
            Box::pin(async move {
                let mut got = Vec::new();
                let error = ours.read_to_end(&mut got).await.unwrap_err();
                assert_eq!((&got[..], error.kind()), (&b"good"[..], io::ErrorKind::InvalidData));
                let violation = error.get_ref().unwrap().downcast_ref::<Violation>();
                assert_eq!(violation, Some(&Violation::Text));
                ours.shutdown().await.unwrap();
                assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
            }),
            Box::pin(async move {
                theirs.write_all(&masked(BINARY, b"good")).await.unwrap();
                theirs.write_all(&masked(0x81, b"text")).await.unwrap();
                theirs.write_all(&[0; 200]).await.unwrap();
                let mut got = Vec::new();
                theirs.read_to_end(&mut got).await.unwrap();
                assert_eq!(got, frame(CLOSE, None, b"\x03\xeb"));
            }),
        ]);
    }
}

/// A peer that sends pings without end, and reads everything.
struct Pings;

impl AsyncRead for Pings {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&masked(PING, b""));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pings {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_peer_of_nothing_but_pings_does_not_hold_up_the_others() {
    run_one(async {
        let mut ours = server(Pings);
        let read = once(|context| {
            let mut buffer = [0; 100];
            Pin::new(&mut ours).poll_read(context, &mut ReadBuf::new(&mut buffer))
        });
        assert!(read.await.is_pending());
    });
}

#[test]
fn a_client_masks_with_a_key_of_its_own_each_time() {
    run_one(async {
        let (ours, mut theirs) = duplex(100);
        let mut ours = client(ours);
        let mut keys = Vec::new();
        for _ in 0..3 {
            ours.write_all(b"Hello").await.unwrap();
            let mut got = [0; 11];
            theirs.read_exact(&mut got).await.unwrap();
            let key = [got[2], got[3], got[4], got[5]];
            assert_eq!(got[..], frame(BINARY, Some(key), b"Hello"));
            keys.push(key);
        }
        // One in 2^64 that all are the same.
        assert!(keys[0] != keys[1] || keys[1] != keys[2]);
    });
}

#[test]
fn an_idle_connection_takes_half_a_kibibyte_and_no_buffer() {
    let own = size_of::<WebSocketStream<()>>();
    assert!(own <= 512, "{own} bytes");
}
