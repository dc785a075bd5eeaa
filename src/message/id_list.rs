//! The memory representation of a queue on disk: delivery ids and sizes, delta-coded.
//!
//! A session with a million waiting messages needs three to five bytes of memory for each. The
//! rest is in the database until it is read back.

use std::collections::VecDeque;

use super::DeliveryId;

/// Entries in a chunk: enough to amortize its fixed size, and few enough to limit the work of
/// finding an entry within it.
const CHUNK: u32 = 256;

/// One delivery that waits on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuedId {
    /// The key of its row.
    pub id: DeliveryId,
    /// Bytes of its message: see [`super::Message::size`].
    pub size: u32,
}

#[derive(Debug, Default)]
struct Chunk {
    /// Pairs of varints: the difference to the id before, and the size.
    data: Vec<u8>,
    /// Bytes at the front that have been read.
    read: usize,
    /// The id before the next one to read.
    base: u64,
    last: u64,
    len: u32,
}

impl Chunk {
    fn entries(&self) -> impl Iterator<Item = QueuedId> + use<'_> {
        let (mut read, mut id) = (self.read, self.base);
        std::iter::from_fn(move || {
            id = id.wrapping_add(read_varint(&self.data, &mut read)?);
            let size = read_varint(&self.data, &mut read)?;
            Some(QueuedId { id: DeliveryId(id), size: u32::try_from(size).unwrap_or(u32::MAX) })
        })
    }
}

/// Delivery ids in rising order, with sizes.
#[derive(Debug, Default)]
pub struct IdList {
    chunks: VecDeque<Chunk>,
    len: usize,
    bytes: u64,
    /// Bytes that the data of all chunks take in memory.
    data: usize,
}

impl IdList {
    /// An empty list; allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of deliveries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sum of their sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the list takes in memory besides itself.
    pub fn memory(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.data
    }

    /// Appends an entry. Its id must be larger than all ids before.
    pub fn push_back(&mut self, entry: QueuedId) {
        let id = entry.id.0;
        if self.chunks.back().is_none_or(|chunk| chunk.len >= CHUNK) {
            if let Some(full) = self.chunks.back_mut() {
                self.data -= full.data.capacity();
                full.data.shrink_to_fit();
                self.data += full.data.capacity();
            }
            let base = id.saturating_sub(1);
            self.chunks.push_back(Chunk { base, last: base, ..Chunk::default() });
        }
        let Some(chunk) = self.chunks.back_mut() else { return };
        debug_assert!(id > chunk.last, "delivery ids rise within a session");
        self.data -= chunk.data.capacity();
        write_varint(&mut chunk.data, id.wrapping_sub(chunk.last));
        write_varint(&mut chunk.data, u64::from(entry.size));
        self.data += chunk.data.capacity();
        chunk.last = id;
        chunk.len += 1;
        self.len += 1;
        self.bytes += u64::from(entry.size);
    }

    /// Removes the first entry.
    pub fn pop_front(&mut self) -> Option<QueuedId> {
        let chunk = self.chunks.front_mut()?;
        let delta = read_varint(&chunk.data, &mut chunk.read)?;
        let size = read_varint(&chunk.data, &mut chunk.read)?;
        let entry = QueuedId {
            id: DeliveryId(chunk.base.wrapping_add(delta)),
            size: u32::try_from(size).unwrap_or(u32::MAX),
        };
        chunk.base = entry.id.0;
        chunk.len -= 1;
        if chunk.len == 0 {
            self.data -= chunk.data.capacity();
            self.chunks.pop_front();
            if self.chunks.is_empty() {
                self.chunks = VecDeque::new();
            }
        }
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(size);
        Some(entry)
    }

    /// The id of the first entry.
    pub fn first(&self) -> Option<DeliveryId> {
        self.chunks.front()?.entries().next().map(|entry| entry.id)
    }

    /// The id of the last entry.
    pub fn last(&self) -> Option<DeliveryId> {
        self.chunks.back().map(|chunk| DeliveryId(chunk.last))
    }

