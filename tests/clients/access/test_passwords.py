"""Password files of mosquitto_passwd, more than one proof, sessions and their users, reload."""

import shutil
import subprocess

import pytest

import raw
from person import V4, V5
from reach import await_reload, over_tcp, over_tls, password_line, reloads, replace

needs_passwd = pytest.mark.skipif(not shutil.which("mosquitto_passwd"), reason="mosquitto is not installed")


@pytest.fixture
def users(tmp_path):
    return tmp_path / "users"


def add(users, user, password, *options):
    create = () if users.exists() else ("-c",)
    subprocess.run(["mosquitto_passwd", *options, *create, "-b", users, user, password], check=True,
                   capture_output=True, timeout=20)


@needs_passwd
@pytest.mark.parametrize("options,prefix", [
    ((), "$7$101$"), (("-I", "5000"), "$7$5000$"), (("-H", "sha512"), "$6$"), (("-H", "sha512-pbkdf2"), "$7$")])
@pytest.mark.parametrize("version", [V4, V5])
def test_a_file_of_mosquitto_passwd(make_broker, users, person, options, prefix, version):
    add(users, "alice", "pass:word ü", *options)
    add(users, "bob", "other", *options)
    assert users.read_text().startswith(f"alice:{prefix}")
    broker = make_broker(AUTH__PASSWORD_FILE=users)
    person(broker.port, "a", version, username="alice", password="pass:word ü").publish("t", b"", 1)
    person(broker.port, "b", version, username="bob", password="other").publish("t", b"", 1)
    for user, password in (("alice", "other"), ("alice", ""), ("alice", None), ("carol", "other"), ("", "other")):
        wrong = person(broker.port, "w", version, username=user, password=password, wait=False)
        assert wrong.connected.get(timeout=10)[1].is_failure, (user, password)
        wrong.close()


@needs_passwd
def test_a_file_that_mosquitto_passwd_has_begun_and_the_broker_goes_on(make_broker, users, opened):
    add(users, "alice", "first")
    broker = make_broker(AUTH__PASSWORD_FILE=users)
    before = reloads(broker)
    assert broker.run("passwd", users, "bob", "--password-stdin", input="second").returncode == 0
    await_reload(broker, before)
    for user, password in (("alice", "first"), ("bob", "second")):
        opened(over_tcp(broker.port)).connect(user, username=user, password=password)


@pytest.fixture
def guarded(make_broker, users):
    """Alice and Bob, with their names as passwords."""
    def guarded(start=True, **settings):
        broker = make_broker(start=False, **settings)
        users.write_text(password_line("alice", "alice") + password_line("bob", "bob"))
        broker.settings["AUTH__PASSWORD_FILE"] = users
        return broker.start() if start else broker

    return guarded


def log_in(user, **options):
    return {"username": user, "password": user, **options}


# Certificate and password.

@pytest.fixture
def both(guarded, listener, pki):
    settings, port = listener(
        "secure", "mqtts", TLS__CERTIFICATE_FILE=pki.server.file, TLS__KEY_FILE=pki.server.key,
        TLS__CLIENT_CA_FILE=pki.trusted, TLS__CLIENT_AUTH="optional", AUTH__METHODS="certificate,password",
        AUTH__REQUIRE="certificate,password")
    broker = guarded(**settings)
    broker.tls_port = port
    return broker


@pytest.mark.parametrize("certificate,options,reason", [
    (True, log_in("alice"), 0), (True, log_in("bob"), 0), (False, log_in("alice"), 0x87), (True, {}, 0x87),
    (True, {"username": "alice", "password": "wrong"}, 0x86), (False, {}, 0x87),
    (False, {"username": "alice", "password": "wrong"}, 0x87), (True, {"username": "alice"}, 0x86)])
def test_certificate_and_password(both, pki, opened, certificate, options, reason):
    context = pki.authority.context(pki.alice if certificate else None)
    client = opened(over_tls(both.tls_port, context))
    client.send(raw.connect("c", raw.V5, **options))
    client.expect(raw.CONNACK, reason=reason)
    # The plain listener asks for a password only.
    opened(over_tcp(both.port)).connect("plain", **log_in("alice"))


