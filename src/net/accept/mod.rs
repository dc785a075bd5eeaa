//! What happens on an accepted connection before its CONNECT: the PROXY header, then the
//! layers of the listener's protocol. Each step has a time limit that it shares with CONNECT,
//! ends with the broker, and runs in the connection's own task, so that it holds up nobody; what
//! computes for long waits for a turn.
//!
//! What a layer says on the wire is in its own module; here is their order, and what follows
//! from a step that fails.

mod layers;
mod refusal;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

pub use layers::Layers;

use self::refusal::{Refusal, Step};
use super::handshake::{self, Origin};
use super::proxy_protocol::{Opening, Proxies};
use super::transport::{AnyStream, ByteStream, Established};
use super::websocket::{self, WebSocketSettings};
use crate::auth::bans::Admitted;
use crate::broker::{Broker, Load};
use crate::config::{self, Protocol};
use crate::peer::{self, PeerAddr, Security};
use crate::telemetry::{OpenConnection, TlsSession};

/// How the connections of one listener are opened.
#[derive(Debug)]
pub struct Pipeline {
    /// The listener's name.
    pub listener: Arc<str>,
    protocol: Protocol,
    /// See [`Origin::loopback`].
    loopback: bool,
    proxies: Option<Proxies>,
    layers: Layers,
}

/// A connection whose layers are established.
enum Opened<S> {
    /// MQTT is in its bytes.
    Bare(Established<S>),
    Layered(Established<AnyStream>),
}

/// What a connection holds until it ends.
#[derive(Default)]
struct Held {
    /// The place of its address, if a proxy has named it.
    admitted: Option<Admitted>,
}

impl Pipeline {
    /// As the listener of this name is configured.
    pub fn new(name: &str, listener: &config::Listener, layers: Layers) -> Self {
        Self {
            listener: name.into(),
            protocol: listener.protocol,
            loopback: listener.is_local(),
            proxies: Proxies::of(listener),
            layers,
        }
    }

    /// For a connection that any means have accepted, without a proxy.
    pub fn of(origin: &Origin, layers: Layers) -> Self {
        Self {
            listener: Arc::clone(&origin.listener),
            protocol: origin.protocol,
            loopback: origin.loopback,
            proxies: None,
            layers,
        }
    }

    /// True if MQTT begins with the first byte, so that there is nothing to do here.
    pub fn is_bare(&self) -> bool {
        self.proxies.is_none() && self.layers.is_plain()
    }

    /// The origin of a connection from `peer`.
    pub fn origin(&self, peer: PeerAddr) -> Origin {
        Origin {
            listener: Arc::clone(&self.listener),
            protocol: self.protocol,
            loopback: self.loopback,
            peer,
            is_proxy: self.awaits_client(peer),
            certificate: None,
            client: None,
        }
    }

    /// True if the client's address is not that of `peer`, a proxy that is believed and will name
    /// it.
    fn awaits_client(&self, peer: PeerAddr) -> bool {
        let PeerAddr::Inet(address) = peer else { return false };
        // One that is not believed is refused, but only once it has sent a byte.
        self.proxies.as_ref().is_some_and(|proxies| proxies.trusts(address.ip()))
            || self.forwards(peer)
    }

    /// True if `peer` is believed about a client in `X-Forwarded-For`.
    fn forwards(&self, peer: PeerAddr) -> bool {
        let PeerAddr::Inet(peer) = peer else { return false };
        let trusts = |settings: &Arc<WebSocketSettings>| {
            peer::is_within(peer.ip(), &settings.trusted_proxies)
        };
        self.layers.websocket.as_ref().is_some_and(trusts)
    }

    /// Takes over whom a proxy has named, and asks whether that client may connect, unless it is
    /// a proxy itself.
    fn admit(
        &self,
        broker: &Broker,
        origin: &mut Origin,
        held: &mut Held,
        client: SocketAddr,
        is_proxy: bool,
    ) -> Result<(), Refusal> {
        (origin.peer, origin.is_proxy) = (client.into(), is_proxy);
        if !is_proxy {
            let admitted = broker.admit(origin.peer, &self.listener);
            held.admitted = Some(admitted.map_err(Refusal::NotAdmitted)?);
        }
        Ok(())
    }

