//! The admin functions, with commits stepped by hand.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::world::{User, World};
use crate::broker::admin::{
    Announcement, Order, Place, SessionFilter, Stage, SubscriptionFilter, Unannounced, Unretained,
};
use crate::broker::{Broker, SessionHandle};
use crate::config::Config;
use crate::message::{DeliveryId, SessionId};
use crate::protocol::{MessageProperties, QoS, ReasonCode, Version};
use crate::session::Session;
use crate::telemetry::DropReason;

fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn announcement(topic: &str, qos: QoS, retain: bool) -> Announcement {
    Announcement {
        topic: topic.into(),
        payload: b"x".to_vec(),
        qos,
        retain,
        expiry: None,
        properties: MessageProperties::default(),
    }
}

/// An offline session with this many messages under "t" on disk.
fn away_with(world: &World, client_id: &str, count: u16) {
    let mut user = world.durable(client_id);
    user.subscribe("t", QoS::AtLeastOnce);
    world.commit();
    user.received();
    user.leave();
    let mut publisher = world.passing("publisher");
    for n in 1..=count {
        publisher.publish(QoS::AtLeastOnce, n, &n.to_string());
        world.commit();
        publisher.received();
    }
    world.broker.evict_offline();
}

#[tokio::test]
async fn a_session_is_gone_for_good_before_its_end_is_confirmed() {
    let world = World::new();
    away_with(&world, "c", 3);
    {
        let mut removing = pin!(world.broker.remove_session("c", false));
        assert!(is_pending(removing.as_mut()));
        assert!(world.broker.session_info("c").is_none());
        world.commit();
        let ended = removing.await.unwrap().unwrap();
        assert_eq!((ended.dropped, ended.was_connected), (3, false));
    }
    assert_eq!(world.broker.metrics.messages.dropped.get(DropReason::SessionEnded), 3);
    let world = world.crash(Vec::<User>::new());
    assert!(world.broker.session_info("c").is_none());
    assert!(world.broker.remove_session("c", false).await.is_none());
}

#[tokio::test]
async fn a_client_whose_session_is_deleted_or_who_is_disconnected_is_told_why() {
    let world = World::new();
    let mut kept = world.durable("kept");
    let mut deleted = world.durable("deleted");
    world.broker.end_connection("kept", false).await.unwrap().unwrap();
    let again = world.broker.end_connection("kept", false).await;
    assert!(again.unwrap().is_err(), "it is not connected any more");
    assert!(world.broker.end_connection("nobody", false).await.is_none());
    let mut removing = pin!(world.broker.remove_session("deleted", false));
    assert!(is_pending(removing.as_mut()));
    world.commit();
    assert!(removing.await.unwrap().unwrap().was_connected);
    for user in [&mut kept, &mut deleted] {
        let close = format!("{:?}", user.try_received().unwrap_err());
        assert!(close.contains(&format!("{:?}", ReasonCode::AdministrativeAction)), "{close}");
    }
    let info = world.broker.session_info("kept").unwrap();
    assert!(info.connection.is_none() && info.disconnected_at.is_some());
}

#[tokio::test]
async fn a_queue_is_seen_in_order_and_in_pages_wherever_it_stands() {
    let mut config = Config::default();
    config.session.memory_window = 4;
    config.session.inflight_window = 3;
    let world = World::with(config);
    away_with(&world, "c", 20);
    let mut user = world.connect("c", false);
    world.commit();
    // Three in flight, some in memory, the rest on disk. The last ones are not committed.
    for _ in 0..3 {
        user.received();
    }
    let mut publisher = world.passing("late");
    publisher.publish(QoS::AtLeastOnce, 21, "21");
    let mut seen = Vec::new();
    let mut after = DeliveryId(0);
    loop {
        let page = world.broker.look_into_queue("c", after, 4).await.unwrap().unwrap();
        assert!(page.deliveries.len() <= 4);
        seen.extend(page.deliveries);
        let Some(next) = page.next else { break };
        after = next;
    }
    let payloads: Vec<_> =
        seen.iter().map(|d| String::from_utf8_lossy(d.message.payload()).into_owned()).collect();
    assert_eq!(payloads, (1..=21).map(|n: u16| n.to_string()).collect::<Vec<_>>());
    let in_flight = seen.iter().filter(|d| d.stage == Stage::InFlight).count();
    assert_eq!(in_flight, 3);
    assert!(seen[..20].iter().all(|delivery| delivery.on_disk));
    assert!(!seen[20].on_disk, "nothing is said to be on disk before it is");
    assert_eq!(world.broker.session_info("c").unwrap().queued, 21, "looking takes nothing out");
}

#[tokio::test]
async fn an_operators_message_is_confirmed_when_it_is_on_disk() {
    let world = World::new();
    away_with(&world, "c", 0);
    let message = announcement("t", QoS::AtLeastOnce, false);
    {
        let mut announcing = pin!(world.broker.announce(&message));
        assert!(is_pending(announcing.as_mut()));
        world.commit();
        assert_eq!(announcing.await.unwrap().receivers, 1);
    }
    let world = world.crash(Vec::<User>::new());
    assert_eq!(world.broker.session_info("c").unwrap().queued, 1);
    // No receiver has to acknowledge it.
    let nobody = announcement("nobody", QoS::ExactlyOnce, false);
    assert_eq!(world.broker.announce(&nobody).await.unwrap().receivers, 0);
}

