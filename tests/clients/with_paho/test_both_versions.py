"""paho-mqtt, the same expectations of MQTT 3.1.1 and 5.0."""

import queue

import pytest
from person import TIMEOUT, V4, V5

pytestmark = pytest.mark.parametrize("version", [V4, V5], ids=["v4", "v5"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2])


def keep(version):
    return {"clean": False} | ({"SessionExpiryInterval": 1000} if version == V5 else {})


@QOS
def test_messages_go_through(person, version, qos):
    s, p = person("s", version), person("p", version)
    s.subscribe("t/+", qos)
    for n in range(50):
        p.publish(f"t/{n % 3}", str(n), qos)
    got = [s.message() for _ in range(50)]
    assert [int(m.payload) for m in got] == list(range(50))
    assert all(m.qos == qos and not m.retain for m in got)


@QOS
def test_to_itself(person, version, qos):
    c = person("c", version)
    c.subscribe("t", 2)
    c.publish("t", b"x", qos)
    assert c.message().qos == qos


def test_large_and_empty_payloads(person, version):
    c = person("c", version)
    c.subscribe("t", 2)
    for size in (0, 1, 127, 128, 16383, 16384, 500_000):
        c.publish("t", b"z" * size, 2)
        assert len(c.message().payload) == size


@QOS
def test_retained(person, version, qos):
    p = person("p", version)
    p.publish("r/1", b"kept", qos, retain=True)
    p.publish("r/2", b"gone", 1, retain=True)
    p.publish("r/2", b"", 1, retain=True)
    p.publish("flush", b"", 1)
    s = person("s", version)
    s.subscribe("r/#", 2)
    m = s.message()
    assert (m.topic, m.payload, m.qos, m.retain) == ("r/1", b"kept", qos, True)
    p.publish("r/end", b"end", 1)
    assert s.until(b"end") == []


@pytest.mark.parametrize("qos", [1, 2])
def test_persistent_session(person, version, qos):
    s = person("s", version, **keep(version))
    assert not s.session_present
    s.subscribe("t", 2)
    s.leave()
    p = person("p", version)
    for n in range(30):
        p.publish("t", str(n), qos)
    s = person("s", version, **keep(version))
    assert s.session_present
    assert [int(s.message().payload) for _ in range(30)] == list(range(30))


def test_clean_session_forgets(person, version):
    s = person("s", version, **keep(version))
    s.subscribe("t", 2)
    s.leave()
    assert not person("s", version, clean=True).session_present


@QOS
def test_will(person, version, qos):
    w = person("w", version)
    w.subscribe("will", 2)
    person("d", version, will={"topic": "will", "payload": b"gone", "qos": qos}).vanish()
    m = w.message()
    assert (m.payload, m.qos) == (b"gone", qos)


def test_no_will_after_a_clean_end(person, version):
    w, p = person("w", version), person("p", version)
    w.subscribe("will", 2)
    person("d", version, will={"topic": "will", "payload": b"gone"}).leave()
    p.publish("will", b"end", 1)
    assert w.until(b"end") == []


def test_takeover(person, version):
    first = person("same", version)
    first.client.reconnect_delay_set(60, 60)
    person("same", version)
    reason = first.gone.get(timeout=TIMEOUT)
    assert version == V4 or reason.value == 0x8E


def test_unsubscribe(person, version):
    s, p = person("s", version), person("p", version)
    s.subscribe([("a", 1), ("b", 1)])
    s.unsubscribe("a")
    p.publish("a", b"no", 1)
    p.publish("b", b"end", 1)
    assert s.until(b"end") == []


@pytest.mark.parametrize("pattern,topic", [("#", "a/b"), ("+", "a"), ("a/+/c", "a/b/c"), ("a/#", "a"),
                                           ("/#", "/a"), ("+/+", "/a"), ("a//#", "a//b")])
def test_wildcards(person, version, pattern, topic):
    s, p = person("s", version), person("p", version)
    s.subscribe(pattern, 1)
    p.publish(topic, b"x", 1)
    assert s.message().topic == topic


def test_shared_subscription(person, version):
    members, p = [person(f"m{n}", version) for n in range(3)], person("p", version)
    for m in members:
        m.subscribe("$share/g/t", 1)
    for n in range(30):
        p.publish("t", str(n), 1)
    got = []
    while len(got) < 30:
        for m in members:
            try:
                got.append(int(m.message(timeout=0.05).payload))
            except queue.Empty:
                pass
    assert sorted(got) == list(range(30))


def test_many_inflight(person, version):
    s, p = person("s", version), person("p", version)
    s.subscribe("t", 2)
    infos = [p.client.publish("t", str(n), 2) for n in range(1000)]
    for info in infos:
        info.wait_for_publish(TIMEOUT)
    assert [int(s.message().payload) for _ in range(1000)] == list(range(1000))


@pytest.mark.slow
def test_keep_alive_of_an_idle_client_holds(person, version):
    import time
    c = person("c", version, keepalive=1)
    c.subscribe("t", 0)
    time.sleep(4)
    assert c.gone.empty()
    c.publish("t", b"x")
    assert c.message().payload == b"x"


@pytest.mark.parametrize("qos", [1, 2])
def test_reconnects_by_itself_over_kill_9_and_loses_nothing(broker, person, version, qos):
    s = person("s", version, **keep(version))
    s.client.reconnect_delay_set(1, 1)
    s.subscribe("t", qos)
    p = person("p", version, **keep(version))
    p.client.reconnect_delay_set(1, 1)
    infos = [p.client.publish("t", str(n), qos) for n in range(300)]
    broker.restart()
    infos += [p.client.publish("t", str(n), qos) for n in range(300, 400)]
    for info in infos:
        info.wait_for_publish(30)
    got = []
    while not got or got[-1] != 399:
        got.append(int(s.message(timeout=30).payload))
    if qos == 2:
        assert got == list(range(400))
    else:
        assert sorted(set(got)) == list(range(400))
