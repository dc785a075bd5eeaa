"""Fixtures: a broker for each test, raw clients to it, names that nobody else uses."""

import pytest

import raw
from brokerproc import Broker, Port
from rawclient import Raw


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out what waits for the clock")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--quick"):
        slow = pytest.mark.skip(reason="--quick")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(slow)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Broker):
                report.sections.append(("broker log", value.logged()[-8000:]))


@pytest.fixture
def port():
    """Ports of this test's own."""
    leases = []

    def port():
        leases.append(Port())
        return leases[-1].number

    yield port
    for lease in leases:
        lease.lease.close()


@pytest.fixture
def make_broker(tmp_path):
    """Starts brokers with settings of the test's own."""
    made = []

    def make(start=True, name=None, **settings):
        broker = Broker(tmp_path / (name or f"broker{len(made)}"), settings)
        made.append(broker)
        return broker.start() if start else broker

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make_broker):
    return make_broker()


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory):
    """One broker for a whole table of cases: what one case does must not hurt the next."""
    broker = Broker(tmp_path_factory.mktemp("shared")).start()
    yield broker
    assert broker.running(), f"died\n{broker.logged()}"
    broker.close()


@pytest.fixture
def version():
    return raw.V311


@pytest.fixture
def open_raw(broker, version):
    """A socket to the broker that has not said anything yet."""
    opened = []

    def open_raw(version=version, to=broker):
        client = Raw(to.port, version)
        opened.append(client)
        return client

    yield open_raw
    for client in opened:
        client.drop()


@pytest.fixture
def client(open_raw, version):
    """A connected raw client."""
    def client(client_id="", version=version, to=None, **options):
        made = open_raw(version, to) if to else open_raw(version)
        made.connack = made.connect(client_id, **options)
        return made

    return client
