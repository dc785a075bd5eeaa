//! Strategies for valid packets, for proptest.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn text() -> impl Strategy<Value = String> {
    "[a-z✓é ]{0,8}"
}

fn texts() -> impl Strategy<Value = Option<String>> {
    of(text())
}

fn users(version: Version) -> BoxedStrategy<Vec<UserProperty>> {
    if version == Version::V5 {
        vec((text(), text()), 0..3).boxed()
    } else {
        Just(Vec::new()).boxed()
    }
}

/// `None` before v5.
fn only_v5<T: Clone + std::fmt::Debug + 'static>(
    version: Version,
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if version == Version::V5 { of(value).boxed() } else { Just(None).boxed() }
}

pub fn packet_id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(id)
}

pub fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

pub fn topic() -> impl Strategy<Value = String> {
    "[a-zé]{1,3}(/[a-z$]{0,3}){0,4}"
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    "(\\$share/g/)?([a-z]{1,3}|\\+)(/([a-zé]{0,3}|\\+)){0,3}(/#)?"
        .prop_map(|text| TopicFilter::new(&text).unwrap())
}

/// Encoded properties that receivers get, in no particular order.
pub fn passing_properties() -> impl Strategy<Value = Vec<u8>> {
    let user = (text(), text())
        .prop_map(|(name, value)| [&[0x26][..], &field(name), &field(value)].concat());
    let string = |id: u8| text().prop_map(move |text| [&[id][..], &field(text)].concat());
    let once = (
        of(any::<bool>().prop_map(|format| vec![0x01, format.into()])),
        of(string(0x03)),
        of(topic().prop_map(|topic| [&[0x08][..], &field(topic)].concat())),
        of(vec(any::<u8>(), 0..6).prop_map(|data| [&[0x09][..], &field(data)].concat())),
    );
    (once, vec(user, 0..3)).prop_flat_map(|((format, content, response, data), users)| {
        let all = [format, content, response, data].into_iter().flatten().chain(users);
        Just(all.collect::<Vec<_>>()).prop_shuffle().prop_map(|all| all.concat())
    })
}

fn reasons(context: ReasonContext) -> impl Strategy<Value = ReasonCode> {
    let all = (0..=u8::MAX).filter_map(ReasonCode::from_u8);
    select(all.filter(|reason| reason.is_valid_in(context)).collect::<Vec<_>>())
}

fn will(version: Version) -> impl Strategy<Value = LastWill> {
    let v5 = version == Version::V5;
    let properties = if v5 { passing_properties().boxed() } else { Just(Vec::new()).boxed() };
    (
        topic(),
        vec(any::<u8>(), 0..20),
        qos(),
        any::<bool>(),
        only_v5(version, any::<u32>()),
        only_v5(version, any::<u32>()),
        properties,
    )
        .prop_map(|(topic, payload, qos, retain, delay, expiry, properties)| LastWill {
            topic: TopicName::new(&topic).unwrap(),
            payload,
            qos,
            retain,
            delay: delay.unwrap_or(0),
            expiry,
            properties,
        })
}

pub fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let head = (
        any::<bool>(),
        any::<u16>(),
        "[a-z]{1,8}",
        of(will(version)),
        of(text()),
        of(vec(any::<u8>(), 0..8)),
    );
    let numbers = (
        only_v5(version, any::<u32>()),
        only_v5(version, 1..=u16::MAX),
        only_v5(version, 1..=u32::MAX),
        only_v5(version, any::<u16>()),
        only_v5(version, any::<(bool, bool)>()),
    );
    let rest = (users(version), only_v5(version, (text(), of(vec(any::<u8>(), 0..8)))));
    (head, numbers, rest).prop_map(move |(head, numbers, rest)| {
        let (clean_start, keep_alive, client_id, will, username, password) = head;
        let (response, problem) = numbers.4.unwrap_or((false, true));
        let (method, data) = rest.1.map_or((None, None), |(method, data)| (Some(method), data));
        // Before v5 a password needs a user name.
        let username = if version == Version::V5 {
            username
        } else {
            username.or(password.as_ref().map(|_| String::new()))
        };
        Connect {
            version,
            is_bridge: false,
            clean_start,
            keep_alive,
            client_id,
            will,
            username,
            password,
            session_expiry: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3.unwrap_or(0),
            request_response_information: response,
            request_problem_information: problem,
            user_properties: rest.0,
            authentication_method: method,
            authentication_data: data,
        }
    })
}

