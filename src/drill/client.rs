//! One client of the drill: its connection, if any, and its state.

use std::net::SocketAddr;

use super::DrillError;
use super::scenario::{Sender, Subscription};
use crate::load::{Connection, Hello, LoadError, Publisher, Resumed, Sequence, Subscriber};
use crate::protocol::{QoS, Version};

/// The state of a client that outlives its connections.
pub(super) enum Part {
    Publisher(Box<Publisher>),
    Subscriber { state: Subscriber, filter: &'static str, group: usize, away: bool },
}

/// One client.
pub(super) struct Client {
    pub(super) name: &'static str,
    version: Version,
    pub(super) part: Part,
    pub(super) connection: Option<Connection>,
    /// When it reconnects after a cut, in nanoseconds of the clients' clock.
    pub(super) back_at: u64,
    /// Number of times that the broker had lost its session.
    pub(super) sessions_lost: u64,
}

impl Client {
    pub(super) fn sender(sender: &Sender, number: u32) -> Self {
        let part = Part::Publisher(Box::new(sender.publisher(number)));
        Self::new(sender.name, sender.version, part)
    }

    pub(super) fn subscription(subscription: &Subscription) -> Self {
        let state = Subscriber::new(subscription.version);
        let (filter, group, away) = (subscription.filter, subscription.group, subscription.away);
        let part = Part::Subscriber { state, filter, group, away };
        Self::new(subscription.name, subscription.version, part)
    }

    fn new(name: &'static str, version: Version, part: Part) -> Self {
        Self { name, version, part, connection: None, back_at: 0, sessions_lost: 0 }
    }

    pub(super) fn is_away(&self) -> bool {
        matches!(self.part, Part::Subscriber { away: true, .. })
    }

    pub(super) fn publisher(&self) -> Option<&Publisher> {
        match &self.part {
            Part::Publisher(publisher) => Some(publisher),
            Part::Subscriber { .. } => None,
        }
    }

    /// Connects, resumes its session, and subscribes if it has none.
    pub(super) fn connect(&mut self, address: SocketAddr) -> Result<(), DrillError> {
        self.try_connect(address).map_err(|source| DrillError::Client { client: self.name, source })
    }

    fn try_connect(&mut self, address: SocketAddr) -> Result<(), LoadError> {
        let hello = Hello { version: self.version, client_id: self.name, clean: false };
        let mut connection = Connection::open(address, &hello)?;
        let resumed = match &mut self.part {
            Part::Publisher(publisher) => publisher.connected(&mut connection),
            Part::Subscriber { state, filter, .. } => {
                let resumed = state.connected(connection.session_present);
                if !connection.session_present {
                    connection.subscribe(filter, QoS::ExactlyOnce)?;
                }
                resumed
            }
        };
        self.sessions_lost += u64::from(resumed == Resumed::Lost);
        connection.flush()?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Disconnects with DISCONNECT, so that its session is offline.
    pub(super) fn leave(&mut self) -> Result<(), DrillError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        connection.leave().map_err(|source| DrillError::Client { client: self.name, source })
    }

    /// Reads, handles and answers packets. Messages are counted in `accounts`, one for each
    /// group and publisher. Returns the number of packets.
    pub(super) fn turn(
        &mut self,
        now: u64,
        accounts: &mut [Vec<Sequence>],
    ) -> Result<u64, LoadError> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let filled = connection.fill();
        let mut packets = 0;
        let (input, output) = connection.split();
        while let Some(packet) = input.take()? {
            packets += 1;
            match &mut self.part {
                Part::Publisher(publisher) => publisher.handle(&packet, now, output)?,
                Part::Subscriber { state, group, .. } => {
                    let Some(stamp) = state.handle(&packet, output)? else { continue };
                    let account = accounts
                        .get_mut(*group)
                        .and_then(|group| group.get_mut(usize::try_from(stamp.publisher).ok()?));
                    let account = account
                        .ok_or(LoadError::Unexpected("a message from an unknown publisher"))?;
                    account.see(stamp.sequence);
                }
            }
        }
        filled?;
        connection.flush()?;
        Ok(packets)
    }
}
