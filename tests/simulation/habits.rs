//! The main theme of a history, and how much of it interleaves.

use crate::common::rng::Rng;

/// The actor that is stopped in a contest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// A step of a connection whose session is taken over.
    Turns,
    /// The timers, while clients reconnect.
    Timers,
    /// The background task or a publisher, while others publish.
    Retained,
}

/// Percentages unless stated otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Steps, timers and commits that may stop at a yield point.
    pub interleaving: u64,
    /// Number of packet ids that a client uses.
    pub packet_ids: u16,
    /// True if a client uses the smallest free id, so that ids are reused at once.
    pub smallest_id: bool,
    /// Most publishes at once.
    pub burst: u64,
    /// Most frames that a step reads.
    pub frames: usize,
    /// Publishes to topics used only for retained messages.
    pub retained_topics: u64,
    /// Share of these with an expiry of 1 or 2 s.
    pub brief: u64,
    /// Clients with a will.
    pub wills: u64,
    /// Share of an MQTT 5.0 client's wills with a delay.
    pub delayed: u64,
    /// Reconnects that ask for a new session.
    pub clean_starts: u64,
    /// Shares of SUBSCRIBE and UNSUBSCRIBE among a client's actions.
    pub subscribes: u64,
    pub unsubscribes: u64,
    /// Number of filters that clients use.
    pub filters: usize,
    /// Publishes at QoS 2, in addition to those of the random choice among all.
    pub qos2: u64,
    /// Contests per 1,000 steps; see `contest.rs`.
    pub contests: u64,
    pub theme: Theme,
    /// Share of an operator's requests among what happens during a step.
    pub operator: u64,
    /// True if a durable session may be resumed without an expiry, so that it ends with that
    /// connection.
    pub resumes_briefly: bool,
}

/// Every step is atomic, as on a machine with one thread.
const CALM: Habits = Habits {
    interleaving: 0,
    packet_ids: 40,
    smallest_id: false,
    burst: 5,
    frames: 12,
    retained_topics: 0,
    brief: 0,
    wills: 40,
    delayed: 33,
    clean_starts: 4,
    subscribes: 12,
    unsubscribes: 2,
    filters: 7,
    qos2: 0,
    contests: 0,
    theme: Theme::Turns,
    operator: 0,
    resumes_briefly: false,
};

/// A mix of everything.
const MIXED: Habits = Habits {
    interleaving: 6,
    retained_topics: 8,
    brief: 30,
    clean_starts: 10,
    subscribes: 12,
    unsubscribes: 5,
    operator: 10,
    ..CALM
};

/// Long steps of connections whose session is taken over.
const TAKE_OVERS: Habits = Habits {
    interleaving: 10,
    packet_ids: 14,
    smallest_id: true,
    burst: 12,
    frames: 60,
    contests: 25,
    qos2: 50,
    wills: 20,
    subscribes: 10,
    unsubscribes: 5,
    ..CALM
};

/// Subscriptions and connections that change often.
const SUBSCRIPTIONS: Habits =
    Habits { subscribes: 30, unsubscribes: 25, filters: 2, clean_starts: 8, qos2: 0, ..TAKE_OVERS };

/// Delayed wills that become due while their clients reconnect.
const WILLS: Habits = Habits {
    interleaving: 10,
    wills: 100,
    delayed: 90,
    clean_starts: 30,
    contests: 25,
    theme: Theme::Timers,
    ..CALM
};

/// Several publishers retain messages on the same topics, and the messages expire.
const RETAINED: Habits = Habits {
    interleaving: 10,
    retained_topics: 70,
    brief: 50,
    frames: 30,
    operator: 10,
    contests: 25,
    theme: Theme::Retained,
    ..CALM
};

impl Habits {
    pub fn of(rng: &mut Rng) -> Self {
        let mut habits = *rng.pick(&[
            CALM,
            MIXED,
            TAKE_OVERS,
            TAKE_OVERS,
            TAKE_OVERS,
            SUBSCRIPTIONS,
            SUBSCRIPTIONS,
            WILLS,
            RETAINED,
        ]);
        if habits.interleaving > 0 && rng.percent(20) {
            habits.interleaving = 40;
        }
        habits
    }
}
