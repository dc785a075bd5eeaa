//! The method `http`: the server of `[auth.http]` decides.

use super::callback::{self, Callback, CallbackRequest};
use super::external_clock::{in_broker_time, wall_clock};
use super::{Answer, Identity, Request};
use crate::config::Method;
use crate::protocol::ReasonCode;

/// Asks about a client that gave a user name or a password.
pub(super) async fn ask(callback: &Callback, request: &Request<'_>) -> Answer {
    if request.username.is_none() && request.password.is_none() {
        return Answer::NotMine;
    }
    let asked = CallbackRequest {
        client_id: request.client_id,
        username: request.username,
        password: request.password,
        peer: request.peer,
        listener: request.listener,
        certificate: request.certificate.map(|shown| &**shown),
    };
    let wall = wall_clock();
    match callback.ask(&asked, request.until, wall).await {
        callback::Answer::Allow { username, rules, expires_at } => Answer::Allow(Identity {
            username,
            method: Some(Method::Http),
            rules,
            expires_at: expires_at.map(|at| in_broker_time(at, wall, request.now)),
            credential: 0,
            others: None,
        }),
        callback::Answer::Refuse => Answer::Refuse(ReasonCode::BadUserNameOrPassword),
        callback::Answer::NotMine => Answer::NotMine,
        callback::Answer::Unavailable => Answer::Refuse(ReasonCode::ServerUnavailable),
    }
}
