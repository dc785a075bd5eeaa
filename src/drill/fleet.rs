//! All clients on one thread: traffic, cuts, and coming back.

use std::net::SocketAddr;
use std::time::Duration;

use super::cast::{GROUPS, SENDERS, SHARED, TAKERS};
use super::report::{Report, Retained, Row};
use super::seat::{Part, Seat};
use super::{Dice, DrillError, retained};
use crate::load::{Clock, Pace, Publisher, Sequence, Stop, wait};
use crate::protocol::QoS;
use crate::sandbox::Broker;

/// Between two looks at who is due.
const TURN: Duration = Duration::from_millis(5);

/// A drain in which nothing comes for this long is over: what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// After the last message that is awaited: a repeat would come now.
const AFTERWARDS: Duration = Duration::from_millis(300);

const MILLIS: u64 = 1_000_000;

pub(super) struct Fleet {
    clock: Clock,
    stop: Stop,
    seats: Vec<Seat>,
    /// For each of [`GROUPS`], for each publisher.
    accounts: Vec<Vec<Sequence>>,
    next_sender: usize,
    cuts: u64,
    closed_by_broker: u64,
    packets: u64,
}

impl Fleet {
    /// Everybody comes once, subscribes, and those who are to be away leave.
    pub(super) fn assemble(broker: &mut Broker, stop: &Stop) -> Result<Self, DrillError> {
        let senders = (0..).zip(&SENDERS).map(|(number, sender)| Seat::sender(sender, number));
        let mut fleet = Self {
            clock: Clock::start(),
            stop: stop.clone(),
            // Receivers first: nothing is published before all have subscribed.
            seats: TAKERS.iter().map(Seat::taker).chain(senders).collect(),
            accounts: vec![vec![Sequence::default(); SENDERS.len()]; GROUPS.len()],
            next_sender: 0,
            cuts: 0,
            closed_by_broker: 0,
            packets: 0,
        };
        for seat in &mut fleet.seats {
            stop.check()?;
            seat.connect(broker.address())?;
            if seat.is_away() {
                seat.leave()?;
            }
        }
        Ok(fleet)
    }

    /// Messages that the broker has taken responsibility for.
    pub(super) fn acknowledged(&self) -> u64 {
        self.seats.iter().filter_map(Seat::publisher).map(Publisher::acknowledged).sum()
    }

    fn published(&self) -> u64 {
        self.seats.iter().filter_map(Seat::publisher).map(Publisher::sent).sum()
    }

    /// Publishes at `rate` for `time`, while clients are cut off at random.
    pub(super) fn traffic(
        &mut self,
        broker: &mut Broker,
        time: Duration,
        rate: f64,
        dice: &mut Dice,
    ) -> Result<(), DrillError> {
        let begin = self.clock.now();
        let end = begin + u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut pace = Pace::new(begin, rate);
        let mut next_cut = begin + dice.between(50, 250) * MILLIS;
        loop {
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            if now >= next_cut {
                self.cut(dice, now);
                next_cut = now + dice.between(50, 250) * MILLIS;
            }
            self.come_back(broker, false)?;
            while let Some(due) = pace.take(now) {
                if !self.publish_one(due) {
                    // What nobody could send is not made up for.
                    pace.put_back();
                    pace.skip_to(now + 1);
                    break;
                }
            }
            self.turn(broker)?;
        }
    }

    fn publish_one(&mut self, due: u64) -> bool {
        for _ in 0..self.seats.len() {
            self.next_sender = (self.next_sender + 1) % self.seats.len();
            let Some(seat) = self.seats.get_mut(self.next_sender) else { continue };
            if let (Part::Publisher(publisher), Some(connection)) =
                (&mut seat.part, &mut seat.connection)
                && publisher.can_send()
            {
                publisher.publish(due, connection.output());
                return true;
            }
        }
        false
    }

    /// Drops a connection in the middle of whatever is under way.
    fn cut(&mut self, dice: &mut Dice, now: u64) {
        let victim = dice.between(0, self.seats.len() as u64);
        let pause = dice.between(5, 200) * MILLIS;
        let Some(seat) = usize::try_from(victim).ok().and_then(|n| self.seats.get_mut(n)) else {
            return;
        };
        if seat.connection.take().is_some() {
            seat.back_at = now + pause;
            self.cuts += 1;
        }
    }

