//! Checks that each delivery has its message, and each message its deliveries.

use ahash::AHashSet;
use rusqlite::{Result, Row};

use super::Run;
use super::ranges::Ranges;
use super::sessions::{in_range, properties, topic};

/// What one pass over the deliveries collects.
#[derive(Debug, Default)]
struct Pass {
    sessions: AHashSet<i64>,
    /// Packet identifiers that are certainly in flight: session and identifier.
    received: AHashSet<(i64, i64)>,
    /// Messages of deliveries marked as the only one (`shared = 0`).
    alone: Ranges,
    /// Messages of deliveries marked as one of several (`shared = 1`).
    shared: Ranges,
    of_ended_sessions: u64,
    without_message: u64,
}

pub(super) fn queues(run: &mut Run<'_>) -> Result<bool> {
    let mut pass = Pass { sessions: session_ids(run)?, ..Pass::default() };
    if !deliveries(run, &mut pass)? {
        return Ok(false);
    }
    if let Some(message) = pass.alone.finish() {
        let text = format!("message {message} has several deliveries that are marked as its only");
        run.findings.damage("delivery-shared", text);
    }
    pass.shared.finish();
    messages(run, &pass)
}

fn session_ids(run: &Run<'_>) -> Result<AHashSet<i64>> {
    let mut select = run.database.connection.prepare("SELECT id FROM session")?;
    select.query_map([], |row| row.get(0))?.collect()
}

fn deliveries(run: &mut Run<'_>, pass: &mut Pass) -> Result<bool> {
    let mut select = run.database.connection.prepare(
        "SELECT d.id, d.session, d.message, d.qos, d.packet_id, d.received, d.shared, d.size, \
         d.retain, m.id IS NULL FROM delivery d LEFT JOIN message m ON m.id = d.message \
         ORDER BY d.id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        run.rows.deliveries += 1;
        delivery(run, pass, row)?;
        if !run.goes_on() {
            return Ok(false);
        }
    }
    let what = "deliveries of sessions that ended: the broker removes them little by little";
    run.findings.leftover("delivery-without-session", pass.of_ended_sessions, what);
    let what = "deliveries of a message that all its receivers have acknowledged: \
                the broker forgets them when it comes to them";
    run.findings.leftover("delivery-without-message", pass.without_message, what);
    Ok(true)
}

fn delivery(run: &mut Run<'_>, pass: &mut Pass, row: &Row<'_>) -> Result<()> {
    let (id, session, message): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (qos, packet_id): (i64, i64) = (row.get(3)?, row.get(4)?);
    let (received, shared): (i64, i64) = (row.get(5)?, row.get(6)?);
    let verdict = in_range(row, 3, "qos", 1, 2)?
        .and(in_range(row, 4, "packet_id", 1, 65_535)?)
        .and(in_range(row, 5, "received", 0, 1)?)
        .and(in_range(row, 6, "shared", 0, 1)?)
        .and(in_range(row, 7, "size", 0, u32::MAX.into())?)
        .and(in_range(row, 8, "retain", 0, 1)?);
    if let Err(problem) = verdict {
        run.findings.damage("delivery", format!("delivery {id}: {problem}"));
    }
    if received == 1 && qos != 2 {
        let text = format!("delivery {id}: PUBREC received for QoS {qos}, which has none");
        run.findings.damage("received", text);
    }
    if received == 1 && !pass.received.insert((session, packet_id)) {
        let text = format!("delivery {id}: packet id {packet_id} is in flight twice");
        run.findings.damage("packet-id", text);
    }
    let ended = !pass.sessions.contains(&session);
    pass.of_ended_sessions += u64::from(ended);
    if row.get(9)? {
        // The deletes of two receivers may be committed in either order, with a crash between
        // them.
        if shared == 1 || ended {
            pass.without_message += 1;
        } else {
            let text = format!("delivery {id}: its message {message} is not there");
            run.findings.damage("delivery-without-message", text);
        }
    } else if shared == 1 {
        pass.shared.push(message);
    } else {
        pass.alone.push(message);
    }
    Ok(())
}

fn messages(run: &mut Run<'_>, pass: &Pass) -> Result<bool> {
    let mut select = run.database.connection.prepare(
        "SELECT id, topic, qos, retain, properties, published_at, expires_at, \
         length(topic) + length(payload) FROM message ORDER BY id",
    )?;
    let mut rows = select.query([])?;
    let (mut unwanted, mut bytes) = (0_u64, 0_i64);
    while let Some(row) = rows.next()? {
        run.rows.messages += 1;
        let id: i64 = row.get(0)?;
        let verdict = topic(row, 1)?
            .map_err(|problem| format!("topic {problem}"))
            .and(in_range(row, 2, "qos", 0, 2)?)
            .and(in_range(row, 3, "retain", 0, 1)?)
            .and(properties(row, 4, "properties")?)
            .and(in_range(row, 5, "published_at", 0, i64::MAX)?)
            .and(in_range(row, 6, "expires_at", 0, i64::MAX)?);
        if let Err(problem) = verdict {
            run.findings.damage("message", format!("message {id}: {problem}"));
        }
        let (alone, shared) = (pass.alone.has(id), pass.shared.has(id));
        if alone && shared {
            let text = format!("message {id} has several deliveries, one marked as its only");
            run.findings.damage("delivery-shared", text);
        }
        if !alone && !shared {
            unwanted += 1;
            bytes = bytes.saturating_add(row.get(7)?);
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    let what = format!("messages ({bytes} bytes) that nobody waits for: they only take room");
    run.findings.leftover("message-without-delivery", unwanted, &what);
    Ok(true)
}
