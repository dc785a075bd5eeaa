//! What carries a history's connections: their bytes as they are, TLS, WebSocket, or WebSocket
//! in TLS. The broker's side is that of a listener; the client's side is here, without I/O.

mod tls;
mod websocket;

use std::sync::Arc;

use ferrymq::config::{Config, ListenerTls, Protocol};
use ferrymq::net::tls::TlsContext;
use ferrymq::net::websocket::WebSocketSettings;
use ferrymq::net::{Layers, Origin, serve_layers};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::api::{World, origin};
use crate::common;
use crate::common::rng::Rng;
use crate::executor::Job;
use crate::shape::Carrier;
use crate::stream::ServerEnd;

/// One layer of the client's side.
pub trait Layer: std::fmt::Debug {
    /// Encodes all of `plain`, or keeps it until it can be encoded, and appends what is to be
    /// sent to `out`.
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>);

    /// Decodes what has arrived.
    fn open(&mut self, arrived: &[u8], plain: &mut Vec<u8>);

    /// True if everything that was given to [`Layer::seal`] is encoded.
    fn is_established(&self) -> bool;

    /// Appends the goodbye of the layer.
    fn close(&mut self, out: &mut Vec<u8>);
}

/// The layers of one connection on the client's side, that of MQTT first.
#[derive(Debug, Default)]
pub struct Layered(Vec<Box<dyn Layer>>);

impl Layered {
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let mut bytes = plain.to_vec();
        for layer in &mut self.0 {
            let mut sealed = Vec::new();
            layer.seal(&bytes, &mut sealed);
            bytes = sealed;
        }
        out.extend(bytes);
    }

    pub fn open(&mut self, arrived: Vec<u8>) -> Vec<u8> {
        self.0.iter_mut().rev().fold(arrived, |arrived, layer| {
            let mut plain = Vec::new();
            layer.open(&arrived, &mut plain);
            plain
        })
    }

    pub fn is_established(&self) -> bool {
        self.0.iter().all(|layer| layer.is_established())
    }

    /// Says goodbye in all layers.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        let mut bytes = Vec::new();
        for layer in &mut self.0 {
            let mut sealed = Vec::new();
            layer.seal(&bytes, &mut sealed);
            layer.close(&mut sealed);
            bytes = sealed;
        }
        out.extend(bytes);
    }
}

/// Both sides of what carries a history's connections.
pub struct Carriers {
    carrier: Carrier,
    layers: Layers,
    /// One for each version of TLS, which resume sessions.
    clients: Vec<Arc<ClientConfig>>,
}

impl Carriers {
    pub fn new(carrier: Carrier) -> Self {
        let mut carriers = Self { carrier, layers: Layers::default(), clients: Vec::new() };
        if matches!(carrier, Carrier::Tls | Carrier::SecureWebSocket) {
            let [certificate, key] = common::tls::ed25519_files();
            let settings = ListenerTls {
                certificate_file: Some(certificate),
                key_file: Some(key),
                ..ListenerTls::default()
            };
            let is_websocket = carrier == Carrier::SecureWebSocket;
            let context = TlsContext::load("test", is_websocket, &settings).unwrap();
            carriers.layers.tls = Some(Arc::new(context));
            carriers.clients = [&TLS13, &TLS12].map(|of| common::tls::client(of, true)).into();
        }
        if matches!(carrier, Carrier::WebSocket | Carrier::SecureWebSocket) {
            let most = u32::try_from(Config::default().mqtt.max_packet_size.bytes()).unwrap();
            let settings = WebSocketSettings::new("/mqtt", &[], &[], most);
            carriers.layers.websocket = Some(Arc::new(settings));
        }
        carriers
    }

    /// The task that serves a stream, as a listener would start it.
    pub fn serve(&self, world: &World, stream: ServerEnd) -> Job {
        if self.carrier == Carrier::Plain {
            return world.serve(stream);
        }
        let protocol = match self.carrier {
            Carrier::Plain => Protocol::Mqtt,
            Carrier::Tls => Protocol::Mqtts,
            Carrier::WebSocket => Protocol::Ws,
            Carrier::SecureWebSocket => Protocol::Wss,
        };
        let origin = Origin { protocol, ..origin() };
        Box::pin(serve_layers(Arc::clone(&world.broker), stream, self.layers.clone(), origin))
    }

    /// The client's side of a new connection.
    pub fn client(&self, rng: &mut Rng) -> Layered {
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        if self.layers.websocket.is_some() {
            layers.push(Box::new(websocket::Client::new(rng.fork())));
        }
        if self.layers.tls.is_some() {
            layers.push(Box::new(tls::Client::new(rng.pick(&self.clients))));
        }
        Layered(layers)
    }
}
