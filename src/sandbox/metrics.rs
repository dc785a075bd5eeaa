//! A scrape of a broker's `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::http::probe;

/// Long enough for a busy broker.
const TIMEOUT: Duration = Duration::from_secs(5);

/// All metrics at one moment.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    /// Reads the metrics of the broker whose HTTP listener is at `http`.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn scrape(http: SocketAddr) -> io::Result<Self> {
        Ok(Self(probe(http, "/metrics", TIMEOUT)?.body))
    }

    /// The sum of a metric's samples, whatever their labels; 0 without any.
    pub fn get(&self, name: &str) -> f64 {
        let samples = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
        });
        // Starts with 0: an empty sum of floats is -0.
        samples.fold(0.0, |sum, sample| sum + sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_name_are_added_up() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3.5\nab 7\nb 1e3\n";
        let metrics = Metrics(text.to_owned());
        assert!((metrics.get("a") - 5.5).abs() < 1e-9);
        assert!((metrics.get("b") - 1000.0).abs() < 1e-9);
        assert!(metrics.get("c").abs() < 1e-9);
    }
}
