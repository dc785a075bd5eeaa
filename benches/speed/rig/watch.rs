//! The monitoring of a broker as an operator runs it: a scraper and a collector.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::metrics::Metrics;

const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// Runs on its own thread until it is dropped.
pub struct Watch {
    runtime: Runtime,
    /// The address to push to.
    pub collector: SocketAddr,
    pushes: Arc<AtomicU64>,
    scrapes: Arc<AtomicU64>,
}

impl Watch {
    /// Starts a collector that accepts every push and discards it.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("watch")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let collector = listener.local_addr()?;
        let pushes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&pushes);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collect(stream, Arc::clone(&counted)));
            }
        });
        Ok(Self { runtime, collector, pushes, scrapes: Arc::default() })
    }

    /// Scrapes `http` each second from now on.
    pub fn scrape(&self, http: SocketAddr) {
        let scrapes = Arc::clone(&self.scrapes);
        self.runtime.spawn(async move {
            let mut ticks = tokio::time::interval(SCRAPE_EVERY);
            loop {
                ticks.tick().await;
                let answer = tokio::task::spawn_blocking(move || Metrics::scrape(http)).await;
                if matches!(answer, Ok(Ok(_))) {
                    scrapes.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// Numbers of pushes and scrapes so far; if one is 0, the broker was not watched.
    pub fn seen(&self) -> (u64, u64) {
        (self.pushes.load(Ordering::Relaxed), self.scrapes.load(Ordering::Relaxed))
    }
}

/// The part of gRPC that a push needs: each request is answered with an empty message.
async fn collect(stream: TcpStream, pushes: Arc<AtomicU64>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let pushes = Arc::clone(&pushes);
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(part) = body.data().await {
                body.flow_control().release_capacity(part?.len())?;
            }
            let head = http::Response::builder().header("content-type", "application/grpc");
            let mut answer = respond.send_response(head.body(()).unwrap(), false)?;
            // One uncompressed message of no bytes.
            answer.send_data(Bytes::from_static(&[0; 5]), false)?;
            let trailers = [("grpc-status", "0")].map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            answer.send_trailers(trailers.into_iter().collect())?;
            pushes.fetch_add(1, Ordering::Relaxed);
            Ok::<(), h2::Error>(())
        });
    }
    Ok(())
}
