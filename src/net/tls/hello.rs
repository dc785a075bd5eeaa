//! Reads the first message of a client, and recognizes clients that do not speak TLS.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::refusal::{RefusalReason, TlsRefusal};

/// Bytes that tell protocols apart; the PROXY protocol's version 2 begins with 12.
const OPENING: usize = 12;
/// The most bytes that are read for a hello, with the headers of its records. The usual ones have
/// 0.2 to 2 KiB; a ticket of TLS 1.2 or 1.3 in it holds the client's certificates, which have 16
/// KiB at most. TLS allows 64 KiB, which strangers could have kept for each of their connections.
const LONGEST_HELLO: usize = 24 * 1024;

/// Reads until the client's hello is complete.
pub async fn read<S>(stream: &mut S) -> Result<Accepted, TlsRefusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = Acceptor::default();
    let mut opening = Opening::default();
    loop {
        let read = poll_fn(|context| {
            let mut reader = Reader { stream: &mut *stream, context, opening: &mut opening };
            match acceptor.read_tls(&mut reader) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                result => Poll::Ready(result),
            }
        })
        .await;
        match read {
            Ok(0) => return Err(opening.ended()),
            // A probe that resets.
            Err(_) if opening.length == 0 => return Err(opening.ended()),
            Err(error) => return Err(TlsRefusal::io(&error)),
            Ok(_) => {}
        }
        if let Some(refusal) = opening.refusal() {
            return Err(refusal);
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) if opening.received > LONGEST_HELLO => {
                return Err(TlsRefusal::new(
                    RefusalReason::Other,
                    format!("its first message is larger than {} KiB", LONGEST_HELLO >> 10),
                ));
            }
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // Writing to a vector does not fail.
                let _ = alert.write_all(&mut bytes);
                // The client may be gone, and the refusal is what counts.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.flush().await;
                return Err(TlsRefusal::from_tls(&error));
            }
        }
    }
}

/// The first bytes of a connection.
#[derive(Debug, Default)]
struct Opening {
    bytes: [u8; OPENING],
    length: usize,
    /// All bytes, also those that are not kept here.
    received: usize,
}

impl Opening {
    fn add(&mut self, read: &[u8]) {
        let free = self.bytes.iter_mut().skip(self.length);
        let copied = free.zip(read).map(|(free, byte)| *free = *byte).count();
        self.length += copied;
        self.received += read.len();
    }

    /// The other end closed the connection.
    fn ended(&self) -> TlsRefusal {
        if self.length == 0 {
            return TlsRefusal::probe();
        }
        TlsRefusal::new(RefusalReason::Io, "closed before its first message was complete")
    }

    /// Why it is not TLS, whose first record is of the type handshake, 0x16 (RFC 8446, 5.1).
    fn refusal(&self) -> Option<TlsRefusal> {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        let detail = match bytes {
            [] | [0x16, ..] => return None,
            // The length of an SSL 2.0 record, then its hello.
            [0x80..=0xFF, _, 0x01, ..] => {
                return Some(TlsRefusal::new(
                    RefusalReason::UnsupportedVersion,
                    "it speaks SSL 2.0; TLS 1.2 is the oldest version that is supported",
                ));
            }
            [b'P', b'R', b'O', b'X', b'Y', ..] | [b'\r', b'\n', b'\r', b'\n', ..] => {
                "it sends a header of the PROXY protocol; set listeners.NAME.proxy_protocol and \
                 trusted_proxies if it is a proxy of yours"
            }
            // CONNECT, and no other packet may come first (MQTT-3.1.0-1).
            [0x10, ..] => {
                "it speaks MQTT without TLS; let the client use TLS (mqtts://), or a listener \
                 without"
            }
            [first, ..] if first.is_ascii_uppercase() => {
                "it speaks HTTP without TLS; let the client use https:// or wss://"
            }
            _ => "it does not speak TLS",
        };
        Some(TlsRefusal::new(RefusalReason::NotTls, detail))
    }
}

/// Reads from the stream as rustls wants to, and keeps the first bytes.
struct Reader<'a, 'b, S> {
    stream: &'a mut S,
    context: &'a mut Context<'b>,
    opening: &'a mut Opening,
}

impl<S: AsyncRead + Unpin> io::Read for Reader<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut bytes = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.context, &mut bytes) {
            Poll::Ready(Ok(())) => {
                self.opening.add(bytes.filled());
                Ok(bytes.filled().len())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
