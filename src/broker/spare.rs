//! Reuses buffers, and frees those that have become exceptionally large.

use std::collections::VecDeque;

/// Entries that an empty buffer may have room for between two uses.
pub const KEPT: usize = 64;

/// Gives back the memory of a list that is empty and could hold many.
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
