#!/usr/bin/env python3
"""Writes the table of values in the chart's README from values.yaml and its comments."""

import json
import pathlib
import re

import yaml

CHART = pathlib.Path(__file__).parents[2] / "helm/ferrymq"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
KEY = re.compile(r"^( *)([A-Za-z_][\w.-]*):")


def comments(text):
    """{("a", "b"): comment} for each key that has a line `# -- comment` above it."""
    found, path, said = {}, [], []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            said = [stripped[5:]]
        elif stripped.startswith("#") and said:
            said.append(stripped.lstrip("# "))
        elif match := KEY.match(line):
            path[len(match[1]) // 2:] = [match[2]]
            found[tuple(path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


def leaves(values, path=()):
    """(path, default) of each value; a map without keys is one."""
    for key, value in values.items():
        here = (*path, key)
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def rows(said, values, path=()):
    """A row for each value, and one for each map that has values."""
    for key, value in values.items():
        here = (*path, key)
        is_map = isinstance(value, dict) and bool(value)
        name, text = f"`{'.'.join(here)}`", said[here].replace("|", "\\|")
        yield f"| **{name}** | | **{text}** |" if is_map else f"| {name} | `{json.dumps(value)}` | {text} |"
        if is_map:
            yield from rows(said, value, here)


def table():
    text = (CHART / "values.yaml").read_text()
    return "\n".join(["| Value | Default | |", "| --- | --- | --- |", *rows(comments(text), yaml.safe_load(text))])


def document():
    readme = (CHART / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(document())
