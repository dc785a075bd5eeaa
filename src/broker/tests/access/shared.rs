//! Messages of shared groups go to members who may read them.

use super::*;

#[test]
fn a_shared_message_goes_to_a_member_who_may_read_it() {
    for qos in [QoS::AtMostOnce, QOS1, QoS::ExactlyOnce] {
        let world = world(&["one deny read b", "two deny read c", "allow all #"]);
        let [mut one, mut two] = ["one", "two"].map(|client_id| {
            let mut member = world.passing(client_id);
            member.subscribe("$share/g/#", QoS::ExactlyOnce);
            member.received();
            member
        });
        let mut publisher = world.passing("publisher");
        for packet in 1..=4 {
            publisher.send(to("b", qos, packet, "b"));
        }
        publisher.send(to("c", qos, 5, "c"));
        world.commit();
        assert_eq!((one.received().len(), two.received().len()), (1, 4), "{qos:?}");
        assert_eq!(dropped(&world), 0);
    }
}

#[test]
fn a_shared_message_that_no_member_may_read_is_dropped_and_counted() {
    let world = world(&["allow read a", "publisher allow write #"]);
    let mut member = world.passing("member");
    member.subscribe("$share/g/#", QOS1);
    member.received();
    let mut publisher = world.passing("publisher");
    for packet in 1..=3 {
        publisher.send(to("b", QOS1, packet, "b"));
    }
    assert_eq!(publisher.received().len(), 3);
    assert!(member.received().is_empty());
    assert_eq!(dropped(&world), 3);
}

#[test]
fn what_a_member_may_not_read_any_more_goes_to_another() {
    for qos in [QoS::AtMostOnce, QOS1] {
        let world = world(&["allow all #"]);
        let mut one = world.passing("one");
        one.subscribe("$share/g/t", QOS1);
        one.received();
        let mut publisher = world.passing("publisher");
        publisher.publish(qos, 1, "x");
        let mut two = world.passing("two");
        two.subscribe("$share/g/t", QOS1);
        two.received();
        reload(&world, &["one deny read t", "allow all #"]);
        assert!(one.received().is_empty());
        assert_eq!(two.received().len(), 1, "{qos:?}");
        assert_eq!(dropped(&world), 0);
        reload(&world, &["deny read t", "allow all #"]);
        publisher.publish(qos, 2, "y");
        assert!(one.received().is_empty() && two.received().is_empty());
        assert_eq!(dropped(&world), 1);
    }
}

#[test]
fn a_durable_member_s_row_moves_with_what_it_may_not_read() {
    let world = world(&["allow all #"]);
    for client_id in ["one", "two"] {
        let mut member = world.durable(client_id);
        member.subscribe("$share/g/t", QOS1);
        world.commit();
        member.received();
        member.vanish();
    }
    let mut publisher = world.passing("publisher");
    for packet in 1..=2 {
        publisher.publish(QOS1, packet, "x");
    }
    world.commit();
    assert_eq!(publisher.received().len(), 2);
    reload(&world, &["one deny read t", "allow all #"]);
    let mut one = world.connect("one", false);
    world.commit();
    assert_eq!(one.received(), ["CONNACK true"]);
    world.commit();
    let world = world.crash([one, publisher]);
    let mut two = world.connect("two", false);
    world.commit();
    let mut received = Vec::new();
    for _ in 0..4 {
        received.extend(two.received());
        world.commit();
    }
    assert_eq!(received.len(), 3, "{received:?}");
}
