//! Reloads the configuration while the broker runs: at SIGHUP, by the API, or when a file that
//! it names has changed.
//!
//! It applies changes to `[auth]` and `[listeners.NAME.auth]` with the files that they name, to
//! `[acl]` with its file, to `[listeners.NAME.tls]` with its certificates, to the API token, to
//! the log level, to `[bans]`, and to the limits in [`take_limits`]. Other differences are logged
//! and take effect after a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::certificates::Certificates;
use crate::auth::acl::Rules;
use crate::broker::{Broker, ReloadableSettings};
use crate::config::{Config, Sources};
use crate::http::Tokens;
use crate::http::api::{Reload, Reloaded};
use crate::telemetry::LogLevel;

/// The parts that a reload uses.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// The configuration in effect, as it was read: `auto` is not resolved.
    pub(super) running: Mutex<Config>,
    pub(super) broker: Arc<Broker>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) level: LogLevel,
    pub(super) certificates: Certificates,
    /// Where clients are disconnected.
    pub(super) runtime: tokio::runtime::Handle,
}

impl Reloader {
    /// Reads everything again. If any part is invalid, nothing changes.
    fn reload(&self, running: &mut Config) -> Result<Reloaded, String> {
        self.sources.can_be_read_again().map_err(|error| error.to_string())?;
        let new = Config::load(&self.sources).map_err(|error| error.to_string())?;
        let mut reloaded = Reloaded::default();
        let mut wanted = running.clone();
        wanted.auth.clone_from(&new.auth);
        for (name, listener) in &mut wanted.listeners {
            if let Some(new) = new.listeners.get(name) {
                listener.auth.clone_from(&new.auth);
                if listener.protocol.is_tls() && new.protocol.is_tls() {
                    listener.tls.clone_from(&new.tls);
                }
            }
        }
        wanted.acl.clone_from(&new.acl);
        wanted.http.token = new.http.token.clone();
        wanted.http.token_file.clone_from(&new.http.token_file);
        wanted.telemetry.level.clone_from(&new.telemetry.level);
        take_limits(&mut wanted, &new);
        // Steps that may fail come first; the last of them already changes something.
        let authenticator = &self.broker.authenticator;
        let policy = authenticator.read(&wanted).map_err(|error| error.to_string())?;
        let rules = Rules::load(&wanted).map_err(|error| error.to_string())?;
        let prepared = self.certificates.prepare(&wanted).map_err(|error| error.to_string())?;
        if self.tokens.reload(&wanted.http).map_err(|error| error.to_string())? {
            let file = wanted.http.token_file.is_some();
            reloaded.changed.push(if file { "http.token_file" } else { "http.token" }.to_owned());
        }
        let applied = prepared.apply(&self.broker, &self.runtime);
        if applied.map_err(|error| error.to_string())? {
            reloaded.changed.push("listeners.*.tls".to_owned());
        }
        self.certificates.warn();
        if authenticator.replace(policy) {
            reloaded.changed.push("auth".to_owned());
            self.disconnect_removed_users();
        }
        if self.broker.rules.replace(rules) {
            reloaded.changed.push("acl".to_owned());
        }
        if self.level.get() != wanted.telemetry.level {
            // The level was validated with the rest of the configuration.
            self.level.set(&wanted.telemetry.level).map_err(|error| error.to_string())?;
            reloaded.changed.push("telemetry.level".to_owned());
        }
        let limits = ReloadableSettings::from(&wanted);
        if limits != ReloadableSettings::from(&*running) {
            let mut before = wanted.clone();
            take_limits(&mut before, running);
            reloaded.changed.extend(differences(&before, &wanted));
            self.broker.reload(limits);
        }
        *running = wanted;
        reloaded.needs_restart = differences(running, &new);
        Ok(reloaded)
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
        files(&self.running.lock(), &self.sources)
    }
}

/// The files whose changes are to be reloaded while this configuration is in effect.
pub(super) fn files(config: &Config, sources: &Sources) -> Vec<PathBuf> {
    let mut files = config.files();
    files.extend(sources.file.clone());
    files
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

/// Keys whose values differ, without the values, since some are secret.
fn differences(running: &Config, new: &Config) -> Vec<String> {
    let (running, new) = (flatten(running), flatten(new));
    let keys = running.keys().chain(new.keys());
    let mut keys: Vec<String> =
        keys.filter(|key| running.get(*key) != new.get(*key)).cloned().collect();
    keys.sort();
    keys.dedup();
    keys
}

fn flatten(config: &Config) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: Value, flat: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    walk(&format!("{prefix}{dot}{key}"), value, flat);
                }
            }
            value => {
                flat.insert(prefix.to_owned(), value);
            }
        }
    }
    let mut flat = BTreeMap::new();
    // Serialization cannot fail for these types.
    walk("", serde_json::to_value(config).unwrap_or_default(), &mut flat);
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_and_no_others() {
        let (a, mut b) = (Config::default(), Config::default());
        assert!(differences(&a, &b).is_empty());
        b.mqtt.receive_maximum = 7;
        let listener = a.listeners.get("tcp").unwrap().clone();
        b.listeners.insert("other".into(), listener);
        let keys = differences(&a, &b);
        assert!(keys.contains(&"mqtt.receive_maximum".to_owned()), "{keys:?}");
        assert!(keys.contains(&"listeners.other.bind".to_owned()), "{keys:?}");
        assert!(!keys.iter().any(|key| key.starts_with("listeners.tcp")), "{keys:?}");
    }

    #[test]
    fn limits_apply_without_a_restart() {
        let mut new = Config::default();
        new.bans.max_failures = 5;
        new.limits.max_connections_per_address = 10;
        new.limits.connection_rate_per_address = 10;
        new.limits.publish_rate = 100;
        new.limits.publish_bytes_rate = crate::config::ByteSize::mib(1);
        new.mqtt.connect_timeout = crate::config::Span::seconds(1);
        new.mqtt.max_keep_alive = crate::config::Span::hours(1);
        new.session.max_sessions = 10;
        new.session.max_subscriptions = 10;
        let changed = differences(&Config::default(), &new);
        assert_eq!(changed.len(), 9);
        // Operators and the chart rely on the same list.
        let manual = include_str!("../../docs/admin-api.md");
        let chart = include_str!("../../helm/ferrymq/templates/_config.tpl");
        for key in changed {
            let (table, name) = key.split_once('.').unwrap();
            let is_said = manual.contains(&format!("`{key}`"));
            assert!(is_said || manual.contains(&format!("- `[{table}]`,")), "{key}");
            let is_left_out = chart.contains(&format!("\"{name}\""));
            assert!(is_left_out || chart.contains(&format!("\"{table}\" -}}}}")), "{key}");
        }
        let mut running = Config::default();
        take_limits(&mut running, &new);
        assert!(differences(&running, &new).is_empty());
        assert_eq!(ReloadableSettings::from(&running), ReloadableSettings::from(&new));
    }
}
