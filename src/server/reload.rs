//! Reloads the configuration while the broker runs: at SIGHUP, by the API, or when a file that
//! it names has changed.
//!
//! It applies changes to `[auth]` and `[listeners.NAME.auth]` with the files that they name, to
//! `[acl]` with its file, to `[listeners.NAME.tls]` with its certificates, to the API token, to
//! the log level, to `[bridges.NAME]`, to `[bans]`, and to the limits in [`take_limits`]. Other
//! differences are logged and take effect after a restart.
//!
//! All or nothing: [`Reloader::prepare`] reads and checks, and may fail; [`Reloader::apply`]
//! replaces, and cannot.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::certificates::{self, Certificates};
use super::differences::differences;
use crate::auth::Policy;
use crate::auth::acl::Rules;
use crate::bridge::Bridges;
use crate::broker::{Broker, ReloadableSettings};
use crate::config::{Config, Sources};
use crate::http::api::{Reload, Reloaded};
use crate::http::{NewToken, Tokens};
use crate::telemetry::{LogLevel, NewLevel};

/// The parts that a reload uses.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    pub(super) running: Mutex<InEffect>,
    pub(super) broker: Arc<Broker>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) level: LogLevel,
    pub(super) certificates: Certificates,
    pub(super) bridges: Bridges,
    /// Where clients are disconnected.
    pub(super) runtime: tokio::runtime::Handle,
}

/// The configuration in effect.
pub(super) struct InEffect {
    /// As it was read: `auto` is not resolved.
    config: Config,
    /// Files of the configuration that was refused since: once they are as they should be, it
    /// can take effect.
    refused: Vec<PathBuf>,
}

impl From<Config> for InEffect {
    fn from(config: Config) -> Self {
        Self { config, refused: Vec::new() }
    }
}

/// Everything that a reload replaces, read and checked.
struct Prepared {
    policy: Policy,
    rules: Rules,
    certificates: certificates::Prepared,
    token: NewToken,
    level: NewLevel,
}

impl Reloader {
    /// Reads everything again. If any part is invalid, nothing changes.
    fn reload(&self, running: &mut InEffect) -> Result<Reloaded, String> {
        self.sources.can_be_read_again().map_err(|error| error.to_string())?;
        let new = Config::load(&self.sources).map_err(|error| error.to_string())?;
        let wanted = wanted(&running.config, &new);
        let prepared = match self.prepare(&wanted) {
            Ok(prepared) => prepared,
            Err(error) => {
                running.refused = wanted.files();
                return Err(error);
            }
        };
        let changed = self.apply(prepared, &running.config, &wanted);
        let needs_restart = differences(&wanted, &new);
        *running = wanted.into();
        Ok(Reloaded { changed, needs_restart })
    }

    /// Reads and checks what `wanted` names. Changes nothing.
    fn prepare(&self, wanted: &Config) -> Result<Prepared, String> {
        let authenticator = &self.broker.authenticator;
        Ok(Prepared {
            policy: authenticator.read(wanted).map_err(|error| error.to_string())?,
            rules: Rules::load(wanted).map_err(|error| error.to_string())?,
            certificates: self.certificates.prepare(wanted).map_err(|error| error.to_string())?,
            token: NewToken::read(&wanted.http).map_err(|error| error.to_string())?,
            level: NewLevel::of(&wanted.telemetry.level).map_err(|error| error.to_string())?,
        })
    }

    /// Replaces everything. Returns the keys whose value or file has changed.
    fn apply(&self, prepared: Prepared, running: &Config, wanted: &Config) -> Vec<String> {
        let Prepared { policy, rules, certificates, token, level } = prepared;
        let mut changed = Vec::new();
        let mut note = |key: &str, differs: bool| {
            if differs {
                changed.push(key.to_owned());
            }
            differs
        };
        let token_key = wanted.http.token_file.as_ref().map_or("http.token", |_| "http.token_file");
        note(token_key, self.tokens.replace(token));
        note("listeners.*.tls", certificates.apply(&self.broker, &self.runtime));
        self.certificates.warn_of_changes();
        if note("auth", self.broker.authenticator.replace(policy)) {
            self.disconnect_removed_users();
        }
        note("acl", self.broker.replace_rules(rules));
        note("telemetry.level", self.level.set(level));
        if note("bridges", wanted.bridges != running.bridges) {
            self.bridges.replace(&wanted.bridges);
        }
        let limits = ReloadableSettings::from(wanted);
        if limits != ReloadableSettings::from(running) {
            let mut before = wanted.clone();
            take_limits(&mut before, running);
            changed.extend(differences(&before, wanted));
            self.broker.reload(limits);
        }
        changed
    }

