//! Who waits is woken, also if reading has to write, and in two tasks.

use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, duplex, split};

use super::{BINARY, CLOSE, KEY, PING, PONG, frame, run, server};

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, Some(KEY), payload)
}

#[test]
fn a_reader_answers_a_ping_as_soon_as_there_is_room() {
    let (ours, mut theirs) = duplex(8);
    let mut ours = server(ours);
    run(vec![
        Box::pin(async move {
            // Fills what is between them.
            ours.write_all(b"012345").await.unwrap();
            assert_eq!(ours.read(&mut [0; 10]).await.unwrap(), 0);
        }),
        Box::pin(async move {
            theirs.write_all(&masked(PING, b"p")).await.unwrap();
            theirs.read_exact(&mut [0; 8]).await.unwrap();
            let mut got = [0; 3];
            theirs.read_exact(&mut got).await.unwrap();
            assert_eq!(got[..], frame(PONG, None, b"p"));
        }),
    ]);
}

#[test]
fn a_reader_and_a_writer_in_two_tasks_are_both_woken() {
    let (ours, mut theirs) = duplex(4);
    let (mut reader, mut writer) = split(server(ours));
    run(vec![
        Box::pin(async move {
            for _ in 0..50 {
                writer.write_all(&[7; 10]).await.unwrap();
            }
        }),
        Box::pin(async move { assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0) }),
        Box::pin(async move {
            let (mut payload, mut buffer) = (0, [0; 20]);
            while payload < 500 {
                theirs.write_all(&masked(PING, b"p")).await.unwrap();
                let read = theirs.read(&mut buffer).await.unwrap();
                // Neither headers nor pongs have a 7.
                payload += buffer[..read].split(|byte| *byte == 7).count() - 1;
            }
            theirs.write_all(&masked(CLOSE, b"")).await.unwrap();
            let mut rest = Vec::new();
            while !rest.ends_with(&frame(CLOSE, None, b"")) {
                rest.push(theirs.read_u8().await.unwrap());
            }
        }),
    ]);
}

#[test]
fn a_reader_is_woken_when_a_writer_has_completed_its_frame() {
    let (ours, mut theirs) = duplex(10);
    let (mut reader, mut writer) = split(server(ours));
    run(vec![
        // Neither writes nor flushes after that.
        Box::pin(async move { writer.write_all(b"0123456789").await.unwrap() }),
        Box::pin(async move {
            theirs.write_all(&masked(PING, b"p")).await.unwrap();
            // The reader sees the ping while the frame is incomplete.
            tokio::task::yield_now().await;
            let mut got = [0; 15];
            theirs.read_exact(&mut got).await.unwrap();
            let expected = [frame(BINARY, None, b"0123456789"), frame(PONG, None, b"p")];
            assert_eq!(got[..], expected.concat());
        }),
        Box::pin(async move { assert_eq!(reader.read(&mut [0; 10]).await.unwrap(), 0) }),
    ]);
}

#[test]
fn a_writer_is_woken_although_a_reader_that_is_gone_took_its_place() {
    let (ours, mut theirs) = duplex(7);
    let (mut reader, mut writer) = split(server(ours));
    run(vec![
        Box::pin(async move {
            writer.write_all(b"01234").await.unwrap();
            writer.write_all(b"a").await.unwrap();
        }),
        Box::pin(async move {
            theirs.write_all(&masked(PING, b"p")).await.unwrap();
            let mut buffer = [0; 10];
            let mut never_again = Context::from_waker(Waker::noop());
            let read =
                Pin::new(&mut reader).poll_read(&mut never_again, &mut ReadBuf::new(&mut buffer));
            assert!(read.is_pending());
            let mut got = [0; 13];
            theirs.read_exact(&mut got).await.unwrap();
            let expected =
                [frame(BINARY, None, b"01234"), frame(PONG, None, b"p"), frame(BINARY, None, b"a")];
            assert_eq!(got[..], expected.concat());
        }),
    ]);
}
