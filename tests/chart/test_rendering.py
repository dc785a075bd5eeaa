"""Every values file, by both Helms, against the schemas of old and new Kubernetes."""

import base64
import difflib
import hashlib
import os

import pytest
import yaml

import chart
import schemas

VALUES = pytest.mark.parametrize("values", chart.VALUES, ids=lambda path: path.stem)
HELMS = pytest.mark.parametrize("which", chart.HELMS)
CASES = [(path, version) for path in chart.VALUES for version in chart.versions(path)]


@HELMS
def test_lint_finds_nothing(which, whole):
    run = chart.helm(which, "lint", "--strict", whole)
    assert "WARNING" not in run.stdout + run.stderr, run.stdout


@HELMS
@VALUES
def test_lint_finds_nothing_with_values(which, values, whole):
    if chart.needs(values) > (1, 23) and which == "helm3":
        pytest.skip("this Helm lints for Kubernetes 1.23")
    chart.helm(which, "lint", "--strict", whole, "--values", values)


@HELMS
def test_the_package_has_what_it_needs_and_installs(which, whole, tmp_path):
    chart.helm(which, "package", whole, "--destination", tmp_path)
    package = next(tmp_path.glob("ferrymq-*.tgz"))
    assert chart.render(chart.OPEN, which, chart=package) == chart.render(chart.OPEN, which, chart=whole)


@pytest.mark.parametrize(("values", "version"), CASES, ids=[f"{p.stem}-{v}" for p, v in CASES])
def test_kubernetes_takes_every_object(values, version, whole):
    # Both render the same for the newest (test_snapshot), so one is enough in between.
    for which in chart.HELMS if version == chart.OLDEST else ["helm4"]:
        objects = chart.render(values, which, version, whole)
        assert objects
        found = [text for thing in objects for text in schemas.complaints(thing, version)]
        assert found == [], which


def test_the_schemas_would_complain(whole):
    """That the check can fail."""
    thing = chart.Objects(chart.render(chart.OPEN, chart=whole)).workload
    thing["spec"]["replica"] = 1
    for version in chart.KUBERNETES:
        assert schemas.complaints(thing, version), version


def test_the_schemas_of_operators_would_complain(whole):
    objects = chart.Objects([o for path in chart.VALUES for o in chart.render(path, chart=whole)])
    for kind, key, wrong in (("TLSRoute", "hostnames", []), ("HTTPRoute", "parentRefs", "edge"), ("TCPRoute", "rules", []),
                             ("Certificate", "issuerRef", "harbour"), ("ServiceMonitor", "endpoints", {}),
                             ("PodMonitor", "selector", None), ("PrometheusRule", "groups", "none")):
        thing = objects.all(kind)[0]
        assert schemas.complaints(thing, chart.NEWEST) == []
        thing["spec"][key] = wrong
        assert schemas.complaints(thing, chart.NEWEST), kind


@VALUES
def test_names_are_unique_and_short(values, whole):
    objects = chart.render(values, chart=whole)
    names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects]
    assert len(set(names)) == len(names)
    for thing in objects:
        assert len(thing["metadata"]["name"]) <= 63


def test_long_names_are_cut():
    objects = chart.made(fullnameOverride="a" * 60, backup={"enabled": True},
                         listeners={"a" * 15: {"port": 1, "expose": {"enabled": True}}})
    assert max(len(thing["metadata"]["name"]) for thing in objects) <= 63
    # Kubernetes appends 11 characters for each job of a CronJob.
    assert len(objects.one("CronJob")["metadata"]["name"]) <= 52


def test_names_that_begin_alike_stay_apart_when_they_are_cut():
    def workload(name):
        return chart.made(fullnameOverride=name).one("StatefulSet")["metadata"]["name"]

    names = [workload("a" * 49 + end) for end in ("-x", "-y", "--x")] + [workload("a" * 36 + "--" + "b" * 20)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 45 and "--" not in name for name in names)


