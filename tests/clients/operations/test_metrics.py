"""What a scrape says, read by the parsers of Prometheus' own Python client."""

import http.client
import pathlib

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

import raw

# What Prometheus 2.42 sends.
PROMETHEUS = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1"
              ";q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")


def scrape(broker, accept=None):
    """(content type, text)."""
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=5)
    connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.getheader("Content-Type"), answer.read().decode()


def traffic(broker, client):
    """Ten messages for somebody who is away, all committed and counted: that is done a
    moment after their acknowledgements."""
    s = client("sub", version=raw.V5, clean=False, properties={"session_expiry": 100})
    s.subscribe("t")
    s.disconnect()
    p = client("pub")
    for _ in range(10):
        p.publish("t", b"x" * 100, qos=1)
    broker.await_metric("ferrymq_persistence_payload_bytes_total", lambda n: n == 10 * (1 + 100))


def test_who_asks_for_openmetrics_gets_what_its_parser_takes(broker, client):
    traffic(broker, client)
    kind, text = scrape(broker, PROMETHEUS)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in parse_open(text)}
    commit = families["ferrymq_persistence_commit_duration_seconds"]
    assert (commit.type, commit.unit) == ("histogram", "seconds")
    bounds = [s.labels["le"] for s in commit.samples if s.name.endswith("_bucket")]
    assert [float(bound) for bound in bounds][:2] == [0.00005, 0.0001]
    assert [float(bound) for bound in bounds][-4:] == [2.5, 5, 10, float("inf")]
    assert families["ferrymq_build"].type == "info"
    assert families["ferrymq_messages_received"].type == "counter"
    assert families["ferrymq_persistence_payload_bytes"].samples[0].value == 10 * (1 + 100)
    assert text.endswith("# EOF\n")


def test_both_formats_tell_the_same(broker, client):
    traffic(broker, client)
    kind, plain = scrape(broker)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"

    def series(families):
        # Bounds are spelt as floats in one of them.
        return {(s.name, *sorted((k, float(v) if k == "le" else v) for k, v in s.labels.items()))
                for family in families for s in family.samples}

    assert series(parse_plain(plain)) == series(parse_open(scrape(broker, PROMETHEUS)[1]))


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/html,*/*;q=0.8",
                                    "application/openmetrics-text;q=0"])
def test_everybody_else_gets_plain_text(broker, accept):
    assert scrape(broker, accept)[0].startswith("text/plain")


def test_exemplars_are_what_the_parser_takes():
    """The text is what the broker writes: `src/telemetry/exposition_tests.rs` compares it."""
    text = (pathlib.Path(__file__).parent / "exemplars.openmetrics").read_text()
    samples = [s for family in parse_open(text) for s in family.samples]
    exemplar, = (s.exemplar for s in samples if s.exemplar)
    assert exemplar.labels == {"trace_id": "ab" * 16, "span_id": "01" * 8}
    assert (exemplar.value, float(exemplar.timestamp)) == (0.75, 1700000000.25)
