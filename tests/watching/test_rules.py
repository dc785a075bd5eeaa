"""The rules: sound, tested one by one, explained, and about figures that there are."""

import re
import subprocess

import pytest
import yaml

import watched
from watched import Scrape

ALERTS = {rule["alert"]: rule
          for group in yaml.safe_load(watched.RULES)["groups"] for rule in group["rules"]}
UNIT_TESTS = yaml.safe_load(watched.UNIT_TESTS.read_text())["tests"]

# Series that a broker has only when something has gone wrong.
SELDOM = {"ferrymq_persistence_errors_total"}

each_alert = pytest.mark.parametrize("name", ALERTS)


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_no_fault_in_the_rules():
    promtool("check", "rules", watched.FILES / "rules.yaml")


def test_each_alert_fires_when_it_should_and_not_otherwise():
    promtool("test", "rules", watched.UNIT_TESTS)


@each_alert
def test_an_alert_has_a_unit_test_of_both_kinds(name):
    cases = [case for test in UNIT_TESTS for case in test["alert_rule_test"]
             if case["alertname"] == name]
    assert any(case["exp_alerts"] for case in cases), "none in which it fires"
    assert any(not case["exp_alerts"] for case in cases), "none in which it does not"


@each_alert
def test_an_alert_says_how_bad_it_is_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"


def test_the_guide_has_a_section_for_each_alert_and_for_no_other():
    assert re.findall(r"^### (FerryMQ\w+)$", watched.GUIDE, re.M) == list(ALERTS)


def test_the_guide_leads_nowhere_that_is_not_there():
    headings = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
                for heading in re.findall(r"^#+ (.+)$", watched.GUIDE, re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", watched.GUIDE)) <= headings


@each_alert
def test_an_alert_names_what_a_scrape_has(name, busy_broker):
    scrape = Scrape(busy_broker.get("/metrics")[1])
    assert list(scrape.complaints(ALERTS[name]["expr"])) == []


@each_alert
def test_an_alert_is_about_series_that_there_are(name, prometheus):
    prometheus.query(ALERTS[name]["expr"])
    for metric, matchers in watched.selectors(ALERTS[name]["expr"]):
        inside = ", ".join(f'{label}{operator}"{value}"' for label, operator, value in matchers)
        samples = prometheus.query(f"{metric}{{{inside}}}") if metric in SELDOM else \
            prometheus.await_query(f"{metric}{{{inside}}}")
        assert samples or metric in SELDOM, f"nothing for {metric}{{{inside}}}"


def test_prometheus_evaluates_every_rule(prometheus):
    prometheus.await_evaluations(1)
    rules = prometheus.rules()
    assert {rule["name"] for rule in rules} == set(ALERTS)
    assert [rule for rule in rules if rule["health"] != "ok"] == []
