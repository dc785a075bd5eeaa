"""The image is what a user pulls: small, locked up, and a broker that keeps its word."""

import gzip
import json
import subprocess
import threading
import tarfile
import time

import paho.mqtt.client as paho
import pytest

from conftest import HERE, IMAGE, engine

OPEN = {"FERRYMQ_AUTH__ALLOW_ANONYMOUS": "true"}
LARGEST = 40_000_000


def inspected():
    return json.loads(engine("image", "inspect", IMAGE).stdout)[0]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    archive = tmp_path_factory.mktemp("image") / "image.tar"
    engine("save", "--format", "oci-archive", "--output", archive, IMAGE)
    return archive


def test_it_is_smaller_than_40_mb_compressed(saved):
    packed = saved.with_suffix(".gz")
    with saved.open("rb") as plain, gzip.open(packed, "wb", compresslevel=6) as out:
        while part := plain.read(1 << 20):
            out.write(part)
    size = packed.stat().st_size
    print(f"{size / 1e6:.1f} MB compressed")
    assert size < LARGEST


def test_it_says_what_it_is_and_runs_as_nobody_in_particular():
    image = inspected()
    settings = image["Config"]
    assert settings["User"] == "10001:10001"
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Entrypoint"] == ["/usr/bin/ferrymq"]
    assert set(settings["ExposedPorts"]) == {"1883/tcp", "8080/tcp"}
    assert list(settings["Volumes"]) == ["/data"]
    labels = settings["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == "FerryMQ"


def test_there_is_no_shell_and_nothing_to_write_but_data(run, tmp_path):
    container = run(env=OPEN)
    archive = tmp_path / "files.tar"
    engine("export", "--output", archive, container.name)
    with tarfile.open(archive) as files:
        names = {member.name.strip("/") for member in files if member.isfile()}
    # Engines put their own files into dev, proc, run and etc.
    own = {name for name in names if not name.startswith(("dev/", "proc/", "sys/", "run/", "etc/"))}
    assert {name for name in own if not name.startswith("data/")} == {
        "usr/bin/ferrymq", "usr/share/licenses/ferrymq/LICENSE"}
    for command in (["/bin/sh", "-c", "true"], ["/bin/ls"]):
        assert engine("exec", container.name, *command, check=False).returncode != 0


def test_without_a_choice_about_authentication_it_stops_with_one_line(volume):
    done = engine("run", "--rm", "--volume", f"{volume}:/data", "--network", "none", IMAGE,
                  check=False)
    assert done.returncode == 2, done
    # The engine's own lines begin with a time.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("time=")]
    assert len(lines) == 1, lines
    assert "auth.allow_anonymous = true" in lines[0] and "auth.password_file" in lines[0]


def test_every_key_can_be_set_in_the_environment(run):
    container = run(env=OPEN | {"FERRYMQ_TELEMETRY__FORMAT": "json",
                                "FERRYMQ_PERSISTENCE__MAX_SIZE": "64MiB"})
    shown = engine("exec", container.name, "/usr/bin/ferrymq", "config", "show").stdout
    assert 'max_size = "64MiB"' in shown and 'path = "/data/ferrymq.db"' in shown
    json.loads(container.logs().splitlines()[0])


def test_memory_and_cores_of_the_container_are_seen(run):
    try:
        container = run("--memory", "128m", "--cpus", "1", env=OPEN)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this engine cannot set limits here: {error.stderr.strip()[-200:]}")
    limits = next(line for line in container.logs().splitlines() if "max_memory" in line)
    assert "memory=134217728" in limits, limits
    assert "max_memory=32MiB" in limits and "cache_size=2MiB" in limits, limits
    assert "worker_threads=1" in limits and "max_connections=4096 " in limits, limits


class Publisher:
    """Publishes QoS 1 to one topic as fast as it is acknowledged, and keeps account."""

    def __init__(self, port):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="publisher")
        self.client.max_inflight_messages_set(100)
        self.client.on_publish = self.count
        self.published, self.count_down = [], 2000
        self.enough = threading.Event()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def count(self, *_):
        self.count_down -= 1
        if self.count_down <= 0:
            self.enough.set()

    def publish(self, count):
        for number in range(count):
            self.published.append(self.client.publish("crash/test", str(number), qos=1))

    def acknowledged(self):
        return {number for number, info in enumerate(self.published) if info.is_published()}


def leave_session(port):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="away", clean_session=False)
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe("crash/#", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert subscribed.wait(10)
    client.disconnect()
    client.loop_stop()


def collect(port, wanted):
    """What waits for the client that was away."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="away", clean_session=False)
    received, complete = set(), threading.Event()

    def on_message(client, data, message):
        received.add(int(message.payload))
        if wanted <= received:
            complete.set()

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    complete.wait(20)
    client.disconnect()
    client.loop_stop()
    return received


def test_what_was_acknowledged_is_there_after_kill_9_and_in_a_new_container(run):
    container = run(env=OPEN)
    leave_session(container.port)
    publisher = Publisher(container.port)
    publisher.publish(20_000)
    assert publisher.enough.wait(30), "hardly anything was acknowledged"
    container.kill()
    publisher.client.loop_stop()
    acknowledged = publisher.acknowledged()
    assert len(acknowledged) >= 1000
    print(f"{len(acknowledged)} acknowledged before kill -9")
    container.start()
    assert container.stop()[0] == 0
    container.remove()
    again = run(env=OPEN)
    assert acknowledged - collect(again.port, acknowledged) == set()


def test_it_stops_in_order_within_ten_seconds_with_a_loaded_database(run):
    container = run(env=OPEN)
    leave_session(container.port)
    publisher = Publisher(container.port)
    publisher.publish(50_000)
    assert publisher.enough.wait(30)
    code, seconds = container.stop()
    publisher.client.loop_stop()
    print(f"stopped in {seconds:.2f} s")
    assert code == 0, container.logs()
    assert seconds < 10
    assert "the database is closed" in container.logs()


def test_health_is_what_the_image_says(run):
    container = run(env=OPEN)
    assert engine("healthcheck", "run", container.name, check=False).returncode == 0
    assert container.inspect()["State"]["Health"]["Status"] == "healthy"
    # Nothing listens where this one asks.
    done = engine("exec", "--env", "FERRYMQ_HTTP__BIND=127.0.0.1:1", container.name,
                  "/usr/bin/ferrymq", "health", check=False)
    assert done.returncode != 0


def test_the_dockerfile_passes_its_linter():
    done = subprocess.run(["hadolint", str(HERE.parents[1] / "Dockerfile")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
