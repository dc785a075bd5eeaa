//! A second engine, which keeps its rows in memory: it shows that the code above
//! [`Engine`](crate::store::engine::Engine) does not depend on SQLite. The same model test
//! runs against both. Committed rows survive in [`Rows`], as in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::checkpoint_request::Checkpointed;
use super::super::engine::{
    Engine, GiveBack, Growth, Limit, OpenedEngine, Page, PageReader, Result, Scope, Transaction,
};
use super::super::plan::{DeliveryRow, Plan, runs};
use super::*;
use crate::memory::Ledger;
use crate::message::IdList;

/// The rows of the tables, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    sessions: BTreeMap<SessionId, SessionRecord>,
    subscriptions: BTreeMap<(SessionId, Box<str>), SubscriptionRecord>,
    incoming: BTreeSet<(SessionId, PacketId)>,
    retained: BTreeMap<Box<str>, RetainedRecord>,
    pub(super) messages: BTreeMap<u64, Arc<Message>>,
    pub(super) deliveries: BTreeMap<u64, Row>,
    letters: BTreeMap<u64, StoredDeadLetter>,
    last_letter: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    delivery: DeliveryRow,
    share: Option<Arc<str>>,
    received: bool,
}

/// The committed rows.
pub(super) type Rows = Arc<Mutex<Tables>>;

impl Tables {
    fn insert_messages(&mut self, plan: &mut Plan, number: CommitNo) {
        let messages = std::mem::take(&mut plan.messages);
        for message in &messages {
            if plan.take(message, number) {
                self.messages.insert(message.id.0, Arc::clone(message));
            }
        }
        plan.messages = messages;
        for row in &plan.deliveries {
            let share = plan.shares.get(&row.slot.delivery).cloned();
            self.deliveries
                .insert(row.slot.delivery.0, Row { delivery: *row, share, received: false });
        }
    }

    fn change_state(&mut self, plan: &Plan) {
        let ordered = plan.ordered.iter().map(|(_, change)| change);
        for change in ordered.chain(plan.last_retained()) {
            match change {
                Change::Session(record) => self.put_session(record),
                Change::EndSession(session) => self.end_session(*session),
                Change::Subscribe(session, record) => {
                    let key = (*session, record.filter.clone());
                    self.subscriptions.insert(key, (**record).clone());
                }
                Change::Unsubscribe(session, filter) => {
                    self.subscriptions.remove(&(*session, filter.clone()));
                }
                Change::Retain(record, _) => {
                    self.retained.insert(record.topic.clone(), (**record).clone());
                }
                Change::Unretain(topic) => {
                    self.retained.remove(topic);
                }
                Change::OpenIncoming(..) | Change::CloseIncoming(..) => {}
            }
        }
    }

    fn put_session(&mut self, record: &SessionRecord) {
        let other = self.sessions.values().find(|it| it.client_id == record.client_id);
        match other.map(|other| other.id) {
            Some(other) if other > record.id => return,
            Some(other) if other < record.id => self.end_session(other),
            _ => {}
        }
        self.sessions.insert(record.id, record.clone());
    }

    fn end_session(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.subscriptions.retain(|(of, _), _| *of != session);
        self.incoming.retain(|(of, _)| *of != session);
    }

    fn change_rows(&mut self, plan: &mut Plan, references: &References) {
        while let Some(delivery) = plan.drops.pop() {
            if let Some(row) = self.deliveries.get(&delivery) {
                let message = row.delivery.message;
                plan.deleted_deliveries.push(delivery);
                if references.release(message) {
                    plan.deleted_messages.push(message.0);
                }
            }
        }
        plan.sort_deletes();
        for step in &plan.moves {
            if let Some(mut row) = self.deliveries.remove(&step.delivery.0) {
                row.delivery.slot = step.to;
                row.share = Some(Arc::clone(&step.share));
                self.deliveries.insert(step.to.delivery.0, row);
            }
        }
        for (delivery, packet_id) in &plan.packet_ids {
            if let Some(row) = self.deliveries.get_mut(&delivery.0) {
                row.delivery.slot.packet_id = *packet_id;
            }
        }
        for (first, last) in runs(&plan.received) {
            self.deliveries.range_mut(first..=last).for_each(|(_, row)| row.received = true);
        }
        self.deliveries.retain(|id, _| plan.deleted_deliveries.binary_search(id).is_err());
        self.messages.retain(|id, _| plan.deleted_messages.binary_search(id).is_err());
        self.letters.retain(|id, _| !plan.removed_letters.contains(id));
    }

