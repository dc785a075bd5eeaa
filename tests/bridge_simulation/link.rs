//! What is between the two ends of a bridge's connection: it carries bytes in pieces, stalls,
//! and breaks at any byte, at one end earlier than at the other.

use std::collections::VecDeque;

use crate::common::rng::Rng;
use crate::stream::ClientEnd;

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    under_way: VecDeque<u8>,
    stalled: bool,
}

impl Lane {
    /// Takes up to `most` bytes in and lets up to `most` out. True if there was progress.
    fn carry(&mut self, from: &ClientEnd, to: &ClientEnd, most: usize) -> bool {
        if self.stalled {
            return false;
        }
        let taken = from.receive(most);
        self.under_way.extend(&taken);
        !taken.is_empty() | self.arrive(to, most)
    }

    fn arrive(&mut self, to: &ClientEnd, most: usize) -> bool {
        let next: Vec<u8> = self.under_way.iter().take(most).copied().collect();
        let sent = to.send(&next);
        self.under_way.drain(..sent);
        sent > 0
    }
}

/// How an end learns that the connection is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The end of the stream.
    Closed,
    Reset,
}

#[derive(Debug)]
pub struct Link {
    /// At the broker that dials.
    near: ClientEnd,
    /// At the broker that accepts.
    far: ClientEnd,
    out: Lane,
    back: Lane,
    /// No byte is taken in any more.
    broken: bool,
    near_is_gone: bool,
    far_is_gone: bool,
}

impl Link {
    pub fn new(near: ClientEnd, far: ClientEnd) -> Self {
        let (out, back) = (Lane::default(), Lane::default());
        Self { near, far, out, back, broken: false, near_is_gone: false, far_is_gone: false }
    }

    /// Carries up to `most` bytes each way, and passes on that one end has closed. True if there
    /// was progress.
    pub fn carry(&mut self, most: usize) -> bool {
        if self.broken {
            return false;
        }
        let moved = self.out.carry(&self.near, &self.far, most)
            | self.back.carry(&self.far, &self.near, most);
        let mut closed = false;
        if self.near.is_finished() && self.out.under_way.is_empty() && !self.out.stalled {
            closed |= self.cut_far(Cut::Closed);
        }
        if self.far.is_finished() && self.back.under_way.is_empty() && !self.back.stalled {
            closed |= self.cut_near(Cut::Closed);
        }
        moved | closed
    }

    /// Stalls each direction, or lets it go on.
    pub fn stall(&mut self, out: bool, back: bool) {
        self.out.stalled = out;
        self.back.stalled = back;
    }

    /// It breaks: a part of what is under way still arrives, and nothing after it. The ends do
    /// not know yet.
    pub fn breaks(&mut self, rng: &mut Rng) {
        if std::mem::replace(&mut self.broken, true) {
            return;
        }
        let lanes =
            [(&mut self.out, &self.near, &self.far), (&mut self.back, &self.far, &self.near)];
        for (lane, from, to) in lanes {
            if rng.percent(50) {
                lane.under_way.extend(from.receive(usize::MAX));
            }
            let arrives = rng.index(lane.under_way.len() + 1);
            lane.arrive(to, arrives);
            lane.under_way.clear();
        }
    }

    /// The end that dials learns that the connection is broken. True if it did not know.
    pub fn cut_near(&mut self, cut: Cut) -> bool {
        let new = !std::mem::replace(&mut self.near_is_gone, true);
        if new {
            end(&self.near, cut);
        }
        new
    }

    /// The same for the other end.
    pub fn cut_far(&mut self, cut: Cut) -> bool {
        let new = !std::mem::replace(&mut self.far_is_gone, true);
        if new {
            end(&self.far, cut);
        }
        new
    }

    /// The task of the end that dials has ended.
    pub fn near_has_ended(&mut self) {
        self.near_is_gone = true;
    }

    /// The broker at one end is killed. The other end is not told yet.
    pub fn loses(&mut self, near: bool, rng: &mut Rng) {
        self.breaks(rng);
        if near {
            self.near_is_gone = true;
        } else {
            self.far_is_gone = true;
        }
    }

    /// Both ends learn that it is broken, if it is.
    pub fn tell(&mut self, cut: Cut) -> bool {
        self.broken && (self.cut_near(cut) | self.cut_far(cut))
    }

    /// True if both ends know that it has ended.
    pub fn is_over(&self) -> bool {
        self.near_is_gone && (self.far_is_gone || self.far.is_dropped())
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let Self { out, back, broken, near_is_gone, far_is_gone, .. } = self;
        format!(
            "a link (broken {broken}, ended {near_is_gone} {far_is_gone}) with {} and {} bytes \
             under way, stalled {} {}; here {}; there {}",
            out.under_way.len(),
            back.under_way.len(),
            out.stalled,
            back.stalled,
            self.near.describe(),
            self.far.describe()
        )
    }
}

fn end(of: &ClientEnd, cut: Cut) {
    match cut {
        Cut::Closed => of.close(),
        Cut::Reset => of.reset(),
    }
}
