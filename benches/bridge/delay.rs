//! A bridge over a link on which every byte takes half a round trip in each direction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::arrivals::{self, Arrivals};
use crate::common::broker::Port;
use crate::common::publisher::Publisher;
use crate::{Args, Figures, PATIENCE, ends};

/// Messages that wait for the link, as a multiple of the window.
const ROUND_TRIPS: u64 = 50;

const TOPIC: &str = "crash/far";

/// Messages wait for the link, so that nothing but the window limits what is under way.
pub fn run(args: &Args, figures: &mut Figures) {
    println!("\n## delay\n");
    let round_trip = Duration::from_millis(args.round_trip);
    let remote = ends::ferrymq();
    arrivals::subscribe(remote.port, TOPIC);
    // Nothing listens there yet.
    let link = Port::lease();
    let edge = ends::ferrymq_with_bridge(link.number, TOPIC, args.window);
    let count = u64::from(args.window) * ROUND_TRIPS;
    Publisher::new("far", 4, 1, 500).with_payload(256).run(edge.port, count).unwrap();
    listen(link.number, remote.port, round_trip);
    let mut arrivals = Arrivals::default();
    arrivals.receive(remote.port, PATIENCE, |it| it.count(TOPIC) == count).unwrap();
    let topic = &arrivals.topics[TOPIC];
    let seconds = (topic.last.unwrap() - topic.first.unwrap()).as_secs_f64();
    // The first window arrives at once.
    let rate = (count - u64::from(args.window)) as f64 / seconds;
    let a_round_trip = rate * round_trip.as_secs_f64();
    figures.note("over the delay", "messages/s", rate);
    figures.note("messages a round trip", "messages", a_round_trip);
    figures.note("of the window", "x", a_round_trip / f64::from(args.window));
    println!("{} repeated, {} out of order", topic.repeated, topic.disordered);
}

/// Listens for the bridge, and forwards to the remote broker.
fn listen(port: u16, remote: u16, round_trip: Duration) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", remote)) else { continue };
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            one_way(near.try_clone().unwrap(), far.try_clone().unwrap(), round_trip / 2);
            one_way(far, near, round_trip / 2);
        }
    });
}

fn one_way(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sent, under_way) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sent.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in under_way {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
