//! A read-only volume, and a user without permission: the start is refused with 3 and names
//! the path.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::common::broker::{Broker, binary};
use crate::shim::{CREATE, EROFS, EVERY_FILE, Rule, Shim, WRITE};

/// A broker run by a user who owns nothing, if the tests are run by root.
fn of_nobody() -> Broker {
    let mut broker = Broker::stopped(binary(), &[]);
    if rustix::process::geteuid().is_root() {
        let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
        broker.wrapper = words.map(String::from).to_vec();
    }
    broker
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_refused(what: &str, broker: &mut Broker) {
    let (code, log) = broker.refused();
    assert_eq!(code, Some(3), "{what}: {log}");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(lines.len(), 1, "{what}: {log}");
    assert!(lines[0].contains("ferrymq.db"), "{what}: {log}");
    assert!(lines[0].contains("writable"), "{what}: {log}");
    println!("refused, {what}: 1 round, exit 3, one line");
}

/// Creates a database as the user of the tests.
fn make(broker: &mut Broker) {
    let wrapper = std::mem::take(&mut broker.wrapper);
    broker.up();
    assert_eq!(broker.stop(), Some(0));
    broker.wrapper = wrapper;
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let mut broker = of_nobody();
    make(&mut broker);
    allow(broker.directory(), 0o555);
    is_refused("a directory that is not writable", &mut broker);
    allow(broker.directory(), 0o755);
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let mut broker = of_nobody();
    make(&mut broker);
    allow(broker.directory(), 0o777);
    for entry in std::fs::read_dir(broker.directory()).unwrap() {
        let path = entry.unwrap().path();
        allow(&path, if path == broker.database() { 0o444 } else { 0o666 });
    }
    is_refused("a database that is not writable", &mut broker);
}

#[test]
fn a_read_only_volume_is_refused() {
    let mut broker = Broker::stopped(binary(), &[]);
    let mount = tempfile::tempdir().unwrap();
    let path = mount.path().join("ferrymq.db");
    broker.set("FERRYMQ_PERSISTENCE__PATH", path.to_str().unwrap());
    broker.up();
    assert_eq!(broker.stop(), Some(0));
    let bound = |arguments: &[&str]| {
        let mounted = Command::new("mount").args(arguments).arg(mount.path()).status();
        mounted.is_ok_and(|status| status.success())
    };
    if !bound(&["--bind", mount.path().to_str().unwrap()]) {
        println!("a read-only volume: LEFT OUT, it cannot be mounted here");
        return;
    }
    let read_only = bound(&["-o", "remount,bind,ro"]);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(read_only);
        is_refused("a read-only volume", &mut broker);
    }));
    assert!(Command::new("umount").arg(mount.path()).status().unwrap().success());
    refused.unwrap();
}

/// As above, for machines where the test cannot mount.
#[test]
fn a_volume_that_answers_erofs_is_refused() {
    let mut broker = Broker::stopped(binary(), &[]);
    make(&mut broker);
    let shim = Shim::attach(&mut broker);
    let calls = WRITE | CREATE;
    shim.arm(Rule { calls, files: EVERY_FILE, error: EROFS, after: 0, times: -1 });
    is_refused("every write answers EROFS", &mut broker);
    assert!(shim.hits() > 0);
}