    /// Serves a connection until it ends. `origin` is completed by what proxies and layers say.
    pub async fn serve<S>(
        self: Arc<Self>,
        broker: Arc<Broker>,
        stream: S,
        mut origin: Origin,
        counted: OpenConnection,
        until: Instant,
    ) where
        S: ByteStream + 'static,
    {
        let mut held = Held::default();
        // Boxed, so that it takes no room in the task while the connection lives.
        let opened = Box::pin(self.open(&broker, stream, &mut origin, &mut held, until)).await;
        // Nothing of it is needed any more, and the connection may live for long.
        drop(self);
        match opened {
            Ok(Opened::Bare(stream)) => {
                handshake::serve(broker, stream, origin, counted, until).await;
            }
            Ok(Opened::Layered(stream)) => {
                handshake::serve(broker, stream, origin, counted, until).await;
            }
            Err(refusal) => refusal.tell(&broker, &origin, &counted),
        }
        drop(held);
    }

    async fn open<S>(
        &self,
        broker: &Broker,
        mut stream: S,
        origin: &mut Origin,
        held: &mut Held,
        until: Instant,
    ) -> Result<Opened<S>, Refusal>
    where
        S: ByteStream + 'static,
    {
        if let Some(proxies) = &self.proxies {
            let read = proxies.read(&mut stream, origin.peer);
            match within(broker, until, Step::ProxyHeader, read).await? {
                Opening::Client(Some(client)) => {
                    // It may be a proxy behind this one, which names its client by HTTP.
                    let is_proxy = self.forwards(client.into());
                    self.admit(broker, origin, held, client, is_proxy)?;
                }
                Opening::Client(None) => {}
                Opening::Probe => return Err(Refusal::Probe),
            }
        }
        let Layers { tls, websocket } = &self.layers;
        if let Some(context) = tls {
            let turn = || broker.turns.wait(Load::Handshake);
            let memory = broker.connect_memory.share();
            let handshake = context.accept(stream, memory, turn);
            let stream = within(broker, until, Step::Tls, handshake).await?;
            let session = if stream.is_resumed() { TlsSession::Resumed } else { TlsSession::New };
            broker.metrics.connections.tls_handshakes.inc(session);
            if let Some(client) = stream.client() {
                origin.certificate = Some(Arc::clone(client.certificate()));
                origin.client = Some(Arc::new(context.open_client(client.clone())));
            }
            let stream = self.layered(broker, stream, (origin, held), Security::Tls, until);
            return stream.await.map(Opened::Layered);
        }
        if websocket.is_some() {
            let stream = self.layered(broker, stream, (origin, held), Security::Plain, until);
            return stream.await.map(Opened::Layered);
        }
        Ok(Opened::Bare(Established::new(stream, origin.peer, Security::Plain)))
    }

    /// What is above TLS, or above TCP without TLS.
    async fn layered<S>(
        &self,
        broker: &Broker,
        stream: S,
        (origin, held): (&mut Origin, &mut Held),
        security: Security,
        until: Instant,
    ) -> Result<Established<AnyStream>, Refusal>
    where
        S: ByteStream + 'static,
    {
        let stream: AnyStream = match &self.layers.websocket {
            None => Box::new(stream),
            Some(settings) => {
                let memory = broker.connect_memory.share();
                let accepted = websocket::accept(stream, origin.peer, settings, memory);
                let (stream, upgrade) = within(broker, until, Step::WebSocket, accepted).await?;
                if let Some(client) = upgrade.forwarded_for {
                    self.admit(broker, origin, held, SocketAddr::new(client, 0), false)?;
                }
                Box::new(stream)
            }
        };
        Ok(Established::new(stream, origin.peer, security).with_close())
    }
}

/// Awaits one step.
async fn within<T, E>(
    broker: &Broker,
    until: Instant,
    step: Step,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Refusal>
where
    Refusal: From<E>,
{
    tokio::select! {
        biased;
        done = future => Ok(done?),
        () = broker.until_shut_down() => Err(Refusal::ShutDown),
        () = tokio::time::sleep_until(until) => Err(Refusal::Late(step)),
    }
}

#[cfg(test)]
mod tests;
