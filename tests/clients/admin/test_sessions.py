"""Sessions over the API: whatever a client is called, and whatever it is told."""

from urllib.parse import quote

import pytest

import raw
from adminapi import away, segment, session
from rawclient import Raw

NAMES = ["a/b", "ü", "%2F", "a b", "a?b#c", "100%", "+", "..x", "'\"<>", "日本", "a//b/", "\x7f"]


@pytest.mark.parametrize("client_id", NAMES)
def test_a_session_is_found_under_any_client_id(shared_api, client_id):
    api = shared_api
    away(api, client_id)
    assert api.get(session(client_id))["client_id"] == client_id
    found = api.get("/sessions", search=client_id)["items"]
    assert client_id in [item["client_id"] for item in found]
    assert [s["filter"] for s in api.get(session(client_id) + "/subscriptions")["items"]] == ["q/#"]
    assert api.get(session(client_id) + "/queue")["items"] == []
    api.ok("DELETE", session(client_id))
    assert api.problem(404, "GET", session(client_id)) == "not-found"


@pytest.mark.parametrize("client_id", [".", "..", "~", "~x", "%2E"])
def test_a_mark_in_front_names_what_clients_would_resolve(shared_api, client_id):
    api, path = shared_api, "/sessions/~" + quote(client_id, safe="")
    away(api, client_id)
    assert api.get(path)["client_id"] == client_id
    assert [s["filter"] for s in api.get(path + "/subscriptions")["items"]] == ["q/#"]
    api.ok("DELETE", path)
    assert api.problem(404, "GET", path) == "not-found"


def test_a_connected_session_tells_who_is_there(api):
    with Raw(api.broker.port, raw.V5) as client:
        client.connect("c", clean=False, keepalive=30, properties=[
            ("session_expiry", 0xFFFFFFFF), ("receive_maximum", 7)])
        here = api.get("/sessions/c")
        host, port = client.socket.getsockname()
    assert here | {
        "client_id": "c", "state": "connected", "version": "5.0", "durable": True,
        "remote": f"{host}:{port}", "listener": "tcp", "transport": "mqtt", "user": None,
        "disconnected_at": None, "expires_at": None, "clean_start": False, "expiry_seconds": here["expiry_seconds"],
        "keep_alive_seconds": 30, "receive_maximum": 7, "queued_messages": 0, "queued_bytes": 0,
        "inflight_messages": 0, "incoming_messages": 0, "subscriptions": 0, "has_will": False,
    } == here
    assert here["connected_at"].endswith("Z")


def test_a_waiting_session_tells_since_when_and_how_long(api):
    away(api, "c")
    here = api.get("/sessions/c")
    assert here["state"] == "waiting" and here["expiry_seconds"] == 3600
    assert here["disconnected_at"] < here["expires_at"]
    assert here["connected_at"] is here["remote"] is here["listener"] is here["transport"] is None
    assert here["subscriptions"] == 1


def test_a_list_can_be_searched_sorted_and_read_in_pages(api):
    for n in range(7):
        away(api, f"Client-{n}", filters=[f"q/{n}"])
    for n in (2, 2, 2, 5, 5, 1):
        api.publish(f"q/{n}", qos=1)
    with Raw(api.broker.port) as client:
        client.connect("here")
        everyone, pages = api.all("/sessions", limit=3)
        assert [item["client_id"] for item in everyone] == [f"Client-{n}" for n in range(7)] + ["here"]
        assert pages == 3
        assert len(api.get("/sessions", search="cLIENT")["items"]) == 7
        assert [s["client_id"] for s in api.get("/sessions", state="connected")["items"]] == ["here"]
        assert len(api.get("/sessions", state="waiting")["items"]) == 7
        longest, _ = api.all("/sessions", sort="queued", limit=2)
        assert [s["client_id"] for s in longest[:3]] == ["Client-2", "Client-5", "Client-1"]
        assert [s["queued_messages"] for s in longest] == [3, 2, 1, 0, 0, 0, 0, 0]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"sort": "x"}, {"state": "x"}):
        assert api.problem(400, "GET", "/sessions", **wrong) == "bad-request"


