//! `ferrymq db queues`.

use std::path::Path;

use super::arguments::QueuesArgs;
use super::print::{self, Align};
use super::watch::watched;
use crate::cli::Exit;
use crate::cli::human::{bytes, count, escaped, seconds, shortened};
use crate::cli::output::say;
use crate::maintenance::{self, MaintenanceError, QueueDetail, QueueLine, QueuedMessage, Queues};

/// Most characters of a client id or topic in a table; the JSON holds them in full.
const WIDTH: usize = 48;
/// Most characters of a payload.
const PAYLOAD: usize = 160;

pub(super) fn run(
    database: &Path,
    args: &QueuesArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    match &args.client {
        None => all(database, args, json),
        Some(client) => one(database, client, args, json),
    }
}

fn all(database: &Path, args: &QueuesArgs, json: bool) -> Result<Exit, MaintenanceError> {
    let (order, limit) = (args.sort.into(), args.limit);
    let queues = watched(|watch| maintenance::queues(database, order, limit, watch))?;
    if json {
        print::json(&queues);
    } else {
        show(&queues);
    }
    Ok(Exit::Ok)
}

fn show(queues: &Queues) {
    if queues.total == 0 {
        say(format_args!("{} has no durable session", escaped(&queues.database)));
        return;
    }
    let head = [
        ("client", Align::Left),
        ("messages", Align::Right),
        ("size", Align::Right),
        ("oldest", Align::Right),
        ("received", Align::Right),
        ("expiry", Align::Right),
        ("state", Align::Left),
    ];
    let rows: Vec<Vec<String>> = queues.queues.iter().map(row).collect();
    print::table(&head, &rows);
    let more = queues.total.saturating_sub(rows.len() as u64);
    if more > 0 {
        say(format_args!("... and {} more (--limit 0 shows all)", count(more)));
    }
}

fn row(line: &QueueLine) -> Vec<String> {
    vec![
        client(&line.client_id),
        count(line.messages),
        bytes(line.bytes),
        line.oldest_age_seconds.map_or_else(|| "-".to_owned(), seconds),
        count(line.received),
        expiry(line),
        state(line),
    ]
}

/// Shows an empty client id as `""`.
fn client(id: &str) -> String {
    if id.is_empty() { "\"\"".to_owned() } else { shortened(id, WIDTH) }
}

fn expiry(line: &QueueLine) -> String {
    line.expiry_seconds.map_or_else(|| "never".to_owned(), seconds)
}

fn state(line: &QueueLine) -> String {
    match line.away_since_ms {
        None => "connected".to_owned(),
        Some(at) => format!("away for {}", seconds(maintenance::age(at))),
    }
}

fn one(
    database: &Path,
    client: &str,
    args: &QueuesArgs,
    json: bool,
) -> Result<Exit, MaintenanceError> {
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let payload = args.payload;
    let detail = watched(|watch| maintenance::queue_of(database, client, limit, payload, watch))?;
    if json {
        print::json(&as_json(&detail));
    } else {
        show_one(&detail, payload);
    }
    Ok(Exit::Ok)
}

fn show_one(detail: &QueueDetail, payload: bool) {
    let line = &detail.queue;
    let version = match detail.version {
        3 => "MQTT 3.1",
        4 => "MQTT 3.1.1",
        _ => "MQTT 5.0",
    };
    print::pairs(&[
        ("client", escaped(&line.client_id)),
        ("version", version.to_owned()),
        ("state", state(line)),
        ("expiry", expiry(line)),
        ("messages", format!("{} ({})", count(line.messages), bytes(line.bytes))),
        ("oldest", line.oldest_age_seconds.map_or_else(|| "-".to_owned(), seconds)),
        ("received", count(line.received)),
    ]);
    for subscription in &detail.subscriptions {
        let filter = escaped(&subscription.filter);
        say(format_args!("subscribed to {filter} at QoS {}", subscription.qos));
    }
    if detail.first.is_empty() {
        return;
    }
    let mut head = vec![
        ("id", Align::Right),
        ("packet id", Align::Right),
        ("QoS", Align::Right),
        ("size", Align::Right),
        ("age", Align::Right),
        ("state", Align::Left),
        ("topic", Align::Left),
    ];
    if payload {
        head.push(("payload", Align::Left));
    }
    let rows: Vec<Vec<String>> =
        detail.first.iter().map(|message| message_row(message, payload)).collect();
    say("");
    print::table(&head, &rows);
    let more = line.messages.saturating_sub(rows.len() as u64);
    if more > 0 {
        say(format_args!("... and {} more (--limit 0 shows all)", count(more)));
    }
}

fn message_row(message: &QueuedMessage, payload: bool) -> Vec<String> {
    let mut row = vec![
        message.id.to_string(),
        message.packet_id.to_string(),
        message.qos.to_string(),
        bytes(message.bytes),
        seconds(message.age_seconds),
        if message.received { "PUBREC received" } else { "waits" }.to_owned(),
        shortened(&message.topic, WIDTH),
    ];
    if payload {
        row.push(match text(message.payload.as_deref().unwrap_or_default()) {
            Ok(text) => shortened(text, PAYLOAD),
            Err(digits) => shortened(&format!("0x{digits}"), PAYLOAD),
        });
    }
    row
}

/// The payload as text, or as hexadecimal digits if it is not UTF-8.
fn text(payload: &[u8]) -> Result<&str, String> {
    use std::fmt::Write as _;
    std::str::from_utf8(payload).map_err(|_| {
        payload.iter().fold(String::with_capacity(payload.len() * 2), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    })
}

/// Payloads are `payload` if they are UTF-8, else `payload_hex`.
fn as_json(detail: &QueueDetail) -> serde_json::Value {
    let mut value = serde_json::to_value(detail).unwrap_or_default();
    let messages = value.get_mut("first").and_then(serde_json::Value::as_array_mut);
    for (json, message) in messages.into_iter().flatten().zip(&detail.first) {
        if let (Some(object), Some(payload)) = (json.as_object_mut(), &message.payload) {
            match text(payload) {
                Ok(text) => object.insert("payload".to_owned(), text.into()),
                Err(digits) => object.insert("payload_hex".to_owned(), digits.into()),
            };
        }
    }
    value
}
