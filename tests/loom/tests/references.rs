//! References that several threads release.

mod common;

use ferrymq_loom::message::MessageId;
use ferrymq_loom::references::References;
use loom::sync::Arc;
use loom::thread;

use common::explore;

#[test]
fn exactly_one_of_three_releases_is_the_last() {
    explore(|| {
        let references = Arc::new(References::default());
        let id = MessageId(1);
        references.add(id, 3);
        let release = || {
            let references = Arc::clone(&references);
            thread::spawn(move || references.release(id))
        };
        let others = [release(), release()];
        let own = references.release(id);
        let last = others.map(|other| other.join().unwrap());
        assert_eq!([last[0], last[1], own].into_iter().filter(|last| *last).count(), 1);
        assert!(references.is_empty());
    });
}

#[test]
fn messages_of_one_shard_do_not_disturb_each_other() {
    explore(|| {
        let references = Arc::new(References::default());
        let (one, other) = (MessageId(1), MessageId(17));
        references.add(one, 2);
        let releases = {
            let references = Arc::clone(&references);
            thread::spawn(move || {
                references.add(other, 2);
                [references.release(other), references.release(other)]
            })
        };
        assert!(!references.release(one));
        assert!(references.release(one));
        assert_eq!(releases.join().unwrap(), [false, true]);
        assert!(references.is_empty());
    });
}
