//! Frees buffers that have become exceptionally large.

use std::collections::VecDeque;

/// The most entries for which an empty buffer keeps its memory.
pub const KEPT: usize = 64;

/// Frees the memory of an empty list with room for more than [`KEPT`] entries.
pub fn shrink<T>(list: &mut Vec<T>) {
    if list.is_empty() && list.capacity() > KEPT {
        *list = Vec::new();
    }
}

/// As [`shrink`], for a queue.
pub fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}
