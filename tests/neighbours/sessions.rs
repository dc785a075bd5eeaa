//! Clients that connect and disconnect.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::common::packets::{Connect, Will};
use super::stage::Scene;

/// The same 64 clients again and again, each with a new durable session that it never resumes.
#[test]
fn reconnects() {
    come_and_go("reconnects", None);
}

/// The same with wills that are due much later.
#[test]
fn reconnects_with_delayed_wills() {
    let will = Will { payload: vec![b'w'; 10_000], qos: 0, delay: 3600, ..Will::new("will") };
    come_and_go("reconnects_delayed_wills", Some(will));
}

fn come_and_go(name: &'static str, will: Option<Will>) {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 10_000;
    const THREADS: usize = 8;
    let stage = Scene::new(name).start();
    let outcome = stage.play(|attack| {
        let login = Connect { will, ..Connect::new(5, true) };
        let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let patience = Instant::now() + Duration::from_mins(1);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (login, done, failed) = (&login, &done, &failed);
                scope.spawn(move || {
                    for round in 0.. {
                        let number = thread + THREADS * (round % (CLIENTS / THREADS));
                        match attack.log_in(&format!("again-{number}"), login) {
                            Ok((_, 0)) => done.fetch_add(1, Ordering::Relaxed),
                            _ => failed.fetch_add(1, Ordering::Relaxed),
                        };
                        let enough = done.load(Ordering::Relaxed) >= ROUNDS;
                        if attack.over() && (enough || Instant::now() > patience) {
                            return;
                        }
                    }
                });
            }
        });
        attack.note(format!("{done:?} times connected, {failed:?} times not"));
        // Replaces all sessions by ones that end with their connection, so that none is left.
        for number in 0..CLIENTS {
            attack.log_in(&format!("again-{number}"), &Connect::passing(5)).ok();
        }
    });
    outcome.check();
}
