//! Closes a connection gracefully, so that the peer receives what was written last.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::scratch;

/// How long the other end may take to close as well.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most bytes that are read from it meanwhile.
const AT_MOST: usize = 256 * 1024;

/// Closes the sending side and waits for the other end to close. If unread bytes remain when a
/// socket is closed, the kernel sends a reset, which may destroy the DISCONNECT or CONNACK
/// that was just sent.
pub async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> std::io::Result<()> {
    let end = async {
        stream.shutdown().await?;
        let mut left = AT_MOST;
        while left > 0 {
            match poll_fn(|context| scratch::poll_discard(stream, context)).await {
                Ok(0) | Err(_) => break,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
        Ok(())
    };
    // The shutdown of a stream with its own layer, such as TLS, may block as well.
    tokio::time::timeout(PATIENCE, end).await.unwrap_or(Ok(()))
}
