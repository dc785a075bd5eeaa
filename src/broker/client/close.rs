//! The end of a connection: the reason, the DISCONNECT that is sent, and the consequence for
//! the session.

use bytes::BytesMut;

use super::Client;
use crate::broker::DisconnectKind;
use crate::protocol::{Disconnect, ReasonCode, Version, encode};
use crate::sabotage::Sabotage;
use crate::telemetry::PacketType;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Close {
    /// DISCONNECT came.
    Left(DisconnectKind),
    /// The client broke a rule, or a limit holds: the reason goes into a v5
    /// DISCONNECT, the words into the log.
    Error(ReasonCode, &'static str),
    /// The network says so.
    Lost(&'static str),
}

impl Client {
    /// The DISCONNECT that tells a v5 client why [MQTT-4.13.2-1]; older ones have
    /// none.
    pub fn write_disconnect(&self, reason: ReasonCode, why: &str, out: &mut BytesMut) {
        if self.role.is_dialled() {
            return self.disconnect_from_server(reason, out);
        }
        // Before the CONNACK there is nothing to disconnect from [MQTT-3.2.0-1].
        if self.version == Version::V5 && !self.pending.opens_connection() {
            let reason_string =
                (self.problem_information && !why.is_empty()).then(|| why.to_owned());
            let disconnect = Disconnect { reason, reason_string, ..Disconnect::default() };
            self.within(out, PacketType::Disconnect, &disconnect, |out, packet| {
                encode::disconnect(out, Version::V5, packet);
            });
        }
    }

    /// The connection has ended: its session goes on without it, or ends. Not to be
    /// cancelled.
    pub async fn close(mut self: Box<Self>, close: &Close) {
        self.finish_work().await;
        self.stop_waiting();
        // Nothing of a packet that broke a rule, but all that came before it.
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
        // Who takes the session over finds it as this client has left it.
        self.wake.leave();
    }

    pub(super) fn on_disconnect(&self, disconnect: &Disconnect) -> Close {
        // A session that was to end with its connection cannot be prolonged by the
        // last word (v5, 3.14.2.2.2).
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
