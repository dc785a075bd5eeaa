"""Who may connect: the password file, and listeners that others can reach."""

import contextlib
import resource
import select
import signal
import socket
import time

import pytest

import raw

BAD_PASSWORD, NOT_AUTHORISED, SERVER_BUSY, UNAVAILABLE = 0x86, 0x87, 0x89, 0x88


@pytest.fixture
def guarded(make_broker, tmp_path):
    broker = make_broker(start=False)
    users = tmp_path / "users"
    for user, password in (("alice", "wonderland"), ("böb", "pass:word ü")):
        made = broker.run("passwd", str(users), user, "--password-stdin", input=password)
        assert made.returncode == 0, made.stderr
    broker.settings["AUTH__PASSWORD_FILE"] = str(users)
    broker.users = users
    return broker.start()


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
@pytest.mark.parametrize("user,password", [("alice", "wonderland"), ("böb", "pass:word ü")])
def test_the_right_password_is_let_in(guarded, client, version, user, password):
    client("c", to=guarded, version=version, username=user, password=password).ping()


@pytest.mark.parametrize("user,password", [
    ("alice", "wrong"), ("alice", ""), ("Alice", "wonderland"), ("nobody", "wonderland"),
    ("alice", b"wonderland\0"), ("", "")])
@pytest.mark.parametrize("version,code", [(raw.V311, 4), (raw.V5, BAD_PASSWORD)])
def test_the_wrong_password_is_refused(guarded, open_raw, version, code, user, password):
    c = open_raw(version, to=guarded)
    c.send(raw.connect("c", version, username=user, password=password))
    c.expect(raw.CONNACK, reason=code, session_present=False)
    assert c.closed() == []


@pytest.mark.parametrize("version,code", [(raw.V311, 4), (raw.V5, BAD_PASSWORD)])
def test_a_name_without_a_password_is_refused(guarded, open_raw, version, code):
    c = open_raw(version, to=guarded)
    c.send(raw.connect("c", version, username="alice"))
    c.expect(raw.CONNACK, reason=code)
    assert c.closed() == []


@pytest.mark.parametrize("version,codes", [(raw.V311, (5, 4)), (raw.V5, (NOT_AUTHORISED, BAD_PASSWORD))])
def test_nobody_comes_in_without_a_name_when_that_is_turned_off(guarded, open_raw, version, codes):
    guarded.restart(env={"AUTH__ALLOW_ANONYMOUS": "false"})
    c = open_raw(version, to=guarded)
    c.send(raw.connect("c", version))
    assert c.expect(raw.CONNACK, session_present=False).reason == codes[0]
    assert c.closed() == []


def test_a_refused_connect_leaves_no_will_and_takes_nobody_over(guarded, client, open_raw):
    w = client("w", to=guarded, username="alice", password="wonderland")
    w.subscribe("will")
    mine = client("mine", to=guarded, username="alice", password="wonderland")
    c = open_raw(to=guarded)
    c.send(raw.connect("mine", username="alice", password="wrong", will=raw.Will("will")))
    assert c.closed()[0].reason == 4
    mine.ping()
    assert w.until_quiet(mine) == []


def test_the_file_holds_no_passwords(guarded):
    text = guarded.users.read_text()
    assert "$argon2id$" in text and "wonderland" not in text
    assert guarded.users.stat().st_mode & 0o077 == 0


def test_passwd_replaces_a_user(guarded, client):
    made = guarded.run("passwd", str(guarded.users), "alice", "--password-stdin", input="new one\n")
    assert made.returncode == 0, made.stderr
    guarded.restart()
    client("c", to=guarded, username="alice", password="new one").ping()
    assert guarded.users.read_text().count("alice:") == 1


def test_hashing_holds_up_nobody(guarded, client, open_raw):
    """Many wrong passwords at once; a connected client still gets its answers quickly."""
    good = client("good", to=guarded, username="alice", password="wonderland")
    many = [open_raw(to=guarded) for _ in range(30)]
    for n, c in enumerate(many):
        c.send(raw.connect(f"bad{n}", username="alice", password="wrong"))
    slowest = 0
    for _ in range(20):
        start = time.monotonic()
        good.ping()
        slowest = max(slowest, time.monotonic() - start)
    for c in many:
        assert c.closed(timeout=30)[0].reason == 4
    assert slowest < 1.0


@pytest.mark.parametrize("settings,starts", [
    ({}, False), ({"AUTH__ALLOW_ANONYMOUS": "loopback"}, False), ({"AUTH__ALLOW_ANONYMOUS": "true"}, True)])
def test_a_listener_that_others_can_reach_needs_a_decision(make_broker, settings, starts):
    broker = make_broker(start=False, **settings)
    broker.settings["LISTENERS__TCP__BIND"] = f"0.0.0.0:{broker.port}"
    if starts:
        broker.start()
        return
    broker.start(wait=False)
    assert broker.wait_exit() != 0
    assert "allow_anonymous" in broker.logged()


