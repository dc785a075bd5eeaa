//! The report as tables.

use crate::bench::{Disk, Latency, Receiver, Report, Throughput, Times};
use crate::cli::human;
use crate::cli::table::Table;
use crate::sandbox::Level;

pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![
        format!(
            "FerryMQ {} on the volume of {}: {} cores, {} publishers with a window of {}, payloads of {}, {} s for each measurement",
            report.version,
            human::escaped(&report.directory.to_string_lossy()),
            report.cores,
            report.publishers,
            report.window,
            human::bytes(report.payload as u64),
            report.seconds
        ),
        String::new(),
        "The disk, without a broker:".to_owned(),
    ];
    lines.extend(disk(&report.disk));
    lines.extend([String::new(), "Throughput, with full windows:".to_owned()]);
    lines.extend(throughput(report));
    lines.extend([
        String::new(),
        "Latency in ms, at a fixed rate that is a tenth of the slowest durability's throughput, from when a message was due:".to_owned(),
    ]);
    lines.extend(latency(report));
    lines.push(String::new());
    lines.extend(report.conclusions.iter().cloned());
    lines
}

fn disk(disk: &Disk) -> Vec<String> {
    let mut table = Table::new(1, &["", "p50", "p90", "p99", "p99.9", "max", "a second"]);
    let mut row = vec!["fsync of 8 KiB, ms".to_owned()];
    row.extend(cells(disk.fsync.as_ref()));
    row.push(rate(disk.fsyncs_per_second));
    table.row(row);
    let mut row = vec!["sequential writing".to_owned()];
    row.extend(std::iter::repeat_n(String::new(), 5));
    row.push(human::bytes(whole(disk.write_bytes_per_second)));
    table.row(row);
    table.lines()
}

fn throughput(report: &Report) -> Vec<String> {
    let names = [
        "QoS",
        "subscriber",
        "durability",
        "messages/s",
        "of memory",
        "drained/s",
        "CPU µs/message",
        "cores busy",
        "disk waited for",
        "not written",
        "bytes/message",
    ];
    let mut table = Table::new(3, &names);
    for row in &report.throughput {
        let memory = report.throughput.iter().find(|other| {
            other.durability == Level::Memory
                && (other.qos, other.subscriber) == (row.qos, row.subscriber)
        });
        let share = memory.map(|memory| row.messages_per_second / memory.messages_per_second);
        table.row(throughput_row(row, share));
    }
    table.lines()
}

fn throughput_row(row: &Throughput, of_memory: Option<f64>) -> Vec<String> {
    let on_disk = row.durability != Level::Memory;
    let if_on_disk = |text: String| if on_disk { text } else { String::new() };
    vec![
        row.qos.to_string(),
        place(row.subscriber),
        row.durability.as_str().to_owned(),
        rate(row.messages_per_second),
        of_memory.filter(|_| on_disk).map_or(String::new(), percent),
        row.drained_per_second.map_or(String::new(), rate),
        format!("{:.2}", row.broker_cpu_seconds_per_message * 1e6),
        row.cpu_share.map_or(String::new(), percent),
        if_on_disk(percent(row.disk_wait_share)),
        if_on_disk(percent(row.elided_share)),
        if_on_disk(rate(row.written_bytes_per_message)),
    ]
}

fn latency(report: &Report) -> Vec<String> {
    let names = [
        "QoS",
        "subscriber",
        "durability",
        "messages/s",
        "acknowledged p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "received p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ];
    let mut table = Table::new(3, &names);
    for row in &report.latency {
        table.row(latency_row(row));
    }
    table.lines()
}

fn latency_row(row: &Latency) -> Vec<String> {
    let mut cells_of_row = vec![
        row.qos.to_string(),
        place(row.subscriber),
        row.durability.as_str().to_owned(),
        rate(row.messages_per_second),
    ];
    cells_of_row.extend(cells(row.acknowledged.as_ref()));
    cells_of_row.extend(cells(row.received.as_ref()));
    cells_of_row
}

fn cells(times: Option<&Times>) -> Vec<String> {
    let Some(times) = times else { return vec![String::new(); 5] };
    [times.p50, times.p90, times.p99, times.p99_9, times.max]
        .iter()
        .map(|seconds| {
            let millis = seconds * 1000.0;
            if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.1}") }
        })
        .collect()
}

fn place(subscriber: Receiver) -> String {
    match subscriber {
        Receiver::Online => "online".to_owned(),
        Receiver::Offline => "offline".to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn rate(number: f64) -> String {
    human::count(whole(number))
}

// Rates are positive and far below 2^52.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}
