"""Collectors, and brokers that push to them."""

import pytest

from brokerproc import Port
from collector import Collector


@pytest.fixture
def port():
    lease = Port()
    yield lease.number
    lease.lease.close()


@pytest.fixture
def collect(port):
    """Starts collectors, one after the other, on the one port."""
    started = []

    def collect(**options):
        started.append(Collector(port, **options))
        return started[-1]

    yield collect
    for collector in started:
        collector.stop()


@pytest.fixture
def pushing(make_broker, port):
    """A broker that pushes to the port every 200 ms."""

    def pushing(variables=None, **settings):
        keys = {"TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "TELEMETRY__OTLP_INTERVAL": "200ms", **settings}
        broker = make_broker(start=False, **keys)
        broker.variables = {"OTEL_BLRP_SCHEDULE_DELAY": "100", "OTEL_BSP_SCHEDULE_DELAY": "100",
                            **(variables or {})}
        return broker.start()

    return pushing
