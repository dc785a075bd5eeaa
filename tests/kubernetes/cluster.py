"""The node that node.sh has brought up, as the tests see it: commands, and a release of the chart."""

import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
CHART = os.environ.get("FERRYMQ_CHART", ROOT / "helm/ferrymq")
NODE = pathlib.Path(os.environ["NODE_DIRECTORY"])
IMAGES = "localhost/ferrymq-kubernetes"
# Several times what was seen on two cores with eight compilers beside it.
SOON = 300

# The certificate is one that the API server made for itself.
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def command(*arguments, check=True, timeout=600, **options):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=timeout, **options)
    assert not check or done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout}{done.stderr}"
    return done


def kubectl(*arguments, **options):
    return command("kubectl", *arguments, **options)


def apply(*objects):
    kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def get(path):
    """One object of the API, or None. Patient: beside compilers an answer may take its time."""
    request = urllib.request.Request(os.environ["API"] + path,
                                     headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    try:
        with urllib.request.urlopen(request, context=UNVERIFIED, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def until(what, probe, within=SOON):
    """The first true answer; asked often, since what it asks has no event to wait for."""
    deadline = time.monotonic() + within
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)
    return answer


def make_volume(size="1Gi", kind="local"):
    """A volume of the node's disk: `local`, which takes fsGroup, or `hostPath`, which does not."""
    name = f"volume-{uuid.uuid4().hex[:8]}"
    directory = NODE / "volumes" / name
    directory.mkdir()
    apply({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "persistentVolumeReclaimPolicy": "Retain", kind: {"path": str(directory)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}]}]}},
        },
    })
    return directory


def merged(*layers):
    """Values laid on each other, as Helm does it."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def image(name, tag):
    return {"registry": "", "repository": f"{IMAGES}/{name}", "tag": tag}


# What the node has instead of a registry, and nothing else that is not the chart's default.
VALUES = {
    "image": image("ferrymq", "before"),
    "auth": {"allowAnonymous": True},
    "persistence": {"size": "1Gi", "volumePermissions": {"image": image("clients", "1")}},
    "backup": {"pruneImage": image("clients", "1")},
    "litestream": {"image": image("litestream", "1")},
    "tests": {"messages": {"image": image("clients", "1")}},
}


class Release:
    """One release of the chart in a namespace of its own."""

    NAME = "boat"

    def __init__(self, which="helm4", **values):
        self.which, self.values = which, merged(VALUES, values)
        self.fullname = f"{self.NAME}-ferrymq"
        self.namespace = f"test-{uuid.uuid4().hex[:8]}"
        kubectl("create", "namespace", self.namespace)

    # --- Helm

    def helm(self, *arguments, values=None, check=True):
        options = ["--values", "-"] if values is not None else []
        return command(self.which, *arguments, "--namespace", self.namespace, *options, check=check,
                       input=json.dumps(values) if values is not None else None)

    def install(self, *options, check=True, **values):
        self.values = merged(self.values, values)
        return self.helm("install", self.NAME, CHART, *options, values=self.values, check=check)

    def upgrade(self, *options, check=True, **values):
        """Does not keep the values if the upgrade fails."""
        values = merged(self.values, values)
        done = self.helm("upgrade", self.NAME, CHART, *options, values=values, check=check)
        if done.returncode == 0:
            self.values = values
        return done

    def close(self):
        self.helm("uninstall", self.NAME, check=False)
        kubectl("delete", "namespace", self.namespace, "--wait=false", check=False)
        for pod in self.list("pods"):
            kubectl("delete", "pod", pod["metadata"]["name"], "-n", self.namespace, "--grace-period=0", "--force",
                    check=False)

    # --- Objects

    def path(self, what):
        return f"/api/v1/namespaces/{self.namespace}/{what}"

    def list(self, what):
        return (get(self.path(what)) or {}).get("items", [])

    def pod(self):
        """The broker's newest pod, or None. (A Deployment's has another name each time.)"""
        pods = [p for p in self.list("pods")
                if p["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "broker"
                and not p["metadata"].get("deletionTimestamp")]
        return max(pods, key=lambda p: p["metadata"]["creationTimestamp"], default=None)

    def kubectl(self, *arguments, **options):
        return kubectl(*arguments, "--namespace", self.namespace, **options)

    def logs(self, container="ferrymq", *options):
        return self.kubectl("logs", self.pod()["metadata"]["name"], "-c", container, *options, check=False).stdout

    def state(self):
        """What to say when something did not happen."""
        return self.kubectl("get", "events,pods,endpoints", "-o", "wide", check=False).stdout + self.logs()

    def address(self):
        """Of the Service."""
        return get(self.path(f"services/{self.fullname}"))["spec"]["clusterIP"]

    def endpoints(self):
        """Addresses that the Service leads to."""
        subsets = (get(self.path(f"endpoints/{self.fullname}")) or {}).get("subsets") or []
        return [a["ip"] for s in subsets for a in s.get("addresses") or []]

    # --- The broker's container

    def status(self, pod=None):
        pod = pod or self.pod()
        statuses = pod["status"].get("containerStatuses") or [] if pod else []
        return next((s for s in statuses if s["name"] == "ferrymq"), None)

    def container(self):
        """The id of the container that runs."""
        status = self.status()
        return status and status.get("containerID", "").removeprefix("containerd://")

    def wait_ready(self, instead_of=None, within=SOON):
        """Until a container is ready that is not the one given; its id."""
        def ready():
            status = self.status()
            return (status and status["ready"] and self.container() != instead_of and self.endpoints()
                    and self.container())
        try:
            return until("ready", ready, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.state()}") from None

    def process(self):
        """Its process id: the node's processes are in the namespace that this one is in."""
        return int(pathlib.Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io", self.container(),
                                "init.pid").read_text())

    def signal(self, number):
        os.kill(self.process(), number)

    def kill(self):
        """kill -9 of the broker."""
        self.signal(signal.SIGKILL)
