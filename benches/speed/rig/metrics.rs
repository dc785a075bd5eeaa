//! A minimal scrape of `/metrics`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Metrics(String);

impl Metrics {
    pub fn scrape(http: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        // HTTP/1.0, so that the response is not chunked and the connection is closed.
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {http}\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(Self(answer))
    }

    /// The sum of a metric's samples, whatever their labels.
    pub fn get(&self, name: &str) -> Option<f64> {
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with([' ', '{']) {
                return None;
            }
            rest.rsplit_once(' ')?.1.parse::<f64>().ok()
        });
        samples.fold(None, |sum, sample| Some(sum.unwrap_or_default() + sample))
    }
}
