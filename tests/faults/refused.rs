//! Promise 7: a damaged or foreign file is refused at the start, in one line that says what to
//! do, and is not changed by a single byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::common::broker::{Broker, binary};
use crate::common::rng::Rng;
use crate::scenario::Scenario;

const MESSAGES: u64 = 2_000;
/// 2,000 messages of this size are about a thousand pages.
const PAYLOAD: usize = 4_000;

/// A stopped broker with a queue in its database, and the clients that filled it.
fn with_queue(clean: bool) -> (Broker, Scenario) {
    let mut broker = Broker::stopped(binary(), &[("FERRYMQ_SESSION__MEMORY_WINDOW", "10")]);
    broker.up();
    let mut scenario = Scenario::default().publishers(1, 4, 1, 100).members(1, 4, false, false);
    let publisher = scenario.publishers.remove(0).with_payload(PAYLOAD);
    scenario.publishers.push(publisher);
    scenario.subscribe(broker.port);
    scenario.publish(broker.port, MESSAGES);
    if clean {
        assert_eq!(broker.stop(), Some(0));
    } else {
        // Waits until the WAL is empty, so that damage to the database matters.
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::fs::metadata(wal(&broker)).unwrap().len() > 0 {
            assert!(Instant::now() < deadline, "the WAL is not emptied when idle");
            std::thread::sleep(Duration::from_millis(20));
        }
        broker.kill();
    }
    (broker, scenario)
}

fn wal(broker: &Broker) -> std::path::PathBuf {
    broker.directory().join("ferrymq.db-wal")
}

/// The files that must not change: all but the log, the lock file, the `-shm` file, which each
/// start creates anew, and an empty WAL.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let kept =
        names.filter(|name| ![".log", ".lock", "-shm"].iter().any(|end| name.ends_with(end)));
    let read = |name: String| {
        let bytes = std::fs::read(directory.join(&name)).unwrap();
        (name, bytes)
    };
    kept.map(read).filter(|(name, bytes)| !(name.ends_with("-wal") && bytes.is_empty())).collect()
}

/// Checks that the start fails with one line that contains all of `words`.
fn is_refused(what: &str, broker: &mut Broker, words: &[&str]) {
    let before = contents(broker.directory());
    // Twice: the first refusal must not make the second start succeed.
    for _ in 0..2 {
        let (code, log) = broker.refused();
        assert_eq!(code, Some(3), "{what}: {log}");
        let lines: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert_eq!(lines.len(), 1, "{what}: {log}");
        for word in words {
            assert!(lines[0].contains(word), "{what}: no {word:?} in {log}");
        }
    }
    let after = contents(broker.directory());
    let same = before == after;
    assert!(same, "{what}: {:?} became {:?}, or their contents", before.keys(), after.keys());
    println!("refused, {what}: 2 rounds, exit 3, one line, untouched");
}

#[test]
fn a_text_file_is_refused() {
    let mut broker = Broker::stopped(binary(), &[]);
    std::fs::write(broker.database(), "shopping\n".repeat(2_000)).unwrap();
    is_refused("a text file", &mut broker, &["is not a FerryMQ database", "persistence.path"]);
}

#[test]
fn a_short_text_file_is_refused() {
    let mut broker = Broker::stopped(binary(), &[]);
    std::fs::write(broker.database(), "milk, eggs\n").unwrap();
    is_refused("a short text file", &mut broker, &["is not a FerryMQ database"]);
}

#[test]
fn somebody_elses_database_is_refused() {
    let mut broker = Broker::stopped(binary(), &[]);
    let other = Connection::open(broker.database()).unwrap();
    other.execute_batch("CREATE TABLE recipe (title); INSERT INTO recipe VALUES ('soup')").unwrap();
    drop(other);
    is_refused(
        "a foreign database",
        &mut broker,
        &["is not a FerryMQ database", "persistence.path"],
    );
}

