"""Objects against the schemas of a Kubernetes, unknown fields refused, and those of the
Gateway API, cert-manager and the Prometheus Operator against theirs."""

import functools
import json
import pathlib
import re
import subprocess

import kubernetes_validate
import referencing
from jsonschema import Draft7Validator

from chart import CACHE, FOREIGN, HERE, OLDEST


@functools.cache
def directory(version):
    if version == OLDEST:
        return CACHE / f"kubernetes-{OLDEST}"
    schemas = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    return schemas / f"v{version}.0-local-strict"


@functools.cache
def registry(version):
    definitions = json.loads((directory(version) / "_definitions.json").read_text())
    resource = referencing.Resource.from_contents(definitions, referencing.jsonschema.DRAFT7)
    return referencing.Registry().with_resource("_definitions.json", resource)


@functools.cache
def validator(version, api, kind):
    # networking.k8s.io/v1 -> networking-v1
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    schema = json.loads((directory(version) / f"{kind.lower()}-{group}.json").read_text())
    return Draft7Validator(schema, registry=registry(version))


@functools.cache
def foreign(text):
    """What the operator of an object would not take. Its schemas let unknown fields pass."""
    thing = json.loads(text)
    group, version = thing["apiVersion"].split("/")
    model = CACHE / "operators/node_modules/@kubernetes-models" / FOREIGN[group] / group / version / f"{thing['kind']}.js"
    run = subprocess.run(["node", HERE / "foreign.mjs", model, thing["kind"]], input=text, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return [f"{thing['kind']} {thing['metadata']['name']}: {line}" for line in run.stdout.splitlines()]


def complaints(thing, version):
    """What that Kubernetes would not take."""
    if thing["apiVersion"].split("/")[0] in FOREIGN:
        return foreign(json.dumps(thing, sort_keys=True))
    try:
        check = validator(version, thing["apiVersion"], thing["kind"])
    except FileNotFoundError:
        return [f"Kubernetes {version} has no {thing['kind']} of {thing['apiVersion']}"]
    return [f"{thing['kind']} {thing['metadata']['name']}: {'.'.join(map(str, e.path))}: {e.message}"
            for e in check.iter_errors(thing)]
