"""compose.yaml as it is shipped: a broker, and a Prometheus that finds it and knows its
alerts. In a network of its own, since its ports are fixed."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid

import pytest

from conftest import HERE, IMAGE, ROOT, engine

PROMETHEUS = "localhost/ferrymq-test-prometheus"
TOKEN = "a-token-of-this-test-alone"


def until(what, seconds, question):
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.1)
    return answer


def without_bridges(inside):
    """Why a container cannot have a network, a name and a port here, if it cannot."""
    name = f"ferrymq{uuid.uuid4().hex[:8]}"
    engine("network", "create", name)
    try:
        options = ("--rm", "--network", name, "--publish", "127.0.0.1:1883:1883")
        done = subprocess.run([*inside, "podman", "run", *options, IMAGE, "--version"],
                              env=os.environ | {"CONTAINERS_CONF": str(HERE / "containers.conf")},
                              capture_output=True, text=True, timeout=60)
        return done.stderr.strip() if done.returncode else None
    finally:
        engine("network", "rm", "--force", name)


@pytest.fixture(scope="module")
def network():
    """The command that runs another one in a network that nobody else is in."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep inf"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline() != "up\n":
            pytest.skip(f"no network of its own here: {holder.stderr.read().strip()}")
        inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        if error := without_bridges(inside):
            pytest.skip(f"this engine makes no networks here: {error}")
        yield inside
    finally:
        holder.kill()
        holder.wait()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """Debian's Prometheus with what it is linked to, where the public image has it."""
    context = tmp_path_factory.mktemp("prometheus")
    binary = shutil.which("prometheus")
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout.split()
    for file in [binary, *(word for word in linked if word.startswith("/"))]:
        inside = context / "root" / (f"bin/{os.path.basename(file)}" if file == binary else file[1:])
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, inside)
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY root /\nWORKDIR /prometheus\nENTRYPOINT [\"/bin/prometheus\"]\n")
    subprocess.run(["buildah", "bud", "--isolation", "chroot", "--quiet", "-t", PROMETHEUS, str(context)],
                   check=True, capture_output=True)


class Project:
    def __init__(self, network, images):
        self.name = f"ferrymq{uuid.uuid4().hex[:8]}"
        self.network, self.images = network, images
        self.broker = f"{self.name}_ferrymq_1"

    def inside(self, *command, check=True, **environment):
        environment = os.environ | {"CONTAINERS_CONF": str(HERE / "containers.conf")} | environment
        done = subprocess.run([*self.network, *map(str, command)], env=environment,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def compose(self, *command, **environment):
        """`docker compose`, and the images that are here in place of the public ones."""
        return self.inside(sys.executable, "-m", "podman_compose", "-p", self.name,
                           "-f", ROOT / "compose.yaml", "-f", self.images, *command, **environment)

    def up(self, **environment):
        self.compose("up", "-d", "--no-build", **environment)
        # Nothing here runs health checks by the clock, as an engine under systemd does.
        checked = None

        def healthy():
            nonlocal checked
            checked = self.inside("podman", "healthcheck", "run", self.broker, check=False)
            return checked.returncode == 0

        until(lambda: f"{checked}\n{self.inside('podman', 'logs', self.broker).stderr}", 30, healthy)

    def get(self, url, *options):
        return self.inside("curl", "-s", "-w", "\n%{http_code}", *options, url).stdout.rsplit("\n", 1)

    def watched(self, path):
        """Prometheus' answer, or nothing as long as it has none."""
        done = self.inside("curl", "-sf", f"http://127.0.0.1:9090/api/v1/{path}", check=False)
        return json.loads(done.stdout)["data"] if done.returncode == 0 else None


@pytest.fixture
def project(network, prometheus, tmp_path):
    images = tmp_path / "images.yaml"
    images.write_text(f"services:\n  ferrymq:\n    image: {IMAGE}\n  prometheus:\n    image: {PROMETHEUS}\n")
    project = Project(network, images)
    yield project
    # A container that starts again and again is not always stopped by `down`.
    project.inside("podman", "rm", "--force", "--time", 0, project.broker, check=False)
    project.compose("down", "--volumes")


def test_prometheus_finds_the_broker_and_knows_its_alerts(project):
    project.up()
    broker = json.loads(engine("inspect", project.broker).stdout)[0]
    assert broker["HostConfig"]["ReadonlyRootfs"] and broker["EffectiveCaps"] is None
    assert broker["HostConfig"]["Memory"] in (512 << 20, 0), "0: this machine cannot set it"

    def target():
        targets = (project.watched("targets") or {}).get("activeTargets", [])
        return targets and targets[0]["health"] != "unknown" and targets[0]

    # It scrapes every 15 seconds.
    found = until("no target was scraped", 45, target)
    assert (found["health"], found["lastError"]) == ("up", "")
    assert found["scrapeUrl"] == "http://ferrymq:8080/metrics"
    rules = [rule for group in project.watched("rules")["groups"] for rule in group["rules"]]
    assert any(rule["name"] == "FerryMQDatabaseFilling" for rule in rules)


def test_what_waits_is_there_after_down_and_up(project):
    project.up()
    at = ("-h", "127.0.0.1", "-i", "away", "-q", "1", "-t", "harbour/#")
    project.inside("mosquitto_sub", *at, "-c", "-E")
    project.inside("mosquitto_pub", "-h", "127.0.0.1", "-q", "1", "-t", "harbour/wind", "-m", "north-west 5")
    project.compose("down")
    project.up()
    received = project.inside("mosquitto_sub", *at, "-c", "-C", "1", "-W", "20")
    assert received.stdout == "north-west 5\n"


def test_the_api_is_off_until_a_token_is_given(project):
    api, bearer = "http://127.0.0.1:8080/api/v1/sessions", ("-H", f"Authorization: Bearer {TOKEN}")
    project.up()
    body, code = project.get(api, *bearer)
    assert code in ("403", "404"), body
    project.compose("down")
    project.up(FERRYMQ_TOKEN=TOKEN)
    assert project.get(api)[1] == "401"
    assert project.get(api, *bearer)[1] == "200"
