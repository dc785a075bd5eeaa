//! What every event has to pass: the level, then the limit.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::LogLimit;

/// One filter around all layers. Two filters, one inside the other, would have an event
/// that the inner one drops cost a token of the limit.
pub(super) struct Gate {
    level: reload::Layer<EnvFilter, Registry>,
    limit: Arc<LogLimit>,
}

impl Gate {
    pub(super) fn new(level: reload::Layer<EnvFilter, Registry>, limit: Arc<LogLimit>) -> Self {
        Self { level, limit }
    }
}

impl Filter<Registry> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, Registry>) -> bool {
        Filter::enabled(&self.level, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        Filter::callsite_enabled(&self.level, metadata)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, Registry>) -> bool {
        self.limit.admit(event)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::max_level_hint(&self.level)
    }
}
