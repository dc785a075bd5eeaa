//! Ends a connection, and ends or keeps its session.

use std::sync::Arc;

use super::attach::record_of;
use super::handle::StepPermit;
use super::timers::Kind;
use super::{Broker, Step, traced};
use crate::store::Change;
use crate::telemetry::{DropReason, Label};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectKind {
    /// DISCONNECT with reason 0x00: the will is removed [MQTT-3.14.4-3].
    Normally {
        /// v5: a new session expiry interval, if the DISCONNECT has one.
        session_expiry: Option<u32>,
    },
    /// Any other end of the connection: the will is due.
    WithWill {
        /// v5: as above.
        session_expiry: Option<u32>,
    },
}

impl Broker {
    /// Ends connection `epoch` of the session. Does nothing if another connection has taken
    /// the session over. Must not be cancelled.
    pub(super) async fn disconnect(
        self: &Arc<Self>,
        permit: StepPermit,
        epoch: u64,
        leaving: DisconnectKind,
    ) {
        let handle = Arc::clone(permit.session());
        let mut step = Step::new(self);
        let (will, ends) = {
            let mut session = handle.lock();
            if !session.life.is_held_by(epoch) {
                return;
            }
            let (DisconnectKind::Normally { session_expiry }
            | DisconnectKind::WithWill { session_expiry }) = leaving;
            if let Some(expiry) = session_expiry {
                session.life.expiry = expiry.min(self.settings.max_session_expiry);
            }
            let gone = session.detach(step.now.wall);
            handle.session_wake().connect(None);
            self.metrics.messages.dropped.add(DropReason::SessionEnded, gone.len() as u64);
            traced::dropped(&gone, DropReason::SessionEnded.as_str());
            let will = match leaving {
                DisconnectKind::Normally { .. } => {
                    session.will = None;
                    None
                }
                DisconnectKind::WithWill { .. } => self.due_will(&handle, &mut session),
            };
            if session.life.expiry > 0 {
                if session.durable {
                    step.change(Change::Session(Box::new(record_of(&session))));
                }
                if let Some(at) = session.life.expires_at() {
                    self.timers.set(Kind::Expiry, at, &handle);
                }
                self.evict_later(&handle);
            }
            (will, session.life.expiry == 0)
        };
        if let Some(will) = will {
            self.publish_will(&handle, &will, &mut step).await;
        }
        if ends {
            self.end_and_submit(&permit, &mut step);
        } else {
            step.submit_or_log(self);
        }
    }
}
