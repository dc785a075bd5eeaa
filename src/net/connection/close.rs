//! The end of a connection: what is still written, and what is counted and logged.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;

use super::{Connection, Partial};
use crate::broker::client::{Client, Close, LargePayload};
use crate::net::graceful_close;
use crate::net::transport::Transport;
use crate::peer::PeerAddr;
use crate::protocol::ReasonCode;

/// The time limit for writing a DISCONNECT.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl<S: Transport> Connection<S> {
    /// Ends the connection for this reason.
    pub(super) async fn close(mut self: Box<Self>, mut client: Box<Client>, close: Close) {
        // Whoever closes may wait, also for a turn, and must not have one meanwhile.
        self.pace.rests();
        let (client_id, remote) = (Arc::clone(client.client_id()), self.stream.peer());
        // Many connections may end at once, and their input is no longer needed.
        self.partial = Partial::default();
        let payload = client.detach_payload();
        let mut last = BytesMut::new();
        if let Close::Error(reason, why) = &close {
            client.write_disconnect(*reason, why, &mut last);
        }
        let is_clients_fault = !client.is_revoked() && !client.has_log_in_ended();
        // Session and will do not wait until the last bytes are written.
        client.close(&close).await;
        // A client that sent DISCONNECT gets no more packets.
        if matches!(close, Close::Error(..)) {
            let flushed = self.flush_and_shut_down(payload, last);
            let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, flushed).await;
        } else if self.stream.has_close() {
            let _ = graceful_close::close(&mut self.stream).await;
        }
        // Who has dialled tells of the end, and counts it.
        if !self.other_end.is_server() {
            self.count_close(&client_id, remote, &close, is_clients_fault);
        }
    }

    fn count_close(
        &self,
        client_id: &str,
        remote: PeerAddr,
        close: &Close,
        is_clients_fault: bool,
    ) {
        let connections = &self.metrics.connections;
        if let Close::Error(reason, why) = close {
            match reason {
                ReasonCode::KeepAliveTimeout => connections.keep_alive_timeouts.inc(),
                ReasonCode::ServerShuttingDown
                | ReasonCode::SessionTakenOver
                | ReasonCode::AdministrativeAction => {}
                _ if !is_clients_fault => {}
                _ => connections.protocol_errors.inc((*reason).into()),
            }
            tracing::info!(client_id, %remote, ?reason, detail = *why, "disconnected");
        } else {
            // MQTT has no reason codes for these, so they are named like its reason codes.
            let (reason, detail) = match close {
                Close::Lost(why) => ("ConnectionLost", Some(*why)),
                _ => ("ByClient", None),
            };
            tracing::info!(client_id, %remote, %reason, detail, "disconnected");
        }
    }

    async fn flush_and_shut_down(
        &mut self,
        payload: Option<LargePayload>,
        mut last: BytesMut,
    ) -> std::io::Result<()> {
        self.stream.write_all_buf(&mut self.out).await?;
        if let Some(payload) = payload {
            self.stream.write_all(payload.rest()).await?;
        }
        self.stream.write_all_buf(&mut last).await?;
        self.stream.flush().await?;
        graceful_close::close(&mut self.stream).await
    }
}
