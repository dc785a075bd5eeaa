//! One attempt of a link: what is sent to the other end, with the password as it is now, and over
//! which transport. When attempts are made is decided in `link.rs`.

use std::sync::Arc;

use tokio::time::Instant;

use super::backoff::LEAST;
use super::dialect::Dialect;
use super::failed::{Failed, OtherDialect};
use super::files;
use super::link::Link;
use super::status::Failure;
use super::terms;
use crate::broker::bridge::{LISTENER, principal_of};
use crate::broker::client::{Dialled, Notice};
use crate::config::BridgeAddress;
use crate::net::dial::{self, Dial, Endpoint, LoggedIn};
use crate::net::{AnyStream, Established};
use crate::protocol::{QoS, Version, hops};

impl Link {
    /// What is sent to the other end.
    pub(super) async fn dial(&self, dialect: Dialect) -> Result<Dial, Failed> {
        let (name, bridge) = (&*self.name, &self.bridge);
        let password = self.password().await?;
        let most = self.broker.settings.max_packet_size;
        let mut connect = terms::connect_of(name, bridge, dialect.current(), password, most);
        // Some services refuse a CONNECT with user properties.
        if bridge.try_private && dialect.current().0 == Version::V5 {
            let own = self.broker.identity.to_string();
            connect.user_properties.push((hops::BROKER.to_owned(), own));
        }
        let notice = terms::notification(name, bridge).map(|topic| Notice { topic, payload: b"1" });
        Ok(Dial {
            connect,
            session: principal_of(name),
            listener: LISTENER.into(),
            dialled: Dialled {
                forward: self.subscriptions.forward.clone(),
                subscribe: self.subscriptions.subscribe.clone(),
                terms: Arc::clone(&self.terms),
                notice,
            },
        })
    }

    /// The password, read from its file at each dial: tokens are renewed.
    async fn password(&self) -> Result<Option<Vec<u8>>, Failed> {
        if self.bridge.password_file.is_none() {
            return files::password(&self.name, &self.bridge).map_err(Failed::before);
        }
        let (name, bridge) = (Arc::clone(&self.name), self.bridge.clone());
        let read = tokio::task::spawn_blocking(move || files::password(&name, &bridge)).await;
        read.map_err(|error| Failed::before(error.to_string()))?.map_err(Failed::before)
    }

    /// Connects and logs in to an address. Sets `asked_at` when it sends CONNECT, which is a
    /// second after the last one at least.
    pub(super) async fn open(
        &self,
        address: &BridgeAddress,
        dial: &Dial,
        asked_at: &mut Option<Instant>,
    ) -> Result<LoggedIn<Established<AnyStream>>, Failed> {
        let deadline = Instant::now() + self.broker.connect_settings().connect_timeout;
        let endpoint = self.endpoint(address);
        let opened = dial::open(&self.broker, &endpoint, deadline).await;
        let stream = opened.map_err(|error| Failed::before(error.to_string()))?;
        if let Some(last) = *asked_at {
            tokio::time::sleep_until(last + LEAST).await;
        }
        *asked_at = Some(Instant::now());
        let logged_in = dial::log_in(&self.broker, stream, &dial.connect).await;
        let logged_in = logged_in.map_err(|error| Failed::refused(&error))?;
        let takes = logged_in.connack.maximum_qos.unwrap_or(QoS::ExactlyOnce);
        let forwards = self.subscriptions.forward.iter().map(|line| line.options.qos).max();
        if takes == QoS::AtMostOnce && forwards.is_some_and(|qos| qos > QoS::AtMostOnce) {
            return Err(Failed {
                kind: Failure::Refused,
                why: format!(
                    "the server takes messages at QoS 0 only, which would lose them: set qos = 0 \
                     in each rule of bridges.{}.forward",
                    self.name
                ),
                other_dialect: OtherDialect::No,
                asked: true,
            });
        }
        Ok(logged_in)
    }

    fn endpoint(&self, address: &BridgeAddress) -> Endpoint {
        let tls = address.scheme().is_tls().then(|| Arc::new(files::client_tls(&self.bridge)));
        Endpoint {
            host: address.host().to_owned(),
            port: address.port(),
            tls,
            websocket_path: address.path().map(str::to_owned),
        }
    }
}
