"""values.yaml: every key explained, known to the schema, in the README, and tried."""

import json

import yaml

import chart
import values_table

VALUES = yaml.safe_load((chart.CHART / "values.yaml").read_text())
SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())
# What Helm itself puts there.
FREE = {"global"}


def test_every_key_is_explained():
    said = values_table.comments((chart.CHART / "values.yaml").read_text())
    paths = {path[:length] for path, _ in values_table.leaves(VALUES) for length in range(1, len(path) + 1)}
    assert [".".join(path) for path in sorted(paths) if not said.get(path)] == []


def test_the_readme_has_the_table():
    """tests/chart/values_table.py writes it."""
    assert (chart.CHART / "README.md").read_text() == values_table.document()


def resolved(schema):
    return SCHEMA["definitions"][schema["$ref"].rsplit("/")[-1]] if "$ref" in schema else schema


def keys(schema, path=()):
    """Paths of the keys that the schema names."""
    schema = resolved(schema)
    for key, inside in schema.get("properties", {}).items():
        yield (*path, key)
        yield from keys(inside, (*path, key))


def test_the_schema_knows_the_keys_and_no_others():
    named = set(keys(SCHEMA))
    closed = {path for path in named if path[0] not in FREE}
    given = {path[:length] for path, _ in values_table.leaves(VALUES) for length in range(1, len(path) + 1)}
    # Listeners are a map of any names, and what Kubernetes defines is left to it.
    free = ("listeners", "podSecurityContext", "securityContext", "config")
    missing = {path for path in given if path not in named and path[0] not in free and "requests" not in path
               and "limits" not in path and path[-1] != "grafana_dashboard"}
    assert missing == set()
    # Optional parts of a resources map, and an image's command, have no default everywhere.
    extra = {path for path in closed if path not in given and path[-1] not in ("requests", "limits", "claims")}
    assert extra == set()


def test_defaults_are_valid_and_every_one_is_tried_with_another_value():
    """A value that no file in values/ changes has no test that it does anything."""
    files = [chart.values_of(path) for path in chart.VALUES]

    def at(values, path):
        for key in path:
            if not isinstance(values, dict) or key not in values:
                return None, False
            values = values[key]
        return values, True

    untried = []
    for path, default in values_table.leaves(VALUES):
        tried = [at(values, path) for values in files]
        if not any(there and value != default for value, there in tried):
            untried.append(".".join(path))
    # Of it there is only one today.
    assert untried == ["replicas"]
