//! A handshake, from the first byte to the stream.
//!
//! Its signatures take up to a few milliseconds (RSA), during which the thread does nothing
//! else. The caller therefore hands out turns, and a handshake works in its turns only: it has
//! none while it waits for the client.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use rustls::HandshakeKind;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::{StartHandshake, TlsStream as RustlsStream};

use super::charged::Charged;
use super::context::{State, TlsContext};
use super::hello;
use super::identity::ClientIdentity;
use super::refusal::{RefusalReason, TlsRefusal, is_told};
use super::stream::TlsStream;
use crate::broker::ConnectShare;
use crate::net::graceful_close;

pub async fn accept<S, F>(
    context: &TlsContext,
    stream: S,
    memory: ConnectShare,
    turn: impl FnMut() -> F,
) -> Result<TlsStream<S>, TlsRefusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future,
{
    let mut stream = Charged::new(stream, memory);
    let accepted = hello::read(&mut stream).await?;
    let state = context.current();
    let config = state.configs.for_offer(accepted.client_hello().alpn().into_iter().flatten());
    let start = StartHandshake::from_parts(accepted, stream);
    let handshake = async {
        // Computes the keys and the signature, of TLS 1.3 at least, before it returns.
        let stream = start.into_stream(config).into_fallible().await?;
        // Authorities and revocation lists may have been replaced during the handshake.
        let client = identify(&context.current(), state.generation, &stream);
        Ok((stream, client))
    };
    let (mut stream, client) = match in_turns(handshake, turn).await {
        Ok(done) => done,
        Err((error, mut stream)) => {
            let refusal = TlsRefusal::from_handshake(&error);
            if is_told(refusal.reason) {
                // What the client sends meanwhile must not reset the connection before it has
                // read the alert.
                let _ = graceful_close::close(&mut stream).await;
            }
            return Err(refusal);
        }
    };
    match client {
        Ok(client) => Ok(TlsStream::new(stream, client)),
        Err(refusal) => {
            let _ = graceful_close::close(&mut stream).await;
            Err(refusal)
        }
    }
}

/// Polls `future` once in each turn, and waits without one until its task is woken.
pub async fn in_turns<T, F>(future: impl Future<Output = T>, mut turn: impl FnMut() -> F) -> T
where
    F: Future,
{
    let mut future = pin!(future);
    loop {
        let turn = turn().await;
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        drop(turn);
        match polled {
            Poll::Ready(done) => return done,
            Poll::Pending => woken().await,
        }
    }
}

/// Ready at the next poll of the task, whatever wakes it.
async fn woken() {
    let mut is_woken = false;
    poll_fn(
        |_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// Who the client is. The certificates of a full handshake were verified against the state of
/// the generation `began`. Those of a resumed session are verified here: its ticket may be older
/// than the end of their validity, or their revocation.
fn identify<S>(
    current: &State,
    began: u64,
    stream: &RustlsStream<S>,
) -> Result<Option<ClientIdentity>, TlsRefusal> {
    let Some(verifier) = &current.verifier else { return Ok(None) };
    let (_, connection) = stream.get_ref();
    let Some(chain) = connection.peer_certificates() else {
        let refusal = TlsRefusal::from_tls(&rustls::Error::NoCertificatesPresented);
        return if verifier.required { Err(refusal) } else { Ok(None) };
    };
    let now = UnixTime::now();
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let is_fresh = !resumed && current.generation == began;
    if !is_fresh && let Some((own, others)) = chain.split_first() {
        verifier.verify(own, others, now).map_err(|error| TlsRefusal::from_tls(&error))?;
    }
    let unreadable = || {
        TlsRefusal::new(RefusalReason::BadCertificate, "the client's certificate cannot be parsed")
    };
    let client = ClientIdentity::new(chain, now, current.generation).ok_or_else(unreadable)?;
    Ok(Some(client))
}
