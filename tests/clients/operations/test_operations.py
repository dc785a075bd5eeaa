"""Start, stop, health, metrics, $SYS, and one broker for one database."""

import json
import re
import signal

import pytest

import raw
from brokerproc import Broker
from rawclient import Raw


def test_sigterm_says_0x8b_to_v5_closes_3_1_1_and_exits_0(broker, client):
    five, four = client("five", version=raw.V5), client("four")
    broker.process.send_signal(signal.SIGTERM)
    five.refused(0x8B)
    assert four.closed() == []
    assert broker.wait_exit() == 0
    assert not broker.database.with_name("ferrymq.db-wal").exists() or \
        broker.database.with_name("ferrymq.db-wal").stat().st_size == 0, "the WAL is checkpointed"


def test_sigint_stops_cleanly_too(broker):
    broker.process.send_signal(signal.SIGINT)
    assert broker.wait_exit() == 0


def test_sigterm_publishes_no_will_of_durable_clients_that_may_come_back(broker, client):
    w = client("w", version=raw.V5, clean=False, properties={"session_expiry": 100})
    w.subscribe("will")
    client("c", version=raw.V5, clean=False, properties={"session_expiry": 100},
           will=raw.Will("will", b"x", 1, properties={"will_delay": 50}))
    broker.restart(crash=False)
    w = client("w", version=raw.V5, clean=False, properties={"session_expiry": 100})
    assert w.until_quiet(client("p", version=raw.V5)) == []


def test_a_stop_with_connections_is_bounded(make_broker, client):
    broker = make_broker(RUNTIME__SHUTDOWN_TIMEOUT="1s")
    stalled = client("stalled", to=broker)
    stalled.subscribe("t", qos=0)
    p = client("p", to=broker)
    for _ in range(200):
        p.send(raw.publish("t", bytes(100_000)))
    p.ping()
    assert broker.terminate() == 0


def test_health_and_readiness(broker):
    assert broker.get("/healthz")[0] == 200
    assert broker.get("/readyz")[0] == 200
    assert broker.get("/nothing/here")[0] == 404


def test_metrics_are_there_and_well_formed(broker, client):
    s = client("sub", clean=False)
    s.subscribe("t")
    s.disconnect()
    client("pub").publish("t", b"x", qos=1)
    broker.await_metric("ferrymq_persistence_queued_messages", lambda v: v == 1)
    status, text = broker.get("/metrics")
    assert status == 200
    typed = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    for name in ("commit_duration_seconds", "batch_messages", "queue_wait_seconds",
                 "checkpoint_duration_seconds", "recovery_duration_seconds", "database_size_bytes",
                 "wal_size_bytes", "free_bytes", "volume_available_bytes", "queued_messages",
                 "oldest_message_age_seconds", "pending_writes", "committed_messages_total",
                 "elided_messages_total"):
        assert f"ferrymq_persistence_{name}" in typed, name
    assert all(name.startswith(("ferrymq_", "process_", "target_")) for name in typed)
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(
            r'[a-z_0-9]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)', line), line
    assert "sub" not in re.findall(r'"([^"]*)"', text), "no client ids as labels"


def test_committed_messages_are_counted(broker, client):
    s = client("sub", clean=False)
    s.subscribe("t")
    s.disconnect()
    p = client("pub")
    for _ in range(10):
        p.publish("t", qos=1)
    broker.await_metric("ferrymq_persistence_committed_messages_total", lambda v: v == 10)


def test_sys_topics_are_published(make_broker, client):
    broker = make_broker(MQTT__SYS_INTERVAL="1s")
    s = client("s", to=broker)
    s.subscribe("$SYS/broker/#", qos=0)
    seen = {s.message(timeout=5).topic for _ in range(3)}
    assert all(t.startswith("$SYS/broker/") for t in seen)


def test_sys_topics_tell_the_version(make_broker, client):
    broker = make_broker(MQTT__SYS_INTERVAL="1s")
    s = client("s", to=broker)
    s.subscribe("$SYS/broker/version", qos=0)
    assert b"FerryMQ" in s.message(timeout=5).payload


def test_clients_do_not_publish_sys_topics(broker, client):
    s = client("s", version=raw.V5)
    s.subscribe("$SYS/#", qos=0)
    p = client("p", version=raw.V5)
    p.send(raw.publish("$SYS/broker/version", b"forged", qos=1, pid=1, version=raw.V5))
    assert p.recv().reason >= 0x80
    assert all(m.payload != b"forged" for m in s.until_quiet(client("p2", version=raw.V5)))


def test_two_brokers_on_one_database_are_refused(broker, tmp_path):
    second = Broker(tmp_path / "second", {"PERSISTENCE__PATH": str(broker.database)})
    second.start(wait=False)
    assert second.wait_exit() != 0
    assert "ferrymq.db" in second.logged()
    assert broker.is_ready()


def test_the_lock_goes_with_the_process(broker):
    for _ in range(3):
        broker.restart()


def test_a_port_in_use_stops_the_start(broker, make_broker):
    second = make_broker(start=False, LISTENERS__TCP__BIND=f"127.0.0.1:{broker.port}").start(wait=False)
    assert second.wait_exit() != 0
    assert str(broker.port) in second.logged()


@pytest.mark.parametrize("key,value,named", [
    ("PERSISTENCE__DURABILTY", "fsync", "durabilty"), ("NOSUCH__KEY", "1", "nosuch"),
    ("PERSISTENCE__DURABILITY", "maybe", "durability"), ("MQTT__MAX_PACKET_SIZE", "tiny", "max_packet_size"),
    ("SESSION__OVERFLOW", "explode", "overflow"), ("LISTENERS__TCP__BIND", "here", "bind")])
def test_an_unknown_key_or_a_bad_value_stops_the_start_with_one_line(make_broker, key, value, named):
    broker = make_broker(start=False, **{key: value}).start(wait=False)
    assert broker.wait_exit() != 0
    assert named in broker.logged() and f"FERRYMQ_{key}" in broker.logged()
    assert len(broker.logged().strip().splitlines()) == 1, broker.logged()


def test_a_foreign_database_is_refused_and_left_alone(make_broker):
    broker = make_broker(start=False)
    broker.database.write_bytes(b"not a database at all" * 500)
    broker.start(wait=False)
    assert broker.wait_exit() != 0
    assert "ferrymq.db" in broker.logged()
    assert broker.database.read_bytes() == b"not a database at all" * 500


def test_logs_can_be_json(make_broker):
    broker = make_broker(TELEMETRY__FORMAT="json")
    assert broker.terminate() == 0
    lines = broker.logged().strip().splitlines()
    assert lines and all(json.loads(line) for line in lines)


def test_listening_survives_a_burst_of_connections(broker):
    opened = [Raw(broker.port) for _ in range(200)]
    for n, c in enumerate(opened):
        c.send(raw.connect(f"burst{n}"))
    for c in opened:
        c.expect(raw.CONNACK, reason=0)
        c.drop()
