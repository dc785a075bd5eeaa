import pytest

import raw


@pytest.fixture
def version():
    return raw.V5


@pytest.fixture
def durable(client):
    """A client whose session stays for 100 s; resumes what is there."""
    def durable(client_id, clean=False, **properties):
        return client(client_id, clean=clean, properties={"session_expiry": 100, **properties})
    return durable


@pytest.fixture
def refused(client):
    """Sends a packet on a fresh connection: it must be closed with one of the reasons, the broker
    must go on."""
    def refused(packet, *reasons, **options):
        c = client("bad", **options)
        c.send(packet).refused(*reasons)
        client("after").ping()
    return refused
