"""paho-mqtt, what only MQTT 5.0 has."""

import time

import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions
from person import TIMEOUT, V5, Person, properties


def test_properties_go_through(person):
    s, p = person("s", V5), person("p", V5)
    s.subscribe("t", 2)
    for qos in (0, 1, 2):
        p.publish("t", "grüße", qos, UserProperty=[("a", "2"), ("c", "3")], ContentType="text",
                  ResponseTopic="re", CorrelationData=b"\0\1", PayloadFormatIndicator=1)
        got = s.message().properties
        assert got.UserProperty == [("a", "2"), ("c", "3")]
        assert (got.ContentType, got.ResponseTopic, got.CorrelationData, got.PayloadFormatIndicator) == (
            "text", "re", b"\0\1", 1)


def test_assigned_client_id(person):
    first, second = person("", V5), person("", V5)
    assert first.properties.AssignedClientIdentifier != second.properties.AssignedClientIdentifier


def test_server_keep_alive(make_broker, person):
    broker = make_broker(MQTT__MAX_KEEP_ALIVE="60s")
    assert person("c", V5, to=broker, keepalive=120).properties.ServerKeepAlive == 60


def test_subscription_identifier(person):
    s, p = person("s", V5), person("p", V5)
    s.subscribe("a/#", 1, properties=properties("SUBSCRIBE", SubscriptionIdentifier=11))
    s.subscribe("a/b", 1, properties=properties("SUBSCRIBE", SubscriptionIdentifier=12))
    p.publish("a/b", b"x", 1)
    assert sorted(s.message().properties.SubscriptionIdentifier) == [11, 12]


def test_no_local(person):
    a, b = person("a", V5), person("b", V5)
    for c in (a, b):
        c.subscribe("t", options=SubscribeOptions(2, noLocal=True))
    a.publish("t", b"from a", 1)
    b.publish("t", b"from b", 1)
    assert a.message().payload == b"from b"
    assert b.message().payload == b"from a"


def test_retain_as_published(person):
    s = person("s", V5)
    s.subscribe("t", options=SubscribeOptions(2, retainAsPublished=True))
    s.publish("t", b"not", 1, retain=False)
    s.publish("t", b"yes", 1, retain=True)
    assert [s.message().retain, s.message().retain] == [False, True]


@pytest.mark.parametrize("handling,times", [(0, [1, 1]), (1, [1, 0]), (2, [0, 0])])
def test_retain_handling(person, handling, times):
    p, s = person("p", V5), person("s", V5)
    p.publish("r", b"kept", 1, retain=True)
    s.subscribe("end", 1)
    for n, expected in enumerate(times):
        s.subscribe("r", options=SubscribeOptions(1, retainHandling=handling))
        p.publish("end", str(n), 1)
        assert len(s.until(str(n).encode())) == expected


def test_topic_alias(person):
    s, p = person("s", V5), person("p", V5)
    s.subscribe("long/topic", 1)
    assert p.properties.TopicAliasMaximum > 0
    p.publish("long/topic", b"1", 1, TopicAlias=1)
    p.publish("long/topic", b"2", 1, TopicAlias=1)
    assert [s.message().payload, s.message().payload] == [b"1", b"2"]


def test_maximum_packet_size(person):
    s, p = person("s", V5, MaximumPacketSize=100), person("p", V5)
    s.subscribe("t", 1)
    p.publish("t", b"z" * 200, 1)
    p.publish("t", b"small", 1)
    assert s.message().payload == b"small"


def test_receive_maximum(person):
    s, p = person("s", V5, ReceiveMaximum=2), person("p", V5)
    s.subscribe("t", 2)
    for n in range(100):
        p.publish("t", str(n), 2)
    assert [int(s.message().payload) for _ in range(100)] == list(range(100))


@pytest.mark.slow
def test_session_expiry(person):
    person("c", V5, clean=False, SessionExpiryInterval=1).leave()
    again = person("c", V5, clean=False, SessionExpiryInterval=1)
    assert again.session_present
    again.leave()
    time.sleep(2.2)
    assert not person("c", V5, clean=False).session_present


def test_session_expiry_can_be_changed_at_the_end(broker, person):
    person("c", V5, clean=False, SessionExpiryInterval=100).leave(
        properties=properties("DISCONNECT", SessionExpiryInterval=0))
    # The client does not wait for the other side: a CONNECT at once may be read before
    # the DISCONNECT of the older connection, and is a take-over then.
    broker.await_metric("ferrymq_connections", lambda open_ones: open_ones == 0)
    assert not person("c", V5, clean=False).session_present


@pytest.mark.slow
def test_message_expiry(person, broker):
    s = person("s", V5, clean=False, SessionExpiryInterval=100)
    s.subscribe("t", 2)
    s.leave()
    # What was sent to it before it left is sent again, whatever its age.
    broker.await_metric("ferrymq_connections", lambda open_ones: open_ones == 0)
    p = person("p", V5)
    p.publish("t", b"short", 1, MessageExpiryInterval=1)
    p.publish("t", b"long", 2, MessageExpiryInterval=60)
    time.sleep(2.1)
    m = person("s", V5, clean=False, SessionExpiryInterval=100).message()
    assert m.payload == b"long" and m.properties.MessageExpiryInterval <= 58


@pytest.mark.slow
def test_will_delay(person):
    w = person("w", V5)
    w.subscribe("will", 1)
    d = person("d", V5, clean=False, SessionExpiryInterval=100, will={
        "topic": "will", "payload": b"gone", "qos": 1,
        "properties": properties("WILLMESSAGE", WillDelayInterval=1)})
    start = time.monotonic()
    d.vanish()
    assert w.message().payload == b"gone"
    assert 0.9 < time.monotonic() - start < 4


def test_subscribing_to_many_gives_many_codes(person):
    codes = person("c", V5).subscribe([("a", SubscribeOptions(0)), ("b", SubscribeOptions(2))])
    assert [c.value for c in codes] == [0, 2]


def test_unsubscribing_tells_whether_there_was_one(person):
    c = person("c", V5)
    c.subscribe("a", 0)
    codes = c.unsubscribe(["a", "b"])
    assert [c.value for c in codes] == [0, 0x11]


def test_shutdown_is_announced(broker, person):
    c = person("c", V5)
    c.client.reconnect_delay_set(60, 60)
    assert broker.terminate() == 0
    assert c.gone.get(timeout=TIMEOUT).value == 0x8B


@pytest.mark.parametrize("user,password,code", [("u", "wrong", 0x86)])
def test_bad_password(make_broker, tmp_path, user, password, code):
    broker = make_broker(start=False)
    users = str(tmp_path / "users")
    assert broker.run("passwd", users, "u", "--password-stdin", input="right").returncode == 0
    broker.settings["AUTH__PASSWORD_FILE"] = users
    broker.start()
    c = Person(broker.port, "c", V5, username=user, password=password, wait=False)
    assert c.connected.get(timeout=TIMEOUT)[1].value == code
    c.close()
    Person(broker.port, "c", V5, username="u", password="right").close()
