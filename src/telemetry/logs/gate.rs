//! Passes the events of the level to all layers, except those beyond the limit of similar
//! lines.

use std::sync::Arc;

use tracing::{Dispatch, Event};
use tracing_subscriber::layer::Context;
use tracing_subscriber::{Layer, Registry};

use super::{EventLayer, LogLimit};

/// The limit is a layer around the others, not a filter: a filter that rejects an event by its
/// contents leaves thread-local state that filters inside it do not expect.
pub(super) struct Gate {
    layers: Vec<EventLayer>,
    limit: Arc<LogLimit>,
}

impl Gate {
    pub(super) fn new(layers: Vec<EventLayer>, limit: Arc<LogLimit>) -> Self {
        Self { layers, limit }
    }
}

impl Layer<Registry> for Gate {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.layers.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut Registry) {
        self.layers.on_layer(subscriber);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, Registry>) {
        if self.limit.admit(event) {
            self.layers.on_event(event, context);
        }
    }
}
