"""Listeners of all protocols, certificates, an admin API, programs of Debian."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "with_paho")]
from adminapi import TOKEN, Api  # noqa: E402
from certificates import Pki  # noqa: E402
from httpserver import Answers  # noqa: E402
from person import Person  # noqa: E402


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def listener(port):
    """The settings of a listener, and its port."""
    def listener(name, protocol, **keys):
        number = port()
        table = {"PROTOCOL": protocol, "BIND": f"127.0.0.1:{number}", **keys}
        return {f"LISTENERS__{name.upper()}__{key}": value for key, value in table.items()}, number

    return listener


@pytest.fixture
def with_api(make_broker):
    """A broker with its admin API in `api`; with a configuration file, if one is given."""
    def with_api(configuration=None, start=True, **settings):
        broker = make_broker(start=False, HTTP__TOKEN=TOKEN, **settings)
        broker.api = Api(broker)
        broker.file = broker.directory / "ferrymq.toml"
        if configuration is not None:
            broker.file.write_text(configuration)
            broker.settings["CONFIG"] = broker.file
        return broker.start() if start else broker

    return with_api


@pytest.fixture
def person():
    """paho-mqtt."""
    made = []

    def person(port, client_id, version, **options):
        made.append(Person(port, client_id, version, **options))
        return made[-1]

    yield person
    for one in made:
        one.close()


@pytest.fixture
def opened():
    """Closes at the end what it is given."""
    made = []

    def opened(client):
        made.append(client)
        return client

    yield opened
    for client in made:
        client.drop()


@pytest.fixture
def serve():
    """HTTP servers."""
    made = []

    def serve(answer, **options):
        made.append(Answers(answer, **options))
        return made[-1]

    yield serve
    for one in made:
        one.close()
