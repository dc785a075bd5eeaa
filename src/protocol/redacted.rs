//! `Debug` of packets that carry secrets: their names and lengths, and never what they are, so
//! that no log line and no message of a failed assertion can show them.

use std::fmt;

use super::{Auth, Connect};

/// Stands for a secret of this many bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Redacted(usize);

impl Redacted {
    /// What is shown of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        Self(secret.len())
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0)
    }
}

/// Without the password and the Authentication Data.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is not forgotten.
        let Self {
            version,
            is_bridge,
            clean_start,
            keep_alive,
            client_id,
            will,
            username,
            password,
            session_expiry,
            receive_maximum,
            maximum_packet_size,
            topic_alias_maximum,
            request_response_information,
            request_problem_information,
            user_properties,
            authentication_method,
            authentication_data,
        } = self;
        f.debug_struct("Connect")
            .field("version", version)
            .field("is_bridge", is_bridge)
            .field("clean_start", clean_start)
            .field("keep_alive", keep_alive)
            .field("client_id", client_id)
            .field("will", will)
            .field("username", username)
            .field("password", &password.as_deref().map(Redacted::of))
            .field("session_expiry", session_expiry)
            .field("receive_maximum", receive_maximum)
            .field("maximum_packet_size", maximum_packet_size)
            .field("topic_alias_maximum", topic_alias_maximum)
            .field("request_response_information", request_response_information)
            .field("request_problem_information", request_problem_information)
            .field("user_properties", user_properties)
            .field("authentication_method", authentication_method)
            .field("authentication_data", &authentication_data.as_deref().map(Redacted::of))
            .finish()
    }
}

/// Without the Authentication Data, which may be a token.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, method, data, reason_string, user_properties } = self;
        f.debug_struct("Auth")
            .field("reason", reason)
            .field("method", method)
            .field("data", &data.as_deref().map(Redacted::of))
            .field("reason_string", reason_string)
            .field("user_properties", user_properties)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Packet, Version};

    #[test]
    fn no_secret_of_a_client_is_shown() {
        let connect = Connect {
            version: Version::V5,
            is_bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id: "meter".to_owned(),
            will: None,
            username: Some("alice".to_owned()),
            password: Some(b"hunter2".to_vec()),
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication_method: Some("OAUTH2-JWT".to_owned()),
            authentication_data: Some(b"hunter2".to_vec()),
        };
        let auth = Auth { data: Some(b"hunter2".to_vec()), ..Auth::default() };
        // As bytes are shown: `[104, 117, ...`.
        let secret = format!("{:?}", b"hunter2");
        for packet in [Packet::Connect(Box::new(connect)), Packet::Auth(Box::new(auth))] {
            for shown in [format!("{packet:?}"), format!("{packet:#?}")] {
                assert!(!shown.contains(&secret) && !shown.contains("104"), "{shown}");
                assert!(shown.contains("<7 bytes>"), "{shown}");
            }
        }
    }
}
