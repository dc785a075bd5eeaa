//! Subscribers that receive all the time, over as many connections as needed.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::raw::Raw;
use crate::common::subscriber::Subscriber;

/// How often a receiver to which nothing comes looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// How it is connected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// Messages wait for it while it is away.
    Durable,
    /// At QoS 0, subscribed anew over each connection: for a remote broker that would repeat or
    /// disorder messages to a durable session.
    New,
}

/// What the receivers and the test tell each other.
#[derive(Default)]
pub struct Progress {
    pub received: AtomicU64,
    /// Receivers that have the last message of each topic.
    pub complete: AtomicU64,
    /// Times that a session of the kind [`Session::New`] was subscribed.
    pub subscribed: AtomicU64,
    pub end: AtomicBool,
}

/// Ends the receivers when it is dropped, so that a test that fails does not wait for them.
pub struct End<'a>(pub &'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::SeqCst);
    }
}

pub struct Receiver {
    pub port: u16,
    pub filter: &'static str,
    pub session: Session,
    pub subscriber: Subscriber,
    /// The topics, and how many messages come on each.
    pub goals: Vec<(String, u64)>,
}

impl Receiver {
    /// Receives until the end.
    pub fn run(&mut self, progress: &Progress) {
        let (mut client, mut is_complete) = (None, false);
        while !progress.end.load(Ordering::SeqCst) {
            let Ok(mut connected) = client.take().map_or_else(|| self.connect(progress), Ok) else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            let (goals, mut is_news) = (&self.goals, false);
            let outcome = self.subscriber.run(&mut connected, |subscriber| {
                // It is asked before the first packet as well.
                let news = u64::from(std::mem::replace(&mut is_news, true));
                progress.received.fetch_add(news, Ordering::Relaxed);
                if !is_complete && has_all(subscriber, goals) {
                    is_complete = true;
                    progress.complete.fetch_add(1, Ordering::SeqCst);
                }
                false
            });
            if matches!(outcome, Err(error) if is_silence(&error)) {
                client = Some(connected);
            }
        }
    }

    /// Receives what has waited for it, to the last message.
    pub fn drain(&mut self, patience: Duration) {
        let mut client = self.subscriber.connect(self.port).unwrap();
        client.patience(patience);
        let goals = &self.goals;
        // What is missing is counted.
        let _ = self.subscriber.run(&mut client, |subscriber| has_all(subscriber, goals));
    }

    fn connect(&mut self, progress: &Progress) -> io::Result<Raw> {
        let client = match self.session {
            Session::Durable => self.subscriber.connect(self.port)?,
            Session::New => {
                let (name, version) = (&self.subscriber.name, self.subscriber.version);
                let mut client = Raw::connect(self.port, version, name, true)?;
                client.subscribe(self.filter, 0)?;
                progress.subscribed.fetch_add(1, Ordering::SeqCst);
                client
            }
        };
        client.patience(LOOK);
        Ok(client)
    }
}

fn has_all(subscriber: &Subscriber, goals: &[(String, u64)]) -> bool {
    goals.iter().all(|(topic, count)| subscriber.has(topic, *count))
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
