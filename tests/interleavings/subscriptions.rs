//! SUBSCRIBE and UNSUBSCRIBE of one filter by two connections of one session.

use super::common::broker::Broker;
use super::common::raw::{self, Packet, Publish, Raw};
use super::step;

fn connect(broker: &Broker, version: u8, id: &str) -> Raw {
    Raw::connect(broker.port, version, id, false).unwrap()
}

/// True if the session receives a message for the filter after `kill -9`.
fn is_subscribed(broker: &mut Broker, version: u8) -> bool {
    broker.kill();
    broker.up();
    let mut publisher = Raw::connect(broker.port, 4, "publisher", true).unwrap();
    let mut out = Vec::new();
    let message = Publish { dup: false, qos: 1, pid: 1, topic: "t".into(), payload: vec![1] };
    raw::publish(&mut out, 4, &message);
    publisher.send(&out).unwrap();
    assert_eq!(publisher.recv().unwrap(), Packet::PubAck(1, 0));
    let mut subscriber = connect(broker, version, "subscriber");
    assert!(subscriber.session_present);
    let mut seen = 0;
    for packet in subscriber.until_ping().unwrap() {
        let Packet::Publish(message) = packet else { panic!("{packet:?}") };
        let mut out = Vec::new();
        raw::ack(&mut out, raw::PUBACK, message.pid);
        subscriber.send(&out).unwrap();
        seen += 1;
    }
    subscriber.until_ping().unwrap();
    step::fence(broker);
    seen > 0
}

#[test]
fn an_older_connections_unsubscribe_does_not_remove_a_newer_subscription() {
    for version in [4, 5] {
        let mut broker = step::broker();
        let (mut lost, mut rounds, mut between) = (0, 0, 0);
        while rounds < step::ROUNDS && between < step::BETWEEN {
            let mut old = connect(&broker, version, "subscriber");
            old.subscribe("t", 1).unwrap();
            let mut unsubscribe = Vec::new();
            raw::unsubscribe(&mut unsubscribe, version, 7, "t");
            let step = step::begin(&broker, &mut old, &unsubscribe);
            let (mut new, is_between) = step.take_over(&broker, version, "subscriber");
            new.subscribe("t", 1).unwrap();
            step::end(&broker, old);
            between += usize::from(is_between);
            rounds += 1;
            lost += usize::from(!is_subscribed(&mut broker, version));
        }
        println!(
            "version {version}: {lost} of {rounds} acknowledged subscriptions were gone; {between} \
             CONNECTs came in the turn"
        );
        assert_eq!(lost, 0, "acknowledged subscriptions gone after kill -9");
        assert!(between > 0, "no CONNECT came before the older connection's turn was over");
    }
}

#[test]
fn an_older_connections_subscribe_does_not_bring_a_subscription_back() {
    for version in [4, 5] {
        let mut broker = step::broker();
        let (mut back, mut rounds, mut between) = (0, 0, 0);
        while rounds < step::ROUNDS && between < step::BETWEEN {
            let mut old = connect(&broker, version, "subscriber");
            let mut subscribe = Vec::new();
            raw::subscribe(&mut subscribe, version, 7, "t", 1);
            let step = step::begin(&broker, &mut old, &subscribe);
            let (mut new, is_between) = step.take_over(&broker, version, "subscriber");
            let mut unsubscribe = Vec::new();
            raw::unsubscribe(&mut unsubscribe, version, 8, "t");
            new.send(&unsubscribe).unwrap();
            assert_eq!(new.recv().unwrap(), Packet::UnsubAck(8));
            step::end(&broker, old);
            between += usize::from(is_between);
            rounds += 1;
            back += usize::from(is_subscribed(&mut broker, version));
        }
        println!(
            "version {version}: {back} of {rounds} ended subscriptions were back; {between} \
             CONNECTs came in the turn"
        );
        assert_eq!(back, 0, "subscriptions back after kill -9 although UNSUBACK had come");
        assert!(between > 0, "no CONNECT came before the older connection's turn was over");
    }
}
