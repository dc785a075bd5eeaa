//! Bans and limits per address, with the broker's clock and metrics.

use std::time::Duration;

use super::world::World;
use crate::broker::ReloadableSettings;
use crate::broker::admin::Unbanned;
use crate::config::{Config, Span};
use crate::message::WallMillis;
use crate::peer::PeerAddr;
use crate::protocol::ReasonCode;
use crate::telemetry::{BanReason, RejectReason};

fn banning() -> Config {
    let mut config = Config::default();
    config.bans.max_failures = 2;
    config.bans.time = Span::seconds(60);
    config.bans.exempt.0.push("10.0.0.0/8".parse().unwrap());
    config
}

#[test]
fn failed_log_ins_ban_an_address_until_time_lifts_the_ban() {
    let (world, hand) = World::timed(banning());
    let broker = &world.broker;
    let peer = PeerAddr::from(([192, 0, 2, 1], 50_000));
    let open = broker.admit(peer, "tcp").unwrap();
    broker.log_in_refused(peer, ReasonCode::BadUserNameOrPassword);
    // Neither is the fault of the client.
    broker.log_in_refused(peer, ReasonCode::ServerBusy);
    broker.log_in_refused(peer, ReasonCode::ServerUnavailable);
    assert!(broker.admit(peer, "tcp").is_ok());
    broker.log_in_refused(peer, ReasonCode::NotAuthorized);
    let another_port = PeerAddr::from(([192, 0, 2, 1], 50_001));
    assert_eq!(broker.admit(another_port, "tcp").unwrap_err(), RejectReason::Banned);
    assert!(broker.admit(([192, 0, 2, 2], 1).into(), "tcp").is_ok());
    let metrics = &broker.metrics.connections;
    assert_eq!((metrics.banned.get(), metrics.bans.get(BanReason::Failures)), (1, 1));
    let (bans, next) = broker.ban_list(None, 10);
    assert_eq!((bans.len(), bans[0].failures, next), (1, 2, None));
    assert_eq!(bans[0].until, WallMillis(broker.clock.now().wall.0 + 60_000));
    hand.advance(Duration::from_mins(1));
    assert!(broker.admit(peer, "tcp").is_ok());
    super::world::at_once(broker.background_once());
    assert_eq!(metrics.banned.get(), 0);
    drop(open);
}

#[test]
fn an_operator_bans_and_lifts() {
    let (world, _hand) = World::timed(banning());
    let broker = &world.broker;
    let peer = |last| PeerAddr::from(([192, 0, 2, last], 1));
    for last in 0..5 {
        broker.ban(peer(last).source(), Duration::from_mins(1)).unwrap();
    }
    let (first, next) = broker.ban_list(None, 3);
    let (rest, end) = broker.ban_list(next, 3);
    let listed: Vec<_> = first.iter().chain(&rest).map(|ban| ban.source).collect();
    assert_eq!(listed, (0..5).map(|last| peer(last).source()).collect::<Vec<_>>());
    assert_eq!((first.len(), end), (3, None));
    assert!(broker.admit(peer(1), "tcp").is_err());
    assert!(broker.lift_ban(peer(1).source()) && !broker.lift_ban(peer(1).source()));
    assert!(broker.admit(peer(1), "tcp").is_ok());
    assert_eq!(broker.metrics.connections.banned.get(), 4);
    let exempt = broker.ban("10.1.2.3".parse().unwrap(), Duration::from_secs(1));
    assert_eq!(exempt, Err(Unbanned::Exempt));
}

#[test]
fn limits_that_are_reloaded_hold_for_who_comes_next() {
    let (world, _hand) = World::timed(Config::default());
    let broker = &world.broker;
    let peer = PeerAddr::from(([192, 0, 2, 1], 1));
    let uncounted = broker.admit(peer, "tcp").unwrap();
    let mut config = Config::default();
    config.limits.max_connections_per_address = 1;
    config.mqtt.connect_timeout = Span::seconds(3);
    broker.reload(ReloadableSettings::from(&config));
    assert_eq!(broker.connect_settings().connect_timeout, Duration::from_secs(3));
    let counted = broker.admit(peer, "tcp").unwrap();
    assert_eq!(broker.admit(peer, "tcp").unwrap_err(), RejectReason::AddressLimit);
    drop(uncounted);
    assert!(broker.admit(peer, "tcp").is_err());
    drop(counted);
    assert!(broker.admit(peer, "tcp").is_ok());
}
