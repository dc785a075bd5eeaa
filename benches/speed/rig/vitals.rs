//! The kernel's figures of a process.

use std::fs;
use std::io;

/// Ticks per second of CPU times in `/proc`; 100 on every Linux system.
const TICKS_PER_SECOND: f64 = 100.0;

/// Readings at one moment.
#[derive(Clone, Copy)]
pub struct Vitals {
    pub cpu_seconds: f64,
    pub written_bytes: u64,
    pub peak_rss_bytes: u64,
}

impl Vitals {
    pub fn read(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may contain anything; the 14th and 15th fields of
        // the line are the 12th and 13th after it.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Self {
            cpu_seconds: ticks as f64 / TICKS_PER_SECOND,
            written_bytes: number(&format!("/proc/{pid}/io"), "write_bytes:")?,
            peak_rss_bytes: number(&format!("/proc/{pid}/status"), "VmHWM:")? * 1024,
        })
    }
}

/// CPU seconds of the calling thread; 0 on a kernel that does not report them.
pub fn own_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
    nanos.unwrap_or_default() as f64 / 1e9
}

/// CPU seconds of the whole machine, of all processes.
pub fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // user nice system idle iowait irq softirq; later fields are not counted.
    let busy = fields.take(7).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    let ticks: u64 = busy.filter_map(|(_, field)| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

fn number(path: &str, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let value =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|value| value.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("{path} has no {key}")))
}
