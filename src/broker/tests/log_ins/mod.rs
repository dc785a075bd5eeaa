//! Log-ins of connected clients: their end, their renewal, and users who are removed.

mod removed_users;
mod renewal;

use std::sync::Arc;
use std::time::Duration;

use super::world::{User, World, request};
use crate::auth::Identity;
use crate::auth::tests::Echo;
use crate::broker::Hand;
use crate::broker::client::Close;
use crate::config::{Config, Method};
use crate::message::WallMillis;
use crate::protocol::{Connect, ReasonCode, Version};

/// The start of the clock of a timed world.
const START: u64 = 1_780_000_000_000;

fn identity(method: Method, seconds: u64) -> Identity {
    Identity {
        username: Some("alice".into()),
        method: Some(method),
        expires_at: Some(WallMillis(START + seconds * 1000)),
        credential: 1,
        ..Identity::default()
    }
}

/// A world whose policy has the method `ECHO`.
fn world(method: Method) -> (World, Hand) {
    let config = Config::default();
    let (world, hand) = World::timed(config.clone());
    let authenticator = &world.broker.authenticator;
    let policy = authenticator.read(&config).unwrap().with_enhanced(Arc::new(Echo(method)));
    assert!(authenticator.replace(policy));
    (world, hand)
}

fn connect(world: &World, version: Version, identity: Identity) -> User {
    let authentication_method = (version == Version::V5).then(|| "ECHO".to_owned());
    let connect = Connect { authentication_method, ..request(version, "device", false) };
    let mut user = world.try_log_in(&connect, identity).unwrap();
    world.commit();
    assert_eq!(user.received().len(), 1, "CONNACK");
    user
}

fn reason_of(closed: Result<impl std::fmt::Debug, Close>) -> ReasonCode {
    match closed {
        Err(Close::Error(reason, _)) => reason,
        other => panic!("not ended for a reason: {other:?}"),
    }
}

#[test]
fn a_connection_ends_when_its_log_in_does() {
    for (method, reason) in
        [(Method::Jwt, ReasonCode::MaximumConnectTime), (Method::Scram, ReasonCode::NotAuthorized)]
    {
        for version in [Version::V311, Version::V5] {
            let (world, hand) = world(method);
            let mut user = connect(&world, version, identity(method, 60));
            let now = world.broker.clock.now().instant;
            assert_eq!(user.client.disconnects_at(), Some(now + Duration::from_mins(1)));
            hand.advance(Duration::from_millis(59_999));
            assert!(user.received().is_empty());
            hand.advance(Duration::from_millis(1));
            assert_eq!(reason_of(user.try_received()), reason);
            assert!(user.client.has_log_in_ended());
        }
    }
}

#[test]
fn a_log_in_without_an_end_sets_no_timer_and_one_that_ends_far_away_does_not_overflow() {
    let (world, _hand) = world(Method::Jwt);
    let endless = Identity { expires_at: None, ..identity(Method::Jwt, 0) };
    let mut user = connect(&world, Version::V5, endless);
    assert_eq!(user.client.disconnects_at(), None);
    user.vanish();
    let far = Identity { expires_at: Some(WallMillis(u64::MAX)), ..identity(Method::Jwt, 0) };
    user = connect(&world, Version::V5, far);
    assert!(user.client.disconnects_at().is_some());
}
