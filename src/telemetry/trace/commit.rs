//! The span of one transaction, to which the spans of its messages are linked.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind};

use super::Tracing;
use super::span::{named, wall};
use crate::message::{CommitMark, CommitObserver, Committed};

impl CommitObserver for Tracing {
    fn committed(&self, commit: &Committed) -> Option<CommitMark> {
        let began = wall(commit.began);
        // Counts above 2^63 do not occur.
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        // CLIENT by the semantic conventions for databases: SQLite runs in this process, but
        // uses the disk.
        let builder = named("commit", SpanKind::Client).with_start_time(began).with_attributes([
            KeyValue::new("db.system.name", "sqlite"),
            KeyValue::new("db.operation.name", "COMMIT"),
            KeyValue::new("db.operation.batch.size", count(commit.messages + commit.deliveries)),
            KeyValue::new("ferrymq.batch.messages", count(commit.messages)),
            KeyValue::new("ferrymq.batch.bytes", i64::try_from(commit.bytes).unwrap_or(i64::MAX)),
            KeyValue::new("ferrymq.commit", i64::try_from(commit.number).unwrap_or(i64::MAX)),
        ]);
        let mut commit_span = self.open(builder, None)?;
        let context = commit_span.context();
        let mark =
            CommitMark { trace: context.trace_id().to_bytes(), span: context.span_id().to_bytes() };
        commit_span.span.end_with_timestamp(began + commit.took);
        Some(mark)
    }
}
