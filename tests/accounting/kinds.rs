//! One test for each kind of memory that is charged. Only this kind grows in it, so that other
//! kinds cannot hide a wrong charge.

use crate::figures::{allocated, alone};
use crate::game::{Game, on_paused_time};

/// Receivers that do not read, and the publisher to them.
struct Players {
    receivers: std::ops::Range<usize>,
    publisher: usize,
}

/// Runs `load` on connected clients, and compares. It runs once before, for tables that keep
/// their capacity: those of the store's batches have room for 65,536 changes.
fn kind(name: &str, setup: impl Fn(&mut Game) -> Players, load: impl Fn(&mut Game, &Players)) {
    kind_that_is_undone(name, setup, load, |_, _| {});
}

/// As [`kind`], for what outlives all clients unless `undo` removes it.
fn kind_that_is_undone(
    name: &str,
    setup: impl Fn(&mut Game) -> Players,
    load: impl Fn(&mut Game, &Players),
    undo: impl Fn(&mut Game, &Players),
) {
    let _alone = alone();
    on_paused_time(|| {
        let mut game = Game::begin(1_000);
        for measured in [false, true] {
            let players = setup(&mut game);
            game.mark();
            load(&mut game, &players);
            if measured {
                game.growth().agree(name);
            }
            undo(&mut game, &players);
            game.everybody_leaves();
            assert_eq!(game.figures().charged, 0, "{name}: nothing stays charged");
        }
        let left = allocated();
        drop(game);
        println!("{name}: {} bytes in the broker that nobody is at", left - allocated());
    });
}

/// `count` receivers subscribed to `q`.
fn receivers(count: usize, v5: bool, durable: bool, qos: u8) -> impl Fn(&mut Game) -> Players {
    move |game| {
        let receivers = game.add(count, v5, durable);
        for index in receivers.clone() {
            game.subscribe(index, &["q".to_owned()], qos);
        }
        let publisher = game.add(1, true, true).start;
        Players { receivers, publisher }
    }
}

fn nobody_reads(game: &mut Game, players: &Players) {
    players.receivers.clone().for_each(|index| game.clients[index].reads = false);
}

fn everybody_is_away(game: &mut Game, players: &Players) {
    players.receivers.clone().for_each(|index| game.disconnect(index, true));
    game.background();
}

fn subscribes(name: &str, count: usize, filter: impl Fn(usize, usize) -> String) {
    kind(name, receivers(20, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            let filters: Vec<_> = (0..count).map(|number| filter(index, number)).collect();
            game.subscribe(index, &filters, 1);
        }
    });
}

#[test]
fn short_subscriptions() {
    subscribes("short subscriptions", 900, |index, number| format!("{index}-{number}"));
}

#[test]
fn deep_subscriptions() {
    subscribes("deep subscriptions", 30, |index, number| {
        format!("{index}-{number}{}", "/level".repeat(60))
    });
}

#[test]
fn long_subscriptions() {
    subscribes("long subscriptions", 100, |index, number| {
        format!("{index}-{number}{}", "x".repeat(1_000))
    });
}

#[test]
fn subscriptions_of_many_levels_that_others_have_too() {
    subscribes("common levels", 500, |index, number| {
        format!("site/building/floor/room/{index}-{number}/+")
    });
}

#[test]
fn the_same_subscriptions_of_many() {
    subscribes("the same", 500, |_, number| format!("site/building/floor/{number}"));
}

#[test]
fn shared_subscriptions() {
    subscribes("shared subscriptions", 500, |index, number| {
        format!("$share/group{number}/{index}-{number}")
    });
}

#[test]
fn the_same_shared_subscriptions_of_many() {
    subscribes("the same shared", 500, |_, number| format!("$share/group/site/{number}"));
}

#[test]
fn empty_messages_at_qos_0() {
    kind("QoS 0, empty", receivers(1, true, false, 0), |game, players| {
        nobody_reads(game, players);
        game.publish(players.publisher, "q", 0, 0, 20_000);
    });
}

#[test]
fn empty_messages_at_qos_0_to_many() {
    kind("QoS 0, empty, to 20", receivers(20, true, false, 0), |game, players| {
        nobody_reads(game, players);
        game.publish(players.publisher, "q", 0, 0, 5_000);
    });
}

#[test]
fn large_messages_to_many_that_do_not_read() {
    kind("large, to 20", receivers(20, true, false, 1), |game, players| {
        nobody_reads(game, players);
        game.publish(players.publisher, "q", 0, 200_000, 20);
        game.publish(players.publisher, "q", 1, 100_000, 20);
        game.commit();
    });
}

#[test]
fn output_that_is_not_read() {
    kind("unread output", receivers(40, true, false, 0), |game, players| {
        nobody_reads(game, players);
        game.publish(players.publisher, "q", 0, 1_000, 60);
    });
}

