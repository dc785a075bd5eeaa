"""What a collector receives by OTLP, and what a broker does whose collector does not."""

import socket
import time

import pytest

import raw
from collector import await_

SENT = 25


def traffic(client, broker):
    """A durable subscriber that is away, and messages for it: all of them are committed."""
    away = client("away", to=broker, version=raw.V5, clean=False,
                  properties={"session_expiry": 600})
    away.subscribe("t/#", qos=1)
    away.disconnect()
    publisher = client("publisher", to=broker, version=raw.V5)
    for _ in range(SENT):
        publisher.publish("t/x", b"payload", qos=1)
    return publisher


def test_metrics_are_those_of_the_scrape(collect, pushing, client):
    collector = collect()
    broker = pushing()
    publisher = traffic(client, broker)
    name = "ferrymq_messages_received"
    await_(lambda: collector.number(name, qos="1") == SENT, what="the count of messages")
    assert broker.metric(f"{name}_total", qos="1") == SENT
    # A histogram that stands still by now: all of its buckets.
    name = "ferrymq_persistence_commit_duration_seconds"
    scraped = broker.metric(f"{name}_count")
    assert scraped > 0
    await_(lambda: any(p.count >= scraped for _, p in collector.points(name)), what=name)
    [(_, point)] = collector.points(name)
    text = broker.get("/metrics")[1].splitlines()
    bounds = [line.split('le="')[1].split('"')[0] for line in text
              if line.startswith(f"{name}_bucket")]
    assert [float(bound) for bound in bounds] == [*point.explicit_bounds, float("inf")]
    assert len(point.bucket_counts) == len(bounds)
    assert sum(point.bucket_counts) == point.count
    assert point.sum > 0
    publisher.disconnect()


def test_the_resource_follows_the_conventions(collect, pushing, client):
    collector = collect()
    broker = pushing({"OTEL_SERVICE_NAME": "harbour",
                      "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,k=v"})
    for signal in ("metrics", "logs"):
        resource = await_(lambda: collector.resources(signal), what=signal)[0]
        assert resource["service.name"] == "harbour"
        assert resource["service.version"] == broker.run("--version").stdout.split()[-1]
        assert len(resource["service.instance.id"]) == 36
        assert resource["host.name"] == socket.gethostname()
        assert resource["process.pid"] == broker.process.pid
        assert resource["telemetry.sdk.language"] == "rust"
        assert resource["deployment.environment.name"] == "test" and resource["k"] == "v"


def test_log_lines_come_with_their_fields(collect, pushing, client):
    collector = collect()
    broker = pushing(TELEMETRY__LEVEL="debug,h2=trace,tonic=trace,hyper=trace")
    client("boat \"7\"\n", to=broker, version=raw.V5).disconnect()

    def connected():
        return [fields for body, severity, fields in collector.log_records()
                if (body, severity) == ("connected", "INFO")]

    [fields] = await_(connected, what="the line of the connection")
    assert fields["client_id"] == "boat \"7\"\n"
    assert fields["listener"] == "tcp" and fields["version"] == "5.0"
    assert fields["remote"].startswith("127.0.0.1:")


def test_what_the_push_logs_is_not_pushed(collect, pushing):
    """Else each push would be the reason of the next."""
    collector = collect()
    broker = pushing(TELEMETRY__LEVEL="trace,h2=trace")
    await_(lambda: collector.metric("ferrymq_build_info"), what="metrics")
    await_(lambda: collector.log_records(), what="log lines")
    assert "h2::" in broker.logged(), "its own stack does log"
    before = len(collector.kept("metrics"))
    await_(lambda: len(collector.kept("metrics")) >= before + 3, what="three more pushes")
    scopes = {scope.scope.name for request in collector.kept("logs")
              for resource in request.resource_logs for scope in resource.scope_logs}
    assert not any(name.startswith(("h2", "tonic", "hyper", "tower", "opentelemetry_"))
                   for name in scopes), scopes
    bodies = [body for body, _, _ in collector.log_records()]
    assert not any("Connection" in body for body in bodies), bodies