#[tokio::test]
async fn an_operators_message_is_held_to_the_rules_of_all_others() {
    let mut config = Config::default();
    config.session.max_queued_messages = 1;
    config.mqtt.max_packet_size = crate::config::ByteSize(100);
    let world = World::with(config);
    away_with(&world, "c", 1);
    let refused = async |topic: &str| {
        world.broker.announce(&announcement(topic, QoS::AtLeastOnce, false)).await.unwrap_err()
    };
    assert_eq!(refused("t").await, Unannounced::QueueFull);
    assert_eq!(refused("$SYS/x").await, Unannounced::Own);
    assert!(matches!(refused("a/#").await, Unannounced::Topic(_)));
    assert_eq!(refused(&"x".repeat(100)).await, Unannounced::TooLarge);
    assert_eq!(refused(&"/".repeat(200)).await, Unannounced::Levels);
}

#[tokio::test]
async fn retained_messages_are_listed_in_order_and_deleted_for_good() {
    let world = World::new();
    for n in 0..10 {
        let message = announcement(&format!("r/{n}"), QoS::AtLeastOnce, true);
        let mut announcing = pin!(world.broker.announce(&message));
        assert!(is_pending(announcing.as_mut()));
        world.commit();
        announcing.await.unwrap();
    }
    let mut topics = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = world.broker.retained_list("r/+", after.as_deref(), 3);
        topics.extend(page.messages.iter().map(|record| record.topic.to_string()));
        if !page.more {
            break;
        }
        after = topics.last().cloned();
    }
    assert_eq!(topics, (0..10).map(|n| format!("r/{n}")).collect::<Vec<_>>());
    {
        let mut removing = pin!(world.broker.remove_retained("r/4"));
        assert!(is_pending(removing.as_mut()));
        world.commit();
        removing.await.unwrap();
    }
    let world = world.crash(Vec::<User>::new());
    assert!(world.broker.retained_message("r/4").is_none());
    assert!(world.broker.retained_message("r/5").is_some());
    assert_eq!(world.broker.remove_retained("r/4").await, Err(Unretained::Missing));
    assert_eq!(world.broker.remove_retained("$SYS/x").await, Err(Unretained::Own));
}

#[tokio::test]
async fn subscriptions_are_listed_once_each_whatever_the_pages() {
    let world = World::new();
    let mut expected = Vec::new();
    let mut users = Vec::new();
    for client_id in ["a", "a/b", "ü"] {
        let mut user = world.durable(client_id);
        for filter in ["#", "$share/g/t/+", "t/+", "t/1"] {
            user.subscribe(filter, QoS::AtLeastOnce);
            expected.push((client_id.to_owned(), filter.to_owned()));
        }
        users.push(user);
    }
    expected.sort();
    for limit in [1, 2, 3, 5, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let filter = SubscriptionFilter::default();
            let (page, next) = world.broker.subscription_list(&filter, after, limit).await;
            assert!(page.len() <= limit);
            found.extend(page.into_iter().map(|s| (s.client_id.to_string(), s.filter.to_string())));
            let Some(next) = next else { break };
            after = Some(next);
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    let filter = SubscriptionFilter { topic: Some("t/2".into()), ..Default::default() };
    let (found, _) = world.broker.subscription_list(&filter, None, 100).await;
    assert_eq!(found.len(), 9, "all but t/1");
    let (first, more) = world.broker.subscriptions_of("a", None, 2).unwrap();
    assert!(more && first.len() == 2);
    let (rest, more) = world.broker.subscriptions_of("a", Some(&first[1].filter), 2).unwrap();
    assert!(!more && rest.len() == 2);
}

/// Sessions that never had a connection, as after a start.
fn crowd(broker: &Broker, count: usize) {
    for n in 0..count {
        let client_id: Arc<str> = format!("client-{n:06}").into();
        let id = SessionId(1_000_000 + n as u64);
        let limits = Arc::clone(&broker.settings.session);
        let session = Session::new(id, client_id, Version::V5, limits);
        broker.registry.insert(&SessionHandle::new(session, Arc::clone(&broker.metrics)));
    }
}

#[tokio::test]
async fn a_list_of_100_000_sessions_is_whole_and_lets_others_run() {
    const COUNT: usize = 100_000;
    let world = World::new();
    crowd(&world.broker, COUNT);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    // Runs on the same thread as the list, and gets a turn at each yield.
    let others = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let filter = SessionFilter::default();
    let (page, next) = world.broker.session_list(&filter, Order::Queued, None, 1000).await;
    assert!(page.len() == 1000 && next.is_some());
    assert!(turns.load(Ordering::Relaxed) > 100, "{turns:?} turns of others");
    let mut seen = BTreeSet::new();
    let mut after: Option<Place> = None;
    loop {
        let (page, next) = world.broker.session_list(&filter, Order::ClientId, after, 1000).await;
        seen.extend(page.iter().map(|info| Arc::clone(&info.client_id)));
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(seen.len(), COUNT);
    others.abort();
}

#[tokio::test]
async fn the_longest_queues_come_first_and_each_session_once() {
    let world = World::new();
    crowd(&world.broker, 25);
    away_with(&world, "full", 3);
    away_with(&world, "fuller", 5);
    let filter = SessionFilter { search: "FUL".into(), connected: Some(false) };
    let (found, _) = world.broker.session_list(&filter, Order::ClientId, None, 10).await;
    assert_eq!(found.iter().map(|info| &*info.client_id).collect::<Vec<_>>(), ["full", "fuller"]);
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let filter = SessionFilter::default();
        let (page, next) = world.broker.session_list(&filter, Order::Queued, after, 4).await;
        seen.extend(page.iter().map(|info| info.client_id.to_string()));
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(seen.len(), 28, "with the publisher");
    // The messages for "fuller" are queued for "full" too: both subscribe to "t".
    let queued = |id: &str| world.broker.session_info(id).unwrap().queued;
    assert!(queued(&seen[0]) >= queued(&seen[1]) && queued(&seen[1]) >= queued(&seen[2]));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 28);
}