#[test]
fn messages_for_durable_sessions_that_are_away() {
    kind("QoS 1, empty, away", receivers(12, true, true, 1), |game, players| {
        everybody_is_away(game, players);
        game.publish(players.publisher, "q", 1, 0, 900);
        game.commit();
    });
}

#[test]
fn messages_that_were_sent_and_are_not_acknowledged() {
    kind("QoS 2, in flight", receivers(8, true, true, 2), |game, players| {
        players.receivers.clone().for_each(|index| game.clients[index].acknowledges = false);
        game.publish(players.publisher, "q", 2, 50, 900);
        game.commit();
        game.pulse();
    });
}

#[test]
fn messages_that_are_on_disk() {
    kind("on disk", receivers(12, true, true, 1), |game, players| {
        everybody_is_away(game, players);
        for _ in 0..40 {
            game.publish(players.publisher, "q", 1, 0, 1_000);
            game.commit();
        }
        game.background();
    });
}

#[test]
fn pages_that_were_read_back_from_disk() {
    kind("pages", receivers(10, true, true, 1), |game, players| {
        everybody_is_away(game, players);
        for _ in 0..3 {
            game.publish(players.publisher, "q", 1, 500, 500);
            game.commit();
        }
        game.background();
        nobody_reads(game, players);
        players.receivers.clone().for_each(|index| game.connect(index, None));
        game.commit();
    });
}

#[test]
fn packet_ids_that_are_not_released() {
    kind("QoS 2 ids", receivers(20, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.clients[index].releases = false;
            // As many as may be unacknowledged at once.
            game.publish(index, "nobody", 2, 0, 1_000);
            game.commit();
        }
    });
}

#[test]
fn packet_ids_whose_messages_are_not_committed() {
    kind("QoS 2, not committed", receivers(4, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.clients[index].releases = false;
            game.publish(index, "nobody", 2, 500, 900);
        }
    });
}

#[test]
fn publishes_that_wait_for_their_commit() {
    kind("QoS 1, not committed", receivers(1, true, true, 1), |game, players| {
        everybody_is_away(game, players);
        game.publish(players.publisher, "q", 1, 2_000, 900);
    });
}

#[test]
fn wills() {
    kind("wills", receivers(40, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.leave_a_will(index, "will", 1_500 * (index + 1), 1_000);
        }
    });
}

#[test]
fn wills_that_wait() {
    kind("delayed wills", receivers(40, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.leave_a_will(index, "will", 60_000, 1_000);
            game.disconnect(index, false);
        }
    });
}

/// Retains `count` messages under topics that have no level in common.
fn retains(name: &str, count: usize, size: usize, topic: impl Fn(usize) -> String) {
    let retain = |game: &mut Game, players: &Players, size| {
        for number in 0..count {
            game.retain(players.publisher, &topic(number), size);
            if number % 500 == 499 {
                game.commit();
            }
        }
        game.commit();
    };
    kind_that_is_undone(
        name,
        receivers(1, true, true, 0),
        |game, players| retain(game, players, size),
        |game, players| retain(game, players, 0),
    );
}

#[test]
fn small_messages_that_are_retained() {
    retains("retained, small", 6_000, 1, |number| format!("r{number}"));
}

#[test]
fn large_messages_that_are_retained() {
    retains("retained, large", 100, 20_000, |number| format!("r{number}"));
}

#[test]
fn messages_that_are_retained_under_deep_topics() {
    retains("retained, deep", 400, 1, |number| format!("r{number}{}", "/level".repeat(40)));
}

#[test]
fn packets_that_are_not_whole() {
    kind("unfinished, large", receivers(20, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.begin_publish(index, "t", 100_000 + index * 5_000);
        }
    });
}

#[test]
fn small_packets_that_are_not_whole() {
    kind("unfinished, small", receivers(60, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.begin_publish(index, "t", 20_000 + index * 500);
        }
    });
}

#[test]
fn names_that_clients_give_to_topics() {
    kind("aliases in", receivers(30, true, true, 0), |game, players| {
        for index in players.receivers.clone() {
            game.alias(index, (0..32).map(|number| format!("{number}{}", "x".repeat(1_200))));
        }
    });
}

#[test]
fn names_that_the_broker_gives_to_topics() {
    let setup = |game: &mut Game| {
        let players = receivers(40, true, true, 0)(game);
        for index in players.receivers.clone() {
            game.subscribe(index, &["long/#".to_owned()], 0);
        }
        players
    };
    kind("aliases out", setup, |game, players| {
        for number in 0..32 {
            let topic = format!("long/{number}{}", "x".repeat(1_200));
            game.publish(players.publisher, &topic, 0, 0, 1);
        }
    });
}