    fn write_letters(&mut self, plan: &mut Plan, references: &References) {
        let written: std::result::Result<(), ()> =
            plan.letters.write(references, |letter, with_message| {
                if let Some(delivery) = letter.delivery {
                    self.deliveries.remove(&delivery.0);
                }
                if with_message {
                    self.messages.remove(&letter.message.id.0);
                }
                let keep = usize::try_from(letter.keep).unwrap();
                let of_it =
                    self.letters.values().filter(|it| it.bridge == (&*letter.bridge).into());
                let of_it: Vec<u64> = of_it.map(|letter| letter.id).collect();
                for id in of_it.iter().take((of_it.len() + 1).saturating_sub(keep)) {
                    self.letters.remove(id);
                }
                if keep > 0 {
                    self.last_letter += 1;
                    self.letters.insert(self.last_letter, stored(self.last_letter, letter));
                }
                Ok(())
            });
        written.unwrap();
    }
}

fn stored(id: u64, letter: &DeadLetter) -> StoredDeadLetter {
    let message = &letter.message;
    StoredDeadLetter {
        id,
        bridge: (&*letter.bridge).into(),
        failed_at: letter.failed_at,
        reason: letter.reason,
        detail: letter.detail.clone(),
        topic: message.topic().into(),
        remote_topic: letter.remote_topic.clone(),
        qos: letter.qos,
        retain: letter.retain,
        published_at: message.published_at,
        expires_at: message.expires_at,
        properties: message.properties().to_vec(),
        payload: message.payload().to_vec(),
        payload_bytes: message.payload().len() as u64,
    }
}

#[derive(Debug)]
struct MemoryEngine(Rows);

impl Engine for MemoryEngine {
    fn commit(&mut self, transaction: Transaction<'_>) -> Result<()> {
        let Transaction { plan, scope, number, references, .. } = transaction;
        let mut tables = self.0.lock();
        if scope == Scope::All {
            tables.insert_messages(plan, number);
            tables.change_state(plan);
        }
        for change in &plan.incoming {
            let key = (change.session, change.packet_id);
            if change.open {
                tables.incoming.insert(key)
            } else {
                tables.incoming.remove(&key)
            };
        }
        tables.change_rows(plan, references);
        if scope == Scope::All {
            tables.write_letters(plan, references);
        }
        Ok(())
    }

    fn commit_clock(&mut self, _: &ClockMark) -> Result<()> {
        Ok(())
    }

    fn check_files(&mut self) -> std::result::Result<(), String> {
        Ok(())
    }

    fn close(self: Box<Self>, _: Option<ClockMark>) -> Result<()> {
        Ok(())
    }

