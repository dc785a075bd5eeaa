//! `ferrymq db status`, `check`, `queues` and `purge`: the real binary on real files, beside a
//! running broker and without one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;
mod tools;

use std::fs;

use common::publisher::Publisher;
use common::subscriber::Subscriber;
use serde_json::Value;
use tools::{Site, command, files, run, start_on};

#[test]
fn status_tells_of_a_running_a_stopped_and_a_killed_broker() {
    let mut site = Site::with_messages(10, 1);
    let status = |site: &Site| -> Value { site.json(&["status"]) };
    let running = status(&site);
    assert_eq!(running["in_use_by"]["pid"], site.broker.pid());
    assert_eq!((&running["last_stop"], &running["access"]), (&"running".into(), &"live".into()));
    assert_eq!(running["messages"], 10);
    assert_eq!(running["deliveries"], 10);
    assert_eq!(running["sessions"]["away"], 2, "the subscriber and the publisher");
    assert_eq!(running["subscriptions"], 1);
    assert!(running["oldest_message"]["age_seconds"].as_u64().unwrap() < 60);

    site.stop();
    let before = files(site.path());
    let stopped = status(&site);
    assert_eq!((&stopped["last_stop"], &stopped["access"]), (&"clean".into(), &"immutable".into()));
    assert_eq!(stopped["in_use_by"], Value::Null);
    site.ok(&["check"]);
    site.ok(&["queues"]);
    assert_eq!(files(site.path()), before, "reading makes no file");

    site.broker.up();
    site.publish(5);
    site.broker.kill();
    let killed = status(&site);
    assert_eq!(killed["last_stop"], "unclean");
    assert_eq!(killed["access"], "with_wal");
    assert_eq!(killed["messages"], 15, "those in the WAL count");
    let (_, text, _) = site.run(&["status"]);
    assert!(text.contains("not in order: the next start checks the file"), "{text}");
}

#[test]
fn queues_are_sorted_cut_and_shown_in_detail() {
    let site = Site::with_messages(3, 1);
    let mut other = Subscriber::new("second", 5);
    other.subscribe(site.broker.port, "crash/#", 2);
    site.publish(4);
    let queues = site.json(&["queues"]);
    assert_eq!(queues["total"], 3);
    let lines: Vec<_> = (0..3).map(|n| &queues["queues"][n]["client_id"]).collect();
    assert_eq!(lines, ["away", "second", "p"]);
    assert_eq!(queues["queues"][0]["messages"], 7);
    assert_eq!(queues["queues"][1]["expiry_seconds"], 3600);
    let cut = site.json(&["queues", "--limit", "1", "--sort", "oldest"]);
    assert_eq!(cut["queues"].as_array().unwrap().len(), 1);
    let (_, text, _) = site.run(&["queues", "--limit", "1"]);
    assert!(text.ends_with("... and 2 more (--limit 0 shows all)\n"), "{text}");

    let one = site.json(&["queues", "--client", "away", "--limit", "2"]);
    assert_eq!(one["first"].as_array().unwrap().len(), 2);
    assert_eq!(one["first"][0]["topic"], "crash/p");
    assert_eq!(one["first"][0]["payload_hex"], Value::Null, "payloads only if asked for");
    let with = site.json(&["queues", "--client", "away", "--payload"]);
    assert!(with["first"][1]["payload"].as_str().unwrap().starts_with("\0\0\0\0\0\0\0\u{1}"));
    let (code, _, err) = site.run(&["queues", "--client", "nobody"]);
    assert_eq!(code, 1);
    assert!(err.contains("has no session of the client \"nobody\""), "{err}");
}

