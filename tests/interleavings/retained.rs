//! Retained messages: file and memory must agree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::raw::{self, Packet, Publish, Raw};
use super::step;

type Retained = BTreeMap<String, Vec<u8>>;

fn topic(n: usize) -> String {
    format!("r/{n}")
}

/// An MQTT 5.0 connection that publishes at QoS 1, with as many unacknowledged messages as a
/// broker grants by default.
struct Publisher {
    client: Raw,
    sent: usize,
    acknowledged: usize,
}

impl Publisher {
    const WINDOW: usize = 1000;

    fn connect(broker: &Broker, id: &str) -> Self {
        let client = Raw::connect(broker.port, 5, id, true).unwrap();
        Self { client, sent: 0, acknowledged: 0 }
    }

    /// Retains `payload` for each topic and waits for all acknowledgements.
    fn retain(
        &mut self,
        topics: std::ops::Range<usize>,
        payload: impl Fn(usize) -> Vec<u8>,
        expiry: Option<u32>,
    ) {
        let mut next = topics.start;
        while next < topics.end {
            let until = topics.end.min(next + Self::WINDOW / 2);
            let mut out = Vec::new();
            for n in next..until {
                let pid = u16::try_from(self.sent % Self::WINDOW + 1).unwrap();
                raw::retain(&mut out, pid, &topic(n), &payload(n), expiry);
                self.sent += 1;
            }
            next = until;
            self.client.send(&out).unwrap();
            self.settle(Self::WINDOW / 2);
        }
        self.settle(0);
    }

    /// Waits until at most `left` messages are unacknowledged.
    fn settle(&mut self, left: usize) {
        while self.sent - self.acknowledged > left {
            let Packet::PubAck(_, 0 | 0x10) = self.client.recv().unwrap() else {
                panic!("a publish was refused")
            };
            self.acknowledged += 1;
        }
    }
}

/// The retained messages that a new subscriber receives.
fn retained(broker: &Broker, filter: &str) -> Retained {
    let mut reader = Raw::connect(broker.port, 4, "reader", true).unwrap();
    reader.subscribe(filter, 0).unwrap();
    let mut seen = Retained::new();
    // No mark follows them: a second without a packet means that all have arrived.
    reader.patience(Duration::from_secs(1));
    while let Ok(packet) = reader.recv() {
        let Packet::Publish(message) = packet else { panic!("{packet:?}") };
        seen.insert(message.topic, message.payload);
    }
    seen
}

/// The sweep that removes what has expired runs every 30 s.
const SWEEP: Duration = Duration::from_secs(30);

#[test]
fn topics_that_are_published_anew_while_their_messages_expire_are_kept() {
    const TOPICS: usize = 90_000;
    let mut broker = Broker::start();
    let started = Instant::now();
    let until = |moment: Duration| std::thread::sleep(moment.saturating_sub(started.elapsed()));
    let mut publisher = Publisher::connect(&broker, "publisher");
    // So that nothing else happens during the sweep.
    until(SWEEP.checked_sub(Duration::from_secs(7)).unwrap());
    publisher.retain(0..TOPICS, |_| b"expires".to_vec(), Some(1));
    // At a constant rate, from before the sweep to after it.
    let (first, last) =
        (SWEEP.checked_sub(Duration::from_secs(1)).unwrap(), Duration::from_secs(3));
    until(first);
    let step = 300;
    let is_done = AtomicBool::new(false);
    let at_sweep = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| fewest_retained(&broker, &is_done));
        for from in (0..TOPICS).step_by(step) {
            until(first + last * u32::try_from(from).unwrap() / u32::try_from(TOPICS).unwrap());
            publisher.retain(from..TOPICS.min(from + step), |_| b"stays".to_vec(), None);
        }
        is_done.store(true, Ordering::SeqCst);
        watcher.join().unwrap()
    });
    step::fence(&broker);
    broker.kill();
    broker.up();
    let stays = retained(&broker, "r/#").values().filter(|payload| *payload == b"stays").count();
    println!(
        "{at_sweep} topics had been published anew when the sweep was over; {} of {TOPICS} \
         acknowledged retained messages were gone",
        TOPICS - stays
    );
    assert_eq!(TOPICS - stays, 0, "acknowledged retained messages gone after kill -9");
    let all = f64::from(u32::try_from(TOPICS).unwrap());
    assert!(at_sweep > 0.0 && at_sweep < all, "the sweep did not come in between");
}

