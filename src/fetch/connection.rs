//! One connection to a server: TCP, TLS, HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::error::{Failure, Stage, within};
use super::target::Target;
use crate::outbound;

/// The longest head of an answer, and what is buffered of its body, in bytes. hyper's own limit
/// is 400 KiB; web servers accept heads of 8 to 16 KiB.
const MAX_BUFFER: usize = 32 * 1024;

/// A connection. It is closed when this is dropped.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The task would end by itself, but with a silent server only when it next has to write.
        self.task.abort();
    }
}

impl Connection {
    pub async fn open(
        target: &Target,
        tls: Option<TlsConnector>,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let stream = outbound::connect(&target.host, target.port, deadline).await?;
        let Some(tls) = tls else { return Self::start(stream).await };
        let name = ServerName::try_from(target.host.to_string())
            .map_err(|_| Failure::Url("its host is no name of a server"))?;
        let stream = within(deadline, Stage::Handshake, tls.connect(name, stream)).await?;
        Self::start(stream.map_err(Failure::Handshake)?).await
    }

    async fn start<S>(stream: S) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // It waits for no byte: HTTP/1 has no handshake.
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Http(error.into()))?;
        let task = tokio::spawn(async move {
            // Who waits for an answer is told of the error.
            let _ = connection.await;
        });
        Ok(Self { sender, task })
    }

    /// True if no further request can be made.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// The head of the answer.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        within(deadline, Stage::Answer, answer).await?.map_err(|error| Failure::Http(error.into()))
    }
}