    fn room(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn largest_message(&self) -> u64 {
        u64::MAX
    }

    fn growth(&self) -> Result<Growth> {
        Ok(Growth { room: u64::MAX / 2, beyond_quota: 1 << 20 })
    }

    fn is_over_quota(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn has_room_for(&mut self, _: u64) -> Result<bool> {
        Ok(true)
    }

    fn prepare_for(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn set_limit(&mut self, _: Limit) -> Result<()> {
        Ok(())
    }

    fn release_reserve(&mut self) -> bool {
        false
    }

    fn restore_reserve(&mut self) {}

    fn describe_room(&self) -> String {
        "no limit".into()
    }

    fn after_commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn when_idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn copy_log_back(&mut self) -> Result<()> {
        Ok(())
    }

    fn empty_log(&mut self) -> Result<()> {
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Checkpointed> {
        Ok(Checkpointed {
            wal_pages: 0,
            copied_pages: 0,
            wal_bytes_before: 0,
            wal_bytes_after: 0,
            duration: std::time::Duration::ZERO,
        })
    }

    fn give_back(&mut self, _: GiveBack) -> Result<()> {
        Ok(())
    }

    fn has_surplus(&self) -> bool {
        false
    }

    fn measure(&mut self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryPages(Rows);

impl PageReader for MemoryPages {
    fn read(&self, ids: &[QueuedId], _: Ledger) -> Result<Page> {
        let tables = self.0.lock();
        let mut page = Page::default();
        for QueuedId { id, .. } in ids {
            let Some(Row { delivery: row, share, received }) = tables.deliveries.get(&id.0) else {
                continue;
            };
            let Some(message) = tables.messages.get(&row.message.0) else {
                page.dangling.push(*id);
                continue;
            };
            page.deliveries.push(PagedDelivery {
                delivery: *id,
                packet_id: row.slot.packet_id,
                qos: row.slot.qos,
                retain: row.slot.retain,
                received: *received,
                share: share.clone(),
                message: Arc::clone(message),
            });
        }
        Ok(page)
    }

    fn dead_letters(&self, query: &DeadLetterQuery) -> Result<DeadLetterPage> {
        let tables = self.0.lock();
        let behind = tables.letters.range(query.after + 1..).map(|(_, letter)| letter);
        let of_it = behind.filter(|it| query.bridge.as_ref().is_none_or(|of| *of == it.bridge));
        let mut letters: Vec<_> = of_it.take(query.limit + 1).cloned().collect();
        let more = letters.len() > query.limit;
        letters.truncate(query.limit);
        Ok(DeadLetterPage { letters, more })
    }
}

/// Opens the rows that an earlier engine left in `rows`.
pub(super) fn open(rows: &Rows) -> OpenedEngine {
    let mut tables = rows.lock();
    let known: BTreeSet<SessionId> = tables.sessions.keys().copied().collect();
    tables.subscriptions.retain(|(session, _), _| known.contains(session));
    tables.incoming.retain(|(session, _)| known.contains(session));
    let references = References::default();
    let mut counts: BTreeMap<MessageId, u32> = BTreeMap::new();
    let mut recovered = Recovered::default();
    recovered.sessions.extend(tables.sessions.values().map(|record| {
        let of_it = tables.subscriptions.range((record.id, "".into())..);
        RecoveredSession {
            record: record.clone(),
            subscriptions: of_it
                .take_while(|((session, _), _)| *session == record.id)
                .map(|(_, record)| record.clone())
                .collect(),
            incoming: tables
                .incoming
                .iter()
                .filter(|(session, _)| *session == record.id)
                .map(|(_, packet_id)| *packet_id)
                .collect(),
            sent: IdList::new(),
            queue: IdList::new(),
            last_packet_id: None,
            has_shared: false,
        }
    }));
    recovered.retained.extend(tables.retained.values().cloned());
    let mut orphans = IdList::new();
    for (id, Row { delivery: row, received, .. }) in &tables.deliveries {
        *counts.entry(row.message).or_default() += 1;
        let entry = QueuedId { id: DeliveryId(*id), size: row.size };
        let sessions = &mut recovered.sessions;
        match sessions.iter_mut().find(|session| session.record.id == row.slot.session) {
            None => orphans.push_back(entry),
            Some(session) => {
                session.last_packet_id = Some(row.slot.packet_id);
                let sent = *received || session.may_have_sent(entry.id);
                if sent { &mut session.sent } else { &mut session.queue }.push_back(entry);
            }
        }
    }
    for (message, count) in counts {
        references.add(message, count);
    }
    let engine = Box::new(MemoryEngine(Arc::clone(rows)));
    let growth = engine.growth().unwrap();
    let pages = Box::new(MemoryPages(Arc::clone(rows)));
    OpenedEngine { engine, pages, growth, recovered, references, orphans, check: None }
}
