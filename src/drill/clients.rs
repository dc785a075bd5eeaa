//! All clients of the drill on one thread: traffic, disconnects and reconnects.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Client, Part};
use super::report::{Report, Retained, Row};
use super::scenario::{GROUPS, SENDERS, SHARED, SUBSCRIPTIONS};
use super::{DrillError, Rng, retained};
use crate::load::{Clock, Pace, Publisher, Sequence, Stop, wait};
use crate::protocol::QoS;
use crate::sandbox::Broker;

/// Longest wait for packets before timers are checked again.
const TURN: Duration = Duration::from_millis(5);

/// A drain ends when no packet has arrived for this long: what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Wait for repeats after the last expected message.
const AFTERWARDS: Duration = Duration::from_millis(300);

const MILLIS: u64 = 1_000_000;

pub(super) struct Clients {
    clock: Clock,
    stop: Stop,
    members: Vec<Client>,
    /// What arrived, for each of [`GROUPS`] and each publisher.
    accounts: Vec<Vec<Sequence>>,
    next_sender: usize,
    cuts: u64,
    closed_by_broker: u64,
    packets: u64,
}

impl Clients {
    /// Connects and subscribes all clients, and disconnects those that are to be away.
    pub(super) fn assemble(broker: &mut Broker, stop: &Stop) -> Result<Self, DrillError> {
        let senders = (0..).zip(&SENDERS).map(|(number, sender)| Client::sender(sender, number));
        let mut clients = Self {
            clock: Clock::start(),
            stop: stop.clone(),
            // Receivers first: nothing is published before all have subscribed.
            members: SUBSCRIPTIONS.iter().map(Client::subscription).chain(senders).collect(),
            accounts: vec![vec![Sequence::default(); SENDERS.len()]; GROUPS.len()],
            next_sender: 0,
            cuts: 0,
            closed_by_broker: 0,
            packets: 0,
        };
        for member in &mut clients.members {
            stop.check()?;
            member.connect(broker.address())?;
            if member.is_away() {
                member.leave()?;
            }
        }
        Ok(clients)
    }

    /// Messages that the broker has taken responsibility for.
    pub(super) fn acknowledged(&self) -> u64 {
        self.members.iter().filter_map(Client::publisher).map(Publisher::acknowledged).sum()
    }

    fn published(&self) -> u64 {
        self.members.iter().filter_map(Client::publisher).map(Publisher::sent).sum()
    }

    /// Publishes at `rate` for `time`, while clients are cut off at random.
    pub(super) fn traffic(
        &mut self,
        broker: &mut Broker,
        time: Duration,
        rate: f64,
        rng: &mut Rng,
    ) -> Result<(), DrillError> {
        let begin = self.clock.now();
        let end = begin + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut pace = Pace::new(begin, rate);
        let mut next_cut = begin + rng.between(50, 250) * MILLIS;
        loop {
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            if now >= next_cut {
                self.cut(rng, now);
                next_cut = now + rng.between(50, 250) * MILLIS;
            }
            self.come_back(broker, false)?;
            while let Some(due) = pace.take(now) {
                if !self.publish_one(due) {
                    // Messages that no publisher could send are skipped.
                    pace.put_back();
                    pace.skip_to(now + 1);
                    break;
                }
            }
            self.turn(broker)?;
        }
    }

    fn publish_one(&mut self, due: u64) -> bool {
        for _ in 0..self.members.len() {
            self.next_sender = (self.next_sender + 1) % self.members.len();
            let Some(member) = self.members.get_mut(self.next_sender) else { continue };
            if let (Part::Publisher(publisher), Some(connection)) =
                (&mut member.part, &mut member.connection)
                && publisher.can_send()
            {
                publisher.publish(due, connection.output());
                return true;
            }
        }
        false
    }

    /// Drops a random connection, whatever is in flight.
    fn cut(&mut self, rng: &mut Rng, now: u64) {
        let victim = rng.between(0, self.members.len() as u64);
        let pause = rng.between(5, 200) * MILLIS;
        let Some(member) = usize::try_from(victim).ok().and_then(|n| self.members.get_mut(n))
        else {
            return;
        };
        if member.connection.take().is_some() {
            member.back_at = now + pause;
            self.cuts += 1;
        }
    }

    /// Connects the clients that are due; `all` includes those that are away.
    fn come_back(&mut self, broker: &mut Broker, all: bool) -> Result<(), DrillError> {
        let now = self.clock.now();
        for member in &mut self.members {
            let due =
                member.connection.is_none() && (all || member.back_at <= now && !member.is_away());
            if !due {
                continue;
            }
            if let Err(error) = member.connect(broker.address()) {
                let is_broken =
                    matches!(&error, DrillError::Client { source, .. } if source.is_broken());
                return Err(if is_broken && broker.has_ended() {
                    broker.failed("ended by itself").into()
                } else {
                    error
                });
            }
        }
        Ok(())
    }

