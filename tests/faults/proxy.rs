//! A proxy that simulates a bad network between clients and the broker: bytes may be cut off,
//! stalled or split.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::rng::Rng;

/// The faults of a connection.
#[derive(Clone, Copy)]
pub enum Network {
    /// None, until [`Proxy::stall_to_broker`].
    Plain,
    /// One byte at a time.
    Bytes,
    /// Cut after some thousand bytes, mostly within a packet.
    Cuts,
    /// As 30% packet loss appears above TCP: delays by retransmission, and connections that
    /// are given up.
    Lossy,
}

/// Payload bytes of a TCP packet on Ethernet.
const PACKET: usize = 1460;

pub struct Proxy {
    pub port: u16,
    stalled: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts the proxy. Its threads end with the process.
    pub fn start(broker: u16, network: Network, rng: &mut Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stalled = Arc::new(AtomicBool::new(false));
        let (flag, mut rng) = (Arc::clone(&stalled), rng.fork());
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { continue };
                // The broker may be down at the moment.
                let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (mut up, mut down) = (rng.fork(), rng.fork());
                let flag = Arc::clone(&flag);
                thread::spawn(move || pump(client, server, network, Some(&flag), &mut up));
                thread::spawn(move || pump(back.0, back.1, network, None, &mut down));
            }
        });
        Self { port, stalled }
    }

    /// From now on what clients send does not arrive, and connections stay open.
    pub fn stall_to_broker(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }
}

/// Forwards one direction until either side closes or the network cuts it.
fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    network: Network,
    stalled: Option<&AtomicBool>,
    rng: &mut Rng,
) {
    let mut buffer = [0; PACKET];
    let mut budget = match network {
        Network::Cuts => usize::try_from(rng.between(100, 12_000)).unwrap(),
        _ => usize::MAX,
    };
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if stalled.is_some_and(|stalled| stalled.load(Ordering::SeqCst)) {
            continue;
        }
        let count = count.min(budget);
        budget -= count;
        if forward(&mut to, &buffer[..count], network, rng).is_none() || budget == 0 {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn forward(to: &mut TcpStream, bytes: &[u8], network: Network, rng: &mut Rng) -> Option<()> {
    match network {
        Network::Bytes => bytes.iter().try_for_each(|byte| to.write_all(&[*byte])).ok(),
        Network::Lossy => {
            // 30% of packets are sent again; the connection is given up after four losses in a
            // row.
            let mut lost = 0;
            while rng.between(0, 10) < 3 {
                lost += 1;
                if lost == 4 {
                    return None;
                }
                thread::sleep(Duration::from_millis(5 << lost));
            }
            to.write_all(bytes).ok()
        }
        Network::Plain | Network::Cuts => to.write_all(bytes).ok(),
    }
}
