"""Why a connection is refused: what the client, the log and the counter say of it."""

import threading
import time

import pytest

import raw
from rawclient import Raw

V4, V5 = raw.V311, raw.V5
BOTH = pytest.mark.parametrize("version", [V4, V5])
STATE = "$SYS/broker/connection/edge.local/state"


def rejected(broker, reason):
    name = "ferrymq_connections_rejected_total"
    return broker.metric(name, listener="tcp", reason=reason) or 0


@BOTH
def test_a_mosquitto_bridge_with_its_default_will_is_accepted(broker, version):
    watcher = Raw(broker.port, version)
    watcher.connect("watcher")
    watcher.subscribe(("#", 1), ("$SYS/broker/connection/#", 1))
    bridge = Raw(broker.port, version)
    bridge.connect("edge.local", clean=False, will=raw.Will(STATE, b"0", qos=1, retain=True))
    # As the bridge says that it is there; see test_publish for what is answered.
    answer = bridge.publish(STATE, b"1", qos=1, retain=True)
    assert answer.reason == (0x87 if version == V5 else 0)
    assert bridge.publish("data", b"x", qos=1).kind == raw.PUBACK
    assert watcher.message().topic == "data"
    assert "authentication failed" not in broker.logged()
    assert rejected(broker, "authentication") == 0

    # Its will is refused and counted as its publish was, and nobody sees it.
    before = broker.metric("ferrymq_messages_refused_total", reason="not_authorized")
    bridge.drop()
    broker.await_metric("ferrymq_messages_refused_total", lambda count: count == before + 1,
                        reason="not_authorized")
    publisher = Raw(broker.port, version)
    publisher.connect("publisher")
    publisher.publish("end", b"", qos=1)
    assert watcher.message().topic == "end"
    late = Raw(broker.port, version)
    late.connect("late")
    late.subscribe(("$SYS/broker/connection/#", 1))
    late.ping()


def test_each_refusal_is_logged_and_counted_with_its_reason(make_broker):
    broker = make_broker(MQTT__RETAIN_AVAILABLE="false", MQTT__MAX_TOPIC_LEVELS="4",
                         SESSION__MAX_SESSIONS="1")

    def refused(reason, counted, logged, **connect):
        before = rejected(broker, counted)
        client = Raw(broker.port, V5)
        client.connect(reason=reason, **connect)
        client.closed()
        assert rejected(broker, counted) == before + 1, counted
        last = [line for line in broker.logged().splitlines() if "WARN" in line][-1]
        assert logged in last, last

    refused(0x9A, "will", "mqtt.retain_available", client_id="a", will=raw.Will(retain=True))
    refused(0x90, "will", "mqtt.max_topic_levels", client_id="b", will=raw.Will("a/b/c/d/e"))
    refused(0x8C, "authentication", "authentication method is not supported", client_id="c",
            properties={"auth_method": "x"})
    first = Raw(broker.port, V5)
    first.connect("first")
    refused(0x97, "session_limit", "session.max_sessions", client_id="d")
    failed = [line for line in broker.logged().splitlines() if "authentication failed" in line]
    assert len(failed) == 1 and "BadAuthenticationMethod" in failed[0], failed


def test_an_anonymous_client_that_is_not_welcome_is_told_which_key_decides(make_broker):
    broker = make_broker(AUTH__ALLOW_ANONYMOUS="false")
    client = Raw(broker.port, V5)
    client.connect("a", reason=0x87)
    client.closed()
    assert rejected(broker, "authentication") == 1
    assert "auth.allow_anonymous" in broker.logged()


@BOTH
def test_who_waits_for_a_verification_while_the_broker_stops_is_told(make_broker, version):
    broker = make_broker(start=False, AUTH__MAX_VERIFICATIONS="1", AUTH__PASSWORD_FILE="passwords")
    made = broker.run("passwd", "passwords", "alice", "--password-stdin", input="wonderland\n")
    assert made.returncode == 0, made.stderr
    broker.start()
    clients = [Raw(broker.port, version) for _ in range(60)]
    for n, client in enumerate(clients):
        client.send(raw.connect(f"c{n}", version, username="alice", password=b"wonderland"))
    # Some are in, most of them wait for their turn.
    clients[0].recv()
    stopped = threading.Thread(target=broker.terminate)
    stopped.start()
    begun = time.monotonic()
    first = []
    for client in clients[1:]:
        first.append(client.closed(timeout=15)[0])
    assert time.monotonic() - begun < 10
    stopped.join()
    assert all(packet.kind == raw.CONNACK for packet in first)
    told = [packet for packet in first if packet.reason]
    # MQTT 5.0 has "server shutting down" (0x8B) for DISCONNECT alone: [MQTT-3.2.2-8].
    assert {packet.reason for packet in told} == {0x88 if version == V5 else 3}
    assert len(told) > 10, "the test has to catch them while they wait"


@BOTH
def test_a_connection_without_connect_does_not_hold_up_a_stop(broker, version):
    silent = Raw(broker.port, version)
    begun = time.monotonic()
    assert broker.terminate() == 0
    assert time.monotonic() - begun < 4
    assert silent.closed() == []
