//! `/reload` and `/log-level`: settings that can change while the broker runs.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Body, NoBody, Operator};
use super::problem::{Answer, Problem};
use super::{Api, blocking};
use crate::config::{LOG_LEVELS, is_log_level};
use crate::telemetry::{AUDIT, LogLevel, NewLevel};

/// The result of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Reloaded {
    /// Keys whose value, or whose file's content, has changed and is in effect.
    pub changed: Vec<String>,
    /// Keys whose value in the configuration differs and takes effect after a restart.
    pub needs_restart: Vec<String>,
}

/// Reads the configuration again; blocks. The error is one line that says what is wrong;
/// nothing has changed.
#[derive(Clone)]
pub struct Reload(pub Arc<dyn Fn() -> Result<Reloaded, String> + Send + Sync>);

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

/// The log level.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    /// As `telemetry.level`: `info`, or by module as in `info,ferrymq::store=debug`.
    level: String,
}

/// Reads the configuration, the password file and the token file again.
#[utoipa::path(post, path = "/reload", operation_id = "reload", tag = "process",
    responses(
        (status = 200, description = "It is read.", body = Reloaded),
        (status = 409, description = "The configuration is not valid; nothing has changed.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reload(
    State(api): State<Api>,
    Operator(remote): Operator,
    _: NoBody,
) -> Answer<Json<Reloaded>> {
    api.broker()?;
    let Some(Reload(reload)) = api.reload().cloned() else {
        let detail = "This broker was not started from a configuration.";
        return Err(Problem::conflict("no-reload", "There is nothing to be read again", detail));
    };
    tracing::info!(target: AUDIT, %remote, "reload asked for by an operator");
    let reloaded = blocking(move || reload()).await?;
    let title = "The configuration is not valid";
    reloaded.map(Json).map_err(|error| Problem::conflict("unfit-configuration", title, error))
}

/// The log level.
#[utoipa::path(get, path = "/log-level", operation_id = "getLogLevel", tag = "process",
    responses((status = 200, description = "Since the last change.", body = Level)))]
pub(super) async fn level(State(api): State<Api>) -> Answer<Json<Level>> {
    Ok(Json(Level { level: log(&api)?.get() }))
}

/// Changes the log level until the next change, reload or restart.
#[utoipa::path(put, path = "/log-level", operation_id = "setLogLevel", tag = "process", request_body = Level,
    responses((status = 200, description = "From now on.", body = Level)))]
pub(super) async fn set_level(
    State(api): State<Api>,
    Operator(remote): Operator,
    Body(wanted): Body<Level>,
) -> Answer<Json<Level>> {
    let log = log(&api)?;
    if !is_log_level(&wanted.level) {
        return Err(Problem::unfit(format!("level: expected {LOG_LEVELS}")));
    }
    let level = NewLevel::of(&wanted.level);
    let level = level.map_err(|error| Problem::unfit(format!("level: {error}")))?;
    // Logged before the change, while this level is still enabled.
    let before = log.get();
    tracing::info!(target: AUDIT, %remote, from = before, to = wanted.level, "log level set by an operator");
    log.set(level);
    Ok(Json(Level { level: log.get() }))
}

fn log(api: &Api) -> Answer<&LogLevel> {
    api.level().ok_or_else(|| {
        let detail = "The logs of this process are not the broker's.";
        Problem::conflict("no-logs", "There are no logs", detail)
    })
}
