"""`persistence.durability` and `persistence.enabled`: what each keeps and what it gives up."""

import sqlite3

import pytest

import raw
from rawclient import Raw


def subscriber(broker):
    s = Raw(broker.port)
    s.connack = s.connect("sub", clean=False)
    return s


def publisher(broker):
    p = Raw(broker.port)
    p.connect("pub")
    return p


@pytest.mark.parametrize("durability", ["fsync", "commit"])
def test_nothing_acknowledged_is_lost_to_kill_9(make_broker, durability):
    broker = make_broker(PERSISTENCE__DURABILITY=durability)
    s = subscriber(broker)
    s.subscribe("t")
    s.disconnect()
    p = publisher(broker)
    for n in range(200):
        p.publish("t", n.to_bytes(2, "big"), qos=1)
    broker.restart()
    seen = subscriber(broker).until_quiet(publisher(broker))
    assert [int.from_bytes(m.payload, "big") for m in seen] == list(range(200))


def test_async_keeps_what_its_flush_interval_has_committed(make_broker):
    broker = make_broker(PERSISTENCE__DURABILITY="async", PERSISTENCE__FLUSH_INTERVAL="20ms")
    s = subscriber(broker)
    s.subscribe("t")
    s.disconnect()
    publisher(broker).publish("t", b"x", qos=1)
    broker.await_metric("ferrymq_persistence_committed_messages_total", lambda v: v and v >= 1)
    broker.restart()
    assert subscriber(broker).message().payload == b"x"


def test_async_keeps_everything_over_a_clean_stop(make_broker):
    broker = make_broker(PERSISTENCE__DURABILITY="async", PERSISTENCE__FLUSH_INTERVAL="1m")
    s = subscriber(broker)
    s.subscribe("t")
    s.disconnect()
    p = publisher(broker)
    for n in range(50):
        p.publish("t", bytes([n]), qos=2)
    broker.restart(crash=False)
    assert [m.payload[0] for m in subscriber(broker).until_quiet(publisher(broker))] == list(range(50))


def test_without_persistence_sessions_live_as_long_as_the_process(make_broker):
    broker = make_broker(PERSISTENCE__ENABLED="false")
    s = subscriber(broker)
    s.subscribe("t")
    s.disconnect()
    p = publisher(broker)
    p.publish("t", b"x", qos=2)
    s = subscriber(broker)
    assert s.connack.session_present
    assert s.message().payload == b"x"
    assert not list(broker.directory.glob("*.db*")), "no file"
    broker.restart(crash=False)
    assert not subscriber(broker).connack.session_present


def test_the_database_is_plain_sql(broker):
    s = subscriber(broker)
    s.subscribe("t")
    s.disconnect()
    p = publisher(broker)
    for n in range(3):
        p.publish("t", b"payload", qos=1)
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM delivery").fetchone() == (3,)
        assert db.execute("SELECT client_id FROM session").fetchall() == [("sub",)]
        assert db.execute("SELECT topic, payload FROM message").fetchall() == [("t", b"payload")] * 3
        assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    s = subscriber(broker)
    s.until_quiet(publisher(broker))
    s.disconnect()
    assert broker.terminate() == 0
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,), "acknowledged is deleted"


def test_one_payload_for_many_sessions(broker):
    for n in range(10):
        with Raw(broker.port) as s:
            s.connect(f"s{n}", clean=False)
            s.subscribe("t", qos=1)
    publisher(broker).publish("t", b"z" * 1000, qos=1)
    with sqlite3.connect(f"file:{broker.database}?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM message").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM delivery").fetchone() == (10,)


def test_suback_waits_for_its_commit(broker):
    """A subscription that was acknowledged survives a crash right after SUBACK."""
    for n in range(5):
        with Raw(broker.port) as s:
            s.connect("sub", clean=False)
            s.subscribe(f"t/{n}")
            broker.restart()
    p = publisher(broker)
    for n in range(5):
        p.publish(f"t/{n}", bytes([n]), qos=1)
    assert [m.payload[0] for m in subscriber(broker).until_quiet(p)] == list(range(5))


def test_unsuback_waits_for_its_commit(broker):
    with Raw(broker.port) as s:
        s.connect("sub", clean=False)
        s.subscribe("t")
        s.unsubscribe("t")
        broker.restart()
    p = publisher(broker)
    p.publish("t", b"x", qos=1)
    assert subscriber(broker).until_quiet(p) == []


def test_qos_0_never_waits_for_a_client_that_is_away(broker):
    s = subscriber(broker)
    s.subscribe("t", qos=0)
    s.disconnect()
    p = publisher(broker)
    p.publish("t", b"0", qos=0)
    p.ping()
    assert subscriber(broker).until_quiet(p) == []


def test_a_stop_that_could_not_close_the_database_is_no_success(make_broker, client):
    broker = make_broker(RUNTIME__SHUTDOWN_TIMEOUT="2s")
    away = client("away", to=broker, version=raw.V5, clean=False,
                  properties={"session_expiry": 600})
    away.subscribe("t", qos=1)
    away.disconnect()
    publisher = client("publisher", to=broker, version=raw.V5)
    publisher.publish("t", b"acknowledged", qos=1)
    other = sqlite3.connect(broker.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    publisher.send(raw.publish("t", b"not acknowledged", 1, 77, version=raw.V5))
    # Seen by the broker: PINGRESP waits for no disk.
    publisher.ping()
    assert broker.terminate() == 5, broker.logged()
    assert "was not closed in order" in broker.logged()
    other.close()
    broker.start()
    away = client("away", to=broker, version=raw.V5, clean=False,
                  properties={"session_expiry": 600})
    assert away.message().payload == b"acknowledged"
