//! Watches the broker from outside during a stage: `/healthz`, ten times a second, and the
//! memory of the process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::common::broker::Broker;
use super::common::waits::{Span, Times};

const PROBE: Duration = Duration::from_millis(100);
const SAMPLE: Duration = Duration::from_millis(10);

pub struct Watch {
    stop: Arc<AtomicBool>,
    health: Option<JoinHandle<(Times, usize)>>,
    memory: Option<JoinHandle<Memory>>,
}

/// The observations.
pub struct Watched {
    pub health: Times,
    /// Number of probes not answered with 200.
    pub unhealthy: usize,
    pub memory: Memory,
}

/// Resident bytes over time.
#[derive(Default)]
pub struct Memory(Vec<(Duration, u64)>);

impl Memory {
    pub fn peak(&self, span: Span) -> u64 {
        let within = self.0.iter().filter(|(at, _)| (span.from..span.to).contains(at));
        within.map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }
}

/// Resident bytes of the broker, or `None` if its process has ended.
pub fn resident(broker: &Broker) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

impl Watch {
    pub fn start(broker: &Arc<Broker>, clock: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, probed) = (Arc::clone(&stop), Arc::clone(broker));
        let health = Some(std::thread::spawn(move || probe(&probed, clock, &told)));
        let (told, sampled) = (Arc::clone(&stop), Arc::clone(broker));
        let memory = Some(std::thread::spawn(move || sample(&sampled, clock, &told)));
        Self { stop, health, memory }
    }

    pub fn stop(mut self) -> Watched {
        self.stop.store(true, Ordering::Relaxed);
        let (health, unhealthy) = self.health.take().unwrap().join().unwrap();
        Watched { health, unhealthy, memory: self.memory.take().unwrap().join().unwrap() }
    }
}

/// A stage that panics must not leave threads that keep the broker alive.
impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.health.take().map(JoinHandle::join);
        self.memory.take().map(JoinHandle::join);
    }
}

fn probe(broker: &Broker, clock: Instant, stop: &AtomicBool) -> (Times, usize) {
    let (mut times, mut unhealthy, mut due) = (Times::default(), 0, clock.elapsed());
    while !stop.load(Ordering::Relaxed) {
        let asked = clock.elapsed();
        let answer = broker.get("/healthz");
        times.push(asked, clock.elapsed().saturating_sub(asked));
        if !answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            unhealthy += 1;
        }
        // A late probe does not make up for missed ones.
        due = (due + PROBE).max(clock.elapsed());
        std::thread::sleep(due.saturating_sub(clock.elapsed()));
    }
    (times, unhealthy)
}

fn sample(broker: &Broker, clock: Instant, stop: &AtomicBool) -> Memory {
    let mut memory = Memory::default();
    while !stop.load(Ordering::Relaxed) {
        if let Some(bytes) = resident(broker) {
            memory.0.push((clock.elapsed(), bytes));
        }
        std::thread::sleep(SAMPLE);
    }
    memory
}
