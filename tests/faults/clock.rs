//! The wall clock is set while the broker runs, and between two runs. Within a run, expiry is
//! counted in monotonic time, so that nothing expires early or late. Across a restart of the
//! broker the machine's uptime tells how much time has passed; across a restart of the machine
//! only the wall clock remains, which may have been wrong.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::broker::{Broker, binary};
use crate::common::drain::until;
use crate::common::raw::{self, Connect, Packet, Raw, Will};
use crate::scenario::Scenario;
use crate::shim::Shim;
use crate::tally::Tally;

const HOUR: i64 = 3600;
const DAYS: i64 = 3 * 24 * HOUR;

#[derive(Debug, Clone, Copy)]
enum Stop {
    Killed,
    InOrder,
}

const STOPS: [Stop; 2] = [Stop::Killed, Stop::InOrder];

/// A broker whose wall clock can be set, with sessions of which some expire after an hour and
/// some after two seconds.
struct House {
    broker: Broker,
    shim: Shim,
    /// When the short sessions began to expire.
    since: Instant,
}

impl House {
    fn new() -> Self {
        Self::at(0)
    }

    /// Starts with a wall clock that is off by `seconds`.
    fn at(seconds: i64) -> Self {
        let mut broker = Broker::stopped(binary(), &[]);
        let shim = Shim::attach(&mut broker);
        shim.step_clock(seconds);
        broker.up();
        assert!(shim.is_loaded());
        let house = Self { broker, shim, since: Instant::now() };
        let mut observer = house.client("observer", 4, 0, None);
        observer.subscribe("wills/#", 1).unwrap();
        observer.subscribe("t", 1).unwrap();
        drop(observer);
        for (id, expiry, delay) in [("long", 3600, 1800), ("short", 2, 1)] {
            let mut client = house.client(id, 5, expiry, Some(delay));
            client.subscribe("t", 1).unwrap();
            // The connection ends without DISCONNECT, so that the will waits for its delay.
        }
        house.publish("hour", Some(3600));
        house.publish("brief", Some(2));
        house.publish("for good", None);
        house
    }

    fn client(&self, id: &str, version: u8, expiry: u32, will: Option<u32>) -> Raw {
        let will = will.map(|delay| Will { delay, ..Will::new(format!("wills/{id}")) });
        let connect = Connect { expiry, will, ..Connect::new(version, false) };
        Raw::with(self.broker.port, id, &connect).unwrap()
    }

    /// Publishes at QoS 1 and waits for PUBACK.
    fn publish(&self, payload: &str, expiry: Option<u32>) {
        let mut client = Raw::connect(self.broker.port, 5, "publisher", true).unwrap();
        let mut body = vec![0, 1, b't', 0, 1];
        match expiry {
            // Message Expiry Interval.
            Some(seconds) => {
                body.extend([5, 2]);
                body.extend(seconds.to_be_bytes());
            }
            None => body.push(0),
        }
        body.extend(payload.as_bytes());
        let mut out = Vec::new();
        raw::frame(&mut out, 0x32, &body);
        client.send(&out).unwrap();
        assert_eq!(client.recv().unwrap(), Packet::PubAck(1, 0));
    }

    /// Waits until everything that expires after two seconds has done so.
    fn wait_for_the_short_ones(&self) {
        thread::sleep(Duration::from_secs(5).saturating_sub(self.since.elapsed()));
    }

    fn until_logged(&self, text: &str) {
        until(text, Duration::from_secs(10), || self.broker.log().contains(text));
    }

    fn restart(&mut self, seconds: i64) {
        self.broker.kill();
        self.shim.step_clock(seconds);
        self.broker.up();
        self.since = Instant::now();
    }

    /// Restarts the broker as after a reboot: the boot identifier in the file is another one.
    fn reboot(&mut self, seconds: i64, stop: Stop) {
        match stop {
            Stop::Killed => self.broker.kill(),
            Stop::InOrder => assert_eq!(self.broker.stop(), Some(0)),
        }
        let file = rusqlite::Connection::open(self.broker.database()).unwrap();
        file.execute("UPDATE meta SET value = 1 WHERE key = 'clock_boot'", []).unwrap();
        drop(file);
        self.shim.step_clock(seconds);
        self.broker.up();
        self.since = Instant::now();
    }