def test_the_standard_variables_do_where_our_keys_are_silent(collect, pushing, port):
    collector = collect()
    broker = pushing({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{port}",
                      "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20secret,x-tenant=dock",
                      "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
                      "OTEL_METRIC_EXPORT_INTERVAL": "150"},
                     TELEMETRY__OTLP_ENDPOINT="", TELEMETRY__OTLP_INTERVAL="60s")
    await_(lambda: len(collector.kept("metrics")) >= 2, what="metrics")
    headers = collector.headers[0]
    assert headers["authorization"] == "Bearer secret" and headers["x-tenant"] == "dock"
    # What is compressed is unpacked below the collector: that its values were read is all
    # that can be seen here.
    assert collector.kept("logs") == [], "only the endpoint of metrics is set"
    assert "secret" not in broker.logged()


FAILS = ('pushing to the collector fails: batches are dropped until it accepts them; check '
         'telemetry.otlp_endpoint or OTEL_EXPORTER_OTLP_ENDPOINT signal="metrics"')


def test_a_collector_that_is_away_is_told_once_and_missed_by_nobody(collect, pushing, client):
    broker = pushing()
    failed = dict(signal="metrics", result="failed")
    broker.await_metric("ferrymq_telemetry_exports_total", lambda count: count >= 3, **failed)
    traffic(client, broker)
    assert broker.logged().count("pushing to the collector fails") <= 2, broker.logged()
    assert broker.logged().count(FAILS) == 1, broker.logged()
    collector = collect()
    await_(lambda: collector.number("ferrymq_messages_received", qos="1") == SENT, what="metrics")
    broker.await_metric("ferrymq_telemetry_exports_total", lambda count: count >= 2,
                        signal="metrics", result="ok")
    assert broker.logged().count('works again signal="metrics"') == 1, broker.logged()
    # And again, for the same broker.
    collector.stop()
    await_(lambda: broker.logged().count(FAILS) == 2, what="the second outage")
    collect()
    await_(lambda: broker.logged().count('works again signal="metrics"') == 2,
           what="the second end")


def test_a_collector_that_never_answers_holds_up_neither_clients_nor_the_end(
        collect, pushing, client):
    collector = collect(silent=True)
    broker = pushing()
    await_(lambda: collector.kept("metrics") and collector.kept("logs"), what="requests")
    traffic(client, broker)
    begin = time.monotonic()
    assert broker.terminate() == 0
    # Two seconds for the collector, the rest for a slow machine.
    assert time.monotonic() - begin < 6, broker.logged()
    assert "the database is closed" in broker.logged()


def test_the_last_words_are_pushed(collect, pushing):
    collector = collect()
    broker = pushing(TELEMETRY__OTLP_INTERVAL="1h")
    assert broker.terminate() == 0
    assert "stopped" in [body for body, _, _ in collector.log_records()]
    assert collector.metric("ferrymq_build_info") is not None


def test_a_protocol_that_is_not_spoken_is_one_line(make_broker, port):
    broker = make_broker(start=False)
    broker.variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    broker.start()
    assert broker.logged().count("only grpc is spoken") == 1, broker.logged()
    assert broker.metric("ferrymq_telemetry_exports_total", signal="metrics", result="failed") == 0


@pytest.mark.parametrize("variables,settings,says", [
    ({}, {"TELEMETRY__OTLP_ENDPOINT": "collector:4317"}, "telemetry.otlp_endpoint"),
    ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "collector"}, {}, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
    ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent.pem"},
     {"TELEMETRY__OTLP_ENDPOINT": "https://localhost:4317"}, "/nonexistent.pem"),
])
def test_what_cannot_be_is_refused_in_one_line(make_broker, variables, settings, says):
    broker = make_broker(start=False, **settings)
    broker.variables = variables
    broker.start(wait=False)
    assert broker.wait_exit() == 2
    [line] = broker.logged().splitlines()
    assert line.startswith("ferrymq: ") and says in line, line
