//! A message that the remote broker refuses for good is in the queue or a dead letter, whenever
//! the edge broker crashes.

use std::time::Duration;

use crate::common::drain::until;
use crate::common::raw::{self, PUBACK, PUBREC, Publish, Raw};
use crate::stand_in::{Case, forwarded, nothing_is_left, until_dead};

const NOT_AUTHORIZED: u8 = 0x87;

fn refuse(bridge: &mut Raw, message: &Publish) {
    let first = if message.qos == 1 { PUBACK } else { PUBREC };
    let [high, low] = message.pid.to_be_bytes();
    let mut out = Vec::new();
    raw::frame(&mut out, first, &[high, low, NOT_AUTHORIZED]);
    bridge.send(&out).unwrap();
}

/// The topics and reasons of the dead letters.
fn dead_letters(case: &Case) -> Vec<(String, u8)> {
    let database = rusqlite::Connection::open(case.edge.database()).unwrap();
    let mut select = database.prepare("SELECT topic, reason FROM dead_letter").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The remote broker refuses a message, at which the edge broker crashes.
fn refused(qos: u8, when: &str) -> (Case, Publish) {
    let mut case = Case::new(5);
    case.publish("x", qos);
    case.armed(when, "dead-letter");
    let mut bridge = case.dialled();
    let sent = forwarded(&mut bridge);
    refuse(&mut bridge, &sent);
    assert_eq!(until_dead(&mut bridge), []);
    case.crashed();
    (case, sent)
}

#[test]
fn dying_before_the_dead_letter_is_committed_keeps_the_message_which_is_buried_once() {
    for qos in [1, 2] {
        let (mut case, sent) = refused(qos, "before-commit");
        assert_eq!(dead_letters(&case), []);
        let mut bridge = case.dialled();
        assert_eq!(forwarded(&mut bridge), Publish { dup: true, ..sent.clone() });
        refuse(&mut bridge, &sent);
        until("buried", Duration::from_secs(10), || !dead_letters(&case).is_empty());
        case.restarted();
        assert_eq!(dead_letters(&case), [("out".into(), NOT_AUTHORIZED)]);
        let mut bridge = case.dialled();
        nothing_is_left(&case, &mut bridge);
    }
}

#[test]
fn dying_after_the_dead_letter_is_committed_sends_it_no_more() {
    for qos in [1, 2] {
        let (mut case, _) = refused(qos, "after-commit");
        assert_eq!(dead_letters(&case), [("out".into(), NOT_AUTHORIZED)]);
        let mut bridge = case.dialled();
        nothing_is_left(&case, &mut bridge);
        assert_eq!(dead_letters(&case).len(), 1);
    }
}
