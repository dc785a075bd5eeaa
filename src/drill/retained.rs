//! Checks that the retained messages survived a restart.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::report::Retained;
use super::scenario::{RETAINED, RETAINED_FILTER};
use crate::load::{Connection, Hello, LoadError, Stop, Subscriber, wait};
use crate::protocol::{QoS, Version};

/// How long to wait for retained messages; those that have not arrived are lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Subscribes and compares: message `n` went to topic `n` modulo [`RETAINED`], and all below
/// `settled` were acknowledged.
pub(super) fn check(broker: SocketAddr, settled: u64, stop: &Stop) -> Result<Retained, LoadError> {
    let mut newest = [None; RETAINED];
    let expected: Vec<Option<u64>> =
        (0..RETAINED as u64).map(|topic| last(settled, topic)).collect();
    let hello = Hello { version: Version::V5, client_id: "retained-check", clean: true };
    let mut connection = Connection::open(broker, &hello)?;
    let mut subscriber = Subscriber::new(Version::V5);
    connection.subscribe(RETAINED_FILTER, QoS::AtLeastOnce)?;
    let deadline = Instant::now() + PATIENCE;
    while stale(&expected, &newest) > 0 && Instant::now() < deadline {
        stop.check()?;
        // Packets that arrived with SUBACK are handled before the first wait.
        let (input, output) = connection.split();
        while let Some(packet) = input.take()? {
            let Some(stamp) = subscriber.handle(&packet, output)? else { continue };
            let topic = usize::try_from(stamp.sequence % RETAINED as u64).ok();
            if let Some(place) = topic.and_then(|topic| newest.get_mut(topic)) {
                *place = (*place).max(Some(stamp.sequence));
            }
        }
        connection.flush()?;
        wait([(0, &connection)].into_iter(), Duration::from_millis(20), &mut Vec::new())?;
        connection.fill()?;
    }
    let checked = expected.iter().flatten().count() as u64;
    Ok(Retained { checked, lost: stale(&expected, &newest) })
}

/// The last message below `settled` that went to `topic`.
fn last(settled: u64, topic: u64) -> Option<u64> {
    let behind = settled.checked_sub(topic + 1)?;
    Some(topic + behind / RETAINED as u64 * RETAINED as u64)
}

/// Number of topics whose message is missing or older than an acknowledged one.
fn stale(expected: &[Option<u64>], newest: &[Option<u64>]) -> u64 {
    expected.iter().zip(newest).filter(|(expected, newest)| newest < expected).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_acknowledged_message_of_each_topic_is_known() {
        assert_eq!(last(0, 0), None);
        assert_eq!((last(1, 0), last(1, 1)), (Some(0), None));
        assert_eq!((last(11, 2), last(11, 3)), (Some(10), Some(3)));
    }

    #[test]
    fn older_and_missing_ones_are_stale_and_newer_ones_are_not() {
        let expected = [Some(8), Some(9), Some(2), None];
        assert_eq!(stale(&expected, &[Some(8), Some(17), Some(2), None]), 0);
        assert_eq!(stale(&expected, &[Some(0), None, Some(2), Some(3)]), 2);
    }
}
