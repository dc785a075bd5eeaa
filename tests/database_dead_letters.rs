//! `ferrymq db dead-letters`: the real binary on a database that has some.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;
mod tools;

use std::fs;

use serde_json::{Value, json};
use tools::{Site, run};

/// Three of the bridge `up` and one of `down`, with text that a terminal would act upon.
const SOME: &str = "
    INSERT INTO dead_letter (bridge, failed_at, reason, detail, topic, remote_topic, qos, retain,
        published_at, expires_at, properties, payload) VALUES
        ('up', 2000, 135, 'no \x1b[2J rule', 'a/1', 'edge/a/1', 1, 0, 1000, 9000, X'2600016B000176', X'00FF'),
        ('down', 3000, NULL, 'closed three times', 'a/2', NULL, 2, 1, 1000, NULL, NULL, X'6869'),
        ('up', 4000, 250, '', 'a/3', NULL, 0, 0, 1000, NULL, NULL, X''),
        ('up', 5000, 153, '', 'a/4', NULL, 1, 0, 1000, NULL, NULL, zeroblob(20000));";

fn site() -> Site {
    let mut site = Site::with_messages(3, 1);
    site.stop();
    site.sql(SOME);
    site
}

#[test]
fn dead_letters_are_listed_with_their_reasons() {
    let mut site = site();
    let all = site.json(&["dead-letters", "list"]);
    assert_eq!((&all["total"], all["dead_letters"].as_array().unwrap().len()), (&json!(4), 4));
    let first = &all["dead_letters"][0];
    assert!(first["age_seconds"].as_u64().unwrap() > 1_000_000);
    let mut expected = json!({
        "id": 1, "bridge": "up", "failed_at_ms": 2000, "reason": 135, "detail": "no \u{1b}[2J rule",
        "topic": "a/1", "remote_topic": "edge/a/1", "qos": 1, "retain": false,
        "published_at_ms": 1000, "expires_at_ms": 9000, "bytes": 3 + 2 + 7,
    });
    expected["age_seconds"] = first["age_seconds"].clone();
    assert_eq!(*first, expected);
    let of_one = site.json(&["dead-letters", "list", "--bridge", "up", "--limit", "2"]);
    assert_eq!((&of_one["total"], &of_one["dead_letters"][1]["id"]), (&json!(3), &json!(3)));
    let (_, text, _) = site.run(&["dead-letters", "list", "--bridge", "up", "--limit", "2"]);
    assert!(text.contains("0x87 not authorized: no \\u{1b}[2J rule\n"), "{text}");
    assert!(text.contains("a/3    0xFA\n"), "{text}");
    assert!(text.ends_with("... and 1 more (--limit 0 shows all)\n"), "{text}");
    let (_, text, _) = site.run(&["dead-letters", "list", "--bridge", "none"]);
    assert_eq!(text, "no dead letters\n");

    // The other tools know of them, also beside a broker.
    site.broker.up();
    assert_eq!(site.json(&["status"])["dead_letters"], 4);
    let report = site.json(&["check"]);
    assert_eq!((&report["sound"], &report["rows"]["dead_letters"]), (&json!(true), &json!(4)));
    assert_eq!(site.json(&["dead-letters", "list"])["total"], 4);
}

#[test]
fn an_export_has_everything_of_each_in_a_line() {
    let site = site();
    let (code, text, err) = site.run(&["dead-letters", "export"]);
    assert_eq!(code, 0, "{err}");
    assert!(!text.contains('\u{1b}'), "safe on a terminal");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let contents = |line: &Value| (line["payload"].clone(), line["properties"].clone());
    assert_eq!(contents(&lines[0]), (json!("AP8="), json!("JgABawABdg==")));
    assert_eq!(contents(&lines[1]), (json!("aGk="), json!("")));
    assert_eq!(lines[0]["detail"], "no \u{1b}[2J rule");
    assert_eq!(lines[3]["payload"].as_str().unwrap().len(), 26_668);
    let (_, text, _) = site.run(&["dead-letters", "export", "--bridge", "down", "--json"]);
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_purge_takes_those_of_one_bridge_or_all() {
    let mut site = site();
    let before = fs::read(site.path()).unwrap();
    let dry = site.json(&["dead-letters", "purge", "--dry-run"]);
    let bridges = json!([
        { "bridge": "down", "dead_letters": 1 },
        { "bridge": "up", "dead_letters": 3 },
    ]);
    assert_eq!((&dry["bridges"], &dry["dry_run"]), (&bridges, &json!(true)));
    assert_eq!(fs::read(site.path()).unwrap(), before, "a dry run changes nothing");
    let (_, text, _) = site.run(&["dead-letters", "purge", "--bridge", "up"]);
    assert!(text.contains("deleted 3 dead letters; the file went from "), "{text}");
    assert_eq!(site.json(&["dead-letters", "list"])["total"], 1);
    assert_eq!(site.json(&["queues", "--client", "away"])["messages"], 3, "and nothing else");
    site.broker.up();
    let (code, _, err) = site.run(&["dead-letters", "purge"]);
    assert!(code == 3 && err.contains("stop it before you purge"), "{err}");
    site.stop();
    site.ok(&["dead-letters", "purge"]);
    assert_eq!(site.run(&["dead-letters", "purge"]).1, "no dead letters\n");
}

#[test]
fn a_backup_has_them_and_a_restore_brings_them_back() {
    let mut site = site();
    let backup = site.file("backup.db");
    site.broker.up();
    site.ok(&["backup", backup.to_str().unwrap()]);
    site.stop();
    let exported = site.run(&["dead-letters", "export"]).1;
    assert_eq!(run(&backup, &["dead-letters", "export"]).1.lines().count(), 4);
    site.ok(&["dead-letters", "purge"]);
    assert_eq!(site.json(&["restore", backup.to_str().unwrap()])["dead_letters"], 4);
    let ids = |text: &str| -> Vec<Value> {
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
            .collect()
    };
    assert_eq!(ids(&site.run(&["dead-letters", "export"]).1), ids(&exported));
}

#[test]
fn a_file_of_an_older_version_has_none() {
    let mut site = Site::with_messages(1, 1);
    site.stop();
    let old = site.broken_by("DROP TABLE dead_letter; PRAGMA user_version = 3");
    assert_eq!(run(&old, &["dead-letters", "list"]).1, "no dead letters\n");
    assert_eq!(run(&old, &["dead-letters", "export"]), (0, String::new(), String::new()));
    assert_eq!(run(&old, &["dead-letters", "purge"]).1, "no dead letters\n");
    let (code, text, _) = run(&old, &["status"]);
    assert!(code == 0 && text.contains("dead letters     0\n"), "{text}");
}
