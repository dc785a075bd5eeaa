//! The link between the bridge and the remote broker: a proxy that cuts it after any byte, holds
//! or slows what passes, and lets one direction of its connections fall silent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const CHUNK: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToRemote,
    ToBridge,
}

/// One connection of the bridge.
struct Pair {
    ends: [TcpStream; 2],
    /// The directions that are silent, until the connection ends: what is lost within a TCP
    /// stream cannot be made up for.
    silent: [AtomicBool; 2],
}

impl Pair {
    fn is_silent(&self, way: Way) -> bool {
        self.silent[way as usize].load(Ordering::SeqCst)
    }

    fn end(&self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

#[derive(Default)]
struct State {
    refuses: bool,
    stalled: bool,
    /// Bytes a second in each direction.
    rate: Option<u64>,
    /// Bytes that have passed to the remote broker, over all connections.
    passed: u64,
    /// Where the link is cut: compared with `passed`.
    cut_at: Option<u64>,
    cuts: u64,
    pairs: Vec<Arc<Pair>>,
}

impl State {
    fn cut(&mut self) {
        self.pairs.drain(..).for_each(|pair| pair.end());
        self.cut_at = None;
        self.cuts += 1;
    }
}

struct Shared {
    remote: u16,
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Link {
    /// Where the bridge dials.
    pub port: u16,
    shared: Arc<Shared>,
}

impl Link {
    /// Begins to listen. Its threads end with the process.
    pub fn to(remote: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared { remote, state: Mutex::default(), changed: Condvar::new() };
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                accepting.accept(near);
            }
        });
        Self { port, shared }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    /// Waits until so many bytes more have passed to the remote broker; false after `patience`.
    pub fn await_passed(&self, more: u64, patience: Duration) -> bool {
        let state = self.shared.state();
        let wanted = state.passed + more;
        self.shared.await_until(state, patience, |state| state.passed >= wanted)
    }

    /// Cuts the link after so many bytes more to the remote broker, mostly within a packet, or
    /// after `patience`.
    pub fn cut_after(&self, more: u64, patience: Duration) {
        let mut state = self.shared.state();
        let cuts = state.cuts;
        state.cut_at = Some(state.passed + more);
        if !self.shared.await_until(state, patience, |state| state.cuts > cuts) {
            self.set(State::cut);
        }
    }

    /// Bytes are held back; connections stay open.
    pub fn stall(&self, stalled: bool) {
        self.set(|state| state.stalled = stalled);
    }

    /// Nothing more arrives in one direction of the connections that there are, not even that
    /// they have ended.
    pub fn silence(&self, way: Way) {
        self.set(|state| {
            for pair in &state.pairs {
                pair.silent[way as usize].store(true, Ordering::SeqCst);
            }
        });
    }

    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.set(|state| state.rate = bytes_per_second);
    }

    /// New connections are closed at once; those that there are go on.
    pub fn refuse(&self, refuses: bool) {
        self.set(|state| state.refuses = refuses);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn await_until(
        &self,
        mut state: MutexGuard<'_, State>,
        patience: Duration,
        done: impl Fn(&State) -> bool,
    ) -> bool {
        let deadline = Instant::now() + patience;
        while !done(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    fn accept(self: &Arc<Self>, near: TcpStream) {
        if self.state().refuses {
            return;
        }
        // The remote broker may be down at the moment.
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.remote)) else { return };
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let pair = Pair {
            ends: [near.try_clone().unwrap(), far.try_clone().unwrap()],
            silent: Default::default(),
        };
        let pair = Arc::new(pair);
        let mut state = self.state();
        state.pairs.push(Arc::clone(&pair));
        drop(state);
        let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
        for (from, to, way) in [(near, far, Way::ToRemote), (back.0, back.1, Way::ToBridge)] {
            let (shared, pair) = (Arc::clone(self), Arc::clone(&pair));
            thread::spawn(move || shared.pump(from, to, way, &pair));
        }
    }

    /// Forwards one direction until either side closes or the link is cut.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, way: Way, pair: &Arc<Pair>) {
        let mut buffer = [0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut rest = &buffer[..count];
            while !rest.is_empty() && !pair.is_silent(way) {
                let Some(now) = self.admit(way, rest.len(), pair) else { return pair.end() };
                // Within a silence nothing tells that the other side has gone.
                if to.write_all(&rest[..now]).is_err() && !pair.is_silent(opposite(way)) {
                    return pair.end();
                }
                rest = &rest[now..];
                self.passed(way, now);
            }
        }
        if !pair.is_silent(way) {
            pair.end();
        }
    }

    /// How many of so many bytes may pass now; `None` if the connection was cut.
    fn admit(&self, way: Way, count: usize, pair: &Arc<Pair>) -> Option<usize> {
        let mut state = self.state();
        let is_cut = |state: &State| !state.pairs.iter().any(|other| Arc::ptr_eq(other, pair));
        while state.stalled && !is_cut(&state) {
            state = self.changed.wait(state).unwrap();
        }
        if is_cut(&state) {
            return None;
        }
        let mut now = count as u64;
        if let (Way::ToRemote, Some(at)) = (way, state.cut_at) {
            now = now.min(at.saturating_sub(state.passed).max(1));
        }
        let rate = state.rate;
        drop(state);
        if let Some(rate) = rate {
            // A hundredth of a second at once.
            now = now.min((rate / 100).max(1));
            thread::sleep(Duration::from_nanos(now * 1_000_000_000 / rate));
        }
        Some(usize::try_from(now).unwrap())
    }

    fn passed(&self, way: Way, count: usize) {
        if way == Way::ToBridge {
            return;
        }
        let mut state = self.state();
        state.passed += count as u64;
        if state.cut_at.is_some_and(|at| state.passed >= at) {
            state.cut();
        }
        drop(state);
        self.changed.notify_all();
    }
}

fn opposite(way: Way) -> Way {
    match way {
        Way::ToRemote => Way::ToBridge,
        Way::ToBridge => Way::ToRemote,
    }
}
