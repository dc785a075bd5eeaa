"""Bans: by failed log-ins and by an operator, listed and lifted over the API."""

import socket

import pytest

import raw
from adminapi import segment
from rawclient import Raw

FAILURES = 3
# The clients of these tests have addresses of their own: all of 127.0.0.0/8 is this machine.
GUESSER, OTHER, EXEMPT = "127.0.0.2", "127.0.0.3", "127.9.0.1"


@pytest.fixture
def guarded(admin):
    """A broker that knows alice, and bans who guesses."""
    api = admin(start=False, AUTH__PASSWORD_FILE="passwords", AUTH__ALLOW_ANONYMOUS="false",
                BANS__MAX_FAILURES=FAILURES, BANS__TIME="1h", BANS__EXEMPT="127.9.0.0/16")
    made = api.broker.run("passwd", "passwords", "alice", "--password-stdin", input="wonderland\n")
    assert made.returncode == 0
    api.broker.start()
    return api


def log_in(broker, address, password="wonderland"):
    """The reason code of CONNACK, or None if the connection is closed without an answer."""
    with socket.socket() as s:
        s.settimeout(20)
        s.bind((address, 0))
        s.connect(("127.0.0.1", broker.port))
        try:
            s.sendall(raw.connect("", raw.V5, username="alice", password=password))
            answer = s.recv(4)
        except ConnectionError:
            return None
    return answer[3] if answer else None


def banned(api):
    return [ban["address"] for ban in api.all("/bans")[0]]


def guess(broker, address):
    for _ in range(FAILURES):
        assert log_in(broker, address, "wrong") == 0x86


def test_who_guesses_is_banned_and_nobody_else(guarded):
    broker = guarded.broker
    with Raw(broker.port, raw.V5) as client:
        client.connect("there", username="alice", password="wonderland")
        guess(broker, GUESSER)
        assert log_in(broker, GUESSER) is None, "the right password does not help any more"
        assert log_in(broker, OTHER) == 0
        client.ping()
    [ban] = guarded.get("/bans")["items"]
    assert ban | {"address": GUESSER, "failures": FAILURES, "reason": "failures"} == ban
    assert ban["until"].endswith("Z")
    rejected = broker.metric("ferrymq_connections_rejected_total", listener="tcp", reason="banned")
    assert rejected == 1 == broker.metric("ferrymq_banned_addresses")
    assert broker.metric("ferrymq_bans_total", reason="failures") == 1
    assert "bans.max_failures" in broker.logged()


def test_a_ban_that_is_lifted_is_forgotten_with_its_failures(guarded):
    guess(guarded.broker, GUESSER)
    guarded.ok("DELETE", f"/bans/{GUESSER}", status=204)
    assert banned(guarded) == []
    # One failure less than a ban takes.
    for _ in range(FAILURES - 1):
        assert log_in(guarded.broker, GUESSER, "wrong") == 0x86
    assert log_in(guarded.broker, GUESSER) == 0
    assert guarded.problem(404, "DELETE", f"/bans/{GUESSER}") == "not-found"


def test_an_exempt_address_may_guess(guarded):
    for _ in range(2):
        guess(guarded.broker, EXEMPT)
    assert log_in(guarded.broker, EXEMPT) == 0 and banned(guarded) == []
    wanted = {"address": EXEMPT, "seconds": 60}
    assert guarded.problem(409, "POST", "/bans", wanted) == "exempt"


def test_an_operator_bans_changes_and_lifts(guarded):
    broker = guarded.broker
    first = guarded.ok("POST", "/bans", {"address": OTHER, "seconds": 60})
    assert first | {"address": OTHER, "failures": 0, "reason": "operator"} == first
    assert log_in(broker, OTHER) is None
    longer = guarded.ok("POST", "/bans", {"address": OTHER, "seconds": 31_536_000})
    assert longer["until"] > first["until"] and banned(guarded) == [OTHER]
    guarded.ok("DELETE", f"/bans/{OTHER}", status=204)
    assert log_in(broker, OTHER) == 0
    assert "address banned by an operator" in broker.logged()
    assert "ban lifted by an operator" in broker.logged()


def test_an_ipv6_address_stands_for_its_network(guarded):
    network = "2001:db8:0:1::/64"
    for address in ("2001:db8:0:1::7", network, "2001:db8:0:1:ffff::"):
        assert guarded.ok("POST", "/bans", {"address": address, "seconds": 60})["address"] == network
    assert banned(guarded) == [network]
    guarded.ok("DELETE", f"/bans/{segment(network)}", status=204)
    guarded.ok("POST", "/bans", {"address": network, "seconds": 60})
    guarded.ok("DELETE", "/bans/2001:db8:0:1::8", status=204)
    assert banned(guarded) == []


def test_bans_are_listed_in_pages_and_end_with_the_broker(guarded):
    guess(guarded.broker, GUESSER)
    for n in range(5):
        guarded.ok("POST", "/bans", {"address": f"192.0.2.{n}", "seconds": 600 - n})
    everyone, pages = guarded.all("/bans", limit=2)
    operators = [f"192.0.2.{n}" for n in reversed(range(5))]
    assert [ban["address"] for ban in everyone] == [GUESSER, *operators] and pages == 3
    for wrong in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"sort": "x"}):
        assert guarded.problem(400, "GET", "/bans", **wrong) == "bad-request"
    guarded.broker.restart()
    assert banned(guarded) == []


@pytest.mark.parametrize("wrong", [
    {"address": "x"}, {"address": ""}, {"address": "local"}, {"address": "192.0.2.0/24"},
    {"address": "2001:db8::/48"}, {"seconds": 0}, {"seconds": 31_536_001}, {"seconds": -1},
    {"seconds": "1h"}, {"more": 1},
])
def test_a_ban_that_is_not_fit_bans_nobody(shared_api, wrong):
    body = {"address": "192.0.2.1", "seconds": 60} | wrong
    assert shared_api.problem(422, "POST", "/bans", body) == "unfit-body"
    assert banned(shared_api) == []


@pytest.mark.parametrize("wrong", ["x", "192.0.2.0%2F24", "%2F", "local"])
def test_what_is_no_address_has_no_ban(shared_api, wrong):
    assert shared_api.problem(400, "DELETE", f"/bans/{wrong}") == "bad-request"
