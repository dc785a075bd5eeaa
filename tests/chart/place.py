"""Containers of the chart run as processes: their paths moved below a directory, their
ports to free ones."""

import base64
import os
import pathlib
import re
import subprocess

from brokerproc import BINARY, Broker

# Mount points of the chart's containers.
PATHS = ("/etc/ferrymq", "/etc/litestream", "/data", "/backup", "/replica")


class Place:
    def __init__(self, directory, objects):
        self.root = pathlib.Path(directory)
        self.objects = objects
        for path in PATHS:
            self.path(path).mkdir(parents=True, exist_ok=True)
        for name, text in self.files():
            self.path(name).write_text(self.here(text))

    def path(self, inside):
        return self.root / inside.lstrip("/")

    def here(self, text):
        """Text with the containers' paths made this place's."""
        return re.sub(rf"(?<![\w/])({'|'.join(PATHS)})\b", lambda found: str(self.path(found[1])), text)

    def files(self):
        yield "/etc/ferrymq/ferrymq.toml", self.objects.toml()
        for secret in self.objects.all("Secret"):
            for key, value in secret["data"].items():
                where = "/etc/litestream" if key == "litestream.yml" else "/etc/ferrymq"
                yield f"{where}/{key}", base64.b64decode(value).decode()

    def environment(self, container, **more):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("FERRYMQ_", "MQTT_"))}
        given = {e["name"]: self.here(e["value"]) for e in container.get("env", []) if "value" in e}
        return keep | given | {k: str(v) for k, v in more.items()}

    def run(self, container, program=(BINARY,), **environment):
        """A container to its end: its command, or its arguments to a program."""
        command = [*program, *container["args"]] if "args" in container else container["command"]
        return subprocess.run([self.here(str(part)) for part in command], cwd=self.root, text=True, capture_output=True,
                              env=self.environment(container, **environment), timeout=90)


class PlacedBroker(Broker):
    """The broker's container, its ports moved."""

    def __init__(self, place):
        super().__init__(place.root / "broker", {})
        self.place = place
        self.database = place.path("/data/ferrymq.db")

    def command(self):
        return [BINARY, *self.place.objects.container()["args"]]

    def environment(self):
        return self.place.environment(
            self.place.objects.container(),
            FERRYMQ_LISTENERS__TCP__BIND=f"127.0.0.1:{self.port}",
            FERRYMQ_HTTP__BIND=f"127.0.0.1:{self.http_port}")
