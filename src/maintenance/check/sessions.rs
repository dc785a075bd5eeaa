//! Checks each row of sessions, of their subscriptions and incoming packet identifiers, and of
//! retained messages.

use rusqlite::types::ValueRef;
use rusqlite::{Result, Row};

use super::Run;
use crate::protocol::{TopicFilter, TopicName, check_publish_properties};
use crate::store::pragma;

/// A client identifier is an MQTT string: at most 65,535 bytes (section 1.5.4).
const LONGEST: usize = 65_535;
/// Largest subscription identifier: the largest variable byte integer (section 1.5.5).
const LARGEST_IDENTIFIER: i64 = 268_435_455;

pub(super) fn sessions(run: &mut Run<'_>) -> Result<bool> {
    // The owner was added in version 3.
    let owner =
        if pragma(&run.database.connection, "user_version")? < 3 { "NULL" } else { "owner" };
    let mut select = run.database.connection.prepare(&format!(
        "SELECT id, client_id, version, expiry, disconnected_at, sent_up_to, \
         will_topic, will_properties, will_qos, will_retain, will_delay, will_expiry, \
         will_payload, {owner} FROM session ORDER BY id"
    ))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        run.rows.sessions += 1;
        let id: i64 = row.get(0)?;
        if let Err(problem) = session(row)? {
            run.findings.damage("session", format!("session {id}: {problem}"));
        }
        if let Err(problem) = will(row)? {
            run.findings.damage("will", format!("session {id}: {problem}"));
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a row obeys the rules; the error says what is wrong.
type Verdict = std::result::Result<(), String>;

fn session(row: &Row<'_>) -> Result<Verdict> {
    Ok(match text(row, 1)? {
        Err(problem) => Err(format!("client_id {problem}")),
        Ok(id) if id.len() > LONGEST || id.contains('\0') => {
            Err("client_id is no MQTT string".to_owned())
        }
        Ok(_) if row.get_ref(13)? != ValueRef::Null && text(row, 13)?.is_err() => {
            Err("owner is no MQTT string".to_owned())
        }
        Ok(_) => in_range(row, 2, "version", 3, 5)?
            .and(in_range(row, 3, "expiry", 0, u32::MAX.into())?)
            .and(in_range(row, 4, "disconnected_at", 0, i64::MAX)?)
            .and(in_range(row, 5, "sent_up_to", 0, i64::MAX)?),
    })
}

fn will(row: &Row<'_>) -> Result<Verdict> {
    if row.get_ref(6)? == ValueRef::Null {
        return Ok(Ok(()));
    }
    let topic = topic(row, 6)?.map_err(|problem| format!("will_topic {problem}"));
    let complete = if [8, 9, 10, 12]
        .iter()
        .any(|column| row.get_ref(*column).is_ok_and(|value| value == ValueRef::Null))
    {
        Err("a will without QoS, RETAIN, delay or payload".to_owned())
    } else {
        Ok(())
    };
    Ok(topic
        .and(complete)
        .and(properties(row, 7, "will_properties")?)
        .and(in_range(row, 8, "will_qos", 0, 2)?)
        .and(in_range(row, 9, "will_retain", 0, 1)?)
        .and(in_range(row, 10, "will_delay", 0, u32::MAX.into())?)
        .and(in_range(row, 11, "will_expiry", 0, u32::MAX.into())?))
}

pub(super) fn subscriptions(run: &mut Run<'_>) -> Result<bool> {
    let mut select = run.database.connection.prepare(
        "SELECT session, filter, qos, no_local, retain_as_published, retain_handling, \
         identifier, session IN (SELECT id FROM session) FROM subscription",
    )?;
    let mut rows = select.query([])?;
    let mut homeless = 0;
    while let Some(row) = rows.next()? {
        run.rows.subscriptions += 1;
        let session: i64 = row.get(0)?;
        homeless += u64::from(!row.get::<_, bool>(7)?);
        if let Err(problem) = subscription(row)? {
            run.findings
                .damage("subscription", format!("a subscription of session {session}: {problem}"));
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    let what = "subscriptions of sessions that are gone: the next start removes them";
    run.findings.leftover("subscription-without-session", homeless, what);
    Ok(true)
}

fn subscription(row: &Row<'_>) -> Result<Verdict> {
    let filter = text(row, 1)?.and_then(|filter| {
        TopicFilter::new(filter).map(|_| ()).map_err(|error| format!("{filter:?}: {error}"))
    });
    Ok(filter
        .map_err(|problem| format!("filter {problem}"))
        .and(in_range(row, 2, "qos", 0, 2)?)
        .and(in_range(row, 3, "no_local", 0, 1)?)
        .and(in_range(row, 4, "retain_as_published", 0, 1)?)
        .and(in_range(row, 5, "retain_handling", 0, 2)?)
        .and(in_range(row, 6, "identifier", 1, LARGEST_IDENTIFIER)?))
}

pub(super) fn incoming(run: &mut Run<'_>) -> Result<bool> {
    let mut select = run
        .database
        .connection
        .prepare("SELECT session, packet_id, session IN (SELECT id FROM session) FROM incoming")?;
    let mut rows = select.query([])?;
    let mut homeless = 0;
    while let Some(row) = rows.next()? {
        run.rows.incoming_ids += 1;
        let session: i64 = row.get(0)?;
        homeless += u64::from(!row.get::<_, bool>(2)?);
        if let Err(problem) = in_range(row, 1, "packet_id", 1, 65_535)? {
            run.findings.damage("incoming", format!("session {session}: {problem}"));
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    let what = "incoming packet ids of sessions that are gone: the next start removes them";
    run.findings.leftover("incoming-without-session", homeless, what);
    Ok(true)
}

pub(super) fn retained(run: &mut Run<'_>) -> Result<bool> {
    let mut select = run.database.connection.prepare(
        "SELECT topic, qos, properties, published_at, expires_at, length(payload) FROM retained",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        run.rows.retained += 1;
        let verdict = topic(row, 0)?
            .map_err(|problem| format!("topic {problem}"))
            .and(in_range(row, 1, "qos", 0, 2)?)
            .and(properties(row, 2, "properties")?)
            .and(in_range(row, 3, "published_at", 0, i64::MAX)?)
            .and(in_range(row, 4, "expires_at", 0, i64::MAX)?)
            // An empty payload removes the message [MQTT-3.3.1-6].
            .and(in_range(row, 5, "length of the payload", 1, i64::MAX)?);
        if let Err(problem) = verdict {
            let name = super::super::queues::lossy(row, 0)?;
            run.findings.damage("retained", format!("retained {name:?}: {problem}"));
        }
        if !run.goes_on() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks a column's range. NULL passes: the schema forbids it where it must not be.
pub(super) fn in_range(
    row: &Row<'_>,
    column: usize,
    name: &str,
    first: i64,
    last: i64,
) -> Result<Verdict> {
    let value: Option<i64> = row.get(column)?;
    Ok(match value {
        Some(value) if value < first || value > last => {
            Err(format!("{name} is {value}, which is not within {first} to {last}"))
        }
        _ => Ok(()),
    })
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<std::result::Result<&'a str, String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned()),
        _ => Err("is no text".to_owned()),
    })
}

pub(super) fn topic(row: &Row<'_>, column: usize) -> Result<Verdict> {
    Ok(text(row, column)?.and_then(|topic| {
        TopicName::new(topic).map(|_| ()).map_err(|error| format!("{topic:?}: {error}"))
    }))
}

pub(super) fn properties(row: &Row<'_>, column: usize, name: &str) -> Result<Verdict> {
    let block = row.get_ref(column)?.as_blob_or_null().unwrap_or_default().unwrap_or_default();
    Ok(check_publish_properties(block)
        .map_err(|error| format!("{name} cannot be decoded: {error}")))
}