#[test]
fn what_is_broken_is_named() {
    let mut site = Site::with_messages(8, 2);
    site.publish_retained();
    site.stop();
    site.ok(&["check"]);
    let first = "id = (SELECT min(id) FROM delivery)";
    let cases = [
        (format!("UPDATE delivery SET packet_id = 0 WHERE {first}"), "delivery"),
        (format!("UPDATE delivery SET packet_id = 65536 WHERE {first}"), "delivery"),
        (format!("UPDATE delivery SET qos = 3 WHERE {first}"), "delivery"),
        ("UPDATE delivery SET received = 1, packet_id = 7".into(), "packet-id"),
        (format!("UPDATE delivery SET received = 1, qos = 1 WHERE {first}"), "received"),
        (
            "DELETE FROM message WHERE id = (SELECT min(id) FROM message)".into(),
            "delivery-without-message",
        ),
        ("UPDATE delivery SET message = (SELECT min(id) FROM message)".into(), "delivery-shared"),
        ("UPDATE subscription SET filter = 'a/#/b'".into(), "subscription"),
        ("UPDATE subscription SET identifier = 0".into(), "subscription"),
        ("UPDATE message SET topic = 'a/+'".into(), "message"),
        ("UPDATE message SET properties = X'FF'".into(), "message"),
        ("UPDATE meta SET value = 0 WHERE key = 'reserved_message'".into(), "reserved-ids"),
        ("UPDATE meta SET value = 0 WHERE key = 'reserved_delivery'".into(), "reserved-ids"),
        ("DELETE FROM meta WHERE key = 'clean'".into(), "meta"),
        ("INSERT INTO incoming SELECT id, 0 FROM session".into(), "incoming"),
        ("INSERT INTO incoming SELECT id, 65536 FROM session".into(), "incoming"),
        ("UPDATE retained SET payload = X''".into(), "retained"),
        ("UPDATE retained SET topic = 'a/#'".into(), "retained"),
        (dead_letter("'a/#'", "135"), "dead-letter"),
        (dead_letter("'a'", "256"), "dead-letter"),
        (
            "UPDATE session SET client_id = CAST(X'FF' AS TEXT) WHERE client_id = 'away'".into(),
            "session",
        ),
        ("UPDATE session SET version = 9".into(), "session"),
        ("UPDATE session SET will_topic = 'w'".into(), "will"),
        (
            "UPDATE session SET will_topic = '#', will_payload = X'', will_qos = 1, \
             will_retain = 0, will_delay = 0"
                .into(),
            "will",
        ),
        ("DROP VIEW inflight".into(), "schema"),
        ("DROP TABLE incoming".into(), "schema"),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 \
             WHERE name = 'retained'"
                .into(),
            "structure",
        ),
    ];
    for (sql, rule) in cases {
        let copy = site.broken_by(&sql);
        let (code, text, err) = run(&copy, &["check"]);
        assert_eq!(code, 3, "{sql}\n{text}{err}");
        assert!(text.contains(&format!("damage: {rule}: ")), "{sql}\n{text}");
        let report: Value = serde_json::from_str(&run(&copy, &["check", "--json"]).1).unwrap();
        assert_eq!(report["sound"], false, "{sql}");
        let found = report["findings"].as_array().unwrap();
        assert!(found.iter().any(|f| f["rule"] == rule && f["severity"] == "damage"), "{sql}");
    }
}

fn dead_letter(topic: &str, reason: &str) -> String {
    format!(
        "INSERT INTO dead_letter (bridge, failed_at, reason, detail, topic, qos, retain, \
         published_at, payload) VALUES ('up', 1, {reason}, '', {topic}, 1, 0, 1, X'')"
    )
}

#[test]
fn leftovers_of_a_crash_are_no_damage() {
    let mut site = Site::with_messages(8, 1);
    site.stop();
    let first = "(SELECT min(id) FROM delivery)";
    for (sql, rule) in [
        ("DELETE FROM session WHERE client_id = 'away'".to_owned(), "delivery-without-session"),
        ("DELETE FROM session WHERE client_id = 'away'".to_owned(), "subscription-without-session"),
        ("INSERT INTO incoming VALUES (999, 1)".to_owned(), "incoming-without-session"),
        (format!("DELETE FROM delivery WHERE id = {first}"), "message-without-delivery"),
        (
            format!(
                "UPDATE delivery SET shared = 1 WHERE id = {first};
                 DELETE FROM message WHERE id = (SELECT min(id) FROM message)"
            ),
            "delivery-without-message",
        ),
    ] {
        let (code, text, _) = run(&site.broken_by(&sql), &["check"]);
        assert_eq!(code, 0, "{sql}\n{text}");
        assert!(text.contains(&format!("leftover: {rule}: ")), "{sql}\n{text}");
        assert!(text.contains(" is sound: "), "{text}");
    }
}

