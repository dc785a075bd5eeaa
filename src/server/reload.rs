//! Reloads the configuration while the broker runs: at SIGHUP, or by the API.
//!
//! It applies changes to `[auth]` with the password file, to the API token and to the log
//! level. Other differences are logged and take effect after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::broker::Broker;
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
}

impl Reloader {
    /// Reads everything again. If any part is invalid, nothing changes.
    fn reload(&self) -> Result<Reloaded, String> {
        // Held until the end, so that two reloads do not mix.
        let mut running = self.running.lock();
        self.sources.can_be_read_again().map_err(|error| error.to_string())?;
        let new = Config::load(&self.sources).map_err(|error| error.to_string())?;
        let mut reloaded = Reloaded::default();
        let mut wanted = running.clone();
        wanted.auth.clone_from(&new.auth);
        wanted.http.token = new.http.token.clone();
        wanted.http.token_file.clone_from(&new.http.token_file);
        wanted.telemetry.level.clone_from(&new.telemetry.level);
        // Steps that may fail come first; the last of them already changes something.
        let authenticator = &self.broker.authenticator;
        let passwords = authenticator.read(&wanted).map_err(|error| error.to_string())?;
        if self.tokens.reload(&wanted.http).map_err(|error| error.to_string())? {
            let file = wanted.http.token_file.is_some();
            reloaded.changed.push(if file { "http.token_file" } else { "http.token" }.to_owned());
        }
        if authenticator.replace(passwords) {
            reloaded.changed.push("auth".to_owned());
        }
        if self.level.get() != wanted.telemetry.level {
            // The level was validated with the rest of the configuration.
            self.level.set(&wanted.telemetry.level).map_err(|error| error.to_string())?;
            reloaded.changed.push("telemetry.level".to_owned());
        }
        *running = wanted;
        reloaded.needs_restart = differences(&running, &new);
        Ok(reloaded)
    }

    fn reload_and_tell(&self) -> Result<Reloaded, String> {
        let reloaded = self.reload();
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
    pub(super) fn into_reload(self) -> Reload {
        let reloader = Arc::new(self);
        Reload(Arc::new(move || reloader.reload_and_tell()))
    }
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
}
