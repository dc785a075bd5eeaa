"""The dashboard: that Grafana can read it, that a person can, and that each query has an answer."""

import itertools
import re

import pytest

import watched
from watched import DASHBOARD, Scrape, filled_in

# Grafana's own panels, so that nothing has to be installed.
TYPES = {"row", "stat", "timeseries"}
COLUMNS = 24

each_panel = pytest.mark.parametrize("panel", watched.panels(), ids=lambda panel: panel["title"])
each_query = pytest.mark.parametrize(
    "panel,target", watched.targets(),
    ids=[f"{panel['title']}-{target['refId']}" for panel, target in watched.targets()])


def placed(panel):
    """(left, top, right, bottom)"""
    at = panel["gridPos"]
    return at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"]


def test_panels_lie_within_the_grid_and_not_on_each_other():
    for panel in DASHBOARD["panels"]:
        left, top, right, _ = placed(panel)
        assert 0 <= left < right <= COLUMNS and top >= 0, panel["title"]
    for one, other in itertools.combinations(DASHBOARD["panels"], 2):
        (l1, t1, r1, b1), (l2, t2, r2, b2) = placed(one), placed(other)
        apart = r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
        assert apart, f"{one['title']} lies on {other['title']}"


def test_rows_leave_no_gaps():
    covered = {(x, y) for panel in DASHBOARD["panels"] for left, top, right, bottom in [placed(panel)]
               for x in range(left, right) for y in range(top, bottom)}
    height = max(y for _, y in covered) + 1
    assert covered == {(x, y) for x in range(COLUMNS) for y in range(height)}


def test_panels_have_ids_of_their_own():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_it_is_bound_to_no_data_source_and_no_installation():
    def uids(part):
        if isinstance(part, dict):
            if isinstance(part.get("datasource"), dict):
                yield part["datasource"]["uid"]
            for inner in part.values():
                yield from uids(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from uids(inner)

    assert set(uids(DASHBOARD)) == {"${datasource}", "-- Grafana --"}
    assert "id" not in DASHBOARD and "__inputs" not in DASHBOARD
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance"]


@each_panel
def test_a_panel_says_what_it_shows(panel):
    assert panel["type"] in TYPES
    assert len(panel["description"]) > 20 and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    refs = [target["refId"] for target in panel["targets"]]
    assert len(refs) == len(set(refs))


@each_query
def test_a_query_looks_at_what_was_chosen_only(panel, target):
    for metric, matchers in watched.selectors(target["expr"]):
        assert {("job", "=~", "$job"), ("instance", "=~", "$instance")} <= set(matchers), metric


@each_query
def test_a_query_names_what_a_scrape_has(panel, target, busy_broker):
    scrape = Scrape(busy_broker.get("/metrics")[1])
    assert list(scrape.complaints(target["expr"])) == []


@each_query
def test_a_query_has_an_answer(panel, target, prometheus):
    samples = prometheus.await_query(filled_in(target["expr"]))
    assert samples, f"nothing for {target['expr']}"
    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
        assert all(label in labels for labels, _ in samples), f"no {label} for the legend"


def test_variables_and_annotations_have_an_answer(prometheus):
    for variable in DASHBOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        samples = prometheus.await_query(filled_in(found[1]))
        assert samples and all(found[2] in labels for labels, _ in samples), variable["name"]
        assert variable["query"]["query"] == variable["definition"]
    for annotation in DASHBOARD["annotations"]["list"][1:]:
        prometheus.query(filled_in(annotation["expr"]))
