//! `ferrymq db backup` and `restore`: the real binary on real files, under load, without room,
//! interrupted.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // As inside the crate's tests.

mod common;
mod tools;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::subscriber::Subscriber;
use rustix::process::Signal;
use serde_json::Value;
use tools::{Site, command, run, start_on};

#[test]
fn a_backup_under_load_holds_all_that_was_acknowledged_before() {
    let mut site = Site::with_messages(30_000, 1);
    let port = site.broker.port;
    let (load, acknowledged) = tools::load(port);
    // The load must have begun before the backup.
    let before = tools::more_than(&acknowledged, 0);
    let backup = site.file("backup.db");
    let rate = ["--rate", "8MiB/s"];
    let saved = site.json(&[&["backup", backup.to_str().unwrap()][..], &rate[..]].concat());
    let after = tools::more_than(&acknowledged, before);
    assert!(saved["milliseconds"].as_u64().unwrap() >= 500, "it was held back: {saved}");
    assert!(saved["wal_peak_bytes"].as_u64() > saved["wal_before_bytes"].as_u64(), "{saved}");
    let copied = saved["pages"].as_u64().unwrap() * 8192;
    assert_eq!(saved["bytes"], copied, "one state, from the first step to the last");
    println!("{before} acknowledged before, {after} after: {saved}");
    run_ok(&backup, &["check"]);

    site.broker.kill();
    load.join().unwrap();
    let restored = site.json(&["restore", backup.to_str().unwrap()]);
    assert!(restored["kept_as"].as_str().unwrap().contains(".before-restore-"), "{restored}");
    site.broker.up();
    let waiting = site.json(&["queues", "--client", "away"])["messages"].as_u64().unwrap();
    let mut subscriber = Subscriber::new("away", 4);
    let mut client = subscriber.connect(port).unwrap();
    assert!(client.session_present);
    subscriber.run(&mut client, |s| s.received() >= waiting).unwrap();
    assert_eq!(subscriber.accounts["crash/p"].missing(30_000), [0; 0]);
    assert_eq!(subscriber.accounts["crash/load"].missing(before), [0; 0]);
    assert!(subscriber.accounts["crash/load"].out_of_order.is_empty());
}

