"""A broker whose admin API is on."""

import pytest

from adminapi import TOKEN, Api
from brokerproc import Broker


@pytest.fixture
def admin(make_broker):
    """Starts a broker and answers with its API."""
    def make(token=TOKEN, start=True, **settings):
        broker = make_broker(start=start, HTTP__TOKEN=token, **settings)
        return Api(broker, token)
    return make


@pytest.fixture
def api(admin):
    return admin()


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory):
    """One broker for a whole table of cases."""
    broker = Broker(tmp_path_factory.mktemp("shared"), {"HTTP__TOKEN": TOKEN}).start()
    yield Api(broker)
    broker.close()