    /// Waits once for packets, handles and answers them.
    fn turn(&mut self, broker: &mut Broker) -> Result<(), DrillError> {
        self.stop.check()?;
        for member in &mut self.members {
            if let Some(connection) = &mut member.connection
                && connection.flush().is_err()
            {
                self.closed_by_broker += 1;
                member.connection = None;
            }
        }
        let connected = self.members.iter().enumerate();
        let connected = connected.filter_map(|(n, member)| Some((n, member.connection.as_ref()?)));
        let mut ready = Vec::new();
        wait(connected, TURN, &mut ready)?;
        let now = self.clock.now();
        for index in ready {
            let Some(member) = self.members.get_mut(index) else { continue };
            match member.turn(now, &mut self.accounts) {
                Ok(packets) => self.packets += packets,
                Err(error) if error.is_broken() => {
                    if broker.has_ended() {
                        return Err(broker.failed("ended by itself").into());
                    }
                    self.closed_by_broker += 1;
                    member.connection = None;
                }
                Err(source) => return Err(DrillError::Client { client: member.name, source }),
            }
        }
        Ok(())
    }

    /// Handles what the killed broker had sent, then drops the connections: it still counts.
    pub(super) fn after_the_kill(&mut self) -> Result<(), DrillError> {
        let now = self.clock.now();
        for member in &mut self.members {
            loop {
                match member.turn(now, &mut self.accounts) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.is_broken() => break,
                    Err(source) => return Err(DrillError::Client { client: member.name, source }),
                }
            }
            member.connection = None;
            member.back_at = 0;
        }
        Ok(())
    }

    /// Checks that each retained topic has the message acknowledged last, or a newer one.
    pub(super) fn check_retained(
        &self,
        broker: SocketAddr,
        stop: &Stop,
    ) -> Result<Retained, DrillError> {
        let publisher = self.members.iter().filter_map(Client::publisher).next_back();
        Ok(retained::check(broker, publisher.map_or(0, Publisher::settled), stop)?)
    }

    /// Connects all clients and waits until no exchange is unfinished. Returns how long that
    /// took.
    pub(super) fn drain(&mut self, broker: &mut Broker) -> Result<Duration, DrillError> {
        let begin = self.clock.now();
        let patience = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let afterwards = u64::try_from(AFTERWARDS.as_nanos()).unwrap_or(u64::MAX);
        let (mut seen, mut since) = (self.packets, begin);
        loop {
            self.come_back(broker, true)?;
            self.turn(broker)?;
            let now = self.clock.now();
            if self.packets != seen {
                (seen, since) = (self.packets, now);
            }
            let quiet = now - since;
            if quiet > patience || (quiet > afterwards && self.is_complete()) {
                return Ok(Duration::from_nanos(since - begin));
            }
        }
    }

    fn is_complete(&self) -> bool {
        let publishers: Vec<_> = self.members.iter().filter_map(Client::publisher).collect();
        let all_there = self.accounts.iter().all(|group| {
            let mut pairs = group.iter().zip(&publishers).take(SENDERS.len() - 1);
            pairs.all(|(account, publisher)| account.missing(publisher.sent()) == 0)
        });
        let idle = self.members.iter().all(|member| match &member.part {
            Part::Publisher(publisher) => publisher.is_idle(),
            Part::Subscriber { state, .. } => state.is_idle(),
        });
        all_there && idle
    }

    /// Compares what was acknowledged with what arrived.
    pub(super) fn account(&self, report: &mut Report) {
        report.published = self.published();
        report.acknowledged = self.acknowledged();
        report.cuts = self.cuts;
        report.closed_by_broker = self.closed_by_broker;
        report.sessions_lost = self.members.iter().map(|member| member.sessions_lost).sum();
        let publishers: Vec<_> = self.members.iter().filter_map(Client::publisher).collect();
        report.unfinished = publishers.iter().map(|one| one.sent() - one.settled()).sum();
        for (group, (name, accounts)) in GROUPS.iter().zip(&self.accounts).enumerate() {
            let mut row = Row { receiver: name, ..Row::default() };
            // Without the last publisher, whose messages are retained and not queued.
            for (account, publisher) in accounts.iter().zip(&publishers).take(SENDERS.len() - 1) {
                let findings = account.findings(publisher.settled());
                row.expected += publisher.settled();
                row.received += account.received();
                row.lost += findings.lost;
                if publisher.qos() == QoS::ExactlyOnce {
                    row.repeated_qos2 += findings.repeated;
                } else {
                    row.repeated_qos1 += findings.repeated;
                }
                if group != SHARED {
                    row.reordered += findings.reordered;
                }
            }
            report.receivers.push(row);
        }
    }
}