@VALUES
def test_snapshot(values, whole):
    """What is rendered, as a person has looked at it: the least values in full, all others by
    what they change. BLESS=1 writes it anew: read the difference before you keep it."""
    objects = {which: chart.render(values, which, chart=whole) for which in chart.HELMS}
    assert objects["helm3"] == objects["helm4"]
    found = texts(objects["helm4"])
    if values.stem == LEAST.stem:
        text = "---\n".join(found.values())
    else:
        text = "\n".join(differences(texts(chart.render(LEAST, chart=whole)), found)) + "\n"
    kept = snapshot(values)
    if os.environ.get("BLESS"):
        kept.write_text(text)
    assert text == kept.read_text()


def test_no_snapshot_is_left_over():
    assert set((chart.HERE / "snapshots").glob("*")) == {snapshot(path) for path in chart.VALUES}


LEAST = next(path for path in chart.VALUES if path.stem == "minimal")


def snapshot(values):
    suffix = ".yaml" if values.stem == LEAST.stem else ".diff"
    return chart.HERE / "snapshots" / (values.stem + suffix)


def texts(objects):
    """The text of each object, by what it is and its name."""
    def text(thing):
        return yaml.dump(abridged(thing), Dumper=Readable, sort_keys=True, width=120)
    return {f"{o['kind']} {o['metadata'].get('name')}": text(o) for o in sorted(objects, key=order)}


def differences(least, found):
    """Objects that come, go or change."""
    for name in sorted(least.keys() | found.keys()):
        if name not in found:
            yield f"- {name}"
        elif name not in least:
            yield f"+ {name}"
            yield from (f"+ {line}" for line in found[name].splitlines())
        elif least[name] != found[name]:
            yield f"  {name}"
            lines = difflib.unified_diff(least[name].splitlines(), found[name].splitlines(), n=1, lineterm="")
            # Without line numbers, which say nothing.
            yield from ("@@" if line.startswith("@@") else line for line in list(lines)[2:])


class Readable(yaml.SafeDumper):
    """Text of several lines as it is."""


Readable.add_representer(str, lambda dumper, text: dumper.represent_scalar(
    "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def order(thing):
    return thing["kind"], thing["metadata"].get("name")


def abridged(thing):
    """Without versions, which change with each release, and with digests of what other
    files have in full."""
    version = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
    labels = thing["metadata"].get("labels", {})
    for key, value in {"helm.sh/chart": "ferrymq-CHART", "app.kubernetes.io/version": "BROKER"}.items():
        for place in [labels, *pod_labels(thing)]:
            if key in place:
                place[key] = value
    if thing["kind"] == "PrometheusRule":
        for group in thing["spec"]["groups"]:
            if group["name"] != "ferrymq-extra":
                thing["spec"]["groups"] = [g for g in thing["spec"]["groups"] if g["name"] == "ferrymq-extra"]
                break
        thing["spec"]["groups"].insert(0, "(files/rules.yaml)")
    if "ferrymq.json" in thing.get("data", {}):
        thing["data"]["ferrymq.json"] = "(files/dashboard.json)"
    if thing["kind"] == "Secret":
        thing["data"] = {key: base64.b64decode(value).decode() for key, value in thing["data"].items()}
    for container in containers(thing):
        container["image"] = container["image"].replace(f":{version['appVersion']}", ":BROKER")
        command = container.get("command", [])
        if "helm-test" in str(command[-1:]):
            command[-1] = "(files/test-messages.sh)"
    for annotations in pod_annotations(thing):
        for key in annotations:
            if key.startswith("checksum/"):
                annotations[key] = "(sum)" if len(annotations[key]) == hashlib.sha256().digest_size * 2 else "?"
    return thing


def template(thing):
    spec = thing.get("spec", {})
    if thing["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return thing if thing["kind"] == "Pod" else spec.get("template", {}) if isinstance(spec, dict) else {}


def pod_labels(thing):
    return [template(thing).get("metadata", {}).get("labels", {})]


def pod_annotations(thing):
    return [template(thing).get("metadata", {}).get("annotations", {}) or {}]


def containers(thing):
    spec = template(thing).get("spec", {})
    return spec.get("containers", []) + spec.get("initContainers", [])
