//! Enhanced authentication at CONNECT (MQTT 5.0, 4.12): AUTH packets before the CONNACK, within
//! the connect timeout.

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;

use super::handshake::Rejection;
use super::log_in::Failure;
use super::opening::{Opening, Read};
use super::transport::Transport;
use crate::auth::{Claimed, Decision, Request, Step};
use crate::broker::Broker;
use crate::protocol::{Auth, Connect, Packet, ReasonCode, encode};
use crate::telemetry::{PacketType, RejectReason};

/// What a client sent after an AUTH, before its CONNACK.
enum Answer {
    /// AUTH with reason code 0x18 and its data [MQTT-4.12.0-3].
    Continues(Option<String>, Vec<u8>),
    /// DISCONNECT.
    Leaves,
    /// Any other packet [MQTT-3.1.2-30].
    Other,
}

/// Exchanges AUTH packets until the method has decided. Returns the decision and the
/// Authentication Data of the CONNACK.
pub(super) async fn authenticate<S: Transport>(
    broker: &Broker,
    connect: &Connect,
    name: &str,
    request: Request<'_>,
    opening: &mut Opening<'_, S>,
) -> Result<(Decision, Option<Vec<u8>>), Failure> {
    let Request { username, client_id, peer, until, now, .. } = request;
    let claimed = Claimed { username, client_id, peer, until, now };
    let begun = broker.authenticator.exchange(request.listener, name, claimed);
    let Some((method, mut exchange)) = begun else {
        // [MQTT-4.12.0-1].
        return Err(rejected(
            ReasonCode::BadAuthenticationMethod,
            "its authentication method is not supported",
        ));
    };
    let mut next = exchange.begin(connect.authentication_data.as_deref().unwrap_or_default());
    loop {
        let data = match next.reached().await {
            Step::Continue(data) => data,
            Step::Done(identity, data) => {
                let decision = broker.authenticator.exchanged(request, identity).await;
                return Ok((decision, data));
            }
            Step::Refuse(reason) => {
                return Ok((Decision::Refuse { reason, by: Some(method) }, None));
            }
        };
        let answered = ask(broker, connect, name, data, opening);
        let answered = tokio::time::timeout_at(request.until, answered).await;
        next = exchange.next(&answered.map_err(|_| Failure::Late)??);
    }
}

/// Sends AUTH, and returns the data of the client's answer.
async fn ask<S: Transport>(
    broker: &Broker,
    connect: &Connect,
    name: &str,
    data: Vec<u8>,
    opening: &mut Opening<'_, S>,
) -> Result<Vec<u8>, Failure> {
    let auth = Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: Some(name.to_owned()),
        data: Some(data),
        ..Auth::default()
    };
    let mut out = BytesMut::new();
    if !encode::within(&mut out, connect.maximum_packet_size, &auth, encode::auth) {
        return Err(rejected(
            ReasonCode::PacketTooLarge,
            "it accepts no packet as large as the AUTH for it",
        ));
    }
    let written = async {
        opening.stream.write_all_buf(&mut out).await?;
        opening.stream.flush().await
    };
    written.await.map_err(|_| Failure::Left)?;
    broker.metrics.packets.sent.inc(PacketType::Auth);
    let answer = match opening.read(take).await.map_err(Failure::Malformed)? {
        Read::Packet(answer) => answer,
        Read::Closed => return Err(Failure::Left),
        Read::NoMemory => return Err(Failure::NoMemory),
    };
    let problem = match answer {
        Answer::Continues(method, data) if method.as_deref() == Some(name) => {
            broker.metrics.packets.received.inc(PacketType::Auth);
            return Ok(data);
        }
        Answer::Leaves => return Err(Failure::Left),
        Answer::Continues(..) => "an AUTH with another authentication method [MQTT-4.12.0-5]",
        Answer::Other => {
            "a packet other than AUTH with reason code 0x18 before its CONNACK [MQTT-3.1.2-30]"
        }
    };
    broker.metrics.connections.protocol_errors.inc(ReasonCode::ProtocolError.into());
    Err(rejected(ReasonCode::ProtocolError, problem))
}

fn take(packet: Packet<'_>) -> Answer {
    match packet {
        Packet::Auth(auth) if auth.reason == ReasonCode::ContinueAuthentication => {
            Answer::Continues(auth.method, auth.data.unwrap_or_default())
        }
        Packet::Disconnect(_) => Answer::Leaves,
        _ => Answer::Other,
    }
}

fn rejected(reason: ReasonCode, detail: &'static str) -> Failure {
    Rejection { reason, counted: RejectReason::Authentication, detail }.into()
}
