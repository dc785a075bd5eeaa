//! A connection's wake-up: a thread changes something and then rings it, and the task checks
//! what has changed when it was rung. A lost ring is a task that sleeps for ever, which loom
//! reports as a deadlock.

mod common;

use std::future::poll_fn;
use std::task::Poll;

use ferrymq_loom::message::wake::{Revoked, SessionWake, Wake, WakeCause};
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use common::explore;

/// Sleeps until the changes of `wanted` threads were seen, and checks only when rung.
fn sleep_until_seen(wake: &Wake, happened: &AtomicUsize, wanted: usize) {
    block_on(poll_fn(|context| {
        let mut seen = 0;
        while wake.poll(context).is_some() {
            let _ = wake.begin();
            seen = happened.load(Ordering::Relaxed);
        }
        if seen == wanted { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// Changes something and rings, so many times, in a thread of its own.
fn ringing(
    wake: &std::sync::Arc<Wake>,
    happened: &Arc<AtomicUsize>,
    cause: WakeCause,
    times: usize,
) -> thread::JoinHandle<()> {
    let (wake, happened) = (std::sync::Arc::clone(wake), Arc::clone(happened));
    thread::spawn(move || {
        for _ in 0..times {
            happened.fetch_add(1, Ordering::Relaxed);
            wake.notify_session(cause);
        }
    })
}

#[test]
fn no_ring_is_lost() {
    explore(|| {
        let (wake, happened) =
            (std::sync::Arc::new(Wake::default()), Arc::new(AtomicUsize::new(0)));
        let ringer = ringing(&wake, &happened, WakeCause::Direct, 1);
        sleep_until_seen(&wake, &happened, 1);
        ringer.join().unwrap();
    });
}

/// The first poll has another cause, and a fan-out reaches the task while it runs: seen by
/// [`Wake::begin`] alone.
#[test]
fn what_a_fan_out_queues_while_a_task_is_polled_for_something_else_is_not_lost() {
    explore(|| {
        let session = std::sync::Arc::<SessionWake>::default();
        let wake = std::sync::Arc::new(Wake::of_session(std::sync::Arc::clone(&session)));
        let happened = Arc::new(AtomicUsize::new(0));
        let ringer = ringing(&wake, &happened, WakeCause::FanOut, 1);
        block_on(poll_fn(|context| {
            let is_woken = wake.poll(context).is_some();
            let looks = wake.begin() || is_woken;
            let seen = looks && happened.load(Ordering::Relaxed) == 1;
            if seen { Poll::Ready(()) } else { Poll::Pending }
        }));
        ringer.join().unwrap();
    });
}

/// The task takes its turn between the poll that a fan-out causes and [`Wake::begin`].
#[test]
fn what_a_fan_out_queues_while_a_task_waits_for_its_turn_is_not_lost() {
    explore(|| {
        let session = std::sync::Arc::<SessionWake>::default();
        let wake = std::sync::Arc::new(Wake::of_session(std::sync::Arc::clone(&session)));
        session.connect(Some(std::sync::Arc::clone(&wake)));
        let happened = Arc::new(AtomicUsize::new(0));
        let ringer = ringing(&wake, &happened, WakeCause::FanOut, 2);
        let mut has_turn = false;
        block_on(poll_fn(|context| {
            if wake.poll(context).is_none() {
                return Poll::Pending;
            }
            if !std::mem::replace(&mut has_turn, true) {
                // Its turn comes at once.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            has_turn = false;
            let _ = wake.begin();
            if happened.load(Ordering::Relaxed) == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        session.connect(None);
        ringer.join().unwrap();
    });
}

#[test]
fn no_ring_of_two_threads_is_lost() {
    explore(|| {
        let (wake, happened) =
            (std::sync::Arc::new(Wake::default()), Arc::new(AtomicUsize::new(0)));
        let ringers = [(); 2].map(|()| ringing(&wake, &happened, WakeCause::Direct, 1));
        sleep_until_seen(&wake, &happened, 2);
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}

#[test]
fn a_ring_that_comes_before_the_task_has_looked_at_the_last_one_is_not_lost() {
    explore(|| {
        let (wake, happened) =
            (std::sync::Arc::new(Wake::default()), Arc::new(AtomicUsize::new(0)));
        let ringer = ringing(&wake, &happened, WakeCause::Direct, 2);
        sleep_until_seen(&wake, &happened, 2);
        ringer.join().unwrap();
    });
}

#[test]
fn a_ring_for_a_connection_that_was_replaced_reaches_the_one_that_came_after_it() {
    reaches_the_next(WakeCause::Direct);
    reaches_the_next(WakeCause::FanOut);
}

fn reaches_the_next(cause: WakeCause) {
    explore(move || {
        let (session_wake, happened) =
            (std::sync::Arc::<SessionWake>::default(), Arc::new(AtomicUsize::new(0)));
        let connect = || {
            let wake = std::sync::Arc::new(Wake::of_session(std::sync::Arc::clone(&session_wake)));
            session_wake.connect(Some(std::sync::Arc::clone(&wake)));
            wake
        };
        let asked = connect();
        let ringer = {
            let happened = Arc::clone(&happened);
            thread::spawn(move || {
                happened.fetch_add(1, Ordering::Relaxed);
                asked.notify_session(cause);
            })
        };
        let newcomer = connect();
        // A connection checks when it begins, and then only when it is rung.
        if happened.load(Ordering::Relaxed) == 0 {
            sleep_until_seen(&newcomer, &happened, 1);
        }
        session_wake.connect(None);
        ringer.join().unwrap();
    });
}

#[test]
fn a_revoked_connection_is_woken_and_knows_why() {
    explore(|| {
        let wake = Arc::new(Wake::default());
        let operator = {
            let wake = Arc::clone(&wake);
            thread::spawn(move || wake.revoke(Revoked::ByOperator))
        };
        block_on(poll_fn(|context| {
            if wake.poll(context).is_some() {
                assert_eq!(wake.revoked(), Some(Revoked::ByOperator));
                return Poll::Ready(());
            }
            Poll::Pending
        }));
        operator.join().unwrap();
    });
}

/// Checks first and registers then. Loom ends the process when it finds a deadlock.
#[test]
#[ignore = "a model that is broken on purpose"]
fn registers_after_looking() {
    use ferrymq_loom::primitives::{AtomicBool, AtomicWaker};
    explore(|| {
        let wake = Arc::new((AtomicBool::default(), AtomicWaker::default()));
        let ringer = {
            let wake = Arc::clone(&wake);
            thread::spawn(move || {
                if !wake.0.swap(true, Ordering::AcqRel) {
                    wake.1.wake();
                }
            })
        };
        block_on(poll_fn(|context| {
            if wake.0.swap(false, Ordering::AcqRel) {
                return Poll::Ready(());
            }
            wake.1.register(context.waker());
            Poll::Pending
        }));
        ringer.join().unwrap();
    });
}

#[test]
fn registering_after_looking_is_noticed() {
    let broken = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "registers_after_looking"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&broken.stderr);
    assert!(!broken.status.success() && said.contains("deadlock"), "it went unnoticed: {said}");
}