    /// The first `count` entries after `after`. Skips whole chunks, and scans within one.
    pub fn behind(
        &self,
        after: DeliveryId,
        count: usize,
    ) -> impl Iterator<Item = QueuedId> + use<'_> {
        let from = self.chunks.partition_point(|chunk| chunk.last <= after.0);
        let behind = move |entry: &QueuedId| entry.id > after;
        self.chunks.range(from..).flat_map(Chunk::entries).filter(behind).take(count)
    }

    /// Removes up to `count` entries from the front, of at most `bytes` bytes, but at least
    /// one.
    pub fn take_page(&mut self, count: usize, bytes: u64) -> Vec<QueuedId> {
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < count && (taken.is_empty() || size < bytes) {
            let Some(entry) = self.pop_front() else { break };
            size += u64::from(entry.size);
            taken.push(entry);
        }
        taken
    }

    /// Removes up to `count` entries from the front.
    pub fn take_front(&mut self, count: usize) -> Vec<QueuedId> {
        let count = count.min(self.len);
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some(entry) = self.pop_front() else { break };
            taken.push(entry);
        }
        taken
    }

    /// Puts `front`, whose ids are all smaller, before this list.
    pub fn prepend(&mut self, mut front: IdList) {
        debug_assert!(
            front.last().zip(self.first()).is_none_or(|(last, first)| last < first),
            "what is put in front came before"
        );
        self.len += front.len;
        self.bytes += front.bytes;
        self.data += front.data;
        front.chunks.append(&mut self.chunks);
        self.chunks = front.chunks;
    }
}

fn write_varint(data: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        data.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    data.push((value & 0x7F) as u8);
}

fn read_varint(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u64, size: u32) -> QueuedId {
        QueuedId { id: DeliveryId(id), size }
    }

    #[test]
    fn a_million_waiting_deliveries_cost_few_bytes_each() {
        let mut list = IdList::new();
        (1..=1_000_000).for_each(|id| list.push_back(entry(id * 3, 256)));
        let bytes: usize = list.chunks.iter().map(|chunk| chunk.data.capacity() + 48).sum();
        assert!(bytes < 5_000_000, "{bytes} bytes");
    }

    proptest! {
        #[test]
        fn behaves_like_a_plain_queue(steps in prop::collection::vec((1u64..1_000_000, any::<u32>(), any::<bool>()), 0..2000)) {
            let (mut list, mut model, mut id) = (IdList::new(), VecDeque::new(), 0);
            for (gap, size, push) in steps {
                if push || model.is_empty() {
                    id += gap;
                    list.push_back(entry(id, size));
                    model.push_back(entry(id, size));
                } else {
                    prop_assert_eq!(list.pop_front(), model.pop_front());
                }
                prop_assert_eq!(list.len(), model.len());
                let data: usize = list.chunks.iter().map(|chunk| chunk.data.capacity()).sum();
                prop_assert_eq!(list.data, data);
                prop_assert_eq!(list.first(), model.front().map(|entry| entry.id));
                prop_assert_eq!(list.bytes(), model.iter().map(|e| u64::from(e.size)).sum::<u64>());
            }
            let rest = list.take_front(usize::MAX);
            prop_assert_eq!(rest, Vec::from(model));
        }

        #[test]
        fn looking_behind_an_id_finds_what_comes_next(
            gaps in prop::collection::vec(1u64..5, 1..1500),
            taken in 0usize..700,
            after in 0u64..5000,
            count in 0usize..600,
        ) {
            let (mut list, mut model, mut id) = (IdList::new(), Vec::new(), 0);
            for gap in gaps {
                id += gap;
                list.push_back(entry(id, 7));
                model.push(entry(id, 7));
            }
            list.take_front(taken);
            let rest = model.into_iter().skip(taken).filter(|entry| entry.id.0 > after);
            let found: Vec<_> = list.behind(DeliveryId(after), count).collect();
            prop_assert_eq!(found, rest.take(count).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_prepended_comes_out_first(front in 0u64..600, back in 0u64..600) {
            let (mut a, mut b) = (IdList::new(), IdList::new());
            (1..=front).for_each(|id| a.push_back(entry(id, 1)));
            (front + 1..=front + back).for_each(|id| b.push_back(entry(id, 1)));
            b.prepend(a);
            let ids: Vec<u64> = b.take_front(usize::MAX).iter().map(|e| e.id.0).collect();
            prop_assert_eq!(ids, (1..=front + back).collect::<Vec<_>>());
        }
    }
}
