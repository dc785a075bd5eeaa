//! The client library rumqttc with MQTT 3.1.1 and 5.0: messages of each QoS, and a persistent
//! session over `kill -9`.

#![allow(clippy::unwrap_used, clippy::panic)] // As inside the crate's tests.

mod common;

use std::time::Duration;

use common::broker::Broker;

const TIMEOUT: Duration = Duration::from_secs(20);
const COUNT: usize = 50;

/// The same code for both versions, whose types only share their names.
macro_rules! client_tests {
    ($module:ident, $($path:ident)::+, $qos:path, $connect:expr, $publish:path) => {
        mod $module {
            use super::*;
            use $($path)::+::{Client, Connection, Event, MqttOptions};
            use $publish as Incoming;
            use $qos as QoS;

            fn connect(broker: &Broker, id: &str, durable: bool) -> (Client, Connection) {
                let mut options = MqttOptions::new(id, "127.0.0.1", broker.port);
                options.set_keep_alive(Duration::from_secs(30));
                let configure: fn(&mut MqttOptions, bool) = $connect;
                configure(&mut options, durable);
                Client::new(options, 1000)
            }

            fn next(connection: &mut Connection) -> Event {
                connection.recv_timeout(TIMEOUT).unwrap().unwrap()
            }

            fn await_suback(connection: &mut Connection) {
                while !matches!(next(connection), Event::Incoming(Incoming::SubAck(_))) {}
            }

            fn await_published(connection: &mut Connection, count: usize) {
                let mut acknowledged = 0;
                while acknowledged < count {
                    if let Event::Incoming(Incoming::PubAck(_) | Incoming::PubComp(_)) = next(connection) {
                        acknowledged += 1;
                    }
                }
            }

            fn receive(connection: &mut Connection, count: usize) -> Vec<String> {
                let mut payloads = Vec::new();
                while payloads.len() < count {
                    if let Event::Incoming(Incoming::Publish(message)) = next(connection) {
                        payloads.push(String::from_utf8(message.payload.to_vec()).unwrap());
                    }
                }
                payloads
            }

            fn numbers() -> Vec<String> {
                (0..COUNT).map(|n| n.to_string()).collect()
            }

            fn messages_go_through(qos: QoS) {
                let broker = Broker::start();
                let (subscriber, mut incoming) = connect(&broker, "sub", false);
                subscriber.subscribe("t/#", qos).unwrap();
                await_suback(&mut incoming);
                let (publisher, mut answers) = connect(&broker, "pub", false);
                for n in numbers() {
                    publisher.publish("t/x", qos, false, n).unwrap();
                }
                let polled = std::thread::spawn(move || while answers.recv().is_ok_and(|e| e.is_ok()) {});
                assert_eq!(receive(&mut incoming, COUNT), numbers());
                publisher.disconnect().unwrap();
                polled.join().unwrap();
            }

            #[test]
            fn qos_0() {
                messages_go_through(QoS::AtMostOnce);
            }

            #[test]
            fn qos_1() {
                messages_go_through(QoS::AtLeastOnce);
            }

            #[test]
            fn qos_2() {
                messages_go_through(QoS::ExactlyOnce);
            }

            fn session_survives_kill_9(qos: QoS) {
                let mut broker = Broker::start();
                let (subscriber, mut incoming) = connect(&broker, "sub", true);
                subscriber.subscribe("t", qos).unwrap();
                await_suback(&mut incoming);
                drop((subscriber, incoming));
                let (publisher, mut answers) = connect(&broker, "pub", false);
                for n in numbers() {
                    publisher.publish("t", qos, false, n).unwrap();
                }
                await_published(&mut answers, COUNT);
                broker.kill();
                broker.up();
                let (_subscriber, mut incoming) = connect(&broker, "sub", true);
                let Event::Incoming(Incoming::ConnAck(connack)) = next(&mut incoming) else {
                    panic!("no CONNACK")
                };
                assert!(connack.session_present);
                assert_eq!(receive(&mut incoming, COUNT), numbers());
            }

            #[test]
            fn qos_1_session_survives_kill_9() {
                session_survives_kill_9(QoS::AtLeastOnce);
            }

            #[test]
            fn qos_2_session_survives_kill_9() {
                session_survives_kill_9(QoS::ExactlyOnce);
            }
        }
    };
}

client_tests!(
    v4,
    rumqttc,
    rumqttc::QoS,
    |options, durable| {
        options.set_clean_session(!durable);
    },
    rumqttc::Packet
);
client_tests!(
    v5,
    rumqttc::v5,
    rumqttc::v5::mqttbytes::QoS,
    |options, durable| {
        options.set_clean_start(!durable);
        options.set_session_expiry_interval(durable.then_some(3600));
    },
    rumqttc::v5::mqttbytes::v5::Packet
);
