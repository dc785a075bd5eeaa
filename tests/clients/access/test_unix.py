"""A Unix socket: mosquitto_pub and paho, its permissions, and what is left behind."""

import socket
import stat
import subprocess

import pytest

import raw
from person import V4, V5
from reach import Over, log_has


@pytest.fixture
def local(make_broker, tmp_path):
    def local(start=True, **keys):
        # Short: the path of a socket has at most 107 bytes.
        path = tmp_path / "s"
        settings = {"LISTENERS__LOCAL__PROTOCOL": "unix", "LISTENERS__LOCAL__BIND": path} | keys
        broker = make_broker(start=start, **settings)
        broker.path = path
        return broker

    return local


def over_unix(path, version=raw.V5):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return Over(sock, version)


@pytest.mark.parametrize("version", [V4, V5])
def test_paho(local, person, version):
    broker = local()
    one = person(1, "one", version, transport="unix", host=str(broker.path))
    other = person(broker.port, "other", version)
    other.subscribe("t", 2)
    for qos in range(3):
        one.publish("t", b"x" * 100_000, qos)
        assert len(other.message().payload) == 100_000


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto(local, version):
    broker = local()
    common = ["--unix", broker.path, "-V", version, "-t", "kept"]
    sent = subprocess.run(["mosquitto_pub", *common, "-m", "local", "-r", "-q", "1"], timeout=20)
    assert sent.returncode == 0
    got = subprocess.run(["mosquitto_sub", *common, "-C", "1", "-W", "15"], capture_output=True, text=True, timeout=20)
    assert got.stdout == "local\n", got.stderr


def test_its_clients_are_local(local, opened):
    """Anonymous clients of this machine are welcome by default, and have no address."""
    broker = local()
    opened(over_unix(broker.path)).connect("c")
    log_has(broker, "connected.*listener=\"?local")


@pytest.mark.parametrize("mode", ["660", "600", "666"])
def test_its_mode(local, mode):
    path = local(LISTENERS__LOCAL__MODE=mode).path
    assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)


def test_it_is_removed_at_the_end(local):
    broker = local()
    assert broker.terminate() == 0
    assert not broker.path.exists()


def test_one_that_was_left_behind_is_replaced(local, opened):
    broker = local()
    broker.kill()
    assert broker.path.is_socket()
    broker.start()
    opened(over_unix(broker.path)).connect("c")


def test_what_is_in_use_or_no_socket_is_left_alone(local, opened):
    broker = local()
    other = local(start=False)
    refused = other.run("serve")
    assert refused.returncode != 0 and str(broker.path) in refused.stderr
    opened(over_unix(broker.path)).connect("c")
    assert broker.terminate() == 0
    broker.path.write_text("notes")
    refused = other.run("serve")
    assert refused.returncode != 0 and broker.path.read_text() == "notes"
