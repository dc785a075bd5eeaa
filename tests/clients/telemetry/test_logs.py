"""What an operator finds in the log, and what an attacker cannot put there."""

import json
import re

import pytest

import raw

FORGED = "x\n2026-01-01T00:00:00Z ERROR ferrymq: forged\r\x1b[2J"
LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z +(ERROR|WARN|INFO|DEBUG|TRACE) [\w:]+: \S")


def events(broker, message):
    return [event for line in broker.logged().splitlines()
            if (event := json.loads(line))["message"] == message]


def visit(client, broker, client_id, **options):
    """Connects and leaves; the broker has seen both when this returns."""
    before = broker.metric("ferrymq_connections_closed_total", version="5.0") or 0
    client(client_id, to=broker, version=raw.V5, **options).disconnect()
    broker.await_metric("ferrymq_connections_closed_total", lambda n: (n or 0) > before, version="5.0")


def test_a_client_id_forges_no_line_of_text(make_broker, client):
    broker = make_broker()
    visit(client, broker, FORGED)
    for line in broker.logged().splitlines():
        assert LINE.match(line), line
    assert "\x1b" not in broker.logged()
    assert r'connected client_id="x\n2026-01-01T00:00:00Z ERROR' in broker.logged()


def test_a_client_id_forges_no_line_of_json(make_broker, client):
    broker = make_broker(TELEMETRY__FORMAT="json")
    visit(client, broker, FORGED)
    assert [event["client_id"] for event in events(broker, "connected")] == [FORGED]
    assert "\x1b" not in broker.logged()


def test_connections_are_told_with_stable_names(make_broker, client, tmp_path):
    broker = make_broker(start=False, TELEMETRY__FORMAT="json")
    users = tmp_path / "users"
    broker.run("passwd", str(users), "alice", "--password-stdin", input="wonderland")
    broker.settings["AUTH__PASSWORD_FILE"] = str(users)
    broker.start()
    visit(client, broker, "boat", username="alice", password="wonderland")
    [connected], [gone] = events(broker, "connected"), events(broker, "disconnected")
    assert connected["client_id"] == gone["client_id"] == "boat"
    assert connected["user"] == "alice" and connected["listener"] == "tcp"
    assert connected["remote"] == gone["remote"]
    assert gone["reason"] == "ByClient"
    assert "wonderland" not in broker.logged()


def test_a_failed_log_in_tells_who_and_not_with_what(make_broker, open_raw, tmp_path):
    broker = make_broker(start=False, TELEMETRY__FORMAT="json")
    users = tmp_path / "users"
    broker.run("passwd", str(users), "alice", "--password-stdin", input="wonderland")
    broker.settings["AUTH__PASSWORD_FILE"] = str(users)
    broker.start()
    thief = open_raw(raw.V5, to=broker)
    thief.send(raw.connect("thief", raw.V5, username="alice", password="guessed-secret"))
    thief.expect(raw.CONNACK)
    thief.closed()
    [failed] = events(broker, "authentication failed")
    assert failed["level"] == "WARN" and failed["reason"] == "BadUserNameOrPassword"
    assert failed["client_id"] == "thief" and failed["user"] == "alice"
    assert failed["listener"] == "tcp" and failed["remote"].startswith("127.0.0.1:")
    assert "guessed-secret" not in broker.logged()


@pytest.mark.parametrize("level", ["info", "trace"])
def test_no_line_holds_a_payload(make_broker, client, level):
    broker = make_broker(TELEMETRY__LEVEL=level)
    c = client("c", to=broker, version=raw.V5)
    c.subscribe("t", qos=1)
    c.publish("t", b"confidential-payload", qos=1)
    c.message()
    c.ping()
    assert "confidential-payload" not in broker.logged()


def test_debug_tells_each_packet_and_nothing_of_libraries(make_broker, client):
    broker = make_broker(TELEMETRY__LEVEL="debug", TELEMETRY__FORMAT="json")
    c = client("c", to=broker, version=raw.V5)
    c.subscribe("t/#", qos=2)
    c.publish("t/x", b"payload", qos=2)
    c.message(topic="t/x")
    c.ping()
    c.disconnect()
    lines = [json.loads(line) for line in broker.logged().splitlines()]
    told = [(line["message"], line["packet"], line.get("packet_id")) for line in lines
            if line["message"] in ("received", "sent") and line["client_id"] == "c"]
    theirs = next(i for way, kind, i in told if (way, kind) == ("sent", "publish"))
    assert sorted(told, key=str) == sorted([
        ("sent", "connack", None),
        ("received", "subscribe", 1), ("sent", "suback", 1),
        ("received", "publish", 2), ("sent", "pubrec", 2),
        ("received", "pubrel", 2), ("sent", "pubcomp", 2),
        ("sent", "publish", theirs), ("received", "pubrec", theirs),
        ("sent", "pubrel", theirs), ("received", "pubcomp", theirs),
        ("received", "pingreq", None), ("sent", "pingresp", None),
        ("received", "disconnect", None)], key=str)
    assert all(line["target"].startswith("ferrymq") for line in lines)
    assert "payload" not in broker.logged()


def test_a_flood_of_connections_is_cut_off_and_counted(make_broker, client):
    broker = make_broker(TELEMETRY__FORMAT="json", TELEMETRY__LOG_LIMIT="1")
    for n in range(30):
        visit(client, broker, f"flood{n}")
    suppressed = broker.metric("ferrymq_log_events_suppressed_total")
    assert suppressed > 0
    assert broker.terminate() == 0
    connected = len(events(broker, "connected"))
    told = sum(json.loads(line)["count"] for line in broker.logged().splitlines()
               if "similar lines were left out" in line)
    assert connected < 30
    gone = len(events(broker, "disconnected"))
    # Those of the end, which is not part of the flood, are told as well.
    assert connected + gone + told >= 60
    assert events(broker, "stopped"), "what is not part of the flood is there"


def test_no_limit_leaves_nothing_out(make_broker, client):
    broker = make_broker(TELEMETRY__FORMAT="json", TELEMETRY__LOG_LIMIT="0")
    for n in range(60):
        visit(client, broker, f"c{n}")
    assert len(events(broker, "connected")) == 60
