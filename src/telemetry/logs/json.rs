//! A line of JSON for each event: `timestamp`, `level`, the message and the fields at the top
//! level, `target`. The format is that of `tracing_subscriber`, with long values truncated.

use std::fmt;

use serde::Serializer as _;
use serde::ser::SerializeMap;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::cut::{LOGGED, cut};
use crate::untrusted_text::escape_json;

/// See the module.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = object(event).map_err(|_| fmt::Error)?;
        writer.write_str(&escape_json(std::str::from_utf8(&line).map_err(|_| fmt::Error)?))?;
        writer.write_char('\n')
    }
}

fn object(event: &Event<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut now = String::new();
    SystemTime.format_time(&mut Writer::new(&mut now)).map_err(serde::ser::Error::custom)?;
    let mut line = Vec::new();
    let mut json = serde_json::Serializer::new(&mut line);
    let mut map = json.serialize_map(None)?;
    map.serialize_entry("timestamp", &now)?;
    map.serialize_entry("level", event.metadata().level().as_str())?;
    let mut fields = Fields { map: &mut map, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    map.serialize_entry("target", event.metadata().target())?;
    map.end()?;
    Ok(line)
}

/// Writes each field until the first error.
struct Fields<'a, M: SerializeMap> {
    map: &'a mut M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<'_, M> {
    fn take(&mut self, field: &Field, value: &impl serde::Serialize) {
        if self.result.is_ok() {
            self.result = self.map.serialize_entry(field.name(), value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<'_, M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &cut(format_args!("{value}"), LOGGED));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &cut(format_args!("{value:?}"), LOGGED));
    }
}
