"""Retained messages, and messages of the operator's own."""

import pytest

import raw
from adminapi import away, decoded
from rawclient import Raw


def test_a_message_goes_out_with_its_properties(api):
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c")
        client.subscribe("a/#")
        answer = api.ok("POST", "/publish", {
            "topic": "a/b", "payload": "ü", "qos": 2, "payload_format": "utf8",
            "message_expiry_seconds": 60, "content_type": "text/plain", "response_topic": "r",
            "correlation_data": "AAE=",
            "user_properties": [{"name": "n", "value": "1"}, {"name": "n", "value": "2"}]})
        assert answer["receivers"] == 1 and answer["message_id"] > 0
        message = client.message(payload="ü".encode(), qos=2, topic="a/b")
        found = message.properties
        assert found["content_type"] == "text/plain" and found["response_topic"] == "r"
        assert found["correlation_data"] == b"\x00\x01" and 0 < found["message_expiry"] <= 60
        assert found["user_property"] == [("n", "1"), ("n", "2")]
    assert api.publish("nobody", qos=1)["receivers"] == 0
    assert "message published by an operator" in api.broker.logged()


def test_a_confirmed_message_survives_a_crash(api):
    away(api, "c")
    api.publish("q/1", "kept", qos=1)
    api.broker.kill()
    api.broker.start()
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c", clean=False)
        client.message(payload=b"kept")


@pytest.mark.parametrize("body", [
    {}, {"topic": ""}, {"topic": "a/#"}, {"topic": "$SYS/x"}, {"topic": "a", "qos": 3},
    {"topic": "a", "payload": "x", "payload_base64": "eA=="}, {"topic": "a", "payload_base64": "?"},
    {"topic": "a", "correlation_data": "?"}, {"topic": "a", "response_topic": "a/+"},
    {"topic": "a", "content_type": "x\0"}, {"topic": "a", "wrong": 1}, {"topic": 1},
    {"topic": "a", "payload_base64": "/w==", "payload_format": "utf8"},
    {"topic": "a", "content_type": "x" * 66_000}, {"topic": "/" * 500},
    # What only bridges say.
    {"topic": "a", "user_properties": [{"name": "ferrymq-hops", "value": "x"}]},
])
def test_what_is_no_message_is_refused(shared_api, body):
    assert shared_api.problem(422, "POST", "/publish", body) == "unfit-body"


def test_a_body_is_read_only_as_far_as_it_may_be(admin):
    api = admin(MQTT__MAX_PACKET_SIZE="1KiB")
    assert api.problem(413, "POST", "/publish", {"topic": "a", "payload": "x" * 1024}) == "too-large"
    assert api.problem(413, "POST", "/publish", {"topic": "a", "payload": "x" * 200_000}) == "too-large"
    assert api.problem(400, "POST", "/publish", b"{") == "bad-request"
    assert api.publish("a", "x" * 900, qos=1)["receivers"] == 0


def test_a_full_queue_is_told(admin):
    api = admin(SESSION__MAX_QUEUED_MESSAGES=2)
    away(api, "c")
    api.publish("q/1", qos=1)
    api.publish("q/1", qos=1)
    full = {"topic": "q/1", "qos": 1}
    assert api.problem(429, "POST", "/publish", full) == "queue-full"
    assert api.get("/sessions/c")["queued_messages"] == 2


def test_a_full_disk_is_told(admin):
    api = admin(PERSISTENCE__MAX_SIZE="1MiB", PERSISTENCE__RESERVE_SIZE="0B")
    away(api, "c")
    kinds = set()
    # What a retained message has replaced is room again: the state may be left for a moment.
    for _ in range(1000):
        status, answer, _ = api.ask("POST", "/publish", {
            "topic": "q/1", "qos": 1, "retain": True, "payload": "x" * 50_000})
        if status != 200:
            kinds.add((status, answer["type"]))
            if api.get("/database")["state"] == "full":
                break
    else:
        raise AssertionError("never full")
    assert kinds == {(507, "urn:ferrymq:problem:disk-full")}


def test_retained_messages_are_listed_read_and_deleted(api):
    for n in range(5):
        api.publish(f"r/{n}/x", f"{n}", qos=1, retain=True, content_type="text/plain")
    api.ok("POST", "/publish", {"topic": "/", "payload_base64": "AP8=", "qos": 1, "retain": True})
    everything, pages = api.all("/retained", limit=2)
    assert [item["topic"] for item in everything] == ["/"] + [f"r/{n}/x" for n in range(5)]
    assert pages == 3
    assert len(api.get("/retained", filter="r/+/x")["items"]) == 5
    one = api.get("/retained/r/3/x")
    assert one == api.get("/retained/r%2F3%2Fx")
    assert one | {"topic": "r/3/x", "qos": 1, "payload": "Mw==", "payload_text": "3",
                  "payload_bytes": 1, "payload_truncated": False, "content_type": "text/plain",
                  "user_properties": [], "expires_at": None} == one
    odd = api.get("/retained/%2F", payload=1)
    assert decoded(odd["payload"]) == b"\x00" and odd["payload_truncated"]
    assert api.get("/retained/%2F")["payload_text"] is None
    api.ok("DELETE", "/retained/r/3/x", status=204)
    assert api.problem(404, "GET", "/retained/r/3/x") == "not-found"
    assert api.problem(404, "DELETE", "/retained/r/3/x") == "not-found"
    api.broker.kill()
    api.broker.start()
    assert len(api.get("/retained")["items"]) == 5
    assert api.problem(400, "GET", "/retained", filter="a/#/b") == "bad-request"
    assert api.problem(400, "GET", "/retained", filter="$share/g/a") == "bad-request"


def test_the_brokers_own_topics_can_be_read_and_not_deleted(admin):
    api = admin(MQTT__SYS_INTERVAL="1s")
    while not api.get("/retained", filter="$SYS/#")["items"]:
        pass
    topic = api.get("/retained", filter="$SYS/#", limit=1)["items"][0]["topic"]
    assert api.get(f"/retained/{topic}")["topic"] == topic
    assert api.problem(409, "DELETE", f"/retained/{topic}") == "own-topic"