fn connack_v5() -> impl Strategy<Value = ConnAck> {
    let flags = of(any::<bool>());
    (
        (any::<bool>(), reasons(ReasonContext::ConnAck), users(Version::V5)),
        (of(any::<u32>()), of(1..=u16::MAX), of(1..=u32::MAX), of(any::<u16>()), of(any::<u16>())),
        (flags.clone(), flags.clone(), flags.clone(), flags.clone(), flags),
        (texts(), texts(), texts(), texts(), of((text(), of(vec(any::<u8>(), 0..8))))),
    )
        .prop_map(|(head, numbers, flags, strings)| {
            let (method, data) =
                strings.4.map_or((None, None), |(method, data)| (Some(method), data));
            ConnAck {
                session_present: head.0 && head.1 == ReasonCode::Success,
                reason: head.1,
                session_expiry: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos: flags.4.and_then(|qos| QoS::from_bits(qos.into())),
                retain_available: flags.0,
                maximum_packet_size: numbers.2,
                assigned_client_id: strings.0,
                topic_alias_maximum: numbers.3,
                reason_string: strings.1,
                user_properties: head.2,
                wildcard_subscription_available: flags.1,
                subscription_identifiers_available: flags.2,
                shared_subscription_available: flags.3,
                server_keep_alive: numbers.4,
                response_information: strings.2,
                server_reference: strings.3,
                authentication_method: method,
                authentication_data: data,
            }
        })
}

fn connack(version: Version) -> BoxedStrategy<ConnAck> {
    if version == Version::V5 {
        return connack_v5().boxed();
    }
    let reasons =
        [0x00, 0x84, 0x85, 0x88, 0x86, 0x87].map(|code| ReasonCode::from_u8(code).unwrap());
    (any::<bool>(), select(reasons.to_vec()))
        .prop_map(move |(present, reason)| ConnAck {
            session_present: present && reason == ReasonCode::Success && version == Version::V311,
            reason,
            ..ConnAck::default()
        })
        .boxed()
}

fn ack(version: Version, context: ReasonContext) -> impl Strategy<Value = Ack> {
    let reason = only_v5(version, reasons(context));
    (packet_id(), reason, only_v5(version, text()), users(version)).prop_map(
        |(packet_id, reason, reason_string, user_properties)| Ack {
            packet_id,
            reason: reason.unwrap_or_default(),
            reason_string,
            user_properties,
        },
    )
}