    /// Checks that what expires after an hour is there, and that its will was not published.
    fn has_lost_nothing(&self, what: &str) {
        let waiting = self.waiting("long", 5);
        // What expires after two seconds may be there or not.
        let mut came = names(&waiting);
        came.retain(|name| *name != "t: brief");
        assert_eq!(came, ["t: hour", "t: for good"], "{what}");
        let waiting = self.waiting("observer", 4);
        let came = names(&waiting);
        assert!(!came.contains(&"wills/long: gone"), "{came:?}, {what}");
        assert!(came.contains(&"t: hour") && came.contains(&"t: for good"), "{came:?}, {what}");
    }

    fn has_session(&self, id: &str, version: u8) -> bool {
        self.client(id, version, 3600, None).session_present
    }

    /// Topics and payloads queued for `id`, with the rest of their expiry.
    fn waiting(&self, id: &str, version: u8) -> Vec<(String, Option<u32>)> {
        let mut client = self.client(id, version, 3600, None);
        assert!(client.session_present, "{id}");
        client.patience(Duration::from_secs(2));
        std::iter::from_fn(|| client.recv_frame().ok())
            .map(|(first, body)| {
                assert_eq!(first & 0xF6, 0x32, "PUBLISH, QoS 1");
                let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let name = String::from_utf8(body[2..topic].to_vec()).unwrap();
                let properties = if version == 5 { usize::from(body[topic + 2]) + 1 } else { 0 };
                let (properties, payload) = body[topic + 2..].split_at(properties);
                let payload = String::from_utf8(payload.to_vec()).unwrap();
                let expiry = properties.iter().position(|byte| *byte == 2);
                let expiry = expiry.map(|at| &properties[at + 1..at + 5]);
                let left = expiry.map(|left| u32::from_be_bytes(left.try_into().unwrap()));
                (format!("{name}: {payload}"), left)
            })
            .collect()
    }
}

fn names(waiting: &[(String, Option<u32>)]) -> Vec<&str> {
    waiting.iter().map(|(name, _)| name.as_str()).collect()
}

fn within_a_run(step: i64) {
    let house = House::new();
    house.shim.step_clock(step);
    house.wait_for_the_short_ones();
    // The short will is published when due, the long one not yet.
    assert_eq!(
        names(&house.waiting("observer", 4)),
        ["t: hour", "t: for good", "wills/short: gone"],
        "{step}"
    );
    assert!(!house.has_session("short", 5), "it should have expired, {step}");
    let waiting = house.waiting("long", 5);
    assert_eq!(names(&waiting), ["t: hour", "t: for good"], "{step}");
    let left = waiting[0].1.unwrap();
    assert!((3500..=3600).contains(&left), "{left} s are left of an hour, {step}");
    house.publish("after", None);
}

#[test]
fn a_step_forward_within_a_run_expires_nothing_early() {
    within_a_run(DAYS);
    println!("clock, 3 days forward within a run: 1 round, nothing early, nothing late");
}

#[test]
fn a_step_backward_within_a_run_keeps_nothing_longer() {
    within_a_run(-DAYS);
    println!("clock, 3 days back within a run: 1 round, nothing early, nothing late");
}

#[test]
fn across_a_restart_the_wall_clock_counts() {
    let mut house = House::new();
    house.reboot(2 * HOUR, Stop::Killed);
    // Wills and expired sessions that became due meanwhile.
    house.wait_for_the_short_ones();
    assert!(!house.has_session("long", 5), "an hour is over");
    assert!(!house.has_session("short", 5), "an hour is over");
    let mut came = house.waiting("observer", 4);
    came.sort();
    assert_eq!(names(&came), ["t: for good", "wills/long: gone", "wills/short: gone"]);
    println!("clock, 2 hours forward across a restart: 1 round, what was due is gone");
}

