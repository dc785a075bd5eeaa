//! `/bans`: addresses from which no connections are accepted.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Body, NoBody, Operator, Query, Segment};
use super::page::{self, Page};
use super::problem::{Answer, Problem};
use super::time::rfc3339;
use crate::auth::bans::BanPlace;
use crate::broker::admin::{BanInfo, Unbanned};
use crate::peer::Source;
use crate::telemetry::{AUDIT, BanReason, Label as _};

/// The longest ban, in seconds: that of `bans.time`, 365 days.
const LONGEST: u64 = 365 * 86_400;

/// A banned address. Its open connections stay, and no others are accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ban {
    /// An IPv4 address, or an IPv6 network of 64 bits.
    address: String,
    #[schema(format = DateTime)]
    until: String,
    /// The failed log-ins that it is for; 0 if an operator banned it.
    failures: u32,
    /// `failures`, or `operator`.
    reason: &'static str,
}

/// An address to be banned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBan {
    /// An IPv4 address, an IPv6 network of 64 bits, or an IPv6 address of such a network.
    address: String,
    /// How long the ban lasts.
    #[schema(minimum = 1, maximum = 31_536_000)]
    seconds: u64,
}

/// The part of the list to return.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// Number of bans per page, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the previous page.
    cursor: Option<String>,
}

impl From<BanInfo> for Ban {
    fn from(ban: BanInfo) -> Self {
        Self {
            address: ban.source.to_string(),
            until: rfc3339(ban.until),
            failures: ban.failures,
            reason: ban.reason.as_str(),
        }
    }
}

/// A place in the list as a cursor holds it.
type Place = (bool, Duration, String);

fn to_place((reason, until, source): BanPlace) -> Place {
    (reason == BanReason::Operator, until, source.to_string())
}

fn from_place((by_operator, until, source): Place) -> Answer<BanPlace> {
    let reason = if by_operator { BanReason::Operator } else { BanReason::Failures };
    Ok((reason, until, parsed("cursor", &source)?))
}

fn parsed(what: &str, address: &str) -> Answer<Source> {
    address.parse().map_err(|error| Problem::bad_request(format!("{what} {address:?}: {error}")))
}

/// Lists banned addresses in pages: those for failed log-ins, then those of operators, and of
/// each the one whose ban ends first.
#[utoipa::path(get, path = "/bans", operation_id = "listBans", tag = "bans", params(List),
    responses((status = 200, description = "A page of them.", body = Page<Ban>)))]
pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<List>,
) -> Answer<Json<Page<Ban>>> {
    let limit = page::limit(query.limit)?;
    let after = api.cursors().place::<Place>(query.cursor.as_deref())?;
    let after = after.map(from_place).transpose()?;
    let (bans, next) = api.broker()?.ban_list(after, limit);
    let next = next.and_then(|next| api.cursors().to(&to_place(next)));
    Ok(Json(Page { items: bans.into_iter().map(Ban::from).collect(), next }))
}

/// Bans an address, or changes its ban. A restart lifts all bans.
#[utoipa::path(post, path = "/bans", operation_id = "addBan", tag = "bans", request_body = NewBan,
    responses(
        (status = 200, description = "It is banned.", body = Ban),
        (status = 409, description = "The address is exempt, or too many are banned.", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn add(
    State(api): State<Api>,
    Operator(remote): Operator,
    Body(wanted): Body<NewBan>,
) -> Answer<Json<Ban>> {
    let NewBan { address, seconds } = wanted;
    let source: Source =
        address.parse().map_err(|error| Problem::unfit(format!("address {address:?}: {error}")))?;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Problem::unfit(format!("seconds: found {seconds}, expected 1 to {LONGEST}")));
    }
    let ban = api.broker()?.ban(source, Duration::from_secs(seconds)).map_err(|error| {
        let kind = match error {
            Unbanned::Exempt => "exempt",
            Unbanned::TooMany(_) => "too-many-bans",
        };
        Problem::conflict(kind, "The address cannot be banned", format!("{source}: {error}"))
    })?;
    tracing::info!(target: AUDIT, %source, seconds, %remote, "address banned by an operator");
    Ok(Json(ban.into()))
}

/// Lifts a ban, and forgets the failed log-ins of the address.
#[utoipa::path(delete, path = "/bans/{address}", operation_id = "liftBan", tag = "bans",
    params(("address" = String, Path, description = "As in the list, percent-encoded, `/` too; or an IPv6 address of the network.")),
    responses((status = 204, description = "It may connect again.")))]
pub(super) async fn lift(
    State(api): State<Api>,
    Operator(remote): Operator,
    Segment(address): Segment,
    _: NoBody,
) -> Answer<StatusCode> {
    let source = parsed("address", &address)?;
    if !api.broker()?.lift_ban(source) {
        return Err(Problem::not_found(format!("{source} is not banned.")));
    }
    tracing::info!(target: AUDIT, %source, %remote, "ban lifted by an operator");
    Ok(StatusCode::NO_CONTENT)
}
