//! Attempts that failed and connections that ended: how they are counted, and what they tell of the
//! other end. Pure.

use super::status::Failure;
use crate::net::dial::{DialError, End};
use crate::protocol::ReasonCode;

/// An attempt that failed.
pub(super) struct Failed {
    pub(super) kind: Failure,
    pub(super) why: String,
    /// Whether the other end may speak another version.
    pub(super) other_dialect: OtherDialect,
    /// True if CONNECT was sent.
    pub(super) asked: bool,
}

/// Whether the other end may speak another version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherDialect {
    No,
    /// It closed without a word.
    Perhaps,
    /// It has refused this one.
    Yes,
}

impl Failed {
    /// Before CONNECT.
    pub(super) fn before(why: String) -> Self {
        Self { kind: Failure::Unreachable, why, other_dialect: OtherDialect::No, asked: false }
    }

    /// The other end has not accepted CONNECT.
    pub(super) fn refused(error: &DialError) -> Self {
        Self {
            kind: Failure::Refused,
            why: format!("{error}{}", advice(error)),
            other_dialect: is_about_the_version(error),
            asked: true,
        }
    }
}

fn is_about_the_version(error: &DialError) -> OtherDialect {
    match error {
        DialError::Refused(refused) if refused.reason == ReasonCode::UnsupportedProtocolVersion => {
            OtherDialect::Yes
        }
        // Many brokers close instead of answering in a version that they do not know.
        DialError::Closed => OtherDialect::Perhaps,
        _ => OtherDialect::No,
    }
}

/// What to do about a refusal.
fn advice(error: &DialError) -> &'static str {
    let refused = match error {
        DialError::Refused(refused) => refused,
        DialError::Closed => return "; check the port, and whether it is one for TLS (mqtts)",
        _ => return "",
    };
    match refused.reason {
        ReasonCode::BadUserNameOrPassword => "; check username and password_file",
        // Mosquitto's answer to a wrong password, too.
        ReasonCode::NotAuthorized => {
            "; check username and password_file, and what the user may do there"
        }
        ReasonCode::ClientIdentifierNotValid => "; set client_id",
        _ => "",
    }
}

/// Why a connection ended, as it is counted.
pub(super) fn kind_of(end: &End) -> Failure {
    match end {
        End::ByServer { .. } => Failure::Disconnected,
        End::ByBroker(..) => Failure::Ended,
        End::Lost(_) | End::Stopped => Failure::Lost,
    }
}
