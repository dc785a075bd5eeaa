//! Answers that are kept. Pure: the clock is passed in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::Answer;
use super::request::Key;
use crate::message::WallMillis;

/// Bytes of an answer that count as one place. So `auth.http.cache_size` bounds memory: rules
/// make answers long.
const PLACE: usize = 1_024;
/// One of so many places is for answers that let nobody in. Wrong passwords are for anyone to
/// send; they must not displace the others.
const OF_REFUSALS: usize = 4;

/// Both kinds of answers.
#[derive(Debug)]
pub(super) struct Answers {
    time: Duration,
    allowed: Cache,
    others: Cache,
}

impl Answers {
    /// At most `places` answers of at most 1 KiB, or fewer longer ones, each for `time`.
    pub fn new(places: usize, time: Duration) -> Self {
        let others = places / OF_REFUSALS;
        Self { time, allowed: Cache::new(places - others), others: Cache::new(others) }
    }

    /// The answer that is still valid.
    pub fn get(&self, key: &Key, now: Instant, wall: WallMillis) -> Option<Answer> {
        let found = self.allowed.get(key, now).or_else(|| self.others.get(key, now))?;
        let has_ended = matches!(
            found,
            Answer::Allow { expires_at: Some(at), .. } if *at <= wall
        );
        (!has_ended).then(|| found.clone())
    }

    /// Keeps an answer of `size` bytes.
    pub fn insert(&mut self, key: Key, answer: Answer, size: usize, now: Instant) {
        if self.time.is_zero() || answer == Answer::Unavailable {
            return;
        }
        // The other kind may be there, from before or from a request at the same time.
        self.allowed.remove(&key);
        self.others.remove(&key);
        let kept = match answer {
            Answer::Allow { .. } => &mut self.allowed,
            _ => &mut self.others,
        };
        // No clock reaches the end of such a time.
        let Some(until) = now.checked_add(self.time) else { return };
        kept.insert(key, Entry { answer, places: 1 + size / PLACE, until, number: 0 }, now);
    }
}

/// Answers of one kind, the oldest of which gives way.
#[derive(Debug)]
struct Cache {
    places: usize,
    taken: usize,
    entries: HashMap<Key, Entry>,
    /// By age. All are kept for the same time, so the oldest ends first.
    order: BTreeMap<u64, Key>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    places: usize,
    until: Instant,
    number: u64,
}

impl Cache {
    fn new(places: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { places, taken: 0, entries, order, next: 0 }
    }

    fn get(&self, key: &Key, now: Instant) -> Option<&Answer> {
        self.entries.get(key).filter(|entry| entry.until > now).map(|entry| &entry.answer)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.taken -= entry.places;
            self.order.remove(&entry.number);
        }
    }

    fn insert(&mut self, key: Key, mut entry: Entry, now: Instant) {
        if entry.places > self.places {
            return;
        }
        while let Some((_, oldest)) = self.order.first_key_value() {
            let oldest = *oldest;
            let ended = self.entries.get(&oldest).is_none_or(|entry| entry.until <= now);
            if !ended && self.taken + entry.places <= self.places {
                break;
            }
            self.remove(&oldest);
        }
        entry.number = self.next;
        self.next += 1;
        self.taken += entry.places;
        self.order.insert(entry.number, key);
        self.entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WALL: WallMillis = WallMillis(1_000);
    const TIME: Duration = Duration::from_secs(10);

    fn allow() -> Answer {
        Answer::Allow { username: None, rules: None, expires_at: None }
    }

    fn key(number: u8) -> Key {
        [number; 32]
    }

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let start = Instant::now();
        let mut answers = Answers::new(8, TIME);
        answers.insert(key(1), allow(), 0, start);
        answers.insert(key(2), Answer::Refuse, 0, start);
        answers.insert(key(3), Answer::Unavailable, 0, start);
        let last = start + TIME - Duration::from_millis(1);
        assert_eq!(answers.get(&key(1), last, WALL), Some(allow()));
        assert_eq!(answers.get(&key(2), last, WALL), Some(Answer::Refuse));
        assert_eq!(answers.get(&key(3), start, WALL), None);
        assert_eq!(answers.get(&key(1), start + TIME, WALL), None);
        assert_eq!(answers.get(&key(2), start + TIME, WALL), None);
    }

    #[test]
    fn an_answer_does_not_outlive_the_log_in() {
        let start = Instant::now();
        let mut answers = Answers::new(8, TIME);
        let expires_at = Some(WallMillis(2_000));
        let answer = Answer::Allow { username: None, rules: None, expires_at };
        answers.insert(key(1), answer.clone(), 0, start);
        assert_eq!(answers.get(&key(1), start, WallMillis(1_999)), Some(answer));
        assert_eq!(answers.get(&key(1), start, WallMillis(2_000)), None);
    }

    #[test]
    fn the_last_answer_about_a_client_counts() {
        let start = Instant::now();
        let mut answers = Answers::new(8, TIME);
        answers.insert(key(1), allow(), 0, start);
        answers.insert(key(1), Answer::Refuse, 0, start);
        assert_eq!(answers.get(&key(1), start, WALL), Some(Answer::Refuse));
        answers.insert(key(1), allow(), 0, start);
        assert_eq!(answers.get(&key(1), start, WALL), Some(allow()));
    }

    #[test]
    fn wrong_passwords_displace_no_right_ones() {
        let start = Instant::now();
        let mut answers = Answers::new(4, TIME);
        answers.insert(key(0), allow(), 0, start);
        for number in 1..=200 {
            answers.insert(key(number), Answer::Refuse, 0, start);
        }
        assert_eq!(answers.get(&key(0), start, WALL), Some(allow()));
        assert_eq!(answers.others.entries.len(), 1);
    }

    #[test]
    fn without_time_or_places_nothing_is_kept() {
        let start = Instant::now();
        for (places, time) in [(0, TIME), (8, Duration::ZERO)] {
            let mut answers = Answers::new(places, time);
            answers.insert(key(1), allow(), 0, start);
            assert_eq!(answers.get(&key(1), start, WALL), None);
        }
    }

    proptest! {
        /// Against a list of what was inserted, the oldest first.
        #[test]
        fn the_oldest_give_way_and_the_bound_holds(
            places in 0_usize..8,
            steps in proptest::collection::vec((0_u8..6, 0_usize..4, 0_u64..6), 0..40),
        ) {
            let mut now = Instant::now();
            let mut answers = Answers::new(places * 4 / 3, TIME);
            let places = answers.allowed.places;
            let mut model: Vec<(u8, usize, Instant)> = Vec::new();
            for (number, size, seconds) in steps {
                now += Duration::from_secs(seconds);
                answers.insert(key(number), allow(), size * PLACE, now);
                model.retain(|(known, _, until)| *known != number && *until > now);
                if size < places {
                    let taken = |model: &[(u8, usize, Instant)]| {
                        model.iter().map(|entry| entry.1).sum::<usize>()
                    };
                    while taken(&model) + size + 1 > places {
                        model.remove(0);
                    }
                    model.push((number, size + 1, now + TIME));
                }
                for number in 0..6 {
                    let expected = model.iter().any(|entry| entry.0 == number && entry.2 > now);
                    prop_assert_eq!(answers.get(&key(number), now, WALL).is_some(), expected);
                }
                let cache = &answers.allowed;
                prop_assert!(cache.taken <= places && cache.order.len() == cache.entries.len());
            }
        }
    }
}
