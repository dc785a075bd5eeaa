//! The configuration: layers in, one typed and checked [`Config`] out.
//!
//! Later layers override earlier ones: built-in defaults, the TOML file, environment variables
//! (`FERRYMQ_TABLE__KEY`), `--set TABLE.KEY=VALUE`. Each error is one line that names the key,
//! the layer and what is allowed. The defaults of all keys are in `Default`;
//! `config/ferrymq.toml` shows them, and a test compares the two.
//!
//! Types, defaults, ranges and error messages live here. The module that reads a value decides
//! what it does; nothing here opens a socket or a database.

#[macro_use]
mod text;

mod access;
mod acl;
mod acl_check;
mod auth_methods;
mod auto_count;
mod auto_size;
mod auto_sizing;
mod bans;
mod bind;
mod bridge_address;
mod bridge_rule;
mod bridges;
mod byte_size;
mod error;
mod explain;
mod files;
mod hosts;
mod http;
mod list;
mod listen_at;
mod listener;
mod mqtt;
mod network;
mod persistence;
mod process;
mod ratio;
mod regular;
mod secret;
mod session;
mod show;
mod sources;
mod span;
mod telemetry;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use access::{Anonymous, Auth, Method};
pub use acl::{Acl, AclAction, AclEffect, AclRule};
pub use auth_methods::{
    AuthCertificate, AuthHttp, AuthJwt, AuthScram, CertificateName, TokenMatch,
};
pub use auto_count::AutoCount;
pub use auto_size::AutoSize;
pub use auto_sizing::Sizes;
pub use bans::Bans;
pub use bind::Bind;
pub use bridge_address::{BridgeAddress, BridgeScheme};
pub use bridge_rule::BridgeRule;
pub use bridges::{Bridge, BridgeRate, BridgeTls, BridgeVersion, OnRefused};
pub use byte_size::ByteSize;
pub use error::{ConfigError, Origin};
pub use hosts::Hosts;
pub use http::{Http, check_token};
pub use list::List;
pub use listen_at::ListenAt;
pub use listener::{
    ClientAuth, ExpiredCrl, Listener, ListenerAuth, ListenerTls, ListenerWebSocket, Mode, Protocol,
    ProxyProtocol, TlsVersion,
};
pub use mqtt::{Mqtt, OnDenied, OnFull};
pub use network::Limits;
pub use persistence::{Checkpoints, Durability, Persistence};
pub use process::Runtime;
pub use ratio::Ratio;
pub use regular::{is_readable_by_all, must_be_regular};
pub use secret::Secret;
pub use session::{Overflow, Session};
pub use sources::Sources;
pub use span::Span;
pub use telemetry::{ENDPOINTS, LOG_LEVELS, LogFormat, Telemetry, is_endpoint, is_log_level};

/// All configuration keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[listeners.NAME]`: where MQTT clients connect.
    pub listeners: BTreeMap<String, Listener>,
    /// `[http]`: metrics, health, the admin API and the console.
    pub http: Http,
    /// `[auth]`: who may connect.
    pub auth: Auth,
    /// `[acl]`: what clients may do.
    pub acl: Acl,
    /// `[bans]`: addresses that may not connect for a while.
    pub bans: Bans,
    /// `[mqtt]`: what a single connection may do.
    pub mqtt: Mqtt,
    /// `[session]`: what is kept for a client.
    pub session: Session,
    /// `[limits]`: bounds over all clients.
    pub limits: Limits,
    /// `[persistence]`: the database file.
    pub persistence: Persistence,
    /// `[bridges.NAME]`: other brokers that messages are exchanged with.
    pub bridges: BTreeMap<String, Bridge>,
    /// `[telemetry]`: logs, and what is pushed to a collector.
    pub telemetry: Telemetry,
    /// `[runtime]`: the process.
    pub runtime: Runtime,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::from([("tcp".to_owned(), Listener::default())]),
            http: Http::default(),
            auth: Auth::default(),
            acl: Acl::default(),
            bans: Bans::default(),
            mqtt: Mqtt::default(),
            session: Session::default(),
            limits: Limits::default(),
            persistence: Persistence::default(),
            bridges: BTreeMap::new(),
            telemetry: Telemetry::default(),
            runtime: Runtime::default(),
        }
    }
}

impl Config {
    /// The defaults, with the optional tables of the listener `tcp` that a listener has only if
    /// they are written, and with a bridge `up`. Shows what keys there are; no valid
    /// configuration.
    pub fn with_all_tables() -> Self {
        let auth = Auth::default();
        let listener = Listener {
            tls: Some(ListenerTls::default()),
            websocket: Some(ListenerWebSocket::default()),
            auth: Some(ListenerAuth {
                methods: Some(auth.methods.clone()),
                require: Some(auth.require.clone()),
                allow_anonymous: Some(auth.allow_anonymous),
            }),
            ..Listener::default()
        };
        let listeners = BTreeMap::from([("tcp".to_owned(), listener)]);
        let bridges = BTreeMap::from([("up".to_owned(), Bridge::example())]);
        Self { listeners, auth, bridges, ..Self::default() }
    }

    /// Reads, merges and checks the layers.
    ///
    /// # Errors
    /// The first problem that is found.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        Self::checked(sources, validate::check)
    }

    /// As [`Config::load`], but without the checks that only a broker needs: authentication on
    /// open listeners, and at least one listener. For commands that do not serve, such as
    /// `ferrymq db`.
    ///
    /// # Errors
    /// The first problem that is found.
    pub fn load_without_serving(sources: &Sources) -> Result<Self, ConfigError> {
        Self::checked(sources, validate::values)
    }

    fn checked(sources: &Sources, check: validate::Check) -> Result<Self, ConfigError> {
        let figment = sources.merge()?;
        let config = figment.extract().map_err(|error| explain::explain(&figment, &error))?;
        check(&config).map_err(|problem| ConfigError::Key {
            origin: explain::origin(&figment, &problem.key),
            key: problem.key,
            problem: problem.text,
        })?;
        Ok(config)
    }
}

/// Checks bridges that are not in a configuration yet.
///
/// # Errors
/// The first key that is wrong, and why, in one line.
pub fn check_bridges(bridges: &BTreeMap<String, Bridge>) -> Result<(), String> {
    validate::bridges::values(bridges)
        .map_err(|problem| format!("{}: {}", problem.key, problem.text))
}

#[cfg(test)]
mod tests;
