//! Messages wait for the link; then it comes back, with live traffic behind them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::arrivals::{self, Arrivals};
use crate::common::broker::Broker;
use crate::common::pair::{CLEAN, Kind, Pair, Seen};
use crate::common::publisher::Publisher;
use crate::common::raw::{Packet, Raw};
use crate::common::waits::Span;
use crate::{Args, Figures, PATIENCE, ends};

/// What a publisher of the tests publishes to.
const FILTER: &str = "crash/#";
const BACKLOG: &str = "crash/backlog";
const LIVE: &str = "crash/live";
/// Messages between the two clients that are only at the edge broker: enough for a p99.
const PAIR: Kind = Kind { rate: 200, ..CLEAN };

pub fn run(args: &Args, figures: &mut Figures) {
    println!("\n## outage\n");
    let clock = Instant::now();
    let mut remote =
        if args.remote_elsewhere { ends::ferrymq_elsewhere() } else { ends::ferrymq() };
    arrivals::subscribe(remote.port, FILTER);
    let edge = ends::ferrymq_with_bridge(remote.port, FILTER, args.window);
    let mut arrivals = Arrivals::default();
    let pair = Pair::start(edge.port, PAIR, clock);
    // What the load does to anybody on this machine.
    let bystander = ends::ferrymq();
    let control = Pair::start(bystander.port, PAIR, clock);
    let mut backlog = Publisher::new("backlog", 4, 1, 500).with_payload(256);
    let without = without_backlog(&mut backlog, &edge, &remote, &mut arrivals, args.before);
    figures.note("rate without a backlog", "messages/s", without);

    assert_eq!(remote.stop(), Some(0));
    forget_peak(&edge);
    let started = Instant::now();
    backlog.run(edge.port, args.before + args.messages).unwrap();
    let rate = args.messages as f64 / started.elapsed().as_secs_f64();
    figures.note("published while the link is down", "messages/s", rate);
    figures.note("waiting for the link", "messages", edge.metric("ferrymq_bridge_queued_messages"));
    memory(&edge, "with the backlog", figures);
    let quiet = span(clock, || thread::sleep(args.measured()));

    let all = args.before + args.messages;
    let drained = span(clock, || {
        drain(args, &edge, &mut remote, &mut arrivals, all, without, figures);
    });
    memory(&edge, "after the drain", figures);
    let local = local_clients("local clients", &pair.stop(), quiet, drained, figures);
    let third =
        local_clients("clients of a third broker", &control.stop(), quiet, drained, figures);
    figures.note("local clients / clients of a third broker, p99 during", "x", local / third);
    for (name, topic) in &arrivals.topics {
        let lost = if name == BACKLOG { all - topic.count } else { 0 };
        println!(
            "{name}: {} received, {lost} lost, {} repeated, {} out of order",
            topic.count, topic.repeated, topic.disordered
        );
    }
}

/// Messages per second through the bridge while it keeps up.
fn without_backlog(
    publisher: &mut Publisher,
    edge: &Broker,
    remote: &Broker,
    arrivals: &mut Arrivals,
    count: u64,
) -> f64 {
    thread::scope(|scope| {
        scope.spawn(|| publisher.run(edge.port, count).unwrap());
        let done = |arrivals: &Arrivals| arrivals.count(BACKLOG) == count;
        arrivals.receive(remote.port, PATIENCE, done).unwrap();
    });
    let topic = &arrivals.topics[BACKLOG];
    let rate = count as f64 / (topic.last.unwrap() - topic.first.unwrap()).as_secs_f64();
    arrivals.forget_times();
    rate
}

fn drain(
    args: &Args,
    edge: &Broker,
    remote: &mut Broker,
    arrivals: &mut Arrivals,
    all: u64,
    without: f64,
    figures: &mut Figures,
) {
    let mut state = Raw::connect(edge.port, 4, "state", true).unwrap();
    state.subscribe("$SYS/broker/connection/up/state", 0).unwrap();
    remote.up();
    let reachable = Instant::now();
    let end = AtomicBool::new(false);
    let before = arrivals.count(BACKLOG);
    let connected = thread::scope(|scope| {
        let connected = scope.spawn(move || await_connected(&mut state));
        let live = scope.spawn(|| publish_live(edge.port, args.live, &end));
        let is_drained = |arrivals: &Arrivals| arrivals.count(BACKLOG) == all;
        let mut live_before = false;
        // The subscriber is where the remote broker is.
        let outcome = on_a_thread_of_its_own(|| {
            if args.remote_elsewhere {
                ends::lower_priority_of_this_thread();
            }
            arrivals.receive(remote.port, PATIENCE, |arrivals| {
                live_before |= arrivals.count(LIVE) > 0 && !is_drained(arrivals);
                is_drained(arrivals)
            })
        });
        end.store(true, Ordering::SeqCst);
        outcome.unwrap();
        let sent = live.join().unwrap();
        arrivals.receive(remote.port, PATIENCE, |it| it.count(LIVE) == sent).unwrap();
        println!("live traffic overtook the backlog: {}", if live_before { "YES" } else { "no" });
        connected.join().unwrap()
    });
    let backlog = &arrivals.topics[BACKLOG];
    let (first, last) = (backlog.first.unwrap(), backlog.last.unwrap());
    let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
    figures.note("connected after the remote broker was back", "s", seconds(reachable, connected));
    figures.note("draining began after the connection", "s", seconds(connected, first));
    let rate = (all - before) as f64 / seconds(first, last);
    figures.note("drain rate", "messages/s", rate);
    figures.note("drain rate / rate without a backlog", "x", rate / without);
}

fn on_a_thread_of_its_own<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

/// When the bridge says that it is connected.
fn await_connected(state: &mut Raw) -> Instant {
    loop {
        match state.recv().unwrap() {
            Packet::Publish(message) if message.payload == b"1" => return Instant::now(),
            _ => {}
        }
    }
}

/// Publishes at this rate, in steps of a tenth of a second. Returns how many were acknowledged.
fn publish_live(port: u16, rate: u32, end: &AtomicBool) -> u64 {
    let mut publisher = Publisher::new("live", 4, 1, 500).with_payload(256);
    let step = u64::from(rate / 10).max(1);
    let mut due = Instant::now();
    while !end.load(Ordering::SeqCst) {
        publisher.run(port, publisher.next + step).unwrap();
        due += Duration::from_millis(100);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    publisher.acknowledged
}

fn span(clock: Instant, during: impl FnOnce()) -> Span {
    let from = clock.elapsed();
    during();
    Span { from, to: clock.elapsed() }
}

/// Returns their p99 during the drain.
fn local_clients(who: &str, seen: &Seen, quiet: Span, drained: Span, figures: &mut Figures) -> f64 {
    let [quiet, during] = [quiet, drained].map(|span| seen.delivered.within(span));
    figures.note(&format!("{who}, p99 before the drain"), "ms", quiet.p99);
    figures.note(&format!("{who}, p99 during the drain"), "ms", during.p99);
    figures.note(&format!("{who}, p99 during / before"), "x", during.p99 / quiet.p99);
    println!("{who}: {} lost, {:?}", seen.lost, seen.broken);
    during.p99
}

/// The peak of memory is counted from here on.
fn forget_peak(broker: &Broker) {
    std::fs::write(format!("/proc/{}/clear_refs", broker.pid()), "5").unwrap();
}

fn memory(broker: &Broker, when: &str, figures: &mut Figures) {
    for (what, field) in [("memory", "VmRSS"), ("peak of memory", "VmHWM")] {
        figures.note(&format!("{what} {when}"), "MiB", broker.memory(field) as f64 / 1024.0);
    }
}
