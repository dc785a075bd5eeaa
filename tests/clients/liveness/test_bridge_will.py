"""A Mosquitto bridge with its defaults announces itself under `$SYS/broker/connection/`: in a
retained will, and with a retained publish once it is connected. Both are taken as any publish to
`$SYS/` is."""

import time

import pytest

import raw

STATE = "$SYS/broker/connection/edge.north/state"
VERSIONS = pytest.mark.parametrize("version", [raw.V31, raw.V311, raw.V5])


@VERSIONS
@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_on_its_state_topic_is_no_reason_to_refuse_a_bridge(
        broker, client, version, qos, retain):
    watcher = client("watcher")
    watcher.subscribe("$SYS/broker/connection/#", "after", qos=1)
    options = {} if version == raw.V31 else {"clean": False}
    bridge = client("edge.north", version, keepalive=60,
                    will=raw.Will(STATE, b"0", qos=qos, retain=retain), **options)
    assert bridge.connack.reason == 0
    # What every other publish to $SYS is: acknowledged to the client, and nobody's message.
    answer = bridge.publish(STATE, b"1", qos=1, retain=True)
    assert answer.reason == (0x87 if version == raw.V5 else 0)
    bridge.publish("after", b"served", qos=1)
    assert watcher.message().payload == b"served"
    # Gone without a word: the will is due.
    bridge.drop()
    broker.await_metric("ferrymq_connections", lambda count: count == 1)
    assert watcher.until_quiet(client("publisher")) == []
    late = client("late")
    late.subscribe("$SYS/broker/connection/#", qos=1)
    assert late.until_quiet(client("publisher-2")) == [], "nothing was retained"
    log = broker.logged()
    assert "authentication failed" not in log
    assert "connection refused" not in log
    assert not broker.metric("ferrymq_connections_rejected_total", reason="authentication")


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_a_connect_that_is_refused_for_another_reason_is_not_logged_as_authentication(
        make_broker, client, version):
    broker = make_broker(MQTT__MAX_TOPIC_LEVELS="4", MQTT__RETAIN_AVAILABLE="false")
    for n, will in enumerate([raw.Will("a/b/c/d/e"), raw.Will("will", retain=True)]):
        try:
            client(f"refused-{n}", version, to=broker, will=will)
        except AssertionError:
            pass  # Not CONNACK 0.
    deadline = time.monotonic() + 10
    while broker.logged().count("connection refused") < 2:
        assert time.monotonic() < deadline, broker.logged()
        time.sleep(0.01)
    assert "authentication failed" not in broker.logged()
