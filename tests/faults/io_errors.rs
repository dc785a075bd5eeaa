//! Promise 7: on an I/O error the broker sends no acknowledgement for what is not on disk and
//! exits with code 5, and the next start has everything. Nothing is written after a failed
//! fsync.

use std::collections::BTreeSet;

use crate::common::broker::{Broker, binary};
use crate::common::rng::Rng;
use crate::disk::{Disk, Leaves};
use crate::power;
use crate::recording::{Event, Recording};
use crate::rounds;
use crate::scenario::Scenario;
use crate::shim::{CREATE, DATABASE, DIRECTORY, EIO, EROFS, EVERY_FILE, READ, Rule, SYNC, Shim};
use crate::shim::{WAL, WRITE};
use crate::tally::Tally;

const ROUNDS: usize = 3;

/// Makes checkpoints, which alone write the database, early and frequent.
const CHECKPOINTS: (&str, &str) = ("FERRYMQ_PERSISTENCE__WAL_CHECKPOINT_PAGES", "40");
/// Makes the broker read queues back from disk.
const NO_MEMORY: (&str, &str) = ("FERRYMQ_SESSION__MEMORY_WINDOW", "10");

#[test]
fn a_failed_write_of_the_wal_ends_the_process() {
    ends("EIO, write of the WAL", WRITE, WAL, EIO, 300);
}

#[test]
fn a_failed_sync_of_the_wal_ends_the_process_and_is_not_tried_again() {
    ends("EIO, fsync of the WAL", SYNC, WAL, EIO, 60);
}

#[test]
fn a_failed_write_of_the_database_ends_the_process() {
    ends("EIO, write of the database", WRITE, DATABASE, EIO, 60);
}

#[test]
fn a_failed_sync_of_the_database_ends_the_process_and_is_not_tried_again() {
    ends("EIO, fsync of the database", SYNC, DATABASE, EIO, 3);
}

/// As on a file system that the kernel has made read-only after an error.
#[test]
fn a_volume_that_becomes_read_only_ends_the_process() {
    ends("EROFS, every write", WRITE | CREATE, EVERY_FILE, EROFS, 300);
}

#[test]
fn a_failed_read_of_a_queue_ends_the_process() {
    let what = "EIO, read of a queue";
    let mut rng = Rng::new();
    let mut sum = Tally::default();
    for _ in 0..ROUNDS * rounds() {
        let mut broker = Broker::stopped(binary(), &[NO_MEMORY]);
        let shim = Shim::attach(&mut broker);
        broker.up();
        let mut scenario = scenario();
        scenario.subscribe(broker.port);
        scenario.publish(broker.port, 3_000);
        let after = i64::try_from(rng.between(0, 5)).unwrap();
        shim.arm(Rule { calls: READ, files: DATABASE | WAL, error: EIO, after, times: -1 });
        let member = &mut scenario.members[0].subscriber;
        let mut client = member.connect(broker.port).unwrap();
        member.run(&mut client, |_| false).unwrap_err();
        assert_eq!(broker.wait_dead().code(), Some(5), "{}", broker.log());
        assert!(shim.hits() > 0);
        Shim::detach(&mut broker);
        broker.up();
        sum += scenario.drain_and_count(broker.port);
    }
    sum.must_be_kept(what, ROUNDS * rounds());
}

/// Each read, write and sync of a start fails once. The start is refused with 3, or exits with
/// 5 if the broker was ready by then, or succeeds if the broker does not need the file.
#[test]
fn a_start_on_a_failing_disk_is_refused_or_whole() {
    let what = "EIO in a start";
    let mut sum = Tally::default();
    let mut refused = 0;
    for (calls, files) in
        [(READ, EVERY_FILE), (WRITE, EVERY_FILE), (SYNC, EVERY_FILE), (SYNC, DIRECTORY)]
    {
        let mut broker = Broker::stopped(binary(), &[]);
        let shim = Shim::attach(&mut broker);
        broker.up();
        let mut scenario = scenario();
        scenario.subscribe(broker.port);
        scenario.publish(broker.port, 300);
        for after in 0.. {
            broker.kill();
            let hits = shim.hits();
            shim.arm(Rule { calls, files, error: EIO, after, times: 1 });
            let log = broker.log().len();
            if let Err(code) = broker.try_up() {
                let log = &broker.log()[log..];
                let ready = log.contains("ferrymq::cli::serve: ready");
                assert_eq!(code, Some(if ready { 5 } else { 3 }), "{log}");
                assert!(!log.contains("panicked"), "{log}");
                let errors = log.lines().filter(|line| line.contains("ERROR")).count();
                assert!(ready || errors == 1, "{log}");
                refused += 1;
            }
            shim.disarm();
            if shim.hits() == hits || after == 60 {
                break;
            }
        }
        broker.kill();
        Shim::detach(&mut broker);
        broker.up();
        sum += scenario.drain_and_count(broker.port);
    }
    assert!(refused > 10);
    sum.must_be_kept(&format!("{what}, refused"), refused);
}

fn scenario() -> Scenario {
    let scenario = Scenario::default().publishers(1, 4, 1, 20).publishers(1, 5, 2, 20);
    scenario.members(1, 4, false, false)
}

/// Publishes at full rate until a call fails, after a random number of calls.
fn ends(what: &str, calls: i64, files: i64, error: i64, most: u64) {
    let mut rng = Rng::new();
    let mut sum = Tally::default();
    for _ in 0..ROUNDS * rounds() {
        let mut broker = Broker::stopped(binary(), &[CHECKPOINTS]);
        let shim = Shim::recording(&mut broker);
        broker.up();
        let mut scenario = scenario().members(1, 5, true, false);
        scenario.subscribe(broker.port);
        let after = i64::try_from(rng.between(0, most)).unwrap();
        let mut code = None;
        scenario.run_until(&mut broker, |broker| {
            shim.arm(Rule { calls, files, error, after, times: -1 });
            code = broker.wait_dead().code();
        });
        let log = broker.log();
        assert_eq!(code, Some(5), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        let recording = shim.read();
        nothing_is_built_upon_a_failed_sync(&recording);
        // Unsynced data is lost, as may happen after a failed fsync.
        let mut disk = Disk::default();
        recording.records.iter().for_each(|record| disk.apply(record));
        sum += power::restart(&disk, Leaves::Nothing, &scenario, &mut rng);
        Shim::detach(&mut broker);
        broker.up();
        sum += scenario.drain_and_count(broker.port);
    }
    // Each round is checked twice: on the disk without unsynced data, and on the files as they
    // are.
    sum.must_be_kept(what, 2 * ROUNDS * rounds());
}

/// After a failed fsync, the file is neither synced again nor written to.
fn nothing_is_built_upon_a_failed_sync(recording: &Recording) {
    let mut failed = BTreeSet::new();
    for record in &recording.records {
        match record.event {
            Event::Failed(SYNC) => {
                assert!(failed.insert(record.file), "fsync was tried again");
            }
            Event::Synced | Event::Written { .. } => {
                assert!(!failed.contains(&record.file), "{:?} after a failed fsync", record.event);
            }
            _ => {}
        }
    }
}
