//! A server that the broker dials: the broker subscribes there, and forwards to it what its
//! session at the broker is subscribed to.

use ferrymq::broker::client::Dialled;
use ferrymq::protocol::{
    ConnAck, Packet, ReasonCode, RetainHandling, SubAck, SubscribeFilter, SubscriptionOptions,
    TopicFilter, Version,
};

use super::{Client, qos_of};
use crate::common::rng::Rng;
use crate::model::Model;

#[derive(Debug, Clone)]
pub(super) struct Server {
    forward: Vec<(&'static str, u8)>,
    subscribe: usize,
    /// True if it answers SUBSCRIBE and PINGREQ.
    answers: bool,
    /// Number of PINGREQs received.
    pinged: usize,
}

impl Client {
    /// Makes the client a server that the broker dials.
    pub fn becomes_server(&mut self, rng: &mut Rng) {
        self.durable = true;
        let count = rng.index(3);
        let filters = ["t/0", "t/+", "u/#", "#"];
        let forward = (0..count).map(|_| (*rng.pick(&filters), [1, 2][rng.index(2)])).collect();
        // Of one SUBSCRIBE, and of several.
        let subscribe = *rng.pick(&[1, 8, 20]);
        self.server = Some(Server { forward, subscribe, answers: true, pinged: 0 });
    }

    /// As [`Client::becomes_server`], with the given filters to forward.
    pub fn is_to_be_dialled(&mut self, forward: &[(&'static str, u8)]) {
        self.durable = true;
        let forward = forward.to_vec();
        self.server = Some(Server { forward, subscribe: 1, answers: true, pinged: 0 });
    }

    /// Sets whether it answers SUBSCRIBE and PINGREQ.
    pub fn answers(&mut self, answers: bool) {
        self.server.as_mut().expect("a server").answers = answers;
    }

    /// Number of PINGREQs received.
    pub fn pinged(&self) -> usize {
        self.server.as_ref().expect("a server").pinged
    }

    /// Discards its session state, but not the messages that it is owed.
    pub fn forgets_session(&mut self) {
        self.has_session = false;
        self.outgoing.clear();
        self.next_packet_id = 0;
    }

    pub fn is_server(&self) -> bool {
        self.server.is_some()
    }

    /// Before MQTT 5.0, only clients may send DISCONNECT.
    pub fn may_disconnect(&self) -> bool {
        !self.is_server() || self.version == Version::V5
    }

    /// What the broker does on this connection.
    pub fn dialled(&self) -> Option<Dialled> {
        let server = self.server.as_ref()?;
        let line = |filter: &str, qos| SubscribeFilter {
            filter: TopicFilter::new(filter).unwrap(),
            options: SubscriptionOptions {
                qos: qos_of(qos),
                retain_handling: RetainHandling::IfNew,
                ..SubscriptionOptions::default()
            },
        };
        Some(Dialled {
            forward: server.forward.iter().map(|(filter, qos)| line(filter, *qos)).collect(),
            subscribe: (0..server.subscribe).map(|n| line(&format!("remote/{n}"), 1)).collect(),
            ..Dialled::default()
        })
    }

    fn is_answering(&self) -> bool {
        self.server.as_ref().is_some_and(|server| server.answers)
    }

    /// Packets that only clients send.
    pub(super) fn on_client_packet(&mut self, packet: &Packet<'_>, model: &mut Model) {
        match packet {
            Packet::Connect(_) => {
                let wire = self.wire.as_mut().expect("a connection");
                wire.is_opened();
                let present = self.has_session;
                self.send(&Packet::ConnAck(Box::new(ConnAck {
                    session_present: present,
                    receive_maximum: self.receive_maximum,
                    maximum_packet_size: self.max_packet,
                    ..ConnAck::default()
                })));
                self.opened(present, model);
            }
            Packet::Subscribe(_) | Packet::PingReq if !self.is_answering() => {}
            Packet::Subscribe(subscribe) => {
                assert!(subscribe.filters.len() <= 8, "{} filters", subscribe.filters.len());
                self.send(&Packet::SubAck(Box::new(SubAck {
                    packet_id: subscribe.packet_id,
                    reasons: vec![ReasonCode::GrantedQoS1; subscribe.filters.len()],
                    reason_string: None,
                    user_properties: Vec::new(),
                })));
                // Its own subscriptions at the broker were made before.
                let server = self.server.clone().expect("a server");
                for (filter, _) in server.forward {
                    model.subscribed(self.index, filter);
                }
            }
            Packet::PingReq => {
                self.server.as_mut().expect("a server").pinged += 1;
                self.send(&Packet::PingResp);
            }
            other => panic!("a client does not send {other:?}"),
        }
    }
}
