//! What the broker keeps is bounded by what is there, however much has come and gone.

use super::world::{World, request};
use crate::protocol::{Connect, LastWill, QoS, TopicName, Version};

/// A client that means to come back within the hour, and to leave a will in half of it.
fn with_delayed_will(client_id: &str) -> Connect {
    let will = LastWill {
        topic: TopicName::new("will").unwrap(),
        qos: QoS::AtMostOnce,
        retain: false,
        payload: b"gone".to_vec(),
        delay: 1800,
        expiry: None,
        properties: Vec::new(),
    };
    let session_expiry = Some(3600);
    Connect { will: Some(will), session_expiry, ..request(Version::V5, client_id, true) }
}

#[test]
fn a_hundred_thousand_reconnects_leave_two_timers_for_each_session() {
    const CLIENTS: usize = 64;
    let world = World::new();
    let connects: Vec<_> =
        (0..CLIENTS).map(|client| with_delayed_will(&format!("client-{client}"))).collect();
    let mut first = None;
    for round in 0..100_000 / CLIENTS {
        for connect in &connects {
            let user = world.connect_by(connect);
            first.get_or_insert_with(|| world.session("client-0"));
            user.vanish();
        }
        if round % 16 == 0 {
            world.commit();
            super::world::at_once(world.broker.background_once());
        }
    }
    assert_eq!(world.broker.timers.len(), 2 * CLIENTS);
    assert_eq!(first.unwrap().strong_count(), 0, "a session that has ended");
    // Those that are there have no timer.
    let users: Vec<_> = connects.iter().map(|connect| world.connect_by(connect)).collect();
    assert_eq!(world.broker.timers.len(), 0);
    drop(users);
}
