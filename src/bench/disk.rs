//! Measures the volume without a broker.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::report::{Disk, Times};
use super::{BenchError, Stop};
use crate::load;
use crate::sandbox::SandboxError;

/// Most bytes that the sequential measurement writes.
pub(super) const LARGEST: u64 = 128 << 20;

/// A page of the database, the smallest amount that a commit appends to the write-ahead log.
const PAGE: [u8; 8192] = [0x5A; 8192];

/// Bytes of one write.
const BLOCK: usize = 1 << 20;

/// Measures fsync and sequential writing in `directory`, each for at most `time`.
pub(super) fn measure(directory: &Path, time: Duration, stop: &Stop) -> Result<Disk, BenchError> {
    let path = directory.join("disk");
    let failed = |source| SandboxError::Directory { path: path.clone(), source };
    let mut file = File::create(&path).map_err(failed)?;
    let (latency, elapsed) = fsyncs(&mut file, time, stop).map_err(failed)?;
    stop.check()?;
    file.set_len(0).map_err(failed)?;
    let rate = sequential(&mut file, time, stop).map_err(failed)?;
    stop.check()?;
    drop(file);
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(Disk {
        fsync: Times::of(&latency),
        fsyncs_per_second: per_second(latency.count(), elapsed),
        write_bytes_per_second: rate,
    })
}

fn fsyncs(file: &mut File, time: Duration, stop: &Stop) -> io::Result<(load::Latency, Duration)> {
    let mut latency = load::Latency::default();
    let began = Instant::now();
    while began.elapsed() < time && !stop.is_set() {
        file.write_all(&PAGE)?;
        let before = Instant::now();
        // As SQLite does: syncs the data and the metadata needed to read it back.
        file.sync_data()?;
        latency.record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok((latency, began.elapsed()))
}

fn sequential(file: &mut File, time: Duration, stop: &Stop) -> io::Result<f64> {
    // Not zeroes, which some volumes do not write to disk.
    let block: Vec<u8> = (0..=250).cycle().take(BLOCK).collect();
    let mut written = 0;
    let began = Instant::now();
    while written < LARGEST && began.elapsed() < time && !stop.is_set() {
        file.write_all(&block)?;
        written += BLOCK as u64;
    }
    file.sync_data()?;
    Ok(per_second(written, began.elapsed()))
}

#[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
