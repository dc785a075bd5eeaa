"""Containers of the chart run as processes: their paths moved below a directory, their
ports to free ones."""

import base64
import itertools
import os
import pathlib
import re
import shutil
import subprocess

import tomllib

from brokerproc import BINARY, Broker, Port

# Mount points of the chart's containers.
PATHS = ("/etc/ferrymq", "/etc/litestream", "/data", "/backup", "/replica", "/tls")


class Place:
    def __init__(self, directory, objects):
        self.root = pathlib.Path(directory)
        self.mounts = (f"..{number}" for number in itertools.count())
        # Variables that come from other people's Secrets.
        self.variables = {}
        for path in PATHS:
            self.path(path).mkdir(parents=True, exist_ok=True)
        self.upgrade(objects)

    def upgrade(self, objects):
        """What the objects say is mounted, as after `helm upgrade` without a new pod."""
        self.objects = objects
        files = {name: self.here(text) for name, text in self.files()}
        for name in [name for name in files if name.startswith("/etc/litestream/")]:
            self.path(name).write_text(files.pop(name))
        self.mount({pathlib.Path(name).name: text for name, text in files.items()})

    def mount(self, files):
        """Replaces files of /etc/ferrymq as Kubernetes does: all are links into `..data`, which
        is a link to a directory that is replaced as a whole, and removed."""
        directory = self.path("/etc/ferrymq")
        data, new = directory / "..data", directory / next(self.mounts)
        old = data.resolve() if data.exists() else None
        if old:
            shutil.copytree(old, new)
        else:
            new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            (new / name).chmod(0o440)
        swap = directory / "..data_tmp"
        swap.symlink_to(new.name)
        swap.rename(data)
        for name in files:
            if not (directory / name).is_symlink():
                (directory / name).symlink_to(f"..data/{name}")
        if old:
            shutil.rmtree(old)

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
        given = {}
        for entry in container.get("env", []):
            value = entry.get("value", self.variables.get(entry["name"]))
            if value is not None:
                # Kubernetes puts in variables that stand before this one.
                given[entry["name"]] = re.sub(r"\$\(([^)]+)\)", lambda found: given.get(found[1], found[0]), self.here(value))
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
        listeners = tomllib.loads(place.objects.toml())["listeners"]
        self.others = {name: Port() for name, table in listeners.items() if name != "tcp" and table["bind"] != "off"}

    def command(self):
        return [BINARY, *self.place.objects.container()["args"]]

    def environment(self):
        others = {f"FERRYMQ_LISTENERS__{name.upper()}__BIND": f"127.0.0.1:{port.number}" for name, port in self.others.items()}
        return self.place.environment(
            self.place.objects.container(), **others,
            FERRYMQ_LISTENERS__TCP__BIND=f"127.0.0.1:{self.port}",
            FERRYMQ_HTTP__BIND=f"127.0.0.1:{self.http_port}")
