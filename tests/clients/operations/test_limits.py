"""Every limit holds, says so, and leaves the broker working."""

import pytest

import raw
from rawclient import Closed, Raw

QUOTA, FILTER, TOPIC = 0x97, 0x8F, 0x90
DURABLE = {"clean": False, "properties": {"session_expiry": 100}}


@pytest.fixture
def version():
    return raw.V5


def offline(client, broker, ident="sub", **options):
    s = client(ident, to=broker, **DURABLE, **options)
    s.subscribe("t")
    s.disconnect()


def waiting(client, broker):
    """What waits for "sub". The mark of `until_quiet` only fits once there is room again."""
    s = client("sub", to=broker, **DURABLE)
    first = [s.message() for _ in range(3)]
    return [m.payload[0] for m in first + s.until_quiet(client("mark", to=broker))]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_full_queue_refuses_with_0x97(make_broker, client, qos):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=3, SESSION__OVERFLOW="refuse")
    offline(client, broker)
    p = client("pub", to=broker)
    reasons = [p.publish("t", bytes([n]), qos=qos).reason for n in range(5)]
    assert reasons == [0, 0, 0, QUOTA, QUOTA]
    assert waiting(client, broker) == [0, 1, 2]


def test_a_full_queue_refuses_3_1_1_without_a_false_acknowledgement(make_broker, client):
    """3.1.1 has no reason codes: closing is the only honest answer."""
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=3, SESSION__OVERFLOW="refuse")
    offline(client, broker)
    p = client("pub", version=raw.V311, to=broker)
    acknowledged = 0
    try:
        for n in range(5):
            p.publish("t", bytes([n]), qos=1)
            acknowledged += 1
    except (Closed, TimeoutError):
        pass
    assert acknowledged == 3
    assert waiting(client, broker) == [0, 1, 2]


@pytest.mark.parametrize("policy,kept", [("drop-oldest", [2, 3, 4]), ("drop-newest", [0, 1, 2])])
def test_overflow_policies_acknowledge_and_drop(make_broker, client, policy, kept):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=3, SESSION__OVERFLOW=policy)
    offline(client, broker)
    p = client("pub", to=broker)
    assert all(p.publish("t", bytes([n]), qos=1).reason < 0x80 for n in range(5))
    broker.await_metric("ferrymq_persistence_dropped_messages_total", lambda v: v == 2, reason="queue_full")
    broker.restart()
    assert waiting(client, broker) == kept


def test_queued_bytes_are_limited_too(make_broker, client):
    broker = make_broker(SESSION__MAX_QUEUED_BYTES="64KiB", SESSION__OVERFLOW="refuse")
    offline(client, broker)
    p = client("pub", to=broker)
    reasons = [p.publish("t", bytes(10_000), qos=1).reason for _ in range(10)]
    accepted = reasons.count(0)
    assert 5 <= accepted <= 7 and reasons[accepted:] == [QUOTA] * (10 - accepted)


def test_other_sessions_are_not_hurt_by_a_full_one(make_broker, client):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=2, SESSION__OVERFLOW="drop-oldest")
    offline(client, broker)
    live = client("live", to=broker)
    live.subscribe("t")
    p = client("pub", to=broker)
    for n in range(50):
        p.publish("t", bytes([n]), qos=1)
    assert [m.payload[0] for m in live.until_quiet(p)] == list(range(50))


def test_connections_are_limited(make_broker, client, open_raw):
    broker = make_broker(LIMITS__MAX_CONNECTIONS=3)
    held = [client(f"c{n}", to=broker) for n in range(3)]
    extra = open_raw(to=broker)
    try:
        extra.send(raw.connect("extra", version=5))
    except ConnectionError:
        pass
    answers = extra.closed()
    assert all(p.kind == raw.CONNACK and p.reason in (0x88, 0x89, QUOTA) for p in answers)
    for c in held:
        c.ping()
    held[0].disconnect()
    client("next", to=broker).ping()


def test_subscriptions_of_a_session_are_limited(make_broker, client):
    broker = make_broker(SESSION__MAX_SUBSCRIPTIONS=3)
    c = client("c", to=broker)
    assert c.subscribe("a", "b", "c", "d", fails=True).codes == (2, 2, 2, QUOTA)
    assert c.subscribe("a", fails=True).codes == (2,), "replacing takes no room"
    c.unsubscribe("b")
    c.subscribe("d")
    old = client("old", version=raw.V311, to=broker)
    assert old.subscribe("a", "b", "c", "d", fails=True).codes == (2, 2, 2, 0x80)


def test_topic_levels_are_limited(make_broker, client):
    broker = make_broker(MQTT__MAX_TOPIC_LEVELS=4)
    c = client("c", to=broker)
    assert c.subscribe("a/b/c/d", "a/b/c/d/e", fails=True).codes[0] == 2
    c = client("c2", to=broker)
    assert c.publish("a/b/c/d", qos=1).reason in (0, 0x10)
    c.send(raw.publish("a/b/c/d/e", qos=1, pid=99, version=5))
    answer = c.recv()
    assert answer.reason == TOPIC
    client("after", to=broker).ping()


