//! All clients of a run in one poll loop.

use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::client::Client;
use super::publisher::{self, Publisher};
use super::{Clock, Endpoint, Findings, Histogram, Subscriber};

const SUBSCRIBER: Token = Token(usize::MAX - 1);

/// How long a run may make no progress before missing messages count as lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shape of the load.
#[derive(Clone, Copy)]
pub struct Shape {
    pub publishers: u32,
    /// Messages that each publisher may have unacknowledged.
    pub window: u64,
    pub qos: u8,
    /// Topics that each publisher takes in turn.
    pub topics: u32,
}

pub struct Generator {
    poll: Poll,
    events: Events,
    clock: Clock,
    /// True at QoS 0, where only the sockets slow the publishers down.
    unpaced: bool,
    publishers: Vec<Publisher>,
    subscriber: Option<Subscriber>,
    /// From sending a message to its acknowledgement.
    pub acknowledged_after: Histogram,
    /// From sending a message to its arrival at the subscriber.
    pub delivered_after: Histogram,
}

impl Generator {
    pub fn new(broker: &Endpoint, shape: Shape) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut publishers = Vec::new();
        for number in 0..shape.publishers {
            let client =
                Client::connect(broker, &format!("speed-{number}"), true, publisher::READ_BUFFER)?;
            publishers.push(Publisher::new(client, number, shape));
        }
        for (index, publisher) in publishers.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(publisher.socket.source(), Token(index), interest)?;
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            clock: Clock::start(),
            unpaced: shape.qos == 0,
            publishers,
            subscriber: None,
            acknowledged_after: Histogram::default(),
            delivered_after: Histogram::default(),
        })
    }

    pub fn attach(&mut self, mut subscriber: Subscriber) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(subscriber.socket.source(), SUBSCRIBER, interest)?;
        self.subscriber = Some(subscriber);
        Ok(())
    }

    /// Messages acknowledged to their publishers so far.
    pub fn acknowledged(&self) -> u64 {
        self.publishers.iter().map(Publisher::acknowledged).sum()
    }

    /// Messages received so far.
    pub fn received(&self) -> u64 {
        self.subscriber.as_ref().map_or(0, Subscriber::received)
    }

    pub fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Stops publishing and waits for the acknowledgements that are due.
    pub fn stop(&mut self) -> io::Result<()> {
        for publisher in &mut self.publishers {
            publisher.stopped = true;
        }
        self.run_until(|generator| generator.publishers.iter().all(Publisher::is_idle)).map(|_| ())
    }

    /// Waits until all acknowledged messages have arrived and the broker has read the
    /// subscriber's answers. Returns false if there was no progress.
    pub fn drain(&mut self) -> io::Result<bool> {
        let complete =
            self.run_until(|generator| generator.received() >= generator.acknowledged())?;
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.ping()?;
        }
        self.run_until(|generator| {
            generator.subscriber.as_ref().is_none_or(|subscriber| subscriber.ponged)
        })?;
        Ok(complete)
    }

    pub fn findings(&self) -> Findings {
        let acknowledged = self.publishers.iter().map(Publisher::acknowledged);
        self.subscriber
            .as_ref()
            .map(|subscriber| subscriber.findings(acknowledged))
            .unwrap_or_default()
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> io::Result<bool> {
        let mut progress = (0, 0);
        let mut deadline = Instant::now() + PATIENCE;
        while !done(self) {
            self.turn()?;
            let now = (self.acknowledged(), self.received());
            if now != progress {
                progress = now;
                deadline = Instant::now() + PATIENCE;
            } else if Instant::now() > deadline {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn turn(&mut self) -> io::Result<()> {
        let eager = self.unpaced && self.publishers.iter().any(Publisher::is_eager);
        let wait = if eager { Duration::ZERO } else { Duration::from_millis(20) };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for token in self.events.iter().map(Event::token) {
            if let Some(publisher) = self.publishers.get_mut(token.0) {
                publisher.turn(self.clock, &mut self.acknowledged_after)?;
            } else if let Some(subscriber) = &mut self.subscriber {
                subscriber.turn(self.clock, &mut self.delivered_after)?;
            }
        }
        if eager {
            for publisher in self.publishers.iter_mut().filter(|publisher| publisher.is_eager()) {
                publisher.turn(self.clock, &mut self.acknowledged_after)?;
            }
        }
        Ok(())
    }
}