#[test]
fn a_step_backward_across_a_restart_keeps_nothing_longer_than_it_was_to_live() {
    let mut house = House::new();
    house.restart(-DAYS);
    house.wait_for_the_short_ones();
    assert_eq!(
        names(&house.waiting("observer", 4)),
        ["t: hour", "t: for good", "wills/short: gone"]
    );
    assert!(!house.has_session("short", 5), "two seconds are over");
    let waiting = house.waiting("long", 5);
    assert_eq!(names(&waiting), ["t: hour", "t: for good"]);
    let left = waiting[0].1.unwrap();
    assert!(left <= 3600, "{left} s are left of an hour");
    println!("clock, 3 days back across a restart: 1 round, nothing lives longer than it was to");
}

/// Seconds from now back to about the start of 1970.
fn to_1970() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    100 - i64::try_from(now.as_secs()).unwrap()
}

#[test]
fn a_clock_of_1970_at_the_previous_start_ends_nothing() {
    for stop in STOPS {
        let mut house = House::at(to_1970());
        house.reboot(0, stop);
        house.has_lost_nothing(&format!("1970, {stop:?}"));
    }
}

#[test]
fn a_clock_that_was_set_right_while_the_broker_ran_ends_nothing_at_the_next_start() {
    for (seconds, stop) in [-10 * DAYS / 3, to_1970()].into_iter().zip(STOPS) {
        let mut house = House::at(seconds);
        house.shim.step_clock(0);
        house.until_logged("the wall clock was stepped");
        // The mark is in the file with the next commit, which is this session's.
        house.client("marker", 5, 3600, None);
        house.reboot(0, stop);
        house.has_lost_nothing(&format!("set right while it ran, {seconds} s, {stop:?}"));
    }
}

#[test]
fn a_clock_that_a_restart_finds_behind_the_file_is_doubted_at_the_one_after_it() {
    for stop in STOPS {
        let mut house = House::new();
        house.reboot(-10 * DAYS / 3, stop);
        house.reboot(0, stop);
        house.has_lost_nothing(&format!("10 days back in between, {stop:?}"));
    }
}

#[test]
fn a_clock_that_is_set_between_two_runs_of_one_boot_ends_nothing() {
    for seconds in [-10 * DAYS / 3, to_1970(), 2 * HOUR] {
        let mut house = House::at(seconds);
        house.restart(0);
        house.has_lost_nothing(&format!("the broker alone was restarted, {seconds} s"));
    }
}

/// Nothing shows that the clock was ten days behind, but clients connected at the stop did not
/// disconnect.
#[test]
fn the_expiry_of_who_was_connected_at_the_stop_begins_at_the_next_start() {
    for stop in STOPS {
        let mut house = House::at(-10 * DAYS / 3);
        let mut here = house.client("here", 5, 3600, Some(1800));
        here.subscribe("t", 1).unwrap();
        here.subscribe("wills/here", 1).unwrap();
        house.publish("held", None);
        house.reboot(0, stop);
        drop(here);
        // The session has not expired, and the delay of its will has not passed.
        assert_eq!(names(&house.waiting("here", 5)), ["t: held"], "{stop:?}");
    }
}

/// The clock jumps back and forth while messages flow, and over kill -9.
#[test]
fn no_acknowledgement_is_lost_to_a_clock_that_jumps() {
    const ROUNDS: usize = 4;
    let mut broker = Broker::stopped(binary(), &[]);
    let shim = Shim::attach(&mut broker);
    broker.up();
    let scenario = Scenario::default().publishers(1, 4, 1, 20).publishers(1, 5, 2, 20);
    let mut scenario = scenario.members(1, 4, false, false).members(1, 5, true, false);
    scenario.subscribe(broker.port);
    let mut last = Tally::default();
    // Less than the session expiry.
    for step in [-DAYS, DAYS, -HOUR, HOUR].into_iter().take(ROUNDS) {
        scenario.run_until(&mut broker, |broker| {
            for seconds in [step, 0, -step] {
                shim.step_clock(seconds);
                thread::sleep(Duration::from_millis(40));
            }
            broker.kill();
        });
        broker.up();
        last = scenario.drain_and_count(broker.port);
    }
    last.must_be_kept("clock jumps under load and across kill -9", ROUNDS);
}
