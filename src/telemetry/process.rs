//! Process metrics from the operating system, with the names of Prometheus' own clients. Some
//! are missing outside Linux.

use std::time::{SystemTime, UNIX_EPOCH};

use super::MetricsRegistry;

pub(super) fn register(registry: &MetricsRegistry) {
    // Approximately the start: the registry is created as soon as the configuration is read.
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    registry.gauge(
        "process_start_time_seconds",
        "Start time of the process, in seconds since 1970-01-01 UTC.",
        move |see| {
            see(started, &[]);
        },
    );
    registry.seconds_counter(
        "process_cpu_seconds_total",
        "Time on all cores, user and system.",
        |see| {
            see(cpu_seconds(), &[]);
        },
    );
    registry.gauge("process_resident_memory_bytes", "Memory that is in use.", |see| {
        if let Some(kib) = status_field("VmRSS:") {
            see(kib * 1024.0, &[]);
        }
    });
    registry.gauge("process_threads", "Threads.", |see| {
        if let Some(count) = status_field("Threads:") {
            see(count, &[]);
        }
    });
    registry.gauge("process_open_fds", "Open files and sockets.", |see| {
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // The directory being read is one of them.
            let open = u32::try_from(entries.count()).unwrap_or(u32::MAX).saturating_sub(1);
            see(f64::from(open), &[]);
        }
    });
    registry.gauge("process_max_fds", "Files and sockets that may be open.", |see| {
        if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            see(f64::from(u32::try_from(limit).unwrap_or(u32::MAX)), &[]);
        }
    });
}

#[allow(clippy::cast_precision_loss)] // Exact for 285 million years.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn status_field(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
