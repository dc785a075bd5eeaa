"""A release that was made with an older chart can be upgraded: its values are taken, and
what Kubernetes never lets change has not changed."""

import os

import pytest
import yaml

import chart

RELEASED = sorted((chart.HERE / "released").glob("?.?.?.yaml"))
VALUES = pytest.mark.parametrize("values", RELEASED, ids=lambda path: path.stem)


def fixed(objects):
    """The fields that Kubernetes refuses to change, by object."""
    result = {}
    for thing in objects:
        spec = thing.get("spec", {})
        if "helm.sh/hook" in thing["metadata"].get("annotations", {}):
            continue
        kept = {
            "StatefulSet": lambda s: {k: s.get(k) for k in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates")},
            "Deployment": lambda s: {"selector": s["selector"]},
            "PersistentVolumeClaim": lambda s: s,
            "Service": lambda s: {k: s.get(k) for k in ("clusterIP", "loadBalancerClass")},
        }.get(thing["kind"])
        if kept:
            result[f"{thing['kind']} {thing['metadata']['name']}"] = kept(spec)
    return result


@VALUES
@pytest.mark.parametrize("which", chart.HELMS)
def test_values_of_a_released_chart_are_taken_and_upgrade(values, which, whole):
    found = fixed(chart.render(values, which, chart=whole))
    kept = values.with_suffix(".fixed.yaml")
    # Only for the release that is being made.
    if os.environ.get("BLESS") and not kept.exists():
        kept.write_text(yaml.safe_dump(found))
    assert found == yaml.safe_load(kept.read_text())


def test_the_version_that_is_being_made_has_its_values():
    version = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["version"]
    assert version in [path.stem for path in RELEASED]


CHANGES = {
    "version of the chart": {},
    "labels of everything": {"commonLabels": {"a": "b"}, "commonAnnotations": {"c": "d"}},
    "image": {"image": {"tag": "9.9.9"}},
    "configuration": {"config": {"mqtt": {"on_full": "stall"}}},
    "share of the claim": {"persistence": {"usablePercent": 50}},
    "another listener": {"listeners": {"boats": {"port": 1884}}},
    "litestream": {"litestream": {"enabled": True, "replica": {"type": "file", "path": "/x"}}},
    "labels of the pod": {"podLabels": {"a": "b"}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_that_can_be_upgraded(change, whole, tmp_path):
    later = chart.complete_chart(tmp_path)
    description = later / "Chart.yaml"
    description.write_text(description.read_text().replace("ersion: 0.1.0", "ersion: 9.9.9").replace('"0.1.0"', '"9.9.9"'))
    before = fixed(chart.render(chart.OPEN, chart=whole))
    after = fixed(chart.render(chart.merged(chart.OPEN, change), chart=later))
    assert before.items() <= after.items()


def test_a_new_size_is_what_the_test_would_notice():
    """The one change that Kubernetes refuses: docs/kubernetes.md tells how to do it."""
    one, other = (fixed(chart.made(persistence={"size": size})) for size in ("10Gi", "20Gi"))
    assert one != other
