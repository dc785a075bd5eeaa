"""Objects against the schemas of a Kubernetes, unknown fields refused."""

import functools
import json
import pathlib
import re

import kubernetes_validate
import referencing
from jsonschema import Draft7Validator

from chart import CACHE, FOREIGN, OLDEST


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


def complaints(thing, version):
    """What that Kubernetes would not take."""
    if thing["kind"] in FOREIGN:
        return []
    try:
        check = validator(version, thing["apiVersion"], thing["kind"])
    except FileNotFoundError:
        return [f"Kubernetes {version} has no {thing['kind']} of {thing['apiVersion']}"]
    return [f"{thing['kind']} {thing['metadata']['name']}: {'.'.join(map(str, e.path))}: {e.message}"
            for e in check.iter_errors(thing)]
