//! Closes a connection gracefully, so that the peer receives what was written last.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::scratch;

/// How long the other end has to close as well.
const PATIENCE: Duration = Duration::from_millis(500);
/// What it may still send meanwhile.
const AT_MOST: usize = 256 * 1024;

/// Ends our side and waits for the other: bytes that are unread when a socket is
/// closed turn the close into a reset, which may destroy the DISCONNECT or CONNACK
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
    // A stream with a layer of its own, such as TLS, may not get its last bytes out either.
    tokio::time::timeout(PATIENCE, end).await.unwrap_or(Ok(()))
}