/// The smallest number of topics with a message until all of them have been published again;
/// at the end of the sweep, those that had been by then.
fn fewest_retained(broker: &Broker, is_done: &AtomicBool) -> f64 {
    let mut fewest = f64::INFINITY;
    while !is_done.load(Ordering::SeqCst) {
        fewest = fewest.min(broker.metric("ferrymq_retained_messages"));
        std::thread::sleep(Duration::from_millis(2));
    }
    fewest
}

#[test]
fn file_and_memory_agree_on_what_two_publishers_retain_under_the_same_topics() {
    const TOPICS: usize = 10_000;
    let mut broker = Broker::start();
    // Topics that hold a message of the publisher with fewer of them.
    let (mut different, mut between) = (0, 0);
    for round in 0..5 {
        std::thread::scope(|scope| {
            for id in ["left", "right"] {
                let broker = &broker;
                scope.spawn(move || {
                    let mut publisher = Publisher::connect(broker, id);
                    let payload = |_| format!("{id} {round}").into_bytes();
                    publisher.retain(0..TOPICS, payload, None);
                });
            }
        });
        let memory = retained(&broker, "r/#");
        assert_eq!(memory.len(), TOPICS);
        step::fence(&broker);
        broker.kill();
        broker.up();
        let file = retained(&broker, "r/#");
        assert_eq!(file.len(), TOPICS);
        let differ = memory.iter().filter(|(topic, payload)| file[*topic] != **payload).count();
        let left = memory.values().filter(|payload| payload.starts_with(b"left")).count();
        println!(
            "round {round}: {differ} of {TOPICS} topics hold another message than memory had, which \
             had that of the left publisher in {left}"
        );
        (different, between) = (different + differ, between + left.min(TOPICS - left));
    }
    assert_eq!(different, 0, "topics that hold another message after kill -9");
    assert!(between > 0, "one publisher was done before the other began");
}

#[test]
fn two_retained_publishes_of_one_topic_that_a_full_disk_refuses_leave_the_one_before() {
    const SIZE: usize = 100_000;
    let mut broker = Broker::with(&[
        ("FERRYMQ_PERSISTENCE__MAX_SIZE", "2MiB"),
        ("FERRYMQ_PERSISTENCE__RESERVE_SIZE", "0B"),
    ]);
    Raw::connect(broker.port, 4, "away", false).unwrap().subscribe("t", 1).unwrap();
    let mut publisher = Raw::connect(broker.port, 5, "publisher", true).unwrap();
    let mut out = Vec::new();
    raw::retain(&mut out, 1, "r/1", b"accepted", None);
    publisher.send(&out).unwrap();
    assert!(matches!(publisher.recv().unwrap(), Packet::PubAck(1, 0 | 0x10)));
    for pid in 1.. {
        let payload = vec![0; 20_000];
        let message = Publish { dup: false, qos: 1, pid, topic: "t".into(), payload };
        let mut out = Vec::new();
        raw::publish(&mut out, 5, &message);
        publisher.send(&out).unwrap();
        match publisher.recv().unwrap() {
            Packet::PubAck(_, 0) => {}
            Packet::PubAck(_, 0x97) => break,
            other => panic!("{other:?}"),
        }
    }
    let mut out = Vec::new();
    for pid in [1, 2] {
        raw::retain(&mut out, pid, "r/1", &vec![b'0' + u8::try_from(pid).unwrap(); SIZE], None);
    }
    publisher.send(&out).unwrap();
    for pid in [1, 2] {
        assert_eq!(publisher.recv().unwrap(), Packet::PubAck(pid, 0x97));
    }
    let accepted: Retained = [("r/1".into(), b"accepted".to_vec())].into();
    let served = retained(&broker, "r/#");
    let what = |retained: &Retained| {
        let payload = retained.get("r/1").map(|payload| &payload[..payload.len().min(8)]);
        payload.map(|payload| String::from_utf8_lossy(payload).into_owned())
    };
    broker.kill();
    broker.up();
    let kept = retained(&broker, "r/#");
    println!("both refused: {:?} was served, and {:?} is there again", what(&served), what(&kept));
    assert!(kept == accepted, "after a restart");
    assert!(served == accepted, "a message that was refused is served");
}