    /// Connects those whose time has come; `all` means also those who are away.
    fn come_back(&mut self, broker: &mut Broker, all: bool) -> Result<(), DrillError> {
        let now = self.clock.now();
        for seat in &mut self.seats {
            let due = seat.connection.is_none() && (all || seat.back_at <= now && !seat.is_away());
            if !due {
                continue;
            }
            if let Err(error) = seat.connect(broker.address()) {
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

    /// Waits for packets, takes them in, answers; once.
    fn turn(&mut self, broker: &mut Broker) -> Result<(), DrillError> {
        self.stop.check()?;
        for seat in &mut self.seats {
            if let Some(connection) = &mut seat.connection
                && connection.flush().is_err()
            {
                self.closed_by_broker += 1;
                seat.connection = None;
            }
        }
        let connected = self.seats.iter().enumerate();
        let connected = connected.filter_map(|(n, seat)| Some((n, seat.connection.as_ref()?)));
        let mut ready = Vec::new();
        wait(connected, TURN, &mut ready)?;
        let now = self.clock.now();
        for index in ready {
            let Some(seat) = self.seats.get_mut(index) else { continue };
            match seat.turn(now, &mut self.accounts) {
                Ok(packets) => self.packets += packets,
                Err(error) if error.is_broken() => {
                    if broker.has_ended() {
                        return Err(broker.failed("ended by itself").into());
                    }
                    self.closed_by_broker += 1;
                    seat.connection = None;
                }
                Err(source) => return Err(DrillError::Client { client: seat.name, source }),
            }
        }
        Ok(())
    }

    /// What the killed broker had sent still counts: it is taken in before the
    /// connections go.
    pub(super) fn after_the_kill(&mut self) -> Result<(), DrillError> {
        let now = self.clock.now();
        for seat in &mut self.seats {
            loop {
                match seat.turn(now, &mut self.accounts) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.is_broken() => break,
                    Err(source) => return Err(DrillError::Client { client: seat.name, source }),
                }
            }
            seat.connection = None;
            seat.back_at = 0;
        }
        Ok(())
    }

    /// Whether each retained topic has what was last acknowledged, or newer.
    pub(super) fn check_retained(
        &self,
        broker: SocketAddr,
        stop: &Stop,
    ) -> Result<Retained, DrillError> {
        let publisher = self.seats.iter().filter_map(Seat::publisher).next_back();
        Ok(retained::check(broker, publisher.map_or(0, Publisher::settled), stop)?)
    }

    /// Everybody comes, nobody is cut off, and all that is under way comes to its end.
    /// Answers how long that took.
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
        let publishers: Vec<_> = self.seats.iter().filter_map(Seat::publisher).collect();
        let all_there = self.accounts.iter().all(|group| {
            let mut pairs = group.iter().zip(&publishers).take(SENDERS.len() - 1);
            pairs.all(|(account, publisher)| account.missing(publisher.sent()) == 0)
        });
        let idle = self.seats.iter().all(|seat| match &seat.part {
            Part::Publisher(publisher) => publisher.is_idle(),
            Part::Subscriber { state, .. } => state.is_idle(),
        });
        all_there && idle
    }

    /// Holds what was acknowledged against what arrived.
    pub(super) fn account(&self, report: &mut Report) {
        report.published = self.published();
        report.acknowledged = self.acknowledged();
        report.cuts = self.cuts;
        report.closed_by_broker = self.closed_by_broker;
        report.sessions_lost = self.seats.iter().map(|seat| seat.sessions_lost).sum();
        let publishers: Vec<_> = self.seats.iter().filter_map(Seat::publisher).collect();
        report.unfinished = publishers.iter().map(|one| one.sent() - one.settled()).sum();
        for (group, (name, accounts)) in GROUPS.iter().zip(&self.accounts).enumerate() {
            let mut row = Row { receiver: name, ..Row::default() };
            // All but the last, whose messages are retained and not queued.
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
