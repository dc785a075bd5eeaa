//! The end of a connection: the reason, the DISCONNECT that is sent, and the effect on the
//! session.

use bytes::BytesMut;

use super::Client;
use crate::broker::DisconnectKind;
use crate::protocol::{Disconnect, ReasonCode, Version, encode};
use crate::sabotage::Sabotage;
use crate::telemetry::PacketType;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// The client sent DISCONNECT.
    Left(DisconnectKind),
    /// The client broke a rule or reached a limit. The reason code is sent in a v5 DISCONNECT,
    /// the text is logged.
    Error(ReasonCode, &'static str),
    /// The transport closed, or the server of a dialled connection left or did not answer.
    Lost(&'static str),
}

/// The other end has closed the connection, in the way of a connection that was not lost.
pub const CLOSED_BY_PEER: Close = Close::Lost("the client closed without DISCONNECT");

/// The connection was reset. TCP reports a close in this way, too, if the other end had not read
/// all that was sent to it.
pub const RESET_BY_PEER: Close = Close::Lost("the connection was reset");

impl Client {
    /// Writes the DISCONNECT that tells a v5 client the reason [MQTT-4.13.2-1]. Older versions
    /// have none.
    pub fn write_disconnect(&self, reason: ReasonCode, why: &str, out: &mut BytesMut) {
        if self.role.is_dialled() {
            return self.disconnect_from_server(reason, out);
        }
        // No DISCONNECT may precede the CONNACK [MQTT-3.2.0-1].
        if self.version == Version::V5 && !self.pending.opens_connection() {
            let reason_string =
                (self.problem_information && !why.is_empty()).then(|| why.to_owned());
            let disconnect = Disconnect { reason, reason_string, ..Disconnect::default() };
            self.within(out, PacketType::Disconnect, &disconnect, |out, packet| {
                encode::disconnect(out, Version::V5, packet);
            });
        }
    }

    /// Ends the connection: its session is kept without it, or ends. Must not be cancelled.
    pub async fn close(mut self: Box<Self>, close: &Close) {
        self.note_end(close);
        self.finish_work().await;
        self.stop_waiting();
        // Changes that preceded a packet that broke a rule are still submitted.
        let _ = self.submit();
        self.pending.abandon();
        let leaving = match close {
            Close::Left(leaving) => *leaving,
            Close::Error(..) | Close::Lost(_) => DisconnectKind::WithWill { session_expiry: None },
        };
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => self.handle.begin().await,
        };
        self.broker.disconnect(permit, self.epoch, leaving).await;
        if Sabotage::ForgetRelease.is_on() {
            let none = self.broker.metrics.messages.memory.charge(0);
            std::mem::forget(std::mem::replace(&mut self.charge, none));
        }
        // A connection that takes the session over waits for this.
        self.wake.leave();
    }

    pub(super) fn on_disconnect(&self, disconnect: &Disconnect) -> Close {
        // A DISCONNECT must not set a session expiry interval if CONNECT set none or 0 (v5,
        // 3.14.2.2.2).
        let prolongs = disconnect.session_expiry.is_some_and(|expiry| expiry > 0)
            && self.handle.look().life.expiry == 0;
        if prolongs {
            return Close::Error(
                ReasonCode::ProtocolError,
                "DISCONNECT sets an expiry for a session that CONNECT gave none",
            );
        }
        let session_expiry = disconnect.session_expiry;
        Close::Left(if disconnect.reason == ReasonCode::Success {
            DisconnectKind::Normally { session_expiry }
        } else {
            DisconnectKind::WithWill { session_expiry }
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.wake.leave();
    }
}