#[test]
fn flipped_bytes_are_found_and_neither_saved_nor_restored() {
    let mut site = Site::with_messages(4000, 1);
    site.stop();
    let good = site.file("good.db");
    site.ok(&["backup", good.to_str().unwrap()]);
    let bad = site.file("bad.db");
    let mut bytes = fs::read(&good).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20_000].fill(0xA5);
    fs::write(&bad, &bytes).unwrap();

    let (code, text, _) = run(&bad, &["check"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("damage: structure: "), "{text}");
    assert!(text.contains("`ferrymq db restore FILE`"), "{text}");
    let saved = site.file("saved.db");
    assert_eq!(run(&bad, &["backup", saved.to_str().unwrap()]).0, 3);
    assert!(!saved.exists() && !site.file("saved.db.partial").exists());

    let before = fs::read(site.path()).unwrap();
    let names = files(site.path());
    for (name, length) in [("bad.db", bytes.len()), ("cut.db", 12_288), ("few.db", 60), ("0.db", 0)]
    {
        let bad = site.file(name);
        fs::write(&bad, &bytes[..length]).unwrap();
        let (code, _, err) = site.run(&["restore", bad.to_str().unwrap()]);
        assert_eq!(code, 3);
        assert!(err.contains(&format!("{name} is damaged (")), "{err}");
        assert!(err.contains("the database was not touched; restore another backup"), "{err}");
    }
    let (code, _, err) = site.run(&["restore", "/nowhere/b.db"]);
    assert_eq!((code, err.as_str()), (3, "ferrymq: the backup /nowhere/b.db does not exist\n"));
    assert_eq!(fs::read(site.path()).unwrap(), before, "untouched");
    assert_eq!(files(site.path()), names);
}