# Sessions and their users.

@pytest.mark.parametrize("version,code", [(raw.V311, 5), (raw.V5, 0x87)])
@pytest.mark.parametrize("restart", [False, "cleanly", "kill -9"])
def test_a_session_stays_with_its_user(guarded, opened, version, code, restart):
    broker = guarded()
    durable = {"clean": False, "properties": [("session_expiry", 3600)] if version == raw.V5 else ()}
    alice = opened(over_tcp(broker.port, version))
    alice.connect("shared-id", **durable, **log_in("alice"))
    alice.subscribe("secret", qos=1)
    alice.drop()
    sender = opened(over_tcp(broker.port, version))
    sender.connect("sender", **log_in("alice"))
    sender.publish("secret", b"for Alice only", qos=1)
    if restart:
        broker.restart(crash=restart == "kill -9")
    for clean in (False, True):
        bob = opened(over_tcp(broker.port, version))
        bob.send(raw.connect("shared-id", version, **durable | {"clean": clean}, **log_in("bob")))
        bob.expect(raw.CONNACK, reason=code, session_present=False)
        assert bob.closed() == []
    again = opened(over_tcp(broker.port, version))
    assert again.connect("shared-id", **durable, **log_in("alice")).session_present
    assert again.message().payload == b"for Alice only"


def test_that_can_be_turned_off(guarded, opened):
    broker = guarded(AUTH__BIND_CLIENT_ID="false")
    opened(over_tcp(broker.port)).connect("shared-id", **log_in("alice"))
    opened(over_tcp(broker.port)).connect("shared-id", **log_in("bob"))


# Reload.

@pytest.mark.parametrize("change", ["removed", "changed"])
def test_a_changed_file_disconnects_who_is_no_longer_let_in(guarded, users, opened, change):
    broker = guarded()
    alice, bob, old = (opened(over_tcp(broker.port, v)) for v in (raw.V5, raw.V5, raw.V311))
    alice.connect("alice", **log_in("alice"))
    bob.connect("bob", **log_in("bob"))
    old.connect("old", **log_in("bob"))
    if change == "removed":
        replace(users, "".join(line for line in users.open() if not line.startswith("bob:")))
    else:
        assert broker.run("passwd", users, "bob", "--password-stdin", input="new").returncode == 0
    assert [packet.reason for packet in bob.closed(timeout=20)] == [0x87]
    assert old.closed(timeout=20) == []
    alice.ping()
    again = opened(over_tcp(broker.port))
    again.send(raw.connect("bob", raw.V5, **log_in("bob")))
    again.expect(raw.CONNACK, reason=0x86)


def test_a_file_behind_links_as_kubelet_makes_them(guarded, users, opened, tmp_path):
    broker = guarded(start=False)
    secret = tmp_path / "secret"
    for generation, content in (("1", users.read_text()), ("2", "".join(
            line for line in users.open() if not line.startswith("bob:")))):
        (secret / f"..{generation}").mkdir(parents=True)
        (secret / f"..{generation}" / "users").write_text(content)
    (secret / "..data").symlink_to("..1")
    (secret / "users").symlink_to("..data/users")
    broker.settings["AUTH__PASSWORD_FILE"] = secret / "users"
    broker.start()
    bob = opened(over_tcp(broker.port))
    bob.connect("bob", **log_in("bob"))
    (secret / "..data_tmp").symlink_to("..2")
    (secret / "..data_tmp").rename(secret / "..data")
    assert [packet.reason for packet in bob.closed(timeout=20)] == [0x87]


def test_a_file_that_is_damaged_changes_nothing(guarded, users, opened):
    broker = guarded()
    alice = opened(over_tcp(broker.port))
    alice.connect("alice", **log_in("alice"))
    before = reloads(broker)
    replace(users, "alice:$9$nothing\n")
    await_reload(broker, before)
    assert "configuration not reloaded" in broker.logged() and "line 1" in broker.logged()
    alice.ping()
    opened(over_tcp(broker.port)).connect("bob", **log_in("bob"))