def test_deep_filters_do_not_hurt(client, broker):
    c = client("c")
    c.send(raw.subscribe(1, [("+/" * 5000 + "#", 0)], version=5))
    assert c.recv().kind in (raw.SUBACK, raw.DISCONNECT)
    client("after").ping()


@pytest.mark.slow
def test_a_socket_that_says_nothing_is_closed_after_the_connect_timeout(make_broker):
    broker = make_broker(MQTT__CONNECT_TIMEOUT="1s")
    with Raw(broker.port) as silent, Raw(broker.port) as slow:
        slow.send(raw.connect("slow")[:5])
        assert silent.closed(timeout=5) == []
        assert slow.closed(timeout=5) == []


def test_a_receiver_that_does_not_read_holds_up_nobody(make_broker, client):
    broker = make_broker(SESSION__MAX_QUEUED_MESSAGES=1000, SESSION__OVERFLOW="drop-oldest")
    stalled = client("stalled", to=broker)
    stalled.subscribe("t", qos=1)
    live = client("live", to=broker)
    live.subscribe("t", qos=1)
    p = client("pub", to=broker)
    for n in range(2000):
        assert p.publish("t", bytes(8000), qos=1).reason < 0x80
        live.message()
    client("after", to=broker).ping()


def test_qos_0_for_a_receiver_that_does_not_read_is_bounded(make_broker, client):
    broker = make_broker(LIMITS__MAX_MEMORY="16MiB")
    stalled = client("stalled", to=broker)
    stalled.subscribe("t", qos=0)
    p = client("pub", to=broker)
    for _ in range(200):
        p.send(raw.publish("t", bytes(500_000), version=5))
    p.ping()
    status = (f"/proc/{broker.process.pid}/status")
    rss = [int(line.split()[1]) for line in open(status) if line.startswith("VmRSS")][0]
    assert rss < 90_000, f"{rss} KiB"


def test_retained_messages_are_limited(make_broker, client):
    broker = make_broker(MQTT__MAX_RETAINED_MESSAGES=2)
    p = client("pub", to=broker)
    assert p.publish("r/1", b"x", qos=1, retain=True).reason < 0x80
    assert p.publish("r/2", b"x", qos=1, retain=True).reason < 0x80
    assert p.publish("r/3", b"x", qos=1, retain=True).reason == QUOTA
    assert p.publish("r/2", b"y", qos=1, retain=True).reason < 0x80
    p.publish("r/1", b"", qos=1, retain=True)
    assert p.publish("r/3", b"x", qos=1, retain=True).reason < 0x80


def test_session_expiry_is_capped(make_broker, client):
    broker = make_broker(SESSION__MAX_EXPIRY="0s")
    client("c", to=broker, **DURABLE).disconnect()
    assert not client("c", to=broker, **DURABLE).connack.session_present


def test_a_refused_subscription_is_told_in_the_log_with_its_key(make_broker, client):
    broker = make_broker(SESSION__MAX_SUBSCRIPTIONS=2, MQTT__MAX_TOPIC_LEVELS=3)
    c = client("boat", to=broker)
    codes = c.subscribe("a", "b", "c", "d", "1/2/3/4", fails=True).codes
    assert [code >= 0x80 for code in codes] == [False, False, True, True, True]
    refused = [line for line in broker.logged().splitlines() if "subscription refused" in line]
    # One line for each reason, not for each filter.
    assert len(refused) == 2, refused
    for line, filter, key in zip(refused, ("c", "1/2/3/4"), ("session.max_subscriptions", "mqtt.max_topic_levels")):
        assert " WARN " in line and 'client_id="boat"' in line and f'filter="{filter}"' in line and key in line


@pytest.mark.parametrize("packet", [raw.SUBACK, raw.UNSUBACK])
def test_an_answer_that_the_client_has_no_room_for_ends_its_connection(make_broker, client, packet):
    """The protocol forbids sending it [MQTT-3.1.2-24], and the client would wait in vain."""
    broker = make_broker()
    c = client("tiny", to=broker, properties={"maximum_packet_size": 20})
    filters = [f"t/{n}" for n in range(30)]
    if packet == raw.SUBACK:
        c.send(raw.subscribe(1, [(filter, 0) for filter in filters], raw.V5))
    else:
        c.send(raw.unsubscribe(2, filters, raw.V5))
    assert c.recv().reason == 0x95
    lines = [line for line in broker.logged().splitlines() if "larger than the Maximum Packet Size" in line]
    assert [" WARN " in line and 'client_id="tiny"' in line and "maximum_packet_size=20" in line
            for line in lines] == [True], broker.logged()


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_that_an_env_file_keeps_are_taken_off(make_broker, client, quote):
    quoted = {"SESSION__MAX_SUBSCRIPTIONS": "1", "MQTT__RETAIN_AVAILABLE": "false", "MQTT__MAX_PACKET_SIZE": "1KiB"}
    broker = make_broker(**{key: f"{quote}{value}{quote}" for key, value in quoted.items()})
    c = client("c", to=broker)
    assert c.connack.properties["maximum_packet_size"] == 1024
    assert c.connack.properties["retain_available"] == 0
    assert c.subscribe("a", "b", fails=True).codes[1] == QUOTA
