//! One run: a new broker, its load, and the measured figures.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::{Args, Scenario};
use crate::load::{Findings, Generator, Shape, Subscriber};
use crate::rig::{Broker, Vitals, machine_cpu, own_cpu};
use crate::setup::Setup;

/// The figures of one run.
#[derive(Serialize)]
pub struct Outcome {
    pub scenario: Scenario,
    #[serde(flatten)]
    pub setup: Setup,
    pub round: u32,
    /// Counted messages per second: acknowledged (`offline`), received (`qos0`), else the
    /// fewer of both.
    pub rate: f64,
    pub acknowledged_per_second: f64,
    pub received_per_second: f64,
    pub ack_p50_us: f64,
    pub ack_p99_us: f64,
    pub delivery_p50_us: f64,
    pub delivery_p99_us: f64,
    /// The broker's CPU time per counted message.
    pub cpu_us_per_message: f64,
    pub written_bytes_per_message: f64,
    pub peak_rss_mib: f64,
    /// Share of a core that the generator used: near 1, the generator was the limit.
    pub generator_cpu: f64,
    /// Cores used by neither of the two: how noisy the machine was.
    pub others_cpu: f64,
    /// Share of the messages counted by the store that it never wrote.
    pub elided: Option<f64>,
    pub drain: Option<Drain>,
    pub findings: Findings,
}

/// The drain by the offline subscriber.
#[derive(Serialize)]
pub struct Drain {
    pub messages: u64,
    pub delivered_seconds: f64,
    /// Until the broker had read the last answer and, if durable, had deleted on disk.
    pub done_seconds: f64,
    pub rate: f64,
    pub complete: bool,
}

pub fn shape(scenario: Scenario, topics: u32) -> Shape {
    let (publishers, window, qos) = match scenario {
        Scenario::Online | Scenario::Offline => (10, 50, 1),
        Scenario::Many => (1000, 1, 1),
        Scenario::Qos0 => (10, 50, 0),
        Scenario::Qos2 => (10, 50, 2),
    };
    Shape { publishers, window, qos, topics }
}

pub fn run(args: &Args, scenario: Scenario, setup: Setup, round: u32) -> io::Result<Outcome> {
    let broker = Broker::start(args, setup)?;
    let shape = shape(scenario, args.topics);
    let offline = scenario == Scenario::Offline;
    let subscriber = if offline {
        Subscriber::leave_session(&broker.mqtt, shape)?;
        None
    } else {
        Some(Subscriber::attach(&broker.mqtt, shape)?)
    };
    let mut generator = Generator::new(&broker.mqtt, shape)?;
    if let Some(subscriber) = subscriber {
        generator.attach(subscriber)?;
    }
    generator.run_for(args.warm_up)?;
    generator.acknowledged_after.clear();
    generator.delivered_after.clear();
    let before = Reading::take(&broker, &generator)?;
    generator.run_for(args.seconds)?;
    let after = Reading::take(&broker, &generator)?;
    broker.check_watched()?;
    let mut outcome = Outcome::between(&before, &after, &generator, (scenario, setup, round));
    generator.stop()?;
    if offline {
        outcome.drain = Some(drain(&broker, &mut generator, shape)?);
    } else {
        generator.drain()?;
    }
    outcome.findings = generator.findings();
    outcome.peak_rss_mib = broker.vitals()?.peak_rss_bytes as f64 / f64::from(1 << 20);
    Ok(outcome)
}

fn drain(broker: &Broker, generator: &mut Generator, shape: Shape) -> io::Result<Drain> {
    let start = Instant::now();
    generator.attach(Subscriber::attach(&broker.mqtt, shape)?)?;
    let complete = generator.drain()?;
    let delivered_seconds = start.elapsed().as_secs_f64();
    let committed = broker.await_committed(Duration::from_mins(1)).unwrap_or(true);
    let done_seconds = start.elapsed().as_secs_f64();
    let messages = generator.received();
    Ok(Drain {
        messages,
        delivered_seconds,
        done_seconds,
        rate: messages as f64 / done_seconds,
        complete: complete && committed,
    })
}

/// All counters at one moment.
struct Reading {
    at: Instant,
    vitals: Vitals,
    own_cpu: f64,
    machine_cpu: f64,
    acknowledged: u64,
    received: u64,
    /// Committed and elided messages, if the broker reports them.
    store: Option<(f64, f64)>,
}

impl Reading {
    fn take(broker: &Broker, generator: &Generator) -> io::Result<Self> {
        let store = broker.metrics().and_then(|metrics| {
            let committed = metrics.get("ferrymq_persistence_committed_messages_total")?;
            Some((committed, metrics.get("ferrymq_persistence_elided_messages_total")?))
        });
        Ok(Self {
            at: Instant::now(),
            vitals: broker.vitals()?,
            own_cpu: own_cpu(),
            machine_cpu: machine_cpu(),
            acknowledged: generator.acknowledged(),
            received: generator.received(),
            store,
        })
    }
}

impl Outcome {
    /// True if acknowledged messages arrived as often and in the order that their QoS
    /// promises.
    pub fn kept_its_word(&self) -> bool {
        let found = self.findings;
        let once = self.scenario != Scenario::Qos2 || found.repeated == 0;
        self.scenario == Scenario::Qos0 || (found.lost == 0 && found.reordered == 0 && once)
    }

    fn between(
        before: &Reading,
        after: &Reading,
        generator: &Generator,
        run: (Scenario, Setup, u32),
    ) -> Self {
        let (scenario, setup, round) = run;
        let seconds = (after.at - before.at).as_secs_f64();
        let acknowledged = after.acknowledged - before.acknowledged;
        let received = after.received - before.received;
        let counted = match scenario {
            Scenario::Offline => acknowledged,
            Scenario::Qos0 => received,
            _ => acknowledged.min(received),
        };
        let each = |total: f64| {
            if counted == 0 { 0.0 } else { total / counted as f64 }
        };
        let broker_cpu = after.vitals.cpu_seconds - before.vitals.cpu_seconds;
        let own_cpu = after.own_cpu - before.own_cpu;
        let others_cpu = after.machine_cpu - before.machine_cpu - broker_cpu - own_cpu;
        let elided = before.store.zip(after.store).and_then(|(before, after)| {
            let (committed, elided) = (after.0 - before.0, after.1 - before.1);
            (committed + elided > 0.0).then(|| elided / (committed + elided))
        });
        Self {
            scenario,
            setup,
            round,
            rate: counted as f64 / seconds,
            acknowledged_per_second: acknowledged as f64 / seconds,
            received_per_second: received as f64 / seconds,
            ack_p50_us: generator.acknowledged_after.micros(0.5),
            ack_p99_us: generator.acknowledged_after.micros(0.99),
            delivery_p50_us: generator.delivered_after.micros(0.5),
            delivery_p99_us: generator.delivered_after.micros(0.99),
            cpu_us_per_message: each(broker_cpu * 1e6),
            written_bytes_per_message: each(
                (after.vitals.written_bytes - before.vitals.written_bytes) as f64,
            ),
            peak_rss_mib: 0.0,
            generator_cpu: own_cpu / seconds,
            others_cpu: others_cpu.max(0.0) / seconds,
            elided,
            drain: None,
            findings: Findings::default(),
        }
    }
}
