"""A look into a queue."""

import time

import raw
from conftest import decoded
from rawclient import Raw
from test_sessions import away


def test_a_queue_on_disk_is_seen_in_order_and_left_alone(admin):
    api = admin(SESSION__MEMORY_WINDOW=5)
    away(api, "c")
    for n in range(30):
        api.publish("q/1", f"{n}", qos=1 + n % 2, message_expiry_seconds=600)
    seen, pages = api.all("/sessions/c/queue", limit=7, payload=10)
    assert pages == 5
    assert [decoded(item["payload"]) for item in seen] == [b"%d" % n for n in range(30)]
    assert [item["qos"] for item in seen] == [1 + n % 2 for n in range(30)]
    ids = [item["delivery_id"] for item in seen]
    assert ids == sorted(set(ids))
    first = seen[0]
    assert first | {"topic": "q/1", "retain": False, "dup": False, "state": "waiting",
                    "on_disk": True, "size_bytes": 4, "payload_bytes": 1} == first
    assert first["published_at"] < first["expires_at"]
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c", clean=False)
        for n in range(30):
            client.message(payload=b"%d" % n)


def test_what_is_in_flight_is_told_apart(api):
    away(api, "c")
    for n in range(4):
        api.publish("q/1", f"{n}", qos=2)
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c", clean=False, properties=[("receive_maximum", 2)])
        received = client.expect(raw.PUBLISH)
        client.expect(raw.PUBLISH)
        client.send(raw.ack(raw.PUBREC, received.pid))
        client.expect(raw.PUBREL)
        states = [item["state"] for item in api.get("/sessions/c/queue")["items"]]
        assert states == ["received", "in_flight", "waiting", "waiting"]
        here = api.get("/sessions/c")
        assert (here["queued_messages"], here["inflight_messages"]) == (4, 2)


def test_payloads_are_shown_as_far_as_they_are_asked_for(api):
    away(api, "c")
    api.publish("q/1", "0123456789", qos=1)
    api.ok("POST", "/publish", {"topic": "q/1", "payload_base64": "AP8=", "qos": 1})
    first, second = api.get("/sessions/c/queue")["items"]
    assert first["payload"] is None and first["payload_truncated"]
    first, second = api.get("/sessions/c/queue", payload=4)["items"]
    assert decoded(first["payload"]) == b"0123" and first["payload_truncated"]
    assert decoded(second["payload"]) == b"\x00\xff" and not second["payload_truncated"]
    assert api.problem(400, "GET", "/sessions/c/queue", cursor="x") == "bad-request"
    assert api.problem(404, "GET", "/sessions/x/queue") == "not-found"


def test_a_long_queue_of_large_messages_is_read_in_pieces(admin):
    api = admin(SESSION__MEMORY_WINDOW=1)
    away(api, "c")
    for _ in range(20):
        api.publish("q/1", "x" * 900_000, qos=1)
    time.sleep(1.5)  # Until what is in memory has been let go.
    page = api.get("/sessions/c/queue", limit=20, payload=1_000_000)
    assert 1 <= len(page["items"]) < 20 and page["next"]
    seen, _ = api.all("/sessions/c/queue", limit=20)
    assert len(seen) == 20
