"""What bridges could not deliver."""

import sqlite3

import pytest

from adminapi import decoded

# An encoded user property and a content type.
PROPERTIES = bytes.fromhex("2600016B000176" "0300046A736F6E")


def insert(path, rows):
    with sqlite3.connect(path) as file:
        file.executemany(
            "INSERT INTO dead_letter (bridge, failed_at, reason, detail, topic, remote_topic, qos, "
            "retain, published_at, expires_at, properties, payload) "
            "VALUES (?, ?, ?, ?, ?, ?, 1, 0, 1000, NULL, ?, ?)", rows)
    file.close()


@pytest.fixture
def api(admin):
    """A broker with 25 dead letters of the bridge `up` and one of `down`."""
    api = admin()
    api.broker.terminate()
    insert(api.broker.database,
           [("up", 2000 + n, 0x87, f"no {n}", f"a/{n}", f"edge/a/{n}", PROPERTIES, b"%d" % n) for n in range(25)]
           + [("down", 9000, None, "closed", "b", None, None, b"\xff" * 100)])
    api.broker.start()
    return api


def test_they_are_listed_in_pages_and_by_bridge(api):
    seen, pages = api.all("/dead-letters", limit=10)
    assert (len(seen), pages) == (26, 3)
    assert [letter["id"] for letter in seen] == list(range(1, 27))
    first = seen[0]
    assert first | {"bridge": "up", "reason": 0x87, "reason_text": "not authorized", "detail": "no 0",
                    "topic": "a/0", "remote_topic": "edge/a/0", "qos": 1, "retain": False,
                    "payload_bytes": 1, "payload": None, "payload_truncated": True} == first
    (down,) = api.get("/dead-letters", bridge="down", payload=10)["items"]
    assert down["reason"] is None and down["remote_topic"] is None
    assert decoded(down["payload"]) == b"\xff" * 10 and down["payload_truncated"]
    assert api.get("/dead-letters", bridge="none") == {"items": [], "next": None}
    assert api.problem(400, "GET", "/dead-letters", cursor="x") == "bad-request"
    assert api.problem(400, "GET", "/dead-letters", limit=0) == "bad-request"


def test_one_is_shown_with_its_properties(api):
    one = api.get("/dead-letters/25")
    assert (one["payload_text"], one["content_type"]) == ("24", "json")
    assert one["user_properties"] == [{"name": "k", "value": "v"}]
    assert decoded(one["payload"]) == b"24" and not one["payload_truncated"]
    assert api.get("/dead-letters/26")["payload_text"] is None
    assert decoded(api.get("/dead-letters/26", payload=1)["payload"]) == b"\xff"
    assert api.problem(404, "GET", "/dead-letters/99") == "not-found"
    assert api.problem(400, "GET", "/dead-letters/x") == "bad-request"


def test_an_empty_payload_is_shown_as_one(api):
    api.broker.terminate()
    insert(api.broker.database, [("empty", 9000, 0x87, "no", "c", None, None, b"")])
    api.broker.start()
    (listed,) = api.get("/dead-letters", bridge="empty", payload=10)["items"]
    one = api.get(f"/dead-letters/{listed['id']}")
    for letter in (listed, one):
        assert (letter["payload"], letter["payload_bytes"], letter["payload_truncated"]) == ("", 0, False)
    assert one["payload_text"] == ""


def test_what_is_removed_is_gone_for_good(api):
    api.ok("DELETE", "/dead-letters/3", status=204)
    assert api.problem(404, "DELETE", "/dead-letters/3") == "not-found"
    assert api.problem(400, "DELETE", "/dead-letters") == "bad-request"
    assert api.ok("DELETE", "/dead-letters", bridge="none") == {"removed": 0}
    assert api.ok("DELETE", "/dead-letters", bridge="up") == {"removed": 24}
    api.broker.kill()
    api.broker.start()
    assert [letter["id"] for letter in api.get("/dead-letters")["items"]] == [26]
    assert api.get("/database", counts="true")["counts"]["dead_letters"] == 1
