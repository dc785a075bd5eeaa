//! DISCONNECT and AUTH. Not decoded by `mqttbytes`, which refuses the short DISCONNECT and has
//! no AUTH.

use super::Role;
use super::ack::reason;
use crate::protocol::properties::{self, id, of};
use crate::protocol::reader::Reader;
use crate::protocol::reason::ReasonContext;
use crate::protocol::{Auth, DecodeError, Disconnect, ReasonCode, Version};

pub(super) fn disconnect(
    version: Version,
    role: Role,
    mut reader: Reader<'_>,
) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect::default();
    // A remaining length of 0 means normal disconnection, and is the only valid one before v5.
    // A remaining length of 1 omits the property length.
    if version == Version::V5 && !reader.is_empty() {
        let context = match role {
            Role::Server => ReasonContext::DisconnectByClient,
            Role::Client => ReasonContext::DisconnectByServer,
        };
        disconnect.reason = reason(reader.u8()?, context)?;
        if !reader.is_empty() {
            read_disconnect(&mut disconnect, role, &mut reader)?;
        }
    }
    reader.finish()?;
    Ok(disconnect)
}

fn read_disconnect(
    disconnect: &mut Disconnect,
    role: Role,
    reader: &mut Reader<'_>,
) -> Result<(), DecodeError> {
    properties::walk(reader, of::DISCONNECT, |property| {
        let value = property.value;
        match (property.id, role) {
            (id::SESSION_EXPIRY, Role::Server) => disconnect.session_expiry = Some(value.int()),
            (id::SESSION_EXPIRY, Role::Client) => {
                return Err(DecodeError::protocol("session expiry from a server [MQTT-3.14.2-2]"));
            }
            (id::SERVER_REFERENCE, Role::Client) => {
                disconnect.server_reference = Some(value.text().into());
            }
            (id::SERVER_REFERENCE, Role::Server) => {
                return Err(DecodeError::protocol("server reference from a client"));
            }
            (id::REASON_STRING, _) => disconnect.reason_string = Some(value.text().into()),
            _ => disconnect.user_properties.push(value.pair()),
        }
        Ok(())
    })
}

pub(super) fn auth(role: Role, mut reader: Reader<'_>) -> Result<Auth, DecodeError> {
    let context = match role {
        Role::Server => ReasonContext::AuthByClient,
        Role::Client => ReasonContext::AuthByServer,
    };
    // A remaining length of 0 means success, which only a server may send. Otherwise both the
    // reason code and the property length are required.
    if reader.is_empty() {
        reason(ReasonCode::Success.as_u8(), context)?;
        return Ok(Auth::default());
    }
    let mut auth = Auth { reason: reason(reader.u8()?, context)?, ..Auth::default() };
    let mut is_bare = true;
    properties::walk(&mut reader, of::AUTH, |property| {
        is_bare = false;
        let value = property.value;
        match property.id {
            id::AUTHENTICATION_METHOD => auth.method = Some(value.text().into()),
            id::AUTHENTICATION_DATA => auth.data = Some(value.binary().into()),
            id::REASON_STRING => auth.reason_string = Some(value.text().into()),
            _ => auth.user_properties.push(value.pair()),
        }
        Ok(())
    })?;
    reader.finish()?;
    if auth.method.is_none() && !(is_bare && auth.reason == ReasonCode::Success) {
        return Err(DecodeError::protocol("AUTH without an authentication method"));
    }
    Ok(auth)
}
