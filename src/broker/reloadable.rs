//! Settings that may change while the broker runs.
//!
//! Limits per address are in [`AdmissionControl`](crate::auth::bans::AdmissionControl). Publish
//! rates are read for each PUBLISH, so they are atomics. The rest is read once for each
//! connection or packet of a rare kind, and replaced as a whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::Broker;
use crate::auth::bans::AdmissionLimits;
use crate::config::Config;
use crate::message::WakeCause;
use crate::token_bucket::Rate;

/// Rates at which one client may publish. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishRates {
    /// PUBLISH packets a second.
    pub messages: u64,
    /// Bytes of PUBLISH packets a second.
    pub bytes: u64,
}

/// Settings that are read again for each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectSettings {
    /// The time within which CONNECT must arrive and be answered.
    pub connect_timeout: Duration,
    /// Seconds; 0 is no limit.
    pub max_keep_alive: u16,
    /// Sessions with and without a connection. Those that exist stay.
    pub max_sessions: usize,
    /// Subscriptions of one session. Those that exist stay.
    pub max_subscriptions: usize,
}

/// The settings that [`Broker::reload`] replaces. Each is independent of the others, so that
/// nobody can see them half replaced.
#[derive(Debug)]
pub(super) struct Reloadable {
    messages: AtomicU64,
    bytes: AtomicU64,
    connect: RwLock<ConnectSettings>,
}

/// Everything that a reload replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadableSettings {
    /// `limits.publish_rate`, `limits.publish_bytes_rate`.
    pub publish: PublishRates,
    /// See [`ConnectSettings`].
    pub connect: ConnectSettings,
    /// `[bans]` and limits per address.
    pub admission: AdmissionLimits,
}

impl From<&Config> for ReloadableSettings {
    fn from(config: &Config) -> Self {
        let Config { limits, mqtt, session, .. } = config;
        Self {
            publish: PublishRates {
                messages: limits.publish_rate.into(),
                bytes: limits.publish_bytes_rate.bytes(),
            },
            connect: ConnectSettings {
                connect_timeout: mqtt.connect_timeout.duration(),
                // The protocol's maximum is 65,535 s, so a longer limit has no effect.
                max_keep_alive: u16::try_from(mqtt.max_keep_alive.as_mqtt_seconds()).unwrap_or(0),
                max_sessions: session.max_sessions,
                max_subscriptions: session.max_subscriptions,
            },
            admission: config.into(),
        }
    }
}

impl Reloadable {
    pub(super) fn new(settings: &ReloadableSettings) -> Self {
        Self {
            messages: AtomicU64::new(settings.publish.messages),
            bytes: AtomicU64::new(settings.publish.bytes),
            connect: RwLock::new(settings.connect),
        }
    }

    /// The rates for PUBLISH packets, and for their bytes.
    pub(super) fn publish_rates(&self) -> (Option<Rate>, Option<Rate>) {
        let rate = |count: &AtomicU64| Rate::per_second(count.load(Ordering::Relaxed));
        (rate(&self.messages), rate(&self.bytes))
    }
}

impl Broker {
    /// The settings of connections that begin now.
    pub fn connect_settings(&self) -> ConnectSettings {
        *self.reloadable.connect.read()
    }

    /// Applies other settings to what comes next.
    pub fn reload(&self, settings: ReloadableSettings) {
        let ReloadableSettings { publish, connect, admission } = settings;
        *self.reloadable.connect.write() = connect;
        self.admission.set_limits(admission);
        let messages = self.reloadable.messages.swap(publish.messages, Ordering::Relaxed);
        let bytes = self.reloadable.bytes.swap(publish.bytes, Ordering::Relaxed);
        if publish != (PublishRates { messages, bytes }) {
            // Those whose publishes are held have to look again. They take turns, as the
            // receivers of a message do.
            for handle in self.registry.all() {
                handle.session_wake().notify(WakeCause::FanOut);
            }
        }
    }
}
