//! Wills are decided at CONNECT and when they are published.

use super::*;
use crate::broker::tests::world::{peer, request};
use crate::protocol::{Connect, LastWill, TopicName};

fn will(topic: &str, delay: u32) -> LastWill {
    LastWill {
        topic: TopicName::new(topic).unwrap(),
        payload: b"gone".to_vec(),
        qos: QOS1,
        retain: false,
        delay,
        expiry: None,
        properties: Vec::new(),
    }
}

#[test]
fn a_will_is_decided_when_it_is_published() {
    let world = world(&["allow all #"]);
    let mut receiver = world.passing("receiver");
    receiver.subscribe("#", QOS1);
    receiver.received();
    let one = world.connect_with_will(Version::V5, "one", true, Some(will("w/one", 0)));
    let two = world.connect_with_will(Version::V5, "two", true, Some(will("w/two", 0)));
    reload(&world, &["one deny write w/#", "allow all #"]);
    one.vanish();
    two.vanish();
    assert_eq!(receiver.received(), ["PUBLISH 1 gone"]);
    assert_eq!(refused(&world), 1);
}

#[test]
fn a_client_whose_will_is_denied_is_refused() {
    let world = world(&["deny write w", "allow all w/%c"]);
    let nobody = || peer(crate::auth::Identity::default());
    for (client_id, topic, expected) in [
        ("c", "w", Err(ReasonCode::NotAuthorized)),
        ("c", "w/c", Ok(())),
        ("c", "w/d", Err(ReasonCode::NotAuthorized)),
        ("", "w", Err(ReasonCode::NotAuthorized)),
    ] {
        let connect =
            Connect { will: Some(will(topic, 0)), ..request(Version::V5, client_id, true) };
        assert_eq!(world.broker.check_will(&connect, &nobody()), expected, "{client_id} {topic}");
    }
}

/// Its user is not known by then, so a rule that asks for it is decided against it.
#[test]
fn the_will_of_a_session_that_a_restart_found_is_decided_by_what_is_known() {
    let mut rules = config(&["allow all w/%c", "receiver allow all #"]);
    rules.acl.rules.push(
        serde_json::from_str(r##"{"effect": "allow", "topics": ["#"], "users": ["ann"]}"##)
            .unwrap(),
    );
    for (topic, expected) in [("w/dying", 1), ("other", 0)] {
        let world = World::with(rules.clone());
        let connect =
            Connect { will: Some(will(topic, 5)), ..request(Version::V5, "dying", false) };
        let dying = world.connect_by(&connect);
        world.commit();
        let world = world.crash([dying]);
        let mut receiver = world.passing("receiver");
        receiver.subscribe("#", QOS1);
        receiver.received();
        let _new = world.connect("dying", true);
        assert_eq!(receiver.received().len(), expected, "{topic}");
    }
}
