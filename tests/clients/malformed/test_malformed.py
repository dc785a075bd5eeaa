"""Every malformed packet closes its connection, with a fitting reason in 5.0, and hurts nobody else."""

import sys
from pathlib import Path

import pytest

import raw
from rawclient import Raw

sys.path.insert(0, str(Path(__file__).parent))
import tables  # noqa: E402
import tables_v5  # noqa: E402

# Malformed packet, protocol error, and the reasons that name one of the two more exactly.
FITTING = {0x81, 0x82, 0x85, 0x8F, 0x90, 0x94, 0x95}
# In 3.1 the bits that later versions reserve are "not used", and a repeated SUBSCRIBE has DUP set.
LAX = (tables.kinds_a_client_never_sends, tables.lengths, tables.topics)
TABLES = {raw.V31: LAX, raw.V311: (*LAX, tables.wrong_flags, tables.values)}
TABLES[raw.V5] = TABLES[raw.V311]


@pytest.fixture(scope="module")
def bystander(shared_broker):
    """Another client on the same broker; it must notice nothing."""
    with Raw(shared_broker.port) as other:
        other.connect("bystander")
        other.subscribe("bystander")
        yield other


@pytest.fixture
def unhurt(bystander):
    yield
    bystander.publish("bystander", b"well", qos=1)
    assert bystander.message().payload == b"well"


def connected_cases():
    for version in TABLES:
        for table in TABLES[version]:
            for name, packet in table(version):
                yield pytest.param(version, packet, id=f"v{version} {name}")


@pytest.mark.parametrize("version,packet", list(connected_cases()))
def test_closes_the_connection(shared_broker, unhurt, version, packet):
    with Raw(shared_broker.port, version) as c:
        c.connect("malformed")
        c.send(packet)
        check_close(c, version)


def check_close(c, version):
    answers = c.closed()
    if version == raw.V5:
        assert answers and answers[-1].kind == raw.DISCONNECT, f"{answers}: no DISCONNECT before the close"
        assert answers[-1].reason in FITTING, answers[-1]
    else:
        assert answers == []


def connect_cases():
    for version in (raw.V311, raw.V5):
        for name, packet in tables.connects(version):
            yield pytest.param(version, packet, id=f"v{version} {name}")


@pytest.mark.parametrize("version,packet", list(connect_cases()))
def test_connect_is_refused(shared_broker, unhurt, version, packet):
    with Raw(shared_broker.port, version) as c:
        c.send(packet)
        answers = c.closed()
        if version == raw.V5:
            assert all(p.kind == raw.CONNACK and p.reason in FITTING for p in answers)
        else:
            assert answers == [], "[MQTT-3.1.4-1] without a CONNACK"


@pytest.mark.parametrize("packet", [pytest.param(p, id=n) for n, p in tables.before_connect(raw.V311)])
def test_before_connect_is_refused(shared_broker, unhurt, packet):
    with Raw(shared_broker.port) as c:
        c.send(packet)
        assert c.closed() == []


@pytest.mark.parametrize("packet", [pytest.param(raw.connect("x", version=v)[:cut], id=f"v{v} {cut}")
                                    for v in (4, 5) for cut in range(1, 15)])
def test_half_a_connect_and_a_close(shared_broker, unhurt, packet):
    with Raw(shared_broker.port) as c:
        c.send(packet)


def property_cases():
    for table in (tables_v5.foreign, tables_v5.twice, tables_v5.badly_built, tables_v5.too_long,
                  tables_v5.out_of_range, tables_v5.reason_codes):
        for name, packet, data in table():
            yield pytest.param(packet, data, id=f"{table.__name__} {name}")


@pytest.mark.parametrize("packet,data", list(property_cases()))
def test_v5_properties_and_reasons(shared_broker, unhurt, packet, data):
    with Raw(shared_broker.port, raw.V5) as c:
        if packet in ("CONNECT", "WILL"):
            c.send(data)
            assert all(p.kind == raw.CONNACK and p.reason in FITTING for p in c.closed())
        else:
            c.connect("malformed")
            c.send(data)
            check_close(c, raw.V5)


@pytest.mark.parametrize("version", [raw.V311, raw.V5])
def test_noise_of_every_kind(shared_broker, unhurt, version):
    """Every first byte with a few bodies, seeded: whatever comes of it, the broker lives."""
    import random
    seed = 20240229
    print("seed", seed)
    dice = random.Random(seed)
    for first in range(256):
        with Raw(shared_broker.port, version) as c:
            c.connect("noise")
            c.send(raw.frame(first >> 4, dice.randbytes(dice.choice((0, 1, 2, 4, 9, 30))), first & 15))
            c.send(raw.disconnect())
            try:
                while True:
                    c._receive(2)
            except (Exception, AssertionError) as end:
                assert type(end).__name__ == "Closed", f"{first:#x}: {end!r}"