#[test]
fn files_that_are_none_of_ours_get_the_line_of_a_start() {
    let mut site = Site::with_messages(1, 1);
    site.stop();
    let newer = site.broken_by("PRAGMA user_version = 99");
    let foreign = site.file("foreign.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let letter = site.file("letter.db");
    fs::write(&letter, "This is a letter and no database, longer than a header. ".repeat(9))
        .unwrap();
    for (path, words) in [
        (&newer, "has schema version 99, this release knows up to"),
        (&foreign, "is not a FerryMQ database (application_id 0x0, 1 tables and indexes)"),
        (&letter, "is not a FerryMQ database (its header is not SQLite's)"),
    ] {
        let before = fs::read(path).unwrap();
        let refused = start_on(path);
        for tool in ["status", "check", "queues"] {
            let (code, out, err) = run(path, &[tool]);
            assert_eq!((code, out.as_str()), (3, ""), "{tool} {err}");
            assert!(err.contains(words), "{err}");
            let line = err.trim_end().strip_prefix("ferrymq: ").unwrap();
            assert!(refused.contains(line), "{line}\n{refused}");
            assert!(!line.contains("persistence.path"), "--database was given: {line}");
        }
        let target = site.file("t.db");
        assert_eq!(run(path, &["backup", target.to_str().unwrap()]).0, 3);
        assert_eq!(site.run(&["restore", path.to_str().unwrap()]).0, 3);
        assert_eq!(run(path, &["purge", "--expired"]).0, 3);
        assert_eq!(fs::read(path).unwrap(), before, "it was not touched");
    }
}

#[test]
fn a_path_that_holds_no_database_is_told_in_one_line() {
    let site = Site::stopped();
    let directory = site.file("directory");
    fs::create_dir(&directory).unwrap();
    let empty = site.file("empty.db");
    fs::write(&empty, "").unwrap();
    for (path, words) in [
        (site.file("missing.db"), "does not exist"),
        (directory, "is a directory and no file"),
        (empty, "is empty: no broker has used it yet"),
        ("/dev/null".into(), "is a device, pipe or socket and no file"),
    ] {
        for arguments in [&["status"][..], &["check"], &["queues"], &["purge", "--client", "x"]] {
            let (code, out, err) = run(&path, arguments);
            assert_eq!((code, out.as_str()), (3, ""), "{err}");
            assert!(err.contains(words) && err.lines().count() == 1, "{err}");
        }
    }
    let (_, _, err) = run(&site.file("missing.db"), &["status"]);
    assert!(!err.contains("persistence.path"), "--database was given: {err}");
    let set = format!("persistence.path={}", site.file("missing.db").display());
    let output = command(&["db", "status", "--set", &set]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--database FILE or persistence.path")
    );
    let output = command(&["db", "status", "--set", "persistence.enabled=false"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--database"));
    assert_eq!(command(&["db"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_purge_takes_one_client_and_leaves_the_others_all_they_had() {
    let mut site = Site::with_messages(5_000, 1);
    let mut other = Subscriber::new("other", 4);
    other.subscribe(site.broker.port, "crash/#", 1);
    site.publish(500);
    assert_eq!(site.run(&["purge", "--client", "away"]).0, 3, "a broker is running");
    let would = site.json(&["purge", "--client", "away", "--dry-run"]);
    site.stop();
    let before = fs::read(site.path()).unwrap();
    let dry = site.json(&["purge", "--client", "away", "--dry-run"]);
    assert_eq!(fs::read(site.path()).unwrap(), before, "a dry run changes nothing");
    let purged = site.json(&["purge", "--client", "away"]);
    for report in [&would, &dry, &purged] {
        assert_eq!(report["sessions"][0]["client_id"], "away");
        assert_eq!(report["sessions"][0]["deliveries"], 5_500);
        assert_eq!(report["messages"], 5_000, "500 wait for the other one too");
    }
    assert!(purged["file_after_bytes"].as_u64() < purged["file_before_bytes"].as_u64(), "{purged}");
    let report = site.json(&["check"]);
    assert_eq!(report["findings"], Value::Array(Vec::new()), "{report}");
    assert_eq!(site.run(&["purge", "--client", "away"]).0, 1, "it is gone");
    site.broker.up();
    assert!(!Subscriber::new("away", 4).connect(site.broker.port).unwrap().session_present);
    let mut client = other.connect(site.broker.port).unwrap();
    other.run(&mut client, |other| other.received() >= 500).unwrap();
    assert_eq!(other.received(), 500);
}

#[test]
fn expired_sessions_are_purged_and_no_others() {
    let mut site = Site::with_messages(5, 1);
    site.stop();
    assert_eq!(site.run(&["purge", "--expired"]).1, "no session has expired\n");
    site.sql("UPDATE session SET expiry = 1, disconnected_at = 1000 WHERE client_id = 'away'");
    site.sql(
        "UPDATE session SET expiry = 4294967295, disconnected_at = 1000 WHERE client_id = 'p'",
    );
    let purged = site.json(&["purge", "--expired"]);
    assert_eq!(purged["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(purged["messages"], 5);
    assert_eq!(site.json(&["status"])["sessions"]["away"], 1);
}

#[test]
fn what_clients_choose_is_printed_escaped() {
    let mut site = Site::with_messages(2, 1);
    site.stop();
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\nroot";
    let connection = rusqlite::Connection::open(site.path()).unwrap();
    connection
        .execute("UPDATE session SET client_id = ?1 WHERE client_id = 'away'", [evil])
        .unwrap();
    connection.execute("UPDATE message SET topic = ?1", [evil]).unwrap();
    connection
        .execute("UPDATE session SET client_id = ?1 WHERE client_id = 'p'", ["x".repeat(65_535)])
        .unwrap();
    drop(connection);
    let asked: [&[&str]; 5] = [
        &["queues"],
        &["queues", "--client", evil, "--payload"],
        &["purge", "--client", evil, "--dry-run"],
        &["check"],
        &["queues", "--client", "\u{1b}[2Jnobody"],
    ];
    for arguments in asked {
        for json in [&[][..], &["--json"]] {
            let (_, out, err) = site.run(&[arguments, json].concat());
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!out.contains(bad) && !err.contains(bad), "{arguments:?} {out:?} {err:?}");
        }
    }
    let (_, text, _) = site.run(&["queues"]);
    assert!(text.contains("\\u{1b}]0;owned\\u{7}\\u{9b}2J\\u{202e}\\nroot"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 200), "a huge id is cut");
    let queues = site.json(&["queues"]);
    assert_eq!(queues["queues"][0]["client_id"], evil, "the JSON holds it as it is");
    assert_eq!(queues["queues"][1]["client_id"].as_str().unwrap().len(), 65_535);
    let detail = site.json(&["queues", "--client", evil]);
    assert_eq!(detail["first"][0]["topic"], evil);
}

#[test]
fn a_tool_that_looks_never_keeps_a_broker_from_starting() {
    let mut site = Site::with_messages(1, 1);
    site.stop();
    let path = site.path().to_path_buf();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let looking = {
        let stop = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                ferrymq::maintenance::holder(&path);
            }
        })
    };
    for _ in 0..5 {
        site.broker.up();
        site.stop();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    looking.join().unwrap();
    let mut publisher = Publisher::new("q", 4, 1, 10);
    site.broker.up();
    publisher.run(site.broker.port, 1).unwrap();
}