@pytest.mark.parametrize("version,code", [(raw.V311, 5), (raw.V5, NOT_AUTHORISED)])
@pytest.mark.parametrize("clean", [False, True])
def test_a_session_belongs_to_its_user(guarded, client, open_raw, version, code, clean):
    mine = client("mine", to=guarded, version=version, clean=False, username="alice", password="wonderland")
    mine.subscribe("t")
    c = open_raw(version, to=guarded)
    c.send(raw.connect("mine", version, clean=clean, username="böb", password="pass:word ü"))
    c.expect(raw.CONNACK, reason=code, session_present=False)
    assert c.closed() == []
    mine.ping()
    assert "auth.bind_client_id" in guarded.logged()
    client("mine", to=guarded, version=version, clean=False, username="alice", password="wonderland").ping()


def test_a_reload_disconnects_who_was_removed_and_nobody_else(guarded, client):
    alice = client("a", to=guarded, version=raw.V5, username="alice", password="wonderland")
    bob = client("b", to=guarded, version=raw.V5, username="böb", password="pass:word ü")
    old = client("o", to=guarded, username="böb", password="pass:word ü")
    assert guarded.run("passwd", str(guarded.users), "böb", "--delete").returncode == 0
    guarded.process.send_signal(signal.SIGHUP)
    assert [packet.reason for packet in bob.closed()] == [NOT_AUTHORISED]
    assert old.closed() == []
    alice.ping()


def test_a_password_file_of_mosquitto_is_read_as_it_is(guarded, client, open_raw):
    """The line was written by mosquitto_passwd 2.0.11."""
    with guarded.users.open("a") as file:
        file.write("carol:$7$101$fVFDx6sWYSLTf3LJ$N5vP+UTa1z3wOkGLAKKStzykA/sr9VjdamlqUgfpBZkWQeTk"
                   "+olHoodBpjtgr2tQEDy71DsK8WfJVOWZFIStHQ==\n")
    guarded.restart()
    client("c", to=guarded, username="carol", password="wonderland of alice").ping()
    c = open_raw(to=guarded)
    c.send(raw.connect("d", username="carol", password="wonderland"))
    assert c.closed()[0].reason == 4


def test_a_missing_password_file_stops_the_start(make_broker):
    broker = make_broker(start=False, AUTH__PASSWORD_FILE="/nowhere/users").start(wait=False)
    assert broker.wait_exit() != 0
    assert "/nowhere/users" in broker.logged()


def test_passwords_are_not_shown(guarded):
    shown = guarded.run("config", "show")
    assert shown.returncode == 0 and "password_file" in shown.stdout
    assert "wonderland" not in shown.stdout and "argon2" not in shown.stdout


def flood_from(address, port, count):
    """So many log-ins with a wrong password, of MQTT 5.0, from one address. Read by nobody."""
    opened = []
    for n in range(count):
        s = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))
        s.sendall(raw.connect(f"flood{n}", raw.V5, username="alice", password="guess"))
        opened.append(s)
    return opened


def told(sockets, reason):
    """Those of them that have been sent a CONNACK with this reason."""
    poll = select.poll()
    for s in sockets:
        poll.register(s, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(0)}
    return [s for s in sockets if s.fileno() in ready and s.recv(4, socket.MSG_PEEK)[3:] == bytes([reason])]


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_flood_from_one_address_holds_up_no_other(guarded, client, many_files):
    """A log-in from 127.0.0.1 comes after what is being verified, one guess for each slot, and
    not after the hundreds from 127.0.0.2 that came before it."""
    flood = flood_from("127.0.0.2", guarded.port, 1000)
    try:
        for n in range(5):
            before = len(told(flood, BAD_PASSWORD))
            client(f"good{n}", to=guarded, version=raw.V5, username="alice", password="wonderland")
            # Those that end while this process looks are among them.
            assert len(told(flood, BAD_PASSWORD)) - before <= 10, "the flood was served first"
        assert len(told(flood, BAD_PASSWORD)) < 900, "the flood was over: nothing was tried"
    finally:
        for s in flood:
            s.close()


def test_only_the_address_that_floods_is_told_server_busy(guarded, client, many_files):
    flood = flood_from("127.0.0.2", guarded.port, 1100)
    try:
        client("good", to=guarded, version=raw.V5, username="alice", password="wonderland")
        guarded.await_metric("ferrymq_connections_rejected_total", lambda n: n and n > 0, reason="busy")
        assert told(flood, SERVER_BUSY)
    finally:
        for s in flood:
            s.close()
    # Those that are gone give up their places, or are verified: a stop waits for none of them.
    started = time.monotonic()
    assert guarded.terminate() == 0
    assert time.monotonic() - started < 5
    assert "too many log-ins from this address are queued" in guarded.logged()


def test_a_stop_tells_those_who_wait_for_their_turn(guarded, many_files):
    flood = flood_from("127.0.0.2", guarded.port, 200)
    assert guarded.terminate() == 0
    reasons = set()
    for s in flood:
        # The last ones may not have been accepted by then: the system resets them.
        with contextlib.suppress(ConnectionResetError):
            reasons.add(s.recv(64)[3])
    assert UNAVAILABLE in reasons and reasons <= {BAD_PASSWORD, UNAVAILABLE}