fn run_ok(path: &std::path::Path, arguments: &[&str]) {
    let (code, out, err) = run(path, arguments);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_backup_replaces_nothing_by_accident() {
    let site = Site::with_messages(5, 1);
    let target = site.file("b.db");
    let name = target.to_str().unwrap();
    site.ok(&["backup", name]);
    let (code, _, err) = site.run(&["backup", name]);
    assert_eq!(code, 1);
    assert!(err.contains("b.db exists: give another name, or --force to replace it"), "{err}");
    site.ok(&["backup", name, "--force"]);
    let database = site.path().to_str().unwrap().to_owned();
    for own in ["", "-wal", "-shm", ".lock", ".reserve"] {
        let own = format!("{database}{own}");
        assert_eq!(site.run(&["backup", &own, "--force"]).0, 2, "{own}");
    }
    let link = site.file("link.db");
    std::os::unix::fs::symlink(site.path(), &link).unwrap();
    assert_eq!(site.run(&["backup", link.to_str().unwrap(), "--force"]).0, 2, "a link to it");
    for (target, words) in [
        ("/nowhere/b.db", "cannot write /nowhere/b.db.partial: No such file or directory"),
        ("/dev/full", "is a link, device, pipe or socket: give the backup a file name of its own"),
        ("/", "/ is a directory: give the backup a file name of its own"),
    ] {
        let (code, _, err) = site.run(&["backup", target, "--force"]);
        assert!(code != 0 && err.contains(words), "{code} {err}");
    }
    site.ok(&["check"]);
}

#[test]
fn a_backup_empties_no_file_that_stands_under_its_working_name() {
    let site = Site::with_messages(100, 1);
    let before = fs::metadata(site.path()).unwrap().len();
    // A symbolic link to the database, and a hard link.
    for (name, link) in [("linked", true), ("named", false)] {
        let working = site.file(&format!("{name}.partial"));
        if link {
            std::os::unix::fs::symlink(site.path(), &working).unwrap();
        } else {
            fs::hard_link(site.path(), &working).unwrap();
        }
        let target = site.file(name);
        let output = command(&["db", "backup", target.to_str().unwrap(), "--database"])
            .arg(site.path())
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(fs::metadata(site.path()).unwrap().len(), before, "{output:?}");
        assert!(working.symlink_metadata().is_ok() && !target.exists(), "{output:?}");
        fs::remove_file(&working).unwrap();
    }
    // The working file of an earlier backup.
    let left = site.file("saved.partial");
    run_ok(site.path(), &["backup", site.file("whole").to_str().unwrap()]);
    fs::rename(site.file("whole"), &left).unwrap();
    let target = site.file("saved");
    let arguments = ["db", "backup", target.to_str().unwrap(), "--database"];
    let output = command(&arguments).arg(&left).output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    assert!(left.exists(), "{output:?}");
}

#[test]
fn a_backup_that_finds_no_room_leaves_nothing() {
    let mut site = Site::with_messages(2000, 1);
    site.stop();
    let target = site.file("b.db");
    // Blocks of 512 or 1,024 bytes, depending on the shell: far below the size of the
    // database.
    let script = r#"trap '' XFSZ; ulimit -f 64; exec "$@""#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_ferrymq"), "db", "backup"]);
    let output = shell.arg(&target).arg("--database").arg(site.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot write") && text.contains("b.db.partial"), "{text}");
    assert!(!target.exists() && !site.file("b.db.partial").exists());
    site.ok(&["backup", target.to_str().unwrap()]);
}

#[test]
fn a_backup_that_is_interrupted_leaves_no_half_file() {
    let mut site = Site::with_messages(20_000, 1);
    site.stop();
    let (target, partial) = (site.file("b.db"), site.file("b.db.partial"));
    let begin = || {
        let mut child = command(&["db", "backup", "--rate", "1MiB", "--database"])
            .arg(site.path())
            .arg(&target)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The copy is in progress once the file has bytes.
        while fs::metadata(&partial).map_or(0, |file| file.len()) == 0 {
            assert_eq!(child.try_wait().unwrap(), None);
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    };
    for signal in [Signal::INT, Signal::TERM] {
        let child = begin();
        let started = Instant::now();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(started.elapsed() < Duration::from_secs(30));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.ends_with("ferrymq: interrupted: no copy was made\n"), "{text}");
        assert!(!target.exists() && !partial.exists());
    }
    let mut child = begin();
    let (code, _, err) = site.run(&["backup", target.to_str().unwrap()]);
    assert!(code == 1 && err.contains("another process is writing it"), "{err}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!target.exists() && partial.exists(), "only the other name");
    site.ok(&["backup", target.to_str().unwrap()]);
    assert!(target.exists() && !partial.exists(), "what was left is no obstacle");
}

#[test]
fn a_restore_wants_the_broker_stopped_and_keeps_what_was_there() {
    let mut site = Site::with_messages(5, 1);
    let backup = site.file("b.db");
    let name = backup.to_str().unwrap();
    site.ok(&["backup", name]);
    let (code, _, err) = site.run(&["restore", name]);
    assert_eq!(code, 3);
    let line =
        format!("is in use by the process {}: stop it before you restore", site.broker.pid());
    assert!(err.contains(&line) && err.lines().count() == 1, "{err}");
    site.publish(5);
    site.broker.kill(); // With commits in the WAL.
    let mark = format!("{}.damaged", site.path().display());
    fs::write(&mark, "found by a test").unwrap();
    let restored = site.json(&["restore", name]);
    assert_eq!(restored["messages"], 5);
    assert!(!std::path::Path::new(&mark).exists(), "the mark belonged to the old file");
    let kept = std::path::PathBuf::from(restored["kept_as"].as_str().unwrap());
    let old: Value = serde_json::from_str(&run(&kept, &["status", "--json"]).1).unwrap();
    assert_eq!(old["messages"], 10, "its WAL went with it");
    let again = site.json(&["restore", name]);
    assert_ne!(again["kept_as"], restored["kept_as"], "within one second");
    let discarded = site.json(&["restore", name, "--discard"]);
    assert_eq!(discarded["kept_as"], Value::Null);
    site.broker.up();
    assert_eq!(site.json(&["status"])["messages"], 5);
}

#[test]
fn a_restore_into_nothing_makes_the_directory() {
    let mut site = Site::with_messages(5, 1);
    let backup = site.file("b.db");
    site.ok(&["backup", backup.to_str().unwrap()]);
    site.stop();
    let new = site.file("new/place.db");
    run_ok(&new, &["restore", backup.to_str().unwrap()]);
    run_ok(&new, &["check"]);
    assert!(!site.file("new/place.db-wal").exists());
}

#[test]
fn a_start_after_a_restore_that_was_cut_off_is_refused_until_it_is_done() {
    let mut site = Site::with_messages(5, 1);
    let backup = site.file("b.db");
    site.ok(&["backup", backup.to_str().unwrap()]);
    site.stop();
    // The state between the two renames: the old file is moved aside, the new one not in
    // place.
    let restoring = format!("{}.restoring", site.path().display());
    fs::rename(site.path(), site.file("aside.db")).unwrap();
    fs::copy(&backup, &restoring).unwrap();
    let refused = start_on(site.path());
    assert!(refused.contains("was interrupted: run `ferrymq db restore` again"), "{refused}");
    assert!(!site.path().exists(), "nothing was made in its place");
    site.ok(&["restore", backup.to_str().unwrap()]);
    assert!(!std::path::Path::new(&restoring).exists());
    site.broker.up();
    assert_eq!(site.json(&["status"])["messages"], 5);
}