#[test]
fn a_database_of_a_later_release_is_refused() {
    let (mut broker, _) = with_queue(true);
    let ours = Connection::open(broker.database()).unwrap();
    let version: i64 = ours.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    ours.pragma_update(None, "user_version", version + 1).unwrap();
    drop(ours);
    is_refused("a newer schema", &mut broker, &["has schema version", "run the release"]);
}

#[test]
fn a_page_that_was_overwritten_is_found_by_the_check() {
    let (mut broker, _) = with_queue(false);
    overwrite_pages(&broker);
    is_refused("damaged pages", &mut broker, &["is damaged", "put a backup in its place"]);
}

/// After a clean stop the file is not checked: damage is found when it is read.
#[test]
fn damage_after_an_orderly_stop_is_found_when_it_is_read() {
    let (mut broker, mut scenario) = with_queue(true);
    overwrite_pages(&broker);
    if let Err(code) = broker.try_up() {
        assert_eq!(code, Some(3));
    } else {
        let member = &mut scenario.members[0].subscriber;
        let mut client = member.connect(broker.port).unwrap();
        member.run(&mut client, |_| false).unwrap_err();
        assert_eq!(broker.wait_dead().code(), Some(5), "{}", broker.log());
    }
    let (code, log) = broker.refused();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("is damaged"), "{log}");
    println!("refused, damaged pages after an orderly stop: 1 round, exit 5 when read, then 3");
}

#[test]
fn a_database_that_was_cut_short_is_refused() {
    for clean in [true, false] {
        let (mut broker, _) = with_queue(clean);
        let file = std::fs::File::options().write(true).open(broker.database()).unwrap();
        let pages = file.metadata().unwrap().len() / 8192;
        file.set_len(pages / 2 * 8192).unwrap();
        let what = if clean { "half a file, clean stop" } else { "half a file, unclean stop" };
        is_refused(what, &mut broker, &["is damaged"]);
    }
}

/// Overwrites sixteen pages in the middle, so that not all of them are payload.
fn overwrite_pages(broker: &Broker) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().write(true).open(broker.database()).unwrap();
    let pages = file.metadata().unwrap().len() / 8192;
    assert!(pages > 200, "{pages} pages");
    file.write_all_at(&vec![0xA5; 16 * 8192], pages / 2 * 8192).unwrap();
}

/// A file that is not a WAL holds no commits: SQLite, and so the broker, ignores it, as after
/// a power cut that left its first page torn.
#[test]
fn garbage_in_place_of_the_wal_is_no_obstacle() {
    let (mut broker, mut scenario) = with_queue(true);
    std::fs::write(wal(&broker), vec![0x5A; 100_000]).unwrap();
    broker.up();
    let tally = scenario.drain_and_count(broker.port);
    tally.must_be_kept("garbage in place of an empty WAL", 1);
}

/// Commits that were cut off are lost, and cannot be told from what a power cut may leave. The
/// rest is there, complete and in order.
#[test]
fn a_wal_that_was_cut_short_keeps_what_stands_before_the_cut() {
    const ROUNDS: usize = 4;
    let mut rng = Rng::new();
    for _ in 0..ROUNDS {
        let mut broker = Broker::start();
        let mut scenario = Scenario::default().publishers(1, 4, 1, 20).members(1, 4, false, false);
        scenario.subscribe(broker.port);
        scenario.publish(broker.port, 500);
        broker.kill();
        let file = std::fs::File::options().write(true).open(wal(&broker)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(rng.between(length / 2, length)).unwrap();
        broker.up();
        scenario.drain(broker.port);
        let account = scenario.members[0].subscriber.accounts.get("crash/p0");
        let times: &[u32] = account.map_or(&[], |account| &account.times);
        assert!(times.iter().all(|times| *times == 1), "{times:?}");
        assert!(!times.is_empty() && times.len() < 500, "{} came", times.len());
    }
    println!("a WAL cut short: {ROUNDS} rounds, what stands before the cut came in order");
}
