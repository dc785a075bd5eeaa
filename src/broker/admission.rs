//! Limits per address and bans at this broker: its clock, its metrics and its log around the
//! decisions of [`AdmissionControl`](crate::auth::bans::AdmissionControl).

use super::Broker;
use crate::auth::bans::{self, Admitted, BanReason};
use crate::peer::PeerAddr;
use crate::protocol::ReasonCode;
use crate::telemetry::RejectReason;

impl Broker {
    /// Decides whether a connection is accepted, by the client's address: to be called once, as
    /// soon as that is known. The result is kept as long as the connection.
    ///
    /// # Errors
    /// The connection is to be closed without an answer, and counted with this reason. It is
    /// logged already.
    pub fn admit(&self, peer: PeerAddr, listener: &str) -> Result<Admitted, RejectReason> {
        self.admission.admit(peer, self.clock.now().instant).map_err(|refused| {
            if refused.tell {
                let detail = match refused.reason {
                    RejectReason::Banned => "its address is banned: [bans]",
                    RejectReason::AddressLimit => {
                        "limits.max_connections_per_address is reached for its address"
                    }
                    _ => "more connections a second than limits.connection_rate_per_address",
                };
                tracing::warn!(
                    remote = %peer, listener, source = %refused.source, reason = ?refused.reason,
                    "connection refused, and others of its address that follow within a minute: \
                     {detail}"
                );
            }
            refused.reason
        })
    }

    /// True if the address is banned, so that its CONNECT is not worth a verification. Connections
    /// that have a session are not asked about.
    pub fn is_banned(&self, peer: PeerAddr) -> bool {
        self.admission.is_banned(peer, self.clock.now().instant)
    }

    /// A CONNECT was refused by authentication with this reason, which may count as a failed
    /// log-in.
    pub fn log_in_refused(&self, peer: PeerAddr, reason: ReasonCode) {
        if bans::is_failure(reason) {
            self.log_in_failed(peer);
        }
    }

    /// Counts a failed log-in, such as a refused client certificate. The address may be banned
    /// by it; its open connections stay.
    pub fn log_in_failed(&self, peer: PeerAddr) {
        let now = self.clock.now().instant;
        let Some(ban) = self.admission.log_in_failed(peer, now) else { return };
        self.metrics.connections.bans.inc(BanReason::Failures);
        self.measure_bans();
        tracing::warn!(
            source = %ban.source, failures = ban.failures,
            seconds = self.admission.remaining(&ban, now).as_secs(),
            "address banned: as many failed log-ins as bans.max_failures within bans.window; the \
             ban lasts for bans.time, and can be lifted by the API"
        );
    }

    /// Updates the gauge of bans, since they end by themselves.
    pub(super) fn measure_bans(&self) {
        let banned = self.admission.banned(self.clock.now().instant);
        self.metrics.connections.banned.set(i64::try_from(banned).unwrap_or(i64::MAX));
    }
}