fn options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let handling =
        select(vec![RetainHandling::Always, RetainHandling::IfNew, RetainHandling::Never]);
    (qos(), only_v5(version, (any::<bool>(), any::<bool>(), handling))).prop_map(|(qos, v5)| {
        let (no_local, retain_as_published, retain_handling) = v5.unwrap_or_default();
        SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let filters = (filter(), options(version)).prop_map(|(filter, mut options)| {
        options.no_local &= filter.shared().is_none();
        SubscribeFilter { filter, options }
    });
    (packet_id(), only_v5(version, 1..=268_435_455u32), vec(filters, 1..4), users(version))
        .prop_map(|(packet_id, subscription_id, filters, user_properties)| Subscribe {
            packet_id,
            subscription_id,
            filters,
            user_properties,
        })
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    let reason = reasons(ReasonContext::SubAck).prop_map(move |reason| {
        if version != Version::V5 && reason.is_failure() {
            ReasonCode::UnspecifiedError
        } else {
            reason
        }
    });
    (packet_id(), vec(reason, 1..4), only_v5(version, text()), users(version)).prop_map(
        |(packet_id, reasons, reason_string, user_properties)| SubAck {
            packet_id,
            reasons,
            reason_string,
            user_properties,
        },
    )
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    (
        packet_id(),
        vec(reasons(ReasonContext::UnsubAck), 1..4),
        only_v5(version, text()),
        users(version),
    )
        .prop_map(move |(packet_id, mut reasons, reason_string, user_properties)| {
            if version != Version::V5 {
                reasons.clear();
            }
            UnsubAck { packet_id, reasons, reason_string, user_properties }
        })
}

fn disconnect(version: Version, context: ReasonContext) -> impl Strategy<Value = Disconnect> {
    let reason = only_v5(version, reasons(context));
    (reason, only_v5(version, any::<u32>()), only_v5(version, text()), users(version)).prop_map(
        move |(reason, number, reason_string, user_properties)| {
            let by_client = context == ReasonContext::DisconnectByClient;
            Disconnect {
                reason: reason.unwrap_or_default(),
                session_expiry: number.filter(|_| by_client),
                server_reference: number.filter(|_| !by_client).map(|number| number.to_string()),
                reason_string,
                user_properties,
            }
        },
    )
}

fn auth(context: ReasonContext) -> impl Strategy<Value = Auth> {
    (reasons(context), text(), of(vec(any::<u8>(), 0..8)), texts(), users(Version::V5)).prop_map(
        |(reason, method, data, reason_string, user_properties)| Auth {
            reason,
            method: Some(method),
            data,
            reason_string,
            user_properties,
        },
    )
}

fn either(version: Version) -> BoxedStrategy<Packet<'static>> {
    prop_oneof![
        ack(version, ReasonContext::PubAckOrPubRec).prop_map(Packet::PubAck),
        ack(version, ReasonContext::PubAckOrPubRec).prop_map(Packet::PubRec),
        ack(version, ReasonContext::PubRelOrPubComp).prop_map(Packet::PubRel),
        ack(version, ReasonContext::PubRelOrPubComp).prop_map(Packet::PubComp),
    ]
    .boxed()
}

/// Packets of a client, except PUBLISH, which borrows.
pub fn from_client(version: Version) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        either(version),
        Just(Packet::PingReq),
        subscribe(version).prop_map(|p| Packet::Subscribe(Box::new(p))),
        (packet_id(), vec(filter(), 1..4), users(version)).prop_map(
            |(packet_id, filters, user_properties)| {
                Packet::Unsubscribe(Box::new(Unsubscribe { packet_id, filters, user_properties }))
            }
        ),
        disconnect(version, ReasonContext::DisconnectByClient)
            .prop_map(|p| Packet::Disconnect(Box::new(p))),
    ];
    if version == Version::V5 {
        prop_oneof![5 => common, 1 => auth(ReasonContext::AuthByClient).prop_map(|p| Packet::Auth(Box::new(p)))].boxed()
    } else {
        common.boxed()
    }
}

/// Packets of a server, except PUBLISH.
pub fn from_server(version: Version) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        either(version),
        Just(Packet::PingResp),
        connack(version).prop_map(|p| Packet::ConnAck(Box::new(p))),
        suback(version).prop_map(|p| Packet::SubAck(Box::new(p))),
        unsuback(version).prop_map(|p| Packet::UnsubAck(Box::new(p))),
    ];
    if version == Version::V5 {
        prop_oneof![
            4 => common,
            1 => disconnect(version, ReasonContext::DisconnectByServer).prop_map(|p| Packet::Disconnect(Box::new(p))),
            1 => auth(ReasonContext::AuthByServer).prop_map(|p| Packet::Auth(Box::new(p))),
        ]
        .boxed()
    } else {
        common.boxed()
    }
}

pub fn any_version() -> impl Strategy<Value = Version> {
    select(ALL.to_vec())
}
