//! Promise 7: on a full disk the broker refuses what it cannot store and continues with the
//! rest; the refusals end by themselves when there is room again.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::broker::{Broker, binary};
use crate::common::raw::{self, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Packet, Publish, Raw};
use crate::scenario::Scenario;
use crate::shim::{CREATE, ENOSPC, EVERY_FILE, Rule, Shim, WRITE};

const REFUSED: u8 = 0x97;

/// Nothing can be written, not even a delete.
#[test]
fn a_disk_without_a_free_block_refuses_until_there_is_room() {
    let mut broker = Broker::stopped(binary(), &[]);
    let shim = Shim::attach(&mut broker);
    broker.up();
    let mut scenario = Scenario::default().publishers(1, 4, 1, 20).members(1, 4, false, false);
    scenario.subscribe(broker.port);
    scenario.publish(broker.port, 2_000);
    let mut receiver = scenario.members[0].subscriber.connect(broker.port).unwrap();
    shim.arm(Rule { calls: WRITE | CREATE, files: EVERY_FILE, error: ENOSPC, after: 0, times: -1 });

    let mut filler = Filler::new(broker.port);
    filler.until_refused(64);
    refuses(&broker, 1);
    // The connection exists already, so the receiver needs no commit to drain its queue.
    let topic = scenario.publishers[0].topic();
    scenario.members[0].subscriber.run(&mut receiver, |it| it.has(&topic, 2_000)).unwrap();
    drop(receiver);
    await_state(&broker, "full");

    shim.disarm();
    filler.until_accepted();
    recovered(broker, scenario, &filler, "ENOSPC, every write");
}

#[test]
fn a_database_at_max_size_refuses_until_its_queues_drain() {
    let mut broker = Broker::stopped(
        binary(),
        &[
            ("FERRYMQ_PERSISTENCE__MAX_SIZE", "3MiB"),
            ("FERRYMQ_PERSISTENCE__RESERVE_SIZE", "256KiB"),
        ],
    );
    broker.up();
    fills_and_drains(broker, "max_size of 3 MiB");
}

#[test]
fn a_small_volume_refuses_until_its_queues_drain() {
    let mount = tempfile::tempdir().unwrap();
    let Some(_volume) = Volume::mount(mount.path(), "12m") else {
        println!("a volume of 12 MiB: LEFT OUT, a tmpfs cannot be mounted here");
        return;
    };
    let mut broker = Broker::stopped(binary(), &[]);
    let path = mount.path().join("ferrymq.db");
    broker.set("FERRYMQ_PERSISTENCE__PATH", path.to_str().unwrap());
    broker.up();
    fills_and_drains(broker, "a volume of 12 MiB");
}

/// A tmpfs, unmounted on drop.
struct Volume(std::path::PathBuf);

impl Volume {
    fn mount(path: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "faults"])
            .arg(path)
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(path.into()))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: the broker of a failed test may still run.
        Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
    }
}

fn fills_and_drains(broker: Broker, what: &str) {
    let port = broker.port;
    let mut scenario = Scenario::default().publishers(1, 4, 1, 20).publishers(1, 5, 2, 20);
    scenario = scenario.members(1, 4, false, false);
    scenario.subscribe(port);
    scenario.publish(port, 500);
    let mut filler = Filler::new(port);
    filler.until_refused(8_000);
    refuses(&broker, 1);
    refuses(&broker, 2);
    // QoS 2 as well: there is reserved room for "received" and for deletes.
    scenario.drain_without_marks(port);
    filler.until_accepted();
    recovered(broker, scenario, &filler, what);
}

/// Checks the refusals on a full disk.
fn refuses(broker: &Broker, qos: u8) {
    let port = broker.port;
    let mut out = Vec::new();
    raw::publish(&mut out, 4, &message("crash/old", qos, 1, vec![0; 8_000]));
    let mut old = Raw::connect(port, 4, "old", true).unwrap();
    old.send(&out).unwrap();
    assert!(old.recv().is_err(), "3.1.1 is disconnected");

    let mut new = passing(port, "new");
    let mut out = Vec::new();
    raw::publish(&mut out, 5, &message("crash/new", qos, 1, vec![0; 8_000]));
    new.send(&out).unwrap();
    let answer = new.recv().unwrap();
    let expected = if qos == 1 { Packet::PubAck(1, REFUSED) } else { Packet::PubRec(1, REFUSED) };
    assert_eq!(answer, expected);

    await_state(broker, "full");
    assert!(broker.metric("ferrymq_persistence_refused_messages_total") > 0.0);
    goes_on_without_the_disk(port);
}

