"""The image, built once; containers of it, each with a name and a volume of its own."""

import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
IMAGE = os.environ.get("FERRYMQ_IMAGE", "localhost/ferrymq-test")
READY_WITHIN = 30

sys.path.insert(0, str(ROOT / "tests/clients"))
from brokerproc import Port  # noqa: E402


def engine(*arguments, check=True, **options):
    """One command of the container engine."""
    environment = os.environ | {"CONTAINERS_CONF": str(HERE / "containers.conf")}
    return subprocess.run(["podman", *map(str, arguments)], env=environment, check=check,
                          capture_output=True, text=True, timeout=120, **options)


class Container:
    """`docker run` as the README has it, hardened as a cluster would."""

    HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
                "--user", "10001:10001")

    def __init__(self, volume, *options, env=None, command=()):
        self.name = f"ferrymq-{uuid.uuid4().hex[:8]}"
        self.leases = Port(), Port()
        self.port, self.http_port = (lease.number for lease in self.leases)
        variables = [f"--env={key}={value}" for key, value in (env or {}).items()]
        self.started = engine(
            "run", "--detach", "--name", self.name, "--network", "host", *self.HARDENED,
            "--volume", f"{volume}:/data",
            # On the host's network, because a container's own needs a bridge: so the
            # ports are told from outside.
            "--env", f"FERRYMQ_LISTENERS__TCP__BIND=127.0.0.1:{self.port}",
            "--env", f"FERRYMQ_HTTP__BIND=127.0.0.1:{self.http_port}",
            *variables, *options, IMAGE, *command)

    def inspect(self):
        return json.loads(engine("inspect", self.name).stdout)[0]

    def healthy(self):
        return engine("exec", self.name, "/usr/bin/ferrymq", "health", check=False)

    def wait_ready(self):
        deadline = time.monotonic() + READY_WITHIN
        while self.healthy().returncode != 0:
            assert self.inspect()["State"]["Running"], self.logs()
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.05)
        return self

    def kill(self):
        engine("kill", "--signal", "KILL", self.name)
        engine("wait", self.name)

    def start(self):
        engine("start", self.name)
        return self.wait_ready()

    def stop(self):
        """As `docker stop` does: SIGTERM, ten seconds, SIGKILL. (exit code, seconds)"""
        begun = time.monotonic()
        engine("stop", "--time", 10, self.name)
        return self.inspect()["State"]["ExitCode"], time.monotonic() - begun

    def logs(self):
        done = engine("logs", self.name, check=False)
        return done.stdout + done.stderr

    def remove(self):
        engine("rm", "--force", "--time", 0, self.name, check=False)
        for lease in self.leases:
            lease.lease.close()


@pytest.fixture
def volume():
    name = f"ferrymq-{uuid.uuid4().hex[:8]}"
    engine("volume", "create", name)
    yield name
    engine("volume", "rm", "--force", name, check=False)


@pytest.fixture
def run(volume):
    """Runs containers on one volume."""
    made = []

    def run(*options, wait=True, **more):
        made.append(Container(volume, *options, **more))
        return made[-1].wait_ready() if wait else made[-1]

    yield run
    for container in made:
        container.remove()
