//! Subscriptions that are expensive to match, to end or to keep.

use super::attack;
use super::crowd::{Crowd, Source};
use super::stage::Scene;
use super::wire;

/// Filters of one session; the default of `session.max_subscriptions`.
const FILTERS: usize = 1000;
const LEVELS: usize = 100;

/// Different filters of a hundred levels that all match every topic of the attack: matching
/// takes both branches at each level.
#[test]
fn wildcard_walks() {
    const SESSIONS: usize = 3;
    let stage = Scene::new("wildcard_walks").start();
    let mut sockets = Vec::new();
    for session in 0..SESSIONS {
        let mut client = stage.before().client(&format!("walker-{session}"), true).unwrap();
        for chunk in (0..FILTERS).collect::<Vec<_>>().chunks(100) {
            let filters: Vec<_> =
                chunk.iter().map(|number| walk(session * FILTERS + number)).collect();
            let mut out = Vec::new();
            wire::subscribe(&mut out, 1, filters.iter().map(String::as_str));
            client.send(&out).unwrap();
            client.recv().unwrap();
        }
        sockets.push(client.writer().unwrap());
    }
    let publisher = stage.before().client("publisher", true).unwrap();
    let outcome = stage.play(|attack| {
        let mut crowd = Crowd::new();
        for socket in sockets {
            crowd.add(socket, Source::Nothing, true);
        }
        let mut number = 0_u64;
        let make = move |out: &mut Vec<u8>| {
            while out.len() < 50_000 {
                // Each topic needs a new route.
                wire::publish(out, &format!("{}{number}", "a/".repeat(LEVELS - 1)), b"", false);
                number += 1;
            }
        };
        crowd.add(publisher.writer().unwrap(), Source::Made(Box::new(make)), true);
        crowd.run(attack);
        attack.note(format!("{} bursts taken, {} B delivered", crowd.rounds, crowd.read));
    });
    outcome.check();
}

/// A filter with `+` where a hash of its number has a bit set, and at its end.
fn walk(number: usize) -> String {
    let mut state = number as u64 + 1;
    let mut filter = String::new();
    for _ in 0..LEVELS - 1 {
        // A step of a xorshift generator.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        filter.push_str(if state & 1 == 1 { "+/" } else { "a/" });
    }
    filter.push('+');
    filter
}

/// A client with many shared subscriptions that disappears without DISCONNECT and returns.
#[test]
fn shared_groups_leave() {
    let groups = attack::many(20_000, 200_000);
    let most = groups.to_string();
    let settings = &[("FERRYMQ_SESSION__MAX_SUBSCRIPTIONS", most.as_str())];
    let stage = Scene { settings, ..Scene::new("shared_groups_leave") }.start();
    let outcome = stage.play(|attack| {
        let (mut left, mut refused) = (0, 0);
        while !attack.over() {
            let Ok(mut client) = attack.client("member", true) else {
                refused += 1;
                continue;
            };
            let mut taken = 0;
            // The first time all of them, however long that takes.
            while taken < groups && (left == 0 || !attack.over()) {
                let names: Vec<_> = (taken..groups.min(taken + 1000))
                    .map(|group| format!("$share/group-{group}/shared/topic"))
                    .collect();
                let mut out = Vec::new();
                wire::subscribe(&mut out, 1, names.iter().map(String::as_str));
                attack.spent(out.len());
                if client.send(&out).and_then(|()| client.recv()).is_err() {
                    break;
                }
                taken += names.len();
            }
            left += 1;
            if attack.over() {
                attack.note(format!("the last had {taken} groups"));
            }
        }
        attack.note(format!("left {left} times, refused {refused} times"));
    });
    outcome.check();
}

/// Filters of the maximum length, as many as a session may have.
#[test]
fn long_filters() {
    const SESSIONS: usize = 8;
    let stage = Scene::new("long_filters").start();
    let outcome = stage.play(|attack| {
        let mut crowd = Crowd::new();
        for session in 0..SESSIONS {
            let client = attack.client(&format!("long-{session}"), true).unwrap();
            let (mut number, end) = (0, "f".repeat(60_000));
            let make = move |out: &mut Vec<u8>| {
                if number < FILTERS {
                    let filter = format!("{session}-{number}-{end}");
                    wire::subscribe(out, 1, [filter.as_str()]);
                    number += 1;
                }
            };
            crowd.add(client.writer().unwrap(), Source::Made(Box::new(make)), true);
        }
        crowd.run(attack);
        let (taken, answered) = (crowd.rounds, crowd.read / 5);
        attack.note(format!("{taken} of {} sent, {answered} answered", SESSIONS * FILTERS));
        attack.note(format!("{} of {SESSIONS} connections are open", crowd.open()));
    });
    outcome.check();
}
