"""What is shipped for watching, read for tests: the dashboard, the rules, their expressions."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ROOT / "helm/ferrymq/files"
DASHBOARD = json.loads((FILES / "dashboard.json").read_text())
RULES = (FILES / "rules.yaml").read_text()
UNIT_TESTS = pathlib.Path(__file__).with_name("rules_test.yaml")
GUIDE = (ROOT / "docs/monitoring.md").read_text()

# As Grafana would put them in, for a target that is scraped twice a second.
VARIABLES = {"$__rate_interval": "10s", "$__range": "1m", "$job": ".+", "$instance": ".+"}

# Labels that the scrape adds.
OF_THE_TARGET = {"job", "instance"}
METRIC = re.compile(r"(?<![\w\".])((?:ferrymq|process)_\w+|up(?=\{))(\{[^}]*\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def filled_in(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable that no test knows: {expression}"
    return expression


def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def targets():
    """(panel, target) of every query of the dashboard."""
    return [(panel, target) for panel in panels() for target in panel["targets"]]


def selectors(expression):
    """(metric, [(label, operator, value)]) of every selector in an expression."""
    for metric, braces in METRIC.findall(expression):
        yield metric, MATCHER.findall(braces or "")


def groupings(expression):
    """The labels in every `by`, `without` and `on`."""
    return {label.strip() for inside in GROUPING.findall(expression) for label in inside.split(",")}


class Scrape:
    """The series of a scrape: for each metric the values of each label."""

    SAMPLE = re.compile(r"^([a-z_:][\w:]*)(?:\{(.*)\})? ")

    def __init__(self, text):
        self.metrics = {"up": {}}
        for line in text.splitlines():
            if line.startswith("#") or not (sample := self.SAMPLE.match(line)):
                continue
            labels = self.metrics.setdefault(sample[1], {})
            for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2] or ""):
                labels.setdefault(label, set()).add(value)

    def complaints(self, expression):
        """What an expression names that the scrape does not have."""
        known = set(OF_THE_TARGET)
        for metric, matchers in selectors(expression):
            if metric not in self.metrics:
                yield f"there is no metric {metric}"
                continue
            labels = self.metrics[metric]
            known |= labels.keys()
            for label, operator, value in matchers:
                if label in OF_THE_TARGET:
                    continue
                if label not in labels:
                    yield f"{metric} has no label {label}"
                    continue
                # A value that is left out need not have been seen: nothing is lost with it.
                wanted = value.split("|") if operator == "=~" else [value]
                for one in wanted if operator in ("=", "=~") else []:
                    if one not in labels[label]:
                        yield f'{metric} never has {label}="{one}"'
        for label in groupings(expression) - known - {"le"}:
            yield f"none of its metrics has a label {label}"