    /// In the background: with many connections it takes a while, and the reload has been made.
    fn disconnect_removed_users(&self) {
        let broker = Arc::clone(&self.broker);
        self.runtime.spawn(async move {
            let disconnected = broker.disconnect_removed_users().await;
            if disconnected > 0 {
                tracing::info!(
                    disconnected,
                    "clients disconnected whose user was removed or whose password was changed"
                );
            }
        });
    }

    fn reload_and_tell(&self) -> Result<Reloaded, String> {
        // Held until the end, so that two reloads do not mix and the last one is remembered.
        let mut running = self.running.lock();
        let reloaded = self.reload(&mut running);
        self.broker.metrics.reloads.record(SystemTime::now(), reloaded.as_ref().err().cloned());
        match &reloaded {
            Ok(Reloaded { changed, needs_restart }) => tracing::info!(
                changed = changed.join(", "),
                needs_restart = needs_restart.join(", "),
                "configuration reloaded"
            ),
            Err(error) => tracing::error!(
                %error,
                "configuration not reloaded: the running configuration is unchanged"
            ),
        }
        reloaded
    }

    /// The reload as a function for the API.
    pub(super) fn as_reload(self: &Arc<Self>) -> Reload {
        let reloader = Arc::clone(self);
        Reload(Arc::new(move || reloader.reload_and_tell()))
    }

    /// The files whose changes are to be reloaded. Waits for a reload that has begun.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let running = self.running.lock();
        let mut files = files(&running.config, &self.sources);
        files.extend(running.refused.iter().cloned());
        files
    }
}

/// The files whose changes are to be reloaded while this configuration is in effect.
pub(super) fn files(config: &Config, sources: &Sources) -> Vec<PathBuf> {
    let mut files = config.files();
    files.extend(sources.file.clone());
    files
}

/// The running configuration, with what a reload applies of the new one.
fn wanted(running: &Config, new: &Config) -> Config {
    let mut wanted = running.clone();
    wanted.auth.clone_from(&new.auth);
    for (name, listener) in &mut wanted.listeners {
        let new = new.listeners.get(name);
        if let Some(new) = new {
            listener.auth.clone_from(&new.auth);
        }
        if listener.protocol.is_tls() {
            // A listener that is not in the file any more, or off, keeps the certificates that
            // it has until the restart. Its files are not read: they may be gone with it.
            let new = new.filter(|new| new.bind.is_on());
            listener.tls = new.and_then(|new| new.tls.clone());
        }
    }
    wanted.acl.clone_from(&new.acl);
    wanted.http.token = new.http.token.clone();
    wanted.http.token_file.clone_from(&new.http.token_file);
    wanted.telemetry.level.clone_from(&new.telemetry.level);
    wanted.bridges.clone_from(&new.bridges);
    take_limits(&mut wanted, new);
    wanted
}

/// Installs the handler: from now on SIGHUP does not end the process. Signals that arrive
/// before [`at_signal`] are kept for it.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Reloads at each SIGHUP, until the broker stops.
pub(super) async fn at_signal(mut hangup: Signal, reload: Reload, broker: Arc<Broker>) {
    loop {
        tokio::select! {
            signal = hangup.recv() => if signal.is_none() { return },
            () = broker.until_shut_down() => return,
        }
        let reload = reload.clone();
        // The result is logged.
        let _ = tokio::task::spawn_blocking(move || (reload.0)()).await;
    }
}

/// Copies the limits that apply without a restart.
fn take_limits(to: &mut Config, from: &Config) {
    to.bans.clone_from(&from.bans);
    to.limits.max_connections_per_address = from.limits.max_connections_per_address;
    to.limits.connection_rate_per_address = from.limits.connection_rate_per_address;
    to.limits.publish_rate = from.limits.publish_rate;
    to.limits.publish_bytes_rate = from.limits.publish_bytes_rate;
    to.mqtt.connect_timeout = from.mqtt.connect_timeout;
    to.mqtt.max_keep_alive = from.mqtt.max_keep_alive;
    to.session.max_sessions = from.session.max_sessions;
    to.session.max_subscriptions = from.session.max_subscriptions;
}

#[cfg(test)]
mod tests;
