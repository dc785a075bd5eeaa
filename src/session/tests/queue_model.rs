//! The queue in three parts against one plain list.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Commit,
    Send,
    Acknowledge,
    Reconnect,
    Leave,
    Forget,
    PageArrives,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Publish),
        3 => Just(Step::Commit),
        4 => Just(Step::Send),
        6 => Just(Step::Acknowledge),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Leave),
        1 => Just(Step::Forget),
        4 => Just(Step::PageArrives),
    ];
    prop::collection::vec(step, 1..400)
}

/// The session with a disk that is a list, and what it should do.
struct World {
    session: Session,
    committed: u64,
    next: u64,
    uncommitted: Vec<Arc<Message>>,
    page: Option<Page>,
    in_flight: VecDeque<(u64, u16)>,
    /// Every delivery that is not acknowledged, in order, with its packet id.
    model: VecDeque<(u64, u16)>,
}

impl World {
    fn new() -> Self {
        let mut session = session(LIMITS);
        attach(&mut session, 3);
        Self {
            session,
            committed: 1,
            next: 1,
            uncommitted: Vec::new(),
            page: None,
            in_flight: VecDeque::new(),
            model: VecDeque::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish => {
                let message =
                    enqueue(&mut self.session, self.next, QoS::AtLeastOnce, self.committed);
                let packet_id = u16::try_from((self.next - 1) % 65_535 + 1).unwrap();
                self.model.push_back((self.next, packet_id));
                self.uncommitted.push(message);
                self.next += 1;
            }
            Step::Commit => {
                self.committed += 1;
                for message in self.uncommitted.drain(..) {
                    message.durability.take(self.committed);
                }
            }
            Step::Send => self.send(),
            Step::Acknowledge => {
                if let Some((id, packet)) = self.in_flight.pop_front() {
                    let receipt = self.session.puback(packet_id(packet), Instant::now());
                    assert!(matches!(receipt, Receipt::Done(entry) if entry.message.id.0 == id));
                    assert_eq!(self.model.pop_front(), Some((id, packet)));
                }
            }
            Step::Reconnect => {
                attach(&mut self.session, 3);
                self.in_flight.clear();
            }
            Step::Leave => {
                self.session.detach(WallMillis(1));
                self.in_flight.clear();
            }
            Step::Forget => {
                if self.session.life.connected().is_none() {
                    self.session.forget(self.committed);
                }
            }
            Step::PageArrives => self.page_arrives(),
        }
        assert_eq!(self.session.backlog(), self.model.len());
    }

    fn send(&mut self) {
        for (id, packet, _) in sent(&mut self.session, self.committed) {
            self.in_flight.push_back((id, packet));
        }
        // What is in flight is always the front of what is unacknowledged.
        assert!(self.in_flight.iter().eq(self.model.iter().take(self.in_flight.len())));
        if self.page.is_none() {
            self.page = self.session.next_page();
        }
    }

    fn page_arrives(&mut self) {
        let Some(page) = self.page.take() else { return };
        let head = |id: u64| MessageHead {
            id: MessageId(id),
            qos: QoS::AtLeastOnce,
            retain: false,
            published_at: WallMillis(0),
            expires_at: None,
        };
        let entries: Vec<Entry> = page
            .ids
            .iter()
            .map(|queued| Entry {
                message: Arc::new(Message::stored(head(queued.id.0), "t", &[], b"payload")),
                delivery: queued.id,
                packet_id: PacketId::new(u16::try_from((queued.id.0 - 1) % 65_535 + 1).unwrap()),
                qos: QoS::AtLeastOnce,
                retain: false,
                dup: false,
                state: DeliveryState::Ready,
                home: Home::Row,
                identifiers: SmallVec::new(),
            })
            .collect();
        self.session.paged(entries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn every_delivery_is_sent_in_order_wherever_it_was_kept(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // A client that comes back and acknowledges gets all the rest.
        world.step(&Step::Commit);
        world.step(&Step::Reconnect);
        while !world.model.is_empty() {
            let before = world.model.len();
            for step in [Step::Send, Step::PageArrives, Step::Send, Step::Acknowledge, Step::Acknowledge] {
                world.step(&step);
            }
            prop_assert!(world.model.len() < before, "stuck with {before}");
        }
        prop_assert_eq!(world.session.backlog_bytes(), 0);
    }
}
