"""MQTT 5.0, 3.14, 3.15, 4.1, 4.12, 4.13: DISCONNECT, AUTH, the end of sessions, errors."""

import time

import pytest

import raw

also = pytest.mark.also
MALFORMED, PROTOCOL, BAD_METHOD = 0x81, 0x82, 0x8C


def test_3_14_0_1_no_disconnect_before_connack(open_raw):
    for packet in (raw.pingreq(), raw.connect(b"\xff", version=5), raw.publish("t", version=5)):
        assert all(p.kind == raw.CONNACK for p in open_raw().send(packet).closed())


def test_3_14_1_1_disconnect_flags_are_malformed(refused):
    refused(raw.frame(raw.DISCONNECT, flags=1), MALFORMED)


@also("3.14.2-2", "3.14.4-1", "3.14.4-2", "4.13.2-1")
def test_3_14_2_1_server_disconnects_with_a_defined_reason_and_closes(client):
    c = client("c")
    last = c.send(raw.publish("a/#", version=5), raw.pingreq()).refused()
    assert last.reason in (0x81, 0x82, 0x90)
    assert "session_expiry" not in last.properties


@also("3.4.2-2", "3.4.2-3", "3.9.2-1", "3.9.2-2", "3.11.2-1", "3.11.2-2")
def test_3_14_2_3_reason_strings_do_not_exceed_the_clients_maximum(client):
    c = client("c", properties={"maximum_packet_size": 20})
    c.publish("nobody", qos=1)
    c.send(raw.subscribe(9, [("$share/g", 0), ("a#", 0)], version=5))
    c.send(raw.unsubscribe(10, ["never"], version=5), raw.publish("+", version=5))
    assert all(p.size <= 20 for p in c.closed())


@pytest.mark.parametrize("form", [raw.frame(raw.DISCONNECT), raw.frame(raw.DISCONNECT, b"\0"),
                                  raw.frame(raw.DISCONNECT, b"\0\0"),
                                  raw.disconnect(0, [("reason_string", "bye"), ("user_property", ("a", "b"))])],
                         ids=["empty", "reason", "no properties", "properties"])
def test_3_14_every_length_of_disconnect_is_a_clean_one(client, form):
    watcher = client("watcher")
    watcher.subscribe("will")
    c = client("c", will=raw.Will("will"))
    assert c.send(form).closed() == []
    assert watcher.until_quiet(client("pub")) == []


def test_3_14_disconnect_may_change_the_session_expiry(client):
    c = client("c", clean=False, properties={"session_expiry": 100})
    c.disconnect(0, {"session_expiry": 0})
    assert not client("c", clean=False).connack.session_present
    c = client("d", clean=False, properties={"session_expiry": 1})
    c.disconnect(0, {"session_expiry": 100})
    assert client("d", clean=False).connack.session_present


def test_3_14_disconnect_may_not_make_a_session_last_that_was_to_end(client):
    c = client("c")
    c.send(raw.disconnect(0, {"session_expiry": 10})).refused(PROTOCOL)
    assert not client("c", clean=False).connack.session_present


@pytest.mark.slow
@also("4.1.0-1")
def test_4_1_0_2_sessions_end_when_their_expiry_has_passed(client):
    c = client("c", clean=False, properties={"session_expiry": 1})
    time.sleep(1.5)
    c.ping()
    c.disconnect()
    assert client("c", clean=False, properties={"session_expiry": 1}).connack.session_present
    client("c", clean=False, properties={"session_expiry": 1}).disconnect()
    time.sleep(2.2)
    assert not client("c", clean=False).connack.session_present


@pytest.mark.slow
def test_4_1_0_2_the_new_connection_sets_the_expiry(client):
    client("c", clean=False, properties={"session_expiry": 1}).disconnect()
    client("c", clean=False, properties={"session_expiry": 100}).drop()
    time.sleep(2)
    assert client("c", clean=False).connack.session_present


@also("3.1.2-23")
def test_session_expiry_0_or_absent_ends_with_the_connection(client):
    for properties in ({}, {"session_expiry": 0}):
        client("c", clean=False, properties=properties).drop()
        assert not client("c", clean=True).connack.session_present
        client("c", clean=False, properties=properties).disconnect()
        assert not client("c", clean=False).connack.session_present


def test_3_15_1_1_auth_flags_are_malformed(refused):
    refused(raw.frame(raw.AUTH, b"\x18\x00", flags=1), MALFORMED)


@also("4.12.0-7", "3.15.2-1")
def test_4_12_0_6_auth_without_a_method_is_a_protocol_error(refused, client):
    assert "auth_method" not in client("c").connack.properties
    refused(raw.auth(0x18, {"auth_method": "x"}), PROTOCOL)
    refused(raw.auth(0x19, {"auth_method": "x"}), PROTOCOL)
    refused(raw.frame(raw.AUTH, b"\x55\x00"), PROTOCOL, MALFORMED)
    refused(raw.frame(raw.AUTH), PROTOCOL, MALFORMED)


@also("4.12.0-4", "4.12.0-5")
def test_4_12_0_1_a_method_that_is_not_configured_is_refused_with_0x8c(open_raw):
    c = open_raw().send(raw.connect("x", version=5, properties=[("auth_method", "SCRAM-SHA-1"),
                                                                ("auth_data", b"\0\1")]))
    c.expect(raw.CONNACK, reason=BAD_METHOD)
    assert c.closed() == []


def test_4_12_auth_data_without_method_is_a_protocol_error(open_raw):
    c = open_raw().send(raw.connect("x", version=5, properties={"auth_data": b"x"}))
    assert all(p.reason in (PROTOCOL, MALFORMED) for p in c.closed())


@pytest.mark.parametrize("packet", [
    b"\x00\x00", raw.frame(raw.CONNACK, b"\0\0\0"), raw.frame(raw.PINGRESP),
    raw.frame(raw.SUBACK, b"\0\1\0\0"), raw.frame(raw.UNSUBACK, b"\0\1\0\0")],
    ids=["reserved", "connack", "pingresp", "suback", "unsuback"])
def test_4_13_1_1_packets_a_client_never_sends_are_errors(refused, packet):
    refused(packet, PROTOCOL, MALFORMED)


@pytest.mark.parametrize("qos", [1, 2])
@also("4.5.0-1")
def test_4_10_request_and_response(client, qos):
    server, asker = client("server"), client("asker")
    server.subscribe("requests/#")
    asker.subscribe("replies/asker")
    asker.publish("requests/now", b"?", qos=qos,
                  properties={"response_topic": "replies/asker", "correlation_data": b"\0\1"})
    request = server.message()
    server.publish(request.properties["response_topic"], b"!", qos=qos,
                   properties={"correlation_data": request.properties["correlation_data"]})
    reply = asker.message()
    assert (reply.payload, reply.properties["correlation_data"]) == (b"!", b"\0\1")


def test_mixed_versions_share_topics(client):
    four, five = client("four", version=raw.V311), client("five")
    four.subscribe("t")
    five.subscribe("t", properties={"subscription_id": 3})
    five.publish("t", b"from 5", qos=1, properties=[("user_property", ("a", "b")), ("message_expiry", 9)])
    assert [m.payload for m in four.until_quiet(five)] == [b"from 5"]
    four.publish("t", b"from 4", qos=2)
    assert [m.payload for m in five.until_quiet(four)] == [b"from 5", b"from 4"]
