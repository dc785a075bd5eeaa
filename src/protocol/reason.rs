//! Reason codes of MQTT 5.0, section 2.4: their numbers, descriptions, and the packets in
//! which they are valid. The encoder maps them to older versions.

/// One table for number, name and description, so that they stay consistent.
macro_rules! reason_codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        /// A reason code. `Success` is also Normal Disconnection and Granted QoS 0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[repr(u8)]
        #[allow(missing_docs)] // The names are the specification's.
        pub enum ReasonCode {
            #[default]
            Success = 0x00,
            $($name = $value,)*
        }

        impl ReasonCode {
            /// `None` for a number that section 2.4 does not list.
            pub fn from_u8(value: u8) -> Option<Self> {
                match value {
                    0x00 => Some(Self::Success),
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// A description for logs and reason strings.
            pub fn description(self) -> &'static str {
                match self {
                    Self::Success => "success",
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    GrantedQoS1 = 0x01, "granted QoS 1";
    GrantedQoS2 = 0x02, "granted QoS 2";
    DisconnectWithWill = 0x04, "disconnect with will message";
    NoMatchingSubscribers = 0x10, "no matching subscribers";
    NoSubscriptionExisted = 0x11, "no subscription existed";
    ContinueAuthentication = 0x18, "continue authentication";
    ReAuthenticate = 0x19, "re-authenticate";
    UnspecifiedError = 0x80, "unspecified error";
    MalformedPacket = 0x81, "malformed packet";
    ProtocolError = 0x82, "protocol error";
    ImplementationSpecificError = 0x83, "implementation specific error";
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    ClientIdentifierNotValid = 0x85, "client identifier not valid";
    BadUserNameOrPassword = 0x86, "bad user name or password";
    NotAuthorized = 0x87, "not authorized";
    ServerUnavailable = 0x88, "server unavailable";
    ServerBusy = 0x89, "server busy";
    Banned = 0x8A, "banned";
    ServerShuttingDown = 0x8B, "server shutting down";
    BadAuthenticationMethod = 0x8C, "bad authentication method";
    KeepAliveTimeout = 0x8D, "keep alive timeout";
    SessionTakenOver = 0x8E, "session taken over";
    TopicFilterInvalid = 0x8F, "topic filter invalid";
    TopicNameInvalid = 0x90, "topic name invalid";
    PacketIdentifierInUse = 0x91, "packet identifier in use";
    PacketIdentifierNotFound = 0x92, "packet identifier not found";
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    TopicAliasInvalid = 0x94, "topic alias invalid";
    PacketTooLarge = 0x95, "packet too large";
    MessageRateTooHigh = 0x96, "message rate too high";
    QuotaExceeded = 0x97, "quota exceeded";
    AdministrativeAction = 0x98, "administrative action";
    PayloadFormatInvalid = 0x99, "payload format invalid";
    RetainNotSupported = 0x9A, "retain not supported";
    QoSNotSupported = 0x9B, "QoS not supported";
    UseAnotherServer = 0x9C, "use another server";
    ServerMoved = 0x9D, "server moved";
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    MaximumConnectTime = 0xA0, "maximum connect time";
    SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

/// A packet with a reason code. Each has a table of valid codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasonContext {
    /// CONNACK, table in 3.2.2.2.
    ConnAck,
    /// PUBACK and PUBREC share one table [MQTT-3.4.2-1] [MQTT-3.5.2-1].
    PubAckOrPubRec,
    /// PUBREL and PUBCOMP share one table [MQTT-3.6.2-1] [MQTT-3.7.2-1].
    PubRelOrPubComp,
    /// SUBACK [MQTT-3.9.3-2].
    SubAck,
    /// UNSUBACK [MQTT-3.11.3-2].
    UnsubAck,
    /// DISCONNECT as a client sends it [MQTT-3.14.2-1].
    DisconnectByClient,
    /// DISCONNECT as a server sends it [MQTT-3.14.2-1].
    DisconnectByServer,
    /// AUTH as a client sends it [MQTT-3.15.2-1].
    AuthByClient,
    /// AUTH as a server sends it [MQTT-3.15.2-1].
    AuthByServer,
}

impl ReasonCode {
    /// The byte in a packet.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// True for 0x80 and above.
    pub fn is_failure(self) -> bool {
        self as u8 >= 0x80
    }

    /// True if the code is valid in this packet.
    pub fn is_valid_in(self, context: ReasonContext) -> bool {
        let code = self.as_u8();
        match context {
            ReasonContext::ConnAck => matches!(
                code,
                0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F
            ),
            ReasonContext::PubAckOrPubRec => {
                matches!(code, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            ReasonContext::PubRelOrPubComp => matches!(code, 0x00 | 0x92),
            ReasonContext::SubAck => matches!(
                code,
                0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2
            ),
            ReasonContext::UnsubAck => {
                matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
            }
            ReasonContext::DisconnectByClient => {
                matches!(code, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
            }
            // 0x00 is listed for clients only, but servers send the short form. 0x8C is
            // missing in 3.14.2.1, but listed for DISCONNECT in 2.4.
            ReasonContext::DisconnectByServer => matches!(
                code,
                0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
            ),
            ReasonContext::AuthByClient => matches!(code, 0x18 | 0x19),
            ReasonContext::AuthByServer => matches!(code, 0x00 | 0x18),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_names_the_code_that_stands_for_it() {
        let known: Vec<u8> = (0..=u8::MAX)
            .filter(|&value| {
                ReasonCode::from_u8(value).is_some_and(|code| {
                    assert_eq!(code.as_u8(), value);
                    assert!(!code.description().is_empty());
                    true
                })
            })
            .collect();
        assert_eq!(known.len(), 43);
        assert_eq!(ReasonCode::from_u8(0x03), None);
    }
}
