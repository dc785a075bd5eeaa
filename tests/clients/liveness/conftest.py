import sys
from pathlib import Path

import pytest

import raw
from rawclient import Raw

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def pytest_collection_modifyitems(items):
    """What is shown here is an end of waiting, also on a machine that is busy: it has time."""
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture
def durable(broker):
    """A raw client whose session stays for an hour, in any version; options of the socket too."""
    opened = []

    def durable(client_id, version=raw.V311, to=broker, receive_buffer=None, send_buffer=None,
                expiry=3600, properties=(), **options):
        made = Raw(to.port, version, receive_buffer, send_buffer)
        opened.append(made)
        given = dict(properties)
        if version == raw.V5:
            given["session_expiry"] = expiry
        made.connack = made.connect(client_id, clean=False, properties=given, **options)
        return made

    yield durable
    for client in opened:
        client.drop()
