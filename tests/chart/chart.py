"""The chart as the tests use it: rendered by both Helms, for several Kubernetes."""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
CHART = ROOT / "helm/ferrymq"
CACHE = ROOT / "tests/.cache/chart"
VALUES = sorted((HERE / "values").glob("*.yaml"))
HELMS = ("helm3", "helm4")
# The oldest that the chart says it supports, those on both sides of each of its
# comparisons with a version, and the newest that there are schemas of.
OLDEST, NEWEST = "1.20", "1.37"
KUBERNETES = (OLDEST, "1.25", "1.28", NEWEST)
RELEASE, NAMESPACE = "boat", "default"
# What the chart makes for others than Kubernetes itself, by the group of its API, and the
# package of npm that has the schemas.
FOREIGN = {"gateway.networking.k8s.io": "gateway-api", "cert-manager.io": "cert-manager",
           "monitoring.coreos.com": "prometheus-operator"}


class Refused(Exception):
    """Helm's message."""


def helm(which, *arguments, check=True):
    run = subprocess.run([CACHE / "tools" / which, *map(str, arguments)],
                         capture_output=True, text=True, timeout=60)
    if check and run.returncode:
        raise Refused(run.stderr)
    return run


@functools.cache
def values_of(path):
    return yaml.safe_load(path.read_text()) or {}


def needs(path):
    """The Kubernetes that a values file says it is from."""
    found = re.search(r"^# From Kubernetes (\d+\.\d+)", path.read_text())
    return tuple(map(int, (found[1] if found else OLDEST).split(".")))


def versions(path):
    return [v for v in KUBERNETES if tuple(map(int, v.split("."))) >= needs(path)]


def render(values, which="helm4", kubernetes=NEWEST, chart=CHART, api_versions=(), sets=()):
    """The objects for a values file or a dict."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as given:
        if not isinstance(values, pathlib.Path):
            json.dump(values, given)
            given.flush()
            values = given.name
        arguments = ["template", RELEASE, chart, "--values", values, "--kube-version", f"{kubernetes}.0"]
        for version in api_versions:
            arguments += ["--api-versions", version]
        for setting in sets:
            arguments += ["--set", setting]
        text = helm(which, *arguments).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def merged(*layers):
    """Values laid on each other, as Helm does it."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


OPEN = {"auth": {"allowAnonymous": True}}


def made(kubernetes=NEWEST, **values):
    """The objects for some values, with everybody let in unless they say otherwise."""
    return Objects(render(merged({} if "auth" in values else OPEN, values), kubernetes=kubernetes))


class Objects(list):
    def all(self, kind):
        return [o for o in self if o["kind"] == kind]

    def one(self, kind, name=None):
        found = [o for o in self.all(kind) if name is None or o["metadata"]["name"] == name]
        assert len(found) == 1, f"{kind} {name}: {[(o['kind'], o['metadata']['name']) for o in self]}"
        return found[0]

    @property
    def workload(self):
        return (self.all("StatefulSet") + self.all("Deployment"))[0]

    @property
    def pod(self):
        return self.workload["spec"]["template"]["spec"]

    def container(self, name="ferrymq"):
        found = [c for c in self.pod["containers"] + self.pod.get("initContainers", []) if c["name"] == name]
        assert len(found) == 1, name
        return found[0]

    def toml(self):
        found = [o for o in self.all("ConfigMap") if o["metadata"]["name"].endswith("-config")]
        assert len(found) == 1
        return found[0]["data"]["ferrymq.toml"]


def pod_of(**values):
    """The template of the broker's pod: if it changes, the pod is restarted."""
    return made(**values).workload["spec"]["template"]


def volume(pod, name="config"):
    return next(v for v in pod["volumes"] if v["name"] == name)


def notes_of(whole, *settings):
    # Helm 3.8 wants a cluster even for a dry run.
    settings = [word for setting in ("auth.allowAnonymous=true", *settings) for word in ("--set", setting)]
    run = helm("helm4", "install", "boat", whole, *settings, "--dry-run=client", "--namespace", "sea")
    return run.stdout.split("NOTES:")[1]


def complete_chart(directory):
    """A copy that has rules and a dashboard, should the chart not have them yet."""
    copy = pathlib.Path(directory) / "ferrymq"
    shutil.copytree(CHART, copy)
    rules, dashboard = copy / "files/rules.yaml", copy / "files/dashboard.json"
    if not rules.exists():
        rules.write_text('groups: [{name: ferrymq, rules: [{alert: FerryMQDown, expr: up == 0}, '
                         '{alert: FerryMQFull, expr: "1", labels: {severity: critical}}]}]\n')
    if not dashboard.exists():
        dashboard.write_text('{"title": "FerryMQ"}\n')
    return copy
