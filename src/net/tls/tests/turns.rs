//! A handshake computes in its turns only, and has none while it waits for its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

use super::support::*;
use crate::config::ClientAuth;

/// A line with one turn, and how many were granted.
struct Line {
    granted: AtomicUsize,
    free: Arc<Semaphore>,
}

impl Line {
    fn new(turns: usize) -> Self {
        Self { granted: AtomicUsize::new(0), free: Arc::new(Semaphore::new(turns)) }
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.free).acquire_owned().await.unwrap();
        self.granted.fetch_add(1, Ordering::Relaxed);
        turn
    }

    fn granted(&self) -> usize {
        self.granted.load(Ordering::Relaxed)
    }
}

/// The bytes of a client's first message.
async fn hello(world: &World) -> Vec<u8> {
    let (far, mut near) = duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::new(world.client(None)));
    let connecting = connector.connect("localhost".try_into().unwrap(), far);
    let mut bytes = vec![0; 64 * 1024];
    tokio::select! {
        _ = connecting => panic!("nobody answers"),
        read = near.read(&mut bytes) => bytes.truncate(read.unwrap()),
    }
    bytes
}

#[tokio::test]
async fn a_client_that_does_not_complete_its_hello_takes_no_turn() {
    let world = World::new(ClientAuth::Off);
    let (context, line) = (world.context(), Line::new(1));
    let (near, mut far) = duplex(64 * 1024);
    let hello = hello(&world).await;
    far.write_all(&hello[..hello.len() - 1]).await.unwrap();
    tokio::select! {
        _ = context.accept(near, unlimited(), || line.turn()) => panic!("the hello is not complete"),
        () = settle() => {}
    }
    assert_eq!(line.granted(), 0);
}

#[tokio::test]
async fn nothing_is_computed_before_the_turn() {
    let world = World::new(ClientAuth::Off);
    let (context, line) = (world.context(), Line::new(0));
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(&hello(&world).await).await.unwrap();
    let mut answer = [0];
    tokio::select! {
        _ = context.accept(near, unlimited(), || line.turn()) => panic!("it has no turn"),
        _ = far.read(&mut answer) => panic!("the answer has a signature"),
        () = settle() => {}
    }
    assert_eq!(line.granted(), 0);
}

#[tokio::test]
async fn a_turn_is_given_back_while_the_client_does_not_answer() {
    let world = World::new(ClientAuth::Off);
    let (context, line) = (world.context(), Arc::new(Line::new(1)));
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(&hello(&world).await).await.unwrap();
    // A task of its own, which only the client wakes.
    let turns = Arc::clone(&line);
    let accepting =
        tokio::spawn(async move { context.accept(near, unlimited(), || turns.turn()).await });
    far.read_u8().await.unwrap();
    settle().await;
    assert!(!accepting.is_finished());
    assert_eq!((line.granted(), line.free.available_permits()), (1, 1));
}

#[tokio::test]
async fn each_flight_of_the_client_takes_a_turn() {
    let world = World::new(ClientAuth::Required);
    let (context, line) = (world.context(), Line::new(1));
    let (near, far) = duplex(64 * 1024);
    let device = world.clients.issue("device-1");
    let connector = TlsConnector::from(Arc::new(world.client(Some(&device))));
    let connecting = connector.connect("localhost".try_into().unwrap(), far);
    let (accepted, connected) =
        tokio::join!(context.accept(near, unlimited(), || line.turn()), connecting);
    accepted.unwrap();
    connected.unwrap();
    assert!((2..=4).contains(&line.granted()), "{} turns", line.granted());
    assert_eq!(line.free.available_permits(), 1);
}
