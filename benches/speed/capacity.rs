//! Measures the generator alone: the same load into a sink that does almost nothing.

use std::io;
use std::time::Instant;

use crate::args::{Args, Scenario, Transport, name};
use crate::load::{Endpoint, Generator, Subscriber, sink};
use crate::rig::own_cpu;
use crate::scenario::shape;

pub fn measure(args: &Args) -> io::Result<()> {
    if args.transport != [Transport::Tcp] {
        return Err(io::Error::other("the sink of --capacity has no --transport but tcp"));
    }
    println!(
        "{:10}{:>14}{:>16}{:>26}",
        "scenario", "messages/s", "µs CPU/message", "messages/s on a full core"
    );
    for scenario in [Scenario::Online, Scenario::Many] {
        let shape = shape(scenario, args.topics);
        let sink = Endpoint::tcp(sink::start(shape.publishers)?);
        let subscriber = Subscriber::attach(&sink, shape)?;
        let mut generator = Generator::new(&sink, shape)?;
        generator.attach(subscriber)?;
        generator.run_for(args.warm_up)?;
        let (start, cpu, count) = (Instant::now(), own_cpu(), generator.received());
        generator.run_for(args.seconds)?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), own_cpu() - cpu);
        let messages = (generator.received() - count) as f64;
        let (rate, micros, full) = (messages / seconds, cpu * 1e6 / messages, messages / cpu);
        println!("{:10}{rate:>14.0}{micros:>16.2}{full:>26.0}", name(&scenario));
        generator.stop()?;
        generator.drain()?;
        println!("{:10}{:?}", "", generator.findings());
    }
    Ok(())
}