def with_will(api, client_id):
    client = Raw(api.broker.port, raw.V5)
    client.connect(client_id, clean=False, properties=[("session_expiry", 3600)],
                   will=raw.Will(payload=client_id.encode(), qos=1))
    return client


def test_a_dismissed_client_is_told_why_and_its_will_is_published(api):
    with Raw(api.broker.port, raw.V5) as watcher:
        watcher.connect("watcher")
        watcher.subscribe("will")
        with with_will(api, "c") as client:
            api.ok("POST", "/sessions/c/disconnect", status=204)
            client.expect(raw.DISCONNECT, reason=0x98)
            client.closed()
        watcher.message(payload=b"c")
        assert api.problem(409, "POST", "/sessions/c/disconnect") == "not-connected"
        with with_will(api, "c") as client:
            api.ok("POST", "/sessions/c/disconnect", {}, 204, without_will="true")
            client.expect(raw.DISCONNECT, reason=0x98)
        with with_will(api, "d") as client:
            api.ok("DELETE", "/sessions/d", without_will="true")
            client.expect(raw.DISCONNECT, reason=0x98)
        with with_will(api, "e") as client:
            assert api.ok("DELETE", "/sessions/e")["was_connected"] is True
        watcher.message(payload=b"e")
    assert api.problem(404, "POST", "/sessions/nobody/disconnect") == "not-found"
    assert "disconnected by an operator" in api.broker.logged()


def test_an_older_client_is_disconnected_without_a_word(api):
    with Raw(api.broker.port, raw.V311) as client:
        client.connect("c")
        api.ok("POST", "/sessions/c/disconnect", status=204)
        client.closed()
    assert api.problem(404, "GET", "/sessions/c") == "not-found"


def test_a_deleted_session_is_gone_after_a_crash_too(api):
    away(api, "c")
    for _ in range(3):
        api.publish("q/1", qos=1)
    assert api.ok("DELETE", "/sessions/c") == {"dropped_messages": 3, "was_connected": False}
    assert api.broker.metric("ferrymq_persistence_dropped_messages_total", reason="session_ended") == 3
    api.broker.kill()
    api.broker.start()
    assert api.problem(404, "GET", "/sessions/c") == "not-found"
    with Raw(api.broker.port, raw.V5) as client:
        assert not client.connect("c", clean=False).session_present


def test_subscriptions_of_all_are_searched_by_filter_and_by_topic(api):
    away(api, "a", filters=["lights/+", "$share/g/lights/#"])
    away(api, "b", filters=["lights/1", "doors/#"])
    everyone, pages = api.all("/subscriptions", limit=1)
    assert [(s["client_id"], s["filter"]) for s in everyone] == [
        ("a", "$share/g/lights/#"), ("a", "lights/+"), ("b", "doors/#"), ("b", "lights/1")]
    assert pages == 4
    receivers = api.get("/subscriptions", topic="lights/2")["items"]
    assert [s["filter"] for s in receivers] == ["$share/g/lights/#", "lights/+"]
    assert len(api.get("/subscriptions", search="LIGHT")["items"]) == 3
    assert api.problem(400, "GET", "/subscriptions", topic="a/#") == "bad-request"
    own, _ = api.all("/sessions/a/subscriptions", limit=1)
    assert [s["filter"] for s in own] == ["$share/g/lights/#", "lights/+"]
    assert own[0] | {"qos": 2, "no_local": False, "retain_handling": "always"} == own[0]
    assert api.problem(404, "GET", f"/sessions/{segment('x')}/subscriptions") == "not-found"



def test_a_page_of_long_names_is_not_a_long_answer(api):
    names = [f"{n:04}" + "\x01" * 65_000 for n in range(100)]
    for name in names:
        away(api, name, filters=[name])
    for path, key in [("/sessions", "client_id"), ("/subscriptions", "filter")]:
        everyone, pages = api.all(path, limit=1000)
        assert [item[key] for item in everyone] == names
        assert pages >= 6, "1 MiB each"
    by_queue, pages = api.all("/sessions", limit=1000, sort="queued")
    assert [item["client_id"] for item in by_queue] == names and pages >= 6
