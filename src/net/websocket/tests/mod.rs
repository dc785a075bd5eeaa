//! Frames by hand, and an executor that notices lost wake-ups.

mod handshake;
mod handshake_refused;
mod incoming;
mod real_client;
mod stream;
mod stream_properties;
mod wake_ups;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::WebSocketStream;

pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8a;
/// The masking key of RFC 6455, section 5.7.
pub(super) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame, written without the code that is tested.
pub(super) fn frame(first: u8, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let masked = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => out.push(masked | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            out.push(masked | 0x7e);
            out.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            out.push(masked | 0x7f);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    out
}

pub(super) fn server<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    WebSocketStream::new(stream, Role::Server, BytesMut::new(), 1 << 20)
}

pub(super) fn client<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    WebSocketStream::new(stream, Role::Client, BytesMut::new(), 1 << 20)
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs tasks to their end, each polled only when it was woken. Fails if none was: with streams
/// in memory that is a lost wake-up, or tasks that wait for each other.
pub(super) fn run(tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let mut tasks: Vec<_> =
        tasks.into_iter().map(|task| (task, Arc::new(Flag(AtomicBool::new(true))))).collect();
    while !tasks.is_empty() {
        assert!(tasks.iter().any(|(_, flag)| flag.0.load(Ordering::SeqCst)), "nobody was woken");
        tasks.retain_mut(|(task, flag)| {
            let is_woken = flag.0.swap(false, Ordering::SeqCst);
            let waker = Arc::clone(flag).into();
            !is_woken || task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
    }
}

/// Runs one task.
pub(super) fn run_one(task: impl Future<Output = ()>) {
    run(vec![Box::pin(task)]);
}

/// Polls once, to see whether it is ready.
pub(super) async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|context| Poll::Ready(poll(context))).await
}