/// Waits until `/readyz` and the metric show `state`; they report the end of a full disk about
/// 10 s later.
fn await_state(broker: &Broker, state: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (ready, metrics) = (broker.get("/readyz").unwrap(), broker.get("/metrics").unwrap());
        let told = metrics.lines().any(|line| {
            let is_meant = line.starts_with("ferrymq_state{") && line.contains(state);
            is_meant && line.ends_with(" 1")
        });
        if told && ready.contains(&format!("\"state\":\"{state}\"")) {
            assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
            return;
        }
        assert!(Instant::now() < deadline, "not {state}: {ready}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sessions that end with their connection are served as usual.
fn goes_on_without_the_disk(port: u16) {
    let mut subscriber = Raw::connect(port, 4, "light-sub", true).unwrap();
    subscriber.subscribe("light/#", 2).unwrap();
    let mut publisher = Raw::connect(port, 4, "light-pub", true).unwrap();
    for qos in 0..=2 {
        let mut out = Vec::new();
        raw::publish(&mut out, 4, &message("light/t", qos, 1, vec![qos]));
        publisher.send(&out).unwrap();
        match qos {
            1 => assert_eq!(publisher.recv().unwrap(), Packet::PubAck(1, 0)),
            2 => {
                assert_eq!(publisher.recv().unwrap(), Packet::PubRec(1, 0));
                publisher.send(&ack(PUBREL, 1)).unwrap();
                assert_eq!(publisher.recv().unwrap(), Packet::PubComp(1));
            }
            _ => {}
        }
        let Packet::Publish(came) = subscriber.recv().unwrap() else { panic!("no PUBLISH") };
        assert_eq!((came.qos, came.payload), (qos, vec![qos]));
        match qos {
            1 => subscriber.send(&ack(PUBACK, came.pid)).unwrap(),
            2 => {
                subscriber.send(&ack(PUBREC, came.pid)).unwrap();
                assert_eq!(subscriber.recv().unwrap(), Packet::PubRel(came.pid));
                subscriber.send(&ack(PUBCOMP, came.pid)).unwrap();
            }
            _ => {}
        }
    }
}

/// No message acknowledged before, during or after the full disk is missing, also after kill
/// -9.
fn recovered(mut broker: Broker, mut scenario: Scenario, filler: &Filler, what: &str) {
    await_state(&broker, "ready");
    broker.kill();
    broker.up();
    let mut tally = scenario.drain_and_count(broker.port);
    let account = scenario.members[0].subscriber.accounts.get(Filler::TOPIC);
    let came = |n: u64| {
        let times = account.and_then(|account| account.times.get(usize::try_from(n).unwrap()));
        times.is_some_and(|times| *times > 0)
    };
    tally.acknowledged += filler.accepted.len() as u64;
    tally.lost += filler.accepted.iter().filter(|n| !came(**n)).count() as u64;
    tally.must_be_kept(&format!("{what}, {} refused", filler.refused), 1);
}

/// An MQTT 5.0 publisher at QoS 1 that sends one message at a time and accepts refusals.
struct Filler {
    client: Raw,
    next: u64,
    size: usize,
    accepted: Vec<u64>,
    refused: u64,
}

impl Filler {
    const TOPIC: &str = "crash/filler";

    fn new(port: u16) -> Self {
        let client = passing(port, "filler");
        Self { client, next: 0, size: 64, accepted: Vec::new(), refused: 0 }
    }

    /// True if it was accepted.
    fn publish(&mut self) -> bool {
        let mut payload = vec![0; self.size];
        payload[..8].copy_from_slice(&self.next.to_be_bytes());
        let mut out = Vec::new();
        raw::publish(&mut out, 5, &message(Self::TOPIC, 1, 1, payload));
        self.client.send(&out).unwrap();
        let Packet::PubAck(1, reason) = self.client.recv().unwrap() else { panic!("no PUBACK") };
        assert!(reason == 0 || reason == REFUSED, "{reason:#x}");
        if reason == 0 {
            self.accepted.push(self.next);
        } else {
            self.refused += 1;
        }
        self.next += 1;
        reason == 0
    }

    fn until_refused(&mut self, size: usize) {
        self.size = size;
        while self.publish() {
            assert!(self.next < 20_000, "it does not become full");
        }
    }

    fn until_accepted(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.publish() {
            assert!(Instant::now() < deadline, "refusals do not end");
            // Limits the number of refusals in the log.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An MQTT 5.0 client whose session ends with its connection.
fn passing(port: u16, id: &str) -> Raw {
    Raw::with(port, id, &Connect { expiry: 0, ..Connect::new(5, true) }).unwrap()
}

fn message(topic: &str, qos: u8, pid: u16, payload: Vec<u8>) -> Publish {
    Publish { dup: false, qos, pid, topic: topic.into(), payload }
}

fn ack(first: u8, pid: u16) -> Vec<u8> {
    let mut out = Vec::new();
    raw::ack(&mut out, first, pid);
    out
}
