//! A bridge that keeps up: QoS 1 from ten publishers at one broker to a durable subscriber at the
//! other one.

use std::io;
use std::time::{Duration, Instant};

use crate::common::drain::spread;
use crate::load::{ALL_TOPICS, Endpoint, Findings, Generator, Shape, Subscriber};
use crate::{Args, Figures, ends};

/// Messages that each of the ten publishers has in flight: together about as many as the link.
const WINDOW: u64 = 100;
const WARM_UP: Duration = Duration::from_secs(1);

/// What one run has measured.
struct Run {
    /// Acknowledged at one end and received at the other, the fewer of both.
    rate: f64,
    delivered_p99_ms: f64,
    findings: Findings,
}

/// Two brokers of each kind in turn.
pub fn run(args: &Args, figures: &mut Figures) {
    println!("\n## speed\n");
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=args.rounds {
        let ours = {
            let remote = ends::ferrymq();
            let edge = ends::ferrymq_with_bridge(remote.port, ALL_TOPICS, args.window);
            measure(edge.port, remote.port, args).unwrap()
        };
        let theirs = {
            let remote = ends::mosquitto(args.window);
            let edge = ends::mosquitto_with_bridge(remote.port, ALL_TOPICS, args.window);
            measure(edge.port, remote.port, args).unwrap()
        };
        for (name, run) in [("FerryMQ", &ours), ("Mosquitto", &theirs)] {
            let Run { rate, delivered_p99_ms, findings } = run;
            println!(
                "round {round}, {name}: {rate:.0} messages/s, delivered within {delivered_p99_ms:.1} ms \
                 (p99), {findings:?}"
            );
        }
        rates[0].push(ours.rate);
        rates[1].push(theirs.rate);
    }
    let [ours, theirs] = rates.each_ref().map(|rates| spread(rates)[1]);
    figures.note("FerryMQ to FerryMQ, median", "messages/s", ours);
    figures.note("Mosquitto to Mosquitto, median", "messages/s", theirs);
    figures.note("FerryMQ / Mosquitto, medians", "x", ours / theirs);
}

/// Publishers at one broker, the subscriber at the other.
fn measure(edge: u16, remote: u16, args: &Args) -> io::Result<Run> {
    let (edge, remote): (Endpoint, Endpoint) = (ends::endpoint(edge), ends::endpoint(remote));
    let shape = Shape { publishers: 10, window: WINDOW, qos: 1, topics: 1 };
    let subscriber = Subscriber::attach(&remote, shape)?;
    let mut generator = Generator::new(&edge, shape)?;
    generator.attach(subscriber)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while generator.received() == 0 {
        generator.run_for(Duration::from_millis(50))?;
        assert!(Instant::now() < deadline, "nothing comes through the bridge");
    }
    generator.run_for(WARM_UP)?;
    generator.delivered_after.clear();
    let (acknowledged, received) = (generator.acknowledged(), generator.received());
    let started = Instant::now();
    generator.run_for(args.measured())?;
    let seconds = started.elapsed().as_secs_f64();
    let acknowledged = generator.acknowledged() - acknowledged;
    let received = generator.received() - received;
    let delivered_p99_ms = generator.delivered_after.micros(0.99) / 1000.0;
    generator.stop()?;
    generator.drain()?;
    let rate = acknowledged.min(received) as f64 / seconds;
    Ok(Run { rate, delivered_p99_ms, findings: generator.findings() })
}
